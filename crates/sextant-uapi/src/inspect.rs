//! What an opened object is and needs, as data: `sextant inspect` prints it.

use std::collections::BTreeMap;

use libbpf_rs::{AsRawLibbpf, MapType};
use sextant_abi::tables::{HelperId, KfuncId, OpsFlags, linux_has_percpu_var};
use sextant_bpf::btf::{Btf, Kind, KindTag, core};

use crate::facts::essential_name;
use crate::globals;
use crate::kernel::map_type_name;
use crate::load::{Opened, render_place};
use crate::ops_table;

/// What Sextant can do; the caller knows.
pub struct Has<'a> {
    /// Whether a kfunc is implemented.
    pub kfunc: &'a dyn Fn(KfuncId) -> bool,
    /// Whether a helper is implemented.
    pub helper: &'a dyn Fn(HelperId) -> bool,
}

/// How well a need is met.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Status {
    /// There.
    Has,
    /// The kernel has it, Sextant does not yet.
    Lacks,
    /// Nobody has it: 7.3 does not know the name or number.
    Unknown,
}

/// An ops table.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct OpsInfo {
    /// Its map.
    pub map: String,
    /// Its struct.
    pub struct_name: String,
    /// Whether `load` would take this one.
    pub chosen: bool,
    /// `name`
    pub name: String,
    /// `flags`, and their names.
    pub flags: (u64, Vec<String>),
    /// `timeout_ms`, 0 for the default.
    pub timeout_ms: u64,
    /// Member and program of each op.
    pub members: Vec<(String, String)>,
}

/// A program.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ProgInfo {
    /// Its name.
    pub name: String,
    /// ELF section.
    pub section: String,
    /// Instructions before relocation, subprograms aside.
    pub insns: usize,
    /// Whether it is loaded.
    pub autoload: bool,
}

/// A map.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct MapInfo {
    /// Its name.
    pub name: String,
    /// Its type, without `BPF_MAP_TYPE_`.
    pub map_type: String,
    /// Bytes.
    pub key_size: u32,
    /// Bytes.
    pub value_size: u32,
    /// Elements; 0 where user space must say.
    pub max_entries: u32,
    /// `BPF_F_*`
    pub flags: u32,
}

/// A kernel function or variable that is needed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Extern {
    /// Its name as the object imports it.
    pub name: String,
    /// Whether the object can do without.
    pub weak: bool,
    /// Whether it is there.
    pub status: Status,
}

/// A kernel type, field or enumerator that is not there.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TypeNeed {
    /// `struct rq.scx.nr_running`
    pub what: String,
    /// The object asks for it first somewhere, so that it may do without.
    pub asks: bool,
}

/// A helper that is called.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct HelperInfo {
    /// Its number.
    pub number: u32,
    /// Its name, `unknown` when there is none.
    pub name: String,
    /// Whether it is there.
    pub status: Status,
}

/// A variable.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct GlobalInfo {
    /// Its name.
    pub name: String,
    /// ELF section.
    pub section: String,
    /// Its type as C writes it.
    pub ty: String,
    /// Bytes.
    pub size: u32,
    /// Its value, in the syntax of `--set` where that is possible.
    pub value: String,
}

/// An enumerator whose value differs.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct EnumDiff {
    /// Its name.
    pub name: String,
    /// In the object.
    pub object: u64,
    /// In 7.3.
    pub kernel: u64,
}

/// Everything.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Inspection {
    /// Ops tables.
    pub ops: Vec<OpsInfo>,
    /// Programs.
    pub progs: Vec<ProgInfo>,
    /// Maps, ops tables and data sections included.
    pub maps: Vec<MapInfo>,
    /// Kernel functions.
    pub kfuncs: Vec<Extern>,
    /// Kernel variables.
    pub ksyms: Vec<Extern>,
    /// Configuration options and the kernel's version.
    pub kconfig: Vec<Extern>,
    /// Types, fields and enumerators that it asks the kernel for and that are not there, each once.
    pub needs: Vec<TypeNeed>,
    /// Helpers.
    pub helpers: Vec<HelperInfo>,
    /// Variables.
    pub globals: Vec<GlobalInfo>,
    /// Enumerators baked in with other values than 7.3's.
    pub enum_diffs: Vec<EnumDiff>,
}

