//! Programs made of random instructions: whatever they do, they return or trap; the vm itself stays sound, and what the
//! plain level lets end well, counts and results are the same with the object level where that passes too.

mod host;

use std::time::{Duration, Instant};

use host::TestHost;
use sextant_abi::tables::KfuncId;
use sextant_abi::{Insn, LocalType, Mem, ObjKind, ProgramImage, Reloc};
use sextant_bpf::opcode::{DST, IMM, Kind, OFF, Opcode, SRC, TABLE};
use sextant_vm::map::*;
use sextant_vm::region::Zone;
use sextant_vm::{Engine, MapSpec, ProgId, SpecialField, Vm, VmConfig};

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
    insn_of(random, row, len)
}

/// An instruction of a row; targets of jumps are near, for a program of `len`.
fn insn_of(random: &mut Random, row: &Opcode, len: u64) -> Insn {
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

fn new_vm(engine: Engine, sanitize: bool) -> (Vm, Vec<u32>, TestHost) {
    let task_size = sextant_abi::types::TaskStruct::SIZE;
    let task_writable = vec![(16, 8)];
    let cfg = VmConfig { nr_cpus: 2, engine, sanitize, task_size, task_writable, memory: 0 };
    let vm = Vm::new(cfg).expect("address space");
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
        let (plain, maps, mut plain_host) = new_vm(Engine::Interpreter, false);
        let (sanitized, _, mut sanitized_host) = new_vm(Engine::Interpreter, true);
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
    let (vm, maps, mut host) = new_vm(Engine::Interpreter, false);
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

/// Registers with numbers of all kinds, and calls of functions of its own, loops and rarer instructions in the body.
fn lively(random: &mut Random, maps: &[u32], task: u64) -> ProgramImage {
    let mut image = program(random, maps, task);
    let reloc_at = |at: usize| image.relocs.iter().any(|r| r.0 as usize == at);
    let (mut at, mut body) = (0, 0);
    while at < image.insns.len() {
        let wide = image.insns[at].code == 0x18;
        if wide && reloc_at(at) && random.below(6) == 0 && !matches!(image.insns[at].dst, 0 | 10) {
            body = at + 2;
            let number =
                [0, 1, u64::MAX, 1 << 31, 1 << 63, 0xffff_ffff, random.below(1 << 31) << random.below(34)];
            let number = number[random.below(7) as usize];
            image.relocs.retain(|r| r.0 as usize != at);
            image.insns[at].imm = number as i32;
            image.insns[at + 1].imm = (number >> 32) as i32;
            break;
        }
        at += 1 + usize::from(wide);
    }
    let len = image.insns.len();
    let first = body.max(20).min(len - 1);
    for _ in 0..random.below(4) {
        let at = first + random.below((len - 1 - first).max(1) as u64) as usize;
        let to = first as i64 + random.below((len - first) as u64) as i64 - at as i64 - 1;
        if image.relocs.iter().any(|r| r.0 as usize == at) || at > 0 && image.insns[at - 1].code == 0x18 {
            continue;
        }
        image.insns[at] = match random.below(6) {
            0 | 1 => Insn { code: 0x85, src: 1, imm: to as i32, ..Insn::default() },
            2 => Insn { code: 0xe5, off: to as i16, ..Insn::default() },
            3 => Insn { code: 0x8d, dst: random.below(10) as u8, ..Insn::default() },
            4 => Insn { code: 0x95, ..Insn::default() },
            _ => Insn { code: 0xad, dst: random.below(10) as u8, src: 6, off: to as i16, imm: 0 },
        };
    }
    if random.below(4) == 0 {
        image.probe_load = (0..len).map(|_| random.below(2) == 0).collect();
    }
    image
}

/// Arithmetic, jumps and good accesses without end, every register in the result: r7 leads to the stack, r8 to a task, r9 to
/// an array's value, the others hold numbers.
fn dense(random: &mut Random, map: u32, task: u64) -> ProgramImage {
    let wide = |dst, val: u64| {
        let second = Insn { imm: (val >> 32) as i32, ..Insn::default() };
        [Insn { code: 0x18, dst, imm: val as i32, ..Insn::default() }, second]
    };
    let reg = |code, dst, src| Insn { code, dst, src, ..Insn::default() };
    let mut insns = Vec::new();
    for dst in 0..7 {
        let bits = random.below(1 << 31) << 33 | random.below(1 << 31) << 11 | random.below(1 << 11);
        let few = [0, 1, u64::MAX, 1 << 31, 1 << 63, 0xffff_ffff, 0xffff_ffff_8000_0000];
        let val = if random.below(2) == 0 { bits >> random.below(64) } else { few[random.below(7) as usize] };
        insns.extend(wide(dst, val));
    }
    insns.push(reg(0xbf, 7, 10));
    insns.push(Insn { code: 0x07, dst: 7, imm: -512, ..Insn::default() });
    let at = insns.len() as u32;
    let relocs = vec![(at, Reloc::Addr(task)), (at + 2, Reloc::MapValue(map, 0))];
    insns.extend(wide(8, 0));
    insns.extend(wide(9, 0));
    let len = 10 + random.below(40);
    for at in 0..len {
        let mut insn = loop {
            let row = &TABLE[random.below(TABLE.len() as u64) as usize];
            if !matches!(
                row.kind,
                Kind::LdImm64(_) | Kind::LdSkb { .. } | Kind::AddrSpaceCast | Kind::Call(_) | Kind::Exit
            ) {
                break insn_of(random, row, len);
            }
        };
        let row = sextant_bpf::opcode::lookup(&insn).expect("a row's");
        let pointer = 7 + random.below(4) as u8;
        let off = if pointer == 10 { -512 } else { 16 } + random.below(17) as i16;
        match row.kind {
            Kind::Load { .. } | Kind::LoadAcquire { .. } => (insn.src, insn.off) = (pointer, off),
            Kind::Store { .. } | Kind::StoreRelease { .. } | Kind::Atomic { .. } => {
                (insn.dst, insn.off) = (if pointer == 8 { 9 } else { pointer }, off);
                insn.src = if insn.code & 7 == 3 { insn.src % 7 } else { 0 };
                if pointer == 8 && matches!(row.kind, Kind::Store { .. }) {
                    (insn.dst, insn.off) = (8, 16); // the field that may be written
                }
            }
            Kind::Ja { long: true } => insn.imm = random.below(len - at) as i32,
            Kind::Ja { .. } | Kind::Jump { .. } | Kind::MayGoto => {
                let back = random.below(4) == 0;
                insn.off =
                    if back { -(random.below(at + 1) as i16) - 1 } else { random.below(len - at) as i16 };
            }
            _ => insn.dst %= 7,
        }
        if matches!(row.kind, Kind::Load { .. } | Kind::LoadAcquire { .. }) {
            insn.dst %= 7;
        }
        if random.below(16) == 0 {
            let to = random.below(len) as i32 - at as i32;
            insn = Insn { code: 0x85, src: 1, imm: to - 1, ..Insn::default() };
        }
        insns.push(insn);
    }
    for src in 1..10 {
        insns.push(Insn { code: 0x27, imm: 31, ..Insn::default() });
        insns.push(reg(0x0f, 0, src));
    }
    insns.push(Insn { code: 0x95, ..Insn::default() });
    ProgramImage { name: "dense".to_owned(), insns, relocs, ..ProgramImage::default() }
}

/// All memory that programs can reach, zone by zone.
fn memory(vm: &Vm) -> Vec<Vec<u8>> {
    let zones = [Zone::Task, Zone::Kernel, Zone::MapRw, Zone::MapRo, Zone::Stack, Zone::Heap, Zone::MapPtr];
    let all_of = |zone: Zone| {
        let (mut bytes, mut size) = (Vec::new(), 4096);
        while size > 0 {
            let mut chunk = vec![0; size];
            match vm.region().bpf_read(zone.start() + bytes.len() as u64, &mut chunk) {
                Ok(()) => bytes.extend(chunk),
                Err(_) => size /= 8,
            }
        }
        bytes
    };
    zones.map(all_of).to_vec()
}

#[test]
fn both_engines_do_the_same() {
    if !Engine::Jit.is_available() {
        println!("SKIPPED both_engines_do_the_same: no compiler for this machine");
        return;
    }
    let mut random = Random(9);
    let (mut ended, mut trapped, mut budget, mut insns) = (0, 0, 0, 0);
    for round in 0..120 {
        let (interp, maps, mut interp_host) = new_vm(Engine::Interpreter, false);
        let (jit, _, mut jit_host) = new_vm(Engine::Jit, false);
        for at in 0..300 {
            let limit = 1 + random.below(if at % 2 == 0 { 60 } else { 3_000 });
            interp.set_insn_budget(limit);
            jit.set_insn_budget(limit);
            let image = match at % 3 {
                0 => dense(&mut random, maps[0], interp_host.current),
                _ => lively(&mut random, &maps, interp_host.current),
            };
            let a = run(&interp, image.clone(), &mut interp_host);
            let b = run(&jit, image.clone(), &mut jit_host);
            assert_eq!(a, b, "round {round}, program {at}, budget {limit}: {:#?}", listing(&image));
            assert_eq!(interp_host.printed, jit_host.printed, "round {round}, program {at}");
            assert_eq!(interp_host.timers, jit_host.timers, "round {round}, program {at}");
            let timers: Vec<u64> = interp_host.timers.iter().map(|t| t.0).collect();
            for timer in timers.into_iter().filter(|_| at % 5 == 0) {
                let a = interp.timer_fire(timer, &mut interp_host).map_err(|t| t.to_string());
                let b = jit.timer_fire(timer, &mut jit_host).map_err(|t| t.to_string());
                assert_eq!(a, b, "round {round}, program {at}, timer");
            }
            match &a {
                Ok((_, count)) => (ended, insns) = (ended + 1, insns + count),
                Err(trap) if trap.contains("instructions in one call") => budget += 1,
                Err(_) => trapped += 1,
            }
            if at % 20 == 19 {
                assert!(memory(&interp) == memory(&jit), "round {round}, program {at}: memory differs");
            }
        }
    }
    println!("{ended} ended ({insns} instructions), {trapped} trapped, {budget} ran out of instructions");
    assert!(ended > 2_000 && trapped > 2_000 && budget > 2_000 && insns > 50_000);
}

fn listing(image: &ProgramImage) -> Vec<String> {
    let text = |at| sextant_bpf::disasm::text(&image.insns, at, &sextant_bpf::disasm::nameless);
    (0..image.insns.len()).map(|at| format!("{at}: {}", text(at))).collect()
}

/// Result and count, or the trap's text.
fn run(vm: &Vm, image: ProgramImage, host: &mut TestHost) -> Result<(u64, u64), String> {
    let prog: ProgId = vm.prog_add(image);
    let result = vm.run(prog, &[1, 2], host);
    let result = result.map(|run| (run.r0, run.insns)).map_err(|trap| trap.to_string());
    assert!(result.as_ref().map_or_else(|trap| !trap.contains('\n'), |_| true), "{result:?}");
    result
}
