//! Callbacks: functions of the program that a helper or kfunc runs, now and any number of times, or later by itself. Mirrors
//! `push_callback_call()` and `set_*_callback_state()` of kernel/bpf/verifier.c, 7.3.

use super::reg::{Reg, Ty, What};
use super::state::Callback;
use super::*;
use crate::range::Scalar;

/// What a callback gets in r1-r5; the rest is not set.
pub(super) struct Form {
    pub(super) args: Vec<Reg>,
    pub(super) callback: Callback,
}

/// A callback that runs before the call returns and gives 0 to go on, 1 to stop.
pub(super) const LOOP: Callback = Callback { ret: (0, 1), is_async: false, is_less: false, held: 0 };
/// A callback that runs later; it returns 0.
pub(super) const LATER: Callback = Callback { ret: (0, 0), is_async: true, is_less: false, held: 0 };

impl Env<'_> {
    /// A register that must hold a function.
    pub(super) fn func_arg(&mut self, n: u8) -> Res<usize> {
        match self.read(n)?.what {
            What::Func(func) => Ok(func as usize),
            _ => {
                let text = format!("R{n} type={} expected=func", self.read(n)?.type_name());
                refuse_reg(Code::ArgType, n, text)
            }
        }
    }

    /// The callback runs now: another path goes through it and comes back to this call.
    pub(super) fn run_callback(&mut self, func: usize, form: Form) -> Res {
        let callsite = self.st.pc;
        if self.cfg.funcs.get(&func).is_some_and(|f| f.global) {
            return refuse(Code::Callback, "a callback must be a static function");
        }
        let here = self.st.clone();
        self.enter(func, callsite)?;
        let held = self.st.refs.len();
        let frame = self.st.top_mut();
        frame.callback = Some(Callback { held, ..form.callback });
        for (i, arg) in form.args.iter().enumerate() {
            frame.regs[i + 1] = *arg;
        }
        self.st.unrolled += 1;
        let caller = self.st.frames.len() - 2;
        self.st.frames[caller].callback_depth += 1;
        let inside = std::mem::replace(&mut self.st, here);
        // The caller's r1-r5 stay: the call is executed again when the callback returns.
        self.st.top_mut().callback_depth = 0;
        self.push(inside, func)
    }

    /// The callback runs later, with a frame of its own. It is not part of the path that sets it: a callback that sets itself makes
    /// no loop. Mirrors `push_async_cb()`.
    pub(super) fn run_later(&mut self, func: usize, form: Form, sleepable: bool) -> Res {
        self.later.insert(func);
        let mut state = State::new(func, sleepable);
        let frame = state.top_mut();
        frame.callback = Some(form.callback);
        for (i, arg) in form.args.iter().enumerate() {
            frame.regs[i + 1] = *arg;
        }
        self.push_alone(state)
    }

    pub(super) fn callback_result(&mut self, callback: Callback) -> Res {
        let r0 = self.read(0)?;
        if !r0.is_scalar() {
            return refuse_reg(Code::Callback, 0, "R0 not a scalar value");
        }
        self.matters(&r0);
        let (min, max) = callback.ret;
        if r0.s.smin() < min || r0.s.smax() > max {
            let text = format!(
                "At callback return the register R0 has smin={} smax={} should have been in [{min}, {max}]",
                r0.s.smin(),
                r0.s.smax()
            );
            return refuse_reg(Code::Callback, 0, text);
        }
        Ok(())
    }

    /// `(map, key *, value *)` of a timer, work item or map walk.
    pub(super) fn map_callback_args(&mut self, map: u32, value: Reg, ctx: Option<Reg>) -> Vec<Reg> {
        let node = self.node([0, 0], 0);
        let mut args = vec![
            Reg { node, ..Reg::ptr(What::Map(map), 0) },
            Reg { node, ..Reg::ptr(What::MapKey(map), 0) },
            Reg { node, ..value },
        ];
        args.extend(ctx);
        args
    }

    /// bpf_loop(nr, func, ctx, flags)
    pub(super) fn call_loop(&mut self) -> Res {
        let nr = self.read(1)?;
        let func = self.func_arg(2)?;
        let ctx = self.read(3)?;
        let done = self.st.top().callback_depth;
        // A known number of rounds is not exceeded.
        self.matters(&nr);
        if nr.s.umax() > u64::from(done) {
            let index = self.number(Scalar::bytes(4));
            let args = vec![index, ctx];
            return self.run_callback(func, Form { args, callback: LOOP });
        }
        self.st.top_mut().callback_depth = 0;
        Ok(())
    }

    /// bpf_for_each_map_elem(map, func, ctx, flags)
    pub(super) fn call_for_each(&mut self) -> Res {
        use sextant_abi::tables::bpf::*;
        let What::Map(map) = self.read(1)?.what else {
            return refuse_reg(Code::ArgType, 1, "R1 type expected=map_ptr");
        };
        let walks = matches!(
            self.map(map).map_type,
            BPF_MAP_TYPE_ARRAY
                | BPF_MAP_TYPE_PERCPU_ARRAY
                | BPF_MAP_TYPE_HASH
                | BPF_MAP_TYPE_PERCPU_HASH
                | BPF_MAP_TYPE_LRU_HASH
                | BPF_MAP_TYPE_LRU_PERCPU_HASH
        );
        if !walks {
            return refuse(
                Code::MapUse,
                format!("cannot pass map_type {} into func bpf_for_each_map_elem", self.map(map).map_type),
            );
        }
        let func = self.func_arg(2)?;
        let ctx = self.read(3)?;
        let id = self.fresh_id();
        let value = Reg { id, ..Reg::ptr(What::MapValue(map), 0) };
        let args = self.map_callback_args(map, value, Some(ctx));
        self.run_callback(func, Form { args, callback: LOOP })?;
        self.st.top_mut().callback_depth = 0;
        Ok(())
    }

    /// bpf_user_ringbuf_drain(map, func, ctx, flags)
    pub(super) fn call_drain(&mut self) -> Res {
        let func = self.func_arg(2)?;
        let ctx = self.read(3)?;
        let node = self.node([0, 0], 0);
        let id = self.fresh_id();
        let args = vec![Reg { node, id, ..Reg::ptr(What::ConstDynptr, 0) }, ctx];
        self.run_callback(func, Form { args, callback: LOOP })?;
        self.st.top_mut().callback_depth = 0;
        Ok(())
    }

    /// bpf_find_vma(task, addr, func, ctx, flags)
    pub(super) fn call_find_vma(&mut self) -> Res {
        let func = self.func_arg(3)?;
        let (task, ctx) = (self.read(1)?, self.read(4)?);
        let vma = Reg::ptr(What::Obj(Ty::Kernel("vm_area_struct")), 0);
        let args = vec![task, vma, ctx];
        self.run_callback(func, Form { args, callback: LOOP })?;
        self.st.top_mut().callback_depth = 0;
        Ok(())
    }

    /// bpf_timer_set_callback(timer, func): the value that holds the timer is the third argument.
    pub(super) fn call_later(&mut self, holder: &Reg, func: usize, sleepable: bool) -> Res {
        let What::MapValue(map) = holder.what else {
            return refuse_reg(Code::ArgType, 1, "R1 doesn't point to a map value");
        };
        let id = self.fresh_id();
        let value = Reg { id, ..Reg::ptr(What::MapValue(map), 0) };
        let args = self.map_callback_args(map, value, None);
        self.run_later(func, Form { args, callback: LATER }, sleepable)
    }
}
