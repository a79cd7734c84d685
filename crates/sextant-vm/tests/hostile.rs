//! Programs made of random instructions: whatever they do, they return or trap; the vm itself stays sound, and what the
//! plain level lets end well, counts and results are the same with the object level where that passes too.

mod host;

use std::time::{Duration, Instant};

use host::TestHost;
use sextant_abi::tables::KfuncId;
use sextant_abi::{Insn, LocalType, Mem, ObjKind, ProgramImage, Reloc};
use sextant_bpf::opcode::{DST, IMM, Kind, OFF, SRC, TABLE};
use sextant_vm::map::*;
use sextant_vm::{MapSpec, ProgId, SpecialField, Vm, VmConfig};

struct Random(u64);

impl Random {
    fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (self.0 >> 33) % n
    }
}

const HELPERS: [i32; 54] = [
    22, 25, 55, 130, 131, 132, 133, 134, 197, 198, 199, 201, 202, 203, 1, 2, 3, 4, 5, 6, 7, 8, 14, 16, 35,
    42, 45, 87, 88, 89, 93, 94, 112, 113, 114, 115, 118, 125, 153, 154, 156, 157, 158, 160, 164, 165, 169,
    170, 171, 172, 177, 181, 182, 194,
];

/// The vm's own kfuncs.
const CORE: &[KfuncId] = &[
    KfuncId::bpf_obj_new,
    KfuncId::bpf_obj_drop,
    KfuncId::bpf_refcount_acquire,
    KfuncId::bpf_list_push_front,
    KfuncId::bpf_list_push_back,
    KfuncId::bpf_list_add,
    KfuncId::bpf_list_pop_front,
    KfuncId::bpf_list_del,
    KfuncId::bpf_list_back,
    KfuncId::bpf_rbtree_add,
    KfuncId::bpf_rbtree_remove,
    KfuncId::bpf_rbtree_first,
    KfuncId::bpf_rbtree_left,
    KfuncId::bpf_res_spin_lock,
    KfuncId::bpf_res_spin_unlock,
    KfuncId::bpf_local_irq_save,
    KfuncId::bpf_iter_bits_new,
    KfuncId::bpf_iter_bits_next,
    KfuncId::bpf_iter_bits_destroy,
    KfuncId::bpf_strcmp,
    KfuncId::bpf_strlen,
    KfuncId::bpf_strstr,
    KfuncId::bpf_strspn,
    KfuncId::bpf_arena_alloc_pages,
    KfuncId::bpf_arena_free_pages,
    KfuncId::bpf_arena_reserve_pages,
    KfuncId::bpf_dynptr_adjust,
    KfuncId::bpf_dynptr_clone,
    KfuncId::bpf_dynptr_slice,
    KfuncId::bpf_dynptr_memset,
    KfuncId::bpf_dynptr_copy,
    KfuncId::bpf_probe_read_kernel_str_dynptr,
    KfuncId::bpf_map_sum_elem_count,
    KfuncId::bpf_wq_init,
    KfuncId::bpf_wq_set_callback,
    KfuncId::bpf_wq_start,
    KfuncId::bpf_timer_cancel_async,
];

fn insn(random: &mut Random, len: u64) -> Insn {
    let mut row = &TABLE[random.below(TABLE.len() as u64) as usize];
    // What surely traps comes seldom, so that programs get somewhere.
    while random.below(64) != 0
        && matches!(row.kind, Kind::LdImm64(_) | Kind::LdSkb { .. } | Kind::AddrSpaceCast | Kind::Call(_))
    {
        row = &TABLE[random.below(TABLE.len() as u64) as usize];
    }
    let mut insn = row.template();
    let register = |random: &mut Random| (random.below(11)) as u8;
    if row.fields & DST != 0 {
        insn.dst = register(random);
    }
    if row.fields & SRC != 0 {
        insn.src = register(random);
    }
    if row.fields & OFF != 0 {
        let jump = matches!(row.kind, Kind::Ja { .. } | Kind::Jump { .. } | Kind::MayGoto);
        insn.off =
            if jump { random.below(len) as i16 - (len / 3) as i16 } else { random.below(32) as i16 * 4 - 64 };
    }
    if row.fields & IMM != 0 {
        let small = random.below(4) != 0;
        insn.imm = if small { random.below(40) as i32 - 8 } else { random.below(1 << 31) as i32 };
        if matches!(row.kind, Kind::Call(sextant_bpf::opcode::Callee::Helper)) {
            insn.imm = HELPERS[random.below(HELPERS.len() as u64) as usize];
        }
    }
    let memory = matches!(row.kind, Kind::Load { .. } | Kind::Store { .. } | Kind::Atomic { .. });
    if memory && random.below(8) != 0 {
        insn.off = -8 - random.below(8) as i16 * 8;
        match row.kind {
            Kind::Load { .. } => insn.src = 10,
            _ => insn.dst = 10,
        }
    }
    if insn.dst == 10 && !memory {
        insn.dst = 0;
    }
    insn
}

