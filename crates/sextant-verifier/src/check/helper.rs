//! Calls of helpers: arguments against the prototype, then what the call does to the state. Mirrors `check_helper_call()` of
//! kernel/bpf/verifier.c, 7.3.

use sextant_abi::tables::{HelperId, bpf::*};

use super::memarg::{Offset, Use};
use super::proto::{Arg, Proto, Ret, proto};
use super::reg::{OR_NULL, PERCPU, RCU, RDONLY, RINGBUF, Reg, TRUSTED, Ty, UNTRUSTED, What};
use super::state::RefKind;
use super::*;
use crate::hook::{gpl_only, may_call};
use crate::program::MapDesc;
use crate::range::Scalar;

/// Of a pointer to per-CPU memory that was read from a map inside an RCU read side.
const PERCPU_RCU: u16 = PERCPU | RCU;
/// Of one that is certain.
const PERCPU_TRUSTED: u16 = PERCPU | TRUSTED;

impl Env<'_> {
    pub(super) fn call_helper(&mut self) -> Res<Next> {
        let pc = self.st.pc;
        let number = self.prog.insns[pc].imm;
        let Some(helper) = HelperId::from_number(number as u32) else {
            return refuse(Code::UnknownHelper, format!("invalid func unknown#{number}"));
        };
        if !may_call(&self.prog.kind, helper) {
            let text = format!("program of this type cannot use helper {}#{number}", helper.name());
            return refuse(Code::HelperDenied, text);
        }
        let known = proto(helper).or_else(|| net::proto(helper));
        let lacking =
            || refuse(Code::Unsupported, format!("Sextant does not have helper {}#{number}", helper.name()));
        let Some(proto) = known else { return lacking() };
        if !self.prog.gpl && gpl_only(&self.prog.kind, helper) {
            let text = "cannot call GPL-restricted function from non-GPL compatible program";
            return refuse(Code::Licence, text);
        }
        // Sleepable programs have a form of these of their own.
        let own = matches!(helper, HelperId::get_task_stack | HelperId::get_stack) && self.prog.sleepable;
        if (proto.sleeps || own)
            && let Some(place) = self.no_sleep_place()
        {
            let text = format!("sleepable helper {}#{number} in {place}", helper.name());
            return refuse(Code::Sleepable, text);
        }
        if self.st.lock().is_some() && !proto.in_lock {
            return refuse(Code::LockedCall, "function calls are not allowed while holding a lock");
        }
        self.refuse_packets(helper, &proto)?;
        let map = self.helper_map(helper, &proto)?;
        for (i, arg) in proto.args.iter().enumerate() {
            self.helper_arg(i as u8 + 1, *arg, map)?;
        }
        // What Linux refuses comes first.
        if self.prog.has_helper.is_some_and(|has| !has(number as u32)) {
            return lacking();
        }
        let old = self.st.top().regs;
        let own = self.helper_effect(helper, &old)?;
        let result = match own {
            Some(reg) => Some(reg),
            None => self.helper_result(helper, proto.ret, map, &old)?,
        };
        self.clobber();
        // A tail call that comes back has done nothing.
        if net::moves_packet(helper) && helper != HelperId::tail_call {
            self.forget_packet();
        }
        if let Some(mut reg) = result {
            if reg.node == 0 || !reg.is_scalar() {
                let via = old[1].node;
                reg.node = self.node([0, 0], via);
            }
            self.set(0, reg);
        }
        if helper == HelperId::tail_call && self.st.frames.len() > 1 {
            return self.tail_call();
        }
        Ok(Next::Goto(pc + 1))
    }

    /// Few helpers take the packet as memory.
    fn refuse_packets(&mut self, helper: HelperId, proto: &Proto) -> Res {
        if net::takes_packet(helper) {
            return Ok(());
        }
        for (i, arg) in proto.args.iter().enumerate() {
            let n = i as u8 + 1;
            if self.read(n)?.is_packet() && !matches!(arg, Arg::Any | Arg::Ctx) {
                return refuse_reg(Code::ArgType, n, "helper access to the packet is not allowed");
            }
        }
        Ok(())
    }

    /// The map among the arguments, which says what keys and values are.
    fn helper_map(&mut self, helper: HelperId, proto: &Proto) -> Res<Option<u32>> {
        let Some(i) = proto.args.iter().position(|a| *a == Arg::Map) else { return Ok(None) };
        let n = i as u8 + 1;
        let reg = self.read(n)?;
        let What::Map(map) = reg.what else {
            if reg.has(OR_NULL) {
                return self.null_arg(n, &reg);
            }
            let text = format!("R{n} type={} expected=map_ptr", reg.type_name());
            return refuse_reg(Code::ArgType, n, text);
        };
        if reg.has(OR_NULL) {
            return self.null_arg(n, &reg);
        }
        let desc = self.map(map);
        if !takes(helper, desc.map_type) {
            let text = format!(
                "cannot pass map_type {} into func {}#{}",
                desc.map_type,
                helper.name(),
                helper as u32
            );
            return refuse_reg(Code::MapUse, n, text);
        }
        let changes = matches!(helper, HelperId::map_update_elem | HelperId::map_delete_elem);
        if changes && sock::holds_sockets(desc.map_type) && !self.may_update_sockmap(helper) {
            return refuse(Code::MapUse, "cannot update sockmap in this context");
        }
        let writes =
            matches!(helper, HelperId::map_update_elem | HelperId::map_delete_elem | HelperId::map_push_elem);
        if writes && desc.rdonly {
            return refuse(Code::Readonly, "write into map forbidden");
        }
        Ok(Some(map))
    }

    fn helper_arg(&mut self, n: u8, arg: Arg, map: Option<u32>) -> Res {
        let desc: Option<&MapDesc> = map.map(|m| self.map(m));
        match arg {
            Arg::Any | Arg::Map | Arg::Size | Arg::Own => self.read(n).map(|_| ()),
            Arg::Num => self.scalar_arg(n).map(|_| ()),
            Arg::Key => self.map_memory_arg(n, desc.map_or(0, |d| d.key_size), Use::IN),
            Arg::Value if desc.is_some_and(|d| sock::holds_sockets(d.map_type)) => {
                self.sock_arg(n).map(|_| ())
            }
            Arg::Value => self.map_memory_arg(n, desc.map_or(0, |d| d.value_size), Use::IN),
            Arg::OutValue => {
                // Of a bloom filter the value is what is asked for.
                let asks = desc.is_some_and(|d| d.map_type == BPF_MAP_TYPE_BLOOM_FILTER);
                let how = if asks { Use::OUT } else { Use::FILL };
                self.map_memory_arg(n, desc.map_or(0, |d| d.value_size), how)
            }
            Arg::In => self.sized_arg(n, false, false, Use::IN),
            Arg::InZ => self.sized_arg(n, true, false, Use::IN),
            Arg::InZN => self.sized_arg(n, true, true, Use::IN),
            Arg::Out => self.sized_arg(n, false, false, Use::FILL),
            Arg::OutZ => self.sized_arg(n, true, false, Use::FILL),
            Arg::OutZN => self.sized_arg(n, true, true, Use::OUT),
            Arg::InOut => self.sized_arg(n, false, false, Use::OUT),
            Arg::InOutFixed(size) => {
                let reg = self.read(n)?;
                self.memory_arg(n, size, Use::OUT)?;
                self.aligned(n, &reg, 0, size)
            }
            Arg::OutFixed(size) => {
                let reg = self.read(n)?;
                self.memory_arg(n, size, Use::FILL)?;
                self.aligned(n, &reg, 0, size)
            }
            Arg::Func => self.func_arg(n).map(|_| ()),
            Arg::CbCtx => {
                let reg = self.read(n)?;
                if matches!(reg.what, What::Stack(_)) || reg.is_null() {
                    self.matters(&reg);
                    return Ok(());
                }
                refuse_reg(Code::ArgType, n, format!("R{n} type={} expected=fp", reg.type_name()))
            }
            Arg::Ctx => {
                let reg = self.read(n)?;
                if reg.what == What::Ctx {
                    return self.plain_ctx(n, &reg);
                }
                refuse_reg(Code::ArgType, n, format!("R{n} type={} expected=ctx", reg.type_name()))
            }
            Arg::CtxOrNull => {
                let reg = self.read(n)?;
                if reg.is_null() {
                    self.matters(&reg);
                    return Ok(());
                }
                self.helper_arg(n, Arg::Ctx, map)
            }
            Arg::Str => self.const_str(n),
            Arg::Const if self.const_arg(n)? > u64::from(u32::MAX) => {
                refuse_reg(Code::ArgSize, n, format!("R{n} allocation size exceeds u32 max"))
            }
            Arg::Const => Ok(()),
            Arg::Obj(name, null) => self.helper_obj(n, name, null),
            Arg::Percpu => {
                let reg = self.read(n)?;
                if matches!(reg.type_flags() & !RDONLY, PERCPU | PERCPU_RCU | PERCPU_TRUSTED) {
                    return self.arg_offset(n, &reg, Offset::None);
                }
                let code = if reg.has(OR_NULL) { Code::ArgNull } else { Code::ArgType };
                let text = format!(
                    "R{n} type={} expected=percpu_ptr_, percpu_rcu_ptr_, percpu_trusted_ptr_",
                    reg.type_name()
                );
                refuse_reg(code, n, text)
            }
            Arg::Record => {
                let reg = self.read(n)?;
                if !reg.has(RINGBUF) || reg.has(OR_NULL) {
                    let text = format!("R{n} type={} expected=ringbuf_mem", reg.type_name());
                    return refuse_reg(if reg.has(OR_NULL) { Code::ArgNull } else { Code::ArgType }, n, text);
                }
                if reg.offset() != Some(0) {
                    return refuse_reg(
                        Code::ArgType,
                        n,
                        format!("R{n} must have zero offset when passed to release func"),
                    );
                }
                Ok(())
            }
            Arg::Dynptr => self.dynptr_arg(n).map(|_| ()),
        }
    }

    fn helper_obj(&mut self, n: u8, name: &str, null: bool) -> Res {
        let reg = self.read(n)?;
        if reg.is_null() && null {
            self.matters(&reg);
            return Ok(());
        }
        let flags = reg.type_flags();
        let fits =
            matches!(reg.what, What::Obj(Ty::Kernel(_))) && matches!(flags & !OR_NULL, 0 | TRUSTED | RCU);
        if !fits {
            let text = format!(
                "R{n} type={} expected=ptr_, trusted_ptr_, rcu_ptr_ to struct {name}",
                self.describe(&reg)
            );
            let code = if reg.has(UNTRUSTED) { Code::ArgTrust } else { Code::ArgType };
            return refuse_reg(code, n, text);
        }
        if reg.has(OR_NULL) && !null {
            return self.null_arg(n, &reg);
        }
        self.arg_offset(n, &reg, Offset::Fixed)?;
        let What::Obj(own) = reg.what else { return Ok(()) };
        if !obj::same_struct(own, name, reg.offset().unwrap_or(0), false) {
            let text = format!("R{n} is of type {} but {name} is expected", self.ty_name(own));
            return refuse_reg(Code::ArgType, n, text);
        }
        Ok(())
    }

    /// A key or value of a map: memory, but no slice of a dynptr.
    fn map_memory_arg(&mut self, n: u8, size: u32, how: Use) -> Res {
        let reg = self.read(n)?;
        if reg.has(reg::DYNMEM) {
            let text = format!("R{n} type=dynptr_{} expected=fp, map_key, map_value, mem", reg.type_name());
            return refuse_reg(Code::ArgType, n, text);
        }
        self.memory_arg(n, size, how)
    }

    fn helper_result(
        &mut self,
        helper: HelperId,
        ret: Ret,
        map: Option<u32>,
        old: &[Reg; 11],
    ) -> Res<Option<Reg>> {
        let reg = match ret {
            Ret::Void => return Ok(None),
            Ret::Num => Reg::UNKNOWN,
            Ret::Errno => Reg::UNKNOWN,
            Ret::Task => Reg::ptr(What::Obj(Ty::Kernel("task_struct")), TRUSTED),
            Ret::ValueOrNull => match map {
                Some(map) => self.looked_up(helper, map, old),
                None => Reg::UNKNOWN,
            },
            Ret::RecordOrNull => {
                let size = old[2].value().unwrap_or(0).min(u64::from(u32::MAX - 1)) as u32;
                let ref_id = self.acquire(RefKind::Object);
                Reg { id: ref_id, ref_id, ..Reg::ptr(What::Mem(size), OR_NULL | RINGBUF) }
            }
            Ret::Own => match helper {
                HelperId::get_smp_processor_id => {
                    Reg::scalar(Scalar::unsigned(0, u64::from(self.prog.nr_cpus.max(1)) - 1))
                }
                HelperId::task_pt_regs => Reg::ptr(What::Obj(Ty::Kernel("pt_regs")), 0),
                // A length of at most the buffer's, or an error.
                _ => {
                    let n =
                        if matches!(helper, HelperId::get_stack | HelperId::get_task_stack) { 3 } else { 2 };
                    let max = old[n].s.umax().min(i32::MAX as u64) as i64;
                    Reg::scalar(Scalar::signed(-4095, max))
                }
            },
        };
        Ok(Some(reg))
    }

    /// A map value or NULL; of a map of maps the inner map.
    fn looked_up(&mut self, helper: HelperId, map: u32, old: &[Reg; 11]) -> Reg {
        let id = self.fresh_id();
        let desc = self.map(map);
        if let Some(inner) = desc.inner.as_deref() {
            let at = self.maps.iter().position(|m| std::ptr::eq(*m, inner)).unwrap_or(0);
            return Reg { id, ..Reg::ptr(What::Map(at as u32), OR_NULL) };
        }
        // An index within an array finds its element.
        let sure = helper == HelperId::map_lookup_elem
            && matches!(desc.map_type, BPF_MAP_TYPE_ARRAY | BPF_MAP_TYPE_PERCPU_ARRAY)
            && desc.flags & BPF_F_INNER_MAP == 0
            && self.const_key(&old[2], desc.key_size).is_some_and(|key| key < desc.max_entries.into());
        let flags = if sure { 0 } else { OR_NULL };
        Reg { id, ..Reg::ptr(What::MapValue(map), flags) }
    }

    /// The key on the stack, when it is a known number: all its bytes are zeros of one slot, or they are the end of a spilled
    /// number. Mirrors `get_constant_map_key()`.
    fn const_key(&mut self, key: &Reg, size: u32) -> Option<u64> {
        let (What::Stack(frame), Some(off)) = (key.what, key.offset()) else { return None };
        let slot = self.st.frames[frame as usize].slot(off);
        let bytes = &slot.bytes[state::slot_byte(off)..];
        let run = |byte: state::Byte| bytes.iter().take_while(|b| **b == byte).count() as u32;
        if run(state::Byte::Zero) >= size {
            return Some(0);
        }
        if slot.spilled() == 0 || !slot.reg.is_scalar() || run(state::Byte::Spill) != size {
            return None;
        }
        let value = slot.reg.s.value()?;
        self.nodes.mark(slot.reg.node);
        Some(value)
    }
}

