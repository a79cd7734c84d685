//! What random programs run in: maps of every type, types of their own, a task and its cgroup; told to the verifier and made
//! in a vm from one description.

use sextant_abi::image::LocalType;
use sextant_abi::tables::bpf::*;
use sextant_abi::types::{Cgroup, Rq, TaskStruct};
use sextant_abi::{Mem, ObjKind};
use sextant_bpf::btf::ext::FuncInfo;
use sextant_bpf::btf::{Btf, Builder, Kind, SecVar, TypeId};
use sextant_verifier::program::{Field, FieldKind};
use sextant_verifier::{MapDesc, SpecialFields};
use sextant_vm::{Engine, Errno, MapId, MapSpec, SpecialField, Vm, VmConfig};

use crate::asm::FuncKind;
use crate::piece::Draft;
use crate::rng::Rng;
use crate::types::{Own, own_types};

/// CPUs of the machine.
pub const CPUS: u32 = 3;
/// Pages of the arena.
pub const ARENA_PAGES: u32 = 16;
/// Where user space would map the arena.
pub const ARENA_USER: u64 = 0x7f00_0000_0000;

/// A map of the world; the order is that of creation.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(missing_docs)]
#[repr(u32)]
pub enum Of {
    Array,
    Bss,
    Rodata,
    Hash,
    LruHash,
    PercpuArray,
    PercpuHash,
    LruPercpuHash,
    Queue,
    Stack,
    TaskStorage,
    CgrpStorage,
    Inner,
    ArrayOfMaps,
    HashOfMaps,
    Ringbuf,
    UserRingbuf,
    Perf,
    Arena,
    Timers,
    Roots,
    ResLock,
}

/// Its description.
struct Row {
    of: Of,
    name: &'static str,
    map_type: u32,
    key: u32,
    value: u32,
    entries: u32,
    flags: u32,
}

const fn row(of: Of, name: &'static str, map_type: u32, [key, value, entries]: [u32; 3], flags: u32) -> Row {
    Row { of, name, map_type, key, value, entries, flags }
}

const MAPS: [Row; 22] = [
    row(Of::Array, "array", BPF_MAP_TYPE_ARRAY, [4, 56, 4], 0),
    row(Of::Bss, ".bss", BPF_MAP_TYPE_ARRAY, [4, 256, 1], BPF_F_MMAPABLE),
    row(Of::Rodata, ".rodata", BPF_MAP_TYPE_ARRAY, [4, 160, 1], BPF_F_RDONLY_PROG),
    row(Of::Hash, "hash", BPF_MAP_TYPE_HASH, [4, 32, 6], 0),
    row(Of::LruHash, "lru", BPF_MAP_TYPE_LRU_HASH, [8, 16, 4], 0),
    row(Of::PercpuArray, "pcpu_array", BPF_MAP_TYPE_PERCPU_ARRAY, [4, 24, 3], 0),
    row(Of::PercpuHash, "pcpu_hash", BPF_MAP_TYPE_PERCPU_HASH, [4, 40, 4], 0),
    row(Of::LruPercpuHash, "lru_pcpu", BPF_MAP_TYPE_LRU_PERCPU_HASH, [4, 8, 4], 0),
    row(Of::Queue, "queue", BPF_MAP_TYPE_QUEUE, [0, 16, 3], 0),
    row(Of::Stack, "stack", BPF_MAP_TYPE_STACK, [0, 16, 3], 0),
    row(Of::TaskStorage, "task_ctx", BPF_MAP_TYPE_TASK_STORAGE, [4, 24, 0], BPF_F_NO_PREALLOC),
    row(Of::CgrpStorage, "cgrp_ctx", BPF_MAP_TYPE_CGRP_STORAGE, [4, 24, 0], BPF_F_NO_PREALLOC),
    row(Of::Inner, "inner", BPF_MAP_TYPE_ARRAY, [4, 48, 2], 0),
    row(Of::ArrayOfMaps, "array_of", BPF_MAP_TYPE_ARRAY_OF_MAPS, [4, 4, 3], 0),
    row(Of::HashOfMaps, "hash_of", BPF_MAP_TYPE_HASH_OF_MAPS, [4, 4, 3], 0),
    row(Of::Ringbuf, "ring", BPF_MAP_TYPE_RINGBUF, [0, 0, 4096], 0),
    row(Of::UserRingbuf, "user_ring", BPF_MAP_TYPE_USER_RINGBUF, [0, 0, 4096], 0),
    row(Of::Perf, "perf", BPF_MAP_TYPE_PERF_EVENT_ARRAY, [4, 4, 3], 0),
    row(Of::Arena, "arena", BPF_MAP_TYPE_ARENA, [0, 0, ARENA_PAGES], BPF_F_MMAPABLE),
    row(Of::Timers, "timers", BPF_MAP_TYPE_ARRAY, [4, 64, 2], 0),
    row(Of::Roots, "roots", BPF_MAP_TYPE_ARRAY, [4, 64, 1], 0),
    row(Of::ResLock, "res_lock", BPF_MAP_TYPE_ARRAY, [4, 32, 2], 0),
];

