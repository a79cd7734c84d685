//! Elements of maps and contexts of programs from text, typed by the object's BTF: what a scheduler's own program writes with
//! `bpf_map__update_elem` and passes to `bpf_prog_test_run_opts`.

use sextant_bpf::btf::{Btf, Kind, TypeId};
use sextant_vm::MapId;

use crate::errno::Errno;
use crate::globals::{self, Enumerators, Place, SetError};
use crate::kernel::ARENA;
use crate::load::write_place;
use crate::loaded::Loaded;

/// Paths into a value with what is there; an empty path is the whole value.
type Parts = [(String, String)];
/// The same, owned.
type OwnedParts = Vec<(String, String)>;

/// The types of a map's elements as its definition has them.
#[derive(Default)]
struct Types {
    key: Option<TypeId>,
    value: Option<TypeId>,
    /// What an array of maps holds.
    inner: Option<TypeId>,
}

/// A number in a program's context.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ContextPlace {
    at: usize,
    size: usize,
}

impl ContextPlace {
    /// What is there, zero-extended; 0 beyond the end of the context.
    pub fn read(&self, ctx: &[u8]) -> u64 {
        let mut word = [0; 8];
        let bytes = ctx.get(self.at..self.at + self.size).unwrap_or_default();
        word[..bytes.len()].copy_from_slice(bytes);
        u64::from_le_bytes(word)
    }
}

impl Loaded {
    /// Writes an element of a map, or (`at`) of the inner map at that index. Bytes that no part names are 0. Without a key it is pushed: to a
    /// queue or stack. A map per CPU gets one value for all, or one for each CPU.
    ///
    /// # Errors
    /// Unknown map, a key or value that is not of its type, or why the map does not take it.
    pub fn set_entry(
        &self,
        map: &str,
        at: Option<u32>,
        key: Option<&Parts>,
        values: &[crate::fill::OwnedParts],
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
        let one =
            |parts: &OwnedParts| self.bytes_of(&format!("{path} value"), types.value, spec.value_size, parts);
        let values = values.iter().map(one).collect::<Result<Vec<_>, _>>()?;
        let size = spec.value_size as usize;
        let user_size = self.vm.map_user_value_size(id, 0).unwrap_or(size);
        let value = match (user_size == size, values.as_slice()) {
            (true, [value]) => value.clone(),
            (true, _) => return Err(failed("it is no map per CPU: its elements have one value".into())),
            // Per CPU, each part rounded up to 8 bytes; one value is for all.
            (false, values) => {
                let each = size.next_multiple_of(8);
                let of = |cpu: usize| if values.len() == 1 { values.first() } else { values.get(cpu) };
                let byte = |i: usize| of(i / each).and_then(|v| v.get(i % each)).copied().unwrap_or(0);
                (0..user_size).map(byte).collect()
            }
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

    /// Where a field of a program's context lies, or (`words`) the word of that number.
    ///
    /// # Errors
    /// There is none, or it is no number of at most 8 bytes.
    pub fn context_place(&self, prog: &str, words: bool, field: &str) -> Result<ContextPlace, SetError> {
        let wrong =
            |why: &str| SetError::ReadOnly { path: format!("{prog} ctx.{field}"), why: why.to_string() };
        if words {
            let word: usize = field.parse().map_err(|_| wrong("a word is named by its number"))?;
            return Ok(ContextPlace { at: word * 8, size: 8 });
        }
        let btf = self.globals.btf();
        let ty = argument(btf, prog).ok_or_else(|| wrong("its argument points to no structure"))?;
        let steps = globals::parse_path(&format!("value.{field}"))?.1;
        let place = globals::walk(btf, &format!("{prog} ctx"), ty, &steps)?;
        let size = btf.size_of(place.ty).unwrap_or(0) as usize;
        let is_number = btf
            .resolve(place.ty)
            .is_ok_and(|ty| matches!(btf.kind(ty), Kind::Int { .. } | Kind::Enum { .. } | Kind::Ptr(_)));
        match is_number && place.bits == 0 && size <= 8 {
            true => Ok(ContextPlace { at: (place.bit_offset / 8) as usize, size }),
            false => Err(wrong("it is no number of at most 8 bytes")),
        }
    }

    /// `sizeof` of a structure, union, typedef or enum of the object's.
    pub fn size_of(&self, ty: &str) -> Option<u64> {
        let btf = self.globals.btf();
        let name = ["struct ", "union ", "enum "].iter().find_map(|tag| ty.strip_prefix(tag)).unwrap_or(ty);
        btf.find_all(name).find_map(|id| btf.size_of(id).ok())
    }

    /// Writes a variable, as user space does through the map it lies in.
    ///
    /// # Errors
    /// Unknown name (with suggestions), or a value that is not of the type.
    pub fn set_global(&self, path: &str, text: &str) -> Result<(), SetError> {
        let btf = self.globals.btf();
        let (name, steps) = globals::parse_path(path)?;
        let var = globals::find_var(btf, &name)?;
        if var.section.starts_with(".rodata") {
            return Err(SetError::ReadOnly {
                path: path.to_string(),
                why: "it is constant once the object is loaded: set it in [globals]".into(),
            });
        }
        let names = Enumerators { object: btf, kernel: self.kernel.btf(), nr_cpus: self.kernel.nr_cpus() };
        let mut image = self.globals.bytes(&name)?;
        let place = globals::walk(btf, path, var.ty, &steps)?;
        write_place(&names, path, place, 0, &mut image, text)?;
        self.globals.put(&name, &image)
    }

    /// Writes bytes to the arena, at an address as its programs or its user space have it.
    ///
    /// # Errors
    /// The object has no arena, or its pages there are not allocated.
    pub fn write_arena(&self, addr: u64, bytes: &[u8]) -> Result<(), SetError> {
        let wrong =
            |why: &str| SetError::ReadOnly { path: format!("arena address {addr:#x}"), why: why.to_string() };
        let is_arena = |map: &&MapId| self.vm.map_spec(**map).is_some_and(|spec| spec.map_type == ARENA);
        let map = self.maps.values().find(is_arena).ok_or_else(|| wrong("the object has no arena"))?;
        match self.vm.arena_write(*map, addr, bytes) {
            Ok(()) => Ok(()),
            Err(_) => Err(wrong("these pages of the arena are not allocated")),
        }
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
