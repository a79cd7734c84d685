//! RINGBUF and USER_RINGBUF: records between programs and user space.
//!
//! ```text
//!  file:  consumer position | producer position | data | data again       a page, a page, max_entries, max_entries
//!  record: length u32, BUSY 1 << 31, DISCARD 1 << 30 | page offset u32 | bytes, rounded up to 8
//! ```
//!
//! Must hold: a record never wraps (the data is there twice, and both copies are written); what user space wrote is
//! checked each time it is read; who may submit which record is kept here, not in the file. Nobody reads a ring inside the
//! simulator unless the embedder does ([`Vm::ringbuf_consume`]): it fills up, and then there is no room, as with a reader
//! that hangs. Mirrors kernel/bpf/ringbuf.c, 7.3; overwrite mode is left out.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::os::fd::OwnedFd;

use sextant_abi::Mem;

use super::*;
use crate::region::{PAGE, Region, Zone};
use crate::{Errno, Vm};

const BUSY: u32 = 1 << 31;
const DISCARD: u32 = 1 << 30;
/// BPF_RINGBUF_HDR_SZ
pub(crate) const HEADER: u64 = 8;
/// RINGBUF_MAX_RECORD_SZ: a quarter of what a length can say.
const MAX_RECORD: u64 = (u32::MAX / 4) as u64;
/// DYNPTR_MAX_SIZE
pub(crate) const MAX_DYNPTR: u64 = (1 << 24) - 1;

/// A ring.
pub(crate) struct Ring {
    base: u64,
    /// Bytes of data.
    size: u64,
    fd: OwnedFd,
    producer: Cell<u64>,
    /// Kernel-produced records that are not all committed: position, length with header.
    pending: RefCell<VecDeque<(u64, u64)>>,
    /// Reserved samples: address to position and length.
    reserved: RefCell<BTreeMap<u64, (u64, u32)>>,
    /// A program drains it.
    pub(crate) busy: Cell<bool>,
    /// Where a drained sample's dynptr is put for the callback.
    pub(crate) dynptr: u64,
}

impl Ring {
    pub(crate) fn new(region: &Region, size: u32) -> Result<Ring, Errno> {
        let size = u64::from(size);
        let (base, fd) = region.alloc_file(Zone::MapRw, 2 * PAGE + 2 * size, "bpf-ringbuf")?;
        let dynptr = region.alloc_block(Zone::Kernel, 16, 8)?;
        region.object_add(dynptr, 16, 16, 1);
        Ok(Ring {
            base,
            size,
            fd,
            producer: Cell::new(0),
            pending: RefCell::default(),
            reserved: RefCell::default(),
            busy: Cell::new(false),
            dynptr,
        })
    }

    pub(crate) fn fd(&self) -> &OwnedFd {
        &self.fd
    }

    pub(crate) fn size(&self) -> u64 {
        self.size
    }

    pub(crate) fn base(&self) -> u64 {
        self.base
    }

    /// Bytes of the file.
    pub(crate) fn block_len(&self) -> u64 {
        2 * PAGE + 2 * self.size
    }

    /// Where the consumer is, as the file says.
    pub(crate) fn consumer(&self, region: &Region) -> u64 {
        region.load(self.base, 8)
    }

    /// Where the producer is: the kernel's own count, or what user space says.
    pub(crate) fn producer(&self) -> u64 {
        self.producer.get()
    }

    fn user_producer(&self, region: &Region) -> u64 {
        region.load(self.base + PAGE, 8)
    }

    fn data(&self, pos: u64) -> u64 {
        self.base + 2 * PAGE + (pos & (self.size - 1))
    }

    /// Makes the second copy of a record like the first one.
    fn mirror(&self, region: &Region, pos: u64, len: u64) {
        let start = self.data(pos);
        let end = self.base + 2 * PAGE + self.size;
        let first = len.min(end - start);
        region.copy_within(start + self.size, start, first);
        region.copy_within(end - self.size, end, len - first);
    }

    /// Room for a record: the sample's address. `None` when there is none.
    pub(crate) fn reserve(&self, region: &Region, size: u64) -> Option<u64> {
        if size > MAX_RECORD {
            return None;
        }
        let len = (size + HEADER).next_multiple_of(8);
        if len > self.size {
            return None;
        }
        let pos = self.producer.get();
        let oldest = self.pending.borrow().front().map_or(pos, |&(pos, _)| pos);
        let used = |from: u64| (pos + len).wrapping_sub(from) > self.size - 1;
        if used(self.consumer(region)) || used(oldest) {
            return None;
        }
        let header = self.data(pos);
        region.store(header, 4, u64::from(size as u32 | BUSY));
        region.store(header + 4, 4, (header - self.base) / PAGE);
        self.mirror(region, pos, HEADER);
        self.producer.set(pos + len);
        region.store(self.base + PAGE, 8, pos + len);
        let sample = header + HEADER;
        self.pending.borrow_mut().push_back((pos, len));
        self.reserved.borrow_mut().insert(sample, (pos, size as u32));
        region.object_add(sample, size, size, 1);
        Some(sample)
    }