impl Opened {
    /// What it is and needs.
    pub fn inspect(&self, has: &Has<'_>) -> Inspection {
        let externs = self.externs(has);
        let of =
            |kind: ExternKind| externs.iter().filter(|(k, _)| *k == kind).map(|(_, e)| e.clone()).collect();
        Inspection {
            ops: self.tables.iter().map(|table| self.ops_info(table)).collect(),
            progs: self.prog_infos(),
            maps: self.map_infos(),
            kfuncs: of(ExternKind::Kfunc),
            ksyms: of(ExternKind::Ksym),
            kconfig: of(ExternKind::Kconfig),
            needs: self.type_needs(),
            helpers: self.helper_infos(has),
            globals: self.global_infos(),
            enum_diffs: enum_diffs(&self.btf, self.kernel.btf()),
        }
    }

    fn ops_info(&self, table: &ops_table::OpsTable) -> OpsInfo {
        let wanted = table.map.as_str();
        let map = self.obj.maps().find(|m| m.map_type() == MapType::StructOps && m.name() == wanted);
        let bytes = map.and_then(|m| m.initial_value().map(<[u8]>::to_vec)).unwrap_or_default();
        let text = |name: &str| self.ops_field(table, name, &bytes).unwrap_or_default();
        let flags = text("flags").parse().unwrap_or(0);
        let known = OpsFlags::from_bits_truncate(flags);
        OpsInfo {
            map: table.map.clone(),
            struct_name: table.struct_name.clone(),
            chosen: *table == self.table,
            name: text("name").trim_matches('"').to_string(),
            flags: (flags, known.iter_names().map(|(name, _)| format!("SCX_OPS_{name}")).collect()),
            timeout_ms: text("timeout_ms").parse().unwrap_or(0),
            members: ops_table::members(&self.obj, &self.btf, table),
        }
    }

    fn ops_field(&self, table: &ops_table::OpsTable, name: &str, bytes: &[u8]) -> Option<String> {
        let field = self.btf.field(table.ty, name).ok()??;
        let at = ops_table::range(&self.btf, &field, bytes.len())?;
        Some(globals::render(&self.btf, field.ty, &bytes[at]))
    }

