//! The emulated kernel as bpf(2) and a loader's file reads see it.
//!
//! ```text
//!  hook ── mod (decode: sizes, fields) ── map | prog | btf | link | info ── objects: memfd inode → Object
//!                                          └── struct_ops: member offsets → names
//! ```
//!
//! One per run, current on one thread at a time. Objects live as long as the kernel: libbpf closes descriptors
//! without telling anybody.
//!
//! What must hold: libbpf asks which features the kernel has once per process, so what its probes make must not show in
//! later numbers and addresses. They are the programs of types that never run here, and arrays without BTF, which get their vm
//! map only when something uses them (`MapObject::vm_map`).

mod btf;
pub(crate) mod fd;
mod host;
mod info;
mod judge;
mod lines;
mod link;
mod map;
mod map_btf;
mod objects;
mod pin;
mod prog;
mod resolve;
mod struct_ops;
#[cfg(test)]
mod tests;
mod verify;

use std::any::Any;
use std::cell::{Cell, OnceCell, RefCell};
use std::collections::BTreeMap;
use std::fmt::Write;
use std::rc::Rc;

use sextant_abi::tables::{HelperId, kconfig};
use sextant_bpf::btf::Btf;
use sextant_bpf::vmlinux::Vmlinux;
use sextant_vm::{ProgId, Vm};

use crate::attr::{self, Attr, COMMANDS, cmd};
use crate::errno::Errno;
use crate::user;

pub use judge::{Judged, Outcome};
pub use lines::SourceLine;
pub(crate) use map::type_name as map_type_name;
pub use objects::ProgType;
pub(crate) use objects::{ARENA, BtfObject, MapObject, Object, ProgObject};
pub(crate) use pin::is_bpffs;
pub(crate) use struct_ops::{OPS_STRUCTS, StructOpsValue};
pub use verify::Verdict;

/// `uname -r`; libbpf makes LINUX_KERNEL_VERSION of it.
pub const RELEASE: &str = kconfig::UTS_RELEASE;
/// `uname -v`. Without the word Debian, which libbpf would search for another version behind.
pub const VERSION: &str = "#1 SMP PREEMPT_DYNAMIC sextant";

/// What a kernel is made from.
#[derive(Clone)]
pub struct KernelConfig {
    /// Possible (and online) CPUs.
    pub nr_cpus: u32,
    /// The kernel's own types.
    pub vmlinux: Rc<Vmlinux>,
}

/// A program that was refused.
#[derive(Clone, Debug)]
pub(crate) struct ProgRefusal {
    pub(crate) prog: String,
    pub(crate) errno: Errno,
    pub(crate) log: String,
}

/// The emulated kernel behind bpf(2).
pub struct Kernel {
    config: KernelConfig,
    vm: OnceCell<Rc<Vm>>,
    /// Kernel variables that programs may refer to: name, address in BPF-visible memory.
    ksyms: OnceCell<Vec<(String, u64)>>,
    refusals: RefCell<Vec<ProgRefusal>>,
    /// Calls of helpers that the vm does not have.
    missing_helpers: RefCell<Vec<(String, HelperId)>>,
    verifying: Cell<bool>,
    keeping_on: Cell<bool>,
    logging: Cell<bool>,
    verdicts: RefCell<Vec<Verdict>>,
    lines: RefCell<BTreeMap<ProgId, lines::Lines>>,
    judging: Cell<bool>,
    judged: RefCell<Vec<Judged>>,
    objects: RefCell<BTreeMap<fd::FileId, Object>>,
    /// What is pinned, by path.
    pins: RefCell<BTreeMap<String, Object>>,
    next_id: Cell<u32>,
    panic: RefCell<Option<Box<dyn Any + Send>>>,
    notes: RefCell<Vec<String>>,
    calls: RefCell<Vec<(u32, i32)>>,
    /// Files of the emulated machine beside its own, by path.
    files: RefCell<BTreeMap<String, Vec<u8>>>,
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
    /// A kernel without objects and without a vm: good for opening an object.
    pub fn new(config: KernelConfig) -> Rc<Kernel> {
        Rc::new(Kernel {
            config,
            vm: OnceCell::new(),
            ksyms: OnceCell::new(),
            refusals: RefCell::default(),
            missing_helpers: RefCell::default(),
            verifying: Cell::new(false),
            keeping_on: Cell::new(false),
            logging: Cell::new(false),
            verdicts: RefCell::default(),
            lines: RefCell::default(),
            judging: Cell::new(false),
            judged: RefCell::default(),
            objects: RefCell::default(),
            pins: RefCell::default(),
            next_id: Cell::new(1),
            panic: RefCell::default(),
            notes: RefCell::default(),
            calls: RefCell::default(),
            files: RefCell::default(),
        })
    }

    /// Gives it the vm that maps and programs go to, once.
    pub fn set_vm(&self, vm: Rc<Vm>, ksyms: Vec<(String, u64)>) {
        let _ = self.vm.set(vm);
        let _ = self.ksyms.set(ksyms);
    }

    fn ksyms(&self) -> &[(String, u64)] {
        self.ksyms.get().map_or(&[], Vec::as_slice)
    }

    /// Programs that were refused, oldest first; those of libbpf's feature probes are not among them.
    pub(crate) fn refusals(&self) -> Vec<ProgRefusal> {
        self.refusals.borrow().clone()
    }

    fn vm(&self) -> Result<&Rc<Vm>, Errno> {
        self.vm.get().ok_or(Errno::ENOSYS)
    }

