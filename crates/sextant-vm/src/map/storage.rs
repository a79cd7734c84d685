//! TASK_STORAGE and CGRP_STORAGE: a value per kernel object, gone with the object.

use std::collections::HashMap;
use std::hash::BuildHasherDefault;

use crate::Errno;
use crate::map::hash::FixedHasher;
use crate::region::{Region, Zone};

/// Values by the address of their owner.
pub(crate) struct Storage {
    values: HashMap<u64, u64, BuildHasherDefault<FixedHasher>>,
    value_size: u64,
}

impl Storage {
    pub(crate) fn new(value_size: u32) -> Storage {
        Storage { values: HashMap::default(), value_size: value_size.into() }
    }

    /// Address of the owner's value.
    pub(crate) fn get(&self, owner: u64) -> Option<u64> {
        self.values.get(&owner).copied()
    }

    /// Makes a zeroed value.
    pub(crate) fn create(&mut self, region: &Region, owner: u64) -> Result<u64, Errno> {
        let value = region.alloc_slot(Zone::Heap, self.value_size)?;
        self.values.insert(owner, value);
        Ok(value)
    }

    /// Takes the owner's value out; it is the caller's to free.
    pub(crate) fn remove(&mut self, owner: u64) -> Option<u64> {
        self.values.remove(&owner)
    }

    /// Poisons a value taken out, at the end of the RCU section.
    pub(crate) fn free_value(&self, region: &Region, value: u64) {
        region.free_slot(Zone::Heap, value, self.value_size);
    }

    /// Owners, by address.
    pub(crate) fn owners(&self) -> Vec<u64> {
        let mut owners: Vec<u64> = self.values.keys().copied().collect();
        owners.sort_unstable();
        owners
    }
}