/// Whether a helper takes a map of that type.
fn takes(helper: HelperId, ty: u32) -> bool {
    use HelperId as H;
    let storage = [
        BPF_MAP_TYPE_TASK_STORAGE,
        BPF_MAP_TYPE_CGRP_STORAGE,
        BPF_MAP_TYPE_SK_STORAGE,
        BPF_MAP_TYPE_INODE_STORAGE,
    ];
    let devices = [BPF_MAP_TYPE_DEVMAP, BPF_MAP_TYPE_DEVMAP_HASH, BPF_MAP_TYPE_CPUMAP];
    let queue = [BPF_MAP_TYPE_QUEUE, BPF_MAP_TYPE_STACK, BPF_MAP_TYPE_BLOOM_FILTER];
    let ring = [BPF_MAP_TYPE_RINGBUF, BPF_MAP_TYPE_USER_RINGBUF];
    let only = |types: &[u32]| types.contains(&ty);
    match helper {
        H::map_lookup_elem | H::map_update_elem | H::map_delete_elem => {
            let closed = only(&storage) || only(&queue) || only(&ring);
            let other = only(&[
                BPF_MAP_TYPE_ARENA,
                BPF_MAP_TYPE_STRUCT_OPS,
                BPF_MAP_TYPE_PERF_EVENT_ARRAY,
                BPF_MAP_TYPE_STACK_TRACE,
                BPF_MAP_TYPE_PROG_ARRAY,
                BPF_MAP_TYPE_CGROUP_ARRAY,
                BPF_MAP_TYPE_CGROUP_STORAGE,
                BPF_MAP_TYPE_PERCPU_CGROUP_STORAGE,
                BPF_MAP_TYPE_REUSEPORT_SOCKARRAY,
            ]);
            let inner = [BPF_MAP_TYPE_ARRAY_OF_MAPS, BPF_MAP_TYPE_HASH_OF_MAPS];
            let maps_update = helper != H::map_lookup_elem && (only(&inner) || only(&devices));
            let never = only(&[BPF_MAP_TYPE_CPUMAP, BPF_MAP_TYPE_INSN_ARRAY]);
            !closed && !other && !maps_update && !never
        }
        H::map_push_elem | H::map_peek_elem => only(&queue),
        H::map_pop_elem => only(&queue[..2]),
        H::map_lookup_percpu_elem => {
            only(&[BPF_MAP_TYPE_PERCPU_ARRAY, BPF_MAP_TYPE_PERCPU_HASH, BPF_MAP_TYPE_LRU_PERCPU_HASH])
        }
        H::task_storage_get | H::task_storage_delete => only(&[BPF_MAP_TYPE_TASK_STORAGE]),
        H::cgrp_storage_get | H::cgrp_storage_delete => only(&[BPF_MAP_TYPE_CGRP_STORAGE]),
        H::ringbuf_output | H::ringbuf_reserve | H::ringbuf_reserve_dynptr | H::ringbuf_query => {
            only(&[BPF_MAP_TYPE_RINGBUF])
        }
        H::user_ringbuf_drain => only(&[BPF_MAP_TYPE_USER_RINGBUF]),
        H::perf_event_read | H::perf_event_output | H::perf_event_read_value => {
            only(&[BPF_MAP_TYPE_PERF_EVENT_ARRAY])
        }
        H::sk_storage_get | H::sk_storage_delete => only(&[BPF_MAP_TYPE_SK_STORAGE]),
        H::sk_select_reuseport => {
            only(&[BPF_MAP_TYPE_REUSEPORT_SOCKARRAY, BPF_MAP_TYPE_SOCKMAP, BPF_MAP_TYPE_SOCKHASH])
        }
        H::get_local_storage => only(&[BPF_MAP_TYPE_CGROUP_STORAGE, BPF_MAP_TYPE_PERCPU_CGROUP_STORAGE]),
        H::sock_map_update => only(&[BPF_MAP_TYPE_SOCKMAP]),
        H::sock_hash_update => only(&[BPF_MAP_TYPE_SOCKHASH]),
        H::tail_call => only(&[BPF_MAP_TYPE_PROG_ARRAY]),
        H::get_stackid => only(&[BPF_MAP_TYPE_STACK_TRACE]),
        H::current_task_under_cgroup => only(&[BPF_MAP_TYPE_CGROUP_ARRAY]),
        _ => true,
    }
}
