//! MAP_CREATE and the element commands.

use std::cell::{Cell, OnceCell};
use std::rc::Rc;

use sextant_abi::Mem;
use sextant_vm::map::{BPF_F_ALL_CPUS, BPF_F_CPU, BPF_F_LOCK};
use sextant_vm::{MapSpec, SpecialField};

use super::judge::is_stand_in;
use super::objects::{ARRAY, MapObject, Object, STRUCT_OPS};
use super::{Kernel, fd};
use crate::attr::{Attr, batch, cmd, elem, map_create as f};
use crate::errno::Errno;
use crate::user;

/// `BPF_MAP_TYPE_RINGBUF`
const RINGBUF: u32 = 27;
/// `BPF_MAP_TYPE_USER_RINGBUF`
const USER_RINGBUF: u32 = 31;
/// `BPF_F_MMAPABLE`
const MMAPABLE: u32 = 1 << 10;
/// `BPF_F_VTYPE_BTF_OBJ_FD`, `BPF_F_TOKEN_FD`: for the call, not for the map.
const CALL_FLAGS: u32 = 1 << 15 | 1 << 16;
/// Values from here on are copied page by page, and only pages that somebody touched.
const LARGE: usize = 1 << 20;
const PAGE: usize = 4096;

/// Map types by number, for messages.
pub(crate) const MAP_TYPES: [&str; 36] = [
    "UNSPEC",
    "HASH",
    "ARRAY",
    "PROG_ARRAY",
    "PERF_EVENT_ARRAY",
    "PERCPU_HASH",
    "PERCPU_ARRAY",
    "STACK_TRACE",
    "CGROUP_ARRAY",
    "LRU_HASH",
    "LRU_PERCPU_HASH",
    "LPM_TRIE",
    "ARRAY_OF_MAPS",
    "HASH_OF_MAPS",
    "DEVMAP",
    "SOCKMAP",
    "CPUMAP",
    "XSKMAP",
    "SOCKHASH",
    "CGROUP_STORAGE",
    "REUSEPORT_SOCKARRAY",
    "PERCPU_CGROUP_STORAGE",
    "QUEUE",
    "STACK",
    "SK_STORAGE",
    "DEVMAP_HASH",
    "STRUCT_OPS",
    "RINGBUF",
    "INODE_STORAGE",
    "TASK_STORAGE",
    "BLOOM_FILTER",
    "USER_RINGBUF",
    "CGRP_STORAGE",
    "ARENA",
    "INSN_ARRAY",
    "RHASH",
];

/// The name of a map type.
pub(crate) fn type_name(map_type: u32) -> String {
    MAP_TYPES.get(map_type as usize).map_or_else(|| format!("type {map_type}"), |name| (*name).to_string())
}

impl Kernel {
    pub(super) fn map_create(&self, a: &Attr) -> Result<i32, Errno> {
        let name = a.name(f::MAP_NAME).ok_or(Errno::EINVAL)?;
        let (key_type, value_type) = (a.u32(f::BTF_KEY_TYPE_ID), a.u32(f::BTF_VALUE_TYPE_ID));
        let vmlinux_value = a.u32(f::BTF_VMLINUX_VALUE_TYPE_ID);
        let map_type = a.u32(f::MAP_TYPE);
        let vmlinux_ok = vmlinux_value == 0 || map_type == STRUCT_OPS && key_type == 0 && value_type == 0;
        if !vmlinux_ok || (key_type != 0 && value_type == 0) || a.u32(f::MAP_IFINDEX) != 0 {
            return Err(Errno::EINVAL);
        }
        let mut spec = MapSpec {
            map_type,
            key_size: a.u32(f::KEY_SIZE),
            value_size: a.u32(f::VALUE_SIZE),
            max_entries: a.u32(f::MAX_ENTRIES),
            flags: a.u32(f::MAP_FLAGS) & !CALL_FLAGS,
            name,
            map_extra: a.u64(f::MAP_EXTRA),
            ..MapSpec::default()
        };
        let (btf_id, fields) = self.map_btf(a, &mut spec)?;
        let inner_fd = a.u32(f::INNER_MAP_FD) as i32;
        if inner_fd != 0 && self.of_maps(map_type) {
            spec.inner = Some(self.map_at(inner_fd)?.vm_map(self.vm()?)?);
        }
        let map = MapObject {
            id: self.new_id(),
            spec,
            fields,
            btf_id,
            btf_key_type_id: key_type,
            btf_value_type_id: value_type,
            btf_vmlinux_value_type_id: vmlinux_value,
            in_vm: OnceCell::new(),
            frozen: Cell::new(false),
            struct_ops: None.into(),
        };
        if map_type == STRUCT_OPS {
            if !self.judging.get() {
                self.check_struct_ops_map(&map)?;
            }
            return self.install("bpf-map", Object::Map(Rc::new(map)));
        }
        self.install_map(map)
    }

