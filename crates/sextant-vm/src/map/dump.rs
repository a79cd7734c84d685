//! All that a map holds, for reports after a run: what bpf(2) would give element by element, local storage and queues included.

use sextant_abi::Mem;

use super::*;
use crate::{Errno, Vm};

/// An element of a map.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Element {
    /// Which.
    pub key: ElementKey,
    /// Its value; of a map per CPU one for each CPU.
    pub values: Vec<Vec<u8>>,
}

/// What an element is found by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ElementKey {
    /// The key's bytes.
    Bytes(Vec<u8>),
    /// The address of the kernel object that local storage belongs to.
    Owner(u64),
    /// The place in a queue or stack, 0 comes out next.
    Place(u32),
}

impl Vm {
    /// Every element of a map, in a fixed order. A map of maps has the inner maps' ids (4 bytes) as values.
    ///
    /// # Errors
    /// EBADF for no such map, EOPNOTSUPP for one without elements (rings, arenas, perf events).
    pub fn map_elements(&self, id: MapId) -> Result<Vec<Element>, Errno> {
        let map = self.map(id).ok_or(Errno::EBADF)?;
        match &map.kind {
            Kind::Array(a) => {
                let keys = (0..a.max_entries()).map(|i| i.to_le_bytes().to_vec());
                Ok(keys.filter_map(|key| self.keyed(&map, key)).collect())
            }
            Kind::Hash(h) => {
                let mut keys: Vec<Vec<u8>> = Vec::new();
                while let Some(elem) = h.borrow().next(keys.last().map(Vec::as_slice)) {
                    keys.push(self.region.read_vec(elem, map.spec.key_size as usize));
                }
                Ok(keys.into_iter().filter_map(|key| self.keyed(&map, key)).collect())
            }
            Kind::Queue(queue) => {
                let values = queue.borrow().values(&self.region).into_iter().zip(0..);
                Ok(values
                    .map(|(value, at)| Element { key: ElementKey::Place(at), values: vec![value] })
                    .collect())
            }
            Kind::Storage(storage) => {
                let owners = storage.borrow().owners();
                let value = |owner| {
                    let addr = storage.borrow().get(owner)?;
                    Some(Element {
                        key: ElementKey::Owner(owner),
                        values: vec![self.value_bytes(&map, addr)],
                    })
                };
                Ok(owners.into_iter().filter_map(value).collect())
            }
            Kind::Blob(_) | Kind::Arena(_) | Kind::Ring(_) | Kind::Empty => Err(Errno::EOPNOTSUPP),
        }
    }

    fn keyed(&self, map: &Map, key: Vec<u8>) -> Option<Element> {
        let cpus = if map.is_percpu() { self.cfg.nr_cpus } else { 1 };
        let addrs: Option<Vec<u64>> = (0..cpus).map(|cpu| self.elem_peek(map, &key, cpu)).collect();
        let values = match map.is_of_maps() {
            true => {
                let inner = self.map_by_addr(self.region.load(*addrs?.first()?, 8))?;
                vec![inner.id.0.to_le_bytes().to_vec()]
            }
            false => addrs?.into_iter().map(|addr| self.value_bytes(map, addr)).collect(),
        };
        Some(Element { key: ElementKey::Bytes(key), values })
    }

    /// As bpf(2) copies it: special fields are 0.
    fn value_bytes(&self, map: &Map, addr: u64) -> Vec<u8> {
        let mut out = vec![0; map.spec.value_size as usize];
        self.load_value(map, addr, &mut out);
        out
    }
}
