//! `bpf_dynptr_*` and `bpf_stream_vprintk`.

use crate::error::TrapKind;
use crate::exec::Exec;
use crate::helper::dynptr::{Dynptr, copy};
use crate::{Access, Errno};

type Ret = Result<u64, TrapKind>;

pub(super) fn adjust(exec: &mut Exec<'_>, [ptr, start, end, ..]: [u64; 5]) -> Ret {
    let dynptr = Dynptr::get(exec, ptr)?;
    if dynptr.is_null() || start > end {
        return Ok(Errno::EINVAL.ret());
    }
    if end > dynptr.size() {
        return Ok(Errno::ERANGE.ret());
    }
    dynptr.narrowed(start, end).put(exec, ptr)?;
    Ok(0)
}

pub(super) fn is_null(exec: &mut Exec<'_>, [ptr, ..]: [u64; 5]) -> Ret {
    Ok(Dynptr::get(exec, ptr)?.is_null().into())
}

pub(super) fn is_rdonly(exec: &mut Exec<'_>, [ptr, ..]: [u64; 5]) -> Ret {
    let dynptr = Dynptr::get(exec, ptr)?;
    Ok((!dynptr.is_null() && dynptr.is_read_only()).into())
}

pub(super) fn size(exec: &mut Exec<'_>, [ptr, ..]: [u64; 5]) -> Ret {
    let dynptr = Dynptr::get(exec, ptr)?;
    Ok(if dynptr.is_null() { Errno::EINVAL.ret() } else { dynptr.size() })
}

/// The copy is a null dynptr when the original is.
pub(super) fn clone(exec: &mut Exec<'_>, [ptr, to, ..]: [u64; 5]) -> Ret {
    let dynptr = Dynptr::get(exec, ptr)?;
    if dynptr.is_null() {
        Dynptr::new(0, 0, 0).put(exec, to)?;
        return Ok(Errno::EINVAL.ret());
    }
    dynptr.put(exec, to)?;
    Ok(0)
}

/// Local memory and records lie in one piece, so the buffer is not needed.
pub(super) fn slice(exec: &mut Exec<'_>, [ptr, off, _, len, _]: [u64; 5]) -> Ret {
    Ok(Dynptr::get(exec, ptr)?.at(off, len).unwrap_or(0))
}

pub(super) fn slice_rdwr(exec: &mut Exec<'_>, [ptr, off, _, len, _]: [u64; 5]) -> Ret {
    Ok(Dynptr::get(exec, ptr)?.at_mut(off, len).unwrap_or(0))
}

/// Both must reach; -E2BIG tells which does not as little as the kernel does.
pub(super) fn copy_between(exec: &mut Exec<'_>, [to, to_off, from, from_off, len]: [u64; 5]) -> Ret {
    let (to, from) = (Dynptr::get(exec, to)?, Dynptr::get(exec, from)?);
    match from.at(from_off, len).and_then(|from| Ok((to.at_mut(to_off, len)?, from))) {
        Ok((to, from)) => copy(exec, to, from, len).map(|()| 0),
        Err(errno) => Ok(errno.ret()),
    }
}

pub(super) fn memset(exec: &mut Exec<'_>, [ptr, off, len, val, _]: [u64; 5]) -> Ret {
    match Dynptr::get(exec, ptr)?.at_mut(off, len) {
        Ok(at) => {
            exec.region.check(at, len, Access::Write)?;
            if len > 0 {
                exec.region.check_object(at, len, true)?;
            }
            exec.region.fill(at, len, val as u8);
            Ok(0)
        }
        Err(errno) => Ok(errno.ret()),
    }
}

/// -EFAULT, and zeroes, when the source cannot be read.
pub(super) fn probe_read(exec: &mut Exec<'_>, [ptr, off, len, from, _]: [u64; 5]) -> Ret {
    match Dynptr::get(exec, ptr)?.at_mut(off, len) {
        Ok(to) if exec.region.check(from, len, Access::Read).is_ok() => copy(exec, to, from, len).map(|()| 0),
        Ok(to) => {
            exec.region.check(to, len, Access::Write)?;
            exec.region.fill(to, len, 0);
            Ok(Errno::EFAULT.ret())
        }
        Err(errno) => Ok(errno.ret()),
    }
}

/// The string's length with its NUL.
pub(super) fn probe_read_str(exec: &mut Exec<'_>, [ptr, off, len, from, _]: [u64; 5]) -> Ret {
    let to = match Dynptr::get(exec, ptr)?.at_mut(off, len) {
        Ok(to) => to,
        Err(errno) => return Ok(errno.ret()),
    };
    if len == 0 {
        return Ok(0);
    }
    let Some(mut text) = exec.region.read_cstr(from, len as usize - 1) else {
        return Ok(Errno::EFAULT.ret());
    };
    text.push(0);
    exec.region.bpf_write(to, &text)?;
    Ok(text.len() as u64)
}

/// BPF_STDOUT, BPF_STDERR: both are lines of the trace. 0, or -ENOENT for another stream.
pub(super) fn stream_vprintk(exec: &mut Exec<'_>, [stream, fmt, args, len, _]: [u64; 5]) -> Ret {
    if !matches!(stream as u32, 1 | 2) {
        return Ok(Errno::ENOENT.ret());
    }
    match exec.vm.bprintf(fmt, args, len as u32) {
        Ok(text) => {
            exec.host.printk(text.strip_suffix('\n').unwrap_or(&text));
            Ok(0)
        }
        Err(errno) => Ok(errno.ret()),
    }
}
