//! [`Btf`] to bytes, and building one.

use std::collections::BTreeMap;

use super::*;

/// Collects types and names. Equal names are stored once; ids are given in order of addition, from 1.
#[derive(Clone, Debug)]
pub struct Builder {
    types: Vec<Type>,
    strings: Vec<u8>,
    offsets: BTreeMap<String, Str>,
}

impl Default for Builder {
    fn default() -> Builder {
        Builder {
            types: vec![Type { name: Str(0), kind: Kind::Void }],
            strings: vec![0],
            offsets: BTreeMap::from([(String::new(), Str(0))]),
        }
    }
}

impl Builder {
    /// An empty one.
    pub fn new() -> Builder {
        Builder::default()
    }

    /// The offset of a name, which is added if new.
    pub fn str(&mut self, text: &str) -> Str {
        if let Some(at) = self.offsets.get(text) {
            return *at;
        }
        let at = Str(self.strings.len() as u32);
        self.strings.extend_from_slice(text.as_bytes());
        self.strings.push(0);
        self.offsets.insert(text.to_string(), at);
        at
    }

    /// Adds a type. It may refer to ids that come later.
    pub fn add(&mut self, name: &str, kind: Kind) -> TypeId {
        let name = self.str(name);
        self.types.push(Type { name, kind });
        TypeId(self.types.len() as u32 - 1)
    }

    /// The id the next added type gets.
    pub fn next_id(&self) -> TypeId {
        TypeId(self.types.len() as u32)
    }

    /// Takes the next id for a type that is given later by [`Builder::set`]; `void`-like until then.
    pub fn reserve(&mut self) -> TypeId {
        self.add("", Kind::Void)
    }

    /// Gives a reserved id its type.
    ///
    /// # Panics
    /// If the id was never given out.
    pub fn set(&mut self, id: TypeId, name: &str, kind: Kind) {
        let name = self.str(name);
        self.types[id.0 as usize] = Type { name, kind };
    }

    /// Checks what was built as [`Btf::parse`] would.
    pub fn finish(self) -> Result<Btf, BtfError> {
        Btf::from_parts(self.types, self.strings)
    }
}

impl Btf {
    /// The `.BTF` section.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut types = Vec::new();
        for ty in &self.types[1..] {
            write_type(&mut types, ty);
        }
        let mut out = Vec::with_capacity(24 + types.len() + self.strings.len());
        out.extend_from_slice(&BTF_MAGIC.to_le_bytes());
        out.extend_from_slice(&[1, 0]);
        let words = [24, 0, types.len(), types.len(), self.strings.len()];
        for word in words {
            out.extend_from_slice(&(word as u32).to_le_bytes());
        }
        out.extend_from_slice(&types);
        out.extend_from_slice(&self.strings);
        out
    }
}

fn write_type(out: &mut Vec<u8>, ty: &Type) {
    let mut words = Vec::new();
    let (vlen, flag, size_or_type) = payload(&ty.kind, &mut words);
    let info = (vlen as u32) | (ty.kind.tag() as u32) << 24 | u32::from(flag) << 31;
    for word in [ty.name.0, info, size_or_type].into_iter().chain(words) {
        out.extend_from_slice(&word.to_le_bytes());
    }
}

/// What follows the common part goes to `words`; returns vlen, kind_flag and the size or type.
fn payload(kind: &Kind, words: &mut Vec<u32>) -> (usize, bool, u32) {
    match kind {
        Kind::Void | Kind::Fwd { union: false } => (0, false, 0),
        Kind::Fwd { union: true } => (0, true, 0),
        Kind::Int { size, encoding, offset, bits } => {
            words.push(u32::from(encoding.0) << 24 | u32::from(*offset) << 16 | u32::from(*bits));
            (0, false, *size)
        }
        Kind::Ptr(t) | Kind::Typedef(t) | Kind::Volatile(t) | Kind::Const(t) | Kind::Restrict(t) => {
            (0, false, t.0)
        }
        Kind::Array { elem, index, nelems } => {
            words.extend([elem.0, index.0, *nelems]);
            (0, false, 0)
        }
        Kind::Struct { size, members, .. } => {
            let fields = members.iter().any(|m| m.bits != 0);
            for m in members {
                words.extend([m.name.0, m.ty.0, m.bit_offset | u32::from(m.bits) << 24]);
            }
            (members.len(), fields, *size)
        }
        Kind::Enum { wide, size, signed, values } => {
            for v in values {
                words.extend([v.name.0, v.value as u32]);
                if *wide {
                    words.push((v.value >> 32) as u32);
                }
            }
            (values.len(), *signed, *size)
        }
        Kind::Func { proto, linkage } => (usize::from(*linkage), false, proto.0),
        Kind::FuncProto { ret, params } => {
            words.extend(params.iter().flat_map(|p| [p.name.0, p.ty.0]));
            (params.len(), false, ret.0)
        }
        Kind::Var { ty, linkage } => {
            words.push(*linkage);
            (0, false, ty.0)
        }
        Kind::DataSec { size, vars } => {
            words.extend(vars.iter().flat_map(|v| [v.var.0, v.offset, v.size]));
            (vars.len(), false, *size)
        }
        Kind::Float { size } => (0, false, *size),
        Kind::DeclTag { ty, component, attribute } => {
            words.push(*component as u32);
            (0, *attribute, ty.0)
        }
        Kind::TypeTag { ty, attribute } => (0, *attribute, ty.0),
    }
}
