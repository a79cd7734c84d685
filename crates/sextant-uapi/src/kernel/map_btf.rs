//! What a map's BTF says of its keys and values, and which special fields the values of a map type may hold. Mirrors
//! `map_check_btf()` of kernel/bpf/syscall.c and the `map_check_btf` callbacks of the map types, 7.3.

use sextant_bpf::btf::{Btf, Kind, KindTag, TypeId};
use sextant_vm::{MapSpec, SpecialField};

use super::Kernel;
use super::map::type_name;
use crate::attr::{Attr, map_create as f};
use crate::errno::Errno;
use sextant_verifier::{FieldKind, Holder, SpecialFields};

/// `BPF_F_RDONLY_PROG`, `BPF_F_WRONLY_PROG`
const PROG_ACCESS: u32 = 1 << 7 | 1 << 8;

/// `BPF_MAP_TYPE_*`
mod ty {
    pub(super) const HASH: u32 = 1;
    pub(super) const ARRAY: u32 = 2;
    pub(super) const PERCPU_HASH: u32 = 5;
    pub(super) const PERCPU_ARRAY: u32 = 6;
    pub(super) const LRU_HASH: u32 = 9;
    pub(super) const LRU_PERCPU_HASH: u32 = 10;
    pub(super) const LPM_TRIE: u32 = 11;
    pub(super) const CGROUP_STORAGE: u32 = 19;
    pub(super) const PERCPU_CGROUP_STORAGE: u32 = 21;
    pub(super) const SK_STORAGE: u32 = 24;
    pub(super) const INODE_STORAGE: u32 = 28;
    pub(super) const TASK_STORAGE: u32 = 29;
    pub(super) const BLOOM_FILTER: u32 = 30;
    pub(super) const CGRP_STORAGE: u32 = 32;
    pub(super) const ARENA: u32 = 33;
    pub(super) const INSN_ARRAY: u32 = 34;
    pub(super) const RHASH: u32 = 35;
    /// Those that take no BTF at all: perf events, stack traces, cgroups, maps, devices, CPUs, sockets.
    pub(super) const NO_BTF: [u32; 11] = [4, 7, 8, 12, 13, 14, 15, 16, 17, 18, 25];
}

impl Kernel {
    /// The BTF of a new map: its id, and the special fields of the map's values; what the vm must know goes into `spec`.
    ///
    /// # Errors
    /// As the kernel: -EINVAL for sizes or types that are not the map's, -EOPNOTSUPP for special fields that values of this map type
    /// cannot hold, -EACCES for special fields in a map that programs may only read or only write, -ENOTSUPP for map types without
    /// BTF. libbpf then makes the map again without BTF, where it can.
    pub(super) fn map_btf(&self, a: &Attr, spec: &mut MapSpec) -> Result<(u32, SpecialFields), Errno> {
        let (key, value) = (a.u32(f::BTF_KEY_TYPE_ID), a.u32(f::BTF_VALUE_TYPE_ID));
        let fd = a.u32(f::BTF_FD) as i32;
        if value == 0 {
            let id = if fd == 0 { 0 } else { self.btf_at(fd)?.id };
            return Ok((id, SpecialFields::default()));
        }
        let object = self.btf_at(fd)?;
        let (btf, value) = (&object.btf, TypeId(value));
        spec.has_value_btf = true;
        let key_kind = sized(btf, key, spec.key_size)?;
        if sized(btf, value.0, spec.value_size)?.is_none() {
            return Err(Errno::EINVAL);
        }
        let value = resolved(btf, value).ok_or(Errno::EINVAL)?;
        let fields = self.value_fields(btf, value, &spec.name);
        if !fields.0.is_empty() {
            self.check_fields(&fields, btf, spec)?;
        }
        check_key(key_kind, btf.kind(value), spec)?;
        spec.fields = self.in_vm(btf, &fields);
        Ok((object.id, fields))
    }

    /// The special fields of a map's values. Where one is wrong none counts, and the kernel says nothing: the helpers that want one
    /// are refused then.
    fn value_fields(&self, btf: &Btf, value: TypeId, name: &str) -> SpecialFields {
        if !matches!(btf.kind(value).tag(), KindTag::Struct | KindTag::DataSec) {
            return SpecialFields::default();
        }
        SpecialFields::parse(btf, value, Holder::MapValue, Some(self.btf())).unwrap_or_else(|error| {
            let errno = Errno(error.errno);
            self.note(format!(
                "map '{name}': timers, locks, kptrs and the like in its values do not count ({errno}): {}",
                error.why
            ));
            SpecialFields::default()
        })
    }

