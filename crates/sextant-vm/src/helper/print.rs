//! `bpf_trace_printk`, `bpf_trace_vprintk`, `bpf_snprintf`, and the same for kfuncs that take a format.

use crate::error::TrapKind;
use crate::exec::Exec;
use crate::helper::bprintf::{MAX_OUTPUT, Text, format};
use crate::{Errno, Vm};

/// A format in read-only memory may have any length; its NUL is found within this many bytes.
const MAX_FORMAT: usize = 1 << 20;
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

/// The format at `fmt`, which ends with a NUL within `size` bytes; the first `keep` bytes of what it prints.
fn format_at(vm: &Vm, fmt: u64, size: usize, args: &[u64], keep: usize) -> Result<Text, Errno> {
    let text = vm.region.read_cstr(fmt, size).ok_or(Errno::EFAULT)?;
    if text.len() == size {
        return Err(Errno::EINVAL);
    }
    format(&vm.region, &text, args, keep)
}

/// To the host as a line; r0 is the length.
fn emit(exec: &mut Exec<'_>, text: Result<Text, Errno>) -> Result<u64, TrapKind> {
    let text = match text {
        Ok(text) => text,
        Err(errno) => return Ok(errno.ret()),
    };
    let len = text.len() as u64;
    let bytes = text.into_bytes();
    let line = String::from_utf8_lossy(&bytes);
    exec.host.printk(line.strip_suffix('\n').unwrap_or(&line));
    Ok(len)
}

/// `bpf_trace_printk(fmt, fmt_size, a, b, c)`
pub(super) fn trace_printk(exec: &mut Exec<'_>, [fmt, size, a, b, c]: [u64; 5]) -> Result<u64, TrapKind> {
    let text = format_at(exec.vm, fmt, size as u32 as usize, &[a, b, c], MAX_OUTPUT - 1);
    emit(exec, text)
}

/// `bpf_trace_vprintk(fmt, fmt_size, data, data_len)`
pub(super) fn trace_vprintk(
    exec: &mut Exec<'_>,
    [fmt, size, data, len, _]: [u64; 5],
) -> Result<u64, TrapKind> {
    let args = words(exec.vm, data, len as u32 as u64);
    let size = size as u32 as usize;
    let text = args.and_then(|args| format_at(exec.vm, fmt, size, &args, MAX_OUTPUT - 1));
    emit(exec, text)
}

/// `bpf_snprintf(str, str_size, fmt, data, data_len)`: the length it would have, with the NUL.
pub(super) fn snprintf(exec: &mut Exec<'_>, [out, size, fmt, data, len]: [u64; 5]) -> Result<u64, TrapKind> {
    let args = words(exec.vm, data, len as u32 as u64);
    let size = size as u32 as usize;
    let text = args.and_then(|args| format_at(exec.vm, fmt, MAX_FORMAT, &args, size.saturating_sub(1)));
    let text = match text {
        Ok(text) => text,
        Err(errno) => return Ok(errno.ret()),
    };
    let len = text.len() as u64 + 1;
    if size > 0 {
        let mut bytes = text.into_bytes();
        bytes.push(0);
        exec.region.bpf_write(out, &bytes)?;
    }
    Ok(len)
}

/// A text that a program has formatted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Printed {
    /// As much of it as was asked for.
    pub text: String,
    /// Bytes of the whole.
    pub len: usize,
}

impl Vm {
    /// The text that a kfunc with (format, data, length of data in bytes) prints (`scx_bpf_error_bstr` …), at most 1023 bytes of it.
    ///
    /// EINVAL for an unsupported format or a bad length, ENOSPC for too long arguments, EFAULT for memory that cannot be read.
    pub fn bprintf(&self, fmt: u64, data: u64, data_len: u32) -> Result<String, Errno> {
        self.bprintf_cut(fmt, data, data_len, MAX_OUTPUT - 1).map(|printed| printed.text)
    }

    /// The same, cut to `keep` bytes, with the length that it would have.
    pub fn bprintf_cut(&self, fmt: u64, data: u64, data_len: u32, keep: usize) -> Result<Printed, Errno> {
        let args = words(self, data, data_len.into())?;
        let text = format_at(self, fmt, MAX_FORMAT, &args, keep)?;
        let len = text.len();
        Ok(Printed { text: String::from_utf8_lossy(&text.into_bytes()).into_owned(), len })
    }
}
