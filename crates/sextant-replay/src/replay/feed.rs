//! Inputs: which entry of the class each recorded one calls, and with what.

use std::collections::BTreeMap;

use sextant_abi::CpuId;
use sextant_abi::exit::ExitKind;
use sextant_sched::cgroup::CgroupId;
use sextant_sched::core::flags::{DEQUEUE_SLEEP, ENQUEUE_MIGRATED, NICE_TO_LOAD_WEIGHT, TASK_DEAD};
use sextant_sched::ext::EnableState;
use sextant_sched::{Class, OnRq, Sched, TaskId};

use super::Replay;
use crate::env;
use crate::item::Item;
use crate::recording::Event;
use crate::token::Token;

/// Recordings have a handful of cgroups, with small ids.
const MAX_CGROUP_ID: u64 = 10_000;

impl Replay {
    /// Calls the class's entry for an input. Returns decisions that show only in its result.
    pub(super) fn feed(&self, s: &mut Sched, item: &Item, e: &Event) -> Vec<Token> {
        let cpu = env::cpu(e);
        let p = e.pid().map(|pid| self.task(s, pid));
        let fl = e.num("fl");
        let mut out = Vec::new();
        match (e.name.as_str(), p) {
            ("sel_rq", Some(p)) => out.push(self.select(s, e, p)),
            ("woken", _) => s.task_woken_scx(cpu),
            ("enq", Some(p)) => self.enqueue(s, e, cpu, p, fl),
            ("deq", Some(p)) => self.dequeue(s, e, cpu, p, fl),
            ("pick", _) => out.extend(self.pick(s, item, e, cpu)),
            ("putp", Some(p)) => self.put_prev(s, e, cpu, p),
            ("setn", Some(p)) => s.set_next_task_scx(cpu, p, e.is("first")),
            ("tick", Some(p)) => s.task_tick_scx(cpu, p),
            ("yield", Some(_)) => s.yield_task_scx(cpu),
            ("upd", Some(_)) => s.replay_update_curr(cpu),
            ("wpreempt_scx", Some(p)) => s.wakeup_preempt_scx(cpu, p, fl),
            ("idle", _) => s.scx_update_idle(cpu, e.is("idle"), e.is("notify")),
            ("kick_irq", _) => s.replay_kick_cpus(CpuId(item.cpu)),
            ("defer_irq" | "defer_bal", _) => s.replay_run_deferred(CpuId(item.cpu)),
            ("setcpus", Some(p)) => self.set_cpus(s, item, p),
            ("reweight", Some(p)) => out.push(self.reweight(s, e, p)),
            _ => self.feed_rare(s, item, e, p, &mut out),
        }
        out
    }

    fn feed_rare(&self, s: &mut Sched, item: &Item, e: &Event, p: Option<TaskId>, out: &mut Vec<Token>) {
        match (e.name.as_str(), p) {
            ("sched_switch", _) => self.switched(s, item.cpu, e),
            ("sched_migrate_task", Some(p)) => s.tasks[p].cpu = CpuId(e.num("dest_cpu") as u32),
            ("sched_wakeup_new", Some(p)) => s.tasks[p].cpu = env::cpu(e),
            ("sched_process_exit", Some(p)) => s.replay_set_exiting(p),
            ("wpreempt", Some(p)) => self.wakeup_preempt(s, e, p),
            ("chg_end", Some(p)) => self.change_end(s, e, p),
            ("init_task", Some(p)) => self.init_task(s, item, e, p),
            ("enable_task", Some(p)) => {
                s.tasks[p].class = Class::Ext;
                s.replay_enable_task(p);
                out.push(self.enabled(s, p));
            }
            ("switching_to", Some(p)) => {
                s.tasks[p].class = Class::Ext;
                s.replay_set_slice(p, e.num("slice"));
                s.switching_to_scx(p);
                out.push(self.enabled(s, p));
            }
            ("op_cgroup_prep_move", Some(p)) => {
                if let Some(to) = self.cgroup(e.num("to")) {
                    s.replay_cgroup_prep_move(p, to);
                }
            }
            ("cg_move", Some(p)) => self.cgroup_move(s, item, p),
            ("cg_weight", _) => self.cgroup_weight(s, item, e),
            ("switched_from", Some(p)) => s.switched_from_scx(p),
            ("exit_task", Some(p)) => s.replay_exit_task(p),
            ("dead", Some(p)) => {
                s.tasks[p].ts.__state().set(&*s.mem, TASK_DEAD);
                s.tasks[p].ts.on_cpu().set(&*s.mem, 0);
                s.sched_ext_dead(p);
            }
            (name, _) if name.starts_with("k_") && self.live.is_some() => {
                if let Some(live) = &self.live {
                    live.fire_timer(s, item.cpu);
                }
            }
            (name, _) if name.starts_with("k_") => {
                let script = self.script.clone();
                script.kfunc(s, e, 0, None);
            }
            (name, _) => self.feed_scheduler(s, item, e, name),
        }
    }

