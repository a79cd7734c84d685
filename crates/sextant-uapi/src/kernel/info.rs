//! OBJ_GET_INFO_BY_FD and descriptors by id. Layouts: `struct bpf_{map,prog,btf,link}_info`, include/uapi/linux/bpf.h, 7.3.

use sextant_bpf::insn;

use super::Kernel;
use super::objects::Object;
use crate::attr::{Attr, cmd, info as f};
use crate::errno::Errno;
use crate::user;

const MAP_INFO: usize = 104;
const PROG_INFO: usize = 232;
const BTF_INFO: usize = 32;
const LINK_INFO: usize = 64;

/// One info structure: what user space passed, then what is filled in.
struct Info {
    at: u64,
    len: usize,
    bytes: Vec<u8>,
}

impl Info {
    /// Reads the caller's structure; what is behind `size` must be zero.
    fn read(a: &Attr, size: usize) -> Result<Info, Errno> {
        let (at, len) = (a.u64(f::INFO), a.u32(f::INFO_LEN) as usize);
        if len > 4096 {
            return Err(Errno::E2BIG);
        }
        let given = user::bytes(at, len)?;
        if given[size.min(len)..].iter().any(|&b| b != 0) {
            return Err(Errno::E2BIG);
        }
        let mut bytes = vec![0; size];
        let len = len.min(size);
        bytes[..len].copy_from_slice(&given[..len]);
        Ok(Info { at, len, bytes })
    }

    fn set(&mut self, at: usize, data: &[u8]) {
        self.bytes[at..at + data.len()].copy_from_slice(data);
    }

    fn set32(&mut self, at: usize, value: u32) {
        self.set(at, &value.to_le_bytes());
    }

    fn name(&mut self, at: usize, name: &str) {
        let len = name.len().min(15);
        self.set(at, &[0; 16]);
        self.set(at, &name.as_bytes()[..len]);
    }

    fn u32(&self, at: usize) -> u32 {
        u32::from_le_bytes([self.bytes[at], self.bytes[at + 1], self.bytes[at + 2], self.bytes[at + 3]])
    }

    fn u64(&self, at: usize) -> u64 {
        u64::from(self.u32(at)) | u64::from(self.u32(at + 4)) << 32
    }

    fn write(&self, uattr: u64) -> Result<i32, Errno> {
        user::write(self.at, &self.bytes[..self.len])?;
        user::write(uattr + f::INFO_LEN as u64, &(self.len as u32).to_le_bytes())?;
        Ok(0)
    }
}

impl Kernel {
    pub(super) fn obj_get_info(&self, a: &Attr, uattr: u64) -> Result<i32, Errno> {
        let object = self.object(a.u32(f::BPF_FD) as i32)?;
        match object {
            Object::Map(map) => {
                let mut info = Info::read(a, MAP_INFO)?;
                let s = &map.spec;
                let words = [s.map_type, map.id, s.key_size, s.value_size, s.max_entries, s.flags];
                words.iter().enumerate().for_each(|(i, &word)| info.set32(i * 4, word));
                info.name(24, &s.name);
                info.set32(44, map.btf_vmlinux_value_type_id);
                info.set32(64, map.btf_id);
                info.set32(68, map.btf_key_type_id);
                info.set32(72, map.btf_value_type_id);
                info.set(80, &s.map_extra.to_le_bytes());
                info.write(uattr)
            }
            Object::Prog(prog) => {
                let mut info = Info::read(a, PROG_INFO)?;
                let (room, ids_at) = (info.u32(52) as usize, info.u64(56));
                let (xlated_room, xlated_at) = (info.u32(20) as usize, info.u64(32));
                let maps = prog.maps.borrow();
                let insns = insn::encode(&prog.image.insns);
                if ids_at != 0 {
                    let ids: Vec<u8> = maps.iter().take(room).flat_map(|id| id.to_le_bytes()).collect();
                    user::write(ids_at, &ids)?;
                }
                if xlated_at != 0 {
                    user::write(xlated_at, &insns[..insns.len().min(xlated_room)])?;
                }
                info.set32(0, prog.prog_type.0);
                info.set32(4, prog.id);
                info.set32(20, insns.len() as u32);
                info.set32(52, maps.len() as u32);
                info.name(64, &prog.name);
                info.set32(128, prog.btf_id);
                info.set32(216, prog.image.insns.len() as u32);
                info.write(uattr)
            }
            Object::Btf(btf) => {
                let mut info = Info::read(a, BTF_INFO)?;
                let (at, room) = (info.u64(0), info.u32(8) as usize);
                if at != 0 {
                    user::write(at, &btf.bytes[..btf.bytes.len().min(room)])?;
                }
                // Names are of the kernel's and modules' BTF; this one has none.
                if (info.u64(16) == 0) != (info.u32(24) == 0) {
                    return Err(Errno::EINVAL);
                }
                info.set32(8, btf.bytes.len() as u32);
                info.set32(12, btf.id);
                info.set32(24, 0);
                info.write(uattr)
            }
            Object::Link(link) => {
                let mut info = Info::read(a, LINK_INFO)?;
                info.set32(0, link.link_type);
                info.set32(4, link.id);
                info.set32(8, link.prog_id);
                info.set32(16, link.map_id);
                info.write(uattr)
            }
        }
    }

    /// A new descriptor of an object that is there.
    pub(super) fn fd_by_id(&self, command: u32, a: &Attr) -> Result<i32, Errno> {
        let id = a.u32(0);
        let same = |object: &&Object| match (command, object) {
            (cmd::MAP_GET_FD_BY_ID, Object::Map(map)) => map.id == id,
            (cmd::PROG_GET_FD_BY_ID, Object::Prog(prog)) => prog.id == id,
            (cmd::BTF_GET_FD_BY_ID, Object::Btf(btf)) => btf.id == id,
            _ => false,
        };
        let found = self.objects.borrow().values().find(same).cloned().ok_or(Errno::ENOENT)?;
        self.descriptor_of(found)
    }
}
