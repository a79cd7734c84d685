//! The struct_ops map: a value of 64 bytes of header and the ops table, program descriptors at the members' offsets.
//!
//! Members are found by name through the BTF we presented. Mirrors bpf_struct_ops_map_update_elem of
//! kernel/bpf/bpf_struct_ops.c and bpf_scx_init_member of kernel/sched/ext/ext.c, 7.3. What validate_ops() checks is the class's.

use std::collections::BTreeMap;
use std::rc::Rc;

use sextant_abi::tables::Op;
use sextant_abi::types::{
    SCX_OPS_ALL_FLAGS, SCX_RESCUE_DISABLE, SCX_RESCUE_MAX_BW_PPT, SCX_RESCUE_MAX_QUANTUM_US,
    SCX_RESCUE_MIN_QUANTUM_US,
};
use sextant_bpf::btf::{Kind, Member, TypeId};

use super::objects::{MapObject, ProgObject};
use super::prog::Refusal;
use super::{Kernel, ProgType};
use crate::errno::Errno;
use crate::user;

/// Names of the ops tables this kernel takes.
pub(crate) const OPS_STRUCTS: [&str; 2] = ["sched_ext_ops", "sched_ext_ops_cid"];
/// The form of the ops table whose ops are given CPU numbers.
const CPU_FORM: &str = "sched_ext_ops";
/// Members of the cpu form that the kernel never calls.
const CID_ONLY: [&str; 2] = ["sub_caps_updated", "sub_ecaps_updated"];
/// Members of the cid form with a parameter in an arena (`__arena`).
const ARENA_ARGS: [&str; 2] = ["set_cmask", "sub_caps_updated"];
/// Member of the value struct that is the ops table.
const DATA: &str = "data";
/// `SCX_WATCHDOG_MAX_TIMEOUT`, ms.
const MAX_TIMEOUT_MS: u64 = 30_000;
/// A filled-in ops table.
#[derive(Clone)]
pub(crate) struct StructOpsValue {
    /// `sched_ext_ops` or `sched_ext_ops_cid`.
    pub(crate) struct_name: String,
    /// As user space gave it.
    pub(crate) bytes: Vec<u8>,
    /// Programs by member.
    pub(crate) progs: BTreeMap<String, Rc<ProgObject>>,
    /// Other integer members by name.
    pub(crate) ints: BTreeMap<String, u64>,
    /// `name`
    pub(crate) name: String,
}

/// One ops table type of the kernel's.
struct OpsType {
    id: TypeId,
    name: String,
    /// Of the ops table in the value, bytes.
    data_at: usize,
}

impl Kernel {
    fn ops_type(&self, value_type: u32) -> Option<OpsType> {
        let (data_at, id) =
            self.btf().members(TypeId(value_type)).iter().find_map(|m| {
                (self.btf().str(m.name) == DATA).then_some((m.bit_offset as usize / 8, m.ty))
            })?;
        let name = self.btf().name(id).to_string();
        OPS_STRUCTS.contains(&name.as_str()).then_some(OpsType { id, name, data_at })
    }

    pub(super) fn check_struct_ops_map(&self, map: &MapObject) -> Result<(), Errno> {
        let value_type = map.btf_vmlinux_value_type_id;
        if self.ops_type(value_type).is_none() {
            let name = self.btf().name(TypeId(value_type));
            self.note(format!(
                "map '{}': the kernel has no struct_ops with value type '{name}'",
                map.spec.name
            ));
            return Err(Errno::ENOTSUPP);
        }
        let size = self.btf().size_of(TypeId(value_type)).map_err(|_| Errno::EINVAL)?;
        let s = &map.spec;
        let good = s.key_size == 4 && s.max_entries == 1 && u64::from(s.value_size) == size;
        if good { Ok(()) } else { Err(Errno::EINVAL) }
    }

    pub(super) fn struct_ops_lookup(&self, map: &MapObject) -> Result<Vec<u8>, Errno> {
        let ops = map.struct_ops.borrow();
        Ok(ops.as_ref().map_or_else(|| vec![0; map.spec.value_size as usize], |ops| ops.bytes.clone()))
    }

