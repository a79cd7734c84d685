//! What CO-RE relocations ask of a kernel's types, and whether it is there: for people who want to know before a load.
//!
//! Mirrors bpf_core_parse_spec(), bpf_core_spec_match() and bpf_core_fields_are_compat() of tools/lib/bpf/relo_core.c, 7.3. Left out: shapes of
//! functions and of whole types (`bpf_core_type_matches`); a type counts as there when one of its name and kind is.

use super::ext::CoreRelo;
use super::{Btf, Kind, KindTag, MAX_RESOLVE_DEPTH, TypeId};

/// `enum bpf_core_relo_kind`: the relocations of fields.
const FIELD_EXISTS: u32 = 2;
const FIELD_LAST: u32 = 5;
/// Those of types: the first is about the object's own types.
const TYPE_ID_LOCAL: u32 = 6;
const TYPE_EXISTS: u32 = 8;
const TYPE_MATCHES: u32 = 12;
/// Those of enumerators.
const ENUMVAL_EXISTS: u32 = 10;
const ENUMVAL_VALUE: u32 = 11;

/// What a relocation asks for.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Need {
    /// `struct rq.scx.nr_running`, `struct rq`, `enum scx_enq_flags.SCX_ENQ_CPU_SELECTED`; flavours (`___x`) are left out.
    pub what: String,
    /// Only whether it exists: the program can do without.
    pub asks: bool,
    /// The kernel has it.
    pub there: bool,
}

/// A step of an access below its root type.
enum Step<'a> {
    /// A member, as declared in the object.
    Member(&'a str, TypeId),
    /// An element, of a type.
    Element,
}

/// What `relo` of an object with these types asks of a kernel; `None` for what is about the object's own types, or damaged.
pub fn need(object: &Btf, relo: &CoreRelo, kernel: &Btf) -> Option<Need> {
    let root = unmodified(object, relo.ty);
    let tag = object.kind(root).tag();
    let name = essential(object.name(root));
    let candidates = || kernel_types(kernel, name, tag);
    let c_name = match tag {
        KindTag::Union => format!("union {name}"),
        KindTag::Struct => format!("struct {name}"),
        KindTag::Enum | KindTag::Enum64 => format!("enum {name}"),
        _ => name.to_owned(),
    };
    if name.is_empty() {
        return None;
    }
    match relo.kind {
        TYPE_ID_LOCAL => None,
        kind @ (ENUMVAL_EXISTS | ENUMVAL_VALUE) => {
            let index: usize = object.str(relo.access).parse().ok()?;
            let Kind::Enum { values, .. } = object.kind(root) else { return None };
            let value = essential(object.str(values.get(index)?.name));
            let there = candidates().any(|id| has_enumerator(kernel, id, value));
            Some(Need { what: format!("{c_name}.{value}"), asks: kind == ENUMVAL_EXISTS, there })
        }
        kind if kind <= FIELD_LAST => {
            let steps = steps(object, root, object.str(relo.access))?;
            let there = candidates().any(|id| follows(object, &steps, kernel, id));
            let path: String = steps.iter().map(step_text).collect();
            Some(Need { what: format!("{c_name}{path}"), asks: kind == FIELD_EXISTS, there })
        }
        kind @ TYPE_ID_LOCAL..=TYPE_MATCHES => {
            let there = candidates().next().is_some();
            Some(Need { what: c_name, asks: matches!(kind, TYPE_EXISTS | TYPE_MATCHES), there })
        }
        _ => None,
    }
}

fn step_text(step: &Step<'_>) -> String {
    match step {
        Step::Member(name, _) => format!(".{name}"),
        Step::Element => "[]".into(),
    }
}

/// Types of the kernel's with that name, but for flavours, and kind.
fn kernel_types<'a>(kernel: &'a Btf, name: &'a str, tag: KindTag) -> impl Iterator<Item = TypeId> + 'a {
    let like = |tag: KindTag| if tag == KindTag::Enum64 { KindTag::Enum } else { tag };
    kernel.find_all(name).filter(move |id| like(kernel.kind(*id).tag()) == like(tag))
}