/// Offsets in a value of [`Of::Timers`]: lock, timer, work item; from 40 on ordinary bytes.
pub const TIMER_AT: i32 = 8;
/// The work item.
pub const WQ_AT: i32 = 24;
/// Ordinary bytes.
pub const TIMERS_DATA: i32 = 40;
/// Offsets in a value of [`Of::Roots`]: lock, tree, list, owning pointer; from 48 on ordinary bytes.
pub const TREE_AT: i32 = 8;
/// The list's head.
pub const LIST_AT: i32 = 24;
/// The owning pointer.
pub const KPTR_AT: i32 = 40;
/// Ordinary bytes.
pub const ROOTS_DATA: i32 = 48;
/// Ordinary bytes in a value of [`Of::ResLock`], whose lock is first.
pub const RES_DATA: i32 = 8;
/// Offsets in a node: key, tree node, list node, reference count.
pub const NODE_TREE: i32 = 8;
/// The list node.
pub const NODE_LIST: i32 = 40;
/// The reference count.
pub(crate) const NODE_REF: u32 = 64;
pub(crate) const NODE_SIZE: u32 = 72;

/// Strings of the read-only map.
pub const RODATA: [(u32, &str); 10] = [
    (0, "n=%d x=%lx s=%u\n"),
    (24, "abcab"),
    (40, "plain text"),
    (56, "%llu"),
    (64, "ABc"),
    (96, "%"),
    (104, "%q"),
    (112, "%d %"),
    (120, "%s %p"),
    (128, "100%% of %d"),
];

impl Of {
    /// Its number in bpf(2) and in relocations.
    pub const fn id(self) -> u32 {
        self as u32 + 1
    }

    fn row(self) -> &'static Row {
        &MAPS[self as usize]
    }

    /// `BPF_MAP_TYPE_*`
    pub fn map_type(self) -> u32 {
        self.row().map_type
    }

    /// Bytes of a value.
    pub fn value(self) -> i32 {
        self.row().value as i32
    }

    /// Bytes of a key.
    pub fn key(self) -> i32 {
        self.row().key as i32
    }

    /// Elements.
    pub fn entries(self) -> i32 {
        self.row().entries as i32
    }
}

/// Types of the map types used here, for the count.
pub fn map_types() -> Vec<u32> {
    let mut types: Vec<u32> = MAPS.iter().map(|m| m.map_type).collect();
    types.sort_unstable();
    types.dedup();
    types
}

/// The description, made once.
pub struct World {
    /// The programs' BTF.
    pub btf: Btf,
    /// The kernel's, as far as programs name it: a per-CPU variable.
    pub kernel_btf: Btf,
    /// The variable's id.
    pub percpu_var: u32,
    /// A struct with nodes and a count.
    pub node: TypeId,
    /// A struct of two numbers.
    pub plain: TypeId,
    /// Functions of the program, for `func_info`: static, global, global of what is never NULL.
    pub(crate) funcs: [TypeId; 3],
    /// Type of a key, and of a value by the order of the maps, where bpf(2) must be told.
    pub(crate) values: (TypeId, Vec<Option<TypeId>>),
    /// For the verifier.
    pub maps: Vec<MapDesc<'static>>,
    rodata: Vec<u8>,
}

impl World {
    /// Makes it.
    pub fn new() -> World {
        let Own { btf, node, plain, funcs, values } = own_types();
        let (kernel_btf, percpu_var) = kernel_types();
        let mut rodata = vec![0; Of::Rodata.value() as usize];
        for (at, text) in RODATA {
            rodata[at as usize..at as usize + text.len()].copy_from_slice(text.as_bytes());
        }
        rodata[80..96].copy_from_slice(&[7, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 1, 2, 3, 4, 5, 6, 7, 8]);
        let maps = MAPS.iter().map(|row| desc(row, node, plain)).collect();
        World { btf, kernel_btf, percpu_var, node, plain, funcs, values, maps, rodata }
    }

