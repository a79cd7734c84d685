//! Random programs for a real kernel: what bpf(2) is given, in a file that the guest of `cargo xtask kernel-verdicts` reads
//! (xtask/guest/raw.c), and our verdict on each.
//!
//! All numbers are little-endian words of 32 bits unless it says otherwise:
//!
//! ```text
//!  magic "SXR1" | bytes of BTF, BTF, to a multiple of 4
//!  maps: count, then of each: type, key, value, entries, flags, type ids of key and value, inner map (index or -1),
//!        map_extra (64 bits), name (16 bytes), bytes of value 0, these; frozen if there are any
//!  programs: count, then of each: type, attach type, attach id, flags, instructions, func_info records, name (16 bytes),
//!        the instructions, the records
//! ```
//!
//! Instructions name maps by their place in the table. What depends on the kernel (ids of kfuncs and variables, places of fields)
//! is resolved here, with its BTF.

use std::collections::BTreeMap;

use sextant_abi::Reloc;
use sextant_abi::image::Insn;
use sextant_abi::tables::KfuncId;
use sextant_bpf::btf::{Btf, KindTag};
use sextant_bpf::insn::{BPF_PSEUDO_BTF_ID, BPF_PSEUDO_MAP_IDX, BPF_PSEUDO_MAP_IDX_VALUE, encode};
use sextant_verifier::ProgKind;

use crate::Fuzzer;
use crate::asm::Note;
use crate::piece::Draft;
use crate::world::{Of, World};

const BPF_PROG_TYPE_STRUCT_OPS: u32 = 27;
const BPF_PROG_TYPE_SYSCALL: u32 = 31;
const BPF_F_TEST_STATE_FREQ: u32 = 1 << 3;
const BPF_F_SLEEPABLE: u32 = 1 << 4;

/// Why programs cannot be brought to this kernel.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Missing(pub String);

/// The kernel's names, resolved.
struct Real<'a> {
    btf: &'a Btf,
    ops: u32,
    enqueue: u32,
    runqueues: u32,
    kfuncs: BTreeMap<u32, i32>,
    fields: BTreeMap<&'static str, i16>,
}

/// The file, and a line `seed TAB accept|reject TAB instructions TAB reason` for each program.
///
/// # Errors
/// When the kernel lacks a type or function that programs use.
pub fn export(first: u64, programs: u64, kernel: &Btf) -> Result<(Vec<u8>, String), Missing> {
    let fuzzer = Fuzzer::new();
    let mut real = Real::new(kernel)?;
    let mut out = b"SXR1".to_vec();
    world(&mut out, &fuzzer.world);
    word(&mut out, programs as u32);
    let mut verdicts = String::new();
    for seed in (first..).take(programs as usize) {
        let draft = fuzzer.draft(seed);
        program(&mut out, &draft, &fuzzer.world, &mut real)?;
        let line = match fuzzer.verdict(seed) {
            Ok(a) => format!("{seed}\taccept\t{}\t\n", a.insns_processed),
            Err(r) => {
                let reason = r.message.replace(['\t', '\n'], " ");
                format!("{seed}\treject\t{}\t{}: {reason}\n", r.insns_processed, r.code.code())
            }
        };
        verdicts.push_str(&line);
    }
    Ok((out, verdicts))
}

