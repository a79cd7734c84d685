//! Every kfunc of 7.3 that schedulers use, and the older names: there or said not to be, and callable where 7.3 lets it be called.
#![cfg(feature = "bpf")]

use std::collections::BTreeSet;

use sextant_abi::tables::{KFUNCS, KfuncGroups, KfuncId, OLD_NAMES, Op};
use sextant_sched::bpf::has_kfunc;

/// Names by where they may be called (semantics §2.1): A anywhere, I idle, S select-cpu, E enqueue, D dispatch, R cpu_release, U unlocked, C
/// cids, O init_cids; - not from the cid form; * not in Sextant.
const SCX: &str = "
    A-  kick_cpu task_cpu cpu_curr cpuperf_cap cpuperf_cur cpuperf_set get_possible_cpumask get_online_cpumask put_cpumask
    A   destroy_dsq dsq_nr_queued dsq_peek dsq_reenq reenqueue_local___v2 task_set_slice task_set_dsq_vtime nr_node_ids nr_cpu_ids
    A   task_running locked_rq tid_to_task now events task_cgroup exit_bstr error_bstr dump_bstr
    A   this_cid task_cid cid_curr kick_cid cidperf_cap cidperf_cur cidperf_set nr_cids nr_online_cids online_cmask
    A*  sub_grant sub_revoke sub_caps sub_kill_bstr
    C   cid_to_cpu cpu_to_cid cid_topo
    I-  get_idle_cpumask get_idle_smtmask get_idle_cpumask_node get_idle_smtmask_node put_idle_cpumask test_and_clear_cpu_idle
    I-  pick_idle_cpu pick_any_cpu pick_idle_cpu_node pick_any_cpu_node cpu_node
    SU- select_cpu_dfl select_cpu_and
    E   dsq_insert dsq_insert___v2 dsq_insert_vtime
    D   dispatch_nr_slots dispatch_cancel dsq_move_to_local dsq_move_to_local___v2
    D*  sub_dispatch
    DU  dsq_move dsq_move_vtime dsq_move_set_slice dsq_move_set_vtime
    R   reenqueue_local
    U   create_dsq
    O*  cid_override
";

/// The same for those whose names do not begin with `scx_bpf_`.
const OTHER: &str = "
    E   __scx_bpf_dsq_insert_vtime
    SU- __scx_bpf_select_cpu_and
    A   bpf_iter_scx_dsq_new bpf_iter_scx_dsq_next bpf_iter_scx_dsq_destroy
";

/// The BPF core's (§2.6).
const CORE: &str = "
    bpf_task_from_pid bpf_task_from_vpid bpf_task_acquire bpf_task_release bpf_cgroup_from_id bpf_cgroup_acquire bpf_cgroup_release
    bpf_cgroup_ancestor bpf_cpumask_create bpf_cpumask_acquire bpf_cpumask_release bpf_cpumask_first bpf_cpumask_first_zero
    bpf_cpumask_first_and bpf_cpumask_set_cpu bpf_cpumask_clear_cpu bpf_cpumask_test_cpu bpf_cpumask_test_and_set_cpu
    bpf_cpumask_test_and_clear_cpu bpf_cpumask_setall bpf_cpumask_clear bpf_cpumask_and bpf_cpumask_or bpf_cpumask_xor bpf_cpumask_copy
    bpf_cpumask_equal bpf_cpumask_intersects bpf_cpumask_subset bpf_cpumask_empty bpf_cpumask_full bpf_cpumask_weight
    bpf_cpumask_any_distribute bpf_cpumask_any_and_distribute bpf_cpumask_populate bpf_rcu_read_lock bpf_rcu_read_unlock
    bpf_preempt_disable bpf_preempt_enable bpf_local_irq_save bpf_local_irq_restore bpf_res_spin_lock bpf_res_spin_unlock
    bpf_res_spin_lock_irqsave bpf_res_spin_unlock_irqrestore bpf_wq_init bpf_wq_start bpf_obj_new bpf_obj_drop bpf_refcount_acquire
    bpf_list_push_front bpf_list_push_back bpf_list_pop_front bpf_list_pop_back bpf_rbtree_add bpf_rbtree_remove bpf_rbtree_first
    bpf_iter_num_new bpf_iter_num_next bpf_iter_num_destroy bpf_iter_bits_new bpf_iter_bits_next bpf_iter_bits_destroy bpf_iter_css_new
    bpf_iter_css_next bpf_iter_css_destroy bpf_arena_alloc_pages bpf_arena_free_pages
";

/// Names of 6.12 that later kernels changed (§8.1).
const OLD: [(&str, &str); 7] = [
    ("scx_bpf_dispatch", "scx_bpf_dsq_insert"),
    ("scx_bpf_dispatch_vtime", "scx_bpf_dsq_insert_vtime"),
    ("scx_bpf_consume", "scx_bpf_dsq_move_to_local"),
    ("scx_bpf_dispatch_from_dsq", "scx_bpf_dsq_move"),
    ("scx_bpf_dispatch_vtime_from_dsq", "scx_bpf_dsq_move_vtime"),
    ("scx_bpf_dispatch_from_dsq_set_slice", "scx_bpf_dsq_move_set_slice"),
    ("scx_bpf_dispatch_from_dsq_set_vtime", "scx_bpf_dsq_move_set_vtime"),
];