    fn of_maps(&self, map_type: u32) -> bool {
        matches!(map_type, 12 | 13)
    }

    /// Makes the vm's map now, unless nothing may ever use it (see the module docs), and a descriptor.
    fn install_map(&self, map: MapObject) -> Result<i32, Errno> {
        if map.spec.map_type == ARRAY && map.btf_id == 0 {
            let s = &map.spec;
            if s.max_entries == 0 || s.key_size != 4 || s.value_size == 0 {
                self.note_map(&map, Errno::EINVAL);
                return Err(Errno::EINVAL);
            }
            let bytes = u64::from(s.value_size).next_multiple_of(8) * u64::from(s.max_entries);
            if self.vm.get().is_some_and(|vm| !vm.has_memory(bytes)) {
                self.note_map(&map, Errno::ENOMEM);
                return Err(Errno::ENOMEM);
            }
            return self.install("bpf-map", Object::Map(Rc::new(map)));
        }
        let made = self.vm().and_then(|vm| map.vm_map(vm)).or_else(|errno| self.stand_in(&map).ok_or(errno));
        let id = made.inspect_err(|&errno| self.note_map(&map, errno))?;
        let shared = (map.spec.flags & MMAPABLE != 0
            || map.is_arena()
            || matches!(map.spec.map_type, RINGBUF | USER_RINGBUF))
        .then(|| self.vm().ok()?.map_fd(id))
        .flatten();
        let Some(memory) = shared else { return self.install("bpf-map", Object::Map(Rc::new(map))) };
        let (fd, file) = fd::duplicate(std::os::fd::AsFd::as_fd(&memory))?;
        self.objects.borrow_mut().insert(file, Object::Map(Rc::new(map)));
        Ok(fd)
    }

    fn note_map(&self, map: &MapObject, errno: Errno) {
        let s = &map.spec;
        let what = type_name(s.map_type);
        self.note(format!(
            "map '{}' ({what}, key {} bytes, value {} bytes, {} entries, flags {:#x}) was refused ({errno}){}",
            s.name,
            s.key_size,
            s.value_size,
            s.max_entries,
            s.flags,
            if s.max_entries == 0 && !matches!(s.map_type, 24 | 28 | 29 | 32) {
                format!(": it has no size in the object; set it with --set map:{}.max_entries=N", s.name)
            } else if matches!(s.map_type, 3 | 7 | 8 | 11 | 14..=21 | 24 | 25 | 28 | 30 | 34..) {
                format!(": Sextant does not have {what} maps yet")
            } else if errno == Errno::ENOMEM {
                ": programs' objects have a limit of memory, which --memory raises".into()
            } else {
                String::new()
            }
        ));
    }

    fn key(&self, map: &MapObject, addr: u64) -> Result<Vec<u8>, Errno> {
        match map.spec.key_size {
            0 if addr != 0 => Err(Errno::EINVAL),
            size => user::bytes(addr, size as usize),
        }
    }

    pub(super) fn map_lookup_elem(&self, a: &Attr) -> Result<i32, Errno> {
        let map = self.map_at(a.u32(elem::MAP_FD) as i32)?;
        let key = self.key(&map, a.u64(elem::KEY))?;
        let value = match map.is_struct_ops() {
            true => self.struct_ops_lookup(&map)?,
            false => self.lookup(&map, &key, a.u64(elem::FLAGS))?,
        };
        user::write(a.u64(elem::VALUE), &value)?;
        Ok(0)
    }

    fn lookup(&self, map: &MapObject, key: &[u8], flags: u64) -> Result<Vec<u8>, Errno> {
        let vm = self.vm()?;
        Ok(vm.map_lookup(map.vm_map(vm)?, key, flags)?)
    }

    pub(super) fn map_update_elem(&self, a: &Attr) -> Result<i32, Errno> {
        let map = self.map_at(a.u32(elem::MAP_FD) as i32)?;
        if is_stand_in(&map) {
            return Ok(0);
        }
        let key = self.key(&map, a.u64(elem::KEY))?;
        self.update(&map, &key, a.u64(elem::VALUE), a.u64(elem::FLAGS))?;
        Ok(0)
    }

