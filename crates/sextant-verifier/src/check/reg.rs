//! What is known of a register or a spilled one. Mirrors `struct bpf_reg_state`, include/linux/bpf_verifier.h, 7.3.

use sextant_bpf::btf::TypeId;

use crate::range::Scalar;

/// A struct behind a BTF pointer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ty {
    /// Of the kernel, by C name.
    Kernel(&'static str),
    /// Of the program's BTF: an allocated object.
    Local(TypeId),
}

/// A kind of socket.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Sock {
    /// What all sockets have.
    Common,
    /// A full socket.
    Full,
    /// One of TCP.
    Tcp,
    /// One of XDP.
    Xdp,
}

/// What a register holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum What {
    /// Nothing yet.
    Uninit,
    /// A number.
    Scalar,
    /// An address in the stack of a frame; offset 0 is its end (r10).
    Stack(u8),
    /// The context.
    Ctx,
    /// A map itself (index into the environment's maps).
    Map(u32),
    /// In a value of a map.
    MapValue(u32),
    /// In a key of a map (callbacks).
    MapKey(u32),
    /// In a kernel or allocated object.
    Obj(Ty),
    /// Memory of that many bytes.
    Mem(u32),
    /// A function of the program, by slot.
    Func(u32),
    /// In the arena.
    Arena,
    /// A dynptr that a callback got.
    ConstDynptr,
    /// In the packet; `s` is the variable part of the offset, see `packet`.
    Packet,
    /// Before the packet.
    PacketMeta,
    /// The packet's end.
    PacketEnd,
    /// The flow dissector's result.
    FlowKeys,
    /// What a tracepoint lets programs write to.
    TraceBuffer,
    /// A socket.
    Sock(Sock),
}

impl What {
    /// Whether it is a kernel or allocated object.
    pub fn is_obj(self) -> bool {
        matches!(self, What::Obj(_))
    }
}

/// May be NULL.
pub const OR_NULL: u16 = 1;
/// May not be written.
pub const RDONLY: u16 = 2;
/// Certainly alive: op arguments, acquired objects.
pub const TRUSTED: u16 = 4;
/// Alive inside the RCU read side.
pub const RCU: u16 = 8;
/// May be gone: loads read 0 instead of trapping, kfuncs do not take it.
pub const UNTRUSTED: u16 = 16;
/// A per-CPU object.
pub const PERCPU: u16 = 32;
/// Allocated by the program.
pub const ALLOC: u16 = 64;
/// Owned by a list or tree, valid while its lock is held.
pub const NON_OWN: u16 = 128;
/// A ring buffer record.
pub const RINGBUF: u16 = 256;
/// `id` names a number that differs by `delta` from others with the id.
pub const DELTA: u16 = 512;
/// Memory of `bpf_dynptr_slice()`, a type of its own (`PTR_TO_MEM | DYNPTR_TYPE_*`).
pub const DYNMEM: u16 = 1024;
/// With `DELTA`: the sum is one of 32 bits, and the number it was added to has no upper half.
pub const DELTA32: u16 = 2048;

/// A register.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Reg {
    /// What it holds.
    pub what: What,
    /// `OR_NULL` and so on.
    pub flags: u16,
    /// The number, or a pointer's offset.
    pub s: Scalar,
    /// Same id: same number (numbers), same NULL check (pointers). 0: none.
    pub id: u32,
    /// With `DELTA`: this number minus the id's. Of packet pointers: the constant part of the offset.
    pub delta: i32,
    /// Of packet pointers, see `packet`.
    pub range: i32,
    /// Reference it carries or derives from. 0: none.
    pub ref_id: u32,
    /// Where its value comes from, see `nodes`.
    pub node: u32,
}

impl Reg {
    /// Not written yet.
    pub const UNINIT: Reg = Reg::of(What::Uninit, Scalar::UNKNOWN);
    /// A number about which nothing is known.
    pub const UNKNOWN: Reg = Reg::of(What::Scalar, Scalar::UNKNOWN);

    const fn of(what: What, s: Scalar) -> Reg {
        Reg { what, flags: 0, s, id: 0, delta: 0, range: 0, ref_id: 0, node: 0 }
    }

