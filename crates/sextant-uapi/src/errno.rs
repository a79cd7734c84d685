//! Error numbers of bpf(2).

use std::fmt;

/// A kernel error number, positive.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Errno(pub i32);

macro_rules! errnos {
    ($($name:ident = $val:expr;)*) => {
        #[allow(missing_docs)] // the kernel's names say what they are
        impl Errno { $(pub const $name: Errno = Errno($val);)* }

        impl fmt::Display for Errno {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                match self.0 {
                    $(n if n == $val => f.write_str(concat!("-", stringify!($name))),)*
                    n => write!(f, "-{n}"),
                }
            }
        }
    };
}

errnos! {
    EPERM = libc::EPERM;
    ENOENT = libc::ENOENT;
    E2BIG = libc::E2BIG;
    EBADF = libc::EBADF;
    EAGAIN = libc::EAGAIN;
    ENOMEM = libc::ENOMEM;
    EACCES = libc::EACCES;
    EFAULT = libc::EFAULT;
    EBUSY = libc::EBUSY;
    EEXIST = libc::EEXIST;
    EINVAL = libc::EINVAL;
    ENOSPC = libc::ENOSPC;
    ENOSYS = libc::ENOSYS;
    EOPNOTSUPP = libc::EOPNOTSUPP;
    ENOTSUPP = 524;
}

impl From<sextant_vm::Errno> for Errno {
    fn from(errno: sextant_vm::Errno) -> Self {
        Errno(errno.0)
    }
}
