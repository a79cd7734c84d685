//! What a load came to: the ops table as names and programs, the other programs, maps, and globals to read back.

use std::collections::BTreeMap;
use std::rc::Rc;

use sextant_abi::Mem;
use sextant_abi::tables::{Op, TracePoint};
use sextant_bpf::btf::{Btf, TypeId};
use sextant_vm::{MapId, Mark, ProgId, Vm};

use crate::globals::{self, SetError, Value};
use crate::kernel::{Kernel, ProgType};
use crate::load::render_place;
use crate::shown::MapTypes;

/// A scheduler in the vm, attached as far as bpf(2) is concerned.
pub struct Loaded {
    /// Where its maps and programs are.
    pub vm: Rc<Vm>,
    /// Its ops table.
    pub ops: LoadedOps,
    /// Its programs that are no ops, in the object's order.
    pub other_progs: Vec<OtherProg>,
    /// Its maps by libbpf's name.
    pub maps: BTreeMap<String, MapId>,
    /// Their types.
    pub(crate) map_types: BTreeMap<String, MapTypes>,
    /// The vm before and after: what came in between is its own.
    pub objects: (Mark, Mark),
    /// Its variables.
    pub globals: Globals,
    /// The emulated kernel it was loaded into.
    pub kernel: Rc<Kernel>,
    /// What was dropped or left out, and why.
    pub warnings: Vec<String>,
}

/// The attached ops table. Numbers are as user space set them: 0 stands for the kernel's default.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoadedOps {
    /// Name of its map.
    pub map: String,
    /// `struct sched_ext_ops_cid` instead of `struct sched_ext_ops`.
    pub cid_form: bool,
    /// `name`
    pub name: String,
    /// `flags`, SCX_OPS_*.
    pub flags: u64,
    /// `dispatch_max_batch`
    pub dispatch_max_batch: u32,
    /// `timeout_ms`
    pub timeout_ms: u32,
    /// `exit_dump_len`, bytes.
    pub exit_dump_len: u32,
    /// `hotplug_seq`
    pub hotplug_seq: u64,
    /// `cid_shard_size`
    pub cid_shard_size: u32,
    /// `sub_cgroup_id`
    pub sub_cgroup_id: u64,
    /// Programs by op.
    pub progs: BTreeMap<Op, ProgId>,
    /// Programs by member name, ops unknown to the table included.
    pub members: BTreeMap<String, ProgId>,
    /// The object refers to `scx_bpf_switch_all`: it attaches as if SCX_OPS_SWITCH_PARTIAL were set.
    pub calls_switch_all: bool,
}

/// A program that is no op.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OtherProg {
    /// Its name.
    pub name: String,
    /// ELF section: `syscall`, `fentry/bpf_scx_reg`, …
    pub section: String,
    /// Its type.
    pub prog_type: ProgType,
    /// Where it runs, if it is attached to something of the kernel's.
    pub trace: Option<TracePoint>,
    /// Its number in the vm, if programs of its type can run.
    pub id: Option<ProgId>,
}

impl Loaded {
    /// Its programs on functions and tracepoints of the kernel's.
    pub fn trace_progs(&self) -> Vec<(TracePoint, ProgId)> {
        self.other_progs.iter().filter_map(|prog| Some((prog.trace?, prog.id?))).collect()
    }
}

/// The object's variables in the vm's memory.
pub struct Globals {
    vm: Rc<Vm>,
    btf: Btf,
    sections: BTreeMap<TypeId, MapId>,
}

impl Globals {
    pub(crate) fn new(vm: Rc<Vm>, btf: Btf, sections: BTreeMap<TypeId, MapId>) -> Globals {
        Globals { vm, btf, sections }
    }

    /// The object's types.
    pub fn btf(&self) -> &Btf {
        &self.btf
    }

    /// A variable's bytes now.
    ///
    /// # Errors
    /// Unknown name, with suggestions; a section that has no memory.
    pub fn bytes(&self, path: &str) -> Result<Vec<u8>, SetError> {
        let (place, addr) = self.find(path)?;
        let size = self.btf.size_of(place.ty).unwrap_or(0) as usize;
        let mut bytes = vec![0; size];
        self.vm.region().read_bytes(addr + place.bit_offset / 8, &mut bytes);
        Ok(bytes)
    }

    /// A variable's value now, as text.
    ///
    /// # Errors
    /// As [`Globals::bytes`].
    pub fn get(&self, path: &str) -> Result<String, SetError> {
        let (place, _) = self.find(path)?;
        let bytes = self.bytes(path)?;
        Ok(render_place(&self.btf, globals::Place { bit_offset: place.bit_offset % 8, ..place }, &bytes))
    }

    /// A variable's value now, as a tree.
    ///
    /// # Errors
    /// As [`Globals::bytes`].
    pub fn value(&self, path: &str) -> Result<Value, SetError> {
        let (place, _) = self.find(path)?;
        let bytes = self.bytes(path)?;
        Ok(match place.bits {
            0 => globals::value(&self.btf, place.ty, &bytes),
            bits => globals::bits_value(&self.btf, place.ty, &bytes, (place.bit_offset % 8) as u32, bits),
        })
    }

    /// A variable's value now, as a number of at most 8 bytes.
    ///
    /// # Errors
    /// As [`Globals::bytes`].
    pub fn get_u64(&self, path: &str) -> Result<u64, SetError> {
        let bytes = self.bytes(path)?;
        let mut word = [0; 8];
        let len = bytes.len().min(8);
        word[..len].copy_from_slice(&bytes[..len]);
        Ok(u64::from_le_bytes(word))
    }

    /// Writes a variable's bytes, as user space does through the map it lies in; as many as there are room for.
    ///
    /// # Errors
    /// As [`Globals::bytes`].
    pub fn put(&self, path: &str, bytes: &[u8]) -> Result<(), SetError> {
        let (place, addr) = self.find(path)?;
        let size = self.btf.size_of(place.ty).unwrap_or(0) as usize;
        let bytes = &bytes[..bytes.len().min(size)];
        self.vm.region().write_bytes(addr + place.bit_offset / 8, bytes);
        Ok(())
    }

    fn find(&self, path: &str) -> Result<(globals::Place, u64), SetError> {
        let (name, steps) = globals::parse_path(path)?;
        let var = globals::find_var(&self.btf, &name)?;
        let place = globals::walk(&self.btf, path, var.ty, &steps)?;
        let map = self.sections.get(&var.section_id);
        let addr = map.and_then(|&map| self.vm.map_value_addr(map, var.offset));
        let addr = addr.ok_or_else(|| SetError::ReadOnly {
            path: path.to_string(),
            why: format!("section {} has no memory", var.section),
        })?;
        Ok((place, addr))
    }
}
