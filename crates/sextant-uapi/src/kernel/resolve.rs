//! What a program's instructions name: maps by descriptor, kernel functions and variables by BTF id, its own functions.
//!
//! Mirrors resolve_pseudo_ldimm64 and add_subprogs of kernel/bpf/verifier.c, 7.3.

use sextant_abi::tables::KfuncId;
use sextant_abi::{LocalType, ProgramImage, Reloc, Subprog};
use sextant_bpf::btf::{Btf, Kind, KindTag, TypeId, ext};
use sextant_bpf::insn::{
    BPF_PSEUDO_BTF_ID, BPF_PSEUDO_CALL, BPF_PSEUDO_FUNC, BPF_PSEUDO_MAP_FD, BPF_PSEUDO_MAP_IDX,
    BPF_PSEUDO_MAP_IDX_VALUE, BPF_PSEUDO_MAP_VALUE, Insn, is_ld_imm64,
};
use sextant_bpf::opcode::{Alu, Callee, Kind as Op, Operand, lookup};
use sextant_verifier::SpecialFields;

use super::objects::ARRAY;
use super::prog::Refusal;
use super::{Kernel, MapObject, ProgType};
use crate::attr::{Attr, prog_load as f};
use crate::user;

/// The largest offset into a map's value that the kernel's instruction can carry (`BPF_MAX_VAR_OFF`).
const MAX_OFF: u32 = 1 << 29;

/// Where kernel functions would be. Programs only compare such an address with 0.
const KERNEL_TEXT: u64 = 0xffff_ffff_8100_0000;

/// A program whose instructions name things of the vm.
pub(super) struct Resolved {
    pub(super) image: ProgramImage,
    pub(super) btf_id: u32,
    /// Ids of the maps it uses.
    pub(super) maps: Vec<u32>,
}

impl Kernel {
    pub(super) fn resolve(&self, a: &Attr, name: String, insns: Vec<Insn>) -> Result<Resolved, Refusal> {
        let judged = self.judges(&name);
        let runs = ProgType(a.u32(f::PROG_TYPE)).runs() || judged;
        let mut relocs = Vec::new();
        let mut maps = Vec::new();
        let mut pc = 0;
        while pc < insns.len() {
            let wide = is_ld_imm64(&insns[pc]);
            if let Some(reloc) = self.reloc(a, &insns, pc, runs, &mut maps)? {
                relocs.push((pc as u32, reloc));
            }
            pc += if wide { 2 } else { 1 };
        }
        let (btf_id, subprogs) = self.subprogs(a, &name, &insns)?;
        let dead = vec![false; insns.len()];
        let (probe_load, arena_access) = (dead.clone(), dead.clone());
        let local_types = self.local_types(a, &insns, &relocs)?;
        let image =
            ProgramImage { name, insns, relocs, subprogs, dead, probe_load, arena_access, local_types };
        // The verifier folds for itself and has its own words.
        let image = if judged { image } else { self.fold(image)? };
        Ok(Resolved { image, btf_id, maps })
    }

    fn reloc(
        &self,
        a: &Attr,
        insns: &[Insn],
        pc: usize,
        runs: bool,
        maps: &mut Vec<u32>,
    ) -> Result<Option<Reloc>, Refusal> {
        let insn = &insns[pc];
        if is_ld_imm64(insn) {
            let off = insns[pc + 1].imm as u32;
            return match insn.src {
                0 => Ok(None),
                BPF_PSEUDO_MAP_FD | BPF_PSEUDO_MAP_IDX => {
                    let map = self.map_of(a, insn)?;
                    note_map(maps, map.id);
                    self.map_reloc(&map, runs)
                }
                BPF_PSEUDO_MAP_VALUE | BPF_PSEUDO_MAP_IDX_VALUE => {
                    let map = self.map_of(a, insn)?;
                    note_map(maps, map.id);
                    self.value_reloc(&map, off, runs)
                }
                BPF_PSEUDO_BTF_ID => self.ksym(insn.imm as u32, off).map(Some),
                BPF_PSEUDO_FUNC => Ok(Some(Reloc::Func((pc as i64 + 1 + i64::from(insn.imm)) as u32))),
                other => Err(Refusal::einval(format!("unrecognized bpf_ld_imm64 insn (src {other})\n"))),
            };
        }
        match lookup(insn).map(|row| row.kind) {
            Some(Op::Call(Callee::Kfunc)) => self.kfunc(insn),
            _ => Ok(None),
        }
    }