    /// Loading, unloading, bypass.
    fn feed_scheduler(&self, s: &mut Sched, item: &Item, e: &Event, name: &str) {
        match name {
            "en_begin" => {
                self.loading.set(true);
                self.attached.set(true);
                s.replay_attach(self.ops.clone());
            }
            "en_end" => {
                self.loading.set(false);
                s.replay_set_state(EnableState::Enabled);
            }
            "sched_ext_exit" => {
                s.scx_disable(ExitKind::Unreg);
                s.events.clear();
            }
            "dis_end" => {
                self.attached.set(false);
                s.replay_set_state(EnableState::Disabled);
            }
            "op_init" => {
                s.replay_init();
            }
            "op_exit" => s.replay_exit(),
            "op_cgroup_init" => {
                for e in item.body.iter().map(|&i| &self.rec.events[i]).filter(|e| e.name == name) {
                    if let Some(id) = self.cgroup(e.num("cgrp")) {
                        // What it is before the scheduler comes; the root's cannot be set.
                        let _ = s.cgroup_set_weight(id, e.num("weight") as u32);
                    }
                }
                s.replay_cgroups(true);
            }
            "op_cgroup_exit" => s.replay_cgroups(false),
            "bypass" => {
                s.replay_bypass(e.is("on"));
                if self.loading.get() && e.is("on") {
                    s.replay_ops_live();
                }
            }
            _ => {}
        }
    }

    fn select(&self, s: &mut Sched, e: &Event, p: TaskId) -> Token {
        let prev = CpuId(e.num("prev_cpu") as u32);
        let cpu = s.select_task_rq_scx(p, prev, e.num("wf"));
        let (dsq, slice, fl) = s.replay_ddsp(p);
        let sel = s.replay_selected_cpu(p);
        let pid = e.get("pid").unwrap_or("?");
        Token::new("select", format!("{pid} ret={cpu} sel={sel} ddsp={dsq:?} {slice} {fl:#x}"))
    }

    fn enqueue(&self, s: &mut Sched, e: &Event, cpu: CpuId, p: TaskId, fl: u64) {
        s.tasks[p].cpu = cpu;
        s.tasks[p].class = Class::Ext;
        s.tasks[p].on_rq = match e.num("on_rq") {
            2 => OnRq::Migrating,
            1 => OnRq::Queued,
            _ => OnRq::No,
        };
        debug_assert!(e.num("on_rq") != 2 || fl & ENQUEUE_MIGRATED != 0);
        s.enqueue_task_scx(cpu, p, fl);
        s.tasks[p].on_rq = OnRq::Queued;
    }

    fn dequeue(&self, s: &mut Sched, e: &Event, cpu: CpuId, p: TaskId, fl: u64) {
        s.tasks[p].cpu = cpu;
        s.tasks[p].on_rq = if e.num("on_rq") == 2 { OnRq::Migrating } else { OnRq::Queued };
        s.dequeue_task_scx(cpu, p, fl);
        if fl & DEQUEUE_SLEEP != 0 {
            s.tasks[p].on_rq = OnRq::No;
        }
    }

