//! Dynptrs: memory with its bounds, in two words on a program's stack.
//!
//! ```text
//!  data u64 | size (24 bits), type << 28, read-only 1 << 31 | offset u32
//! ```
//!
//! Must hold: a program that no verifier saw may have written these words itself, so every byte is reached through the
//! wall. Only local memory and ring buffer records exist here. Mirrors kernel/bpf/helpers.c, 7.3.

use sextant_abi::Mem;

use crate::error::TrapKind;
use crate::exec::Exec;
use crate::map::MAX_DYNPTR;
use crate::{Access, Errno};

type Ret = Result<u64, TrapKind>;

/// BPF_DYNPTR_TYPE_LOCAL
pub(crate) const LOCAL: u32 = 1;
/// BPF_DYNPTR_TYPE_RINGBUF
pub(crate) const RINGBUF: u32 = 2;
const READ_ONLY: u32 = 1 << 31;
const SIZE: u32 = MAX_DYNPTR as u32;
/// Bytes of a dynptr.
const LEN: u64 = 16;

/// A dynptr's words.
#[derive(Clone, Copy)]
pub(crate) struct Dynptr {
    pub(crate) data: u64,
    bits: u32,
    offset: u32,
}

impl Dynptr {
    /// E2BIG for more than 24 bits.
    pub(crate) fn check_size(size: u64) -> Result<(), Errno> {
        if size > MAX_DYNPTR { Err(Errno::E2BIG) } else { Ok(()) }
    }

    /// NULL data makes a null dynptr.
    pub(crate) fn new(data: u64, kind: u32, size: u64) -> Dynptr {
        let bits = if data == 0 { 0 } else { size as u32 & SIZE | kind << 28 };
        Dynptr { data, bits, offset: 0 }
    }

    pub(crate) fn get(exec: &Exec<'_>, at: u64) -> Result<Dynptr, TrapKind> {
        let (data, word) = (exec.region.bpf_load(at, 8)?, exec.region.bpf_load(at.wrapping_add(8), 8)?);
        Ok(Dynptr { data, bits: word as u32, offset: (word >> 32) as u32 })
    }

    /// To where a program may write.
    pub(crate) fn put(self, exec: &Exec<'_>, at: u64) -> Result<(), TrapKind> {
        exec.region.check(at, LEN, Access::Write)?;
        self.store(exec, at);
        Ok(())
    }

    /// To the kernel's own memory.
    pub(crate) fn store(self, exec: &Exec<'_>, at: u64) {
        exec.region.store(at, 8, self.data);
        exec.region.store(at + 8, 8, u64::from(self.offset) << 32 | u64::from(self.bits));
    }

    pub(crate) fn is_null(self) -> bool {
        self.data == 0
    }

    pub(crate) fn size(self) -> u64 {
        (self.bits & SIZE).into()
    }

    pub(crate) fn is_read_only(self) -> bool {
        self.bits & READ_ONLY != 0
    }

    /// Address of `len` bytes at `off`: EINVAL for a null dynptr, E2BIG outside.
    pub(crate) fn at(self, off: u64, len: u64) -> Result<u64, Errno> {
        if self.is_null() {
            return Err(Errno::EINVAL);
        }
        match self.size().checked_sub(len) {
            Some(room) if off <= room => Ok(self.data.wrapping_add(u64::from(self.offset)).wrapping_add(off)),
            _ => Err(Errno::E2BIG),
        }
    }

    /// As `at`, for stores.
    pub(crate) fn at_mut(self, off: u64, len: u64) -> Result<u64, Errno> {
        if self.is_read_only() { Err(Errno::EINVAL) } else { self.at(off, len) }
    }

    /// Narrows to `start..end` of itself.
    pub(crate) fn narrowed(self, start: u64, end: u64) -> Dynptr {
        Dynptr {
            offset: self.offset.wrapping_add(start as u32),
            bits: self.bits & !SIZE | (end - start) as u32 & SIZE,
            ..self
        }
    }
}

/// Copies between places a program may reach; they may overlap.
pub(crate) fn copy(exec: &Exec<'_>, to: u64, from: u64, len: u64) -> Result<(), TrapKind> {
    exec.region.check(from, len, Access::Read)?;
    let bytes = exec.bytes(from, len as usize)?;
    exec.region.bpf_write(to, &bytes)?;
    Ok(())
}

pub(super) fn from_mem(exec: &mut Exec<'_>, [data, size, flags, ptr, _]: [u64; 5]) -> Ret {
    let result = match Dynptr::check_size(size) {
        Ok(()) if flags != 0 => Err(Errno::EINVAL),
        result => result,
    };
    let data = if result.is_ok() { data } else { 0 };
    if data != 0 {
        exec.region.check(data, size, Access::Write)?;
    }
    Dynptr::new(data, LOCAL, size).put(exec, ptr)?;
    super::map::status(result)
}

pub(super) fn read(exec: &mut Exec<'_>, [to, len, ptr, off, flags]: [u64; 5]) -> Ret {
    let dynptr = Dynptr::get(exec, ptr)?;
    if flags != 0 {
        return Ok(Errno::EINVAL.ret());
    }
    match dynptr.at(off, len) {
        Ok(from) => copy(exec, to, from, len).map(|()| 0),
        Err(errno) => Ok(errno.ret()),
    }
}

pub(super) fn write(exec: &mut Exec<'_>, [ptr, off, from, len, flags]: [u64; 5]) -> Ret {
    let dynptr = Dynptr::get(exec, ptr)?;
    match dynptr.at_mut(off, len) {
        Ok(_) if flags != 0 => Ok(Errno::EINVAL.ret()),
        Ok(to) => copy(exec, to, from, len).map(|()| 0),
        Err(errno) => Ok(errno.ret()),
    }
}

pub(super) fn data(exec: &mut Exec<'_>, [ptr, off, len, ..]: [u64; 5]) -> Ret {
    Ok(Dynptr::get(exec, ptr)?.at_mut(off, len).unwrap_or(0))
}
