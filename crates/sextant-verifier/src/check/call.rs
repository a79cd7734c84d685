//! Calls of the program's own functions and returning from them. Mirrors `check_func_call()`, `prepare_func_exit()`,
//! `check_return_code()` and `check_max_stack_depth()` of kernel/bpf/verifier.c, 7.3.

use sextant_abi::tables::OpRet;
use sextant_abi::tables::bpf::BPF_PROG_TYPE_LSM;

use super::reg::Reg;
use super::state::{Frame, MAX_FRAMES, RefKind};
use super::*;
use crate::program::ProgKind;
use crate::structure::func_target;

/// The tag of a program whose exceptions go to a function of its own.
const EXCEPTION_CALLBACK: &str = "exception_callback:";

impl Env<'_> {
    pub(super) fn call_local(&mut self) -> Res<Next> {
        let pc = self.st.pc;
        let target = func_target(pc, &self.prog.insns[pc]).unwrap_or(0) as usize;
        if self.cfg.funcs.get(&target).is_some_and(|f| f.global) {
            self.call_global(target)?;
            return Ok(Next::Goto(pc + 1));
        }
        if self.st.frames.iter().any(|frame| frame.func == target) {
            let names = (self.prog.func_name(self.st.top().func), self.prog.func_name(target));
            let text = format!("recursive call from {}() to {}()", names.0, names.1);
            return refuse(Code::StackDepth, text);
        }
        self.enter(target, pc)?;
        let caller = self.st.frames.len() - 2;
        for n in 1..=5 {
            let arg = self.st.frames[caller].regs[n];
            self.st.top_mut().regs[n] = arg;
        }
        let below = &mut self.st.frames[caller];
        (0..=5).for_each(|n| below.regs[n] = Reg::UNINIT);
        Ok(Next::Goto(target))
    }

    /// Pushes a frame.
    pub(super) fn enter(&mut self, target: usize, callsite: usize) -> Res {
        if self.st.frames.len() >= MAX_FRAMES {
            let text = format!("the call stack of {} frames is too deep", self.st.frames.len() + 1);
            return refuse(Code::StackDepth, text);
        }
        let frame = Frame::new(target, self.st.frames.len(), Some(callsite));
        self.st.frames.push(frame);
        Ok(())
    }

    /// r1-r5 are gone after a call, r0 is new.
    pub(super) fn clobber(&mut self) {
        (0..=5).for_each(|n| self.set(n, Reg::UNINIT));
    }

    pub(super) fn exit(&mut self) -> Res<Next> {
        if self.st.frames.len() > 1 {
            return self.return_to_caller();
        }
        self.check_held("BPF_EXIT instruction in main prog")?;
        match self.st.top().callback {
            Some(callback) => self.callback_result(callback)?,
            None => self.check_result()?,
        }
        Ok(Next::End)
    }

    fn return_to_caller(&mut self) -> Res<Next> {
        let callee = self.st.top().clone();
        let callsite = callee.callsite.unwrap_or(0);
        let r0 = callee.regs[0];
        if matches!(r0.what, reg::What::Stack(frame) if frame as usize + 1 == self.st.frames.len()) {
            return refuse_reg(Code::Return, 0, "cannot return stack pointer to the caller");
        }
        if let Some(callback) = callee.callback {
            self.callback_result(callback)?;
            self.no_leak_from_callback()?;
            self.st.frames.pop();
            self.special_gone();
            if let Some(round) = self.previous_round(callsite, self.parent + 1) {
                let mut next = std::mem::replace(&mut self.st, State::new(0, false));
                self.widen(round, &mut next);
                self.st = next;
            }
            // The call is executed again: it may run the callback once more.
            return Ok(Next::Goto(callsite));
        }
        self.st.frames.pop();
        self.special_gone();
        self.set(0, r0);
        (1..=5).for_each(|n| self.set(n, Reg::UNINIT));
        Ok(Next::Goto(callsite + 1))
    }

    /// Pointers into the frame that is gone are of no use.
    fn special_gone(&mut self) {
        let frames = self.st.frames.len() as u8;
        self.st.each_reg(|r| {
            if matches!(r.what, reg::What::Stack(f) if f >= frames) {
                *r = Reg { node: r.node, ..Reg::UNKNOWN };
            }
        });
    }

    fn no_leak_from_callback(&self) -> Res {
        // A callback may run any number of times: what it acquires it must release.
        let kept = self.st.top().callback.map_or(0, |c| c.held);
        match self.st.refs.get(kept) {
            Some(held) => {
                let text = format!("Unreleased reference id={} alloc_insn={}", held.id, held.pc);
                refuse_made(Code::RefLeak, held.pc, text)
            }
            None => Ok(()),
        }
    }

    /// Whether BTF says that the function returns nothing.
    pub(super) fn is_void(&self, func: usize) -> bool {
        use sextant_bpf::btf::{Kind as BtfKind, TypeId};
        let Some((ty, btf)) = self.prog.func_at(func).zip(self.prog.btf) else { return false };
        match btf.kind(ty) {
            BtfKind::Func { proto, .. } => {
                matches!(btf.kind(*proto), BtfKind::FuncProto { ret, .. } if *ret == TypeId::VOID)
            }
            _ => false,
        }
    }

    /// Nothing may be held where a program or a global function ends.
    pub(super) fn check_held(&self, place: &str) -> Res {
        if let Some(held) = self.st.refs.first() {
            match held.kind {
                RefKind::Lock(_) => {
                    return refuse(
                        Code::LockBalance,
                        format!("{place} cannot be used inside bpf_spin_lock-ed region"),
                    );
                }
                RefKind::ResLock(_) | RefKind::ResLockIrq(_) => {
                    let text = format!("{place} cannot be used inside bpf_res_spin_lock-ed region");
                    return refuse_made(Code::LockBalance, held.pc, text);
                }
                RefKind::Irq => {
                    let text = format!("{place} cannot be used inside bpf_local_irq_save-ed region");
                    return refuse_made(Code::LockBalance, held.pc, text);
                }
                RefKind::Object | RefKind::Iter => {
                    let mut text = format!("Unreleased reference id={} alloc_insn={}", held.id, held.pc);
                    if !place.starts_with("BPF_EXIT") {
                        text.push_str(&format!("; {place} would lead to reference leak"));
                    }
                    return refuse_made(Code::RefLeak, held.pc, text);
                }
            }
        }
        if self.st.rcu > 0 {
            return refuse(
                Code::LockBalance,
                format!("{place} cannot be used inside bpf_rcu_read_lock-ed region"),
            );
        }
        if self.st.preempt > 0 {
            return refuse(
                Code::LockBalance,
                format!("{place} cannot be used inside bpf_preempt_disable-ed region"),
            );
        }
        Ok(())
    }

    fn check_result(&mut self) -> Res {
        if self.entry != 0 {
            return self.global_result();
        }
        let void = match self.prog.kind {
            ProgKind::StructOps { op, .. } => op.desc().ret == OpRet::Void,
            ProgKind::ForeignStructOps => true,
            ProgKind::Other(hook) if hook.prog_type == BPF_PROG_TYPE_LSM && !hook.is_lsm_cgroup() => {
                self.hook_is_void(hook.target)
            }
            _ => false,
        };
        if void {
            return Ok(());
        }
        match self.result_range() {
            None => self.opaque_result(),
            range => self.number_result(range),
        }
    }

    /// bpf_throw(cookie): the program ends at once, with the cookie as its result.
    pub(super) fn throw(&mut self) -> Res<Next> {
        self.scalar_arg(1)?;
        let program = self.prog.func_at(0).zip(self.prog.btf);
        if program.is_some_and(|(ty, btf)| btf.decl_tags(ty).any(|(t, _)| t.starts_with(EXCEPTION_CALLBACK)))
        {
            return refuse(Code::Unsupported, "exception callbacks are not supported");
        }
        self.check_held("bpf_throw")?;
        if let Some(range) = self.result_range() {
            self.number_in(1, Some(range))?;
        }
        Ok(Next::End)
    }

    /// The results that the program may have; `None`: nobody looks at them.
    fn result_range(&self) -> Option<(i64, i64)> {
        match self.prog.kind {
            ProgKind::Tracing { returns_zero: true, .. } => Some((0, 0)),
            ProgKind::Other(hook) if hook.prog_type == BPF_PROG_TYPE_LSM => {
                hook.lsm_result(self.hook_is_void(hook.target))
            }
            ProgKind::Other(hook) => hook.result(),
            _ => None,
        }
    }

    /// Whether the kernel's function returns nothing.
    pub(super) fn hook_is_void(&self, name: &str) -> bool {
        use sextant_bpf::btf::{Kind as BtfKind, KindTag, TypeId};
        let Some(btf) = self.prog.kernel_btf else { return false };
        let Some(BtfKind::Func { proto, .. }) = btf.find(name, KindTag::Func).map(|id| btf.kind(id)) else {
            return false;
        };
        matches!(btf.kind(*proto), BtfKind::FuncProto { ret, .. } if *ret == TypeId::VOID)
    }

    /// r0 holds something that nobody looks at.
    fn opaque_result(&mut self) -> Res {
        self.read(0).map(|_| ())
    }

    /// r0 is a number, within the range.
    pub(super) fn number_result(&mut self, range: Option<(i64, i64)>) -> Res {
        self.number_in(0, range)
    }

    fn number_in(&mut self, n: u8, range: Option<(i64, i64)>) -> Res {
        let r0 = self.read(n)?;
        if !r0.is_scalar() {
            let text = format!("At program exit the register R{n} is not a known value ({})", r0.type_name());
            return refuse_reg(Code::Return, 0, text);
        }
        if let Some((min, max)) = range {
            self.matters(&r0);
            let half = matches!(self.prog.kind, ProgKind::Other(hook) if hook.is_lsm());
            let (smin, smax) = match half {
                true => (r0.s.smin32().into(), r0.s.smax32().into()),
                false => (r0.s.smin(), r0.s.smax()),
            };
            if smin < min || smax > max {
                let text = format!(
                    "At program exit the register R{n} has smin={smin} smax={smax} should have been in [{min}, {max}]"
                );
                return refuse_reg(Code::Return, 0, text);
            }
        }
        Ok(())
    }
}
