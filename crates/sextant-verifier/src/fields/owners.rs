//! The structs of a program's BTF that hold special fields, all of them checked when the BTF is loaded. Mirrors
//! `btf_parse_struct_metas()` and `btf_check_ownership_depth()` of kernel/bpf/btf.c, 7.3.

use std::collections::BTreeMap;

use sextant_bpf::btf::{Btf, Kind, KindTag, TypeId};

use super::find::{EFAULT, FieldsError, Holder, error, kptr};
use super::{FieldKind, SpecialFields};

/// Members of these types make a struct one that holds special fields.
const OBJECT_FIELDS: [&str; 6] =
    ["bpf_spin_lock", "bpf_list_head", "bpf_list_node", "bpf_rb_root", "bpf_rb_node", "bpf_refcount"];
/// `BTF_MAX_OWNERSHIP_DEPTH`
const MAX_DEPTH: u8 = 8;
const ELOOP: i32 = 40;

/// Whether a struct has a member that is a special field or a kptr; members of members do not count.
pub(super) fn has_fields(btf: &Btf, ty: TypeId) -> bool {
    let Kind::Struct { union: false, members, .. } = btf.kind(ty) else { return false };
    members.iter().any(|m| {
        let named = OBJECT_FIELDS.contains(&btf.name(m.ty))
            && btf.find(btf.name(m.ty), KindTag::Struct) == Some(m.ty);
        named || matches!(kptr(btf, m.ty, Holder::Object), Ok(Some(_)))
    })
}

/// Checks the special fields of all structs, and that what owns what ends after eight steps.
///
/// # Errors
/// The type that is wrong, and why: as [`SpecialFields::parse`], or -ELOOP for a longer chain of owners or a circle.
pub fn check_objects(btf: &Btf, kernel: &Btf) -> Result<(), (TypeId, FieldsError)> {
    let mut structs = BTreeMap::new();
    for (id, _) in btf.types().filter(|(id, _)| has_fields(btf, *id)) {
        let fields = SpecialFields::parse(btf, id, Holder::Object, Some(kernel)).map_err(|e| (id, e))?;
        if fields.0.is_empty() {
            return Err((id, error(EFAULT, "a member that should be a special field is none")));
        }
        structs.insert(id, fields);
    }
    for (id, fields) in &structs {
        fields.fixup(btf, kernel).map_err(|e| (*id, e))?;
    }
    let mut depths = BTreeMap::new();
    for id in structs.keys() {
        if !depth(*id, &structs, kernel, btf, MAX_DEPTH, &mut depths) {
            return Err((*id, error(ELOOP, "structs own one another in a circle, or more than eight deep")));
        }
    }
    Ok(())
}

/// How deep ownership goes below a struct, itself included, into `depths`; whether `left` suffices.
fn depth(
    id: TypeId,
    structs: &BTreeMap<TypeId, SpecialFields>,
    kernel: &Btf,
    btf: &Btf,
    left: u8,
    depths: &mut BTreeMap<TypeId, u8>,
) -> bool {
    if left == 0 {
        return false;
    }
    if let Some(known) = depths.get(&id) {
        return *known <= left;
    }
    let mut most = 0;
    for field in structs.get(&id).iter().flat_map(|fields| &fields.0) {
        let owned = match field.kind {
            FieldKind::ListHead(ty, _) | FieldKind::RbRoot(ty, _) => ty,
            FieldKind::Kptr(ty) | FieldKind::KptrPercpu(ty)
                if kernel.find(btf.name(ty), KindTag::Struct).is_none() =>
            {
                ty
            }
            _ => continue,
        };
        if !structs.contains_key(&owned) {
            continue;
        }
        if !depth(owned, structs, kernel, btf, left - 1, depths) {
            return false;
        }
        most = most.max(depths[&owned]);
    }
    depths.insert(id, most + 1);
    most < left
}
