//! The ops tables in an opened object: which there are, what is in them, and what a loader mends before the load.
//!
//! Mirrors what schedulers' own loaders do (SCX_OPS_OPEN of tools/sched_ext/include/scx/compat.h, scx_ops_open! of scx_utils).

use libbpf_rs::{AsRawLibbpf, MapType, OpenMapMut, OpenObject};
use sextant_abi::tables::flags::SCX_OPS_HAS_CGROUP_WEIGHT;
use sextant_bpf::btf::{Btf, Field, Kind, KindTag, TypeId};

use crate::error::LoadError;
use crate::facts::essential_name;
use crate::kernel::{Kernel, OPS_STRUCTS};

/// An ops table in the object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpsTable {
    /// Name of the variable, which is the map's.
    pub map: String,
    /// `sched_ext_ops`, `sched_ext_ops_cid`, or a struct of another subsystem's.
    pub struct_name: String,
    /// The struct in the object's BTF.
    pub ty: TypeId,
}

impl OpsTable {
    /// Whether it is a scheduler's.
    pub fn is_scheduler(&self) -> bool {
        OPS_STRUCTS.contains(&self.struct_name.as_str())
    }
}

/// Every ops table, by BTF order.
pub fn tables(btf: &Btf) -> Vec<OpsTable> {
    let mut found = Vec::new();
    for (_, ty) in btf.types() {
        let Kind::DataSec { vars, .. } = &ty.kind else { continue };
        let section = btf.str(ty.name).trim_start_matches('?');
        if !matches!(section, ".struct_ops" | ".struct_ops.link") {
            continue;
        }
        for v in vars {
            let Kind::Var { ty, .. } = btf.kind(v.var) else { continue };
            let Ok(ty) = btf.resolve(*ty) else { continue };
            let struct_name = essential_name(btf.name(ty)).to_string();
            found.push(OpsTable { map: btf.name(v.var).to_string(), struct_name, ty });
        }
    }
    found
}

/// The table to attach: the one named, or the only one.
pub fn choose(tables: &[OpsTable], wanted: Option<&str>) -> Result<OpsTable, LoadError> {
    let ours: Vec<&OpsTable> = tables.iter().filter(|t| t.is_scheduler()).collect();
    let names = || ours.iter().map(|t| t.map.clone()).collect::<Vec<_>>();
    if let Some(wanted) = wanted {
        let found = tables.iter().find(|t| t.map == wanted);
        return match found {
            Some(t) if t.is_scheduler() => Ok(t.clone()),
            Some(t) => Err(LoadError::ForeignOps { name: t.map.clone(), struct_name: t.struct_name.clone() }),
            None => Err(LoadError::UnknownOps { name: wanted.to_string(), have: names() }),
        };
    }
    match (ours.as_slice(), tables) {
        ([one], _) => Ok((*one).clone()),
        ([], [foreign, ..]) => {
            Err(LoadError::ForeignOps { name: foreign.map.clone(), struct_name: foreign.struct_name.clone() })
        }
        ([], []) => Err(LoadError::UnknownOps { name: "(any)".into(), have: Vec::new() }),
        _ => Err(LoadError::AmbiguousOps { names: names() }),
    }
}

/// The struct_ops map of that name.
pub fn map_mut<'a>(obj: &'a mut OpenObject, name: &str) -> Option<OpenMapMut<'a>> {
    obj.maps_mut().find(|m| m.map_type() == MapType::StructOps && m.name() == name)
}

/// Leaves out the tables that were not chosen, and with them the programs only they use.
pub fn keep_only(obj: &mut OpenObject, chosen: &OpsTable, tables: &[OpsTable], warnings: &mut Vec<String>) {
    for mut map in obj.maps_mut().filter(|m| m.map_type() == MapType::StructOps) {
        let name = map.name().to_string_lossy().into_owned();
        if name == chosen.map {
            continue;
        }
        // The only failure is a map that was created already.
        let _ = map.set_autocreate(false);
        if let Some(t) = tables.iter().find(|t| t.map == name && !t.is_scheduler()) {
            warnings.push(format!("'{name}' ({}) is left out: it is no scheduler", t.struct_name));
        }
    }
}

/// Drops what 7.3 lacks: set members its struct does not have, and the flag it no longer knows.
pub fn mend(obj: &mut OpenObject, btf: &Btf, table: &OpsTable, kernel: &Kernel, warnings: &mut Vec<String>) {
    let Some(target) = kernel.btf().find(&table.struct_name, KindTag::Struct) else { return };
    let fields = btf.fields(table.ty).unwrap_or_default();
    let Some(mut map) = map_mut(obj, &table.map) else { return };
    let Some(bytes) = map.initial_value_mut() else { return };
    for field in &fields {
        let name = btf.str(field.name);
        let Some(at) = range(btf, field, bytes.len()) else { continue };
        let has = kernel.btf().members(target).iter().any(|m| kernel.btf().str(m.name) == name);
        if !has && bytes[at.clone()].iter().any(|&b| b != 0) {
            bytes[at.clone()].fill(0);
            warnings.push(format!("ops.{name} is dropped: {} of 7.3 does not have it", table.struct_name));
        }
        if name == "flags" {
            mend_flags(&mut bytes[at], warnings);
        }
    }
}

fn mend_flags(bytes: &mut [u8], warnings: &mut Vec<String>) {
    let Ok(array) = <[u8; 8]>::try_from(&*bytes) else { return };
    let flags = u64::from_le_bytes(array);
    if flags & SCX_OPS_HAS_CGROUP_WEIGHT != 0 {
        bytes.copy_from_slice(&(flags & !SCX_OPS_HAS_CGROUP_WEIGHT).to_le_bytes());
        warnings.push("the flag SCX_OPS_HAS_CGROUP_WEIGHT is dropped: 7.3 does not have it".into());
    }
}

/// Bytes of a field that is no bit field.
pub fn range(btf: &Btf, field: &Field, len: usize) -> Option<std::ops::Range<usize>> {
    let start = usize::try_from(field.byte_offset()).ok()?;
    let size = usize::try_from(btf.size_of(field.ty).ok()?).ok()?;
    (field.bits == 0 && start + size <= len).then_some(start..start + size)
}

/// Which program each op is set to: member, program.
pub fn members(obj: &OpenObject, btf: &Btf, table: &OpsTable) -> Vec<(String, String)> {
    let progs: Vec<(u64, String)> = obj
        .progs()
        .map(|p| (p.as_libbpf_object().as_ptr() as u64, p.name().to_string_lossy().into_owned()))
        .collect();
    let map = obj.maps().find(|m| m.map_type() == MapType::StructOps && m.name() == table.map.as_str());
    let Some(bytes) = map.as_ref().and_then(|m| m.initial_value()) else { return Vec::new() };
    let mut found = Vec::new();
    for field in btf.fields(table.ty).unwrap_or_default() {
        let is_ptr = matches!(btf.resolve(field.ty).map(|ty| btf.kind(ty)), Ok(Kind::Ptr(_)));
        let Some(at) = range(btf, &field, bytes.len()).filter(|_| is_ptr) else { continue };
        // libbpf keeps a pointer to its program here until the load; it is compared, never followed.
        let ptr = u64::from_le_bytes(bytes[at].try_into().unwrap_or_default());
        if let Some((_, prog)) = progs.iter().find(|(addr, _)| *addr == ptr && ptr != 0) {
            found.push((btf.str(field.name).to_string(), prog.clone()));
        }
    }
    found
}
