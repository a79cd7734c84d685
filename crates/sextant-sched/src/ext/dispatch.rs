//! Dispatch: what a CPU does to find its next ext task, and how tasks get from the scheduler to DSQs and local DSQs.
//!
//! Order of a pick (`dispatch_one`): prev with slice left → local DSQ → global DSQ → ops.dispatch, up to 32 rounds → prev
//! again if nothing else is there. Insertions made in ops.dispatch are buffered with the generation (qseq) of the
//! enqueue they answer, and carried out afterwards if the task is still in that generation.

use sextant_abi::types::*;
use sextant_abi::{CpuId, DsqId};

use super::entity::{DsqIdx, OpsState, Verdict};
use super::events::EventId;
use super::rq::{DspEntry, RqFlags};
use crate::ops::Op;
use crate::probe::{Pause, Probe};
use crate::sched::Sched;
use crate::task::{Class, TaskId};

/// `enum scx_dsp_verdict`: what dispatch concluded.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum DspVerdict {
    /// Nothing to run.
    None,
    /// The local DSQ has tasks.
    Local,
    /// Keep running prev.
    Prev,
}

impl Sched {
    /// `dispatch_one`
    pub(crate) fn dispatch_one(&mut self, cpu: CpuId, prev: TaskId) -> DspVerdict {
        self.rqs[cpu.idx()].ext.flags.insert(RqFlags::IN_DISPATCH);
        let verdict = self.dispatch_verdict(cpu, prev);
        if verdict != DspVerdict::None {
            self.reenq_after_dispatch(cpu);
        }
        self.rqs[cpu.idx()].ext.flags.remove(RqFlags::IN_DISPATCH);
        verdict
    }

    fn dispatch_verdict(&mut self, cpu: CpuId, prev: TaskId) -> DspVerdict {
        if self.tasks[prev].class == Class::Ext {
            self.update_curr_scx(cpu);
            if self.prev_has_slice(prev) && !self.scx_bypassing(cpu) {
                return DspVerdict::Prev;
            }
        }
        if self.local_nr(cpu) > 0 {
            return DspVerdict::Local;
        }
        let verdict = self.scx_dispatch_sched(cpu, prev);
        if verdict != DspVerdict::None {
            return verdict;
        }
        if self.scx_queued(prev) && (self.ext.flags & SCX_OPS_ENQ_LAST == 0 || self.scx_bypassing(cpu)) {
            self.ext.add_event(EventId::DispatchKeepLast, 1);
            return DspVerdict::Prev;
        }
        DspVerdict::None
    }

    fn prev_has_slice(&self, prev: TaskId) -> bool {
        self.scx_queued(prev) && self.slice(prev) != 0
    }

    /// Tasks on a CPU's local DSQ.
    pub(crate) fn local_nr(&self, cpu: CpuId) -> u32 {
        self.ext.dsqs[self.ext.dsqs.local(cpu)].nr
    }

    /// `scx_dispatch_sched`: the global DSQ, then rounds of ops.dispatch.
    fn scx_dispatch_sched(&mut self, cpu: CpuId, prev: TaskId) -> DspVerdict {
        if self.consume_global_dsq(cpu) {
            return DspVerdict::Local;
        }
        if self.scx_bypassing(cpu) {
            let bypass = self.ext.dsqs.bypass(cpu);
            return if self.consume_dispatch_q(cpu, bypass, 0) {
                DspVerdict::Local
            } else {
                DspVerdict::None
            };
        }
        if !self.ext.has(Op::Dispatch) || !self.rqs[cpu.idx()].ext.flags.contains(RqFlags::ONLINE) {
            return DspVerdict::None;
        }
        let prev_arg = (self.tasks[prev].class == Class::Ext).then_some(prev);
        for round in 1.. {
            self.dsp_ctx().nr_tasks = 0;
            self.op_dispatch(cpu, prev_arg);
            self.flush_dispatch_buf(cpu);
            if self.prev_has_slice(prev) {
                return DspVerdict::Prev;
            }
            if self.local_nr(cpu) > 0 || self.consume_global_dsq(cpu) {
                return DspVerdict::Local;
            }
            if round == SCX_DSP_MAX_LOOPS {
                self.scx_kick_cpu(cpu, 0);
                break;
            }
            if self.dsp_ctx().nr_tasks == 0 {
                break;
            }
        }
        DspVerdict::None
    }