    /// Frozen read-only memory.
    pub fn read_only(&self, map: u32, off: u32, size: u32) -> Option<u64> {
        if map != Of::Rodata.id() {
            return None;
        }
        let bytes = self.rodata.get(off as usize..off.checked_add(size)? as usize)?;
        let mut wide = [0; 8];
        wide.get_mut(..bytes.len())?.copy_from_slice(bytes);
        Some(u64::from_le_bytes(wide))
    }

    /// The functions of a program, as BPF_PROG_LOAD is told of them.
    pub fn func_info(&self, draft: &Draft) -> Vec<FuncInfo> {
        let info =
            |&(at, kind): &(usize, FuncKind)| FuncInfo { insn_off: at as u32, ty: self.funcs[kind as usize] };
        draft.code.funcs.iter().map(info).collect()
    }

    /// The bytes of the read-only map.
    pub(crate) fn rodata(&self) -> &[u8] {
        &self.rodata
    }

    /// What bpf(2) is told of each map, in the order of creation.
    pub(crate) fn specs(&self) -> Vec<MapSpec> {
        MAPS.iter().map(spec).collect()
    }

    /// Types that programs allocate.
    pub fn local_types(&self) -> Vec<(u32, LocalType)> {
        let fields = vec![
            (NODE_TREE as u32, SpecialField::RbNode),
            (NODE_LIST as u32, SpecialField::ListNode),
            (NODE_REF, SpecialField::Refcount),
        ];
        let mut types = vec![
            (self.node.0, LocalType { size: NODE_SIZE, fields }),
            (self.plain.0, LocalType { size: 16, fields: Vec::new() }),
        ];
        types.sort_by_key(|t| t.0);
        types
    }
}

impl Default for World {
    fn default() -> World {
        World::new()
    }
}

fn desc(row: &Row, node: TypeId, plain: TypeId) -> MapDesc<'static> {
    let field = |offset: i32, kind| Field { offset: offset as u32, kind };
    let fields = match row.of {
        Of::Timers => vec![
            field(0, FieldKind::SpinLock),
            field(TIMER_AT, FieldKind::Timer),
            field(WQ_AT, FieldKind::Wq),
        ],
        Of::Roots => vec![
            field(0, FieldKind::SpinLock),
            field(TREE_AT, FieldKind::RbRoot(node, NODE_TREE as u32)),
            field(LIST_AT, FieldKind::ListHead(node, NODE_LIST as u32)),
            field(KPTR_AT, FieldKind::Kptr(plain)),
        ],
        Of::ResLock => vec![field(0, FieldKind::ResSpinLock)],
        _ => Vec::new(),
    };
    let inner = matches!(row.of, Of::ArrayOfMaps | Of::HashOfMaps);
    MapDesc {
        id: row.of.id(),
        name: row.name,
        map_type: row.map_type,
        key_size: row.key,
        value_size: row.value,
        max_entries: row.entries,
        flags: row.flags,
        rdonly: row.flags & BPF_F_RDONLY_PROG != 0,
        fields: SpecialFields(fields),
        inner: inner.then(|| Box::new(desc(Of::Inner.row(), node, plain))),
    }
}

fn spec(row: &Row) -> MapSpec {
    let fields = match row.of {
        Of::Timers => vec![
            (0, SpecialField::SpinLock),
            (TIMER_AT as u32, SpecialField::Timer),
            (WQ_AT as u32, SpecialField::Wq),
        ],
        Of::Roots => vec![
            (0, SpecialField::SpinLock),
            (TREE_AT as u32, SpecialField::RbRoot),
            (LIST_AT as u32, SpecialField::ListHead),
            (KPTR_AT as u32, SpecialField::Kptr { btf_id: 0 }),
        ],
        Of::ResLock => vec![(0, SpecialField::ResSpinLock)],
        _ => Vec::new(),
    };
    MapSpec {
        map_type: row.map_type,
        key_size: row.key,
        value_size: row.value,
        max_entries: row.entries,
        flags: row.flags,
        name: row.name.to_owned(),
        fields,
        map_extra: if row.of == Of::Arena { ARENA_USER } else { 0 },
        inner: matches!(row.of, Of::ArrayOfMaps | Of::HashOfMaps).then_some(MapId(Of::Inner.id())),
        has_value_btf: true,
    }
}

