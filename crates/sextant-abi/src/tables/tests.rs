//! The tables against each other and against the reference's numbers.

use std::collections::BTreeSet;

use super::kfuncs::KfuncGroups;
use super::*;
use crate::exit::{ExitInfo, ExitKind};
use crate::types::*;

fn unique<'a>(names: impl IntoIterator<Item = &'a str>) -> usize {
    let mut seen = BTreeSet::new();
    names.into_iter().for_each(|name| assert!(seen.insert(name), "{name} twice"));
    seen.len()
}

#[test]
fn ops_match_the_struct() {
    unique(OPS.iter().map(|desc| desc.name));
    for desc in &OPS {
        assert_eq!(desc.op.desc().name, desc.name);
        assert_eq!(Op::from_name(desc.name), Some(desc.op));
        let member = SchedExtOps::DESC.member(desc.name).unwrap_or_else(|| panic!("no member {}", desc.name));
        let TypeRef::Ptr(TypeRef::Func(proto)) = member.ty else { panic!("{} is no function", desc.name) };
        let got: Vec<_> = proto.params.iter().map(|param| arg(param.ty)).collect();
        let want: Vec<_> = desc
            .args
            .iter()
            .map(|arg| match *arg {
                OpArg::PtrOrNull(name) => OpArg::Ptr(name),
                other => other,
            })
            .collect();
        assert_eq!(got, want, "{}", desc.name);
        let ret = match desc.ret {
            OpRet::Void => Void::REF,
            OpRet::Cpu | OpRet::Errno => S32::REF,
            OpRet::Bool => Bool::REF,
        };
        assert_eq!(proto.ret, ret, "{}", desc.name);
        assert!(
            desc.cid_name.is_empty() || SchedExtOpsCid::DESC.member(desc.cid_name).is_some(),
            "{}",
            desc.cid_name
        );
    }
    let funcs = SchedExtOps::DESC.members().iter().filter(|m| matches!(m.ty, TypeRef::Ptr(TypeRef::Func(_))));
    assert_eq!(funcs.count(), Op::COUNT);
}

fn arg(ty: TypeRef) -> OpArg {
    match ty.strip() {
        TypeRef::Ptr(to) => match to.strip() {
            TypeRef::Struct(name) => OpArg::Ptr(name),
            other => panic!("pointer to {other:?}"),
        },
        TypeRef::Int(_, 4, IntEncoding::Signed) => OpArg::S32,
        TypeRef::Int(_, 4, IntEncoding::Unsigned) => OpArg::U32,
        TypeRef::Int(_, 8, IntEncoding::Unsigned) => OpArg::U64,
        TypeRef::Int(_, 1, IntEncoding::Bool) => OpArg::Bool,
        other => panic!("argument {other:?}"),
    }
}

#[test]
fn only_dispatch_and_yield_take_null() {
    let nullable = OPS
        .iter()
        .filter(|desc| desc.args.iter().any(|arg| matches!(arg, OpArg::PtrOrNull(_))))
        .map(|desc| desc.name);
    assert_eq!(Vec::from_iter(nullable), ["dispatch", "yield"]);
}

#[test]
fn kfuncs_are_unique_and_indexed() {
    unique(KFUNCS.iter().map(|kfunc| kfunc.name));
    for (index, id) in KfuncId::ALL.iter().enumerate() {
        assert_eq!((id.index() as usize, KfuncId::from_name(KFUNCS[index].name)), (index, Some(*id)));
    }
    assert_eq!(KfuncId::from_index(KFUNCS.len() as u32), None);
}

