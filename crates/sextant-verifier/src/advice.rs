//! What to try, for this very program: names the function to call or the op to use where the code's own advice speaks of several.

use crate::diag::{Code, Rejection, Step};

/// Who acquires, who releases.
const RELEASES: &[(&str, &str)] = &[
    ("bpf_task_acquire", "bpf_task_release()"),
    ("bpf_task_from_pid", "bpf_task_release()"),
    ("bpf_task_from_vpid", "bpf_task_release()"),
    ("scx_bpf_task_cgroup", "bpf_cgroup_release()"),
    ("bpf_task_get_cgroup1", "bpf_cgroup_release()"),
    ("bpf_cgroup_acquire", "bpf_cgroup_release()"),
    ("bpf_cgroup_ancestor", "bpf_cgroup_release()"),
    ("bpf_cgroup_from_id", "bpf_cgroup_release()"),
    ("bpf_cpumask_create", "bpf_cpumask_release()"),
    ("bpf_cpumask_acquire", "bpf_cpumask_release()"),
    ("scx_bpf_get_possible_cpumask", "scx_bpf_put_cpumask()"),
    ("scx_bpf_get_online_cpumask", "scx_bpf_put_cpumask()"),
    ("scx_bpf_get_idle_cpumask", "scx_bpf_put_idle_cpumask()"),
    ("scx_bpf_get_idle_cpumask_node", "scx_bpf_put_idle_cpumask()"),
    ("scx_bpf_get_idle_smtmask", "scx_bpf_put_idle_cpumask()"),
    ("scx_bpf_get_idle_smtmask_node", "scx_bpf_put_idle_cpumask()"),
    ("bpf_obj_new", "bpf_obj_drop()"),
    ("bpf_obj_new_impl", "bpf_obj_drop()"),
    ("bpf_percpu_obj_new_impl", "bpf_percpu_obj_drop()"),
    ("bpf_refcount_acquire_impl", "bpf_obj_drop()"),
    ("bpf_list_pop_front", "bpf_obj_drop()"),
    ("bpf_list_pop_back", "bpf_obj_drop()"),
    ("bpf_rbtree_remove", "bpf_obj_drop()"),
    ("bpf_kptr_xchg", "the function that releases objects of its type"),
    ("bpf_ringbuf_reserve", "bpf_ringbuf_submit() or bpf_ringbuf_discard()"),
    ("bpf_ringbuf_reserve_dynptr", "bpf_ringbuf_submit_dynptr() or bpf_ringbuf_discard_dynptr()"),
];

/// What a call needs that is made where it may not be.
const PLACES: &[(&str, &str)] = &[
    (
        "scx_bpf_create_dsq",
        "create the queue in ops.init, with BPF_STRUCT_OPS_SLEEPABLE(), and use its id here",
    ),
    ("scx_bpf_dsq_insert", "insert the task in ops.enqueue (or in ops.select_cpu, or in ops.dispatch)"),
    ("scx_bpf_dispatch", "insert the task in ops.enqueue (or in ops.select_cpu, or in ops.dispatch)"),
    (
        "__scx_bpf_dsq_insert_vtime",
        "insert the task in ops.enqueue (or in ops.select_cpu, or in ops.dispatch)",
    ),
    (
        "scx_bpf_dsq_move_to_local",
        "move tasks to the CPU in ops.dispatch, which is called when it has nothing to do",
    ),
    ("scx_bpf_consume", "move tasks to the CPU in ops.dispatch, which is called when it has nothing to do"),
    ("scx_bpf_dispatch_nr_slots", "ask in ops.dispatch"),
    ("scx_bpf_dispatch_cancel", "take it back in ops.dispatch"),
    ("scx_bpf_select_cpu_dfl", "ask for a CPU in ops.select_cpu or ops.enqueue"),
    ("scx_bpf_select_cpu_and", "ask for a CPU in ops.select_cpu or ops.enqueue"),
    ("__scx_bpf_select_cpu_and", "ask for a CPU in ops.select_cpu or ops.enqueue"),
];

impl Rejection {
    /// What to try.
    pub fn advice(&self) -> String {
        let concrete = match self.code {
            Code::RefLeak => self.release(),
            Code::KfuncDenied => self.place(),
            Code::NullDeref | Code::ArgNull => self.test(),
            Code::ObjWrite => self.setter(),
            _ => None,
        };
        concrete.unwrap_or_else(|| self.code.advice().to_owned())
    }

    fn release(&self) -> Option<String> {
        let acquired = self.steps().filter_map(called).find_map(|name| {
            let iterator = name.strip_prefix("bpf_iter_").and_then(|rest| rest.strip_suffix("_new"));
            match iterator {
                Some(kind) => Some((name, format!("bpf_iter_{kind}_destroy()"))),
                None => RELEASES.iter().find(|(who, _)| *who == name).map(|(_, by)| (name, by.to_string())),
            }
        });
        let (name, by) = acquired?;
        Some(format!("On every way out give back what {name}() gave, with {by}."))
    }

    fn place(&self) -> Option<String> {
        let name = called(&self.at)?;
        let name = name.split("___").next().unwrap_or(name);
        let (_, what) = PLACES.iter().find(|(kfunc, _)| *kfunc == name)?;
        Some(format!("{}{}.", what[..1].to_uppercase(), &what[1..]))
    }

    /// Where a pointer that may be NULL is from.
    fn test(&self) -> Option<String> {
        let name = self.slice.iter().rev().find_map(called)?;
        Some(format!("Test what {name}() returned (`if (!p) return ...;`) before it is used."))
    }

    fn setter(&self) -> Option<String> {
        let text = self.at.source.as_ref().map_or("", |source| source.text.as_str());
        [("slice", "scx_bpf_task_set_slice()"), ("vtime", "scx_bpf_task_set_dsq_vtime()")]
            .iter()
            .find(|(field, _)| {
                text.contains(&format!("scx.{field}")) || text.contains(&format!("dsq_{field}"))
            })
            .map(|(_, by)| format!("Set it with {by}, which keeps the task's queue in order."))
    }

    fn steps(&self) -> impl Iterator<Item = &Step> {
        self.slice.iter().rev().chain(self.path.iter().rev().map(|(step, _)| step))
    }
}

/// The function that a step calls: `9: (85) call bpf_task_from_pid#123`.
fn called(step: &Step) -> Option<&str> {
    let (_, callee) = step.text.split_once("call ")?;
    let name = callee.split('#').next().unwrap_or(callee);
    (!name.is_empty() && !name.starts_with("pc") && name != "unknown").then_some(name)
}
