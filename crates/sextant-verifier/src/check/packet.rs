//! Pointers into the packet. Mirrors `check_packet_access()`, `find_good_pkt_pointers()`, `try_match_pkt_pointers()`,
//! `is_pkt_ptr_branch_taken()` of kernel/bpf/verifier.c, 7.3.
//!
//! A packet pointer is `start + s + delta`: `s` what was added and is not known, `delta` the constants; pointers with the same id have
//! the same `s`. `range` bytes from `start + s` on are in the packet; what a comparison with the packet's end tells of one pointer it
//! tells of all with the id. What must hold: an access at a constant `off` with `delta + off + size <= range` is inside, whatever
//! `s` is. (The kernel adds `s` and `delta` up and compares the largest value; it is the same for the same id.)
//! A negative range says that the pointer itself is at or beyond the end.

use sextant_bpf::opcode::Cond;

use super::reg::{OR_NULL, Reg, Sock, What};
use super::*;
use crate::hook::{Field, Hook};
use crate::program::ProgKind;
use crate::range::{Scalar, alu};

/// The pointer is at the packet's end, or beyond.
const AT_END: i32 = -1;
/// The pointer is beyond the packet's end.
const BEYOND_END: i32 = -2;
/// Furthest offset into a packet.
const MAX_OFF: i64 = 0xffff;
/// `sizeof(struct bpf_flow_keys)`
const FLOW_KEYS: i64 = 56;