    fn pick(&self, s: &mut Sched, item: &Item, e: &Event, cpu: CpuId) -> Option<Token> {
        let prev = self.on_cpu(s, e.int("prev") as i32, cpu);
        if let Some(class) = e.get("pcls").and_then(env::class) {
            self.set_class(s, e, prev, class);
        }
        s.rqs[cpu.idx()].curr = prev;
        let picked = s.pick_task_scx(cpu, prev);
        let ret = &self.rec.events[item.last()];
        if ret.get("ret") == Some("retry") {
            return Some(Token::new("pick", "retry".into())); // the core looks for higher classes itself
        }
        Some(Token::new(
            "pick",
            match picked {
                Some(p) => {
                    let ts = s.tasks[p].ts;
                    let (pid, slice) = (ts.pid().get(&*s.mem), ts.scx().slice().get(&*s.mem));
                    format!("{pid} slice={slice}")
                }
                None => "none".into(),
            },
        ))
    }

    fn put_prev(&self, s: &mut Sched, e: &Event, cpu: CpuId, p: TaskId) {
        let next = match e.get("next") {
            None | Some("-") => None,
            Some(_) => Some(self.on_cpu(s, e.int("next") as i32, cpu)),
        };
        if let (Some(next), Some(class)) = (next, e.get("ncls").and_then(env::class)) {
            self.set_class(s, e, next, class);
            s.rqs[cpu.idx()].next_class = class;
        }
        s.put_prev_task_scx(cpu, p, next);
    }

    fn set_cpus(&self, s: &mut Sched, item: &Item, p: TaskId) {
        let ret = &self.rec.events[item.last()];
        if ret.name == "setcpus_ret" {
            env::set_mask(s, p, ret.num("mask"), ret.int("nrc") as i32);
        }
        s.set_cpus_allowed_scx(p);
    }

    /// The load weight is what nice makes of it; the task keeps nice.
    fn reweight(&self, s: &mut Sched, e: &Event, p: TaskId) -> Token {
        let raw = (e.num("raw") / 1024) as u32;
        let (ts, mem) = (s.tasks[p].ts, s.mem.clone());
        if let Some(i) = NICE_TO_LOAD_WEIGHT.iter().position(|&w| w == raw) {
            ts.static_prio().set(&*mem, 100 + i as i32);
        }
        s.reweight_task_scx(p);
        Token::new(
            "reweight",
            format!("{} weight={}", e.get("pid").unwrap_or("?"), ts.scx().weight().get(&*mem)),
        )
    }

    fn enabled(&self, s: &Sched, p: TaskId) -> Token {
        let (ts, mem) = (s.tasks[p].ts, &*s.mem);
        let scx = ts.scx();
        let (weight, slice, vtime) = (scx.weight().get(mem), scx.slice().get(mem), scx.dsq_vtime().get(mem));
        Token::new("enable", format!("{} weight={weight} slice={slice} vtime={vtime}", ts.pid().get(mem)))
    }

    fn switched(&self, s: &mut Sched, cpu: u32, e: &Event) {
        let next = self.on_cpu(s, e.int("next") as i32, CpuId(cpu));
        let rq = &mut s.rqs[cpu as usize];
        let prev = std::mem::replace(&mut rq.curr, next);
        rq.next_class = s.tasks[next].class;
        let mem = &*s.mem;
        s.tasks[prev].ts.on_cpu().set(mem, 0);
        s.tasks[next].ts.on_cpu().set(mem, 1);
        s.tasks[next].cpu = CpuId(cpu);
    }

