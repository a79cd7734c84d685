//! What to feed and what it led to: the events of a CPU, cut into an input with the reaction to it.
//!
//! An input that has a `*_ret` owns everything on its CPU up to there; the others own what follows on their CPU as long as only
//! they can have caused it. The class's entries are atomic, the kernel's overlap between CPUs (2% of them). So each item runs
//! at the one event that other CPUs can see or that depends on them: the insertion into or removal from a shared DSQ, the claim of
//! an idle CPU. That order is one in which the entries could have run without overlapping.

use crate::recording::{Event, Recording};

/// An input and its reaction.
#[derive(Clone, Debug)]
pub struct Item {
    /// Executing CPU.
    pub cpu: u32,
    /// Events (indices) in order; the first is the input.
    pub body: Vec<usize>,
    /// The event at which the class's entry begins.
    pub at: usize,
    /// The event that matters most to other CPUs.
    pub main: usize,
    /// A CPU that is just switching away from the task that this takes from it.
    pub left: Option<u32>,
}

impl Item {
    /// The input.
    pub fn head(&self) -> usize {
        self.body[0]
    }

    /// The last event.
    pub fn last(&self) -> usize {
        self.body[self.body.len() - 1]
    }
}

/// Inputs that end with a return event.
const WITH_RET: &[(&str, &str)] = &[
    ("sel_rq", "sel_rq_ret"),
    ("enq", "enq_ret"),
    ("deq", "deq_ret"),
    ("pick", "pick_ret"),
    ("putp", "putp_ret"),
    ("setn", "setn_ret"),
    ("tick", "tick_ret"),
    ("upd", "upd_ret"),
    ("setcpus", "setcpus_ret"),
    ("reweight", "reweight_ret"),
    ("kick_irq", "kick_irq_ret"),
    ("bypass", "bypass_end"),
    ("enable_task", "enable_ret"),
];

/// What is never part of an entry that has a return: where one follows, the return event is missing.
const NEVER_NESTED: &[&str] =
    &["sched_switch", "pick", "putp", "setn", "tick", "sel_rq", "woken", "chg_begin", "kick_irq", "yield"];

/// Pairs inside a reaction between which everything belongs to it.
const BRACKETS: &[(&str, &str)] = &[
    ("enq", "enq_ret"),
    ("deq", "deq_ret"),
    ("ins", "ins_ret"),
    ("seldfl", "seldfl_ret"),
    ("enable_task", "enable_ret"),
];

/// What may follow an input without a return event as part of its reaction.
const DEFERRED: &[&str] = &[
    "to_local",
    "r2l",
    "sched_migrate_task",
    "ins",
    "ins_ret",
    "do_enq",
    "op_enqueue",
    "op_dequeue",
    "rm",
    "ddeq",
    "opsdeq",
    "sched_ext_event",
    "resched",
];
const AROUND_KFUNC: &[&str] = &["seldfl", "idle_tac", "idle_pick", "kick", "reenq", "sched_ext_event"];

fn followers(head: &str) -> &'static [&'static str] {
    match head {
        "woken" | "defer_bal" | "defer_irq" => DEFERRED,
        "yield" => &["op_yield"],
        "idle" => &["op_update_idle", "sched_ext_event"],
        "wpreempt_scx" => &["reenq"],
        "switching_to" => &["enable_task", "op_set_cpumask", "sched_ext_event"],
        "switched_from" => &["disable_task", "op_disable"],
        "init_task" => &["op_init_task"],
        "exit_task" => &["disable_task", "op_disable", "op_exit_task"],
        "dead" => &["exit_task", "disable_task", "op_disable", "op_exit_task"],
        "cg_move" => &["op_cgroup_move"],
        "cg_weight" => &["op_cgroup_set_weight"],
        "op_cgroup_init" => &["op_cgroup_init"],
        "op_cgroup_exit" => &["op_cgroup_exit"],
        _ if head.starts_with("k_") || head.starts_with("op_") => AROUND_KFUNC,
        _ => &[],
    }
}

struct Open {
    body: Vec<usize>,
    /// The return event, if the input has one.
    ret: Option<&'static str>,
    /// Return events that are awaited, innermost last.
    nested: Vec<&'static str>,
    /// A migration whose deq (2) and enq (1) are still to come.
    migrating: u32,
    /// An op or a kfunc has been called.
    in_op: bool,
}

