//! Every message of 7.3 that can end a scheduler here, word for word, each with what provokes it (semantics §5). What cannot happen
//! here is listed with the reason.

use sextant_abi::exit::ExitKind;
use sextant_abi::types::*;
use sextant_abi::{CpuId, DsqId};

use super::*;
use crate::topology::Shape;

/// Its template in the kernel, what ours says, its kind, what provokes it.
struct Row {
    template: &'static str,
    says: &'static str,
    kind: ExitKind,
    provoke: fn(&mut Machine),
}

const fn row(template: &'static str, says: &'static str, provoke: fn(&mut Machine)) -> Row {
    Row { template, says, kind: ExitKind::Error, provoke }
}

/// Loads it, has `a` run and `b` wait on a machine of two CPUs, then wakes `c`.
fn wakes(m: &mut Machine, probe: Probe) {
    m.load(probe);
    let c = m.sleeper("c", 0);
    m.fork("a", 0);
    m.fork("b", 0);
    m.wake(c, 0);
}

/// `f` on each wakeup, in ops.select_cpu.
fn in_select_cpu(m: &mut Machine, f: fn(&mut Sched, TaskId)) {
    let mut probe = Probe::queueing();
    probe.select_cpu = Box::new(move |s, p, prev, flags| {
        if flags & SCX_WAKE_TTWU != 0 {
            f(s, p);
        }
        prev.0 as i32
    });
    wakes(m, probe);
}

/// `f` in each ops.dispatch.
fn in_dispatch(m: &mut Machine, f: fn(&mut Sched)) {
    let mut probe = Probe::queueing();
    probe.dispatch = Box::new(move |s, _, _| f(s));
    m.load(probe);
    m.fork("a", 0);
}

/// `f` outside of any op, in a loaded scheduler.
fn outside(m: &mut Machine, f: fn(&mut Sched)) {
    m.load(Probe::queueing());
    m.s.enter(CpuId(0), m.s.now);
    f(&mut m.s);
}

/// All tasks go there from ops.enqueue.
fn enqueues_to(m: &mut Machine, dsq: DsqId) {
    let mut probe = Probe::queueing();
    probe.enqueue = Box::new(move |s, p, flags| {
        s.kf_scx_bpf_dsq_insert(Some(p), dsq, SCX_SLICE_DFL, flags);
    });
    wakes(m, probe);
}

fn local_on(cpu: u64) -> DsqId {
    DsqId(DsqId::LOCAL_ON.0 | cpu)
}

/// A user DSQ that gets one task by vtime and one in order of arrival.
fn mixed(m: &mut Machine, vtime_first: bool) {
    let mut probe = Probe::queueing();
    let count = std::cell::Cell::new(0u32);
    probe.dispatch = Box::new(|_, _, _| ());
    probe.enqueue = Box::new(move |s, p, flags| {
        count.set(count.get() + 1);
        if (count.get() == 1) == vtime_first {
            s.kf_scx_bpf_dsq_insert_vtime(Some(p), Q, SCX_SLICE_DFL, 1, flags);
        } else {
            s.kf_scx_bpf_dsq_insert(Some(p), Q, SCX_SLICE_DFL, flags);
        }
    });
    m.load(probe);
    m.fork("a", 0);
    m.fork("b", 0);
}

fn fails_to_load(m: &mut Machine, f: fn(&mut Probe)) {
    m.fork("x", 0);
    let mut probe = Probe::queueing();
    f(&mut probe);
    m.load(probe);
}

fn hotplug(m: &mut Machine) {
    let mut probe = Probe::queueing();
    probe.without.extend([Op::CpuOnline, Op::CpuOffline]);
    m.load(probe);
    m.s.enter(CpuId(1), m.s.now);
    m.s.cpu_deactivate(CpuId(1)).unwrap();
}

