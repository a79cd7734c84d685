//! The BTF of our kernel, built from the type descriptions and tables of `sextant-abi`.
//!
//! Order, hence ids, is fixed by the tables: named definitions first (in table order, so that members can refer forward), then
//! what they are made of as it is met, then every kfunc as FUNC_PROTO + FUNC + the decl tag `bpf_kfunc`, then functions that only
//! have to exist. Same tables, same bytes. A type without a description is a forward declaration, so that
//! `bpf_core_type_exists` on it is false. Left out: kernel variables but for a few (the last in the table), typedefs nothing uses.

use std::collections::{BTreeMap, HashMap};

use sextant_abi::tables::bpf::PROGRAM_ENUMS;
use sextant_abi::tables::{COMPAT_MARKERS, KfuncId, PERCPU_VARS, TRACE_TARGETS};
use sextant_abi::types::{
    Body, FREE_TYPEDEFS, FuncProto, IntEncoding as AbiInt, TypeDesc, TypeRef, all_types,
};

use crate::btf::{Btf, BtfError, Builder, Enumerator, IntEncoding, Kind, Member, Param, SecVar, Str, TypeId};

/// The kernel's BTF and what its ids mean.
#[derive(Clone, Debug)]
pub struct Vmlinux {
    /// The types.
    pub btf: Btf,
    /// The `.BTF` bytes.
    pub bytes: Vec<u8>,
    kfuncs: BTreeMap<TypeId, KfuncId>,
}

impl Vmlinux {
    /// With the kfuncs of the table that `has_kfunc` names: one that is not in the BTF is, for libbpf, not in the kernel (a weak
    /// reference becomes 0, a strong one is reported as missing).
    pub fn build(has_kfunc: &dyn Fn(&str) -> bool) -> Vmlinux {
        let mut enc = Encoder::default();
        enc.definitions();
        enc.bpf_enums();
        let kfuncs = enc.kfuncs(has_kfunc);
        for ty in FREE_TYPEDEFS {
            enc.ty(*ty);
        }
        for target in TRACE_TARGETS {
            if target.is_tracepoint() {
                let proto = enc.proto(&target.proto);
                let func = enc.out.add("", Kind::Ptr(proto));
                enc.out.add(target.name, Kind::Typedef(func));
            } else {
                enc.func(target.name, &target.proto);
            }
        }
        for name in COMPAT_MARKERS {
            enc.func(name, &FuncProto { ret: TypeRef::Void, params: &[] });
        }
        enc.percpu_vars();
        let btf = enc.out.finish().expect("the tables describe a sound BTF (tested)");
        Vmlinux { bytes: btf.to_bytes(), btf, kfuncs }
    }

    /// With the types, functions and attach points of a real kernel behind our own, for what we do not describe.
    ///
    /// # Errors
    /// When the whole is more than a BTF can hold.
    pub fn with_types_of(self, kernel: &Btf) -> Result<Vmlinux, BtfError> {
        let btf = self.btf.joined(kernel)?;
        Ok(Vmlinux { bytes: btf.to_bytes(), btf, kfuncs: self.kfuncs })
    }

    /// The kfunc of a FUNC id, as a `call` with src 2 names it.
    pub fn kfunc(&self, func: TypeId) -> Option<KfuncId> {
        self.kfuncs.get(&func).copied()
    }

    /// The FUNC ids of all kfuncs, ascending.
    pub fn kfuncs(&self) -> impl Iterator<Item = (TypeId, KfuncId)> + '_ {
        self.kfuncs.iter().map(|(id, kfunc)| (*id, *kfunc))
    }
}

/// The bytes alone, see [`Vmlinux::build`].
pub fn btf(has_kfunc: &dyn Fn(&str) -> bool) -> Vec<u8> {
    Vmlinux::build(has_kfunc).bytes
}

#[derive(Default)]
struct Encoder {
    out: Builder,
    named: BTreeMap<(u8, &'static str), TypeId>,
    /// Only looked up, never walked: its order does not show.
    met: HashMap<TypeRef, TypeId>,
    protos: HashMap<FuncProto, TypeId>,
}

const STRUCT: u8 = 0;
const UNION: u8 = 1;
const ENUM: u8 = 2;

fn tag_space(body: &Body) -> u8 {
    match body {
        Body::Struct(_) => STRUCT,
        Body::Union(_) => UNION,
        Body::Enum { .. } => ENUM,
    }
}

impl Encoder {
    fn definitions(&mut self) {
        let named: Vec<&'static TypeDesc> = all_types().iter().filter(|d| !d.name.is_empty()).collect();
        for desc in &named {
            let id = self.out.reserve();
            self.named.insert((tag_space(&desc.body), desc.name), id);
        }
        for desc in named {
            let id = self.named[&(tag_space(&desc.body), desc.name)];
            let kind = self.definition(desc);
            self.out.set(id, desc.name, kind);
        }
    }

    fn definition(&mut self, desc: &TypeDesc) -> Kind {
        match desc.body {
            Body::Struct(_) | Body::Union(_) => {
                let member = |this: &mut Self, m: &sextant_abi::types::MemberDesc| Member {
                    name: this.out.str(m.name),
                    ty: this.ty(m.ty),
                    bit_offset: m.bit_offset,
                    bits: m.bits as u8,
                };
                let members = desc.members().iter().map(|m| member(self, m)).collect();
                Kind::Struct { union: matches!(desc.body, Body::Union(_)), size: desc.size, members }
            }
            Body::Enum { signed, values } => {
                let values =
                    values.iter().map(|(name, value)| Enumerator { name: self.out.str(name), value: *value });
                let values: Vec<Enumerator> = values.map(|v| narrowed(v, desc.size, signed)).collect();
                Kind::Enum { wide: desc.size == 8, size: desc.size, signed, values }
            }
        }
    }

