//! `bpf_timer`: state per timer, keyed by the address of the `bpf_timer` in its map value.
//!
//! ```text
//!  init ─► {map}   set_callback ─► {map, callback}   start ─► armed   fire ─► callback(map, key, value)
//!  element deleted or map freed ─► gone (the host is told to cancel at the end of the call)
//! ```
//!
//! Must hold: a timer lives in a live element. A timer that fires after its element died does nothing.
//! Mirrors kernel/bpf/helpers.c, 7.3.

use crate::map::{MapId, SpecialField};
use crate::{Errno, Host, ProgId, Run, Trap, Vm};

/// A timer between init and its element's end.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Timer {
    pub(crate) map: MapId,
    /// Timer or work item.
    pub(crate) field: SpecialField,
    /// Program and first instruction of the callback.
    pub(crate) callback: Option<(ProgId, u32)>,
    pub(crate) armed: bool,
}

impl Vm {
    /// `bpf_timer_init`: EBUSY if it was, EINVAL if it is not the timer field of this map's values.
    pub(crate) fn timer_init(&self, timer: u64, map: u64, clock: u64) -> Result<(), Errno> {
        const CLOCKS: [u64; 3] = [0, 1, 7]; // REALTIME, MONOTONIC, BOOTTIME
        if !CLOCKS.contains(&clock) {
            return Err(Errno::EINVAL);
        }
        self.async_init(timer, map, SpecialField::Timer)
    }

    /// `bpf_wq_init`, as `timer_init`.
    pub(crate) fn wq_init(&self, wq: u64, map: u64) -> Result<(), Errno> {
        self.async_init(wq, map, SpecialField::Wq)
    }

    fn async_init(&self, timer: u64, map: u64, field: SpecialField) -> Result<(), Errno> {
        let map = self.map_by_addr(map).ok_or(Errno::EINVAL)?;
        if self.timer_place(&map, timer, field).is_none() {
            return Err(Errno::EINVAL);
        }
        let mut timers = self.timers.borrow_mut();
        if timers.contains_key(&timer) {
            return Err(Errno::EBUSY);
        }
        timers.insert(timer, Timer { map: map.id, field, callback: None, armed: false });
        Ok(())
    }

    /// The element a timer lies in, if it is that map's timer field: value and key.
    fn timer_place(
        &self,
        map: &crate::map::Map,
        timer: u64,
        field: SpecialField,
    ) -> Option<(u64, crate::map::KeyAt)> {
        let off = map.spec.fields.iter().find(|(_, f)| *f == field)?.0;
        let (value, key) = map.value_of(timer)?;
        (value + u64::from(off) == timer).then_some((value, key))
    }

    /// Forgets a work item whose element dies.
    pub(crate) fn wq_drop(&self, wq: u64) {
        self.timer_drop(wq);
    }

    /// Forgets a timer whose element dies.
    pub(crate) fn timer_drop(&self, timer: u64) {
        if self.timers.borrow_mut().remove(&timer).is_some_and(|t| t.armed) {
            self.dead_timers.borrow_mut().push(timer);
        }
    }

    /// Armed timers whose elements died since the last call or run, for the host to cancel.
    pub fn take_dead_timers(&self) -> Vec<u64> {
        if self.dead_timers.borrow().is_empty() {
            return Vec::new(); // asked after every run
        }
        std::mem::take(&mut *self.dead_timers.borrow_mut())
    }

    /// The host's clock reached the time of a timer: calls its callback with (map, key, value). `None` when the timer is
    /// gone or not armed.
    pub fn timer_fire(&self, timer: u64, host: &mut dyn Host) -> Result<Option<Run>, Trap> {
        let Some((prog, insn, map, field)) = self.timer_take(timer) else { return Ok(None) };
        let Some(map) = self.map(map) else { return Ok(None) };
        let Some((value, key)) = self.timer_place(&map, timer, field) else { return Ok(None) };
        let outer = self.firing.replace(Some(timer));
        let result = self.call_with_key(prog, insn, (map.addr, key, value), host);
        self.firing.set(outer);
        result.map(Some)
    }

    /// Disarms a timer that fires: its callback and map.
    fn timer_take(&self, timer: u64) -> Option<(ProgId, u32, MapId, SpecialField)> {
        let mut timers = self.timers.borrow_mut();
        let timer = timers.get_mut(&timer).filter(|t| t.armed)?;
        timer.armed = false;
        let (prog, insn) = timer.callback?;
        Some((prog, insn, timer.map, timer.field))
    }
}
