//! Reading a loaded scheduler's variables and maps through its types, after a run.

use std::rc::Rc;

use sextant_bpf::btf::TypeId;
use sextant_vm::{Element, ElementKey, MapId, MapSpec};

use crate::globals::{self, SetError, Value};
use crate::kernel::{BtfObject, map_type_name};
use crate::loaded::Loaded;

/// A map's types, as it was created with them.
pub(crate) struct MapTypes {
    pub(crate) btf: Option<Rc<BtfObject>>,
    pub(crate) key: TypeId,
    pub(crate) value: TypeId,
}

/// A map and all that it holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShownMap {
    /// Its type: `HASH`, `PERCPU_ARRAY`, …
    pub map_type: String,
    /// There is a value for each CPU.
    pub per_cpu: bool,
    /// Its elements, in a fixed order.
    pub elements: Vec<ShownElement>,
}

/// An element of a map.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShownElement {
    /// The key; the address of its owner for local storage; the place in a queue.
    pub key: Value,
    /// The value; of a map per CPU one for each CPU.
    pub values: Vec<Value>,
}

impl Loaded {
    /// A variable's value now: the whole one, an element, a field, in the syntax of `--set`.
    ///
    /// # Errors
    /// Unknown name, with suggestions; a section that has no memory.
    pub fn show_var(&self, path: &str) -> Result<Value, SetError> {
        self.globals.value(path)
    }

    /// A map's content now.
    ///
    /// # Errors
    /// Unknown name, with suggestions; a map that has no elements to show.
    pub fn show_map(&self, name: &str) -> Result<ShownMap, SetError> {
        let Some(&id) = self.maps.get(name) else {
            let near = globals::nearest(name, self.maps.keys().map(String::as_str));
            return Err(SetError::UnknownMap { name: name.to_string(), near });
        };
        let cannot = |why: String| SetError::ReadOnly { path: format!("map:{name}"), why };
        let spec = self.vm.map_spec(id).ok_or_else(|| cannot("it is gone".into()))?;
        let types = self.map_types.get(name);
        self.shown_map(id, &spec, types, 0).map_err(|()| {
            cannot(format!(
                "a map of type {} has no elements that could be shown",
                map_type_name(spec.map_type)
            ))
        })
    }

    fn shown_map(
        &self,
        id: MapId,
        spec: &MapSpec,
        types: Option<&MapTypes>,
        depth: u32,
    ) -> Result<ShownMap, ()> {
        let elements = self.vm.map_elements(id).map_err(|_| ())?;
        let per_cpu = elements.iter().any(|e| e.values.len() > 1);
        let elements = elements.into_iter().map(|e| self.shown_element(e, spec, types, depth)).collect();
        Ok(ShownMap { map_type: map_type_name(spec.map_type), per_cpu, elements })
    }

    fn shown_element(
        &self,
        e: Element,
        spec: &MapSpec,
        types: Option<&MapTypes>,
        depth: u32,
    ) -> ShownElement {
        let typed = |ty: fn(&MapTypes) -> TypeId, bytes: &[u8]| {
            let known = types.and_then(|t| Some((t.btf.as_ref()?, ty(t)))).filter(|(_, ty)| ty.0 != 0);
            known.map_or_else(|| bare(bytes), |(btf, ty)| globals::value(&btf.btf, ty, bytes))
        };
        let key = match e.key {
            ElementKey::Bytes(bytes) => typed(|t| t.key, &bytes),
            ElementKey::Owner(addr) => Value::Pointer(addr),
            ElementKey::Place(at) => Value::Int(at.into()),
        };
        let values = match spec.inner {
            None => e.values.iter().map(|bytes| typed(|t| t.value, bytes)).collect(),
            Some(_) => e.values.iter().map(|bytes| self.inner(bytes, depth)).collect(),
        };
        ShownElement { key, values }
    }

    /// A map inside a map: its elements.
    fn inner(&self, id: &[u8], depth: u32) -> Value {
        let Value::Int(number) = bare(id) else { return Value::Bytes(id.to_vec()) };
        let id = MapId(number as u32);
        let inner = self.vm.map_spec(id).filter(|_| depth == 0);
        let shown = inner.and_then(|spec| self.shown_map(id, &spec, None, depth + 1).ok());
        shown.map_or(Value::Int(number), |map| {
            let pair = |e: ShownElement| {
                let value = if e.values.len() == 1 { e.values.into_iter().next() } else { None };
                let fields = [("key".to_string(), Some(e.key)), ("value".to_string(), value)];
                Value::Struct(fields.into_iter().filter_map(|(name, value)| Some((name, value?))).collect())
            };
            Value::Array(map.elements.into_iter().map(pair).collect())
        })
    }
}

/// Bytes without a type: a number if they are as many as a number has.
fn bare(bytes: &[u8]) -> Value {
    match bytes.len() {
        1 | 2 | 4 | 8 => {
            let mut word = [0; 8];
            word[..bytes.len()].copy_from_slice(bytes);
            Value::Int(u64::from_le_bytes(word).into())
        }
        _ => Value::Bytes(bytes.to_vec()),
    }
}