    fn wakeup_preempt(&self, s: &mut Sched, e: &Event, p: TaskId) {
        let (class, next) = (e.get("cls").and_then(env::class), e.get("ncls").and_then(env::class));
        if let (Some(class), Some(next)) = (class, next) {
            self.set_class(s, e, p, class);
            s.rqs[env::cpu(e).idx()].next_class = class.min(next); // classes are ordered highest first
        }
    }

    fn change_end(&self, s: &mut Sched, e: &Event, p: TaskId) {
        if let Some(class) = e.get("cls").and_then(env::class) {
            self.set_class(s, e, p, class);
        }
    }

    /// A task's class is the core's business; one that has left ext is on none of its lists.
    fn set_class(&self, s: &mut Sched, e: &Event, p: TaskId, class: Class) {
        if class != Class::Ext && s.replay_detach(p) {
            self.resync_at(e, format!("DSQ of {p:?}: it has left the class"));
        }
        s.tasks[p].class = class;
    }

    fn init_task(&self, s: &mut Sched, item: &Item, e: &Event, p: TaskId) {
        let (ts, mem) = (s.tasks[p].ts, s.mem.clone());
        ts.policy().set(&*mem, e.num("pol") as u32);
        ts.prio().set(&*mem, e.int("prio") as i32);
        ts.static_prio().set(&*mem, e.int("sprio") as i32);
        ts.flags().set(&*mem, e.num("pf") as u32);
        ts.comm().set_str(&*mem, e.get("comm").unwrap_or_default());
        env::set_mask(s, p, e.num("mask"), e.int("nrc") as i32);
        s.tasks[p].cpu = CpuId(e.num("tcpu") as u32);
        env::set_migration_disabled(s, p, e.num("mdis") as u16);
        if let Some(class) = e.get("cls").and_then(env::class) {
            self.set_class(s, e, p, class);
        }
        let cgroup = self.op_in(item, "op_init_task").and_then(|op| self.cgroup(op.num("cgrp")));
        if let Some(id) = cgroup.filter(|&id| id != s.tasks[p].cgroup) {
            s.replay_cgroup_move(p, id, false);
        }
        s.replay_init_task(p, e.is("fork"));
    }

    fn cgroup(&self, id: u64) -> Option<CgroupId> {
        self.cgroups.borrow().get(&id).copied()
    }

    /// The cgroups of the recording, with its ids: those in between are made and removed, for ids are given out in order.
    pub(super) fn make_cgroups(&self, s: &mut Sched) {
        let mut cgroups = BTreeMap::from([(1, CgroupId::ROOT)]);
        for &id in self.rec.cgroups.iter().filter(|&&id| id <= MAX_CGROUP_ID) {
            while let Ok(cgroup) = s.cgroup_mkdir(&format!("/{id}")) {
                if s.cgroups[cgroup].cgrp.kn().deref(&*s.mem).id().get(&*s.mem) >= id {
                    cgroups.insert(id, cgroup);
                    break;
                }
                // It has neither tasks nor children.
                let _ = s.cgroup_rmdir(cgroup);
            }
        }
        *self.cgroups.borrow_mut() = cgroups;
    }

    /// The op of a name in a reaction, for what only its arguments say.
    fn op_in(&self, item: &Item, name: &str) -> Option<&Event> {
        item.body.iter().map(|&i| &self.rec.events[i]).find(|e| e.name == name)
    }

    fn cgroup_move(&self, s: &mut Sched, item: &Item, p: TaskId) {
        let to = self.op_in(item, "op_cgroup_move").and_then(|e| self.cgroup(e.num("to")));
        if let Some(to) = to {
            s.replay_cgroup_move(p, to, true);
        }
    }

    fn cgroup_weight(&self, s: &mut Sched, item: &Item, e: &Event) {
        let cgroup = self.op_in(item, "op_cgroup_set_weight").and_then(|op| self.cgroup(op.num("cgrp")));
        if let Some(id) = cgroup {
            // Out of range it is refused, and the op misses.
            let _ = s.cgroup_set_weight(id, e.num("weight") as u32);
        }
    }
}
