//! Bytes to [`Btf`].

use super::*;
use thiserror::Error;

/// Bytes of the header that every version has.
const HDR_LEN: usize = 24;
/// More than any kernel has by two orders of magnitude, so that a hostile file is refused before its tables are built.
const MAX_TYPES: usize = 4_000_000;

/// What is wrong with a BTF.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub enum BtfError {
    /// The header.
    #[error("BTF header: {0}")]
    Header(&'static str),
    /// The types end inside this one.
    #[error("BTF type {id}: cut off at byte {at} of the type section")]
    Torn {
        /// The type.
        id: TypeId,
        /// Where bytes were missing.
        at: usize,
    },
    /// A kind this kernel does not have.
    #[error("BTF type {id}: unknown kind {kind}")]
    UnknownKind {
        /// The type.
        id: TypeId,
        /// Its kind number.
        kind: u32,
    },
    /// A name outside the string section, or with bytes that are no name.
    #[error("BTF type {id}: invalid name at string offset {offset}")]
    Name {
        /// The type.
        id: TypeId,
        /// Offset into the strings.
        offset: u32,
    },
    /// A type id beyond the last type.
    #[error("BTF type {id}: refers to type {to}, which does not exist")]
    Reference {
        /// The type.
        id: TypeId,
        /// What it refers to.
        to: TypeId,
    },
    /// A type whose contents contradict its kind.
    #[error("BTF type {id}: {why}")]
    Invalid {
        /// The type.
        id: TypeId,
        /// What is wrong.
        why: &'static str,
    },
    /// A chain of typedefs, modifiers or arrays longer than [`MAX_RESOLVE_DEPTH`], or a loop.
    #[error("BTF type {id}: nested deeper than {MAX_RESOLVE_DEPTH}, or a loop")]
    Depth {
        /// Where the walk began.
        id: TypeId,
    },
    /// A type that has no size where one is needed.
    #[error("BTF type {id}: has no size")]
    NoSize {
        /// The type.
        id: TypeId,
    },
}

impl Btf {
    /// Reads and checks a `.BTF` section.
    pub fn parse(data: &[u8]) -> Result<Btf, BtfError> {
        let (type_bytes, strings) = sections(data)?;
        let mut cursor = Cursor { data: type_bytes, at: 0, id: TypeId(1) };
        let mut types = vec![Type { name: Str(0), kind: Kind::Void }];
        while cursor.at < type_bytes.len() {
            if types.len() > MAX_TYPES {
                return Err(BtfError::Header("too many types"));
            }
            cursor.id = TypeId(types.len() as u32);
            types.push(read_type(&mut cursor)?);
        }
        Btf::from_parts(types, strings.to_vec())
    }

    /// Checks names and references, and builds the index.
    pub(super) fn from_parts(types: Vec<Type>, strings: Vec<u8>) -> Result<Btf, BtfError> {
        let mut btf = Btf { types, strings, by_name: Vec::new() };
        for (i, ty) in btf.types.iter().enumerate().skip(1) {
            btf.check(TypeId(i as u32), ty)?;
        }
        let mut ids: Vec<TypeId> = (1..btf.types.len() as u32).map(TypeId).collect();
        ids.retain(|id| !btf.name(*id).is_empty());
        ids.sort_by_key(|id| (btf.name(*id), *id));
        btf.by_name = ids;
        Ok(btf)
    }

    fn check(&self, id: TypeId, ty: &Type) -> Result<(), BtfError> {
        for name in [ty.name].into_iter().chain(ty.kind.names()) {
            let text = lookup_str(&self.strings, name);
            // Tags are any text: the kernel's selftests put whole log lines there.
            let any = matches!(ty.kind, Kind::DeclTag { .. } | Kind::TypeTag { .. });
            if text.is_none_or(|text| !any && text.contains(|c: char| c.is_control())) {
                return Err(BtfError::Name { id, offset: name.0 });
            }
        }
        for to in ty.kind.references() {
            if to.0 as usize >= self.types.len() {
                return Err(BtfError::Reference { id, to });
            }
        }
        let refers_to = |to: TypeId, tag| self.types[to.0 as usize].kind.tag() == tag;
        let invalid = |why| Err(BtfError::Invalid { id, why });
        match &ty.kind {
            Kind::Func { proto, .. } if !refers_to(*proto, KindTag::FuncProto) => {
                invalid("FUNC whose type is not a FUNC_PROTO")
            }
            Kind::DataSec { vars, .. } => {
                let is_var = |v: &SecVar| refers_to(v.var, KindTag::Var) || refers_to(v.var, KindTag::Func);
                if vars.iter().all(is_var) {
                    Ok(())
                } else {
                    invalid("DATASEC entry that is neither VAR nor FUNC")
                }
            }
            Kind::DeclTag { ty: to, component, .. } => self.check_decl_tag(id, *to, *component),
            _ => Ok(()),
        }
    }