    fn check_fields(&self, fields: &SpecialFields, btf: &Btf, spec: &MapSpec) -> Result<(), Errno> {
        let name = &spec.name;
        if spec.flags & PROG_ACCESS != 0 {
            let kind = fields.0[0].kind.name();
            self.note(format!(
                "map '{name}': values with a {kind}, but not for programs to read and write (-EACCES)"
            ));
            return Err(Errno::EACCES);
        }
        if let Some(field) = fields.0.iter().find(|field| !may_hold(spec.map_type, field.kind)) {
            let (kind, map) = (field.kind.name(), type_name(spec.map_type));
            self.note(format!("map '{name}': values of {map} maps cannot hold a {kind} (-EOPNOTSUPP)"));
            return Err(Errno::EOPNOTSUPP);
        }
        fields.fixup(btf, self.btf()).map_err(|error| {
            let errno = Errno(error.errno);
            self.note(format!("map '{name}': {} ({errno})", error.why));
            errno
        })
    }

    /// The special fields that the vm must know of.
    pub(super) fn in_vm(&self, btf: &Btf, fields: &SpecialFields) -> Vec<(u32, SpecialField)> {
        // Types of the program's own (bpf_obj_new) are not the kernel's: id 0.
        let btf_id = |ty| self.btf().find(btf.name(ty), KindTag::Struct).map_or(0, |id| id.0);
        let field = |kind| {
            Some(match kind {
                FieldKind::SpinLock => SpecialField::SpinLock,
                FieldKind::ResSpinLock => SpecialField::ResSpinLock,
                FieldKind::Timer => SpecialField::Timer,
                FieldKind::Wq => SpecialField::Wq,
                FieldKind::Refcount => SpecialField::Refcount,
                FieldKind::ListHead(..) => SpecialField::ListHead,
                FieldKind::ListNode => SpecialField::ListNode,
                FieldKind::RbRoot(..) => SpecialField::RbRoot,
                FieldKind::RbNode => SpecialField::RbNode,
                FieldKind::Kptr(ty) | FieldKind::KptrUntrusted(ty) | FieldKind::KptrPercpu(ty) => {
                    SpecialField::Kptr { btf_id: btf_id(ty) }
                }
                FieldKind::Uptr(_) | FieldKind::TaskWork => return None,
            })
        };
        fields.0.iter().filter_map(|f| Some((f.offset, field(f.kind)?))).collect()
    }
}

/// The type below modifiers.
fn resolved(btf: &Btf, id: TypeId) -> Option<TypeId> {
    let id = btf.resolve(id).ok()?;
    match btf.kind(id) {
        Kind::Var { ty, .. } => btf.resolve(*ty).ok(),
        _ => Some(id),
    }
}

/// The kind of a type that must have this size; `None` for type 0.
fn sized(btf: &Btf, id: u32, size: u32) -> Result<Option<&Kind>, Errno> {
    if id == 0 {
        return Ok(None);
    }
    let id = TypeId(id);
    let right = btf.get(id).is_some() && btf.size_of(id).is_ok_and(|bytes| bytes == u64::from(size));
    let kind = resolved(btf, id).filter(|_| right).map(|id| btf.kind(id));
    kind.map(Some).ok_or(Errno::EINVAL)
}

/// What a map type wants of its keys; `None`: they are not described.
fn check_key(key: Option<&Kind>, value: &Kind, spec: &MapSpec) -> Result<(), Errno> {
    let good = match spec.map_type {
        ty if ty::NO_BTF.contains(&ty) => return Err(Errno::ENOTSUPP),
        ty::ARRAY | ty::PERCPU_ARRAY if key.is_none() => {
            spec.max_entries == 1 && value.tag() == KindTag::DataSec
        }
        ty::ARRAY
        | ty::PERCPU_ARRAY
        | ty::SK_STORAGE
        | ty::INODE_STORAGE
        | ty::TASK_STORAGE
        | ty::CGRP_STORAGE
        | ty::INSN_ARRAY => {
            matches!(key, Some(Kind::Int { size: 4, offset: 0, bits: 32, .. }))
        }
        ty::LPM_TRIE => matches!(key, Some(Kind::Struct { union: false, .. })),
        ty::BLOOM_FILTER => key.is_none(),
        ty::ARENA | ty::CGROUP_STORAGE | ty::PERCPU_CGROUP_STORAGE => true,
        _ => key.is_some(),
    };
    if good { Ok(()) } else { Err(Errno::EINVAL) }
}

