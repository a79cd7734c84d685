//! OBJ_PIN and OBJ_GET: objects under names of the emulated BPF file system. Mirrors kernel/bpf/inode.c, 7.3.
//!
//! DIVERGES: each load has its own table; the kernel has one file system for all.
//!
//! What must hold: a pin is an entry of this kernel's own table; no path of the host is looked at or made.
//!
//! Leaves out: directories (every one below the mount point is there), permissions, descriptors of directories
//! (BPF_F_PATH_FD). A pin lives as long as its kernel, which is as long as one object's load.

use super::objects::Object;
use super::{Kernel, fd};
use crate::attr::{Attr, obj as f};
use crate::errno::Errno;
use crate::user;

/// Where the BPF file system is mounted, as on every distribution.
const BPFFS: &str = "/sys/fs/bpf";
/// `PATH_MAX`
const PATH_MAX: usize = 4096;
/// `BPF_F_RDONLY | BPF_F_WRONLY`: what a descriptor may be opened with.
const OBJ_FLAGS: u32 = 1 << 3 | 1 << 4;

/// Whether a path lies in the emulated BPF file system, its root included.
pub(crate) fn is_bpffs(path: &str) -> bool {
    let below = path.strip_prefix(BPFFS);
    below.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        && !path.split('/').any(|part| part == "..")
}

impl Kernel {
    pub(super) fn obj_pin(&self, a: &Attr) -> Result<i32, Errno> {
        if a.u32(f::FILE_FLAGS) != 0 || a.u32(f::PATH_FD) != 0 {
            return Err(Errno::EINVAL);
        }
        let object = self.object(a.u32(f::BPF_FD) as i32)?;
        if matches!(object, Object::Btf(_)) {
            return Err(Errno::EINVAL);
        }
        let path = self.pin_path(a)?;
        let mut pins = self.pins.borrow_mut();
        if path == BPFFS || pins.contains_key(&path) {
            return Err(Errno::EEXIST);
        }
        pins.insert(path, object);
        Ok(0)
    }

    pub(super) fn obj_get(&self, a: &Attr) -> Result<i32, Errno> {
        if a.u32(f::FILE_FLAGS) & !OBJ_FLAGS != 0 || a.u32(f::PATH_FD) != 0 || a.u32(f::BPF_FD) != 0 {
            return Err(Errno::EINVAL);
        }
        let path = user::string(a.u64(f::PATHNAME), PATH_MAX)?;
        let object = self.pins.borrow().get(path.trim_end_matches('/')).cloned().ok_or(Errno::ENOENT)?;
        self.descriptor_of(object)
    }

    fn pin_path(&self, a: &Attr) -> Result<String, Errno> {
        let path = user::string(a.u64(f::PATHNAME), PATH_MAX)?;
        match is_bpffs(&path) {
            true => Ok(path.trim_end_matches('/').to_string()),
            false => {
                self.note(format!("'{path}' is not below {BPFFS}, so nothing can be pinned there"));
                Err(Errno::EPERM)
            }
        }
    }

    /// Another descriptor of an object that is there.
    pub(super) fn descriptor_of(&self, object: Object) -> Result<i32, Errno> {
        if let Object::Map(map) = &object
            && let Some(memory) = map.in_vm.get().and_then(|&vm_map| self.vm().ok()?.map_fd(vm_map))
        {
            return fd::duplicate(std::os::fd::AsFd::as_fd(&memory)).map(|(fd, _)| fd);
        }
        self.install("bpf-object", object)
    }

    /// Whether something is pinned at a path.
    pub(crate) fn is_pinned(&self, path: &str) -> bool {
        self.pins.borrow().contains_key(path)
    }

    /// Removes a pin; false if there is none.
    pub(crate) fn unpin(&self, path: &str) -> bool {
        self.pins.borrow_mut().remove(path).is_some()
    }
}