impl<'a> Real<'a> {
    fn new(btf: &'a Btf) -> Result<Real<'a>, Missing> {
        let find = |name: &str, tag| btf.find(name, tag).ok_or(Missing(name.to_owned()));
        let ops = find("sched_ext_ops", KindTag::Struct)?;
        let member = btf.members(ops).iter().position(|m| btf.str(m.name) == "enqueue");
        Ok(Real {
            btf,
            ops: ops.0,
            enqueue: member.ok_or(Missing("sched_ext_ops.enqueue".to_owned()))? as u32,
            runqueues: find("runqueues", KindTag::Var)?.0,
            kfuncs: BTreeMap::new(),
            fields: BTreeMap::new(),
        })
    }

    fn kfunc(&mut self, id: u32) -> Result<i32, Missing> {
        if let Some(&found) = self.kfuncs.get(&id) {
            return Ok(found);
        }
        let name = KfuncId::from_index(id).map_or("?", |k| k.info().name);
        let found = self.btf.find(name, KindTag::Func).ok_or(Missing(name.to_owned()))?.0 as i32;
        self.kfuncs.insert(id, found);
        Ok(found)
    }

    fn field(&mut self, full: &'static str) -> Result<i16, Missing> {
        if let Some(&found) = self.fields.get(full) {
            return Ok(found);
        }
        let missing = || Missing(full.to_owned());
        let (ty, path) = full.split_once('.').ok_or_else(missing)?;
        let ty = self.btf.find(ty, KindTag::Struct).ok_or_else(missing)?;
        let field = self.btf.field(ty, path).ok().flatten().ok_or_else(missing)?;
        let off = (field.bit_offset / 8) as i16;
        self.fields.insert(full, off);
        Ok(off)
    }
}

fn word(out: &mut Vec<u8>, n: u32) {
    out.extend_from_slice(&n.to_le_bytes());
}

fn bytes(out: &mut Vec<u8>, data: &[u8]) {
    word(out, data.len() as u32);
    out.extend_from_slice(data);
    out.resize(out.len().next_multiple_of(4), 0);
}

fn name(out: &mut Vec<u8>, name: &str) {
    let mut all = [0; 16];
    let short = &name.as_bytes()[..name.len().min(15)];
    all[..short.len()].copy_from_slice(short);
    out.extend_from_slice(&all);
}

fn world(out: &mut Vec<u8>, world: &World) {
    bytes(out, &world.btf.to_bytes());
    let specs = world.specs();
    word(out, specs.len() as u32);
    let (key, values) = &world.values;
    for (spec, value) in specs.iter().zip(values) {
        for n in [spec.map_type, spec.key_size, spec.value_size, spec.max_entries, spec.flags] {
            word(out, n);
        }
        word(out, value.map_or(0, |_| key.0));
        word(out, value.map_or(0, |value| value.0));
        word(out, spec.inner.map_or(u32::MAX, |id| id.0 - 1));
        out.extend_from_slice(&spec.map_extra.to_le_bytes());
        name(out, &spec.name.replace('.', "_"));
        bytes(out, if spec.name == ".rodata" { world.rodata() } else { &[] });
    }
}

fn program(out: &mut Vec<u8>, draft: &Draft, world: &World, real: &mut Real<'_>) -> Result<(), Missing> {
    let insns = resolved(draft, real)?;
    let (ty, attach, id) = match draft.kind {
        ProgKind::Syscall => (BPF_PROG_TYPE_SYSCALL, 0, 0),
        _ => (BPF_PROG_TYPE_STRUCT_OPS, real.enqueue, real.ops),
    };
    let mut flags = if draft.state_freq { BPF_F_TEST_STATE_FREQ } else { 0 };
    if ty == BPF_PROG_TYPE_SYSCALL {
        flags |= BPF_F_SLEEPABLE;
    }
    let funcs = world.func_info(draft);
    for n in [ty, attach, id, flags, insns.len() as u32, funcs.len() as u32] {
        word(out, n);
    }
    name(out, &draft.seed.to_string());
    out.extend_from_slice(&encode(&insns));
    for func in funcs {
        word(out, func.insn_off);
        word(out, func.ty.0);
    }
    Ok(())
}

/// The instructions with the kernel's numbers.
fn resolved(draft: &Draft, real: &mut Real<'_>) -> Result<Vec<Insn>, Missing> {
    let mut insns = draft.code.insns.clone();
    for (slot, note) in &draft.code.notes {
        if let Note::Field(full) = note {
            insns[*slot].off = real.field(full)?;
        }
    }
    for (slot, reloc) in &draft.code.relocs {
        let slot = *slot as usize;
        match *reloc {
            Reloc::Map(id) => insns[slot].imm = id as i32 - 1,
            Reloc::MapValue(id, off) => {
                insns[slot].imm = id as i32 - 1;
                insns[slot + 1].imm = off as i32;
            }
            Reloc::Addr(_) => insns[slot].imm = real.runqueues as i32,
            Reloc::Kfunc(id) => insns[slot].imm = real.kfunc(id)?,
            Reloc::Func(_) => {}
        }
        debug_assert!(!matches!(reloc, Reloc::Map(_)) || [1, BPF_PSEUDO_MAP_IDX].contains(&insns[slot].src));
        debug_assert!(
            !matches!(reloc, Reloc::MapValue(..)) || [2, BPF_PSEUDO_MAP_IDX_VALUE].contains(&insns[slot].src)
        );
        debug_assert!(!matches!(reloc, Reloc::Addr(_)) || insns[slot].src == BPF_PSEUDO_BTF_ID);
    }
    debug_assert_eq!(Of::Array.id(), 1, "the table begins with the first map");
    Ok(insns)
}