fn mask(s: &Sched) -> Cpumask {
    Cpumask::at(s.tasks[s.rqs[0].idle].ts.cpus_ptr().get(&*s.mem))
}

const ROWS: &[Row] = &[
    row("invalid CPU %d", "invalid CPU -1", |m| outside(m, |s| s.kf_scx_bpf_kick_cpu(-1, 0))),
    row("invalid CPU %d from ops.select_cpu()", "invalid CPU 64 from ops.select_cpu()", |m| {
        let mut probe = Probe::queueing();
        probe.select_cpu =
            Box::new(|_, _, prev, flags| if flags & SCX_WAKE_TTWU != 0 { 64 } else { prev.0 as i32 });
        wakes(m, probe);
    }),
    row(
        "invalid CPU %d in SCX_DSQ_LOCAL_ON dispatch verdict",
        "invalid CPU 9 in SCX_DSQ_LOCAL_ON dispatch verdict",
        |m| enqueues_to(m, local_on(9)),
    ),
    row("invalid cid %d", "invalid cid 2", |m| {
        outside(m, |s| s.kf_scx_bpf_kick_cid(2, 0));
    }),
    row("ops.%s() returned an invalid errno %d", "ops.init() returned an invalid errno 5", |m| {
        fails_to_load(m, |probe| probe.init = Box::new(|_| 5));
    }),
    row("called on a task not being operated on", "called on a task not being operated on", |m| {
        in_select_cpu(m, |s, _| {
            let other = s.rqs[0].curr;
            s.kf_scx_bpf_task_cgroup(other);
        });
    }),
    row("DSQ 0x%llx not allowed for reenq", "DSQ 0x8000000000000001 not allowed for reenq", |m| {
        outside(m, |s| s.kf_scx_bpf_dsq_reenq(DsqId::GLOBAL, 0));
    }),
    row("invalid SCX_REENQ flags 0x%llx", "invalid SCX_REENQ flags 0x100", |m| {
        outside(m, |s| s.kf_scx_bpf_dsq_reenq(Q, 0x100));
    }),
    row("cannot use vtime ordering for built-in DSQs", "cannot use vtime ordering for built-in DSQs", |m| {
        in_select_cpu(m, |s, p| {
            s.kf_scx_bpf_dsq_insert_vtime(Some(p), DsqId::LOCAL, 0, 1, 0);
        });
    }),
    row(
        "DSQ ID 0x%016llx already had FIFO-enqueued tasks",
        "DSQ ID 0x0000000000000007 already had FIFO-enqueued tasks",
        |m| mixed(m, false),
    ),
    row(
        "DSQ ID 0x%016llx already had PRIQ-enqueued tasks",
        "DSQ ID 0x0000000000000007 already had PRIQ-enqueued tasks",
        |m| mixed(m, true),
    ),
    row("non-existent DSQ 0x%llx", "non-existent DSQ 0xbeef", |m| enqueues_to(m, DsqId(0xbeef))),
    row("%s[%d] already direct-dispatched", "c[1000] already direct-dispatched", |m| {
        in_select_cpu(m, |s, p| {
            s.kf_scx_bpf_dsq_insert(Some(p), DsqId::LOCAL, 0, 0);
            s.kf_scx_bpf_dsq_insert(Some(p), DsqId::LOCAL, 0, 0);
        });
    }),
    row(
        "scheduling for %s[%d] but trying to direct-dispatch %s[%d]",
        "scheduling for c[1000] but trying to direct-dispatch a[1001]",
        |m| {
            in_select_cpu(m, |s, _| {
                let other = s.rqs[0].curr;
                s.kf_scx_bpf_dsq_insert(Some(other), DsqId::LOCAL, 0, 0);
            });
        },
    ),
    Row {
        template: "%s[%d] reenqueued %u times without running",
        says: "b[1001] reenqueued 257 times without running",
        kind: ExitKind::ErrorReenq,
        provoke: |m| {
            let mut probe = Probe::queueing();
            probe.enqueue = Box::new(|s, p, _| {
                s.kf_scx_bpf_dsq_insert(Some(p), DsqId::LOCAL, SCX_SLICE_DFL, SCX_ENQ_IMMED);
            });
            m.load(probe);
            m.fork("a", 0);
            m.fork("b", 0);
            m.run_ms(8);
        },
    },
    row(
        "SCX_DSQ_LOCAL[_ON] cannot move migration disabled %s[%d] from CPU %d to %d",
        "SCX_DSQ_LOCAL[_ON] cannot move migration disabled b[1001] from CPU 0 to 1",
        |m| {
            let mut probe = Probe::queueing();
            probe.params.flags = SCX_OPS_ENQ_MIGRATION_DISABLED;
            m.load(probe);
            m.fork("a", 0);
            let b = m.fork("b", 0);
            m.s.tasks[b].migration_disabled = 1;
            let it = m.s.kf_bpf_iter_scx_dsq_new(Q, 0).expect("an iterator");
            m.s.kf_bpf_iter_scx_dsq_next(it);
            m.s.kf_scx_bpf_dsq_move(it, b, local_on(1), 0);
        },
    ),
    row(
        "SCX_DSQ_LOCAL[_ON] target CPU %d not allowed for %s[%d]",
        "SCX_DSQ_LOCAL[_ON] target CPU 1 not allowed for p[1000]",
        |m| {
            let mut probe = Probe::queueing();
            probe.enqueue = Box::new(|s, p, _| {
                s.kf_scx_bpf_dsq_insert(Some(p), local_on(1), 0, 0);
            });
            m.load(probe);
            m.fork_attr(&TaskAttr { cpus: Some(vec![CpuId(0)]), ..Machine::attr("p") }, 0);
        },
    ),
    Row {
        template: "cpu %d going %s, exiting scheduler",
        says: "cpu 1 going offline, exiting scheduler",
        kind: ExitKind::UnregKern,
        provoke: hotplug,
    },
    Row {
        template: "%s[%d] failed to run for %u.%03us",
        says: "a[1000] failed to run for 1.500s",
        kind: ExitKind::ErrorStall,
        provoke: |m| {
            let mut probe = Probe::queueing();
            probe.params.timeout_ms = 1000;
            probe.dispatch = Box::new(|_, _, _| ());
            m.load(probe);
            m.fork("a", 0);
            m.run_ms(1600);
        },
    },
    Row {
        template: "watchdog failed to check in for %u.%03us",
        says: "watchdog failed to check in for 0.200s",
        kind: ExitKind::ErrorStall,
        provoke: |m| {
            let mut probe = Probe::queueing();
            probe.params.timeout_ms = 100;
            m.load(probe);
            m.fork("a", 0);
            m.advance_ms(200);
            m.tick(0);
        },
    },
    row(
        "ops.init_task() set task->scx.disallow for %s[%d] during fork",
        "ops.init_task() set task->scx.disallow for p[1000] during fork",
        |m| {
            let mut probe = Probe::queueing();
            probe.init_task = Box::new(|s, p, fork| {
                s.scx(p).disallow().set(&*s.mem, fork);
                0
            });
            m.load(probe);
            m.fork("p", 0);
        },
    ),
    row(
        "attempting to destroy in-use dsq 0x%016llx (nr=%u)",
        "attempting to destroy in-use dsq 0x0000000000000007 (nr=1)",
        |m| {
            m.load(Probe::queueing());
            m.fork("a", 0);
            m.fork("b", 0);
            m.s.kf_scx_bpf_destroy_dsq(Q);
        },
    ),
    row("ops.cgroup_init() failed (%d)", "ops.cgroup_init() failed (-12)", |m| {
        fails_to_load(m, |probe| probe.cgroup_init = Box::new(|_, _| -12));
    }),
    row("ops.init_task() failed (%d) for %s[%d]", "ops.init_task() failed (-12) for x[1000]", |m| {
        fails_to_load(m, |probe| probe.init_task = Box::new(|_, _, _| -12));
    }),
    row("ops.init_cids() failed (%d)", "ops.init_cids() failed (-12)", |m| {
        fails_to_load(m, |probe| {
            probe.params.cid_form = true;
            probe.init_cids = Box::new(|_| -12);
        });
    }),
    row("ops.init() failed (%d)", "ops.init() failed (-12)", |m| {
        fails_to_load(m, |probe| probe.init = Box::new(|_| -12));
    }),
    row("scx_root_enable() failed (%d)", "scx_root_enable() failed (-16)", |m| {
        let second = 1_000_000_000;
        for cpu in 0..2 {
            m.s.dl_server_apply_params(CpuId(cpu), Server::Fair, second * 92 / 100, second).unwrap();
        }
        m.load(Probe::queueing());
    }),
    Row {
        template: "expected hotplug seq %llu did not match actual %llu",
        says: "expected hotplug seq 7 did not match actual 0",
        kind: ExitKind::UnregKern,
        provoke: |m| fails_to_load(m, |probe| probe.params.hotplug_seq = 7),
    },
    row(
        "SCX_OPS_ENQ_LAST requires ops.enqueue() to be implemented",
        "SCX_OPS_ENQ_LAST requires ops.enqueue() to be implemented",
        |m| {
            fails_to_load(m, |probe| {
                probe.params.flags = SCX_OPS_ENQ_LAST;
                probe.without.push(Op::Enqueue);
            });
        },
    ),
    row(
        "SCX_OPS_BUILTIN_IDLE_PER_NODE requires CPU idle selection enabled",
        "SCX_OPS_BUILTIN_IDLE_PER_NODE requires CPU idle selection enabled",
        |m| {
            fails_to_load(m, |probe| {
                probe.params.flags = SCX_OPS_BUILTIN_IDLE_PER_NODE;
                probe.without.retain(|&op| op != Op::UpdateIdle);
            });
        },
    ),
    row(
        "sub_attach/sub_detach requires cid-form struct_ops",
        "sub_attach/sub_detach requires cid-form struct_ops",
        |m| fails_to_load(m, |probe| probe.without.retain(|&op| op != Op::SubAttach)),
    ),
    row("invalid enq_flags 0x%llx", "invalid enq_flags 0x8000000000000000", |m| {
        in_select_cpu(m, |s, p| {
            s.kf_scx_bpf_dsq_insert(Some(p), DsqId::LOCAL, 0, 1 << 63);
        });
    }),
    row("SCX_ENQ_IMMED on a non-local DSQ 0x%llx", "SCX_ENQ_IMMED on a non-local DSQ 0x7", |m| {
        in_select_cpu(m, |s, p| {
            s.kf_scx_bpf_dsq_insert(Some(p), Q, 0, SCX_ENQ_IMMED);
        });
    }),
    row("SCX_ENQ_RESCUE on a non-local DSQ 0x%llx", "SCX_ENQ_RESCUE on a non-local DSQ 0x7", |m| {
        in_select_cpu(m, |s, p| {
            s.kf_scx_bpf_dsq_insert(Some(p), Q, 0, SCX_ENQ_RESCUE);
        });
    }),
    row("called with NULL task", "called with NULL task", |m| {
        in_select_cpu(m, |s, _| {
            s.kf_scx_bpf_dsq_insert(None, DsqId::LOCAL, 0, 0);
        });
    }),
    row("dispatch buffer overflow", "dispatch buffer overflow", |m| {
        in_dispatch(m, |s| {
            if let Some(p) = s.kf_scx_bpf_dsq_peek(Q) {
                for _ in 0..=SCX_DSP_DFL_MAX_BATCH {
                    s.kf_scx_bpf_dsq_insert(Some(p), DsqId::LOCAL, 0, 0);
                }
            }
        });
    }),
    row("dispatch buffer underflow", "dispatch buffer underflow", |m| {
        in_dispatch(m, |s| s.kf_scx_bpf_dispatch_cancel());
    }),
    row("invalid DSQ ID 0x%016llx", "invalid DSQ ID 0x0000000000000063", |m| {
        in_dispatch(m, |s| {
            s.kf_scx_bpf_dsq_move_to_local(DsqId(0x63), 0);
        });
    }),
    row(
        "PREEMPT/WAIT cannot be used with SCX_KICK_IDLE",
        "PREEMPT/WAIT cannot be used with SCX_KICK_IDLE",
        |m| outside(m, |s| s.kf_scx_bpf_kick_cpu(0, SCX_KICK_IDLE | SCX_KICK_WAIT)),
    ),
    row("peek disallowed on builtin DSQ 0x%llx", "peek disallowed on builtin DSQ 0x8000000000000002", |m| {
        outside(m, |s| {
            s.kf_scx_bpf_dsq_peek(DsqId::LOCAL);
        });
    }),
    row("peek on non-existent DSQ 0x%llx", "peek on non-existent DSQ 0x63", |m| {
        outside(m, |s| {
            s.kf_scx_bpf_dsq_peek(DsqId(0x63));
        });
    }),
    row(
        "scx_bpf_dump() must only be called from ops.dump() and friends",
        "scx_bpf_dump() must only be called from ops.dump() and friends",
        |m| outside(m, |s| assert_eq!(s.kf_scx_bpf_dump_room(), None)),
    ),
    row("Invalid cpuperf target %u for CPU %d", "Invalid cpuperf target 1025 for CPU 0", |m| {
        outside(m, |s| s.kf_scx_bpf_cpuperf_set(0, 1025));
    }),
    row("Invalid target CPU %d", "Invalid target CPU 1", |m| {
        let mut probe = Probe::queueing();
        probe.enqueue = Box::new(|s, _, _| s.kf_scx_bpf_cpuperf_set(1, 512));
        m.load(probe);
        m.fork("a", 0);
    }),
    row("accessing rq without holding rq lock", "accessing rq without holding rq lock", |m| {
        outside(m, |s| {
            s.kf_scx_bpf_locked_rq();
        });
    }),
    row(
        "scx_bpf_tid_to_task() called without SCX_OPS_TID_TO_TASK",
        "scx_bpf_tid_to_task() called without SCX_OPS_TID_TO_TASK",
        |m| {
            outside(m, |s| {
                s.kf_scx_bpf_tid_to_task(1);
            });
        },
    ),
    row("per-node idle tracking is disabled", "per-node idle tracking is disabled", |m| {
        outside(m, |s| {
            s.kf_scx_bpf_get_idle_cpumask_node(0);
        });
    }),
    row("invalid node %d", "invalid node 3", |m| {
        per_node(m);
        m.s.kf_scx_bpf_get_idle_cpumask_node(3);
    }),
    row("per-node idle tracking is enabled", "per-node idle tracking is enabled", |m| {
        per_node(m);
        let all = mask(&m.s);
        m.s.kf_scx_bpf_pick_idle_cpu(all, 0);
    }),
    row("SCX_OPS_BUILTIN_IDLE_PER_NODE enabled", "SCX_OPS_BUILTIN_IDLE_PER_NODE enabled", |m| {
        per_node(m);
        m.s.kf_scx_bpf_get_idle_cpumask();
    }),
    row("built-in idle tracking is disabled", "built-in idle tracking is disabled", |m| {
        let mut probe = Probe::queueing();
        probe.without.retain(|&op| op != Op::UpdateIdle);
        m.load(probe);
        m.s.kf_scx_bpf_test_and_clear_cpu_idle(0);
    }),
    row(
        "select_cpu kfunc called cross-task on %s[%d]",
        "select_cpu kfunc called cross-task on other[1000]",
        |m| {
            let mut probe = Probe::queueing();
            probe.enqueue = Box::new(|s, p, _| {
                let other = s.tasks.from_pid(1000).expect("the first");
                if p != other {
                    s.kf_scx_bpf_select_cpu_dfl(other, 0, 0);
                }
            });
            m.load(probe);
            m.fork("other", 1);
            m.fork("b", 0);
        },
    ),
];