    fn check_decl_tag(&self, id: TypeId, to: TypeId, component: i32) -> Result<(), BtfError> {
        let limit = match &self.types[to.0 as usize].kind {
            Kind::Struct { members, .. } => members.len(),
            Kind::Func { proto, .. } => match self.types.get(proto.0 as usize).map(|t| &t.kind) {
                Some(Kind::FuncProto { params, .. }) => params.len(),
                _ => 0,
            },
            Kind::Var { .. } | Kind::Typedef(_) => 0,
            _ => return Err(BtfError::Invalid { id, why: "DECL_TAG on something that cannot have one" }),
        };
        match component {
            -1 => Ok(()),
            n if n >= 0 && (n as usize) < limit => Ok(()),
            _ => Err(BtfError::Invalid { id, why: "DECL_TAG component out of range" }),
        }
    }
}

/// The text at `name`, if the offset is inside and the bytes are UTF-8 that ends with a 0.
pub(super) fn lookup_str(strings: &[u8], name: Str) -> Option<&str> {
    let rest = strings.get(name.0 as usize..)?;
    let len = rest.iter().position(|b| *b == 0)?;
    std::str::from_utf8(&rest[..len]).ok()
}

/// Type and string bytes of a section.
fn sections(data: &[u8]) -> Result<(&[u8], &[u8]), BtfError> {
    let bad = BtfError::Header;
    let word = |at: usize| {
        data.get(at..at + 4).and_then(|b| b.try_into().ok()).map_or(0, u32::from_le_bytes) as usize
    };
    if data.len() < HDR_LEN {
        return Err(bad("shorter than 24 bytes"));
    }
    match u16::from_le_bytes([data[0], data[1]]) {
        BTF_MAGIC => {}
        m if m == BTF_MAGIC.swap_bytes() => return Err(bad("big-endian; compile with -target bpfel")),
        _ => return Err(bad("wrong magic, this is not BTF")),
    }
    if data[2] != 1 {
        return Err(bad("unsupported version"));
    }
    if data[3] != 0 {
        return Err(bad("unsupported flags"));
    }
    let hdr_len = word(4);
    if hdr_len < HDR_LEN {
        return Err(bad("header length below 24"));
    }
    let body = data.get(hdr_len..).ok_or(bad("header length beyond the data"))?;
    let slice = |off: usize, len: usize| body.get(off..off.checked_add(len)?);
    let types = slice(word(8), word(12)).ok_or(bad("type section beyond the data"))?;
    let strings = slice(word(16), word(20)).ok_or(bad("string section beyond the data"))?;
    if !word(8).is_multiple_of(4) {
        return Err(bad("unaligned type section"));
    }
    if strings.first() != Some(&0) || strings.last() != Some(&0) {
        return Err(bad("string section does not begin and end with 0"));
    }
    Ok((types, strings))
}

struct Cursor<'a> {
    data: &'a [u8],
    at: usize,
    id: TypeId,
}

impl Cursor<'_> {
    fn u32(&mut self) -> Result<u32, BtfError> {
        let torn = BtfError::Torn { id: self.id, at: self.at };
        let bytes = self.data.get(self.at..self.at + 4).ok_or(torn)?;
        self.at += 4;
        Ok(u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]))
    }

    /// `n` records of `words` words each; checked against what is left before anything is allocated.
    fn records<T>(
        &mut self,
        n: usize,
        words: usize,
        mut read: impl FnMut(&mut Self) -> Result<T, BtfError>,
    ) -> Result<Vec<T>, BtfError> {
        if (self.data.len() - self.at) / 4 < n * words {
            return Err(BtfError::Torn { id: self.id, at: self.data.len() });
        }
        (0..n).map(|_| read(self)).collect()
    }

    fn invalid<T>(&self, why: &'static str) -> Result<T, BtfError> {
        Err(BtfError::Invalid { id: self.id, why })
    }
}

