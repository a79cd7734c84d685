//! `bpf_trace_printk`, `bpf_trace_vprintk`, `bpf_snprintf`, and the same for kfuncs that take a format.

use crate::error::TrapKind;
use crate::exec::Exec;
use crate::helper::bprintf::{MAX_OUTPUT, format};
use crate::{Errno, Vm};

/// Most bytes of arguments: 12 words.
const MAX_DATA: u64 = 12 * 8;

/// The words at `data`.
fn words(vm: &Vm, data: u64, len: u64) -> Result<Vec<u64>, Errno> {
    if !len.is_multiple_of(8) || len > MAX_DATA || (len > 0 && data == 0) {
        return Err(Errno::EINVAL);
    }
    let word = |i| vm.region.bpf_load(data.wrapping_add(i * 8), 8).map_err(|_| Errno::EFAULT);
    (0..len / 8).map(word).collect()
}

/// The format at `fmt`, which ends with a NUL within `size` bytes.
fn format_at(vm: &Vm, fmt: u64, size: usize, args: &[u64]) -> Result<Vec<u8>, Errno> {
    let text = vm.region.read_cstr(fmt, size).ok_or(Errno::EFAULT)?;
    if text.len() == size {
        return Err(Errno::EINVAL);
    }
    format(&vm.region, &text, args)
}

/// To the host as a line; r0 is the length.
fn emit(exec: &mut Exec<'_>, text: Result<Vec<u8>, Errno>) -> Result<u64, TrapKind> {
    let mut text = match text {
        Ok(text) => text,
        Err(errno) => return Ok(errno.ret()),
    };
    let len = text.len() as u64;
    text.truncate(MAX_OUTPUT - 1);
    let line = String::from_utf8_lossy(&text);
    exec.host.printk(line.strip_suffix('\n').unwrap_or(&line));
    Ok(len)
}

/// `bpf_trace_printk(fmt, fmt_size, a, b, c)`
pub(super) fn trace_printk(exec: &mut Exec<'_>, [fmt, size, a, b, c]: [u64; 5]) -> Result<u64, TrapKind> {
    let text = format_at(exec.vm, fmt, size as u32 as usize, &[a, b, c]);
    emit(exec, text)
}

/// `bpf_trace_vprintk(fmt, fmt_size, data, data_len)`
pub(super) fn trace_vprintk(
    exec: &mut Exec<'_>,
    [fmt, size, data, len, _]: [u64; 5],
) -> Result<u64, TrapKind> {
    let args = words(exec.vm, data, len as u32 as u64);
    let text = args.and_then(|args| format_at(exec.vm, fmt, size as u32 as usize, &args));
    emit(exec, text)
}

/// `bpf_snprintf(str, str_size, fmt, data, data_len)`: the length it would have, with the NUL.
pub(super) fn snprintf(exec: &mut Exec<'_>, [out, size, fmt, data, len]: [u64; 5]) -> Result<u64, TrapKind> {
    let args = words(exec.vm, data, len as u32 as u64);
    let mut text = match args.and_then(|args| format_at(exec.vm, fmt, MAX_OUTPUT, &args)) {
        Ok(text) => text,
        Err(errno) => return Ok(errno.ret()),
    };
    let len = text.len() as u64 + 1;
    let size = size as u32 as usize;
    if size > 0 {
        text.truncate(size - 1);
        text.push(0);
        exec.region.bpf_write(out, &text)?;
    }
    Ok(len)
}

impl Vm {
    /// The text that a kfunc with (format, data, length of data in bytes) prints (`scx_bpf_error_bstr` …), at most 1023 bytes.
    ///
    /// EINVAL for an unsupported format or a bad length, EFAULT for memory that cannot be read.
    pub fn bprintf(&self, fmt: u64, data: u64, data_len: u32) -> Result<String, Errno> {
        let args = words(self, data, data_len.into())?;
        let mut text = format_at(self, fmt, MAX_OUTPUT, &args)?;
        text.truncate(MAX_OUTPUT - 1);
        Ok(String::from_utf8_lossy(&text).into_owned())
    }
}