    fn prog_infos(&self) -> Vec<ProgInfo> {
        let info = |p: libbpf_rs::OpenProgram<'_>| ProgInfo {
            name: p.name().to_string_lossy().into_owned(),
            section: p.section().to_string_lossy().into_owned(),
            insns: p.insn_cnt(),
            autoload: p.autoload(),
        };
        self.obj.progs().map(info).collect()
    }

    fn map_infos(&self) -> Vec<MapInfo> {
        let info = |m: libbpf_rs::OpenMap<'_>| {
            // SAFETY: the map belongs to an open object.
            let map_type = unsafe { libbpf_sys::bpf_map__type(m.as_libbpf_object().as_ptr()) };
            MapInfo {
                name: m.name().to_string_lossy().into_owned(),
                map_type: map_type_name(map_type),
                key_size: m.key_size(),
                value_size: m.value_size(),
                max_entries: m.max_entries(),
                flags: m.map_flags(),
            }
        };
        self.obj.maps().map(info).collect()
    }

    fn externs(&self, has: &Has<'_>) -> Vec<(ExternKind, Extern)> {
        let one = |(name, &weak): (&String, &bool)| {
            let kind = extern_kind(&self.btf, name);
            let status = match kind {
                ExternKind::Kfunc => self.kfunc_status(name, has),
                ExternKind::Ksym => match self.kernel.btf().find(essential_name(name), KindTag::Var) {
                    Some(_) => Status::Has,
                    None if linux_has_percpu_var(essential_name(name)) => Status::Lacks,
                    None => Status::Unknown,
                },
                ExternKind::Kconfig => match name == "LINUX_KERNEL_VERSION" || kconfig_has(name) {
                    true => Status::Has,
                    false => Status::Unknown,
                },
            };
            (kind, Extern { name: name.clone(), weak, status })
        };
        self.facts.externs.iter().map(one).collect()
    }

    fn kfunc_status(&self, name: &str, has: &Has<'_>) -> Status {
        let ids = [essential_name(name), name].map(KfuncId::from_name);
        match ids.into_iter().flatten().next() {
            Some(id) if (has.kfunc)(id) => Status::Has,
            Some(_) => Status::Lacks,
            None => Status::Unknown,
        }
    }

    fn type_needs(&self) -> Vec<TypeNeed> {
        let all = self.facts.relos.iter().filter_map(|relo| core::need(&self.btf, relo, self.kernel.btf()));
        let mut missing: BTreeMap<String, bool> = BTreeMap::new();
        for need in all.filter(|need| !need.there) {
            *missing.entry(need.what).or_default() |= need.asks;
        }
        // Who asks for a type asks for all that is in it.
        let asked: Vec<String> =
            missing.iter().filter(|(_, asks)| **asks).map(|(what, _)| what.clone()).collect();
        let covered = |what: &str| {
            asked.iter().any(|a| what.strip_prefix(a.as_str()).is_some_and(|rest| rest.starts_with('.')))
        };
        missing.into_iter().map(|(what, asks)| TypeNeed { asks: asks || covered(&what), what }).collect()
    }

    fn helper_infos(&self, has: &Has<'_>) -> Vec<HelperInfo> {
        let info = |&number: &u32| match HelperId::from_number(number) {
            Some(id) => {
                let status = if (has.helper)(id) { Status::Has } else { Status::Lacks };
                HelperInfo { number, name: id.name().to_string(), status }
            }
            None => HelperInfo { number, name: "unknown".into(), status: Status::Unknown },
        };
        self.facts.helpers.iter().map(info).collect()
    }

    fn global_infos(&self) -> Vec<GlobalInfo> {
        let info = |var: globals::Var| {
            let image = self.section(var.section_id).unwrap_or_default();
            let bytes = image.get(var.offset as usize..).unwrap_or_default();
            let place = globals::Place { ty: var.ty, bit_offset: 0, bits: 0 };
            GlobalInfo {
                value: render_place(&self.btf, place, bytes),
                ty: self.btf.type_name(var.ty),
                name: var.name,
                section: var.section,
                size: var.size,
            }
        };
        globals::vars(&self.btf).into_iter().map(info).collect()
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum ExternKind {
    Kfunc,
    Ksym,
    Kconfig,
}

pub(crate) fn extern_kind(btf: &Btf, name: &str) -> ExternKind {
    if globals::refers_to_kfunc(btf, name) {
        return ExternKind::Kfunc;
    }
    let in_section = |wanted: &str| {
        btf.types().any(|(_, ty)| match &ty.kind {
            Kind::DataSec { vars, .. } if btf.str(ty.name) == wanted => {
                vars.iter().any(|v| btf.name(v.var) == name)
            }
            _ => false,
        })
    };
    if in_section(".kconfig") { ExternKind::Kconfig } else { ExternKind::Ksym }
}

fn kconfig_has(name: &str) -> bool {
    sextant_abi::tables::kconfig::kconfig(name).is_some()
}

/// `SCX_*` enumerators that both have, with other values.
fn enum_diffs(object: &Btf, kernel: &Btf) -> Vec<EnumDiff> {
    let mut found = Vec::new();
    for (_, ty) in object.types() {
        let Kind::Enum { values, .. } = &ty.kind else { continue };
        for v in values {
            let name = object.str(v.name);
            if !name.starts_with("SCX_") {
                continue;
            }
            match kernel.enumerator(name) {
                Some(value) if value != v.value => {
                    found.push(EnumDiff { name: name.to_string(), object: v.value, kernel: value });
                }
                _ => {}
            }
        }
    }
    found.sort_by(|a, b| a.name.cmp(&b.name));
    found.dedup();
    found
}
