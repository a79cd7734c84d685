//! What descriptors refer to.

use std::cell::{Cell, OnceCell, RefCell};
use std::rc::Rc;

use sextant_abi::ProgramImage;
use sextant_bpf::btf::Btf;
use sextant_verifier::SpecialFields;
use sextant_vm::{MapId, MapSpec, ProgId, Vm};

use super::{Kernel, StructOpsValue, fd};
use crate::errno::Errno;

/// `BPF_MAP_TYPE_ARRAY`
pub(crate) const ARRAY: u32 = 2;
/// `BPF_MAP_TYPE_STRUCT_OPS`
pub(crate) const STRUCT_OPS: u32 = 26;
/// `BPF_MAP_TYPE_ARENA`
pub(crate) const ARENA: u32 = 33;

/// `enum bpf_prog_type`, of which the named ones matter here.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct ProgType(pub u32);

#[allow(missing_docs)] // the kernel's names
impl ProgType {
    pub const KPROBE: ProgType = ProgType(2);
    pub const TRACEPOINT: ProgType = ProgType(5);
    pub const PERF_EVENT: ProgType = ProgType(7);
    pub const TRACING: ProgType = ProgType(26);
    pub const STRUCT_OPS: ProgType = ProgType(27);
    pub const SYSCALL: ProgType = ProgType(31);

    /// Whether programs of this type can run here, so that they belong into the vm.
    pub(crate) fn runs(self) -> bool {
        matches!(self, ProgType::STRUCT_OPS | ProgType::SYSCALL | ProgType::TRACING)
    }
}

/// A BTF that was loaded.
pub(crate) struct BtfObject {
    pub(crate) id: u32,
    pub(crate) btf: Btf,
    pub(crate) bytes: Vec<u8>,
}

/// A map.
pub(crate) struct MapObject {
    pub(crate) id: u32,
    pub(crate) spec: MapSpec,
    /// Timers, locks, kptrs and the like in its values.
    pub(crate) fields: SpecialFields,
    pub(crate) btf_id: u32,
    pub(crate) btf_key_type_id: u32,
    pub(crate) btf_value_type_id: u32,
    pub(crate) btf_vmlinux_value_type_id: u32,
    /// Its values, unless it is a struct_ops map.
    pub(crate) in_vm: OnceCell<MapId>,
    /// bpf(2) may not write it any more.
    pub(crate) frozen: Cell<bool>,
    /// The ops table, for a struct_ops map.
    pub(crate) struct_ops: RefCell<Option<StructOpsValue>>,
}

impl MapObject {
    pub(crate) fn is_arena(&self) -> bool {
        self.spec.map_type == ARENA
    }

    pub(crate) fn is_struct_ops(&self) -> bool {
        self.spec.map_type == STRUCT_OPS
    }

    /// Its map in the vm, made now if nothing has used it yet.
    ///
    /// # Errors
    /// As `Vm::map_create`; EOPNOTSUPP for a struct_ops map.
    pub(crate) fn vm_map(&self, vm: &Vm) -> Result<MapId, Errno> {
        if self.is_struct_ops() {
            return Err(Errno::EOPNOTSUPP);
        }
        if let Some(&id) = self.in_vm.get() {
            return Ok(id);
        }
        let id = vm.map_create(&self.spec)?;
        Ok(*self.in_vm.get_or_init(|| id))
    }
}

/// A program.
pub(crate) struct ProgObject {
    pub(crate) id: u32,
    pub(crate) name: String,
    pub(crate) prog_type: ProgType,
    pub(crate) expected_attach_type: u32,
    pub(crate) attach_btf_id: u32,
    pub(crate) btf_id: u32,
    pub(crate) image: ProgramImage,
    /// Its number in the vm, if its type can run.
    pub(crate) in_vm: Option<ProgId>,
    pub(crate) maps: RefCell<Vec<u32>>,
}

/// A link.
pub(crate) struct LinkObject {
    pub(crate) id: u32,
    /// Program id, 0 for struct_ops.
    pub(crate) prog_id: u32,
    /// Map id, 0 for anything but struct_ops.
    pub(crate) map_id: u32,
    pub(crate) link_type: u32,
    pub(crate) attached: Cell<bool>,
}

/// What a descriptor of bpf(2) refers to.
#[derive(Clone)]
pub(crate) enum Object {
    Btf(Rc<BtfObject>),
    Map(Rc<MapObject>),
    Prog(Rc<ProgObject>),
    Link(Rc<LinkObject>),
}

impl Kernel {
    /// The next object id.
    pub(super) fn new_id(&self) -> u32 {
        let id = self.next_id.get();
        self.next_id.set(id + 1);
        id
    }

    /// A descriptor for a new object.
    pub(super) fn install(&self, kind: &str, object: Object) -> Result<i32, Errno> {
        let (fd, id) = fd::fresh(kind)?;
        self.objects.borrow_mut().insert(id, object);
        Ok(fd)
    }

    /// What a descriptor refers to.
    pub(super) fn object(&self, fd: i32) -> Result<Object, Errno> {
        let id = fd::identify(fd)?;
        self.objects.borrow().get(&id).cloned().ok_or(Errno::EINVAL)
    }

    pub(crate) fn map_at(&self, fd: i32) -> Result<Rc<MapObject>, Errno> {
        match self.object(fd)? {
            Object::Map(map) => Ok(map),
            _ => Err(Errno::EINVAL),
        }
    }

    pub(crate) fn prog_at(&self, fd: i32) -> Result<Rc<ProgObject>, Errno> {
        match self.object(fd)? {
            Object::Prog(prog) => Ok(prog),
            _ => Err(Errno::EINVAL),
        }
    }

    pub(super) fn btf_at(&self, fd: i32) -> Result<Rc<BtfObject>, Errno> {
        match self.object(fd)? {
            Object::Btf(btf) => Ok(btf),
            _ => Err(Errno::EINVAL),
        }
    }

    fn all(&self) -> Vec<Object> {
        self.objects.borrow().values().cloned().collect()
    }

    /// Types by their id.
    pub(crate) fn btf_by_id(&self, id: u32) -> Option<Rc<BtfObject>> {
        self.all().into_iter().find_map(|o| match o {
            Object::Btf(btf) if btf.id == id => Some(btf),
            _ => None,
        })
    }

    /// Maps by id.
    pub(crate) fn maps(&self) -> Vec<Rc<MapObject>> {
        let all = self.all().into_iter();
        let mut maps: Vec<_> =
            all.filter_map(|o| if let Object::Map(m) = o { Some(m) } else { None }).collect();
        maps.sort_by_key(|map| map.id);
        maps.dedup_by_key(|map| map.id);
        maps
    }
}