fn make_maps(vm: &Vm) -> Vec<u32> {
    let base =
        MapSpec { key_size: 4, value_size: 40, max_entries: 4, has_value_btf: true, ..MapSpec::default() };
    let fields =
        vec![(0, SpecialField::SpinLock), (8, SpecialField::Timer), (24, SpecialField::Kptr { btf_id: 1 })];
    let roots =
        vec![(0, SpecialField::ListHead), (16, SpecialField::RbRoot), (32, SpecialField::Kptr { btf_id: 0 })];
    [
        MapSpec { map_type: BPF_MAP_TYPE_ARRAY, fields: fields.clone(), ..base.clone() },
        MapSpec { map_type: BPF_MAP_TYPE_HASH, fields, ..base.clone() },
        MapSpec { map_type: BPF_MAP_TYPE_LRU_HASH, ..base.clone() },
        MapSpec { map_type: BPF_MAP_TYPE_PERCPU_HASH, ..base.clone() },
        MapSpec { map_type: BPF_MAP_TYPE_QUEUE, key_size: 0, ..base.clone() },
        MapSpec { map_type: BPF_MAP_TYPE_ARRAY, fields: roots, ..base.clone() },
        MapSpec {
            map_type: BPF_MAP_TYPE_ARENA,
            key_size: 0,
            value_size: 0,
            flags: BPF_F_MMAPABLE,
            ..base.clone()
        },
        MapSpec {
            map_type: BPF_MAP_TYPE_RINGBUF,
            key_size: 0,
            value_size: 0,
            max_entries: 4096,
            ..base.clone()
        },
        MapSpec { map_type: BPF_MAP_TYPE_TASK_STORAGE, max_entries: 0, flags: BPF_F_NO_PREALLOC, ..base },
    ]
    .iter()
    .map(|spec| vm.map_create(spec).expect("a good map").0)
    .collect()
}

/// A program whose registers first get pointers to everything there is.
fn program(random: &mut Random, maps: &[u32], task: u64) -> ProgramImage {
    let mut insns = Vec::new();
    let mut relocs = Vec::new();
    for reg in 1..10u8 {
        let map = maps[random.below(maps.len() as u64) as usize];
        let reloc = match random.below(5) {
            0 => Some(Reloc::Map(map)),
            1 => Some(Reloc::MapValue(maps[0], 0)),
            2 => Some(Reloc::Func(18 + random.below(4) as u32)),
            3 => Some(Reloc::Addr(task)),
            _ => None,
        };
        match reloc {
            Some(reloc) => relocs.push((insns.len() as u32, reloc)),
            None => insns.push(Insn { code: 0xbf, dst: reg, src: 10, ..Insn::default() }),
        }
        if reloc.is_some() {
            insns.push(Insn { code: 0x18, dst: reg, ..Insn::default() });
            insns.push(Insn::default());
        } else {
            insns.push(Insn { code: 0x07, dst: reg, imm: -40, ..Insn::default() });
        }
    }
    insns.push(Insn { code: 0xb7, ..Insn::default() }); // r0 = 0
    let len = 4 + random.below(24);
    // An owned object in r6 now and then: its node is what lists and trees take.
    if random.below(2) == 0 {
        let new = [(0xb7, 1, 0, 1), (0x85, 0, 2, 1), (0xbf, 6, 0, 0), (0xbf, 1, 9, 0), (0xbf, 2, 6, 0)];
        let at = insns.len() as u32 + 1;
        insns.extend(new.map(|(code, dst, src, imm)| Insn { code, dst, src, imm, ..Insn::default() }));
        relocs.push((at, Reloc::Kfunc(KfuncId::bpf_obj_new.index())));
        insns.push(Insn { code: 0x07, dst: 2, imm: random.below(3) as i32 * 24, ..Insn::default() });
    }
    let body = insns.len();
    insns.extend((0..len).map(|_| insn(random, len)));
    for (at, insn) in insns.iter_mut().enumerate().skip(body) {
        if insn.code == 0x85 && insn.src != 1 && random.below(2) == 0 || random.below(40) == 0 {
            *insn = Insn { code: 0x85, src: 2, imm: 1, ..Insn::default() };
            let id = CORE[random.below(CORE.len() as u64) as usize];
            relocs.push((at as u32, Reloc::Kfunc(id.index())));
        }
    }
    insns.push(Insn { code: 0x95, ..Insn::default() });
    let fields = vec![(0, SpecialField::ListNode), (24, SpecialField::RbNode), (56, SpecialField::Refcount)];
    let local_types = vec![(1, LocalType { size: 64, fields })];
    ProgramImage { name: "hostile".to_owned(), insns, relocs, local_types, ..ProgramImage::default() }
}

