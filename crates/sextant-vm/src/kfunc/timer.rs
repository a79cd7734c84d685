//! `bpf_timer_cancel_async` and work queues. A work item is a timer that is due at once: it runs in the machine's timer
//! context, not in a kworker.

use crate::decode;
use crate::error::TrapKind;
use crate::exec::Exec;
use crate::{Access, Errno};

type Ret = Result<u64, TrapKind>;

/// 1 when it was armed, 0 when not, -1 from its own callback; with interrupts off -ECANCELED: it is cancelled as soon as they are on.
/// The callback stays set.
pub(super) fn cancel_async(exec: &mut Exec<'_>, [timer, ..]: [u64; 5]) -> Ret {
    let own = exec.vm.firing.get() == Some(timer);
    let deferred = exec.irqs_disabled();
    let armed = match exec.vm.timers.borrow_mut().get_mut(&timer) {
        None => return Ok(Errno::EINVAL.ret()),
        Some(_) if own && !deferred => return Ok(-1i64 as u64),
        Some(_) if own => return Ok(Errno::ECANCELED.ret()),
        Some(state) => std::mem::take(&mut state.armed),
    };
    if armed {
        exec.host.timer_cancel(timer);
    }
    Ok(if deferred { Errno::ECANCELED.ret() } else { armed.into() })
}

pub(super) fn wq_init(exec: &mut Exec<'_>, [wq, map, flags, ..]: [u64; 5]) -> Ret {
    exec.region.check(wq, 16, Access::Write)?;
    if flags as u32 != 0 {
        return Ok(Errno::EINVAL.ret());
    }
    super::status(exec.vm.wq_init(wq, map))
}

pub(super) fn wq_set_callback(exec: &mut Exec<'_>, [wq, func, flags, ..]: [u64; 5]) -> Ret {
    let callback = decode::func_at(func)
        .filter(|(prog, _)| *prog == exec.prog.id)
        .ok_or(TrapKind::BadArg("bpf_wq_set_callback", "not a function of this program"))?;
    if flags as u32 != 0 {
        return Ok(Errno::EINVAL.ret());
    }
    match exec.vm.timers.borrow_mut().get_mut(&wq) {
        Some(work) => {
            work.callback = Some(callback);
            Ok(0)
        }
        None => Ok(Errno::EINVAL.ret()),
    }
}

/// An item that waits already waits on.
pub(super) fn wq_start(exec: &mut Exec<'_>, [wq, flags, ..]: [u64; 5]) -> Ret {
    let armed = match exec.vm.timers.borrow_mut().get_mut(&wq) {
        Some(work) if flags as u32 == 0 && work.callback.is_some() => {
            std::mem::replace(&mut work.armed, true)
        }
        _ => return Ok(Errno::EINVAL.ret()),
    };
    if !armed {
        let now = exec.host.ktime_ns(exec.vm.insns());
        exec.host.timer_start(wq, now, false);
    }
    Ok(0)
}
