//! The verifier over a program that is being loaded: what `sextant_verifier` wants to know, collected from the call.

use std::rc::Rc;

use sextant_abi::ProgramImage;
use sextant_abi::tables::Op;
use sextant_abi::types::find_type;
use sextant_bpf::btf::{Kind, Param, TypeId, ext};
use sextant_verifier::program::{RawTpArg, raw_tp_arg};
use sextant_verifier::{
    Accepted, CtxArg, Hook, MapDesc, ProgKind, Program, Rejection, gpl_compatible, verify, verify_with_log,
};
use sextant_vm::MapId;

use super::prog::Refusal;
use super::{Kernel, MapObject, ProgType};
use crate::attr::{Attr, prog_load as f};
use crate::user;

/// `BPF_F_RDONLY_PROG`
const RDONLY_PROG: u32 = 1 << 7;

/// `BPF_TRACE_RAW_TP`, `BPF_TRACE_FENTRY`, `BPF_TRACE_FEXIT`, `BPF_TRACE_ITER`
const TRACE_RAW_TP: u32 = 23;
const TRACE_FENTRY: u32 = 24;
const TRACE_FEXIT: u32 = 25;
pub(super) const TRACE_ITER: u32 = 28;

/// What the verifier said of a program.
#[derive(Clone, Debug)]
pub struct Verdict {
    /// The program's name.
    pub prog: String,
    /// Accepted or refused.
    pub result: Result<Accepted, Rejection>,
    /// What the verifier did, as in the kernel's log; empty unless [`Kernel::keep_logs`].
    pub log: String,
}

/// `BPF_F_STRICT_ALIGNMENT`
const STRICT_ALIGNMENT: u32 = 1 << 0;
/// `BPF_F_TEST_STATE_FREQ`
const TEST_STATE_FREQ: u32 = 1 << 3;

impl Kernel {
    /// From now on the verifier looks at every program that is loaded. It keeps its verdict and leaves its notes in the image; a
    /// program that it refuses is loaded all the same, so that one load tells of all programs. The vm is safe without it.
    pub fn verify_programs(&self) {
        self.verifying.set(true);
    }

    /// From now on also a program with an instruction that needs what is not there (a field, a kernel function) gets its verdict and
    /// is loaded, so that those after it get theirs.
    pub fn keep_on(&self) {
        self.verify_programs();
        self.keeping_on.set(true);
    }

    pub(super) fn verifying(&self) -> bool {
        self.verifying.get()
    }

    /// Verdicts come with the verifier's log.
    pub fn keep_logs(&self) {
        self.logging.set(true);
    }

    /// What the verifier said of every program loaded or refused, oldest first.
    pub fn verdicts(&self) -> Vec<Verdict> {
        self.verdicts.borrow().clone()
    }

    /// Verifies a program whose names are resolved and puts notes into the image; libbpf's feature probes are not verified.
    pub(super) fn verify(&self, a: &Attr, image: &mut ProgramImage, sleepable: bool) -> Result<(), Refusal> {
        let ty = ProgType(a.u32(f::PROG_TYPE));
        if !self.verifying.get() || !ty.runs() && !self.judging.get() {
            return Ok(());
        }
        let (attach, how) = (a.u32(f::ATTACH_BTF_ID), a.u32(f::EXPECTED_ATTACH_TYPE));
        let args = if ty == ProgType::TRACING { self.tracing_args(TypeId(attach), how) } else { Vec::new() };
        let kind = self.prog_kind(ty, attach, how, &args);
        let fd = a.u32(f::PROG_BTF_FD) as i32;
        let btf = if fd == 0 { None } else { Some(self.btf_at(fd)?) };
        let all = self.maps();
        let maps: Vec<MapDesc<'_>> = all.iter().filter_map(|map| self.map_desc(map, &all)).collect();
        let funcs = infos(a, f::FUNC_INFO, f::FUNC_INFO_CNT, f::FUNC_INFO_REC_SIZE, ext::func_info)?;
        let lines = infos(a, f::LINE_INFO, f::LINE_INFO_CNT, f::LINE_INFO_REC_SIZE, ext::line_info)?;
        let read_only = |map, off, size| self.vm.get()?.frozen_read(MapId(map), off, size);
        let program = Program {
            name: &image.name,
            insns: &image.insns,
            relocs: &image.relocs,
            kind,
            sleepable,
            nr_cpus: self.nr_cpus(),
            gpl: gpl_compatible(&user::string(a.u64(f::LICENSE), 127)?),
            // Programs on iterators are loaded and never run.
            has_helper: (!self.judging.get() && how != TRACE_ITER)
                .then_some(sextant_vm::helper_is_implemented as fn(u32) -> bool),
            maps: &maps,
            read_only: &read_only,
            btf: btf.as_ref().map(|b| &b.btf),
            kernel_btf: Some(self.btf()),
            func_info: &funcs,
            line_info: &lines,
            state_freq: a.u32(f::PROG_FLAGS) & TEST_STATE_FREQ != 0,
            strict_alignment: a.u32(f::PROG_FLAGS) & STRICT_ALIGNMENT != 0,
        };
        let (result, log) = match self.logging.get() {
            true => verify_with_log(&program),
            false => (verify(&program), String::new()),
        };
        let prog = self.whole_name(a).unwrap_or_else(|| image.name.clone());
        if let Ok(accepted) = &result {
            image.dead.clone_from(&accepted.dead);
            image.probe_load.clone_from(&accepted.probe_load);
            image.arena_access.clone_from(&accepted.arena_access);
        }
        self.verdicts.borrow_mut().push(Verdict { prog, result, log });
        Ok(())
    }