impl Env<'_> {
    /// Reads a field of a context that is not an argument list.
    pub(super) fn load_hook(&mut self, n: u8, hook: &Hook<'_>, at: i64, size: u32) -> Res<Reg> {
        let Some(field) = hook.field(at, size, false) else {
            let text = format!("invalid bpf_context access off={at} size={size}");
            return refuse_reg(Code::CtxAccess, n, text);
        };
        let what = match field {
            Field::Number => return Ok(self.number(Scalar::bytes(size))),
            Field::Sock => {
                let id = self.fresh_id();
                return Ok(Reg { id, ..Reg::ptr(What::Sock(Sock::Common), OR_NULL) });
            }
            Field::FullSock => What::Sock(Sock::Full),
            Field::TraceBuffer => What::TraceBuffer,
            Field::Packet => What::Packet,
            Field::PacketMeta => What::PacketMeta,
            Field::PacketEnd => What::PacketEnd,
            Field::FlowKeys => What::FlowKeys,
        };
        Ok(Reg::ptr(what, 0))
    }

    /// Writes a field of a context.
    pub(super) fn store_hook(&mut self, n: u8, base: &Reg, off: i64, size: u32) -> Res {
        let text = format!("invalid bpf_context access off={off} size={size}");
        let ProgKind::Other(hook) = self.prog.kind else { return refuse_reg(Code::CtxAccess, n, text) };
        let at = self.ctx_bounds(n, base, off, size)?;
        match hook.field(at, size, true) {
            Some(_) => Ok(()),
            None => refuse_reg(Code::CtxAccess, n, text),
        }
    }

    /// `size` bytes at `reg + off` are in the packet.
    pub(super) fn packet_access(&mut self, n: u8, reg: &Reg, off: i64, size: u32, write: bool) -> Res {
        let allowed = matches!(self.prog.kind, ProgKind::Other(hook) if hook.packet_access(write));
        if write && !allowed {
            return refuse_reg(Code::Readonly, n, "cannot write into packet");
        }
        self.packet_bounds(n, reg, off, size)
    }

    /// The same without asking whether the program may.
    pub(super) fn packet_bounds(&mut self, n: u8, reg: &Reg, off: i64, size: u32) -> Res {
        if reg.range < 0 {
            return refuse_reg(Code::MemBounds, n, format!("R{n} offset is outside of the packet"));
        }
        let at = i64::from(reg.delta) + off;
        if reg.s.smin().saturating_add(at) < 0 {
            let text = format!(
                "R{n} min value is negative, either use unsigned index or do a if (index >=0) check."
            );
            return refuse_reg(Code::MemBounds, n, text);
        }
        if at.saturating_add(i64::from(size)) > i64::from(reg.range) || reg.s.smax() > MAX_OFF {
            let text = format!(
                "invalid access to packet, off={off} size={size}, R{n}(id={},off={},r={}); R{n} max value is outside of the allowed memory range",
                reg.id, reg.delta, reg.range
            );
            return refuse_reg(Code::MemBounds, n, text);
        }
        Ok(())
    }

    pub(super) fn flow_keys_access(&mut self, n: u8, reg: &Reg, off: i64, size: u32) -> Res {
        match reg.offset().map(|at| at + off) {
            Some(at) if at >= 0 && at + i64::from(size) <= FLOW_KEYS => Ok(()),
            _ => refuse_reg(Code::MemBounds, n, format!("invalid access to flow keys off={off} size={size}")),
        }
    }

    /// What a tracepoint is given may be of any size: it is checked where the program attaches.
    pub(super) fn trace_buffer_access(&mut self, n: u8, reg: &Reg, off: i64, size: u32) -> Res {
        let Some(at) = reg.offset() else {
            let bits = reg.s.bits;
            let text = format!(
                "R{n} invalid variable buffer offset: off={off}, var_off=(0x{:x}; 0x{:x})",
                bits.value, bits.mask
            );
            return refuse_reg(Code::MemBounds, n, text);
        };
        if at + off < 0 {
            let text = format!("R{n} invalid negative tracepoint buffer offset: off={off}, size={size}");
            return refuse_reg(Code::MemBounds, n, text);
        }
        Ok(())
    }

    /// `ptr + num` or `ptr - num`.
    pub(super) fn move_packet(&mut self, back: bool, ptr: &Reg, num: &Reg) -> Res {
        let dst = self.prog.insns[self.st.pc].dst;
        let mut reg = Reg { node: self.node([num.node, 0], ptr.node), range: ptr.range.max(0), ..*ptr };
        if let Some(by) = num.s.value() {
            let by = if back { (by as i64).wrapping_neg() } else { by as i64 };
            // Both are within 2^29.
            reg.delta = (i64::from(ptr.delta) + by) as i32;
        } else {
            let op = if back { sextant_bpf::opcode::Alu::Sub } else { sextant_bpf::opcode::Alu::Add };
            reg.s = alu::alu(op, true, &ptr.s, &num.s);
            reg.id = self.fresh_id();
            // Going back, what was there is still there, further on.
            reg.range = match u16::try_from(num.s.smin()) {
                Ok(least) if back => reg.range.saturating_add(i32::from(least)),
                _ => 0,
            };
        }
        let whole = alu::alu(
            sextant_bpf::opcode::Alu::Add,
            true,
            &reg.s,
            &Scalar::constant(i64::from(reg.delta) as u64),
        );
        self.sane_offset(dst, ptr, &whole)?;
        self.set(dst, reg);
        Ok(())
    }

    /// A comparison tells how much of the packet is there: in `st`, where it does not hold, and in `taken`, where it does.
    pub(super) fn compare_packet(&mut self, cond: Cond, dst: &Reg, src: &Reg, taken: &mut State) {
        let insn = self.prog.insns[self.st.pc];
        let (ptr, n, cond) = if bounded(dst, src) {
            (dst, insn.dst, cond)
        } else if bounded(src, dst) {
            (src, insn.src, flipped(cond))
        } else {
            return;
        };
        // As `ptr cond end`: the way on which it is inside, and whether up to the end or before it.
        let (inside, outside, before) = match cond {
            Cond::Gt => (&mut self.st, taken, false),
            Cond::Ge => (&mut self.st, taken, true),
            Cond::Lt => (taken, &mut self.st, true),
            Cond::Le => (taken, &mut self.st, false),
            _ => return,
        };
        found(inside, ptr, before);
        if ptr.what == What::Packet {
            outside.reg_mut(n).range = if before { AT_END } else { BEYOND_END };
        }
    }

    /// LD_ABS, LD_IND: a call that reads the packet; where it cannot, the program ends with 0.
    pub(super) fn load_skb(&mut self, ind: bool) -> Res<Next> {
        let insn = self.prog.insns[self.st.pc];
        if !matches!(self.prog.kind, ProgKind::Other(hook) if hook.reads_skb()) {
            let text = "BPF_LD_[ABS|IND] instructions not allowed for this program type";
            return refuse(Code::Unsupported, text);
        }
        if self.st.frames.iter().any(|f| f.callback.is_some()) {
            return refuse(Code::Callback, "cannot use BPF_LD_[ABS|IND] within callback");
        }
        let ctx = self.read(6)?;
        self.check_held("BPF_LD_[ABS|IND]")?;
        if ctx.what != What::Ctx {
            let text = "at the time of BPF_LD_ABS|IND R6 != pointer to skb";
            return refuse_reg(Code::ArgType, 6, text);
        }
        if ind {
            self.read(insn.src)?;
        }
        if ctx.offset() != Some(0) {
            return refuse_reg(Code::CtxAccess, 6, "dereference of modified ctx ptr R6 disallowed");
        }
        self.clobber();
        let value = self.number(Scalar::UNKNOWN);
        self.set(0, value);
        let next = self.st.pc + 1;
        if self.st.frames.len() == 1 {
            return Ok(Next::Goto(next));
        }
        // Inside of a function the hidden exit is one from the function.
        let other = self.st.clone();
        self.push(other, next)?;
        let zero = self.number(Scalar::constant(0));
        self.set(0, zero);
        self.exit()
    }

    /// bpf_tail_call() inside of a function: where it succeeds, the function has returned, with any result.
    pub(super) fn tail_call(&mut self) -> Res<Next> {
        if self.st.top().callback.is_some() {
            return refuse(Code::Callback, "cannot tail call within callback");
        }
        let other = self.st.clone();
        self.push(other, self.st.pc + 1)?;
        self.forget_packet();
        let result = self.number(Scalar::UNKNOWN);
        self.set(0, result);
        self.exit()
    }

    /// The packet was moved: pointers into it are of no use.
    pub(super) fn forget_packet(&mut self) {
        self.st.each_reg(|r| {
            if r.is_packet() || r.what == What::PacketEnd {
                *r = Reg { node: r.node, ..Reg::UNKNOWN };
            }
        });
    }
}

