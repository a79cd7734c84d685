//! Sockets: what can be read of them, looking them up and giving them back. Mirrors `check_sock_access()`, `may_update_sockmap()` of
//! kernel/bpf/verifier.c and the access checks of net/core/filter.c, 7.3.

use sextant_abi::tables::{HelperId, bpf::*};

use super::reg::{OR_NULL, Reg, Sock, TRUSTED, Ty, What};
use super::state::RefKind;
use super::*;
use crate::program::ProgKind;
use crate::range::Scalar;

impl Env<'_> {
    /// Sockets are read, member by member.
    pub(super) fn load_sock(&mut self, n: u8, base: &Reg, sock: Sock, off: i64, size: u32) -> Res<Reg> {
        let valid = base.offset().is_some_and(|at| sock.has(at + off, size.into()));
        if valid {
            return Ok(self.number(Scalar::bytes(size)));
        }
        let text = format!("R{n} invalid {} access off={off} size={size}", sock.name());
        refuse_reg(Code::ObjAccess, n, text)
    }

    /// Argument `n` is a socket of any kind.
    pub(super) fn sock_arg(&mut self, n: u8) -> Res<Reg> {
        let reg = self.read(n)?;
        let fits = match reg.what {
            What::Sock(_) => true,
            What::Obj(Ty::Kernel(name)) => is_sock(name) && (reg.is_trusted() || reg.ref_id != 0),
            _ => false,
        };
        if fits && !reg.has(OR_NULL) {
            return Ok(reg);
        }
        let text = format!("R{n} type={} expected=sock_common, sock, tcp_sock, xdp_sock", reg.type_name());
        refuse_reg(if reg.has(OR_NULL) { Code::ArgNull } else { Code::ArgType }, n, text)
    }

    /// bpf_sk_release(sk)
    pub(super) fn sock_release(&mut self) -> Res {
        let reg = self.sock_arg(1)?;
        let held = reg.id == reg.ref_id && self.st.refs.iter().any(|r| r.id == reg.ref_id);
        if !held {
            let text = "release helper bpf_sk_release expects referenced PTR_TO_BTF_ID passed to R1";
            return refuse_reg(Code::RefRelease, 1, text);
        }
        self.release(reg.ref_id)
    }

    /// A looked up socket or NULL, acquired.
    pub(super) fn sock_found(&mut self, sock: Sock) -> Reg {
        let ref_id = self.acquire(RefKind::Object);
        Reg { id: ref_id, ref_id, ..Reg::ptr(What::Sock(sock), OR_NULL) }
    }

    /// The same socket as another kind, or NULL. Where it is held, either pointer gives it back: so the NULL goes its own way.
    pub(super) fn sock_cast(&mut self, what: What) -> Res<Reg> {
        let arg = self.sock_arg(1)?;
        let trusted = if matches!(what, What::Obj(_)) { TRUSTED } else { 0 };
        if !self.st.refs.iter().any(|r| r.id == arg.ref_id) {
            let id = self.fresh_id();
            return Ok(Reg { id, ..Reg::ptr(what, OR_NULL | trusted) });
        }
        let mut other = self.st.clone();
        (0..=5).for_each(|n| *other.reg_mut(n) = Reg::UNINIT);
        *other.reg_mut(0) = self.number(Scalar::constant(0));
        self.push(other, self.st.pc + 1)?;
        Ok(Reg { id: arg.ref_id, ref_id: arg.ref_id, ..Reg::ptr(what, trusted) })
    }

    /// The same socket as a kernel struct.
    pub(super) fn sock_as(&mut self, name: &'static str) -> Res<Reg> {
        self.sock_cast(What::Obj(Ty::Kernel(name)))
    }

    /// Another socket that a socket leads to, or NULL.
    pub(super) fn sock_beside(&mut self, sock: Sock) -> Res<Reg> {
        self.sock_arg(1)?;
        let id = self.fresh_id();
        Ok(Reg { id, ..Reg::ptr(What::Sock(sock), OR_NULL) })
    }

    /// Maps of sockets are changed only where no socket is locked.
    pub(super) fn may_update_sockmap(&self, helper: HelperId) -> bool {
        match self.prog.kind {
            ProgKind::Tracing { args, .. } => {
                matches!(args.first(), Some(crate::CtxArg::Trusted(name)) if name.starts_with("bpf_iter__"))
            }
            ProgKind::Other(hook) => match hook.prog_type {
                BPF_PROG_TYPE_SOCK_OPS => helper == HelperId::map_delete_elem,
                BPF_PROG_TYPE_SK_REUSEPORT | BPF_PROG_TYPE_SK_LOOKUP => true,
                _ => false,
            },
            _ => false,
        }
    }
}

impl Sock {
    /// As in the kernel's log.
    pub fn name(self) -> &'static str {
        match self {
            Sock::Common => "sock_common",
            Sock::Full => "sock",
            Sock::Tcp => "tcp_sock",
            Sock::Xdp => "xdp_sock",
        }
    }

    /// Whether `size` bytes at `off` can be read.
    fn has(self, off: i64, size: i64) -> bool {
        if off < 0 || off % size != 0 {
            return false;
        }
        match self {
            Sock::Common => !(8..24).contains(&off) && full_has(off, size),
            Sock::Full => full_has(off, size),
            Sock::Tcp => match off {
                80 | 88 => size == 8,
                _ => off < 112 && size == 4,
            },
            Sock::Xdp => off == 0 && size == 4,
        }
    }
}

/// `struct bpf_sock`
fn full_has(off: i64, size: i64) -> bool {
    match off {
        // family, type, protocol, addresses, state, queue: also in part.
        4..16 | 24..48 | 52..80 => size <= 4,
        // The port, two bytes; as a word for programs made when it was one.
        48..50 => size <= 2 || (off == 48 && size == 4),
        50..52 => false,
        _ => off < 80 && size == 4,
    }
}

fn is_sock(name: &str) -> bool {
    matches!(name, "sock" | "sock_common" | "tcp_sock" | "tcp6_sock" | "udp6_sock" | "inet_sock")
}

/// Whether a map holds sockets that a lookup acquires.
pub(super) fn holds_sockets(map_type: u32) -> bool {
    matches!(map_type, BPF_MAP_TYPE_SOCKMAP | BPF_MAP_TYPE_SOCKHASH)
}
