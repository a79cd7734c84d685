//! Two BTFs as one.

use std::collections::HashMap;

use super::*;

impl Btf {
    /// This one's types, ids unchanged, then those of `further`, for what this one does not describe. A struct, union or enum that
    /// both name is this one's: what refers to it refers to this one's, and the other loses its name.
    ///
    /// # Errors
    /// When the whole is more than a BTF can hold.
    pub fn joined(&self, further: &Btf) -> Result<Btf, BtfError> {
        let (base, strings) = (self.types.len() as u32 - 1, self.strings.len() as u32);
        let mine: HashMap<(&str, KindTag), TypeId> = (1..=base)
            .map(TypeId)
            .filter(|id| is_definition(self.kind(*id).tag()))
            .map(|id| ((self.name(id), self.kind(id).tag()), id))
            .filter(|((name, _), _)| !name.is_empty())
            .collect();
        let same = |id: TypeId| mine.get(&(further.name(id), further.kind(id).tag())).copied();
        let ty = |id: TypeId| match id {
            TypeId::VOID => id,
            id => same(id).unwrap_or(TypeId(id.0 + base)),
        };
        let text = |at: Str| if at.0 == 0 { at } else { Str(at.0 + strings) };
        let mut types = self.types.clone();
        for (id, t) in further.types() {
            let name = if same(id).is_some() { Str(0) } else { text(t.name) };
            types.push(Type { name, kind: moved(&t.kind, &ty, &text) });
        }
        let all = [self.strings.as_slice(), &further.strings].concat();
        Btf::from_parts(types, all)
    }
}

fn is_definition(tag: KindTag) -> bool {
    matches!(tag, KindTag::Struct | KindTag::Union | KindTag::Enum | KindTag::Enum64)
}

fn moved(kind: &Kind, ty: &dyn Fn(TypeId) -> TypeId, text: &dyn Fn(Str) -> Str) -> Kind {
    match kind.clone() {
        Kind::Ptr(t) => Kind::Ptr(ty(t)),
        Kind::Typedef(t) => Kind::Typedef(ty(t)),
        Kind::Volatile(t) => Kind::Volatile(ty(t)),
        Kind::Const(t) => Kind::Const(ty(t)),
        Kind::Restrict(t) => Kind::Restrict(ty(t)),
        Kind::Array { elem, index, nelems } => Kind::Array { elem: ty(elem), index: ty(index), nelems },
        Kind::Struct { union, size, mut members } => {
            members.iter_mut().for_each(|m| (m.ty, m.name) = (ty(m.ty), text(m.name)));
            Kind::Struct { union, size, members }
        }
        Kind::Enum { wide, size, signed, mut values } => {
            values.iter_mut().for_each(|v| v.name = text(v.name));
            Kind::Enum { wide, size, signed, values }
        }
        Kind::Func { proto, linkage } => Kind::Func { proto: ty(proto), linkage },
        Kind::FuncProto { ret, mut params } => {
            params.iter_mut().for_each(|p| (p.ty, p.name) = (ty(p.ty), text(p.name)));
            Kind::FuncProto { ret: ty(ret), params }
        }
        Kind::Var { ty: t, linkage } => Kind::Var { ty: ty(t), linkage },
        Kind::DataSec { size, mut vars } => {
            vars.iter_mut().for_each(|v| v.var = ty(v.var));
            Kind::DataSec { size, vars }
        }
        Kind::DeclTag { ty: t, component, attribute } => Kind::DeclTag { ty: ty(t), component, attribute },
        Kind::TypeTag { ty: t, attribute } => Kind::TypeTag { ty: ty(t), attribute },
        other @ (Kind::Void | Kind::Int { .. } | Kind::Fwd { .. } | Kind::Float { .. }) => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with_task(size: u32, further: &str) -> Btf {
        let mut b = Builder::new();
        let task = b.add("task_struct", Kind::Struct { union: false, size, members: Vec::new() });
        let ptr = b.add("", Kind::Ptr(task));
        b.add(further, Kind::Typedef(ptr));
        b.finish().expect("sound")
    }

    #[test]
    fn what_both_name_is_the_first_ones() {
        let (ours, theirs) = (with_task(8, "ours_t"), with_task(16, "theirs_t"));
        let joined = ours.joined(&theirs).expect("it fits");
        assert_eq!(joined.find("task_struct", KindTag::Struct), Some(TypeId(1)));
        assert_eq!(joined.find_all("task_struct").count(), 1);
        let theirs = joined.find("theirs_t", KindTag::Typedef).expect("theirs is there");
        assert_eq!(joined.kind(theirs), &Kind::Typedef(TypeId(5)));
        assert_eq!(joined.kind(TypeId(5)), &Kind::Ptr(TypeId(1)));
        assert_eq!(Btf::parse(&joined.to_bytes()), Ok(joined));
    }
}
