//! BPF_BTF_LOAD, and the special fields of map values.

use std::rc::Rc;

use sextant_bpf::btf::{Btf, Kind, KindTag, TypeId};
use sextant_vm::SpecialField;

use super::objects::{BtfObject, Object};
use super::{Kernel, prog::Log};
use crate::attr::{Attr, btf_load as f};
use crate::errno::Errno;
use crate::user;

/// `BTF_MAX_SIZE` of 7.3.
const MAX_SIZE: u32 = 16 << 20;
/// Most special fields in one value (`BTF_FIELDS_MAX` is 11 in the kernel; arrays count once per element).
const MAX_FIELDS: usize = 1 << 12;

impl Kernel {
    pub(super) fn btf_load(&self, a: &Attr, uattr: u64) -> Result<i32, Errno> {
        let size = a.u32(f::BTF_SIZE);
        if a.u32(f::BTF_FLAGS) & !(1 << 16) != 0 {
            return Err(Errno::EINVAL);
        }
        if size > MAX_SIZE {
            return Err(Errno::E2BIG);
        }
        let log = Log {
            level: a.u32(f::BTF_LOG_LEVEL),
            buf: a.u64(f::BTF_LOG_BUF),
            size: a.u32(f::BTF_LOG_SIZE),
            true_size_at: uattr + f::BTF_LOG_TRUE_SIZE as u64,
        };
        let bytes = user::bytes(a.u64(f::BTF), size as usize)?;
        match Btf::parse(&bytes) {
            Ok(btf) => {
                let object = BtfObject { id: self.new_id(), btf, bytes };
                self.install("bpf-btf", Object::Btf(Rc::new(object)))
            }
            Err(error) => {
                self.note(format!("the object's BTF is not valid: {error}"));
                log.write(&format!("{error}\n"))?;
                Err(Errno::EINVAL)
            }
        }
    }

    /// The special fields of a value type, sorted by offset.
    pub(super) fn special_fields(&self, btf: &Btf, ty: TypeId) -> Vec<(u32, SpecialField)> {
        let mut fields = Vec::new();
        self.gather_special(btf, ty, 0, 0, &mut fields);
        fields.sort_by_key(|&(offset, _)| offset);
        fields
    }

    fn gather_special(
        &self,
        btf: &Btf,
        ty: TypeId,
        base: u64,
        depth: usize,
        out: &mut Vec<(u32, SpecialField)>,
    ) {
        if depth > 8 || out.len() >= MAX_FIELDS {
            return;
        }
        let Ok(resolved) = btf.resolve(ty) else { return };
        match btf.kind(resolved) {
            Kind::Struct { .. } => {
                if let Some(field) = special_struct(btf.name(resolved)) {
                    out.push((base as u32, field));
                    return;
                }
                for member in btf.members(resolved) {
                    let at = base + u64::from(member.bit_offset / 8);
                    self.gather_special(btf, member.ty, at, depth + 1, out);
                }
            }
            Kind::DataSec { vars, .. } => {
                for var in vars {
                    if let Kind::Var { ty, .. } = btf.kind(var.var) {
                        self.gather_special(btf, *ty, base + u64::from(var.offset), depth + 1, out);
                    }
                }
            }
            Kind::Array { elem, nelems, .. } => {
                let before = out.len();
                self.gather_special(btf, *elem, base, depth + 1, out);
                let first: Vec<_> = out[before..].to_vec();
                if first.is_empty() {
                    return;
                }
                let Ok(stride) = btf.size_of(*elem) else { return };
                for i in 1..u64::from(*nelems) {
                    if out.len() + first.len() > MAX_FIELDS {
                        return;
                    }
                    out.extend(first.iter().map(|&(at, field)| ((u64::from(at) + i * stride) as u32, field)));
                }
            }
            Kind::Ptr(to) => {
                if let Some(field) = self.kptr(btf, *to) {
                    out.push((base as u32, field));
                }
            }
            _ => {}
        }
    }

    /// A pointer that the map owns carries a type tag.
    fn kptr(&self, btf: &Btf, mut to: TypeId) -> Option<SpecialField> {
        let mut owned = false;
        for _ in 0..8 {
            match btf.kind(to) {
                Kind::TypeTag { ty, .. } => {
                    owned |= matches!(btf.name(to), "kptr" | "kptr_untrusted" | "percpu_kptr");
                    to = *ty;
                }
                Kind::Const(ty) | Kind::Volatile(ty) => to = *ty,
                _ => break,
            }
        }
        // Types of the program's own (bpf_obj_new) are not the kernel's: id 0.
        let btf_id = self.btf().find(btf.name(to), KindTag::Struct).map_or(0, |id| id.0);
        owned.then_some(SpecialField::Kptr { btf_id })
    }
}

fn special_struct(name: &str) -> Option<SpecialField> {
    Some(match name {
        "bpf_timer" => SpecialField::Timer,
        "bpf_spin_lock" => SpecialField::SpinLock,
        "bpf_res_spin_lock" => SpecialField::ResSpinLock,
        "bpf_wq" => SpecialField::Wq,
        "bpf_rb_root" => SpecialField::RbRoot,
        "bpf_rb_node" => SpecialField::RbNode,
        "bpf_list_head" => SpecialField::ListHead,
        "bpf_list_node" => SpecialField::ListNode,
        "bpf_refcount" => SpecialField::Refcount,
        _ => return None,
    })
}
