//! What helpers do beside reading and writing their arguments. Mirrors the cases of `check_helper_call()` and `process_timer_func()`,
//! `process_kptr_func()` of kernel/bpf/verifier.c, 7.3.

use sextant_abi::tables::HelperId;
use sextant_abi::tables::bpf::{BPF_CGROUP_GETSOCKOPT, BPF_MAP_TYPE_XSKMAP, BPF_PROG_TYPE_CGROUP_SOCKOPT};

use super::lock::Holder;
use super::memarg::{Offset, Use};
use super::reg::{ALLOC, OR_NULL, PERCPU, RCU, RDONLY, Reg, Sock, TRUSTED, Ty, What};
use super::state::RefKind;
use super::*;
use crate::fields::FieldKind;
use crate::program::{MapDesc, ProgKind};

impl Env<'_> {
    /// What a helper does beside reading and writing its arguments. `Some`: its result.
    pub(super) fn helper_effect(&mut self, helper: HelperId, old: &[Reg; 11]) -> Res<Option<Reg>> {
        use HelperId as H;
        match helper {
            H::tail_call => self.check_held("tail_call")?,
            H::sk_lookup_tcp | H::sk_lookup_udp => return Ok(Some(self.sock_found(Sock::Full))),
            H::skc_lookup_tcp => return Ok(Some(self.sock_found(Sock::Common))),
            H::sk_release => self.sock_release()?,
            H::sk_fullsock => return self.sock_cast(What::Sock(Sock::Full)).map(Some),
            H::tcp_sock => return self.sock_cast(What::Sock(Sock::Tcp)).map(Some),
            H::get_listener_sock => return self.sock_beside(Sock::Full).map(Some),
            H::skc_to_tcp_sock => return self.sock_as("tcp_sock").map(Some),
            H::skc_to_tcp6_sock => return self.sock_as("tcp6_sock").map(Some),
            H::skc_to_tcp_request_sock => return self.sock_as("tcp_request_sock").map(Some),
            H::skc_to_tcp_timewait_sock => return self.sock_as("tcp_timewait_sock").map(Some),
            H::skc_to_udp6_sock => return self.sock_as("udp6_sock").map(Some),
            H::sk_storage_get | H::sk_storage_delete => {
                self.sock_arg(2)?;
                if helper == H::sk_storage_get && !old[3].is_null() {
                    let size = self.helper_map_of(&old[1]).map_or(0, |m| m.value_size);
                    self.memory_arg(3, size, Use::IN)?;
                }
            }
            H::map_lookup_elem
                if self.helper_map_of(&old[1]).is_some_and(|m| sock::holds_sockets(m.map_type)) =>
            {
                return Ok(Some(self.sock_found(Sock::Full)));
            }
            H::map_lookup_elem
                if self.helper_map_of(&old[1]).is_some_and(|m| m.map_type == BPF_MAP_TYPE_XSKMAP) =>
            {
                let id = self.fresh_id();
                return Ok(Some(Reg { id, ..Reg::ptr(What::Sock(Sock::Xdp), OR_NULL) }));
            }
            H::get_local_storage => {
                self.matters(&old[2]);
                if !old[2].is_null() {
                    let text = "get_local_storage() doesn't support non-zero flags";
                    return refuse_reg(Code::ArgConst, 2, text);
                }
                if let What::Map(map) = old[1].what {
                    return Ok(Some(Reg::ptr(What::MapValue(map), 0)));
                }
            }
            H::set_retval => self.errno_arg()?,
            H::spin_lock | H::spin_unlock => self.spin_lock(helper == H::spin_lock)?,
            H::ringbuf_submit | H::ringbuf_discard => self.release(old[1].ref_id)?,
            H::timer_init | H::timer_set_callback | H::timer_start | H::timer_cancel => {
                self.timer(helper, old)?
            }
            H::loop_ => self.call_loop()?,
            H::for_each_map_elem => self.call_for_each()?,
            H::user_ringbuf_drain => self.call_drain()?,
            H::find_vma => self.call_find_vma()?,
            H::kptr_xchg => return self.kptr_xchg().map(Some),
            H::task_storage_get | H::cgrp_storage_get if !old[3].is_null() => {
                let size = self.helper_map_of(&old[1]).map_or(0, |m| m.value_size);
                self.memory_arg(3, size, Use::IN)?;
            }
            H::per_cpu_ptr | H::this_cpu_ptr => {
                return Ok(Some(self.percpu_found(&old[1], helper == H::per_cpu_ptr)));
            }
            H::ringbuf_reserve_dynptr => {
                let ref_id = self.acquire(RefKind::Object);
                self.dynptr_new(4, ref_id)?;
            }
            H::ringbuf_submit_dynptr | H::ringbuf_discard_dynptr => {
                let dynptr = self.dynptr_arg(1)?;
                if dynptr.ref_id == 0 {
                    let text = "Expected a dynptr of type ringbuf as R1";
                    return refuse_reg(Code::RefRelease, 1, text);
                }
                self.release_dynptr(dynptr)?;
            }
            H::dynptr_from_mem => {
                self.sized_arg(1, true, false, Use::FILL)?;
                if !matches!(old[1].what, What::MapValue(_)) {
                    let text =
                        format!("Unsupported reg type {} for bpf_dynptr_from_mem data", old[1].type_name());
                    return refuse_reg(Code::ArgType, 1, text);
                }
                self.dynptr_new(4, 0)?;
            }
            H::snprintf => self.check_format(old)?,
            H::dynptr_data => {
                let dynptr = self.dynptr_arg(1)?;
                let size = old[3].value().unwrap_or(0).min(u64::from(u32::MAX - 1)) as u32;
                let id = self.fresh_id();
                let ref_id = dynptr.id;
                return Ok(Some(Reg { id, ref_id, ..Reg::ptr(What::Mem(size), OR_NULL) }));
            }
            _ => {}
        }
        Ok(None)
    }

    /// bpf_set_retval() takes 0 or an errno.
    fn errno_arg(&mut self) -> Res {
        let reg = self.scalar_arg(1)?;
        self.matters(&reg);
        let hook = match self.prog.kind {
            ProgKind::Other(hook) => (hook.prog_type, hook.attach_type),
            _ => (0, 0),
        };
        let (min, max) = match self.prog.kind {
            ProgKind::Other(hook) if hook.is_lsm_cgroup() => {
                if self.hook_is_void(hook.target) {
                    let text = "BPF_LSM_CGROUP that attach to void LSM hooks can't modify return value!";
                    return refuse_reg(Code::ArgType, 1, text);
                }
                hook.errno().unwrap_or((-4095, 0))
            }
            _ => (-4095, 0),
        };
        if hook == (BPF_PROG_TYPE_CGROUP_SOCKOPT, BPF_CGROUP_GETSOCKOPT) {
            return Ok(());
        }
        if i64::from(reg.s.smin32()) >= min && i64::from(reg.s.smax32()) <= max {
            return Ok(());
        }
        let text = format!(
            "At bpf_set_retval the register R1 has smin={} smax={} should have been in [{min}, {max}]",
            reg.s.smin32(),
            reg.s.smax32()
        );
        refuse_reg(Code::ArgType, 1, text)
    }

    fn helper_map_of(&self, reg: &Reg) -> Option<&MapDesc<'_>> {
        match reg.what {
            What::Map(map) => Some(self.map(map)),
            _ => None,
        }
    }

    fn timer(&mut self, helper: HelperId, old: &[Reg; 11]) -> Res {
        let (holder, _) = self.field_arg(1, "bpf_timer", Holder::MapValue, |k| k == FieldKind::Timer)?;
        if helper == HelperId::timer_init
            && let (What::MapValue(value), What::Map(map)) = (holder.what, old[2].what)
            && value != map
        {
            return refuse_reg(
                Code::MapUse,
                2,
                "timer pointer in R1 map_uid doesn't match map pointer in R2",
            );
        }
        if helper == HelperId::timer_set_callback {
            let func = self.func_arg(2)?;
            self.call_later(&holder, func, false)?;
        }
        Ok(())
    }

    /// bpf_per_cpu_ptr(), bpf_this_cpu_ptr(): what a per-CPU pointer means on one CPU. Of a kernel variable nobody says that it stays.
    fn percpu_found(&mut self, of: &Reg, null: bool) -> Reg {
        let or_null = if null { OR_NULL } else { 0 };
        let flags = match of.what {
            _ if of.has(RCU) => ALLOC | RCU,
            What::Obj(_) => or_null,
            _ => RDONLY | or_null,
        };
        let id = if flags & OR_NULL != 0 { self.fresh_id() } else { 0 };
        Reg { id, flags, ..*of }
    }

    /// bpf_kptr_xchg(field, pointer or NULL): the old pointer comes back, owned.
    fn kptr_xchg(&mut self) -> Res<Reg> {
        let is = |k| matches!(k, FieldKind::Kptr(_) | FieldKind::KptrPercpu(_));
        let (_, kind) = self.field_arg(1, "kptr", Holder::AnyOwner, is)?;
        let (FieldKind::Kptr(target) | FieldKind::KptrPercpu(target)) = kind else {
            return refuse_reg(Code::ArgType, 1, "off doesn't point to kptr");
        };
        let ty = self.pointee(target);
        let new = self.read(2)?;
        let percpu = matches!(kind, FieldKind::KptrPercpu(_));
        self.matters(&new);
        if !new.is_null() {
            self.kptr_given(&new, ty, percpu)?;
        }
        let ref_id = self.acquire(RefKind::Object);
        let flags = match (ty, percpu) {
            (Ty::Kernel(_), _) => 0,
            (Ty::Local(_), false) => ALLOC,
            (Ty::Local(_), true) => ALLOC | PERCPU,
        };
        Ok(Reg { id: ref_id, ref_id, ..Reg::ptr(What::Obj(ty), flags | OR_NULL) })
    }

    /// The pointer that goes into the field: of the very type, owned, at its start. Mirrors `map_kptr_match_type()`.
    fn kptr_given(&mut self, new: &Reg, ty: Ty, percpu: bool) -> Res {
        if new.has(OR_NULL) && matches!(new.what, What::Obj(_)) {
            return refuse_reg(Code::ArgNull, 2, "Possibly NULL pointer passed to helper R2");
        }
        let allowed = match ty {
            Ty::Kernel(_) => TRUSTED | RCU,
            Ty::Local(_) => ALLOC | if percpu { PERCPU } else { 0 },
        };
        let fits = matches!(new.what, What::Obj(own) if own == ty)
            && new.type_flags() & !allowed == 0
            && new.has(PERCPU) == percpu;
        if !fits {
            let text = format!(
                "invalid kptr access, R2 type={} expected=ptr_{}",
                self.describe(new),
                self.ty_name(ty)
            );
            return refuse_reg(Code::ArgType, 2, text);
        }
        if !self.st.refs.iter().any(|r| r.id == new.ref_id) {
            let text = "release helper bpf_kptr_xchg expects referenced PTR_TO_BTF_ID passed to R2";
            return refuse_reg(Code::RefRelease, 2, text);
        }
        self.arg_offset(2, new, Offset::Released)?;
        if !(percpu && self.st.in_rcu()) {
            return self.release(new.ref_id);
        }
        // What is per-CPU stays until the RCU read side ends.
        self.forget_ref(new.ref_id)?;
        let gone = new.ref_id;
        self.st.each_reg(|r| {
            if r.ref_id == gone && r.has(PERCPU) {
                r.ref_id = 0;
                r.id = 0;
                r.flags = (r.flags & !ALLOC) | RCU;
            }
        });
        Ok(())
    }
}