fn per_node(m: &mut Machine) {
    m.s.set_topology(Shape { nodes: 2, llcs: 1, cores: 1, threads: 1 });
    let mut probe = Probe::queueing();
    probe.params.flags = SCX_OPS_BUILTIN_IDLE_PER_NODE;
    m.load(probe);
}

/// Messages of 7.3 that nothing here can provoke, and why. `exit message formatting failed (%d)` and `soft lockup - CPU %d stuck for %us` need
/// programs: `tests/report.rs` here, `tests/exits.rs` of `sextant`.
const NEVER: &[(&str, &str)] = &[
    ("attempting to dispatch to a destroyed dsq", "a race: an entry is atomic"),
    ("%s recursion detected", "sub-schedulers only, and private stacks"),
    ("scx_bpf_kick_cpu() called from NMI", "no NMI"),
    ("hard lockup - CPU %d", "a budget ends programs before"),
    ("RCU CPU stall on CPUs (%list)", "a budget ends programs before"),
    ("unavailable node %d", "every node has CPUs"),
    ("ops.init_task() set task->scx.disallow for %s[%d] outside the enable path", "sub-schedulers only"),
    ("invalid data=%p and data__sz=%u", "of scx_bpf_dump() alone, when the exit is claimed"),
    ("failed to read data fields (%d)", "the same"),
    ("format preparation failed (%d)", "the same"),
    ("(\"%s\", %p, %u) failed to format", "the same"),
    ("cid %d assigned to multiple cpus", "no scx_bpf_cid_override"),
    (
        "scx_bpf_dsq_move[_vtime]() on %s[%d] but the task belongs to a different scheduler",
        "sub-schedulers only",
    ),
    ("__scx_bpf_dsq_insert_vtime() must be used", "sub-schedulers only"),
    ("__scx_bpf_select_cpu_and() must be used", "sub-schedulers only"),
];