#[test]
fn kfuncs_are_allowed_where_the_kernel_allows_them() {
    let allowed = |name: &str, op: Op| {
        KfuncId::from_name(name).unwrap_or_else(|| panic!("{name}")).info().allowed_in(op.desc().groups)
    };
    assert!(allowed("scx_bpf_create_dsq", Op::Init) && !allowed("scx_bpf_create_dsq", Op::Enqueue));
    assert!(
        allowed("scx_bpf_dsq_insert___v2", Op::SelectCpu) && !allowed("scx_bpf_dsq_insert___v2", Op::Running)
    );
    assert!(allowed("scx_bpf_dsq_move_to_local", Op::Dispatch) && !allowed("scx_bpf_consume", Op::Enqueue));
    assert!(allowed("scx_bpf_dsq_move", Op::Init) && allowed("scx_bpf_dsq_move", Op::Dispatch));
    assert!(!allowed("scx_bpf_dsq_move", Op::Enqueue));
    assert!(
        allowed("scx_bpf_select_cpu_dfl", Op::Enqueue) && !allowed("scx_bpf_select_cpu_dfl", Op::Dispatch)
    );
    assert!(
        allowed("scx_bpf_reenqueue_local", Op::CpuRelease) && !allowed("scx_bpf_reenqueue_local", Op::Tick)
    );
    assert!(OPS.iter().all(|op| allowed("scx_bpf_kick_cpu", op.op) && allowed("bpf_task_from_pid", op.op)));
    let syscall = KfuncGroups::SYSCALL;
    assert!(KfuncId::scx_bpf_create_dsq.info().allowed_in(syscall));
    assert!(!KfuncId::scx_bpf_dsq_insert.info().allowed_in(syscall));
    assert!(!KfuncId::scx_bpf_create_dsq.info().allowed_in(KfuncGroups::TRACING));
    assert!(KFUNCS.iter().all(|kfunc| !kfunc.groups.difference(KfuncGroups::CPU_FORM).is_empty()));
}

#[test]
fn old_names_have_the_new_ones_prototype() {
    for (old, new) in OLD_NAMES {
        let (old, new) = (old.info(), new.info());
        assert_eq!(old.proto.ret, new.proto.ret, "{}", old.name);
        assert!(
            old.proto.params.iter().map(|p| p.ty).eq(new.proto.params.iter().map(|p| p.ty)),
            "{}",
            old.name
        );
        assert_eq!((old.groups, old.flags), (new.groups, new.flags), "{}", old.name);
    }
    assert_eq!(KfuncId::scx_bpf_consume.canonical(), KfuncId::scx_bpf_dsq_move_to_local);
    assert!(!KfuncId::scx_bpf_consume.is_current() && KfuncId::bpf_wq_start.is_current());
}

/// The kfuncs that objects in the wild need (object-requirements §1.3), by name.
#[test]
fn needed_kfuncs_are_there() {
    for name in "scx_bpf_error_bstr bpf_iter_num_new bpf_iter_num_next bpf_iter_num_destroy scx_bpf_dsq_insert___v2 \
        scx_bpf_dsq_move_to_local___v2 scx_bpf_reenqueue_local___v2 __scx_bpf_dsq_insert_vtime __scx_bpf_select_cpu_and \
        scx_bpf_select_cpu_and bpf_rcu_read_lock bpf_cpumask_populate bpf_arena_alloc_pages bpf_arena_free_pages \
        bpf_obj_new_impl bpf_obj_drop_impl bpf_rbtree_add_impl bpf_rbtree_first bpf_rbtree_remove bpf_refcount_acquire_impl \
        bpf_res_spin_lock bpf_res_spin_unlock bpf_rdonly_cast bpf_iter_task_new bpf_iter_css_new bpf_iter_bits_new \
        scx_bpf_events scx_bpf_tid_to_task scx_bpf_switch_all scx_bpf_dispatch scx_bpf_dispatch_vtime scx_bpf_consume \
        scx_bpf_dispatch_from_dsq scx_bpf_cpu_rq bpf_stream_vprintk_impl bpf_preempt_disable bpf_task_acquire"
        .split_whitespace()
    {
        assert!(KfuncId::from_name(name).is_some(), "{name}");
    }
}