impl Open {
    fn takes(&mut self, head: &str, e: &Event) -> bool {
        let name = e.name.as_str();
        if self.ret.is_some() || !self.nested.is_empty() {
            return !NEVER_NESTED.contains(&name) || (head, name) == ("bypass", "chg_begin");
        }
        match name {
            "r2l" if followers(head).contains(&"r2l") => self.migrating = 2,
            "deq" if self.migrating == 2 => self.migrating = 1,
            "enq" if self.migrating == 1 => self.migrating = 0,
            "sched_migrate_task" => return self.migrating == 1,
            "reenq" if head == "wpreempt_scx" => {}
            "resched" => return self.body.len() > 1 && followers(head).contains(&name),
            _ if name.starts_with("k_") && head.starts_with("k_") => return false, // called one by one
            _ if name.starts_with("k_") || AROUND_KFUNC.contains(&name) && name != "sched_ext_event" => {
                return self.in_op && head != "wpreempt_scx";
            }
            _ => return followers(head).contains(&name),
        }
        true
    }

    fn push(&mut self, i: usize, e: &Event) {
        self.body.push(i);
        let name = e.name.as_str();
        self.in_op |= name.starts_with("op_");
        if self.nested.last() == Some(&name) {
            self.nested.pop();
        } else if let Some(&(_, ret)) = BRACKETS.iter().find(|(open, _)| *open == name) {
            self.nested.push(ret);
        }
    }
}

/// Between two calls of one timer callback its CPU executes for less than this, ns.
const CALLBACK_NS: i64 = 700_000;

/// Within this a callback's next call comes, ns: interrupts and the other CPUs' turns of the emulator come in between.
const CALLBACK_SPAN_NS: i64 = 20_000_000;

/// Whether a call at event `next`, by no op, can belong to the callback that runs on a CPU at event `now`: the CPU has not scheduled
/// in between, and has not executed for long. The recorded machine runs one CPU at a time, so the time before an event
/// is that of its CPU; what an interrupt took does not count.
fn same_callback(rec: &Recording, cpu: u32, now: usize, next: usize) -> bool {
    let (mut ran, mut interrupt) = (0, false);
    for i in now + 1..=next {
        let e = &rec.events[i];
        if e.cpu != cpu {
            continue;
        }
        match e.name.as_str() {
            "sched_switch" | "pick" | "putp" | "setn" => return false,
            "kick_irq" | "tick" => interrupt = true,
            "kick_irq_ret" | "tick_ret" => interrupt = false,
            _ if !interrupt => ran += e.t - rec.events[i - 1].t,
            _ => {}
        }
    }
    ran < CALLBACK_NS
}

/// Cuts a recording into items, in the order in which they run.
pub fn items(rec: &Recording) -> Vec<Item> {
    let mut open: Vec<Option<Open>> = (0..rec.cpus).map(|_| None).collect();
    let mut out = Vec::new();
    let mut kicks: Vec<Option<Open>> = (0..rec.cpus).map(|_| None).collect();
    for (i, e) in rec.events.iter().enumerate() {
        // Bypass takes one runqueue after the other; an irq_work comes in between.
        let bypassing = open[e.cpu as usize].as_ref().is_some_and(|o| rec.events[o.body[0]].name == "bypass");
        if let Some(kick) = &mut kicks[e.cpu as usize] {
            kick.push(i, e);
            if e.name == "kick_irq_ret" {
                out.extend(kicks[e.cpu as usize].take().map(|o| close(rec, e.cpu, o)));
            }
            continue;
        }
        if bypassing && e.name == "kick_irq" {
            let ret = Some("kick_irq_ret");
            kicks[e.cpu as usize] =
                Some(Open { body: vec![i], ret, nested: Vec::new(), migrating: 0, in_op: false });
            continue;
        }
        let slot = &mut open[e.cpu as usize];
        if let Some(o) = slot {
            let head = rec.events[o.body[0]].name.clone();
            if o.takes(&head, e) {
                o.push(i, e);
                if o.nested.is_empty() && o.ret == Some(e.name.as_str()) {
                    out.extend(slot.take().map(|o| close(rec, e.cpu, o)));
                }
                continue;
            }
            out.extend(slot.take().map(|o| close(rec, e.cpu, o)));
        }
        let ret = WITH_RET.iter().find(|(head, _)| *head == e.name).map(|(_, ret)| *ret);
        let in_op = e.name.starts_with("op_") || e.name.starts_with("k_");
        *slot = Some(Open { body: vec![i], ret, nested: Vec::new(), migrating: 0, in_op });
    }
    for (cpu, slot) in open.into_iter().enumerate() {
        out.extend(slot.map(|o| close(rec, cpu as u32, o)));
    }
    join_init_tasks(rec, &mut out);
    out.sort_by_key(|item| item.at);
    out
}

