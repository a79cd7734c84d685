//! What is known of a register in plain words, for people who do not read the kernel's log every day.

use super::reg::{ALLOC, NON_OWN, OR_NULL, PERCPU, RCU, RDONLY, RINGBUF, Reg, TRUSTED, Ty, UNTRUSTED, What};
use super::*;
use crate::range::Scalar;
use sextant_abi::tables::bpf::MAP_TYPES;
use sextant_bpf::opcode::Kind;

impl Env<'_> {
    /// To follow the register's name: `is a struct task_struct, or NULL`.
    pub(super) fn words(&self, reg: &Reg) -> String {
        if reg.what == What::Uninit {
            return "was not written on this way, or a call has overwritten it".into();
        }
        if reg.is_scalar() {
            let spoiled = self.nodes.spoiled(reg.node).filter(|pc| reg.s.is_unknown() && self.is_call(*pc));
            return match spoiled {
                Some(pc) => format!("was a pointer until instruction {pc} gave back what it pointed to"),
                None => format!("is {}", number(&reg.s)),
            };
        }
        let mut text = format!("is {}", self.place(reg));
        if !matches!(reg.what, What::Stack(_)) {
            text.push_str(&offset(reg));
        }
        if reg.has(OR_NULL) {
            text.push_str(", or NULL");
        }
        if reg.ref_id != 0 && self.st.refs.iter().any(|r| r.id == reg.ref_id) && !reg.has(UNTRUSTED) {
            text.push_str(", which must be given back");
        }
        text
    }

    fn place(&self, reg: &Reg) -> String {
        let map = |map: u32| self.map(map).name;
        match reg.what {
            What::Uninit | What::Scalar => String::new(),
            What::Stack(frame) => {
                let whose = if frame as usize + 1 == self.st.frames.len() { "the" } else { "a caller's" };
                match reg.offset() {
                    Some(0) => format!("the end of {whose} stack"),
                    Some(off) if off < 0 => {
                        format!("an address in {whose} stack, {} bytes below its end", -off)
                    }
                    Some(off) => format!("an address {off} bytes above the end of {whose} stack"),
                    None => format!("an address in {whose} stack{} of its end", offset(reg)),
                }
            }
            What::Ctx => "the context, which holds the arguments".into(),
            What::Map(m) => format!("the map \"{}\" itself, a {}", map(m), map_type(self.map(m).map_type)),
            What::MapValue(m) if self.map(m).rdonly => {
                format!("a value of the read-only map \"{}\" ({} bytes)", map(m), self.map(m).value_size)
            }
            What::MapValue(m) => format!("a value of map \"{}\" ({} bytes)", map(m), self.map(m).value_size),
            What::MapKey(m) => format!("a key of map \"{}\" ({} bytes)", map(m), self.map(m).key_size),
            What::Obj(ty) => self.object(reg, ty),
            What::Mem(_) if reg.has(PERCPU) => "a per-CPU variable, which bpf_per_cpu_ptr() finds".into(),
            What::Mem(u32::MAX) => "memory of unknown size".into(),
            What::Mem(size) if reg.has(RINGBUF) => format!("a ring buffer record of {size} bytes"),
            What::Mem(size) if reg.has(RDONLY) => format!("read-only memory of {size} bytes"),
            What::Mem(size) => format!("memory of {size} bytes"),
            What::Func(pc) => format!("the function {}", self.prog.func_name(pc as usize)),
            What::Arena => "an address in the arena".into(),
            What::ConstDynptr => "a dynptr".into(),
            What::Packet => {
                format!("an address in the packet, of which {} bytes are there", reg.range.max(0))
            }
            What::PacketMeta => "an address before the packet".into(),
            What::PacketEnd => "the packet's end".into(),
            What::Sock(_) => "a socket".into(),
            What::TraceBuffer => "the tracepoint's buffer".into(),
            What::FlowKeys => "the flow dissector's keys".into(),
        }
    }

    fn is_call(&self, pc: usize) -> bool {
        matches!(self.cfg.kinds[pc], Some(Kind::Call(_)))
    }

    fn object(&self, reg: &Reg, ty: Ty) -> String {
        let name = self.ty_name(ty);
        let of = if reg.has(PERCPU) { "a per-CPU struct" } else { "a struct" };
        let trust = if reg.has(NON_OWN) {
            " that a list or tree owns"
        } else if reg.has(ALLOC) {
            " that the program allocated"
        } else if reg.has(UNTRUSTED) {
            " that may be gone already"
        } else if reg.has(RCU) {
            " that lives as long as the RCU read side"
        } else if reg.has(TRUSTED) || reg.ref_id != 0 || reg.has(PERCPU) {
            ""
        } else {
            " of which nobody says whether it is still there"
        };
        format!("{of} {name}{trust}")
    }
}

/// `BPF_MAP_TYPE_RINGBUF`
fn map_type(map_type: u32) -> String {
    let known = MAP_TYPES.iter().find(|(_, number)| *number == map_type);
    known.map_or_else(|| format!("map of type {map_type}"), |(name, _)| (*name).to_string())
}

/// `the number 5`, `a number from 0 to 255`.
fn number(s: &Scalar) -> String {
    let (min, max) = (s.smin(), s.smax());
    match s.value() {
        Some(value) => format!("the number {}", value as i64),
        None if min != i64::MIN && max != i64::MAX => format!("a number from {min} to {max}"),
        None if s.umin() != 0 && s.umax() == u64::MAX => format!("a number of at least {}", s.umin()),
        None if s.umax() <= i64::MAX as u64 => format!("a number from {} to {}", s.umin(), s.umax()),
        None if max <= i64::MAX / 2 => format!("a number of at most {max}"),
        None => "a number that can be anything".into(),
    }
}

/// Where behind the start of what it points to.
fn offset(reg: &Reg) -> String {
    match reg.offset() {
        Some(0) => String::new(),
        Some(off) if off < 0 => format!(", {} bytes before its start", off.unsigned_abs()),
        Some(off) => format!(" at offset {off}"),
        None => {
            let known = reg.s.smin() != i64::MIN && reg.s.smax() != i64::MAX;
            match known {
                true => format!(" at an offset from {} to {}", reg.s.smin(), reg.s.smax()),
                false => " at an offset that can be anything".into(),
            }
        }
    }
}
