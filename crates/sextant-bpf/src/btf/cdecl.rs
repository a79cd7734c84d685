//! Types as C writes them: `u32 [4]`, `struct foo *`, `const char *name`.

use super::*;

/// Longest text; a hostile prototype could otherwise grow without end.
const MAX_TEXT: usize = 2000;

impl Btf {
    /// The type as C writes it, without a name: `u32 [4]`, `struct foo *`, `int (*)(u64)`.
    pub fn type_name(&self, id: TypeId) -> String {
        self.declare(id, "")
    }

    /// The declaration of `name` with this type: `u32 a[4]`, `struct foo *p`.
    pub fn declare(&self, id: TypeId, name: &str) -> String {
        let mut text = self.wrap(id, name.to_string(), MAX_RESOLVE_DEPTH);
        if text.len() > MAX_TEXT {
            let end = (0..=MAX_TEXT).rev().find(|i| text.is_char_boundary(*i)).unwrap_or(0);
            text.truncate(end);
            text.push('…');
        }
        text
    }

    /// C reads from the name outwards: `inner` is what was read so far, this type goes around it.
    fn wrap(&self, id: TypeId, inner: String, depth: usize) -> String {
        if depth == 0 || inner.len() > MAX_TEXT {
            return joined("…", &inner);
        }
        let depth = depth - 1;
        match self.kind(id) {
            Kind::Ptr(to) => self.wrap(*to, format!("*{inner}"), depth),
            Kind::Array { elem, nelems, .. } => {
                self.wrap(*elem, format!("{}[{nelems}]", suffix_base(inner)), depth)
            }
            Kind::FuncProto { ret, params } => {
                let mut list = Vec::new();
                let mut len = 0;
                for p in params {
                    let is_dots = p.ty == TypeId::VOID && self.str(p.name).is_empty();
                    let text = if is_dots {
                        "...".to_string()
                    } else {
                        self.wrap(p.ty, self.str(p.name).to_string(), depth)
                    };
                    len += text.len();
                    list.push(text);
                    if len > MAX_TEXT {
                        break;
                    }
                }
                let list = if list.is_empty() { "void".to_string() } else { list.join(", ") };
                self.wrap(*ret, format!("{}({list})", suffix_base(inner)), depth)
            }
            Kind::Func { proto, .. } => self.wrap(*proto, self.name(id).to_string(), depth),
            Kind::Var { ty, .. } => self.wrap(*ty, self.name(id).to_string(), depth),
            // On a pointer the modifier stands right of the star, else left of the type.
            Kind::Const(to) => self.modified("const", *to, inner, depth),
            Kind::Volatile(to) => self.modified("volatile", *to, inner, depth),
            Kind::Restrict(to) => self.modified("restrict", *to, inner, depth),
            Kind::TypeTag { ty, attribute: true } => {
                self.wrap(*ty, joined(&format!("__attribute__(({}))", self.name(id)), &inner), depth)
            }
            Kind::TypeTag { ty, .. } => self.wrap(*ty, inner, depth),
            _ => joined(&self.base_name(id), &inner),
        }
    }

    fn modified(&self, word: &str, to: TypeId, inner: String, depth: usize) -> String {
        if matches!(self.kind(to), Kind::Ptr(_)) {
            return self.wrap(to, joined(word, &inner), depth);
        }
        format!("{word} {}", self.wrap(to, inner, depth))
    }

    fn base_name(&self, id: TypeId) -> String {
        let name = self.name(id);
        let tagged = |word: &str| match name {
            "" => format!("{word} {{…}}"),
            _ => format!("{word} {name}"),
        };
        match self.kind(id) {
            Kind::Void => "void".to_string(),
            Kind::Struct { union: false, .. } | Kind::Fwd { union: false } => tagged("struct"),
            Kind::Struct { union: true, .. } | Kind::Fwd { union: true } => tagged("union"),
            Kind::Enum { .. } => tagged("enum"),
            _ => name.to_string(),
        }
    }
}

/// `[n]` and `(…)` bind tighter than `*`, so a pointer needs parentheses before them.
fn suffix_base(inner: String) -> String {
    if inner.starts_with('*') { format!("({inner})") } else { inner }
}

fn joined(left: &str, right: &str) -> String {
    if right.is_empty() { left.to_string() } else { format!("{left} {right}") }
}