    /// The dispatch buffer of the executing CPU.
    pub(crate) fn dsp_ctx(&mut self) -> &mut super::rq::DspCtx {
        &mut self.rqs[self.this_cpu.idx()].ext.dsp
    }

    fn consume_global_dsq(&mut self, cpu: CpuId) -> bool {
        let global = self.ext.dsqs.global(cpu);
        self.consume_dispatch_q(cpu, global, 0)
    }

    /// `scx_consume_dispatch_q`: the first task of `dsq` that can run on `cpu` goes to its local DSQ.
    pub(crate) fn consume_dispatch_q(&mut self, cpu: CpuId, dsq: DsqIdx, enq_flags: u64) -> bool {
        self.pause(Pause::Consume);
        self.probe(Probe::Consume { dsq: self.ext.dsqs[dsq].id.0 });
        let taken = self.consume_first_usable(cpu, dsq, enq_flags);
        self.probe(Probe::ConsumeRet(taken));
        taken
    }

    fn consume_first_usable(&mut self, cpu: CpuId, dsq: DsqIdx, enq_flags: u64) -> bool {
        let mut at = self.dsq_first(dsq);
        while let Some(p) = at {
            if self.ext.aborting && self.ext.dsqs[dsq].id != DsqId::BYPASS {
                return false;
            }
            if self.tasks[p].cpu == cpu {
                self.task_unlink_from_dsq(p);
                self.move_local_task_to_local_dsq(p, enq_flags, cpu);
                return true;
            }
            if self.task_can_run_on_remote_rq(p, cpu, false) {
                self.task_unlink_from_dsq(p);
                self.move_remote_task_to_local_dsq(p, enq_flags, cpu);
                return true;
            }
            at = self.dsq_next(p);
        }
        false
    }

    /// `task_can_run_on_remote_rq`; `enforce` reports why not.
    pub(super) fn task_can_run_on_remote_rq(&mut self, p: TaskId, cpu: CpuId, enforce: bool) -> bool {
        if self.is_migration_disabled(p) {
            if enforce {
                let (name, from) = (self.task_name(p), self.tasks[p].cpu);
                self.scx_error(format!(
                    "SCX_DSQ_LOCAL[_ON] cannot move migration disabled {name} from CPU {from} to {cpu}"
                ));
            }
            return false;
        }
        if !self.tasks[p].ts.cpus(&*self.mem).test_cpu(&*self.mem, cpu.0) {
            if enforce {
                let name = self.task_name(p);
                self.scx_error(format!("SCX_DSQ_LOCAL[_ON] target CPU {cpu} not allowed for {name}"));
            }
            return false;
        }
        if !self.scx_rq_online(cpu) {
            if enforce {
                self.ext.add_event(EventId::DispatchLocalDsqOffline, 1);
            }
            return false;
        }
        true
    }

    /// `move_remote_task_to_local_dsq`: `p`, on no DSQ, migrates to `dst` and arrives on its local DSQ. The scheduler sees
    /// neither quiescent nor runnable; custody ends on arrival.
    fn move_remote_task_to_local_dsq(&mut self, p: TaskId, enq_flags: u64, dst: CpuId) {
        let src = self.tasks[p].cpu;
        self.probe(Probe::RemoteToLocal { p, src, dst, flags: enq_flags });
        self.tasks[p].ext.sticky_cpu = Some(dst);
        self.deactivate_task(src, p, 0);
        self.set_task_cpu(p, dst);
        self.rqs[dst.idx()].ext.extra_enq_flags = enq_flags;
        self.activate_task(dst, p, 0);
        self.rqs[dst.idx()].ext.extra_enq_flags = 0;
    }