    pub(super) fn struct_ops_update(
        &self,
        map: &MapObject,
        key: &[u8],
        value_at: u64,
        flags: u64,
    ) -> Result<(), Errno> {
        if flags != 0 {
            return Err(Errno::EINVAL);
        }
        if key != [0; 4] {
            return Err(Errno::E2BIG);
        }
        if map.struct_ops.borrow().is_some() {
            return Err(Errno::EBUSY);
        }
        let bytes = user::bytes(value_at, map.spec.value_size as usize)?;
        let ops = self.ops_type(map.btf_vmlinux_value_type_id).ok_or(Errno::EINVAL)?;
        // Header: refcnt and state are the kernel's.
        if bytes[..ops.data_at].iter().any(|&b| b != 0) {
            return Err(Errno::EINVAL);
        }
        let mut value = StructOpsValue {
            struct_name: ops.name.clone(),
            bytes: bytes.clone(),
            progs: BTreeMap::new(),
            ints: BTreeMap::new(),
            name: String::new(),
        };
        for (index, member) in self.btf().members(ops.id).iter().enumerate() {
            self.init_member(&ops, index, member, &bytes[ops.data_at..], &mut value)?;
        }
        *map.struct_ops.borrow_mut() = Some(value);
        Ok(())
    }

    fn init_member(
        &self,
        ops: &OpsType,
        index: usize,
        member: &Member,
        data: &[u8],
        value: &mut StructOpsValue,
    ) -> Result<(), Errno> {
        let name = self.btf().str(member.name);
        let size = self.btf().size_of(member.ty).map_err(|_| Errno::EINVAL)? as usize;
        let at = (member.bit_offset / 8) as usize;
        let bytes = data.get(at..at + size).ok_or(Errno::EINVAL)?;
        if self.is_func_ptr(member.ty) {
            let fd = i32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
            if fd != 0 {
                let prog = self.prog_at(fd)?;
                self.check_prog(ops, index, name, &prog)?;
                value.progs.insert(name.to_string(), prog);
            }
            return Ok(());
        }
        if name == "name" {
            value.name = ops_name(bytes).ok_or_else(|| {
                self.note("ops.name must be 1 to 127 letters, digits, '_' and '.'".into());
                Errno::EINVAL
            })?;
            return Ok(());
        }
        let int = int_value(bytes);
        match int.filter(|_| settable(name)) {
            Some(int) => {
                self.check_int(name, int)?;
                value.ints.insert(name.to_string(), int);
                Ok(())
            }
            None if bytes.iter().all(|&b| b == 0) => Ok(()),
            None => Err(Errno::EINVAL),
        }
    }

    fn is_func_ptr(&self, ty: TypeId) -> bool {
        let Ok(ty) = self.btf().resolve(ty) else { return false };
        let Kind::Ptr(to) = self.btf().kind(ty) else { return false };
        matches!(self.btf().resolve(*to).map(|to| self.btf().kind(to)), Ok(Kind::FuncProto { .. }))
    }

    fn check_prog(&self, ops: &OpsType, index: usize, name: &str, prog: &ProgObject) -> Result<(), Errno> {
        let good = prog.prog_type == ProgType::STRUCT_OPS
            && prog.attach_btf_id == ops.id.0
            && prog.expected_attach_type == index as u32;
        if !good {
            self.note(format!("program '{}' was not loaded for {}.{name}", prog.name, ops.name));
            return Err(Errno::EINVAL);
        }
        Ok(())
    }

    fn check_int(&self, name: &str, int: u64) -> Result<(), Errno> {
        let (errno, why) = match name {
            "flags" if int & !SCX_OPS_ALL_FLAGS != 0 => {
                (Errno::EINVAL, format!("flags {:#x} are not 7.3's", int & !SCX_OPS_ALL_FLAGS))
            }
            "dispatch_max_batch" if int > i32::MAX as u64 => (Errno::E2BIG, "more than INT_MAX".into()),
            "timeout_ms" if int > MAX_TIMEOUT_MS => {
                (Errno::E2BIG, format!("the watchdog's limit is {MAX_TIMEOUT_MS} ms"))
            }
            "rescue_bandwidth_ppt"
                if int > SCX_RESCUE_MAX_BW_PPT.into() && int != SCX_RESCUE_DISABLE.into() =>
            {
                (Errno::E2BIG, format!("more than {SCX_RESCUE_MAX_BW_PPT}"))
            }
            "rescue_quantum_us" if int > SCX_RESCUE_MAX_QUANTUM_US.into() => {
                (Errno::E2BIG, "too long".into())
            }
            "rescue_quantum_us" if int != 0 && int < SCX_RESCUE_MIN_QUANTUM_US.into() => {
                (Errno::EINVAL, "too short".into())
            }
            _ => return Ok(()),
        };
        self.note(format!("ops.{name} = {int} is refused ({errno}): {why}"));
        Err(errno)
    }

