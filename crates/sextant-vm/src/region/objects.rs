//! The live objects of `--sanitize`: an access must stay inside one of them.

use std::collections::BTreeMap;

use crate::error::Why;

/// One object, or an array of equal ones.
#[derive(Clone, Copy)]
struct Object {
    /// Bytes from the first to the end of the last element's stride.
    len: u64,
    /// Distance of two elements; `len` for a single object.
    stride: u64,
    /// Usable bytes of an element.
    elem: u64,
}

/// Live objects by their first address.
#[derive(Default)]
pub(crate) struct Objects {
    by_start: BTreeMap<u64, Object>,
}

impl Objects {
    /// Adds `count` elements of `elem` bytes, `stride` apart. A later object at the same address replaces it.
    pub(crate) fn add(&mut self, start: u64, elem: u64, stride: u64, count: u64) {
        if elem > 0 && count > 0 {
            self.by_start.insert(start, Object { len: stride * count, stride, elem });
        }
    }

    /// Removes the objects that start in `start..start + len`.
    pub(crate) fn remove(&mut self, start: u64, len: u64) {
        let gone: Vec<u64> = self.by_start.range(start..start + len).map(|(&at, _)| at).collect();
        for at in gone {
            self.by_start.remove(&at);
        }
    }

    /// Whether `size` bytes at `addr` lie in one live object.
    pub(crate) fn check(&self, addr: u64, size: u64) -> Result<(), Why> {
        let Some((start, object)) = self.by_start.range(..=addr).next_back() else {
            return Err(Why::NoObject);
        };
        let off = addr - start;
        if off >= object.len || off % object.stride >= object.elem {
            return Err(Why::NoObject);
        }
        if off % object.stride + size > object.elem {
            return Err(Why::PastObject);
        }
        Ok(())
    }
}
