//! What lies in the contexts of network and probe programs: by offset, size and direction.

use sextant_abi::tables::bpf::*;

use super::Hook;

/// What a context access is of.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Field {
    /// A number.
    Number,
    /// Where the packet starts.
    Packet,
    /// Where what lies before the packet starts.
    PacketMeta,
    /// Where the packet ends.
    PacketEnd,
    /// The dissector's result.
    FlowKeys,
    /// The packet's socket, or NULL.
    Sock,
    /// A full socket.
    FullSock,
    /// What a tracepoint lets programs write to.
    TraceBuffer,
}

/// Offsets in `struct __sk_buff`.
mod skb {
    pub const MARK: i64 = 8;
    pub const QUEUE_MAPPING: i64 = 12;
    pub const PRIORITY: i64 = 32;
    pub const TC_INDEX: i64 = 44;
    pub const CB: i64 = 48;
    pub const HASH: i64 = 68;
    pub const TC_CLASSID: i64 = 72;
    pub const DATA: i64 = 76;
    pub const DATA_END: i64 = 80;
    pub const NAPI_ID: i64 = 84;
    pub const FAMILY: i64 = 88;
    pub const REMOTE_IP4: i64 = 92;
    pub const REMOTE_PORT: i64 = 132;
    pub const DATA_META: i64 = 140;
    pub const FLOW_KEYS: i64 = 144;
    pub const TSTAMP: i64 = 152;
    pub const WIRE_LEN: i64 = 160;
    pub const SK: i64 = 168;
    pub const GSO_SIZE: i64 = 176;
    pub const TSTAMP_TYPE: i64 = 180;
    pub const HWTSTAMP: i64 = 184;
    pub const SIZE: i64 = 192;
}

/// `sizeof(struct pt_regs)` on x86-64.
const PT_REGS: i64 = 168;
/// `PERF_MAX_TRACE_SIZE`
const MAX_TRACE: i64 = 8192;
/// Eight bytes for each argument of a raw tracepoint.
const RAW_TP_ARGS: i64 = 12 * 8;

/// An access to check.
#[derive(Clone, Copy)]
struct Access {
    off: i64,
    size: i64,
    write: bool,
}

impl Access {
    fn aligned(&self) -> bool {
        self.off % self.size == 0
    }

    fn at(&self, start: i64, end: i64) -> bool {
        (start..end).contains(&self.off)
    }

    /// A part of a four-byte field is read.
    fn part(&self) -> Option<Field> {
        (!self.write && self.size <= 4).then_some(Field::Number)
    }

    /// A four-byte field, whole.
    fn word(&self, field: Field) -> Option<Field> {
        (!self.write && self.size == 4).then_some(field)
    }
}