/// Whether `end` bounds `ptr`: the packet's end the packet, the packet's start what lies before it.
fn bounded(ptr: &Reg, end: &Reg) -> bool {
    match ptr.what {
        What::Packet => end.what == What::PacketEnd,
        What::PacketMeta => end.what == What::Packet && end.delta == 0 && end.s.is(0),
        _ => false,
    }
}

fn flipped(cond: Cond) -> Cond {
    match cond {
        Cond::Gt => Cond::Lt,
        Cond::Ge => Cond::Le,
        Cond::Lt => Cond::Gt,
        Cond::Le => Cond::Ge,
        other => other,
    }
}

/// What is before `ptr` is in the packet; with `before` a byte more.
fn found(state: &mut State, ptr: &Reg, before: bool) {
    let delta = i64::from(ptr.delta);
    let (near, far) = (ptr.s.smin().saturating_add(delta), ptr.s.smax().saturating_add(delta));
    // An offset that far may have wrapped around.
    if near < 0 || far > MAX_OFF || (far == 0 && before) {
        return;
    }
    let range = ptr.delta.saturating_add(i32::from(before));
    state.each_reg(|r| {
        if r.what == ptr.what && r.id == ptr.id {
            r.range = r.range.max(range);
        }
    });
}

/// Which way a comparison with the packet's end goes for a pointer that is known to be at it or beyond.
pub(super) fn taken(cond: Cond, dst: &Reg, src: &Reg) -> Option<bool> {
    let (ptr, cond) = if src.what == What::PacketEnd { (dst, cond) } else { (src, flipped(cond)) };
    if !ptr.is_packet() || ptr.range >= 0 {
        return None;
    }
    match cond {
        Cond::Gt | Cond::Le if ptr.range == BEYOND_END => Some(cond == Cond::Gt),
        Cond::Ge | Cond::Lt => Some(cond == Cond::Ge),
        _ => None,
    }
}