fn close(rec: &Recording, cpu: u32, o: Open) -> Item {
    let first = part_end(rec, &o.body, 0);
    let at = meeting(rec, &o.body[..first]).unwrap_or(o.body[0]);
    // Of an entry that transfers several tasks, the first transfer: what follows pauses by itself.
    let transfer = o.body.iter().position(|&i| rec.events[i].name == "to_local");
    let main_end = transfer.map_or(o.body.len(), |n| part_end(rec, &o.body, n));
    let main = meeting(rec, &o.body[..main_end]).unwrap_or(at);
    Item { cpu, at, main, left: left(rec, &o.body[..first], at), body: o.body }
}

/// Where the part of a reaction ends that begins at `body[from]`: behind the next op or kfunc, or before the transfer of a task
/// or the flush of the dispatch buffer, between which the kernel lets go of the runqueue's lock.
pub fn part_end(rec: &Recording, body: &[usize], from: usize) -> usize {
    let ends = |&i: &usize| {
        let name = rec.events[i].name.as_str();
        match name {
            "to_local" | "flush" => Some(0),
            _ if name.starts_with("op_") || name.starts_with("k_") => Some(1),
            _ => None,
        }
    };
    let behind = body.iter().enumerate().skip(from + 1);
    behind.filter_map(|(n, i)| ends(i).map(|more| n + more)).next().unwrap_or(body.len())
}

/// Where some events of a reaction meet other CPUs.
pub fn meeting(rec: &Recording, events: &[usize]) -> Option<usize> {
    let key = |i: usize| (weight(&rec.events[i], rec.events[i].cpu), i);
    events.iter().copied().max_by_key(|&i| key(i)).filter(|&i| key(i).0 > 0)
}

/// A task that its CPU is just switching away from is taken when that is over, but it is off its DSQ at once: the CPU.
pub fn left(rec: &Recording, events: &[usize], at: usize) -> Option<u32> {
    let r2l = events.iter().copied().find(|&i| i > at && rec.events[i].name == "r2l")?;
    let (pid, src) = (rec.events[r2l].pid(), rec.events[r2l].num("scpu") as u32);
    let leaves = |x: &Event| x.name == "sched_switch" && x.cpu == src && Some(x.int("prev") as i32) == pid;
    (rec.events[at].name == "rm" && src < rec.cpus && rec.events[at..r2l].iter().any(leaves)).then_some(src)
}

/// The items, as they are handed out.
pub struct Queue {
    items: Vec<Item>,
    /// Handed out, by index.
    done: Vec<bool>,
    /// Everything before this is handed out.
    first: usize,
    /// Last events of items, ascending.
    ends: Vec<usize>,
    heads: Vec<usize>,
    /// Events that have been followed.
    pub followed: usize,
}

impl Queue {
    /// All of a recording's.
    pub fn new(rec: &Recording, items: Vec<Item>) -> Self {
        let mut ends: Vec<usize> = items.iter().map(Item::last).collect();
        let mut heads: Vec<usize> = items.iter().map(Item::head).collect();
        ends.sort_unstable();
        heads.sort_unstable();
        debug_assert!(rec.events.len() >= items.len());
        Self { done: vec![false; items.len()], items, first: 0, ends, heads, followed: 0 }
    }

    /// The next item that begins at or before event `at` and meets nobody behind `horizon`; one that does holds back the later
    /// ones of its CPU.
    pub fn next(&mut self, at: usize, horizon: usize) -> Option<Item> {
        while self.done.get(self.first) == Some(&true) {
            self.first += 1;
        }
        let mut held = Vec::new();
        for i in self.first..self.items.len() {
            let item = &self.items[i];
            if item.at > at {
                break;
            }
            if self.done[i] || held.contains(&item.cpu) {
                continue;
            }
            if item.main > horizon {
                held.push(item.cpu);
                continue;
            }
            self.done[i] = true;
            return Some(item.clone());
        }
        None
    }

    /// The next item of a CPU that is a call of a kfunc by no op, if the callback that runs there can make it.
    fn next_call(&self, rec: &Recording, cpu: u32) -> Option<usize> {
        let now = self.followed.checked_sub(1)?;
        let head = |i: usize| self.items[i].head();
        (self.first..self.items.len())
            .take_while(|&i| rec.events[head(i)].t < rec.events[now].t + CALLBACK_SPAN_NS)
            .filter(|&i| !self.done[i] && self.items[i].cpu == cpu)
            .filter(|&i| rec.events[head(i)].name.starts_with("k_"))
            .min_by_key(|&i| head(i))
            .filter(|&i| same_callback(rec, cpu, now, head(i)))
    }

    /// Where that call is.
    pub fn next_call_at(&self, rec: &Recording, cpu: u32) -> Option<usize> {
        self.next_call(rec, cpu).map(|i| self.items[i].head())
    }

