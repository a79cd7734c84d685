//! One kfunc call: the registers, and how they become the class's typed arguments.

use sextant_abi::types::Cpumask;
use sextant_abi::{CpuId, Mem};
use sextant_vm::{Access, Trap, Vm};

use super::BpfOps;
use crate::cgroup::CgroupId;
use crate::sched::{KMem, Sched};
use crate::task::TaskId;

/// A kfunc's result: the value of r0, or the end of the program.
pub(super) type Ret = Result<u64, Trap>;

/// A kfunc call in progress.
pub(super) struct Call<'a> {
    pub(super) s: &'a mut Sched,
    pub(super) ops: &'a BpfOps,
    pub(super) vm: &'a Vm,
    pub(super) args: [u64; 5],
    pub(super) name: &'static str,
}

impl Call<'_> {
    /// Argument `i` as it is.
    pub(super) fn u64(&self, i: usize) -> u64 {
        self.args[i]
    }

    /// Argument `i` as an `s32`.
    pub(super) fn s32(&self, i: usize) -> i32 {
        self.args[i] as i32
    }

    /// Argument `i` as a `u32`.
    pub(super) fn u32(&self, i: usize) -> u32 {
        self.args[i] as u32
    }

    /// Argument `i` as a task, or `None` for NULL. Any other address is a trap: the verifier would have refused it.
    pub(super) fn task_or_null(&self, i: usize) -> Result<Option<TaskId>, Trap> {
        match self.args[i] {
            0 => Ok(None),
            addr => match self.s.tasks.from_addr(addr) {
                Some(p) => Ok(Some(p)),
                None => Err(self.bad(i, "is not a task_struct")),
            },
        }
    }

    /// Argument `i` as a task.
    pub(super) fn task(&self, i: usize) -> Result<TaskId, Trap> {
        self.task_or_null(i)?.ok_or_else(|| self.bad(i, "is NULL"))
    }

    /// Argument `i` as a cgroup.
    pub(super) fn cgroup(&self, i: usize) -> Result<CgroupId, Trap> {
        self.s.cgroups.from_addr(self.args[i]).ok_or_else(|| self.bad(i, "is not a live cgroup"))
    }

    /// Argument `i` as a cpumask that may be read (`nr_cpu_ids` bits of it).
    pub(super) fn cpumask(&self, i: usize) -> Result<Cpumask, Trap> {
        let bytes = u64::from(self.nr_cpus().div_ceil(64)) * 8;
        match self.mem().check(self.args[i], bytes, Access::Read) {
            Ok(()) => Ok(Cpumask::at(self.args[i])),
            Err(fault) => Err(self.bad(i, &format!("is not a cpumask: {fault}"))),
        }
    }

    /// Argument `i` as a mask of the program's own (`bpf_cpumask_create`).
    pub(super) fn own_cpumask(&self, i: usize) -> Result<Cpumask, Trap> {
        if self.ops.cpumasks.borrow().contains_key(&self.args[i]) {
            return Ok(Cpumask::at(self.args[i]));
        }
        Err(self.bad(i, "is not a live bpf_cpumask"))
    }

    /// The program gives back a reference on argument 1. A trap when it holds none: the object is the kernel's, who goes on using it.
    pub(super) fn give_back(&self) -> Result<(), Trap> {
        match self.ops.note_released(self.args[0]) {
            true => Ok(()),
            false => Err(self.bad(0, "was not acquired by this scheduler")),
        }
    }

    /// Checks that `size` bytes at argument `i` may be accessed, and gives the address.
    pub(super) fn buffer(&self, i: usize, size: u64, access: Access) -> Result<u64, Trap> {
        let addr = self.args[i];
        self.mem().check(addr, size, access).map_err(|fault| self.bad(i, &fault.to_string()))?;
        Ok(addr)
    }

    /// Reads `size` bytes at argument `i`.
    pub(super) fn bytes(&self, i: usize, size: usize) -> Result<Vec<u8>, Trap> {
        let addr = self.buffer(i, size as u64, Access::Read)?;
        let mut out = vec![0; size];
        self.mem().read_bytes(addr, &mut out);
        Ok(out)
    }

    /// Memory.
    pub(super) fn mem(&self) -> &KMem {
        &self.s.mem
    }

    /// `nr_cpu_ids`
    pub(super) fn nr_cpus(&self) -> u32 {
        self.s.cfg.nr_cpus
    }

    /// The CPU a number names, if it is one of the machine's.
    pub(super) fn possible_cpu(&self, cpu: i32) -> Option<CpuId> {
        u32::try_from(cpu).ok().filter(|&cpu| cpu < self.nr_cpus()).map(CpuId)
    }

    /// The address of a task's `task_struct`, 0 for none.
    pub(super) fn addr_of(&self, p: Option<TaskId>) -> u64 {
        p.map_or(0, |p| self.s.tasks[p].ts.addr())
    }

    /// The trap for an argument the verifier would have refused.
    pub(super) fn bad(&self, i: usize, what: &str) -> Trap {
        Trap::kfunc(format!("{}: argument {} ({:#x}) {what}", self.name, i + 1, self.args[i]))
    }
}
