//! BPF_PROG_TEST_RUN of a syscall program while its scheduler is loaded: kfuncs answer, the context comes back, a trap is the caller's.
#![cfg(feature = "bpf")]

use std::rc::Rc;

use sextant_abi::tables::KfuncId;
use sextant_abi::types::TaskStruct;
use sextant_abi::{CpuId, Insn, Ns, ProgramImage, Reloc};
use sextant_sched::bpf::BpfOps;
use sextant_sched::ops::OpsParams;
use sextant_sched::{Config, Sched, TaskAttr};
use sextant_vm::{ProgId, TrapKind, Vm, VmConfig};

fn insn(code: u8, dst: u8, src: u8, off: i16, imm: i32) -> Insn {
    Insn { code, dst, src, off, imm }
}

/// `*(u32 *)ctx = kfunc(); return 7`
fn asks(vm: &Vm, kfunc: KfuncId) -> ProgId {
    let insns = vec![
        insn(0xbf, 6, 1, 0, 0),
        insn(0x85, 0, 2, 0, 1),
        insn(0x63, 6, 0, 0, 0),
        insn(0xb7, 0, 0, 0, 7),
        insn(0x95, 0, 0, 0, 0),
    ];
    let relocs = vec![(1, Reloc::Kfunc(kfunc.index()))];
    vm.prog_add(ProgramImage { name: "asks".into(), insns, relocs, ..ProgramImage::default() })
}

#[test]
fn a_syscall_program_runs_in_the_loaded_scheduler() {
    let config = VmConfig { nr_cpus: 3, sanitize: true, task_size: TaskStruct::SIZE, ..VmConfig::default() };
    let vm = Rc::new(Vm::new(config).expect("address space"));
    let cfg = Config { nr_cpus: 3, uptime: sextant_abi::Ns::ZERO, hz: 250, costs: Default::default() };
    let mut s = Sched::new(cfg, vm.region());
    for cpu in (0..3).map(CpuId) {
        let attr =
            TaskAttr { comm: format!("migration/{cpu}"), cpus: Some(vec![cpu]), ..TaskAttr::default() };
        s.boot_task(3 + cpu.0 as i32, &attr, cpu, true);
    }
    let params = OpsParams { name: "empty".into(), ..OpsParams::default() };
    let ops = Rc::new(BpfOps::new(vm.clone(), params, &[]));
    s.scx_enable(ops.clone()).expect("attached");
    s.enter(CpuId(1), Ns(1000));
    let mut ctx = [0xff; 8];
    assert_eq!(ops.test_run(&mut s, asks(&vm, KfuncId::scx_bpf_nr_cpu_ids), &mut ctx).ok(), Some(7));
    assert_eq!(ctx, [3, 0, 0, 0, 0xff, 0xff, 0xff, 0xff]);
    // What writes past its context is stopped, and the scheduler stays.
    let trap = ops.test_run(&mut s, asks(&vm, KfuncId::scx_bpf_nr_cpu_ids), &mut [0; 3]);
    assert!(matches!(trap, Err(trap) if matches!(trap.kind, TrapKind::BadAccess(_))));
    assert!(s.ext.exit_info().is_none());
}