#[test]
fn helpers_are_complete() {
    assert_eq!(HELPERS.len(), 212);
    assert!(HELPERS.iter().enumerate().all(|(number, helper)| helper.id as usize == number));
    unique(HELPERS.iter().map(|helper| helper.name));
    let row =
        |number: u32| HelperId::from_number(number).map(|id| (id.name(), HELPERS[number as usize].args));
    assert_eq!(row(1), Some(("bpf_map_lookup_elem", 2)));
    assert_eq!(row(156), Some(("bpf_task_storage_get", 4)));
    assert_eq!(row(181), Some(("bpf_loop", 4)));
    assert_eq!(row(194), Some(("bpf_kptr_xchg", 2)));
    assert_eq!(row(211), Some(("bpf_cgrp_storage_delete", 2)));
    assert_eq!((row(0), row(212)), (None, None));
}

#[test]
fn events_are_the_struct() {
    let members: Vec<_> = ScxEventStats::DESC.members().iter().map(|m| (m.name, m.bit_offset / 8)).collect();
    let events: Vec<_> = Event::ALL.iter().map(|event| (event.name(), event.offset())).collect();
    assert_eq!(events, members);
    assert_eq!(Event::COUNT, 21);
}

#[test]
fn exit_kinds_are_the_enum() {
    let Body::Enum { values, .. } = ScxExitKind::DESC.body else { panic!("no enum") };
    let kinds = ExitKind::ALL.iter().map(|kind| (format!("SCX_EXIT_{}", kind.name()), kind.value() as u64));
    assert_eq!(
        Vec::from_iter(kinds),
        Vec::from_iter(values.iter().map(|(name, value)| (name.to_string(), *value)))
    );
    assert_eq!(ExitKind::from_value(1026), Some(ExitKind::ErrorStall));
    assert_eq!((ExitKind::from_value(2), ExitKind::ErrorStall.reason()), (None, "runnable task stall"));
    assert!(ExitKind::Error.is_error() && !ExitKind::UnregKern.is_error());
}

#[test]
fn exit_message_fits_the_kernels_buffer() {
    let msg = ExitInfo::new(ExitKind::Error, 0).with_msg("ä".repeat(600)).msg;
    assert_eq!(msg.len(), 1022); // 1023 would cut a character
}

#[test]
fn scx_weights_are_the_references() {
    const WANT: [u32; 40] = [
        8668, 7007, 5516, 4519, 3544, 2847, 2271, 1827, 1460, 1164, 932, 744, 596, 479, 381, 305, 244, 194,
        155, 125, 100, 80, 64, 51, 41, 33, 27, 21, 17, 13, 11, 8, 7, 5, 4, 4, 3, 2, 2, 1,
    ];
    let got: Vec<_> = (-20..20).map(task::nice_to_scx_weight).collect();
    assert_eq!(got, WANT);
    assert_eq!(task::load_weight_to_scx(task::WEIGHT_IDLEPRIO), 1);
    assert_eq!(task::load_weight_to_scx(u32::MAX), 10_000);
}

#[test]
fn kconfig_is_readable_by_libbpf() {
    let text = kconfig::kconfig_text();
    assert!(text.contains("CONFIG_HZ=250\n") && text.contains("CONFIG_LOCALVERSION=\"\"\n"));
    assert_eq!(kconfig::kconfig("CONFIG_PREEMPT_RCU"), Some(kconfig::KconfigValue::Yes));
    assert_eq!(kconfig::kconfig("CONFIG_PREEMPT_RT"), None);
    assert_eq!(kconfig::LINUX_KERNEL_VERSION, 0x0007_0304);
    assert!(kconfig::KCONFIG.is_sorted_by_key(|(name, _)| *name));
}

#[test]
fn flags_print_by_name() {
    assert_eq!(format!("{:?}", EnqFlags::WAKEUP | EnqFlags::LAST), "EnqFlags(WAKEUP | LAST)");
    assert_eq!(OpsFlags::all().difference(OpsFlags::HAS_CPU_PREEMPT).bits(), SCX_OPS_ALL_FLAGS);
    assert_eq!(bpf::name_of(bpf::COMMANDS, bpf::BPF_LINK_CREATE), Some("BPF_LINK_CREATE"));
    assert_eq!(bpf::name_of(bpf::MAP_TYPES, 33), Some("BPF_MAP_TYPE_ARENA"));
}