    /// The structs of the program's BTF that its constants may name, if it allocates any: `bpf_obj_new` takes the type's id
    /// as a constant, so a struct whose id nothing is set to is not allocated.
    fn local_types(
        &self,
        a: &Attr,
        insns: &[Insn],
        relocs: &[(u32, Reloc)],
    ) -> Result<Vec<(u32, LocalType)>, Refusal> {
        let news = [
            KfuncId::bpf_obj_new,
            KfuncId::bpf_obj_new_impl,
            KfuncId::bpf_percpu_obj_new,
            KfuncId::bpf_percpu_obj_new_impl,
        ]
        .map(KfuncId::index);
        let allocates = relocs.iter().any(|(_, r)| matches!(r, Reloc::Kfunc(id) if news.contains(id)));
        let fd = a.u32(f::PROG_BTF_FD) as i32;
        if !allocates || fd == 0 {
            return Ok(Vec::new());
        }
        let object = self.btf_at(fd)?;
        let constant = |insn: &Insn| match lookup(insn).map(|row| row.kind) {
            Some(Op::Alu { op: Alu::Mov, operand: Operand::Imm, .. }) => Some(insn.imm as u32),
            Some(Op::LdImm64(_)) if insn.src == 0 => Some(insn.imm as u32),
            _ => None,
        };
        let mut ids: Vec<u32> = insns.iter().filter_map(constant).collect();
        ids.sort_unstable();
        ids.dedup();
        let local = |id: u32| {
            let is_struct = matches!(object.btf.kind(TypeId(id)), Kind::Struct { union: false, .. });
            let size = u32::try_from(object.btf.size_of(TypeId(id)).ok()?).ok()?;
            let fields = || self.in_vm(&object.btf, &SpecialFields::of_object(&object.btf, TypeId(id)));
            is_struct.then(|| (id, LocalType { size, fields: fields() }))
        };
        Ok(ids.into_iter().filter_map(local).collect())
    }

    /// The map of a descriptor in the instruction, or of an index into the call's `fd_array`.
    fn map_of(&self, a: &Attr, insn: &Insn) -> Result<std::rc::Rc<MapObject>, Refusal> {
        let by_index = matches!(insn.src, BPF_PSEUDO_MAP_IDX | BPF_PSEUDO_MAP_IDX_VALUE);
        let fd = match (by_index, a.u64(f::FD_ARRAY)) {
            (true, 0) => return Err(Refusal::einval("fd_idx without fd_array is invalid\n".into())),
            (true, array) => user::read_u32(array.wrapping_add(insn.imm as u32 as u64 * 4))? as i32,
            (false, _) => insn.imm,
        };
        self.map_at(fd)
            .map_err(|errno| Refusal { errno, log: format!("fd {fd} is not pointing to valid bpf_map\n") })
    }

    fn map_reloc(&self, map: &MapObject, runs: bool) -> Result<Option<Reloc>, Refusal> {
        if !runs {
            return Ok(None);
        }
        Ok(Some(Reloc::Map(map.vm_map(self.vm()?)?.0)))
    }

    fn value_reloc(&self, map: &MapObject, off: u32, runs: bool) -> Result<Option<Reloc>, Refusal> {
        let spec = &map.spec;
        if !map.is_arena() && spec.map_type != ARRAY {
            return Err(Refusal::einval("no direct value access support for this map type\n".into()));
        }
        if !map.is_arena() && (spec.max_entries != 1 || off >= spec.value_size || off >= MAX_OFF) {
            let size = spec.value_size;
            let log = format!("invalid access to map value pointer, value_size={size} off={off}\n");
            return Err(Refusal::einval(log));
        }
        if !runs {
            return Ok(None);
        }
        Ok(Some(Reloc::MapValue(map.vm_map(self.vm()?)?.0, off)))
    }

