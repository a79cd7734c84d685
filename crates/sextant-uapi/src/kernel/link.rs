//! Links: attaching. A struct_ops link says which ops table the scheduler is; every other link is accepted and inert.
//!
//! Mirrors link_create of kernel/bpf/syscall.c, 7.3.

use std::cell::Cell;
use std::rc::Rc;

use super::objects::{LinkObject, Object};
use super::{Kernel, ProgType};
use crate::attr::{Attr, link_create as f};
use crate::errno::Errno;
use crate::user;

/// `enum bpf_attach_type`
const PERF_EVENT: u32 = 41;
const STRUCT_OPS: u32 = 44;
const UPROBE_MULTI: u32 = 48;
/// `enum bpf_link_type`
const LINK_RAW_TRACEPOINT: u32 = 1;
const LINK_TRACING: u32 = 2;
const LINK_STRUCT_OPS: u32 = 9;
/// `BPF_F_LINK`
const F_LINK: u32 = 1 << 13;

impl Kernel {
    pub(super) fn link_create(&self, a: &Attr) -> Result<i32, Errno> {
        let fd = a.u32(f::PROG_FD) as i32;
        if a.u32(f::ATTACH_TYPE) == STRUCT_OPS {
            return self.link_struct_ops(fd);
        }
        let prog = self.prog_at(fd)?;
        match (prog.prog_type, a.u32(f::ATTACH_TYPE)) {
            (ProgType::TRACING, attach) if attach == prog.expected_attach_type => {
                self.new_link(LINK_TRACING, prog.id, 0)
            }
            // There are no perf events: whatever descriptor is named is not one.
            (ProgType::TRACEPOINT | ProgType::KPROBE | ProgType::PERF_EVENT, PERF_EVENT) => Err(Errno::EBADF),
            (ProgType::KPROBE, UPROBE_MULTI) => {
                // libbpf asks with the path "/", which is no file; a negative pid is refused first.
                if (a.u32(f::UPROBE_MULTI_PID) as i32) < 0 { Err(Errno::EINVAL) } else { Err(Errno::EBADF) }
            }
            _ => Err(Errno::EINVAL),
        }
    }

    fn link_struct_ops(&self, map_fd: i32) -> Result<i32, Errno> {
        let map = self.map_at(map_fd)?;
        let ready = map.struct_ops.borrow().is_some();
        if !map.is_struct_ops() || map.spec.flags & F_LINK == 0 || !ready {
            return Err(Errno::EINVAL);
        }
        self.new_link(LINK_STRUCT_OPS, 0, map.id)
    }

    pub(super) fn raw_tracepoint_open(&self, a: &Attr) -> Result<i32, Errno> {
        let (name, fd) = (a.u64(0), a.u32(8) as i32);
        if name != 0 {
            user::string(name, 127)?;
        }
        let prog = self.prog_at(fd)?;
        self.new_link(LINK_RAW_TRACEPOINT, prog.id, 0)
    }

    fn new_link(&self, link_type: u32, prog_id: u32, map_id: u32) -> Result<i32, Errno> {
        let link = LinkObject { id: self.new_id(), prog_id, map_id, link_type, attached: Cell::new(true) };
        self.install("bpf-link", Object::Link(Rc::new(link)))
    }

    pub(super) fn link_detach(&self, a: &Attr) -> Result<i32, Errno> {
        match self.object(a.u32(0) as i32)? {
            Object::Link(link) => {
                link.attached.set(false);
                Ok(0)
            }
            _ => Err(Errno::EINVAL),
        }
    }
}
