//! Descriptors. Every object is a memfd, told apart by device and inode: libbpf duplicates descriptors over one another
//! and closes them without asking us, so a descriptor number means nothing.

use std::os::fd::{AsFd, BorrowedFd, IntoRawFd, OwnedFd, RawFd};

use rustix::fs::{MemfdFlags, fstat, memfd_create};
use rustix::io::Errno as Sys;

use crate::errno::Errno;

/// What a descriptor refers to: device and inode.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct FileId(u64, u64);

fn errno(e: Sys) -> Errno {
    Errno(e.raw_os_error())
}

fn id_of(fd: impl AsFd) -> Result<FileId, Errno> {
    let stat = fstat(fd).map_err(errno)?;
    Ok(FileId(stat.st_dev, stat.st_ino))
}

/// The file behind a descriptor of the caller's.
///
/// # Errors
/// EBADF.
pub fn identify(fd: RawFd) -> Result<FileId, Errno> {
    if fd < 0 {
        return Err(Errno::EBADF);
    }
    // SAFETY: only fstat(2) is called on it, which answers EBADF for a number that is not open.
    id_of(unsafe { BorrowedFd::borrow_raw(fd) })
}

/// A fresh file for an object without memory of its own. The descriptor is the caller's.
///
/// # Errors
/// EMFILE and its kin.
pub fn fresh(kind: &str) -> Result<(RawFd, FileId), Errno> {
    let file = memfd_create(kind, MemfdFlags::CLOEXEC).map_err(errno)?;
    let id = id_of(&file)?;
    Ok((file.into_raw_fd(), id))
}

/// Another descriptor of `file`, at least 3 as bpf(2)'s are with libbpf. It is the caller's.
///
/// # Errors
/// EMFILE and its kin.
pub fn duplicate(file: BorrowedFd<'_>) -> Result<(RawFd, FileId), Errno> {
    let copy: OwnedFd = rustix::io::fcntl_dupfd_cloexec(file, 3).map_err(errno)?;
    let id = id_of(&copy)?;
    Ok((copy.into_raw_fd(), id))
}

/// A file that holds `bytes`, at its start. The descriptor is the caller's; an error is an errno.
///
/// # Errors
/// EMFILE and its kin.
pub fn file_with(name: &str, bytes: &[u8]) -> Result<RawFd, i32> {
    let write = || -> Result<OwnedFd, Sys> {
        let file = memfd_create(name.rsplit('/').next().unwrap_or(name), MemfdFlags::CLOEXEC)?;
        let mut done = 0;
        while done < bytes.len() {
            done += rustix::io::pwrite(&file, &bytes[done..], done as u64)?;
        }
        Ok(file)
    };
    write().map(IntoRawFd::into_raw_fd).map_err(Sys::raw_os_error)
}
