//! Loads and stores on the stack. Mirrors `check_stack_read()`, `check_stack_write()` of kernel/bpf/verifier.c, 7.3, for a loader
//! with CAP_PERFMON: reading what was never written is allowed and gives any number.

use super::reg::{Reg, What};
use super::state::{Byte, Frame, MAX_STACK, Slot, Special, slot_byte, slot_index};
use super::step::{fits, untie};
use super::*;
use crate::range::Scalar;

impl Env<'_> {
    /// Bounds of an access of `size` bytes at `reg` + `off`: lowest and highest start.
    fn stack_range(&mut self, n: u8, reg: &Reg, off: i64, size: i64, verb: &str) -> Res<(i64, i64)> {
        let (min, max) = (reg.s.smin().saturating_add(off), reg.s.smax().saturating_add(off));
        if min < -MAX_STACK || max.saturating_add(size) > 0 {
            let text = match reg.offset() {
                Some(at) => format!("invalid {verb} stack R{n} off={} size={size}", at + off),
                None => format!("invalid variable-offset {verb} stack R{n} var_off={} size={size}", reg.s),
            };
            return refuse_reg(Code::StackBounds, n, text);
        }
        Ok((min, max))
    }

    fn frame_mut(&mut self, frame: u8) -> &mut Frame {
        &mut self.st.frames[frame as usize]
    }

    /// The function's frame must hold the byte at `off`.
    pub(super) fn grow(&mut self, frame: u8, off: i64) {
        self.frame_mut(frame).slot_mut(off);
        let func = self.st.frames[frame as usize].func;
        let depth = self.depth.entry(func).or_default();
        *depth = (*depth).max((-off) as u32);
    }

    pub(super) fn stack_load(&mut self, n: u8, reg: &Reg, off: i64, size: u32) -> Res<Reg> {
        let What::Stack(frame) = reg.what else { return refuse(Code::StackBounds, "not a stack pointer") };
        let (min, max) = self.stack_range(n, reg, off, size.into(), "read from")?;
        if min != max {
            return self.stack_load_var(frame, min, max + i64::from(size));
        }
        let slot = self.frame_mut(frame).slot(min);
        let byte = slot_byte(min);
        if slot.special != Special::None {
            return refuse_reg(
                Code::Dynptr,
                n,
                format!("invalid read from stack R{n} off={min}: special object"),
            );
        }
        let spilled = slot.spilled();
        if spilled > 0 && slot.reg.is_ptr() && !(byte == 0 && size == 8 && spilled == 8) {
            return refuse_reg(Code::Spill, n, "invalid size of register fill");
        }
        if byte == 0 && spilled >= size {
            self.jumped();
            let mut reg = slot.reg;
            // What is learned of the number is learned of the slot.
            if size == 8 || (size == 4 && spilled == 4 && fits(&reg, 32)) {
                self.tie_number(&mut reg);
                self.frame_mut(frame).slot_mut(min).reg = reg;
            }
            if size < 8 {
                if !fits(&reg, size * 8) {
                    untie(&mut reg);
                }
                reg.s = reg.s.truncated(size);
            }
            return Ok(reg);
        }
        if self.is_zero(frame, min, min + i64::from(size)) {
            return Ok(self.number(Scalar::constant(0)));
        }
        Ok(self.number(Scalar::bytes(size)))
    }

    /// Whether every byte of `min..end` is 0. Then the zeros decide: a state with anything else there is another state.
    fn is_zero(&mut self, frame: u8, min: i64, end: i64) -> bool {
        let zero = (min..end).all(|at| {
            let slot = self.st.frames[frame as usize].slot(at);
            let byte = slot.bytes[slot_byte(at)];
            byte == Byte::Zero || (byte == Byte::Spill && slot.reg.is_null())
        });
        let slots: Vec<Slot> = if zero { self.slots(frame, min, end).collect() } else { Vec::new() };
        for slot in slots.iter().filter(|s| s.spilled() > 0) {
            self.nodes.mark(slot.reg.node);
        }
        zero
    }

    fn stack_load_var(&mut self, frame: u8, min: i64, end: i64) -> Res<Reg> {
        // Pointers among them are read as numbers.
        if self.slots(frame, min, end).any(|s| s.special != Special::None) {
            return refuse(Code::Dynptr, "variable-offset stack read of a special object");
        }
        let zero = self.is_zero(frame, min, end);
        Ok(if zero { self.number(Scalar::constant(0)) } else { self.number(Scalar::UNKNOWN) })
    }

    fn slots(&self, frame: u8, min: i64, end: i64) -> impl Iterator<Item = Slot> + '_ {
        let (last, first) = (slot_index(min), slot_index(end - 1));
        let frame = &self.st.frames[frame as usize];
        (first..=last).map(move |i| frame.stack.get(i).copied().unwrap_or(Slot::EMPTY))
    }

    pub(super) fn stack_store(&mut self, n: u8, reg: &Reg, off: i64, size: u32, val: &Reg) -> Res {
        let What::Stack(frame) = reg.what else { return refuse(Code::StackBounds, "not a stack pointer") };
        let (min, max) = self.stack_range(n, reg, off, size.into(), "write to")?;
        self.grow(frame, min);
        if min != max {
            return self.stack_store_var(frame, min, max + i64::from(size), val);
        }
        self.destroy_special(frame, min, min + i64::from(size))?;
        let aligned = slot_byte(min) == 0;
        if val.is_ptr() && (size != 8 || !aligned) {
            return refuse_reg(Code::Spill, n, "invalid size of register spill");
        }
        let mut val = *val;
        if aligned && val.is_scalar() && val.node == 0 {
            val.node = self.node([0, 0], 0);
        }
        if aligned && (val.is_ptr() || val.is_scalar()) {
            self.jumped();
            if !fits(&val, size * 8) && val.is_scalar() {
                untie(&mut val);
            }
            let slot = self.frame_mut(frame).slot_mut(min);
            slot.reg = val;
            for (i, byte) in slot.bytes.iter_mut().enumerate() {
                if (i as u32) < size {
                    *byte = Byte::Spill;
                } else if *byte == Byte::Spill {
                    *byte = Byte::Misc;
                }
            }
            return Ok(());
        }
        // Not at a slot's start: bytes.
        let byte = if val.is_null() { Byte::Zero } else { Byte::Misc };
        if byte == Byte::Zero {
            self.matters(&val);
        }
        self.fill(frame, min, min + i64::from(size), byte);
        Ok(())
    }

    fn stack_store_var(&mut self, frame: u8, min: i64, end: i64, val: &Reg) -> Res {
        self.destroy_special(frame, min, end)?;
        // Which bytes are written is not known: all may be anything now, but for zeros among which a zero is written.
        for at in min..end {
            let slot = self.frame_mut(frame).slot_mut(at);
            let byte = slot.bytes[slot_byte(at)];
            let zero = byte == Byte::Zero || (byte == Byte::Spill && slot.reg.is_null());
            if zero && val.is_null() {
                self.matters(val);
                continue;
            }
            if slot.bytes.contains(&Byte::Spill) {
                scrub(slot);
            }
            slot.bytes[slot_byte(at)] = Byte::Misc;
        }
        Ok(())
    }

    /// Sets every byte of `min..end`.
    pub(super) fn fill(&mut self, frame: u8, min: i64, end: i64, byte: Byte) {
        for at in min..end {
            let slot = self.frame_mut(frame).slot_mut(at);
            if slot.bytes.contains(&Byte::Spill) {
                scrub(slot);
            }
            slot.bytes[slot_byte(at)] = byte;
        }
    }

    /// A helper writes `min..end`.
    pub(super) fn stack_clobber(&mut self, frame: u8, min: i64, end: i64) -> Res {
        self.grow(frame, min);
        self.destroy_special(frame, min, end)?;
        self.fill(frame, min, end, Byte::Misc);
        Ok(())
    }

    /// Overwriting a dynptr ends it, unless it is the last that can give back what it holds; iterators may not be overwritten.
    fn destroy_special(&mut self, frame: u8, min: i64, end: i64) -> Res {
        let (first, last) = (slot_index(end - 1), slot_index(min));
        for at in first..=last {
            let special = self.st.frames[frame as usize].stack.get(at).map_or(Special::None, |s| s.special);
            match special {
                Special::None => {}
                Special::Dynptr { ref_id, .. } if ref_id != 0 && self.dynptrs_of(ref_id) == 1 => {
                    return refuse(Code::Dynptr, "cannot overwrite referenced dynptr");
                }
                Special::Dynptr { id, .. } => self.forget_dynptr(id),
                Special::Iter { ty, .. } => {
                    return refuse(
                        Code::Iterator,
                        format!("cannot overwrite {ty} on the stack while it is in use"),
                    );
                }
                _ => return refuse(Code::LockBalance, "cannot overwrite saved irq flags on the stack"),
            }
        }
        Ok(())
    }

    /// Dynptrs that share a reference: one and its clones.
    fn dynptrs_of(&self, ref_id: u32) -> usize {
        let slots = self.st.frames.iter().flat_map(|f| &f.stack);
        let mut ids: Vec<u32> = slots
            .filter_map(|slot| match slot.special {
                Special::Dynptr { id, ref_id: own, .. } if own == ref_id => Some(id),
                _ => None,
            })
            .collect();
        ids.sort_unstable();
        ids.dedup();
        ids.len()
    }

    /// A dynptr's slots become ordinary bytes, and slices of it become unusable.
    pub(super) fn forget_dynptr(&mut self, gone: u32) {
        for frame in &mut self.st.frames {
            for slot in &mut frame.stack {
                if matches!(slot.special, Special::Dynptr { id, .. } if id == gone) {
                    slot.special = Special::None;
                    slot.bytes = [Byte::Misc; 8];
                }
            }
        }
        let (nodes, pc) = (&mut self.nodes, self.st.pc);
        self.st.each_reg(|r| {
            if matches!(r.what, What::Mem(_)) && r.ref_id == gone {
                *r = Reg { node: nodes.new_at(pc, [0, 0], r.node), ..Reg::UNKNOWN };
            }
        });
    }
}

/// What is left of a spilled register of which a part is overwritten.
fn scrub(slot: &mut Slot) {
    for byte in slot.bytes.iter_mut().filter(|b| **b == Byte::Spill) {
        *byte = Byte::Misc;
    }
    slot.reg = Reg::UNINIT;
}
