//! `bpf_timer_*`; the state is [`crate::timer`]'s.

use crate::decode;
use crate::error::TrapKind;
use crate::exec::Exec;
use crate::helper::map::status;
use crate::{Access, Errno};

/// BPF_F_TIMER_ABS
const F_ABS: u64 = 1;
/// BPF_F_TIMER_CPU_PIN
const F_CPU_PIN: u64 = 2;
/// `sizeof(struct bpf_timer)`
const TIMER_SIZE: u64 = 16;

pub(super) fn init(exec: &mut Exec<'_>, [timer, map, flags, ..]: [u64; 5]) -> Result<u64, TrapKind> {
    exec.region.check(timer, TIMER_SIZE, Access::Write)?;
    status(exec.vm.timer_init(timer, map, flags))
}

pub(super) fn set_callback(exec: &mut Exec<'_>, [timer, func, ..]: [u64; 5]) -> Result<u64, TrapKind> {
    let callback = decode::func_at(func)
        .filter(|(prog, _)| *prog == exec.prog.id)
        .ok_or(TrapKind::BadArg("bpf_timer_set_callback", "not a function of this program"))?;
    let mut timers = exec.vm.timers.borrow_mut();
    let Some(timer) = timers.get_mut(&timer) else { return Ok(Errno::EINVAL.ret()) };
    timer.callback = Some(callback);
    Ok(0)
}

pub(super) fn start(exec: &mut Exec<'_>, [timer, nsecs, flags, ..]: [u64; 5]) -> Result<u64, TrapKind> {
    if flags & !(F_ABS | F_CPU_PIN) != 0 {
        return Ok(Errno::EINVAL.ret());
    }
    let now = exec.host.ktime_ns(exec.vm.insns());
    {
        let mut timers = exec.vm.timers.borrow_mut();
        let Some(state) = timers.get_mut(&timer).filter(|t| t.callback.is_some()) else {
            return Ok(Errno::EINVAL.ret());
        };
        state.armed = true;
    }
    let at = if flags & F_ABS != 0 { nsecs } else { now.saturating_add(nsecs) };
    exec.host.timer_start(timer, at, flags & F_CPU_PIN != 0);
    Ok(0)
}

/// 1 when it was armed, 0 when not. Afterwards it has no callback, so that a start needs a new one. -EOPNOTSUPP with interrupts off,
/// where nobody can wait for a callback; -EDEADLK from its own callback.
pub(super) fn cancel(exec: &mut Exec<'_>, [timer, ..]: [u64; 5]) -> Result<u64, TrapKind> {
    if exec.irqs_disabled() {
        return Ok(Errno::EOPNOTSUPP.ret());
    }
    let armed = match exec.vm.timers.borrow_mut().get_mut(&timer) {
        None => return Ok(Errno::EINVAL.ret()),
        Some(_) if exec.vm.firing.get() == Some(timer) => return Ok(Errno::EDEADLK.ret()),
        Some(state) => {
            state.callback = None;
            std::mem::take(&mut state.armed)
        }
    };
    exec.host.timer_cancel(timer);
    Ok(armed.into())
}
