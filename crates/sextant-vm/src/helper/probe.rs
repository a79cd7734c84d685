//! `bpf_probe_read*`: reads that fail instead of trapping.

use crate::error::TrapKind;
use crate::exec::Exec;
use crate::{Access, Errno};

/// `bpf_probe_read_kernel(dst, size, src)`: -EFAULT and zeroes when `src` cannot be read.
pub(super) fn read(exec: &mut Exec<'_>, [dst, size, src, ..]: [u64; 5]) -> Result<u64, TrapKind> {
    let size = size as u32;
    exec.region.check(dst, size.into(), Access::Write)?;
    if exec.region.check(src, size.into(), Access::Read).is_err() {
        exec.region.bpf_write(dst, &vec![0; size as usize])?;
        return Ok(Errno::EFAULT.ret());
    }
    if size > 0 {
        exec.region.check_object(dst, size.into(), true)?;
        exec.region.copy_within(dst, src, size.into());
    }
    Ok(0)
}

/// `bpf_probe_read_kernel_str(dst, size, src)`: bytes written with the NUL; -EFAULT and zeroes when `src` cannot be read.
pub(super) fn read_str(exec: &mut Exec<'_>, [dst, size, src, ..]: [u64; 5]) -> Result<u64, TrapKind> {
    let size = size as u32 as usize;
    if size == 0 {
        return Ok(0);
    }
    exec.region.check(dst, size as u64, Access::Write)?;
    let Some(mut text) = exec.region.read_cstr(src, size - 1) else {
        exec.region.bpf_write(dst, &vec![0; size])?;
        return Ok(Errno::EFAULT.ret());
    };
    text.push(0);
    exec.region.bpf_write(dst, &text)?;
    Ok(text.len() as u64)
}

/// `bpf_copy_from_user_task(dst, size, user_ptr, task, flags)`
pub(super) fn copy_from_user_task(
    exec: &mut Exec<'_>,
    args @ [_, size, _, _, flags]: [u64; 5],
) -> Result<u64, TrapKind> {
    match (flags, size as u32) {
        (0, 0) => Ok(0),
        (0, _) => no_user(exec, args),
        _ => Ok(Errno::EINVAL.ret()),
    }
}

/// There is no user memory.
pub(super) fn no_user(exec: &mut Exec<'_>, [dst, size, ..]: [u64; 5]) -> Result<u64, TrapKind> {
    exec.region.check(dst, (size as u32).into(), Access::Write)?;
    exec.region.bpf_write(dst, &vec![0; size as u32 as usize])?;
    Ok(Errno::EFAULT.ret())
}
