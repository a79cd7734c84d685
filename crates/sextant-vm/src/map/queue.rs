//! QUEUE and STACK: values are copied in and out, nobody points into them.

use sextant_abi::Mem;

use crate::Errno;
use crate::map::{BPF_ANY, BPF_EXIST, BPF_MAP_TYPE_STACK, MapSpec};
use crate::region::{Region, Zone};

/// A ring of values. Their memory is the region's because that costs only what is touched.
pub(crate) struct Queue {
    ring: u64,
    value_size: u64,
    capacity: u64,
    /// Index of the oldest value.
    head: u64,
    len: u64,
    stack: bool,
}

impl Queue {
    pub(crate) fn new(region: &Region, spec: &MapSpec) -> Result<Queue, Errno> {
        let (value_size, capacity) = (u64::from(spec.value_size), u64::from(spec.max_entries));
        let len = value_size.checked_mul(capacity).ok_or(Errno::ENOMEM)?;
        let ring = region.alloc_block(Zone::MapRo, len, 8)?;
        let stack = spec.map_type == BPF_MAP_TYPE_STACK;
        Ok(Queue { ring, value_size, capacity, head: 0, len: 0, stack })
    }

    /// Bytes of the ring.
    pub(crate) fn block_len(&self) -> u64 {
        self.value_size * self.capacity
    }

    fn slot(&self, at: u64) -> u64 {
        self.ring + (self.head + at) % self.capacity * self.value_size
    }

    /// Adds a value. E2BIG when full, unless BPF_EXIST says that the oldest goes.
    pub(crate) fn push(&mut self, region: &Region, value: &[u8], flags: u64) -> Result<(), Errno> {
        if flags != BPF_ANY && flags != BPF_EXIST {
            return Err(Errno::EINVAL);
        }
        if self.len == self.capacity {
            if flags != BPF_EXIST {
                return Err(Errno::E2BIG);
            }
            self.head = (self.head + 1) % self.capacity;
            self.len -= 1;
        }
        region.write_bytes(self.slot(self.len), value);
        self.len += 1;
        Ok(())
    }

    /// The value that comes out next; it stays.
    pub(crate) fn peek(&self, region: &Region) -> Result<Vec<u8>, Errno> {
        if self.len == 0 {
            return Err(Errno::ENOENT);
        }
        let at = if self.stack { self.len - 1 } else { 0 };
        Ok(region.read_vec(self.slot(at), self.value_size as usize))
    }

    /// All values, in the order in which they come out.
    pub(crate) fn values(&self, region: &Region) -> Vec<Vec<u8>> {
        let at = |i| if self.stack { self.len - 1 - i } else { i };
        (0..self.len).map(|i| region.read_vec(self.slot(at(i)), self.value_size as usize)).collect()
    }

    /// Takes out what `peek` shows.
    pub(crate) fn pop(&mut self, region: &Region) -> Result<Vec<u8>, Errno> {
        let value = self.peek(region)?;
        self.len -= 1;
        if !self.stack {
            self.head = (self.head + 1) % self.capacity;
        }
        Ok(value)
    }
}