fn kernel_types() -> (Btf, u32) {
    let mut b = Builder::new();
    let rq = b.add("rq", Kind::Struct { union: false, size: Rq::SIZE, members: Vec::new() });
    let var = b.add("runqueues", Kind::Var { ty: rq, linkage: 1 });
    let vars = vec![SecVar { var, offset: 0, size: Rq::SIZE }];
    b.add(".data..percpu", Kind::DataSec { size: Rq::SIZE, vars });
    (b.finish().expect("BTF of our own is well-formed"), var.0)
}

/// What of a vm programs are given.
pub struct Made {
    /// The vm.
    pub vm: Vm,
    /// Address of the task.
    pub task: u64,
    /// Address of its cgroup.
    pub cgroup: u64,
    /// Address of the per-CPU variable.
    pub percpu: u64,
}

impl World {
    /// A vm with the maps, the first elements of which hold numbers of `rng`.
    pub fn make(&self, engine: Engine, sanitize: bool, rng: &mut Rng) -> Result<Made, Errno> {
        let scx = TaskStruct::at(0).scx();
        let writable = [(scx.slice().addr(), 8), (scx.dsq_vtime().addr(), 8), (scx.disallow().addr(), 1)];
        let vm = Vm::new(VmConfig {
            nr_cpus: CPUS,
            engine,
            sanitize,
            task_size: TaskStruct::SIZE,
            task_writable: writable.map(|(at, len)| (at as u32, len)).to_vec(),
            memory: 0,
        })?;
        let region = vm.region();
        let task = region.alloc(ObjKind::Task, TaskStruct::SIZE);
        let cgroup = region.alloc(ObjKind::Kernel, Cgroup::SIZE);
        let percpu = vm.percpu_alloc(Rq::SIZE)?;
        for row in &MAPS {
            vm.map_create(&spec(row))?;
        }
        self.fill(&vm, rng)?;
        for at in (0..TaskStruct::SIZE - 8).step_by(8) {
            if rng.below(8) == 0 {
                region.store(task + u64::from(at), 8, rng.number());
            }
        }
        // What the kernel vouches for is there; other pointers may lead anywhere.
        let parent = if rng.coin() { task } else { 0 };
        for (member, to) in [("group_leader", task), ("real_parent", task), ("parent", parent)] {
            region.store(task + u64::from(TaskStruct::offset_of(member)), 8, to);
        }
        if rng.coin() {
            region.store(task + u64::from(TaskStruct::offset_of("mm")), 8, cgroup);
        }
        Ok(Made { vm, task, cgroup, percpu })
    }

    fn fill(&self, vm: &Vm, rng: &mut Rng) -> Result<(), Errno> {
        let id = |of: Of| MapId(of.id());
        vm.map_update(id(Of::Rodata), &[0; 4], &self.rodata, 0)?;
        vm.map_freeze(id(Of::Rodata))?;
        let mut numbers =
            |len: i32| -> Vec<u8> { (0..len / 8).flat_map(|_| rng.number().to_le_bytes()).collect() };
        vm.map_update(id(Of::Bss), &[0; 4], &numbers(Of::Bss.value()), 0)?;
        for key in 0..2u32 {
            vm.map_update(id(Of::Array), &key.to_le_bytes(), &numbers(Of::Array.value()), 0)?;
            vm.map_update(id(Of::Hash), &key.to_le_bytes(), &numbers(Of::Hash.value()), 0)?;
            vm.map_update(id(Of::LruHash), &u64::from(key).to_le_bytes(), &numbers(16), 0)?;
            let all = numbers(CPUS as i32 * Of::PercpuHash.value());
            vm.map_update(id(Of::PercpuHash), &key.to_le_bytes(), &all, 0)?;
            let all = numbers(CPUS as i32 * 8);
            vm.map_update(id(Of::LruPercpuHash), &key.to_le_bytes(), &all, 0)?;
        }
        for of in [Of::Queue, Of::Stack] {
            vm.map_update(id(of), &[], &numbers(16), 0)?;
        }
        vm.map_fill_inner(id(Of::ArrayOfMaps), 2)?;
        for key in 0..2u32 {
            let inner = vm.map_lookup(id(Of::ArrayOfMaps), &key.to_le_bytes(), 0)?;
            vm.map_update(id(Of::HashOfMaps), &key.to_le_bytes(), &inner, 0)?;
        }
        Ok(())
    }
}