    fn update(&self, map: &MapObject, key: &[u8], value_at: u64, flags: u64) -> Result<(), Errno> {
        if map.is_struct_ops() {
            return self.struct_ops_update(map, key, value_at, flags);
        }
        let vm = self.vm()?;
        let id = map.vm_map(vm)?;
        let len = vm.map_user_value_size(id, flags).ok_or(Errno::EBADF)?;
        if len >= LARGE && map.spec.map_type == ARRAY && map.spec.max_entries == 1 && flags == 0 {
            return self.update_large(map, value_at, len);
        }
        let mut value = user::bytes(value_at, len)?;
        if self.of_maps(map.spec.map_type) {
            // User space names an inner map by descriptor, the vm by id.
            let fd = i32::from_le_bytes(value[..].try_into().map_err(|_| Errno::EINVAL)?);
            value = self.map_at(fd)?.vm_map(vm)?.0.to_le_bytes().to_vec();
        }
        Ok(vm.map_update(id, key, &value, flags)?)
    }

    /// The initial image of a large section: only its resident pages are copied, the rest is zero on both sides.
    fn update_large(&self, map: &MapObject, value_at: u64, len: usize) -> Result<(), Errno> {
        if map.frozen.get() {
            return Err(Errno::EPERM);
        }
        let vm = self.vm()?;
        let id = map.vm_map(vm)?;
        let zeros = [0; PAGE];
        let mut page = [0u8; PAGE];
        for offset in (0..len).step_by(PAGE) {
            let part = PAGE.min(len - offset);
            if !user::is_resident(value_at.wrapping_add(offset as u64)) {
                continue;
            }
            user::read(value_at.wrapping_add(offset as u64), &mut page[..part])?;
            if page[..part] != zeros[..part] {
                let addr = vm.map_value_addr(id, offset as u32).ok_or(Errno::EFAULT)?;
                vm.region().write_bytes(addr, &page[..part]);
            }
        }
        Ok(())
    }

    pub(super) fn map_delete_elem(&self, a: &Attr) -> Result<i32, Errno> {
        let map = self.map_at(a.u32(elem::MAP_FD) as i32)?;
        let key = self.key(&map, a.u64(elem::KEY))?;
        let vm = self.vm()?;
        vm.map_delete(map.vm_map(vm)?, &key)?;
        Ok(0)
    }

    pub(super) fn map_get_next_key(&self, a: &Attr) -> Result<i32, Errno> {
        let map = self.map_at(a.u32(elem::MAP_FD) as i32)?;
        let key = match a.u64(elem::KEY) {
            0 => None,
            at => Some(self.key(&map, at)?),
        };
        let next = self.next_key(&map, key.as_deref())?;
        user::write(a.u64(elem::VALUE), &next)?;
        Ok(0)
    }

    fn next_key(&self, map: &MapObject, key: Option<&[u8]>) -> Result<Vec<u8>, Errno> {
        if map.is_struct_ops() {
            return if key.is_none() { Ok(vec![0; 4]) } else { Err(Errno::ENOENT) };
        }
        let vm = self.vm()?;
        Ok(vm.map_next_key(map.vm_map(vm)?, key)?)
    }

    pub(super) fn map_lookup_and_delete_elem(&self, a: &Attr) -> Result<i32, Errno> {
        let map = self.map_at(a.u32(elem::MAP_FD) as i32)?;
        let flags = a.u64(elem::FLAGS);
        if flags & !BPF_F_LOCK != 0 {
            return Err(Errno::EINVAL);
        }
        if flags != 0 && !map.spec.fields.iter().any(|(_, field)| *field == SpecialField::SpinLock) {
            return Err(Errno::EINVAL);
        }
        let key = self.key(&map, a.u64(elem::KEY))?;
        let vm = self.vm()?;
        let value = vm.map_lookup_and_delete(map.vm_map(vm)?, &key)?;
        user::write(a.u64(elem::VALUE), &value)?;
        Ok(0)
    }

    pub(super) fn map_freeze(&self, a: &Attr) -> Result<i32, Errno> {
        let map = self.map_at(a.u32(elem::MAP_FD) as i32)?;
        if map.is_struct_ops() {
            return Err(Errno::ENOTSUPP);
        }
        if is_stand_in(&map) {
            return Ok(0);
        }
        let vm = self.vm()?;
        vm.map_freeze(map.vm_map(vm)?)?;
        map.frozen.set(true);
        Ok(0)
    }