    /// Ends a reservation; false if there is none at this address.
    pub(crate) fn commit(&self, region: &Region, sample: u64, discard: bool) -> bool {
        let Some((pos, size)) = self.reserved.borrow_mut().remove(&sample) else { return false };
        let flag = if discard { DISCARD } else { 0 };
        region.store(self.data(pos), 4, u64::from(size | flag));
        self.mirror(region, pos, (u64::from(size) + HEADER).next_multiple_of(8));
        region.object_remove(sample, 1);
        // Positions before the first one still busy are pending no longer.
        let reserved = self.reserved.borrow();
        let busy = |pos: u64| reserved.values().any(|&(at, _)| at == pos);
        let mut pending = self.pending.borrow_mut();
        while pending.front().is_some_and(|&(pos, _)| !busy(pos)) {
            pending.pop_front();
        }
        true
    }

    /// The next record of user space's: its sample and length, `None` when there is none. Discarded ones are skipped, at most
    /// as many as one drain looks at. EINVAL, E2BIG for what makes no sense.
    pub(crate) fn user_peek(&self, region: &Region, samples: &mut u32) -> Result<Option<(u64, u32)>, Errno> {
        loop {
            let producer = self.user_producer(region);
            if !producer.is_multiple_of(8) {
                return Err(Errno::EINVAL);
            }
            let consumer = self.consumer(region);
            if consumer >= producer || *samples == 0 || !consumer.is_multiple_of(8) {
                return Ok(None);
            }
            let header = region.load(self.data(consumer), 4) as u32;
            let size = header & !(BUSY | DISCARD);
            let len = (u64::from(size) + HEADER).next_multiple_of(8);
            if len > producer - consumer {
                return Err(Errno::EINVAL);
            }
            if len > self.size || u64::from(size) > MAX_DYNPTR {
                return Err(Errno::E2BIG);
            }
            if header & DISCARD != 0 {
                *samples -= 1;
                self.release(region, size);
                continue;
            }
            if header & BUSY != 0 {
                return Ok(None);
            }
            return Ok(Some((self.data(consumer) + HEADER, size)));
        }
    }

    /// The consumer is done with a record of this size.
    pub(crate) fn release(&self, region: &Region, size: u32) {
        let len = (u64::from(size) + HEADER).next_multiple_of(8);
        let next = self.consumer(region).wrapping_add(len);
        region.store(self.base, 8, next);
    }
}

impl Vm {
    fn ring(&self, id: MapId, map_type: u32) -> Result<std::rc::Rc<Map>, Errno> {
        let map = self.map(id).ok_or(Errno::EBADF)?;
        if map.spec.map_type == map_type { Ok(map) } else { Err(Errno::EINVAL) }
    }

    /// What user space does with a RINGBUF: hands committed records to `each` in order; how many. Stops at one that is busy.
    pub fn ringbuf_consume(&self, id: MapId, each: &mut dyn FnMut(&[u8])) -> Result<usize, Errno> {
        let map = self.ring(id, BPF_MAP_TYPE_RINGBUF)?;
        let Kind::Ring(ring) = &map.kind else { return Err(Errno::EINVAL) };
        let (mut count, mut pos) = (0, ring.consumer(&self.region));
        while pos < ring.producer() && !ring.pending.borrow().iter().any(|&(at, _)| at == pos) {
            let header = self.region.load(ring.data(pos), 4) as u32;
            let size = header & !(BUSY | DISCARD);
            if !pos.is_multiple_of(8) || u64::from(size) + HEADER > ring.size {
                return Err(Errno::EINVAL);
            }
            if header & DISCARD == 0 {
                each(&self.region.read_vec(ring.data(pos) + HEADER, size as usize));
                count += 1;
            }
            ring.release(&self.region, size);
            pos = ring.consumer(&self.region);
        }
        Ok(count)
    }

    /// What user space does with a USER_RINGBUF: adds a record. ENOSPC.
    pub fn user_ringbuf_push(&self, id: MapId, sample: &[u8]) -> Result<(), Errno> {
        let map = self.ring(id, BPF_MAP_TYPE_USER_RINGBUF)?;
        let Kind::Ring(ring) = &map.kind else { return Err(Errno::EINVAL) };
        let (region, len) = (&*self.region, (sample.len() as u64 + HEADER).next_multiple_of(8));
        let pos = ring.user_producer(region);
        let used = pos.wrapping_add(len).wrapping_sub(ring.consumer(region));
        if !pos.is_multiple_of(8) || len > ring.size || used > ring.size {
            return Err(Errno::ENOSPC);
        }
        region.store(ring.data(pos), 8, sample.len() as u64);
        region.write_bytes(ring.data(pos) + HEADER, sample);
        ring.mirror(region, pos, len);
        region.store(ring.base + PAGE, 8, pos.wrapping_add(len));
        Ok(())
    }
}
