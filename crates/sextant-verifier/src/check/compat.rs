//! What is refused before anything is executed: maps that the type cannot have, places it cannot attach to, functions that must
//! return a number. Mirrors `check_map_prog_compatibility()`, `check_attach_btf_id()` of kernel/bpf/verifier.c and
//! `check_btf_func()` of check_btf.c, 7.3.

use sextant_abi::image::Reloc;
use sextant_abi::tables::bpf::*;
use sextant_abi::tables::{HelperId, Op};
use sextant_bpf::btf::Kind as BtfKind;
use sextant_bpf::opcode::{Callee, Kind};

use super::*;
use crate::fields::FieldKind;
use crate::program::ProgKind;

impl Env<'_> {
    /// What the program is loaded as, and with.
    pub(super) fn check_load(&mut self) -> Res {
        self.check_maps()?;
        self.check_functions()?;
        self.check_arena_argument()?;
        let ProgKind::Other(hook) = self.prog.kind else { return Ok(()) };
        self.st.pc = 0;
        if self.prog.sleepable && !hook.can_sleep() {
            return refuse(Code::Sleepable, "Program of this type cannot be sleepable");
        }
        if hook.is_disabled() {
            return refuse(Code::HelperDenied, format!("{} points to disabled hook", hook.target));
        }
        Ok(())
    }

    /// An op that is handed a mask in the scheduler's arena needs a program that has one. Mirrors `check_struct_ops_btf_id()`.
    fn check_arena_argument(&mut self) -> Res {
        let ProgKind::StructOps { op, cid_form } = self.prog.kind else { return Ok(()) };
        let takes = op == Op::SubCapsUpdated || (cid_form && op == Op::SetCpumask);
        if takes && !self.maps.iter().any(|m| m.map_type == BPF_MAP_TYPE_ARENA) {
            let name = if cid_form { op.desc().cid_name } else { op.name() };
            let text = format!("arena argument of {name} requires a program with an associated arena");
            self.st.pc = 0;
            return refuse(Code::MapUse, text);
        }
        Ok(())
    }

    /// A function that may be left early gives its caller a number.
    fn check_functions(&mut self) -> Res {
        for pc in 0..self.prog.insns.len() {
            let what = match self.cfg.kinds[pc] {
                Some(Kind::LdSkb { .. }) => "LD_ABS",
                Some(Kind::Call(Callee::Helper))
                    if self.prog.insns[pc].imm as u32 == HelperId::tail_call as u32 =>
                {
                    "tail_call"
                }
                _ => continue,
            };
            let func = self.cfg.func_of(pc).start;
            if func != 0 && !self.returns_number(func) {
                self.st.pc = pc;
                return refuse(
                    Code::Return,
                    format!("{what} is only allowed in functions that return 'int'."),
                );
            }
        }
        Ok(())
    }

    /// As far as BTF tells.
    fn returns_number(&self, func: usize) -> bool {
        let Some((ty, btf)) = self.prog.func_at(func).zip(self.prog.btf) else { return true };
        let BtfKind::Func { proto, .. } = btf.kind(ty) else { return true };
        let BtfKind::FuncProto { ret, .. } = btf.kind(*proto) else { return true };
        let ret = btf.resolve(*ret).map(|ty| btf.kind(ty));
        matches!(ret, Ok(BtfKind::Int { .. } | BtfKind::Enum { .. }))
    }

    /// Every map that an instruction names.
    fn check_maps(&mut self) -> Res {
        for (slot, reloc) in self.prog.relocs {
            let (Reloc::Map(id) | Reloc::MapValue(id, _)) = reloc else { continue };
            if let Some(map) = self.prog.maps.iter().find(|m| m.id == *id) {
                self.st.pc = *slot as usize;
                self.compatible(map)?;
            }
        }
        Ok(())
    }

    fn compatible(&self, map: &MapDesc<'_>) -> Res {
        let has = |is: fn(FieldKind) -> bool| map.fields.any(is);
        let (probe, socket) = match self.prog.kind {
            ProgKind::Other(hook) => (hook.is_probe(), hook.prog_type == BPF_PROG_TYPE_SOCKET_FILTER),
            _ => (false, false),
        };
        let no = |why: &str| refuse(Code::MapUse, why);
        if probe && has(|k| matches!(k, FieldKind::ListHead(..) | FieldKind::RbRoot(..))) {
            return no("tracing progs cannot use bpf_{list_head,rb_root} yet");
        }
        if socket && has(|k| matches!(k, FieldKind::SpinLock | FieldKind::ResSpinLock)) {
            return no("socket filter progs cannot use bpf_spin_lock yet");
        }
        if probe && has(|k| k == FieldKind::SpinLock) {
            return no("tracing progs cannot use bpf_spin_lock yet");
        }
        if map.map_type == BPF_MAP_TYPE_STRUCT_OPS {
            return no("bpf_struct_ops map cannot be used in prog");
        }
        if self.prog.sleepable && !in_sleepable(map.map_type) {
            return no("Sleepable programs can only use array, hash, ringbuf and local storage maps");
        }
        Ok(())
    }
}

fn in_sleepable(map_type: u32) -> bool {
    matches!(
        map_type,
        BPF_MAP_TYPE_HASH
            | BPF_MAP_TYPE_RHASH
            | BPF_MAP_TYPE_LRU_HASH
            | BPF_MAP_TYPE_ARRAY
            | BPF_MAP_TYPE_PERCPU_HASH
            | BPF_MAP_TYPE_PERCPU_ARRAY
            | BPF_MAP_TYPE_LRU_PERCPU_HASH
            | BPF_MAP_TYPE_LPM_TRIE
            | BPF_MAP_TYPE_ARRAY_OF_MAPS
            | BPF_MAP_TYPE_HASH_OF_MAPS
            | BPF_MAP_TYPE_RINGBUF
            | BPF_MAP_TYPE_USER_RINGBUF
            | BPF_MAP_TYPE_INODE_STORAGE
            | BPF_MAP_TYPE_SK_STORAGE
            | BPF_MAP_TYPE_TASK_STORAGE
            | BPF_MAP_TYPE_CGRP_STORAGE
            | BPF_MAP_TYPE_QUEUE
            | BPF_MAP_TYPE_STACK
            | BPF_MAP_TYPE_ARENA
            | BPF_MAP_TYPE_INSN_ARRAY
            | BPF_MAP_TYPE_PROG_ARRAY
    )
}