struct Row {
    name: String,
    groups: KfuncGroups,
    there: bool,
}

fn rows() -> Vec<Row> {
    let parse = |text: &'static str, prefix: &'static str| {
        text.lines().filter(|line| !line.trim().is_empty()).flat_map(move |line| {
            let mut words = line.split_whitespace();
            let code = words.next().expect("a code");
            words.map(move |name| Row {
                name: format!("{prefix}{name}"),
                groups: code.chars().map(group).fold(KfuncGroups::empty(), KfuncGroups::union),
                there: !code.contains('*'),
            })
        })
    };
    parse(SCX, "scx_bpf_").chain(parse(OTHER, "")).collect()
}

fn group(code: char) -> KfuncGroups {
    match code {
        'A' => KfuncGroups::ANY,
        'I' => KfuncGroups::IDLE,
        'C' => KfuncGroups::CID,
        'S' => KfuncGroups::SELECT_CPU,
        'E' => KfuncGroups::ENQUEUE_DISPATCH,
        'D' => KfuncGroups::DISPATCH,
        'R' => KfuncGroups::CPU_RELEASE,
        'U' => KfuncGroups::UNLOCKED,
        'O' => KfuncGroups::INIT_CIDS,
        '-' => KfuncGroups::CPU_FORM,
        _ => KfuncGroups::empty(),
    }
}

#[test]
fn every_kfunc_of_the_class_is_there_and_allowed_where_the_kernel_allows_it() {
    let mut named = BTreeSet::new();
    for row in rows() {
        let id = KfuncId::from_name(&row.name).unwrap_or_else(|| panic!("{} is in no table", row.name));
        assert_eq!(id.info().groups, row.groups, "{}", row.name);
        assert_eq!(has_kfunc(&row.name), row.there, "{}", row.name);
        assert!(named.insert(row.name.clone()), "{} is named twice", row.name);
    }
    let ours = KFUNCS.iter().filter(|k| k.name.contains("scx_"));
    let current = ours.filter(|k| KfuncId::from_name(k.name).is_some_and(KfuncId::is_current));
    let missing: Vec<&str> = current.map(|k| k.name).filter(|name| !named.contains(*name)).collect();
    assert!(missing.is_empty(), "not in this test's lists: {missing:?}");
}

#[test]
fn every_kfunc_of_the_bpf_core_is_there() {
    for name in CORE.split_whitespace() {
        assert!(has_kfunc(name), "{name}");
        let id = KfuncId::from_name(name).expect("in a table");
        assert_eq!(id.info().groups, KfuncGroups::CORE, "{name}");
    }
}

#[test]
fn old_names_mean_the_new_ones() {
    for (old, new) in OLD {
        assert!(has_kfunc(old), "{old}");
        let [old, new] = [old, new].map(|name| KfuncId::from_name(name).expect("in a table"));
        assert_eq!(old.canonical(), new);
        assert!(!old.is_current());
        assert_eq!(old.info().groups, new.info().groups);
    }
    assert_eq!(OLD_NAMES.len(), OLD.len());
    // Gone without a successor of the same arguments.
    assert!(has_kfunc("scx_bpf_cpu_rq") && has_kfunc("scx_bpf_switch_all"));
}

/// Which groups each op may call from, by the table of §2.1.
#[test]
fn ops_allow_what_the_kernel_lets_them() {
    let unlocked = [
        Op::InitTask,
        Op::Dump,
        Op::CgroupInit,
        Op::CgroupExit,
        Op::CgroupPrepMove,
        Op::CgroupCancelMove,
        Op::CgroupSetWeight,
        Op::CgroupSetBandwidth,
        Op::CgroupSetIdle,
        Op::SubAttach,
        Op::SubDetach,
        Op::CpuOnline,
        Op::CpuOffline,
        Op::InitCids,
        Op::Init,
        Op::Exit,
    ];
    for &op in Op::ALL {
        let may =
            |name: &str| KfuncId::from_name(name).is_some_and(|id| id.info().allowed_in(op.desc().groups));
        let name = op.name();
        assert!(
            may("scx_bpf_kick_cpu") && may("scx_bpf_pick_idle_cpu") && may("scx_bpf_cid_to_cpu"),
            "{name}"
        );
        let u = unlocked.contains(&op);
        assert_eq!(may("scx_bpf_create_dsq"), u, "{name}");
        let enqueue = matches!(op, Op::SelectCpu | Op::Enqueue);
        assert_eq!(may("scx_bpf_select_cpu_dfl"), enqueue || u, "{name}");
        let dispatch = matches!(op, Op::Dispatch | Op::SubEcapsUpdated);
        assert_eq!(may("scx_bpf_dsq_insert"), enqueue || dispatch, "{name}");
        assert_eq!(may("scx_bpf_dsq_move_to_local"), dispatch, "{name}");
        assert_eq!(may("scx_bpf_dsq_move"), dispatch || u, "{name}");
        assert_eq!(may("scx_bpf_reenqueue_local"), op == Op::CpuRelease, "{name}");
        assert_eq!(may("scx_bpf_cid_override"), op == Op::InitCids, "{name}");
    }
}
