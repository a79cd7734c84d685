//! Resilient spin locks and interrupt flags. One program runs at a time, so a lock is contended only by the programs below
//! it on the stack: that is the AA deadlock, which the kernel detects too.

use crate::error::TrapKind;
use crate::exec::Exec;
use crate::{Access, Errno};

type Ret = Result<u64, TrapKind>;

/// X86_EFLAGS_IF: what interrupt flags say when interrupts were on.
const IRQS_ON: u64 = 0x200;

pub(super) fn res_lock(exec: &mut Exec<'_>, [lock, ..]: [u64; 5]) -> Ret {
    exec.region.check(lock, 4, Access::Write)?;
    let mut held = exec.vm.res_locks.borrow_mut();
    if held.contains(&lock) {
        return Ok(Errno::EDEADLK.ret());
    }
    held.push(lock);
    exec.held_res += 1;
    Ok(0)
}

/// Locks go in the reverse order.
pub(super) fn res_unlock(exec: &mut Exec<'_>, [lock, ..]: [u64; 5]) -> Ret {
    let mut held = exec.vm.res_locks.borrow_mut();
    if exec.held_res == 0 || held.last() != Some(&lock) {
        return Err(TrapKind::Lock("bpf_res_spin_unlock of a lock that was not the last one taken"));
    }
    held.pop();
    exec.held_res -= 1;
    Ok(0)
}

pub(super) fn res_lock_irqsave(exec: &mut Exec<'_>, args: [u64; 5]) -> Ret {
    exec.region.check(args[1], 8, Access::Write)?;
    let r0 = res_lock(exec, args)?;
    if r0 == 0 {
        irq_save(exec, [args[1], 0, 0, 0, 0])?;
    }
    Ok(r0)
}

pub(super) fn res_unlock_irqrestore(exec: &mut Exec<'_>, args: [u64; 5]) -> Ret {
    exec.region.check(args[1], 8, Access::Read)?;
    res_unlock(exec, args)?;
    irq_restore(exec, [args[1], 0, 0, 0, 0])
}

pub(super) fn irq_save(exec: &mut Exec<'_>, [flags, ..]: [u64; 5]) -> Ret {
    let were_on = if exec.irqs_disabled() { 0 } else { IRQS_ON };
    exec.region.bpf_store(flags, 8, were_on)?;
    exec.set_irqs_off(true);
    Ok(0)
}

pub(super) fn irq_restore(exec: &mut Exec<'_>, [flags, ..]: [u64; 5]) -> Ret {
    let saved = exec.region.bpf_load(flags, 8)?;
    exec.set_irqs_off(saved & IRQS_ON == 0);
    Ok(0)
}

impl Exec<'_> {
    /// Gives up the resilient locks that this run still holds; whether there were any.
    pub(crate) fn release_res_locks(&mut self) -> bool {
        let held = std::mem::take(&mut self.held_res) as usize;
        if held > 0 {
            let mut locks = self.vm.res_locks.borrow_mut();
            let keep = locks.len().saturating_sub(held);
            locks.truncate(keep);
        }
        held > 0
    }
}