fn new_vm(sanitize: bool) -> (Vm, Vec<u32>, TestHost) {
    let task_size = sextant_abi::types::TaskStruct::SIZE;
    let task_writable = vec![(16, 8)];
    let vm = Vm::new(VmConfig { nr_cpus: 2, sanitize, task_size, task_writable }).expect("address space");
    vm.set_insn_budget(2_000);
    let maps = make_maps(&vm);
    let task = vm.region().alloc(ObjKind::Task, task_size);
    let host = TestHost { current: task, alive: vec![task], ..TestHost::default() };
    (vm, maps, host)
}

#[test]
fn random_programs_return_or_trap() {
    let mut random = Random(7);
    let (mut ended, mut both) = (0, 0);
    let start = Instant::now();
    for round in 0..1_500 {
        if start.elapsed() > Duration::from_secs(20) {
            panic!("round {round}: too slow to be bounded by the budget");
        }
        let (plain, maps, mut plain_host) = new_vm(false);
        let (sanitized, _, mut sanitized_host) = new_vm(true);
        for _ in 0..300 {
            let image = program(&mut random, &maps, plain_host.current);
            let a = run(&plain, image.clone(), &mut plain_host);
            let b = run(&sanitized, image, &mut sanitized_host);
            ended += u32::from(a.is_ok());
            both += u32::from(a.is_ok() && b.is_ok());
            match (a, b) {
                // Where the object level stops a program that the wall lets go on, the two worlds part.
                (Ok(_), Err(_)) => break,
                (Err(a), Err(b)) if a != b => break,
                (a, b) => assert_eq!(a, b),
            }
        }
    }
    assert!(ended > 500 && both > 200, "only {ended} and {both} programs ended well");
}

#[test]
fn random_programs_leave_the_vm_working() {
    let mut random = Random(8);
    let (vm, maps, mut host) = new_vm(false);
    for _ in 0..6_000 {
        let image = program(&mut random, &maps, host.current);
        let _ = run(&vm, image, &mut host); // a trap is an answer
        for timer in std::mem::take(&mut host.timers) {
            let _ = vm.timer_fire(timer.0, &mut host); // a trap is an answer
        }
        host.printed.clear();
    }
    assert!(!vm.is_running());
    let id = sextant_vm::MapId(maps[0]);
    vm.map_update(id, &[1, 0, 0, 0], &[9; 40], BPF_ANY).expect("maps work");
    vm.task_gone(host.current);
    maps.iter().for_each(|id| vm.map_free(sextant_vm::MapId(*id)));
}

/// Result and count, or the trap's text.
fn run(vm: &Vm, image: ProgramImage, host: &mut TestHost) -> Result<(u64, u64), String> {
    let prog: ProgId = vm.prog_add(image);
    let result = vm.run(prog, &[1, 2], host);
    let result = result.map(|run| (run.r0, run.insns)).map_err(|trap| trap.to_string());
    assert!(result.as_ref().map_or_else(|trap| !trap.contains('\n'), |_| true), "{result:?}");
    result
}
