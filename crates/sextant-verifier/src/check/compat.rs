//! Whether a program may use a map at all, executed or not. Mirrors `check_map_prog_compatibility()` of kernel/bpf/verifier.c, 7.3.

use sextant_abi::image::Reloc;
use sextant_abi::tables::bpf::*;

use super::*;
use crate::fields::FieldKind;
use crate::program::ProgKind;

impl Env<'_> {
    /// Every map that an instruction names.
    pub(super) fn check_maps(&mut self) -> Res {
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
