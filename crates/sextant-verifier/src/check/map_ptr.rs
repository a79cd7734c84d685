//! Fields of a map itself, read through its pointer (`arena.user_vm_start`). Mirrors `check_ptr_to_map_access()` of
//! kernel/bpf/verifier.c and `struct bpf_map` of include/linux/bpf.h, 7.3.
//!
//! Left out: the fields behind `struct bpf_map` of maps other than arenas. The vm has no such memory: a program that reads it is accepted
//! here, as in the kernel, and stopped when it does.

use sextant_abi::tables::bpf;

use super::reg::{Reg, Ty, UNTRUSTED, What};
use super::*;
use crate::range::Scalar;

/// Bytes of `struct bpf_map` and of `struct bpf_arena`, of which it is the first member, up to `user_vm_end`.
const MAP_SIZE: i64 = 280;
const ARENA_SIZE: i64 = 296;
/// Bytes of `sha`, the first member.
const SHA: i64 = 32;
/// The pointers behind it: name, type, offset.
const POINTERS: [(&str, &str, i64); 3] =
    [("ops", "bpf_map_ops", 32), ("inner_map_meta", "bpf_map", 40), ("security", "void", 48)];

impl Env<'_> {
    pub(super) fn load_map_ptr(&mut self, n: u8, base: &Reg, map: u32, off: i64, size: u32) -> Res<Reg> {
        let (name, limit) = self.map_struct(map);
        if off < 0 {
            return refuse_reg(
                Code::ObjAccess,
                n,
                format!("R{n} is {name} invalid negative access: off={off}"),
            );
        }
        let end = off + i64::from(size);
        if off < SHA && end > SHA {
            let text = format!(
                "access beyond the end of member sha (mend:{SHA}) in struct bpf_map with off {off} size {size}"
            );
            return refuse_reg(Code::ObjAccess, n, text);
        }
        if let Some((member, to, at)) = POINTERS.into_iter().find(|(_, _, at)| off < at + 8 && end > *at) {
            if (off, size) != (at, 8) {
                let text = format!(
                    "cannot access ptr member {member} with moff {at} in struct bpf_map with off {off} size {size}"
                );
                return refuse_reg(Code::ObjAccess, n, text);
            }
            let node = self.node([0, 0], base.node);
            return Ok(Reg { node, ..Reg::ptr(What::Obj(Ty::Kernel(to)), UNTRUSTED) });
        }
        if end > limit {
            return refuse_reg(
                Code::ObjAccess,
                n,
                format!("access beyond struct {name} at off {off} size {size}"),
            );
        }
        Ok(self.number(Scalar::bytes(size)))
    }

    pub(super) fn store_map_ptr(&self, n: u8, map: u32) -> Res {
        let (name, _) = self.map_struct(map);
        refuse_reg(Code::ObjWrite, n, format!("only read from {name} is supported"))
    }

    /// The kernel's struct of a map, and how much of it is known here.
    fn map_struct(&self, map: u32) -> (&'static str, i64) {
        match self.map(map).map_type {
            bpf::BPF_MAP_TYPE_ARENA => ("bpf_arena", ARENA_SIZE),
            bpf::BPF_MAP_TYPE_ARRAY | bpf::BPF_MAP_TYPE_PERCPU_ARRAY | bpf::BPF_MAP_TYPE_ARRAY_OF_MAPS => {
                ("bpf_array", MAP_SIZE)
            }
            bpf::BPF_MAP_TYPE_HASH | bpf::BPF_MAP_TYPE_PERCPU_HASH | bpf::BPF_MAP_TYPE_LRU_HASH => {
                ("bpf_htab", MAP_SIZE)
            }
            _ => ("bpf_map", MAP_SIZE),
        }
    }
}