    /// `dispatch_to_local_dsq`: to the local DSQ `dsq`, through a migration when `p` is on another runqueue. `rq` is the
    /// caller's. What may not go there ends on the global DSQ.
    pub(crate) fn dispatch_to_local_dsq(&mut self, rq: CpuId, dsq: DsqIdx, p: TaskId, v: Verdict) {
        let flags = v.enq_flags | SCX_ENQ_APPLY_SLICE;
        let src = self.tasks[p].cpu;
        let Some(dst) = self.ext.dsqs[dsq].cpu else {
            return self.scx_dispatch_enqueue(rq, dsq, p, v.slice, v.vtime, flags | SCX_ENQ_CLEAR_OPSS);
        };
        self.probe(Probe::ToLocal { p, dst, slice: v.slice, flags: v.enq_flags });
        if rq == src && rq == dst {
            return self.scx_dispatch_enqueue(rq, dsq, p, v.slice, v.vtime, flags | SCX_ENQ_CLEAR_OPSS);
        }
        self.tasks[p].ext.clear_opss();
        if src == dst {
            self.scx_dispatch_enqueue(dst, dsq, p, v.slice, v.vtime, flags);
        } else if !self.task_can_run_on_remote_rq(p, dst, true) {
            let global = self.ext.dsqs.global(src);
            return self.scx_dispatch_enqueue(src, global, p, v.slice, v.vtime, flags);
        } else {
            self.apply_slice_vtime(p, v.slice, v.vtime, v.enq_flags);
            self.move_remote_task_to_local_dsq(p, v.enq_flags, dst);
        }
        let curr = self.rqs[dst.idx()].curr;
        if self.tasks[p].class < self.tasks[curr].class {
            self.resched_curr(dst);
        }
    }

    /// `finish_dispatch`: claims a buffered task if it is still in the generation it was inserted in.
    fn finish_dispatch(&mut self, rq: CpuId, e: DspEntry) {
        let ent = &mut self.tasks[e.task].ext;
        if ent.ops_state != OpsState::Queued || ent.qseq != e.qseq {
            return;
        }
        ent.ops_state = OpsState::Dispatching;
        ent.qseq = 0;
        let tcpu = self.tasks[e.task].cpu;
        let dsq = self.find_dsq_for_dispatch(rq, e.verdict.dsq_id, tcpu);
        if self.ext.dsqs[dsq].is_local() {
            self.dispatch_to_local_dsq(rq, dsq, e.task, e.verdict);
        } else {
            let flags = e.verdict.enq_flags | SCX_ENQ_APPLY_SLICE | SCX_ENQ_CLEAR_OPSS;
            self.scx_dispatch_enqueue(rq, dsq, e.task, e.verdict.slice, e.verdict.vtime, flags);
        }
    }

    /// `scx_flush_dispatch_buf`. An ops.dequeue called meanwhile may not insert, so the buffer does not grow.
    pub(crate) fn flush_dispatch_buf(&mut self, rq: CpuId) {
        let mut i = 0;
        while let Some(&entry) = self.dsp_ctx().buf.get(i) {
            self.pause(Pause::Transfer(entry.task));
            self.finish_dispatch(rq, entry);
            i += 1;
        }
        let dsp = self.dsp_ctx();
        dsp.buf.clear();
        dsp.nr_tasks += i as u32;
    }

    /// `move_task_between_dsqs`: from a user DSQ to any other; `rq` is the caller's runqueue.
    pub(crate) fn move_task_between_dsqs(&mut self, p: TaskId, enq_flags: u64, mut dst: DsqIdx) {
        let src_rq = self.tasks[p].cpu;
        if let Some(cpu) = self.ext.dsqs[dst].cpu {
            if cpu == src_rq {
                self.task_unlink_from_dsq(p);
                return self.move_local_task_to_local_dsq(p, enq_flags, cpu);
            }
            if self.task_can_run_on_remote_rq(p, cpu, true) {
                self.task_unlink_from_dsq(p);
                return self.move_remote_task_to_local_dsq(p, enq_flags, cpu);
            }
            dst = self.ext.dsqs.global(src_rq);
        }
        self.task_unlink_from_dsq(p);
        self.scx_dispatch_enqueue(src_rq, dst, p, 0, 0, enq_flags);
    }
}
