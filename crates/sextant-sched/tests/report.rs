//! What programs say through kfuncs, and what becomes of it when it makes no sense.
#![cfg(feature = "bpf")]

use std::rc::Rc;

use sextant_abi::exit::ExitKind;
use sextant_abi::tables::KfuncId;
use sextant_abi::types::TaskStruct;
use sextant_abi::{Insn, Ns, ProgramImage, Reloc};
use sextant_sched::bpf::BpfOps;
use sextant_sched::ops::OpsParams;
use sextant_sched::{Config, Sched};
use sextant_vm::{Vm, VmConfig};

fn insn(code: u8, dst: u8, src: u8, imm: i32) -> Insn {
    Insn { code, dst, src, off: 0, imm }
}

/// Runs `kfunc(ctx, args[0], args[1])`, or with the arguments first, in a loaded scheduler; how that ended.
fn exit_of(kfunc: KfuncId, ctx_at: u8, args: [i32; 2], ctx: &[u8]) -> (ExitKind, String) {
    let config = VmConfig { nr_cpus: 1, task_size: TaskStruct::SIZE, ..VmConfig::default() };
    let vm = Rc::new(Vm::new(config).expect("address space"));
    let cfg = Config { nr_cpus: 1, uptime: Ns::ZERO, hz: 250, costs: Default::default() };
    let mut s = Sched::new(cfg, vm.region());
    let params = OpsParams { name: "empty".into(), ..OpsParams::default() };
    let ops = Rc::new(BpfOps::new(vm.clone(), params, &[]));
    s.scx_enable(ops.clone()).expect("attached");
    let others = (1..=3).filter(|&r| r != ctx_at);
    let mut insns = vec![insn(0xbf, ctx_at, 1, 0)];
    insns.extend(others.zip(args).map(|(r, value)| insn(0xb7, r, 0, value)));
    let call = insns.len();
    insns.extend([insn(0x85, 0, 2, 1), insn(0xb7, 0, 0, 0), insn(0x95, 0, 0, 0)]);
    let relocs = vec![(call as u32, Reloc::Kfunc(kfunc.index()))];
    let prog = vm.prog_add(ProgramImage { name: "says".into(), insns, relocs, ..ProgramImage::default() });
    let mut ctx = ctx.to_vec();
    ops.test_run(&mut s, prog, &mut ctx).expect("no trap");
    let info = s.ext.exit_info().expect("it has exited");
    (info.kind, info.msg.clone())
}

#[test]
fn errors_and_exits_are_claimed_whatever_the_text() {
    let error = |fmt: &[u8], args| exit_of(KfuncId::scx_bpf_error_bstr, 1, args, fmt);
    assert_eq!(error(b"plain\0", [0, 0]), (ExitKind::ErrorBpf, "plain".into()));
    let failed = |errno: i32| (ExitKind::ErrorBpf, format!("exit message formatting failed ({errno})"));
    assert_eq!(error(b"%q\0", [0, 0]), failed(-22), "no such conversion");
    assert_eq!(error(b"%d\0", [0, 0]), failed(-22), "no data for it");
    assert_eq!(error(b"%d\0", [0, 7]), failed(-22), "data of 7 bytes");
    assert_eq!(error(b"%d\0", [64, 8]), failed(-14), "data that cannot be read");
}

#[test]
fn the_old_cpu_rq_wants_a_cpu() {
    let kind = exit_of(KfuncId::scx_bpf_cpu_rq, 3, [64, 0], &[0; 8]);
    assert_eq!(kind, (ExitKind::Error, "invalid CPU 64".into()));
}