/// Whether values of a map type may hold a special field.
fn may_hold(map_type: u32, kind: FieldKind) -> bool {
    let storage = [ty::SK_STORAGE, ty::INODE_STORAGE, ty::TASK_STORAGE, ty::CGRP_STORAGE].contains(&map_type);
    match kind {
        FieldKind::SpinLock | FieldKind::ResSpinLock => {
            storage || [ty::HASH, ty::RHASH, ty::ARRAY, ty::CGROUP_STORAGE].contains(&map_type)
        }
        FieldKind::Timer | FieldKind::Wq | FieldKind::TaskWork => {
            [ty::HASH, ty::RHASH, ty::LRU_HASH, ty::ARRAY].contains(&map_type)
        }
        FieldKind::Kptr(_) | FieldKind::KptrUntrusted(_) | FieldKind::KptrPercpu(_) | FieldKind::Refcount => {
            let percpu = [ty::PERCPU_HASH, ty::LRU_PERCPU_HASH, ty::PERCPU_ARRAY].contains(&map_type);
            storage || percpu || [ty::HASH, ty::RHASH, ty::LRU_HASH, ty::ARRAY].contains(&map_type)
        }
        FieldKind::Uptr(_) => map_type == ty::TASK_STORAGE,
        FieldKind::ListHead(..) | FieldKind::RbRoot(..) => {
            [ty::HASH, ty::LRU_HASH, ty::ARRAY].contains(&map_type)
        }
        FieldKind::ListNode | FieldKind::RbNode => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAMED: [(&str, u32); 12] = [
        ("hash", ty::HASH),
        ("array", ty::ARRAY),
        ("percpu_hash", ty::PERCPU_HASH),
        ("percpu_array", ty::PERCPU_ARRAY),
        ("lru_hash", ty::LRU_HASH),
        ("lru_percpu_hash", ty::LRU_PERCPU_HASH),
        ("lpm_trie", ty::LPM_TRIE),
        ("queue", 22),
        ("ringbuf", 27),
        ("task_storage", ty::TASK_STORAGE),
        ("cgrp_storage", ty::CGRP_STORAGE),
        ("arena", ty::ARENA),
    ];

    fn holders(kind: FieldKind) -> String {
        let names: Vec<&str> =
            NAMED.iter().filter(|(_, ty)| may_hold(*ty, kind)).map(|(name, _)| *name).collect();
        names.join(" ")
    }

    /// The table of `map_check_btf()`.
    #[test]
    fn which_map_types_hold_what() {
        let ty = TypeId(1);
        assert_eq!(holders(FieldKind::SpinLock), "hash array task_storage cgrp_storage");
        assert_eq!(holders(FieldKind::ResSpinLock), "hash array task_storage cgrp_storage");
        assert_eq!(holders(FieldKind::Timer), "hash array lru_hash");
        assert_eq!(holders(FieldKind::Wq), "hash array lru_hash");
        let all = "hash array percpu_hash percpu_array lru_hash lru_percpu_hash task_storage cgrp_storage";
        assert_eq!(holders(FieldKind::Kptr(ty)), all);
        assert_eq!(holders(FieldKind::Refcount), all);
        assert_eq!(holders(FieldKind::ListHead(ty, 0)), "hash array lru_hash");
        assert_eq!(holders(FieldKind::RbRoot(ty, 0)), "hash array lru_hash");
        assert_eq!(holders(FieldKind::Uptr(ty)), "task_storage");
    }

    #[test]
    fn what_keys_may_be() {
        let int = Kind::Int { size: 4, encoding: sextant_bpf::btf::IntEncoding(0), offset: 0, bits: 32 };
        let long = Kind::Int { size: 8, encoding: sextant_bpf::btf::IntEncoding(0), offset: 0, bits: 64 };
        let key = |map_type, key| {
            let spec = MapSpec { map_type, max_entries: 4, ..MapSpec::default() };
            check_key(key, &long, &spec).map_err(|errno| errno.0)
        };
        assert_eq!(key(ty::ARRAY, Some(&int)), Ok(()));
        assert_eq!(key(ty::ARRAY, Some(&long)), Err(Errno::EINVAL.0));
        assert_eq!(key(ty::ARRAY, None), Err(Errno::EINVAL.0), "only a section has no key");
        assert_eq!(key(ty::HASH, Some(&long)), Ok(()));
        assert_eq!(key(ty::HASH, None), Err(Errno::EINVAL.0));
        assert_eq!(key(ty::LPM_TRIE, Some(&int)), Err(Errno::EINVAL.0));
        assert_eq!(key(ty::BLOOM_FILTER, Some(&int)), Err(Errno::EINVAL.0));
        assert_eq!(key(4, Some(&int)), Err(Errno::ENOTSUPP.0));
    }
}