    /// The name of its first function: the call's own is cut to 15 bytes.
    pub(super) fn whole_name(&self, a: &Attr) -> Option<String> {
        let btf = self.btf_at(a.u32(f::PROG_BTF_FD) as i32).ok()?;
        let funcs = infos(a, f::FUNC_INFO, f::FUNC_INFO_CNT, f::FUNC_INFO_REC_SIZE, ext::func_info).ok()?;
        let name = btf.btf.name(funcs.first()?.ty);
        (!name.is_empty()).then(|| name.to_owned())
    }

    fn prog_kind<'a>(&'a self, ty: ProgType, attach: u32, member: u32, args: &'a [CtxArg]) -> ProgKind<'a> {
        match ty {
            ProgType::STRUCT_OPS => {
                let ops = self.btf().name(TypeId(attach));
                let member = self.btf().members(TypeId(attach)).get(member as usize);
                match member.and_then(|m| Op::from_name(self.btf().str(m.name))) {
                    Some(op) => ProgKind::StructOps { op, cid_form: ops == "sched_ext_ops_cid" },
                    None => ProgKind::ForeignStructOps,
                }
            }
            ProgType::SYSCALL => ProgKind::Syscall,
            ProgType::TRACING => {
                let returns_zero = matches!(member, TRACE_FENTRY | TRACE_FEXIT);
                ProgKind::Tracing { args, returns_zero, attach_type: member }
            }
            _ => ProgKind::Other(Hook {
                prog_type: ty.0,
                attach_type: member,
                target: self.btf().name(TypeId(attach)),
            }),
        }
    }

    /// What lies in the context of a program on this function or tracepoint; nothing when it is neither.
    fn tracing_args(&self, attach: TypeId, how: u32) -> Vec<CtxArg> {
        let btf = self.btf();
        let resolved = |ty| btf.resolve(ty).unwrap_or(TypeId::VOID);
        let proto = match btf.kind(attach) {
            Kind::Func { proto, .. } => *proto,
            Kind::Typedef(ptr) => match btf.kind(resolved(*ptr)) {
                Kind::Ptr(to) => resolved(*to),
                _ => return Vec::new(),
            },
            _ => return Vec::new(),
        };
        let Kind::FuncProto { params, .. } = btf.kind(proto) else { return Vec::new() };
        // A tracepoint's first parameter is the kernel's own.
        let skip = usize::from(how == TRACE_RAW_TP);
        let name = btf.name(attach).strip_prefix("btf_trace_").unwrap_or("");
        let arg = |(i, p): (usize, &Param)| self.tracing_arg(p, how, raw_tp_arg(name, i));
        let mut args: Vec<CtxArg> = params.iter().skip(skip).enumerate().map(arg).collect();
        if how == TRACE_FEXIT {
            args.push(CtxArg::Number);
        }
        args
    }

    fn tracing_arg(&self, param: &Param, how: u32, may_be: RawTpArg) -> CtxArg {
        let btf = self.btf();
        let null = may_be == RawTpArg::OrNull || btf.str(param.name).ends_with("__nullable");
        let to = match btf.resolve(param.ty).map(|ty| btf.kind(ty)) {
            Ok(Kind::Ptr(to)) => btf.resolve(*to).unwrap_or(TypeId::VOID),
            _ => return CtxArg::Number,
        };
        match (btf.kind(to), find_type(btf.name(to))) {
            // The end of an iteration is told by NULL.
            (Kind::Struct { .. }, Some(desc)) if how == TRACE_ITER && desc.name != "bpf_iter_meta" => {
                CtxArg::TrustedOrNull(desc.name)
            }
            (Kind::Struct { .. }, Some(_)) if how == TRACE_RAW_TP && may_be == RawTpArg::OrError => {
                CtxArg::Address
            }
            (Kind::Struct { .. }, Some(desc)) if how == TRACE_RAW_TP && null => {
                CtxArg::TrustedOrNull(desc.name)
            }
            (Kind::Struct { .. }, Some(desc)) if matches!(how, TRACE_RAW_TP | TRACE_ITER) => {
                CtxArg::Trusted(desc.name)
            }
            (Kind::Struct { .. }, Some(desc)) => CtxArg::Bare(desc.name),
            _ => CtxArg::Address,
        }
    }

    fn map_desc<'a>(&self, map: &'a MapObject, all: &'a [Rc<MapObject>]) -> Option<MapDesc<'a>> {
        let id = map.in_vm.get()?.0;
        let inner = map.spec.inner.and_then(|inner| {
            let template = all.iter().find(|m| m.in_vm.get() == Some(&inner))?;
            self.map_desc(template, &[])
        });
        Some(MapDesc {
            id,
            name: &map.spec.name,
            map_type: map.spec.map_type,
            key_size: map.spec.key_size,
            value_size: map.spec.value_size,
            max_entries: map.spec.max_entries,
            flags: map.spec.flags,
            rdonly: map.spec.flags & RDONLY_PROG != 0,
            fields: map.fields.clone(),
            inner: inner.map(Box::new),
        })
    }
}

pub(super) fn infos<T>(
    a: &Attr,
    at: usize,
    count: usize,
    size: usize,
    read: impl Fn(&[u8], u32) -> Result<Vec<T>, ext::ExtError>,
) -> Result<Vec<T>, Refusal> {
    let (count, size) = (a.u32(count), a.u32(size));
    if count == 0 || size == 0 || size > 252 {
        return Ok(Vec::new());
    }
    let bytes = user::bytes(a.u64(at), count as usize * size as usize)?;
    read(&bytes, size).map_err(|e| Refusal::einval(format!("{e}\n")))
}