    /// A number.
    pub const fn scalar(s: Scalar) -> Reg {
        Reg::of(What::Scalar, s)
    }

    /// A known number.
    pub const fn constant(value: u64) -> Reg {
        Reg::scalar(Scalar::constant(value))
    }

    /// A pointer at offset 0.
    pub const fn ptr(what: What, flags: u16) -> Reg {
        Reg { flags, ..Reg::of(what, Scalar::constant(0)) }
    }

    /// Whether it holds a number.
    pub fn is_scalar(&self) -> bool {
        self.what == What::Scalar
    }

    /// Whether it holds a pointer.
    pub fn is_ptr(&self) -> bool {
        !matches!(self.what, What::Scalar | What::Uninit)
    }

    /// Whether it points into the packet or before it.
    pub fn is_packet(&self) -> bool {
        matches!(self.what, What::Packet | What::PacketMeta)
    }

    /// Whether it is the number 0.
    pub fn is_null(&self) -> bool {
        self.is_scalar() && self.s.is(0)
    }

    /// Whether any of `flags` is set.
    pub fn has(&self, flags: u16) -> bool {
        self.flags & flags != 0
    }

    /// The constant value.
    pub fn value(&self) -> Option<u64> {
        if self.is_scalar() { self.s.value() } else { None }
    }

    /// A pointer's constant offset.
    pub fn offset(&self) -> Option<i64> {
        self.s.value().map(|v| v as i64)
    }

    /// The flags that belong to a pointer's type.
    pub fn type_flags(&self) -> u16 {
        self.flags & !(DELTA | DELTA32)
    }

    /// A pointer to an object, with no flags but those that say why it is good or that nothing does.
    pub fn is_plain_object(&self) -> bool {
        let flags = self.type_flags();
        let owned = ALLOC | NON_OWN;
        matches!(self.what, What::Obj(_))
            && (matches!(flags, 0 | ALLOC | TRUSTED | RCU) || flags == owned || flags == owned | RCU)
    }

    /// A pointer to an object that nothing says is still there (`PTR_TO_BTF_ID` without a flag, or untrusted).
    pub fn may_be_gone(&self) -> bool {
        matches!(self.what, What::Obj(_)) && (self.type_flags() == 0 || self.has(UNTRUSTED))
    }

    /// Whether a kfunc takes it as trusted.
    pub fn is_trusted(&self) -> bool {
        (self.ref_id != 0 && !self.has(UNTRUSTED) && !self.has(RCU))
            || matches!(self.what, What::Ctx)
            || (self.has(TRUSTED | ALLOC | NON_OWN) && !self.has(UNTRUSTED | RCU | PERCPU))
    }

    /// Its type in the kernel's words.
    pub fn type_name(&self) -> String {
        let flag = |f: u16, name: &'static str| if self.has(f) { name } else { "" };
        let base = match self.what {
            What::Uninit => return "?".to_string(),
            What::Scalar => return "scalar".to_string(),
            What::Stack(_) => "fp",
            What::Ctx => "ctx",
            What::Map(_) => "map_ptr",
            What::MapValue(_) => "map_value",
            What::MapKey(_) => "map_key",
            What::Obj(_) => "ptr_",
            What::Mem(_) => "mem",
            What::Func(_) => "func",
            What::Arena => "arena",
            What::ConstDynptr => "dynptr_ptr",
            What::Packet => "pkt",
            What::PacketMeta => "pkt_meta",
            What::PacketEnd => "pkt_end",
            What::FlowKeys => "flow_keys",
            What::TraceBuffer => "tp_buffer",
            What::Sock(sock) => sock.name(),
        };
        let null = match (self.has(OR_NULL), base) {
            (false, _) => "",
            (true, "ptr_") => "or_null_",
            (true, _) => "_or_null",
        };
        format!(
            "{}{}{}{}{}{}{base}{null}",
            flag(RDONLY, "rdonly_"),
            flag(RINGBUF, "ringbuf_"),
            flag(PERCPU, "percpu_"),
            flag(UNTRUSTED, "untrusted_"),
            flag(TRUSTED, "trusted_"),
            flag(RCU, "rcu_"),
        )
    }
}