    /// The kernel's types.
    pub fn btf(&self) -> &Btf {
        &self.config.vmlinux.btf
    }

    /// Calls of bpf(2) so far: command, answer.
    pub fn calls(&self) -> Vec<(u32, i32)> {
        self.calls.borrow().clone()
    }

    /// Possible CPUs.
    pub fn nr_cpus(&self) -> u32 {
        self.config.nr_cpus
    }

    /// The kernel's BTF, raw.
    pub fn vmlinux_btf(&self) -> &[u8] {
        &self.config.vmlinux.bytes
    }

    /// Why calls were refused, in words a person can act on, oldest first.
    pub fn notes(&self) -> Vec<String> {
        self.notes.borrow().clone()
    }

    /// The content of a file of the machine's, `None` when it has no such file.
    pub(crate) fn file(&self, path: &str) -> Option<Vec<u8>> {
        match path {
            "/proc/config.gz" => Some(kconfig::kconfig_text().into_bytes()),
            "/proc/kallsyms" => Some(self.kallsyms().into_bytes()),
            "/sys/kernel/btf/vmlinux" => Some(self.vmlinux_btf().to_vec()),
            "/sys/devices/system/cpu/possible"
            | "/sys/devices/system/cpu/present"
            | "/sys/devices/system/cpu/online" => Some(self.cpu_list().into_bytes()),
            _ => self.files.borrow().get(path).cloned(),
        }
    }

    /// Puts a file where libbpf may open it, such as another kernel's BTF (`btf_custom_path`).
    pub fn add_file(&self, path: &str, content: Vec<u8>) {
        self.files.borrow_mut().insert(path.to_owned(), content);
    }

    fn kallsyms(&self) -> String {
        let mut text = String::new();
        for (name, addr) in self.ksyms() {
            let _ = writeln!(text, "{addr:016x} D {name}");
        }
        text
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
        // libbpf tries some calls twice.
        let mut notes = self.notes.borrow_mut();
        if !notes.contains(&text) {
            notes.push(text);
        }
    }

    /// Whether a fixed mapping of this descriptor may replace what is there: yes for the initial image of a map, which libbpf
    /// mapped itself.
    pub(crate) fn may_replace_mapping(&self, fd: i32) -> bool {
        matches!(self.map_at(fd), Ok(map) if !map.is_arena())
    }

    /// Whether a descriptor is an arena.
    pub(crate) fn is_arena(&self, fd: i32) -> bool {
        self.map_at(fd).is_ok_and(|map| map.is_arena())
    }

    pub(crate) fn note_refused_mapping(&self, addr: u64, len: u64) {
        let mut text = String::new();
        let _ = write!(text, "mapping {addr:#x}..{:#x} is refused: ", addr.saturating_add(len));
        text += "the address range is in use in this process";
        self.note(text);
    }

    /// bpf(2): the answer, or the negated errno.
    pub(crate) fn bpf(&self, command: u32, attr: u64, size: u32) -> i32 {
        let answer = self.decode(command, attr, size);
        self.calls.borrow_mut().push((command, answer.unwrap_or_else(|e| -e.0)));
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
        self.dispatch(command, &given, attr)
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

    fn dispatch(&self, command: u32, a: &Attr, uattr: u64) -> Result<i32, Errno> {
        match command {
            cmd::MAP_CREATE => self.map_create(a),
            cmd::MAP_LOOKUP_ELEM => self.map_lookup_elem(a),
            cmd::MAP_UPDATE_ELEM => self.map_update_elem(a),
            cmd::MAP_DELETE_ELEM => self.map_delete_elem(a),
            cmd::MAP_GET_NEXT_KEY => self.map_get_next_key(a),
            cmd::MAP_LOOKUP_AND_DELETE_ELEM => self.map_lookup_and_delete_elem(a),
            cmd::MAP_LOOKUP_BATCH
            | cmd::MAP_LOOKUP_AND_DELETE_BATCH
            | cmd::MAP_UPDATE_BATCH
            | cmd::MAP_DELETE_BATCH => self.map_batch(command, a, uattr),
            cmd::MAP_FREEZE => self.map_freeze(a),
            cmd::PROG_LOAD => self.prog_load(a, uattr),
            cmd::PROG_BIND_MAP => self.prog_bind_map(a),
            cmd::PROG_TEST_RUN => self.prog_test_run(a, uattr),
            cmd::PROG_ASSOC_STRUCT_OPS => self.prog_assoc_struct_ops(a),
            cmd::BTF_LOAD => self.btf_load(a, uattr),
            cmd::LINK_CREATE => self.link_create(a),
            cmd::LINK_DETACH => self.link_detach(a),
            cmd::RAW_TRACEPOINT_OPEN => self.raw_tracepoint_open(a),
            cmd::OBJ_GET_INFO_BY_FD => self.obj_get_info(a, uattr),
            cmd::PROG_GET_NEXT_ID | cmd::MAP_GET_NEXT_ID | cmd::BTF_GET_NEXT_ID | cmd::LINK_GET_NEXT_ID => {
                Err(Errno::ENOENT)
            }
            cmd::PROG_GET_FD_BY_ID | cmd::MAP_GET_FD_BY_ID | cmd::BTF_GET_FD_BY_ID => {
                self.fd_by_id(command, a)
            }
            cmd::OBJ_PIN => self.obj_pin(a),
            cmd::OBJ_GET => self.obj_get(a),
            cmd::TOKEN_CREATE => Err(Errno::EOPNOTSUPP),
            _ => Err(Errno::EINVAL),
        }
    }
}