    /// What programs are compiled with, see [`PROGRAM_ENUMS`].
    fn bpf_enums(&mut self) {
        for (name, table) in PROGRAM_ENUMS {
            let values = table
                .iter()
                .map(|(name, value)| Enumerator { name: self.out.str(name), value: u64::from(*value) });
            let values = values.collect();
            self.out.add(name, Kind::Enum { wide: false, size: 4, signed: false, values });
        }
    }

    fn kfuncs(&mut self, has_kfunc: &dyn Fn(&str) -> bool) -> BTreeMap<TypeId, KfuncId> {
        let mut ids = BTreeMap::new();
        for kfunc in KfuncId::ALL.iter().copied().filter(|k| has_kfunc(k.info().name)) {
            let info = kfunc.info();
            ids.insert(self.func(info.name, &info.proto), kfunc);
        }
        for ty in ids.keys() {
            self.out.add("bpf_kfunc", Kind::DeclTag { ty: *ty, component: -1, attribute: false });
        }
        ids
    }

    /// Variables, and the section that says they are per CPU.
    fn percpu_vars(&mut self) {
        let mut vars = Vec::new();
        let mut offset = 0;
        for var in PERCPU_VARS {
            let ty = self.ty(var.ty);
            let id = self.out.add(var.name, Kind::Var { ty, linkage: 1 });
            vars.push(SecVar { var: id, offset, size: var.size });
            offset += var.size.next_multiple_of(8);
        }
        self.out.add(".data..percpu", Kind::DataSec { size: offset, vars });
    }

    fn func(&mut self, name: &str, proto: &FuncProto) -> TypeId {
        let proto = self.proto(proto);
        self.out.add(name, Kind::Func { proto, linkage: 0 })
    }

    fn proto(&mut self, proto: &FuncProto) -> TypeId {
        if let Some(id) = self.protos.get(proto) {
            return *id;
        }
        let ret = self.ty(proto.ret);
        let params = proto.params.iter();
        let params = params.map(|p| Param { name: self.out.str(p.name), ty: self.ty(p.ty) }).collect();
        let id = self.out.add("", Kind::FuncProto { ret, params });
        self.protos.insert(*proto, id);
        id
    }

    fn ty(&mut self, ty: TypeRef) -> TypeId {
        if let Some(id) = self.met.get(&ty) {
            return *id;
        }
        let id = self.new_type(ty);
        self.met.insert(ty, id);
        id
    }

    fn new_type(&mut self, ty: TypeRef) -> TypeId {
        let (name, kind) = match ty {
            TypeRef::Void => return TypeId::VOID,
            TypeRef::Int(name, size, encoding) => (name, int(size, encoding)),
            TypeRef::Ptr(to) => ("", Kind::Ptr(self.ty(*to))),
            TypeRef::Const(to) => ("", Kind::Const(self.ty(*to))),
            TypeRef::Volatile(to) => ("", Kind::Volatile(self.ty(*to))),
            TypeRef::TypeTag(tag, to) => (tag, Kind::TypeTag { ty: self.ty(*to), attribute: false }),
            TypeRef::Typedef(name, to) => (name, Kind::Typedef(self.ty(*to))),
            TypeRef::Array(elem, nelems) => {
                let index = self.ty(TypeRef::Int("__ARRAY_SIZE_TYPE__", 4, AbiInt::Unsigned));
                ("", Kind::Array { elem: self.ty(*elem), index, nelems })
            }
            TypeRef::Struct(name) => return self.tagged(STRUCT, name, Kind::Fwd { union: false }),
            TypeRef::Union(name) => return self.tagged(UNION, name, Kind::Fwd { union: true }),
            TypeRef::Enum(name) => return self.tagged(ENUM, name, unknown_enum()),
            TypeRef::Anon(desc) => ("", self.definition(desc)),
            TypeRef::Func(proto) => return self.proto(proto),
        };
        self.out.add(name, kind)
    }

    /// The definition of that name, else its forward declaration.
    fn tagged(&mut self, space: u8, name: &'static str, forward: Kind) -> TypeId {
        if let Some(id) = self.named.get(&(space, name)) {
            return *id;
        }
        let id = self.out.add(name, forward);
        self.named.insert((space, name), id);
        id
    }
}

/// BTF has no forward declaration of enums: an enum without values is one.
fn unknown_enum() -> Kind {
    Kind::Enum { wide: false, size: 4, signed: false, values: Vec::new() }
}

fn int(size: u32, encoding: AbiInt) -> Kind {
    let encoding = match encoding {
        AbiInt::Unsigned => IntEncoding::UNSIGNED,
        AbiInt::Signed => IntEncoding::SIGNED,
        AbiInt::Bool => IntEncoding::BOOL,
    };
    Kind::Int { size, encoding, offset: 0, bits: (size * 8) as u8 }
}

/// The low `size` bytes of a value, extended as the reader does.
fn narrowed(v: Enumerator, size: u32, signed: bool) -> Enumerator {
    let value = match (size, signed) {
        (8, _) => v.value,
        (_, true) => i64::from(v.value as i32) as u64,
        (_, false) => u64::from(v.value as u32),
    };
    Enumerator { name: Str(v.name.0), value }
}
