//! QUEUE and STACK: values are copied in and out, nobody points into them.

use crate::Errno;
use crate::map::{BPF_ANY, BPF_EXIST, BPF_MAP_TYPE_STACK, MapSpec};

/// A ring of values.
pub(crate) struct Queue {
    ring: Vec<u8>,
    value_size: usize,
    capacity: usize,
    /// Index of the oldest value.
    head: usize,
    len: usize,
    stack: bool,
}

impl Queue {
    pub(crate) fn new(spec: &MapSpec) -> Result<Queue, Errno> {
        let (value_size, capacity) = (spec.value_size as usize, spec.max_entries as usize);
        let bytes = value_size.checked_mul(capacity).filter(|&n| n < 1 << 32).ok_or(Errno::ENOMEM)?;
        let stack = spec.map_type == BPF_MAP_TYPE_STACK;
        // Zeroed pages from the host's allocator cost nothing until they are used.
        Ok(Queue { ring: vec![0; bytes], value_size, capacity, head: 0, len: 0, stack })
    }

    fn slot(&mut self, at: usize) -> &mut [u8] {
        let start = (self.head + at) % self.capacity * self.value_size;
        &mut self.ring[start..start + self.value_size]
    }

    /// Adds a value. E2BIG when full, unless BPF_EXIST says that the oldest goes.
    pub(crate) fn push(&mut self, value: &[u8], flags: u64) -> Result<(), Errno> {
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
        let at = self.len;
        self.slot(at).copy_from_slice(value);
        self.len += 1;
        Ok(())
    }

    /// The value that comes out next; it stays.
    pub(crate) fn peek(&mut self) -> Result<&[u8], Errno> {
        if self.len == 0 {
            return Err(Errno::ENOENT);
        }
        let at = if self.stack { self.len - 1 } else { 0 };
        Ok(self.slot(at))
    }

    /// Takes out what `peek` shows.
    pub(crate) fn pop(&mut self) -> Result<Vec<u8>, Errno> {
        let value = self.peek()?.to_vec();
        self.len -= 1;
        if !self.stack {
            self.head = (self.head + 1) % self.capacity;
        }
        Ok(value)
    }
}