    /// A kernel variable, or a kernel function whose existence is tested.
    fn ksym(&self, id: u32, btf_fd: u32) -> Result<Reloc, Refusal> {
        let name = self.btf().name(TypeId(id));
        match self.btf().kind(TypeId(id)) {
            Kind::Func { .. } if btf_fd == 0 => return Ok(Reloc::Addr(KERNEL_TEXT + u64::from(id) * 16)),
            Kind::Var { .. } if btf_fd == 0 => {}
            _ => {
                let log = format!("pseudo btf_id {id} in ldimm64 isn't KIND_VAR or KIND_FUNC\n");
                return Err(Refusal::einval(log));
            }
        }
        let known = self.ksyms().iter().find(|(ksym, _)| ksym == name);
        known.map(|&(_, addr)| Reloc::Addr(addr)).ok_or_else(|| Refusal {
            errno: crate::errno::Errno::ENOENT,
            log: format!("ldimm64 failed to find the address for kernel symbol '{name}'.\n"),
        })
    }

    /// `None`: one that we lack, while judging.
    fn kfunc(&self, insn: &Insn) -> Result<Option<Reloc>, Refusal> {
        let id = TypeId(insn.imm as u32);
        if insn.off != 0 {
            return Err(Refusal::einval("kernel function has no module BTF here\n".into()));
        }
        let kfunc = self.config.vmlinux.kfunc(id);
        match kfunc {
            Some(kfunc) => Ok(Some(Reloc::Kfunc(kfunc.index()))),
            None if self.judging.get() => Ok(None),
            None => {
                let name = self.btf().name(id);
                Err(Refusal::einval(format!("calling kernel function {name} is not allowed\n")))
            }
        }
    }

    /// The functions of a program: where calls and function references go, with names from func_info.
    fn subprogs(&self, a: &Attr, name: &str, insns: &[Insn]) -> Result<(u32, Vec<Subprog>), Refusal> {
        let (btf_id, names) = self.func_names(a)?;
        let mut starts = vec![0u32];
        for (pc, insn) in insns.iter().enumerate() {
            let callback = is_ld_imm64(insn) && insn.src == BPF_PSEUDO_FUNC;
            let call = insn.code == sextant_bpf::insn::BPF_JMP | sextant_bpf::insn::BPF_CALL
                && insn.src == BPF_PSEUDO_CALL;
            if callback || call {
                starts.push((pc as i64 + 1 + i64::from(insn.imm)) as u32);
            }
        }
        starts.extend(names.iter().map(|&(start, _)| start).filter(|&start| (start as usize) < insns.len()));
        starts.sort_unstable();
        starts.dedup();
        let named = |(i, start): (usize, u32)| {
            let known = names.iter().find(|&&(at, _)| at == start).map(|(_, name)| name.clone());
            let fallback = || if i == 0 { name.to_string() } else { format!("subprog_{i}") };
            Subprog { start, name: known.filter(|n| !n.is_empty()).unwrap_or_else(fallback) }
        };
        Ok((btf_id, starts.into_iter().enumerate().map(named).collect()))
    }

    fn func_names(&self, a: &Attr) -> Result<(u32, Vec<(u32, String)>), Refusal> {
        let fd = a.u32(f::PROG_BTF_FD) as i32;
        if fd == 0 {
            return Ok((0, Vec::new()));
        }
        let object = self.btf_at(fd)?;
        let (count, size) = (a.u32(f::FUNC_INFO_CNT), a.u32(f::FUNC_INFO_REC_SIZE));
        if count == 0 {
            return Ok((object.id, Vec::new()));
        }
        if size > 252 {
            return Err(Refusal::einval(format!("invalid func info rec size {size}\n")));
        }
        let bytes = user::bytes(a.u64(f::FUNC_INFO), count as usize * size as usize)?;
        let infos = ext::func_info(&bytes, size).map_err(|e| Refusal::einval(format!("{e}\n")))?;
        let mut names = Vec::new();
        for info in infos {
            names.push((info.insn_off, func_name(&object.btf, info.ty)?));
        }
        Ok((object.id, names))
    }
}

fn func_name(btf: &Btf, id: TypeId) -> Result<String, Refusal> {
    match btf.kind(id).tag() {
        KindTag::Func => Ok(btf.name(id).to_string()),
        _ => Err(Refusal::einval(format!("invalid type id {} in func info\n", id.0))),
    }
}

fn note_map(maps: &mut Vec<u32>, id: u32) {
    if !maps.contains(&id) {
        maps.push(id);
    }
}