fn has_enumerator(kernel: &Btf, id: TypeId, name: &str) -> bool {
    match kernel.kind(id) {
        Kind::Enum { values, .. } => values.iter().any(|v| essential(kernel.str(v.name)) == name),
        _ => false,
    }
}

/// The steps of `0:3:1` from `root`: the first number is an index of the root itself.
fn steps<'a>(object: &'a Btf, root: TypeId, access: &str) -> Option<Vec<Step<'a>>> {
    let mut at = root;
    let mut steps = Vec::new();
    for part in access.split(':').skip(1) {
        let index: usize = part.parse().ok()?;
        at = object.resolve(at).ok()?;
        at = match object.kind(at) {
            Kind::Struct { members, .. } => {
                let member = members.get(index)?;
                let name = object.str(member.name);
                if !name.is_empty() {
                    steps.push(Step::Member(name, member.ty));
                }
                member.ty
            }
            Kind::Array { elem, .. } => {
                steps.push(Step::Element);
                *elem
            }
            _ => return None,
        };
    }
    Some(steps)
}

/// Whether the kernel's type `at` has all of the steps.
fn follows(object: &Btf, steps: &[Step<'_>], kernel: &Btf, at: TypeId) -> bool {
    let Some((step, rest)) = steps.split_first() else { return true };
    match step {
        Step::Member(name, ty) => {
            let fields = kernel.fields(at).unwrap_or_default();
            let named = |f: &&super::Field| kernel.str(f.name) == *name;
            fields
                .iter()
                .find(named)
                .is_some_and(|f| compatible(object, *ty, kernel, f.ty) && follows(object, rest, kernel, f.ty))
        }
        Step::Element => match kernel.resolve(at).map(|id| kernel.kind(id)) {
            Ok(Kind::Array { elem, .. }) => follows(object, rest, kernel, *elem),
            _ => false,
        },
    }
}

/// Whether a field declared like this in the object can be that field of the kernel's.
fn compatible(object: &Btf, mut a: TypeId, kernel: &Btf, mut b: TypeId) -> bool {
    for _ in 0..MAX_RESOLVE_DEPTH {
        let (Ok(x), Ok(y)) = (object.resolve(a), kernel.resolve(b)) else { return false };
        match (object.kind(x), kernel.kind(y)) {
            (Kind::Struct { .. }, Kind::Struct { .. }) | (Kind::Ptr(_), Kind::Ptr(_)) => return true,
            (Kind::Array { elem: x, .. }, Kind::Array { elem: y, .. }) => (a, b) = (*x, *y),
            (Kind::Enum { .. } | Kind::Fwd { .. }, _) => {
                let same = object.kind(x).tag() == kernel.kind(y).tag();
                let names = (essential(object.name(x)), essential(kernel.name(y)));
                return same && (names.0.is_empty() || names.1.is_empty() || names.0 == names.1);
            }
            (left, right) => return left.tag() == right.tag(),
        }
    }
    false
}

/// Below `const`, `volatile`, `restrict` and type tags; a typedef stays, as CO-RE looks it up by its name.
fn unmodified(btf: &Btf, id: TypeId) -> TypeId {
    let mut at = id;
    for _ in 0..MAX_RESOLVE_DEPTH {
        at = match btf.kind(at) {
            Kind::Volatile(t) | Kind::Const(t) | Kind::Restrict(t) => *t,
            Kind::TypeTag { ty, .. } => *ty,
            _ => return at,
        };
    }
    at
}

/// A name without its last flavour, `___x`.
pub fn essential(name: &str) -> &str {
    let b = name.as_bytes();
    let sep = |i: usize| b[i] != b'_' && b[i + 1..i + 4] == *b"___" && b[i + 4] != b'_';
    let found = (0..b.len().saturating_sub(4)).rev().find(|&i| sep(i));
    found.map_or(name, |i| &name[..=i])
}