#[test]
fn every_message() {
    for r in ROWS {
        let mut m = Machine::new(2);
        (r.provoke)(&mut m);
        m.settle();
        let info = m.s.ext.exit_info();
        let info = info.unwrap_or_else(|| panic!("{}: nothing happened", r.template));
        assert_eq!((info.kind, info.msg.as_str()), (r.kind, r.says), "{}", r.template);
        assert!(fits(r.template, r.says), "{} is not of the form {}", r.says, r.template);
        m.s.check_invariants();
    }
    let mut templates: Vec<&str> = ROWS.iter().map(|r| r.template).chain(NEVER.iter().map(|n| n.0)).collect();
    templates.sort_unstable();
    let all = templates.len();
    templates.dedup();
    assert_eq!(templates.len(), all, "a message is listed twice");
}

/// Whether `text` is what the printf format can give: the words between its conversions, in order.
fn fits(template: &str, text: &str) -> bool {
    let mut rest = text;
    let mut words = template.split('%');
    let first = words.next().unwrap_or_default();
    let Some(tail) = rest.strip_prefix(first) else { return false };
    rest = tail;
    for word in words {
        // A conversion ends with its letter.
        let end = word.find(|c: char| "dsuxi".contains(c)).map_or(word.len(), |at| at + 1);
        let literal = &word[end..];
        let Some(at) = rest.find(literal) else { return false };
        rest = &rest[at + literal.len()..];
    }
    template.ends_with(|c: char| "dsux".contains(c)) || rest.is_empty()
}