impl Hook<'_> {
    /// The offset of a context pointer cannot be changed before it is used: loads are rewritten by offset.
    pub(crate) fn rewrites_context(&self) -> bool {
        !matches!(
            self.prog_type,
            BPF_PROG_TYPE_KPROBE
                | BPF_PROG_TYPE_TRACEPOINT
                | BPF_PROG_TYPE_RAW_TRACEPOINT
                | BPF_PROG_TYPE_RAW_TRACEPOINT_WRITABLE
                | BPF_PROG_TYPE_TRACING
                | BPF_PROG_TYPE_LSM
                | BPF_PROG_TYPE_NETFILTER
        )
    }

    /// Whether the fields of its context are known; of other types it is read as numbers.
    pub fn describes_context(&self) -> bool {
        matches!(
            self.prog_type,
            BPF_PROG_TYPE_SOCKET_FILTER
                | BPF_PROG_TYPE_SCHED_CLS
                | BPF_PROG_TYPE_SCHED_ACT
                | BPF_PROG_TYPE_CGROUP_SKB
                | BPF_PROG_TYPE_LWT_IN
                | BPF_PROG_TYPE_LWT_OUT
                | BPF_PROG_TYPE_LWT_XMIT
                | BPF_PROG_TYPE_LWT_SEG6LOCAL
                | BPF_PROG_TYPE_SK_SKB
                | BPF_PROG_TYPE_FLOW_DISSECTOR
                | BPF_PROG_TYPE_XDP
                | BPF_PROG_TYPE_SK_MSG
                | BPF_PROG_TYPE_SK_REUSEPORT
                | BPF_PROG_TYPE_KPROBE
                | BPF_PROG_TYPE_TRACEPOINT
                | BPF_PROG_TYPE_RAW_TRACEPOINT
                | BPF_PROG_TYPE_RAW_TRACEPOINT_WRITABLE
                | BPF_PROG_TYPE_PERF_EVENT
        )
    }

    /// What an access of the context is of; `None`: it is not possible.
    pub(crate) fn field(&self, off: i64, size: u32, write: bool) -> Option<Field> {
        let a = Access { off, size: i64::from(size), write };
        if off < 0 {
            return None;
        }
        match self.prog_type {
            BPF_PROG_TYPE_SOCKET_FILTER
            | BPF_PROG_TYPE_SCHED_CLS
            | BPF_PROG_TYPE_SCHED_ACT
            | BPF_PROG_TYPE_CGROUP_SKB
            | BPF_PROG_TYPE_LWT_IN
            | BPF_PROG_TYPE_LWT_OUT
            | BPF_PROG_TYPE_LWT_XMIT
            | BPF_PROG_TYPE_LWT_SEG6LOCAL
            | BPF_PROG_TYPE_SK_SKB => self.skb_field(a),
            BPF_PROG_TYPE_FLOW_DISSECTOR => dissector_field(a),
            BPF_PROG_TYPE_XDP => self.xdp_field(a),
            BPF_PROG_TYPE_SK_MSG => msg_field(a),
            BPF_PROG_TYPE_SK_REUSEPORT => reuseport_field(a),
            BPF_PROG_TYPE_KPROBE => plain(a, 0, PT_REGS),
            BPF_PROG_TYPE_TRACEPOINT => plain(a, 8, MAX_TRACE),
            BPF_PROG_TYPE_RAW_TRACEPOINT_WRITABLE if off == 0 => {
                (size == 8 && !write).then_some(Field::TraceBuffer)
            }
            BPF_PROG_TYPE_RAW_TRACEPOINT | BPF_PROG_TYPE_RAW_TRACEPOINT_WRITABLE => plain(a, 0, RAW_TP_ARGS),
            BPF_PROG_TYPE_PERF_EVENT => plain(a, 0, PT_REGS + 16),
            _ => plain(a, 0, i64::from(u16::MAX)),
        }
    }

    fn skb_field(&self, a: Access) -> Option<Field> {
        if a.off >= skb::SIZE || !a.aligned() || self.hides(a.off) {
            return None;
        }
        if a.write {
            return self.skb_writable(a).then_some(Field::Number);
        }
        match a.off {
            o if (skb::CB..skb::HASH).contains(&o) => (a.off + a.size <= skb::HASH).then_some(Field::Number),
            skb::DATA..skb::DATA_END => a.word(Field::Packet),
            skb::DATA_END..skb::NAPI_ID => a.word(Field::PacketEnd),
            skb::DATA_META..skb::FLOW_KEYS => a.word(Field::PacketMeta),
            skb::REMOTE_IP4..skb::REMOTE_PORT => a.word(Field::Number),
            skb::TSTAMP | skb::HWTSTAMP => (a.size == 8).then_some(Field::Number),
            skb::SK => (a.size == 8).then_some(Field::Sock),
            skb::TSTAMP_TYPE => (a.size == 1 && self.is_tc()).then_some(Field::Number),
            o if (skb::FLOW_KEYS..skb::WIRE_LEN).contains(&o)
                || (skb::SK..skb::GSO_SIZE).contains(&o)
                || o > skb::TSTAMP_TYPE =>
            {
                None
            }
            _ => a.part(),
        }
    }

    fn is_tc(&self) -> bool {
        matches!(self.prog_type, BPF_PROG_TYPE_SCHED_CLS | BPF_PROG_TYPE_SCHED_ACT)
    }

    /// Fields of the skb that this type does not have.
    fn hides(&self, off: i64) -> bool {
        let field = |start: i64, size: i64| (start..start + size).contains(&off);
        let class = field(skb::TC_CLASSID, 4);
        let meta = field(skb::DATA_META, 4);
        let packet = field(skb::DATA, 4) || field(skb::DATA_END, 4);
        let socket = (skb::FAMILY..skb::DATA_META).contains(&off);
        let time = field(skb::TSTAMP, 8) || field(skb::HWTSTAMP, 8);
        let wire = field(skb::WIRE_LEN, 4);
        match self.prog_type {
            BPF_PROG_TYPE_SOCKET_FILTER => class || meta || packet || socket || time || wire,
            BPF_PROG_TYPE_CGROUP_SKB => class || meta || wire,
            BPF_PROG_TYPE_SCHED_CLS | BPF_PROG_TYPE_SCHED_ACT => socket,
            BPF_PROG_TYPE_SK_SKB => class || meta || time || wire || field(skb::MARK, 4),
            _ => class || socket || meta || time || wire,
        }
    }

    fn skb_writable(&self, a: Access) -> bool {
        let word = |start: i64| a.off == start && a.size == 4;
        let control = a.at(skb::CB, skb::HASH) && a.off + a.size <= skb::HASH;
        match self.prog_type {
            BPF_PROG_TYPE_SOCKET_FILTER => control,
            BPF_PROG_TYPE_CGROUP_SKB => {
                control || word(skb::MARK) || word(skb::PRIORITY) || (a.off == skb::TSTAMP && a.size == 8)
            }
            BPF_PROG_TYPE_SCHED_CLS | BPF_PROG_TYPE_SCHED_ACT => {
                let words = [skb::MARK, skb::TC_INDEX, skb::PRIORITY, skb::TC_CLASSID, skb::QUEUE_MAPPING];
                control || words.into_iter().any(word) || (a.off == skb::TSTAMP && a.size == 8)
            }
            BPF_PROG_TYPE_SK_SKB => word(skb::TC_INDEX) || word(skb::PRIORITY),
            _ => control || word(skb::MARK) || word(skb::PRIORITY),
        }
    }

    fn xdp_field(&self, a: Access) -> Option<Field> {
        let no_device = a.off == 20 && self.attach_type != BPF_XDP_DEVMAP;
        if a.off >= 24 || !a.aligned() || no_device {
            return None;
        }
        a.word(match a.off {
            0 => Field::Packet,
            4 => Field::PacketEnd,
            8 => Field::PacketMeta,
            _ => Field::Number,
        })
    }
}

