//! Questions to a [`Btf`].

use super::read::lookup_str;
use super::*;

/// Most members one flattening visits, so that nested anonymous structs of a hostile file cannot multiply.
const MAX_FIELDS: usize = 1 << 16;

/// A member as seen from the outermost struct, anonymous structs and unions in between dissolved.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Field {
    /// Its name.
    pub name: Str,
    /// Its type.
    pub ty: TypeId,
    /// From the start of the outermost struct, in bits.
    pub bit_offset: u64,
    /// Width in bits of a bit field, 0 for an ordinary member.
    pub bits: u8,
}

impl Field {
    /// From the start of the outermost struct, in bytes (of a bit field: of its first bit's byte).
    pub const fn byte_offset(&self) -> u64 {
        self.bit_offset / 8
    }
}

impl Btf {
    /// Number of types, `void` included: ids are below it.
    pub fn len(&self) -> u32 {
        self.types.len() as u32
    }

    /// Whether there is nothing but `void`.
    pub fn is_empty(&self) -> bool {
        self.types.len() <= 1
    }

    /// The type of an id.
    pub fn get(&self, id: TypeId) -> Option<&Type> {
        self.types.get(id.0 as usize)
    }

    /// What the type of an id is; `Void` for an id that does not exist.
    pub fn kind(&self, id: TypeId) -> &Kind {
        self.get(id).map_or(&Kind::Void, |ty| &ty.kind)
    }

    /// All types from id 1 on.
    pub fn types(&self) -> impl Iterator<Item = (TypeId, &Type)> {
        self.types.iter().enumerate().skip(1).map(|(i, ty)| (TypeId(i as u32), ty))
    }

    /// The text of a name; empty for one that does not belong to this BTF.
    pub fn str(&self, name: Str) -> &str {
        lookup_str(&self.strings, name).unwrap_or_default()
    }

    /// The text at an offset, such as a source line, which may hold tabs: other control characters and what is not UTF-8 are
    /// replaced. Empty when the offset is outside.
    pub fn text(&self, at: Str) -> String {
        let rest = self.strings.get(at.0 as usize..).unwrap_or_default();
        let len = rest.iter().position(|b| *b == 0).unwrap_or(0);
        let text = String::from_utf8_lossy(&rest[..len]);
        let shown = |c: char| if c.is_control() && c != '\t' { char::REPLACEMENT_CHARACTER } else { c };
        text.chars().map(shown).collect()
    }

    /// The name of a type; empty when anonymous.
    pub fn name(&self, id: TypeId) -> &str {
        self.get(id).map_or("", |ty| self.str(ty.name))
    }

    /// The first type of this name and kind.
    pub fn find(&self, name: &str, tag: KindTag) -> Option<TypeId> {
        self.find_all(name).find(|id| self.kind(*id).tag() == tag)
    }

    /// All types of this name, by id.
    pub fn find_all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = TypeId> + 'a {
        let start = self.by_name.partition_point(|id| self.name(*id) < name);
        self.by_name[start..].iter().copied().take_while(move |id| self.name(*id) == name)
    }

    /// An enumerator anywhere: its value.
    pub fn enumerator(&self, name: &str) -> Option<u64> {
        self.types.iter().find_map(|ty| match &ty.kind {
            Kind::Enum { values, .. } => values.iter().find(|v| self.str(v.name) == name).map(|v| v.value),
            _ => None,
        })
    }

    /// The type below typedefs, modifiers and type tags.
    pub fn resolve(&self, id: TypeId) -> Result<TypeId, BtfError> {
        let mut at = id;
        for _ in 0..MAX_RESOLVE_DEPTH {
            at = match self.kind(at) {
                Kind::Typedef(t) | Kind::Volatile(t) | Kind::Const(t) | Kind::Restrict(t) => *t,
                Kind::TypeTag { ty, .. } => *ty,
                _ => return Ok(at),
            };
        }
        Err(BtfError::Depth { id })
    }

    /// `sizeof`, in bytes. `void`, functions and forward declarations have none.
    pub fn size_of(&self, id: TypeId) -> Result<u64, BtfError> {
        let mut count = 1u64;
        let mut at = id;
        for _ in 0..MAX_RESOLVE_DEPTH {
            at = self.resolve(at)?;
            let one = match self.kind(at) {
                Kind::Array { elem, nelems, .. } => {
                    count = count.checked_mul(u64::from(*nelems)).ok_or(BtfError::NoSize { id })?;
                    at = *elem;
                    continue;
                }
                Kind::Var { ty, .. } => {
                    at = *ty;
                    continue;
                }
                Kind::Ptr(_) => 8,
                Kind::Int { size, .. } | Kind::Struct { size, .. } | Kind::Enum { size, .. } => {
                    u64::from(*size)
                }
                Kind::Float { size } | Kind::DataSec { size, .. } => u64::from(*size),
                _ => return Err(BtfError::NoSize { id }),
            };
            return one.checked_mul(count).ok_or(BtfError::NoSize { id });
        }
        Err(BtfError::Depth { id })
    }

    /// The members of a struct or union (through typedefs), as they are; none for anything else.
    pub fn members(&self, id: TypeId) -> &[Member] {
        match self.resolve(id).map(|id| self.kind(id)) {
            Ok(Kind::Struct { members, .. }) => members,
            _ => &[],
        }
    }

    /// The named members, those of anonymous members included, in order.
    pub fn fields(&self, id: TypeId) -> Result<Vec<Field>, BtfError> {
        let mut fields = Vec::new();
        let mut budget = MAX_FIELDS;
        self.gather(id, 0, MAX_RESOLVE_DEPTH, &mut budget, &mut fields)?;
        Ok(fields)
    }

    fn gather(
        &self,
        id: TypeId,
        base: u64,
        depth: usize,
        budget: &mut usize,
        fields: &mut Vec<Field>,
    ) -> Result<(), BtfError> {
        for m in self.members(id) {
            *budget = budget.checked_sub(1).ok_or(BtfError::Depth { id })?;
            let bit_offset = base + u64::from(m.bit_offset);
            if !self.str(m.name).is_empty() {
                fields.push(Field { name: m.name, ty: m.ty, bit_offset, bits: m.bits });
            } else if m.bits == 0 {
                let depth = depth.checked_sub(1).ok_or(BtfError::Depth { id })?;
                self.gather(m.ty, bit_offset, depth, budget, fields)?;
            }
        }
        Ok(())
    }

    /// The field at a path such as `scx.dsq_vtime`, anonymous members dissolved. `None`: no such field.
    pub fn field(&self, id: TypeId, path: &str) -> Result<Option<Field>, BtfError> {
        let mut at: Option<Field> = None;
        for part in path.split('.') {
            let (ty, base) = at.map_or((id, 0), |f| (f.ty, f.bit_offset));
            let next = self.fields(ty)?.into_iter().find(|f| self.str(f.name) == part);
            match next {
                Some(f) => at = Some(Field { bit_offset: f.bit_offset + base, ..f }),
                None => return Ok(None),
            }
        }
        Ok(at)
    }

    /// The tags on a declaration: their text and the component they are on (-1: the type itself).
    pub fn decl_tags(&self, id: TypeId) -> impl Iterator<Item = (&str, i32)> {
        self.types.iter().filter_map(move |ty| match ty.kind {
            Kind::DeclTag { ty: to, component, .. } if to == id => Some((self.str(ty.name), component)),
            _ => None,
        })
    }
}