    /// Whether a struct_ops program may be loaded for this member of this type: the member is an op of that form, and only some
    /// sleep. Mirrors `check_struct_ops_btf_id()` of kernel/bpf/verifier.c and `bpf_scx_check_member()`, 7.3.
    pub(super) fn check_struct_ops_prog(
        &self,
        attach: u32,
        member: u32,
        sleepable: bool,
    ) -> Result<(), Refusal> {
        let ty = self.btf().name(TypeId(attach));
        if !OPS_STRUCTS.contains(&ty) {
            let log = format!("attach_btf_id {attach} is not a supported struct\n");
            return Err(Refusal { errno: Errno::ENOTSUPP, log });
        }
        let Some(m) = self.btf().members(TypeId(attach)).get(member as usize) else {
            return Err(Refusal::einval(format!("attach to invalid member idx {member} of struct {ty}\n")));
        };
        let name = self.btf().str(m.name);
        if !self.is_func_ptr(m.ty) {
            let log = format!("attach to invalid member {name}(@idx {member}) of struct {ty}\n");
            return Err(Refusal::einval(log));
        }
        let unsupported = format!("attach to unsupported member {name} of struct {ty}\n");
        if ty == CPU_FORM && CID_ONLY.contains(&name) {
            return Err(Refusal { errno: Errno::ENOTSUPP, log: unsupported });
        }
        match Op::from_name(name) {
            Some(op) if sleepable && !op.desc().sleepable => Err(Refusal::einval(unsupported)),
            _ => Ok(()),
        }
    }

    /// An op whose argument lies in an arena is for programs that use one.
    pub(super) fn check_arena_arg(&self, attach: u32, member: u32, maps: &[u32]) -> Result<(), Refusal> {
        let ty = self.btf().name(TypeId(attach));
        let Some(m) = self.btf().members(TypeId(attach)).get(member as usize) else { return Ok(()) };
        let name = self.btf().str(m.name);
        let wants = ty != CPU_FORM && ARENA_ARGS.contains(&name);
        if !wants || self.maps().iter().any(|map| map.is_arena() && maps.contains(&map.id)) {
            return Ok(());
        }
        let log = format!("arena argument of {name} requires a program with an associated arena\n");
        Err(Refusal::einval(log))
    }
}

/// Integer members a scheduler may set.
fn settable(name: &str) -> bool {
    matches!(
        name,
        "dispatch_max_batch"
            | "flags"
            | "timeout_ms"
            | "exit_dump_len"
            | "hotplug_seq"
            | "cid_shard_size"
            | "rescue_bandwidth_ppt"
            | "rescue_quantum_us"
            | "sub_cgroup_id"
    )
}

fn int_value(bytes: &[u8]) -> Option<u64> {
    match *bytes {
        [a, b, c, d] => Some(u32::from_le_bytes([a, b, c, d]).into()),
        [a, b, c, d, e, f, g, h] => Some(u64::from_le_bytes([a, b, c, d, e, f, g, h])),
        _ => None,
    }
}

/// 1 to 127 bytes of letters, digits, `_` and `.`.
fn ops_name(bytes: &[u8]) -> Option<String> {
    let len = bytes.iter().position(|&b| b == 0)?;
    let good = bytes[..len].iter().all(|&b| b.is_ascii_alphanumeric() || b == b'_' || b == b'.');
    (len > 0 && good).then(|| String::from_utf8_lossy(&bytes[..len]).into_owned())
}
