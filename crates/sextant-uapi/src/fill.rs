//! Elements of maps and contexts of programs from text, typed by the object's BTF: what a scheduler's own program writes with
//! `bpf_map__update_elem` and passes to `bpf_prog_test_run_opts`.

use sextant_bpf::btf::{Btf, Kind, TypeId};
use sextant_vm::MapId;

use crate::errno::Errno;
use crate::globals::{self, Enumerators, Place, SetError};
use crate::load::write_place;
use crate::loaded::Loaded;

/// Paths into a value with what is there; an empty path is the whole value.
type Parts = [(String, String)];

/// The types of a map's elements as its definition has them.
#[derive(Default)]
struct Types {
    key: Option<TypeId>,
    value: Option<TypeId>,
    /// What an array of maps holds.
    inner: Option<TypeId>,
}

impl Loaded {
    /// Writes an element of a map, or (`at`) of the inner map at that index. Bytes that no part names are 0. Without a key it is pushed: to a
    /// queue or stack. A map per CPU gets the value for each CPU.
    ///
    /// # Errors
    /// Unknown map, a key or value that is not of its type, or why the map does not take it.
    pub fn set_entry(
        &self,
        map: &str,
        at: Option<u32>,
        key: Option<&Parts>,
        value: &Parts,
    ) -> Result<(), SetError> {
        let path = at.map_or(map.to_string(), |at| format!("{map}[{at}]"));
        let failed = |why: String| SetError::ReadOnly { path: path.clone(), why };
        let Some(&outer) = self.maps.get(map) else {
            let near = globals::nearest(map, self.maps.keys().map(String::as_str));
            return Err(SetError::UnknownMap { name: map.to_string(), near });
        };
        let btf = self.globals.btf();
        let mut types = map_types(btf, map);
        let id = match at {
            None => outer,
            Some(at) => {
                types = types.inner.map(|def| definition(btf, def)).unwrap_or_default();
                let inner = self.vm.map_lookup(outer, &at.to_le_bytes(), 0);
                let inner = inner.map_err(|e| failed(format!("no inner map there ({})", Errno::from(e))))?;
                MapId(inner.try_into().map(u32::from_le_bytes).map_err(|_| failed("no map of maps".into()))?)
            }
        };
        let spec = self.vm.map_spec(id).ok_or_else(|| failed("it has no memory".into()))?;
        let key = match key {
            Some(parts) => self.bytes_of(&format!("{path} key"), types.key, spec.key_size, parts)?,
            None if spec.key_size == 0 => Vec::new(),
            None => return Err(failed("an element of it needs a key".into())),
        };
        let value = self.bytes_of(&format!("{path} value"), types.value, spec.value_size, value)?;
        let user_size = self.vm.map_user_value_size(id, 0).unwrap_or(value.len());
        let each = value.len().next_multiple_of(8);
        let value = match user_size == value.len() {
            true => value,
            // Per CPU, each part rounded up to 8 bytes.
            false => (0..user_size).map(|i| value.get(i % each).copied().unwrap_or(0)).collect(),
        };
        let done = self.vm.map_update(id, &key, &value, 0);
        done.map_err(|e| failed(format!("the map does not take it ({})", Errno::from(e))))
    }

    /// The context of a syscall program: the structure its argument points to, with these fields.
    ///
    /// # Errors
    /// A program whose argument points to no structure, or a field that is not there or not of that type.
    pub fn context(&self, prog: &str, fields: &Parts) -> Result<Vec<u8>, SetError> {
        let btf = self.globals.btf();
        let ty = argument(btf, prog).ok_or_else(|| SetError::ReadOnly {
            path: prog.to_string(),
            why: "its argument points to no structure: give it words".into(),
        })?;
        let size = btf.size_of(ty).unwrap_or(0) as u32;
        self.bytes_of(&format!("{prog} ctx"), Some(ty), size, fields)
    }

    fn bytes_of(
        &self,
        path: &str,
        ty: Option<TypeId>,
        size: u32,
        parts: &Parts,
    ) -> Result<Vec<u8>, SetError> {
        let btf = self.globals.btf();
        let names = Enumerators { object: btf, kernel: self.kernel.btf(), nr_cpus: self.kernel.nr_cpus() };
        let mut bytes = vec![0; size as usize];
        let ty = ty.filter(|&ty| btf.size_of(ty) == Ok(size.into()));
        for (at, text) in parts {
            let Some(ty) = ty else {
                put_number(&names, path, at, text, &mut bytes)?;
                continue;
            };
            let steps = match at.as_str() {
                "" => Vec::new(),
                // A path begins with a name; what it begins with here is the value itself.
                at => globals::parse_path(&format!("value.{at}"))?.1,
            };
            let place: Place = globals::walk(btf, path, ty, &steps)?;
            let full = if at.is_empty() { path.to_string() } else { format!("{path}.{at}") };
            write_place(&names, &full, place, 0, &mut bytes, text)?;
        }
        Ok(bytes)
    }
}

/// A number into bytes of no known type.
fn put_number(
    names: &Enumerators<'_>,
    path: &str,
    at: &str,
    text: &str,
    out: &mut [u8],
) -> Result<(), SetError> {
    let bad = |why: String| SetError::Value {
        path: path.to_string(),
        ty: format!("{} bytes", out.len()),
        value: text.to_string(),
        why,
    };
    if !at.is_empty() {
        return Err(bad(format!("the object does not say what is in it, so there is no field '{at}'")));
    }
    let number = globals::parse_i128(names, text).map_err(bad)?;
    let (bits, size) = (8 * out.len() as u32, out.len());
    if size > 8 || number >= 1 << bits || number < -(1 << (bits.max(1) - 1)) {
        return Err(bad("the number does not fit".into()));
    }
    out.copy_from_slice(&number.to_le_bytes()[..size]);
    Ok(())
}

fn map_types(btf: &Btf, map: &str) -> Types {
    let var = btf.types().find_map(|(_, ty)| match &ty.kind {
        Kind::DataSec { vars, .. } if btf.str(ty.name) == ".maps" => {
            vars.iter().find(|v| btf.name(v.var) == map).map(|v| v.var)
        }
        _ => None,
    });
    match var.map(|var| btf.kind(var)) {
        Some(Kind::Var { ty, .. }) => definition(btf, *ty),
        _ => Types::default(),
    }
}

/// `struct { __type(key, …); __type(value, …); __array(values, struct { … }); }`
fn definition(btf: &Btf, def: TypeId) -> Types {
    let mut types = Types::default();
    for field in btf.fields(def).unwrap_or_default() {
        match btf.str(field.name) {
            "key" => types.key = pointee(btf, field.ty),
            "value" => types.value = pointee(btf, field.ty),
            "values" => types.inner = globals::array(btf, field.ty).and_then(|(elem, _)| pointee(btf, elem)),
            _ => {}
        }
    }
    types
}

fn pointee(btf: &Btf, ty: TypeId) -> Option<TypeId> {
    match btf.kind(btf.resolve(ty).ok()?) {
        Kind::Ptr(to) => Some(*to),
        _ => None,
    }
}

/// What the first argument of a program points to, if that is a structure.
fn argument(btf: &Btf, prog: &str) -> Option<TypeId> {
    let proto = btf.find_all(prog).find_map(|id| match btf.kind(id) {
        Kind::Func { proto, .. } => Some(*proto),
        _ => None,
    })?;
    let Kind::FuncProto { params, .. } = btf.kind(proto) else { return None };
    let to = btf.resolve(pointee(btf, params.first()?.ty)?).ok()?;
    matches!(btf.kind(to), Kind::Struct { .. }).then_some(to)
}