fn dissector_field(a: Access) -> Option<Field> {
    if a.off >= skb::SIZE || a.write || !a.aligned() {
        return None;
    }
    match a.off {
        skb::DATA..skb::DATA_END => a.word(Field::Packet),
        skb::DATA_END..skb::NAPI_ID => a.word(Field::PacketEnd),
        skb::FLOW_KEYS => (a.size == 8).then_some(Field::FlowKeys),
        _ => None,
    }
}

/// `struct sk_msg_md`
fn msg_field(a: Access) -> Option<Field> {
    if a.off >= 80 || a.write || !a.aligned() {
        return None;
    }
    match a.off {
        0 => (a.size == 8).then_some(Field::Packet),
        8 => (a.size == 8).then_some(Field::PacketEnd),
        16..72 => a.word(Field::Number),
        72 => (a.size == 8).then_some(Field::FullSock),
        _ => None,
    }
}

/// `struct sk_reuseport_md`
fn reuseport_field(a: Access) -> Option<Field> {
    if a.off >= 56 || a.write || !a.aligned() {
        return None;
    }
    match a.off {
        0 => (a.size == 8).then_some(Field::Packet),
        8 => (a.size == 8).then_some(Field::PacketEnd),
        16 | 24 | 28 | 32 => a.part(),
        20 => (a.size <= 2).then_some(Field::Number),
        40 => (a.size == 8).then_some(Field::FullSock),
        48 => (a.size == 8).then_some(Field::Sock),
        _ => None,
    }
}

/// Numbers from `start` to `end`, read only.
fn plain(a: Access, start: i64, end: i64) -> Option<Field> {
    let inside = a.off >= start && a.off + a.size <= end;
    (!a.write && inside && a.aligned()).then_some(Field::Number)
}