    /// The batch commands, generic form: key by key. The count that was done goes back in every case but EFAULT.
    pub(super) fn map_batch(&self, command: u32, a: &Attr, uattr: u64) -> Result<i32, Errno> {
        let map = self.map_at(a.u32(batch::MAP_FD) as i32)?;
        let max = a.u32(batch::COUNT);
        let allowed = match command {
            cmd::MAP_UPDATE_BATCH => BPF_F_LOCK | BPF_F_CPU | BPF_F_ALL_CPUS,
            cmd::MAP_DELETE_BATCH => BPF_F_LOCK,
            _ => BPF_F_LOCK | BPF_F_CPU,
        };
        let unknown = a.u64(batch::ELEM_FLAGS) & u64::from(u32::MAX) & !allowed != 0;
        if a.u64(batch::FLAGS) != 0 || unknown {
            return Err(Errno::EINVAL);
        }
        if map.is_struct_ops() || map.spec.key_size == 0 {
            return Err(Errno::ENOTSUPP);
        }
        if max == 0 {
            return Ok(0);
        }
        let mut done = 0;
        let result = match command {
            cmd::MAP_UPDATE_BATCH => self.update_batch(&map, a, max, &mut done),
            cmd::MAP_DELETE_BATCH => self.delete_batch(&map, a, max, &mut done),
            _ => self.lookup_batch(&map, a, command == cmd::MAP_LOOKUP_AND_DELETE_BATCH, &mut done),
        };
        user::write(uattr + batch::COUNT as u64, &done.to_le_bytes())?;
        result.map(|()| 0)
    }

    fn update_batch(&self, map: &MapObject, a: &Attr, max: u32, done: &mut u32) -> Result<(), Errno> {
        let vm = self.vm()?;
        let key_size = u64::from(map.spec.key_size);
        let flags = a.u64(batch::ELEM_FLAGS);
        let value_size = vm.map_user_value_size(map.vm_map(vm)?, flags).ok_or(Errno::EBADF)? as u64;
        for i in 0..u64::from(max) {
            let key = self.key(map, a.u64(batch::KEYS).wrapping_add(i * key_size))?;
            self.update(map, &key, a.u64(batch::VALUES).wrapping_add(i * value_size), flags)?;
            *done += 1;
        }
        Ok(())
    }

    fn delete_batch(&self, map: &MapObject, a: &Attr, max: u32, done: &mut u32) -> Result<(), Errno> {
        let vm = self.vm()?;
        let id = map.vm_map(vm)?;
        for i in 0..u64::from(max) {
            let key = self.key(map, a.u64(batch::KEYS).wrapping_add(i * u64::from(map.spec.key_size)))?;
            vm.map_delete(id, &key)?;
            *done += 1;
        }
        Ok(())
    }

    /// `in_batch` and `out_batch` hold the last key that was handed out. ENOENT when the end was reached, with what there was.
    fn lookup_batch(&self, map: &MapObject, a: &Attr, delete: bool, done: &mut u32) -> Result<(), Errno> {
        let vm = self.vm()?;
        let id = map.vm_map(vm)?;
        let mut at = match a.u64(batch::IN_BATCH) {
            0 => None,
            addr => Some(self.key(map, addr)?),
        };
        let key_size = u64::from(map.spec.key_size);
        let mut drop = Vec::new();
        let mut end = Ok(());
        while *done < a.u32(batch::COUNT) {
            let key = match vm.map_next_key(id, at.as_deref()) {
                Ok(key) => key,
                Err(errno) => {
                    end = Err(Errno::from(errno));
                    break;
                }
            };
            let value = vm.map_lookup(id, &key, a.u64(batch::ELEM_FLAGS))?;
            let i = u64::from(*done);
            user::write(a.u64(batch::KEYS).wrapping_add(i * key_size), &key)?;
            user::write(a.u64(batch::VALUES).wrapping_add(i * value.len() as u64), &value)?;
            *done += 1;
            if delete {
                drop.push(key.clone());
            }
            at = Some(key);
        }
        if let (Ok(()), Some(key)) = (&end, &at) {
            user::write(a.u64(batch::OUT_BATCH), key)?;
        }
        for key in drop {
            vm.map_delete(id, &key)?;
        }
        end
    }
}