fn read_type(c: &mut Cursor) -> Result<Type, BtfError> {
    let name = Str(c.u32()?);
    let info = c.u32()?;
    let size_or_type = c.u32()?;
    // 7.3 gives vlen 24 bits and the kind 7; in older files the added bits are 0.
    let (vlen, kind, flag) = ((info & 0x00ff_ffff) as usize, (info >> 24) & 0x7f, info >> 31 != 0);
    let ty = TypeId(size_or_type);
    let kind = match kind {
        1 => read_int(c, size_or_type)?,
        2 => Kind::Ptr(ty),
        3 => Kind::Array { elem: TypeId(c.u32()?), index: TypeId(c.u32()?), nelems: c.u32()? },
        4 | 5 => read_struct(c, kind == 5, size_or_type, vlen, flag)?,
        6 | 19 => read_enum(c, kind == 19, size_or_type, vlen, flag)?,
        7 => Kind::Fwd { union: flag },
        8 => Kind::Typedef(ty),
        9 => Kind::Volatile(ty),
        10 => Kind::Const(ty),
        11 => Kind::Restrict(ty),
        12 => Kind::Func { proto: ty, linkage: (info & 0xffff) as u16 },
        13 => {
            let params = c.records(vlen, 2, |c| Ok(Param { name: Str(c.u32()?), ty: TypeId(c.u32()?) }))?;
            Kind::FuncProto { ret: ty, params }
        }
        14 => Kind::Var { ty, linkage: c.u32()? },
        15 => {
            let var = |c: &mut Cursor| Ok(SecVar { var: TypeId(c.u32()?), offset: c.u32()?, size: c.u32()? });
            Kind::DataSec { size: size_or_type, vars: c.records(vlen, 3, var)? }
        }
        16 => Kind::Float { size: size_or_type },
        17 => Kind::DeclTag { ty, component: c.u32()? as i32, attribute: flag },
        18 => Kind::TypeTag { ty, attribute: flag },
        kind => return Err(BtfError::UnknownKind { id: c.id, kind }),
    };
    Ok(Type { name, kind })
}

fn read_int(c: &mut Cursor, size: u32) -> Result<Kind, BtfError> {
    let data = c.u32()?;
    let (encoding, offset, bits) = ((data >> 24) & 0x0f, (data >> 16) & 0xff, data & 0xff);
    if !matches!(size, 1 | 2 | 4 | 8 | 16) {
        return c.invalid("INT of a size that is not 1, 2, 4, 8 or 16");
    }
    if offset + bits > size * 8 {
        return c.invalid("INT with more bits than bytes");
    }
    Ok(Kind::Int { size, encoding: IntEncoding(encoding as u8), offset: offset as u8, bits: bits as u8 })
}

fn read_struct(c: &mut Cursor, union: bool, size: u32, vlen: usize, flag: bool) -> Result<Kind, BtfError> {
    let members = c.records(vlen, 3, |c| {
        let (name, ty, offset) = (Str(c.u32()?), TypeId(c.u32()?), c.u32()?);
        let (bit_offset, bits) =
            if flag { (offset & 0x00ff_ffff, (offset >> 24) as u8) } else { (offset, 0) };
        if u64::from(bit_offset) + u64::from(bits) > u64::from(size) * 8 {
            return c.invalid("member beyond the end of its struct");
        }
        if union && bit_offset != 0 {
            return c.invalid("union member at an offset");
        }
        Ok(Member { name, ty, bit_offset, bits })
    })?;
    Ok(Kind::Struct { union, size, members })
}

fn read_enum(c: &mut Cursor, wide: bool, size: u32, vlen: usize, signed: bool) -> Result<Kind, BtfError> {
    if !matches!(size, 1 | 2 | 4 | 8) {
        return c.invalid("ENUM of a size that is not 1, 2, 4 or 8");
    }
    let values = c.records(vlen, if wide { 3 } else { 2 }, |c| {
        let name = Str(c.u32()?);
        let low = c.u32()?;
        let value = match (wide, signed) {
            (true, _) => u64::from(c.u32()?) << 32 | u64::from(low),
            (false, true) => i64::from(low as i32) as u64,
            (false, false) => u64::from(low),
        };
        Ok(Enumerator { name, value })
    })?;
    Ok(Kind::Enum { wide, size, signed, values })
}