    /// Takes that call if it is `wanted`.
    pub fn take_next_call(
        &mut self,
        rec: &Recording,
        cpu: u32,
        wanted: impl Fn(&Event) -> bool,
    ) -> Option<Item> {
        let i = self.next_call(rec, cpu).filter(|&i| wanted(&rec.events[self.items[i].head()]))?;
        self.done[i] = true;
        Some(self.items[i].clone())
    }

    /// Whether no item is under way behind event `at`.
    pub fn idle_after(&mut self, at: usize) -> bool {
        let begun = self.heads.partition_point(|&h| h <= at);
        let ended = self.ends.partition_point(|&e| e <= at);
        begun == ended
    }
}

/// Where programs run, a callback of a timer is one entry, and its last call is where it must not be behind anybody: each of
/// its calls gets that as its `main`.
pub fn join_callbacks(rec: &Recording, items: &mut [Item]) {
    let mut calls: Vec<usize> =
        (0..items.len()).filter(|&i| rec.events[items[i].head()].name.starts_with("k_")).collect();
    calls.sort_by_key(|&i| (items[i].cpu, items[i].head()));
    for pair in calls.windows(2).rev() {
        let (call, next) = (&items[pair[0]], &items[pair[1]]);
        if call.cpu == next.cpu && same_callback(rec, call.cpu, call.last(), next.head()) {
            items[pair[0]].main = next.main.max(call.main);
        }
    }
}

/// How much it matters when this happens: 0 if no other CPU sees it or has a part in it; what succeeded counts for more than
/// what found nothing.
fn weight(e: &Event, cpu: u32) -> u32 {
    let dsq = e.get("dsq").unwrap_or_default();
    match e.name.as_str() {
        "rm" | "ins" if dsq.starts_with("LOCAL@") => 1,
        "rm" | "ins" | "idle" => 3,
        "idle_tac" if e.is("ret") => 3,
        "resched" if e.num("cpu") != u64::from(cpu) => 2,
        "consume" if dsq.starts_with("0x") => 2,
        "consume" | "idle_tac" | "idle_pick" => 1,
        _ => 0,
    }
}

/// An op that was preempted before it began stands apart from the input that calls it.
fn join_init_tasks(rec: &Recording, items: &mut Vec<Item>) {
    let is = |item: &Item, name: &str| rec.events[item.head()].name == name;
    let orphans: Vec<Item> = items.extract_if(.., |item| is(item, "op_init_task")).collect();
    for orphan in orphans {
        let pid = rec.events[orphan.head()].pid();
        let caller = items
            .iter_mut()
            .filter(|item| {
                is(item, "init_task") && item.head() < orphan.head() && rec.events[item.head()].pid() == pid
            })
            .max_by_key(|item| item.head());
        match caller {
            Some(item) => item.body.extend(orphan.body),
            None => items.push(orphan),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(lines: &str) -> Vec<(String, usize, usize)> {
        let text = format!("# kernel 7.3.4 cpus 2 sched scx_simple opt none\n{lines}");
        let rec = Recording::from_csv(&text).unwrap();
        items(&rec).iter().map(|i| (rec.events[i.head()].name.clone(), i.body.len(), i.at)).collect()
    }

    #[test]
    fn an_input_owns_what_is_between_it_and_its_return() {
        let got = cut(
            "1,0,0,enq,pid=1\n2,1,0,tick,pid=2\n3,0,0,ins,pid=1,dsq=0x0\n4,1,0,tick_ret,pid=2\n5,0,0,ins_ret,pid=1\n6,0,0,enq_ret,pid=1\n7,0,0,sched_wakeup,pid=1\n",
        );
        let want = [("tick", 2, 1), ("enq", 4, 2), ("sched_wakeup", 1, 6)];
        assert_eq!(got, want.map(|(n, l, a)| (n.to_string(), l, a)));
    }

    #[test]
    fn a_deferred_transfer_belongs_to_woken_but_the_next_dequeue_does_not() {
        let got = cut(
            "1,0,0,woken,pid=1\n2,0,0,r2l,pid=1\n3,0,0,deq,pid=1\n4,0,0,deq_ret,pid=1\n5,0,0,sched_migrate_task,pid=1\n6,0,0,enq,pid=1\n7,0,0,ins,dsq=LOCAL@1\n8,0,0,ins_ret,pid=1\n9,0,0,enq_ret,pid=1\n10,0,0,resched,cpu=1\n11,0,0,deq,pid=2\n12,0,0,deq_ret,pid=2\n",
        );
        let want = [("woken", 10, 9), ("deq", 2, 10)];
        assert_eq!(got, want.map(|(n, l, a)| (n.to_string(), l, a)));
    }
}
