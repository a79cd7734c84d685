//! ARRAY and PERCPU_ARRAY: one block of memory, made at creation.
//!
//! ```text
//!  ARRAY          base + index * stride
//!  PERCPU_ARRAY   base + (index * nr_cpus + cpu) * stride        stride = value_size rounded up to 8
//! ```

use std::os::fd::OwnedFd;

use crate::Errno;
use crate::map::{BPF_F_MMAPABLE, BPF_F_RDONLY_PROG, MapSpec, is_percpu};
use crate::region::{PAGE, Region, Zone};

/// Where an array's values are.
pub(crate) struct Array {
    base: u64,
    stride: u64,
    max_entries: u32,
    cpus: u32,
    /// The file behind the values of a mmapable array.
    fd: Option<OwnedFd>,
}

impl Array {
    /// `value_size`: bytes of a value in memory (map-in-map: 8, whatever the spec says).
    pub(crate) fn new(
        region: &Region,
        spec: &MapSpec,
        value_size: u32,
        nr_cpus: u32,
    ) -> Result<Array, Errno> {
        let zone = if spec.flags & BPF_F_RDONLY_PROG != 0 { Zone::MapRo } else { Zone::MapRw };
        let cpus = if is_percpu(spec.map_type) { nr_cpus } else { 1 };
        let stride = u64::from(value_size).next_multiple_of(8);
        let count = u64::from(spec.max_entries) * u64::from(cpus);
        let len = stride.checked_mul(count).ok_or(Errno::ENOMEM)?;
        let (base, fd) = if spec.flags & BPF_F_MMAPABLE != 0 {
            let (base, fd) = region.alloc_file(zone, len, "bpf-map")?;
            (base, Some(fd))
        } else {
            (region.alloc_block(zone, len, 8)?, None)
        };
        region.object_add(base, value_size.into(), stride, count);
        Ok(Array { base, stride, max_entries: spec.max_entries, cpus, fd })
    }

    /// Address of a value (`cpu` is ignored where there is one for all).
    #[inline]
    pub(crate) fn value(&self, index: u32, cpu: u32) -> Option<u64> {
        let cpu = if self.cpus == 1 { 0 } else { cpu };
        if index >= self.max_entries || cpu >= self.cpus {
            return None;
        }
        Some(self.base + (u64::from(index) * u64::from(self.cpus) + u64::from(cpu)) * self.stride)
    }

    /// Which value an address lies in: index, start.
    pub(crate) fn index_of(&self, addr: u64) -> Option<(u32, u64)> {
        let slot = addr.checked_sub(self.base)? / self.stride;
        let index = slot / u64::from(self.cpus);
        (index < self.max_entries.into()).then_some((index as u32, self.base + slot * self.stride))
    }

    /// Bytes of all values together.
    pub(crate) fn len(&self) -> u64 {
        u64::from(self.max_entries) * u64::from(self.cpus) * self.stride
    }

    /// Bytes that were allocated for them.
    pub(crate) fn block_len(&self) -> u64 {
        if self.fd.is_some() { self.len().next_multiple_of(PAGE) } else { self.len() }
    }

    pub(crate) fn base(&self) -> u64 {
        self.base
    }

    pub(crate) fn max_entries(&self) -> u32 {
        self.max_entries
    }

    pub(crate) fn fd(&self) -> Option<&OwnedFd> {
        self.fd.as_ref()
    }
}
