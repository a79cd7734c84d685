//! The emulated kernel as bpf(2) and a loader's file reads see it.
//!
//! One per run, current on one thread at a time. Objects live as long as the kernel: libbpf closes descriptors
//! without telling anybody.

pub(crate) mod fd;

use std::any::Any;
use std::cell::RefCell;
use std::fmt::Write;
use std::rc::Rc;

use crate::attr::{self, Attr, COMMANDS, cmd};
use crate::errno::Errno;
use crate::user;

/// `uname -r`; libbpf makes LINUX_KERNEL_VERSION of it.
pub const RELEASE: &str = "7.3.0-sextant";
/// `uname -v`. Without the word Debian, which libbpf would search for another version behind.
pub const VERSION: &str = "#1 SMP PREEMPT_DYNAMIC sextant";
/// LINUX_KERNEL_VERSION as programs see it: 7.3.0.
pub const VERSION_CODE: u32 = 7 << 16 | 3 << 8;

/// What a kernel is made from.
#[derive(Clone)]
pub struct KernelConfig {
    /// Possible (and online) CPUs.
    pub nr_cpus: u32,
    /// The kernel's own BTF, raw.
    pub vmlinux_btf: Rc<[u8]>,
    /// Lines `CONFIG_X=y`.
    pub kconfig: String,
    /// Lines `address type name`.
    pub kallsyms: String,
}

/// The emulated kernel behind bpf(2).
pub struct Kernel {
    config: KernelConfig,
    panic: RefCell<Option<Box<dyn Any + Send>>>,
    notes: RefCell<Vec<String>>,
}

thread_local! {
    static CURRENT: RefCell<Option<Rc<Kernel>>> = const { RefCell::new(None) };
}

/// The kernel that answers this thread's libbpf.
pub fn current() -> Option<Rc<Kernel>> {
    CURRENT.with_borrow(Clone::clone)
}

/// Runs `f` with `kernel` answering libbpf's calls on this thread; the one before answers again afterwards.
pub fn with_kernel<T>(kernel: &Rc<Kernel>, f: impl FnOnce() -> T) -> T {
    struct Restore(Option<Rc<Kernel>>);
    impl Drop for Restore {
        fn drop(&mut self) {
            CURRENT.with_borrow_mut(|current| *current = self.0.take());
        }
    }
    let before = CURRENT.with_borrow_mut(|current| current.replace(kernel.clone()));
    let restore = Restore(before);
    let result = f();
    drop(restore);
    if let Some(panic) = kernel.panic.take() {
        std::panic::resume_unwind(panic);
    }
    result
}

impl Kernel {
    /// A kernel without objects.
    pub fn new(config: KernelConfig) -> Rc<Kernel> {
        Rc::new(Kernel { config, panic: RefCell::default(), notes: RefCell::default() })
    }

    /// Possible CPUs.
    pub fn nr_cpus(&self) -> u32 {
        self.config.nr_cpus
    }

    /// The kernel's BTF, raw.
    pub fn vmlinux_btf(&self) -> Rc<[u8]> {
        self.config.vmlinux_btf.clone()
    }

    /// Why calls were refused, in words a person can act on, oldest first.
    pub fn notes(&self) -> Vec<String> {
        self.notes.borrow().clone()
    }

    /// The content of a file of the machine's, `None` when it has no such file.
    pub(crate) fn file(&self, path: &str) -> Option<Vec<u8>> {
        match path {
            "/proc/config.gz" => Some(self.config.kconfig.clone().into_bytes()),
            "/proc/kallsyms" => Some(self.config.kallsyms.clone().into_bytes()),
            "/sys/kernel/btf/vmlinux" => Some(self.config.vmlinux_btf.to_vec()),
            "/sys/devices/system/cpu/possible"
            | "/sys/devices/system/cpu/present"
            | "/sys/devices/system/cpu/online" => Some(self.cpu_list().into_bytes()),
            _ => None,
        }
    }

    fn cpu_list(&self) -> String {
        match self.config.nr_cpus {
            0 | 1 => "0\n".into(),
            n => format!("0-{}\n", n - 1),
        }
    }

    /// Keeps a panic that happened under libbpf until `with_kernel` ends.
    pub(crate) fn keep_panic(&self, panic: Box<dyn Any + Send>) {
        *self.panic.borrow_mut() = Some(panic);
    }

    pub(crate) fn note(&self, text: String) {
        tracing::debug!("{text}");
        self.notes.borrow_mut().push(text);
    }

    /// Whether a fixed mapping of this descriptor may replace what is there: the initial image that libbpf mapped itself.
    pub(crate) fn may_replace_mapping(&self, fd: i32) -> bool {
        let _ = fd;
        true
    }

    pub(crate) fn note_refused_mapping(&self, addr: u64, len: u64) {
        let mut text = String::new();
        let _ = write!(text, "the arena's address range {addr:#x}..{:#x} ", addr.saturating_add(len));
        text += "is in use in this process; compile the object with another map_extra";
        self.note(text);
    }

    /// bpf(2): the answer, or the negated errno.
    pub(crate) fn bpf(&self, command: u32, attr: u64, size: u32) -> i32 {
        let answer = self.decode(command, attr, size);
        let name = COMMANDS.get((command & !cmd::COMMON_ATTRS) as usize).map_or("?", |c| c.0);
        match answer {
            Ok(value) => {
                tracing::trace!("bpf({name}, size {size}) = {value}");
                value
            }
            Err(errno) => {
                tracing::trace!("bpf({name}, size {size}) = {errno}");
                -errno.0
            }
        }
    }

    fn decode(&self, command: u32, attr: u64, size: u32) -> Result<i32, Errno> {
        let given = self.copy_attr(attr, size as usize)?;
        let command = command & !cmd::COMMON_ATTRS;
        let &(_, end) = COMMANDS.get(command as usize).ok_or(Errno::EINVAL)?;
        let Some(end) = end else { return Err(Errno::EOPNOTSUPP) };
        if !given.ends_at(end) {
            return Err(Errno::EINVAL);
        }
        self.dispatch(command, &given)
    }

    /// Steps: 1. more than a page is silly; 2. what is behind the fields we know must be zero; 3. the rest is copied.
    fn copy_attr(&self, attr: u64, size: usize) -> Result<Attr, Errno> {
        if size > 4096 {
            return Err(Errno::E2BIG);
        }
        let bytes = user::bytes(attr, size)?;
        let known = size.min(attr::SIZE);
        if bytes[known..].iter().any(|&b| b != 0) {
            return Err(Errno::E2BIG);
        }
        Ok(Attr::new(&bytes[..known]))
    }

    fn dispatch(&self, command: u32, a: &Attr) -> Result<i32, Errno> {
        let _ = a;
        match command {
            cmd::PROG_GET_NEXT_ID | cmd::MAP_GET_NEXT_ID | cmd::BTF_GET_NEXT_ID | cmd::LINK_GET_NEXT_ID => {
                Err(Errno::ENOENT)
            }
            cmd::TOKEN_CREATE => Err(Errno::EOPNOTSUPP),
            _ => Err(Errno::EINVAL),
        }
    }
}
