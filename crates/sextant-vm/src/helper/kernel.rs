//! Time, CPU, the current task, locks, owned pointers, per-CPU variables, strings.

use sextant_abi::types::TaskStruct;

use crate::error::TrapKind;
use crate::exec::Exec;
use crate::{Access, Errno};

pub(super) fn ktime(exec: &mut Exec<'_>, _: [u64; 5]) -> Result<u64, TrapKind> {
    Ok(exec.host.ktime_ns(exec.vm.insns()))
}

pub(super) fn jiffies64(exec: &mut Exec<'_>, _: [u64; 5]) -> Result<u64, TrapKind> {
    Ok(exec.host.jiffies())
}

pub(super) fn prandom(exec: &mut Exec<'_>, _: [u64; 5]) -> Result<u64, TrapKind> {
    Ok(exec.host.prandom_u32().into())
}

pub(super) fn cpu(exec: &mut Exec<'_>, _: [u64; 5]) -> Result<u64, TrapKind> {
    Ok(exec.host.cpu().into())
}

pub(super) fn numa_node(exec: &mut Exec<'_>, _: [u64; 5]) -> Result<u64, TrapKind> {
    Ok(exec.host.numa_node().into())
}

/// The current task's owner, `gid << 32 | uid`, from its credentials.
pub(super) fn current_uid_gid(exec: &mut Exec<'_>, _: [u64; 5]) -> Result<u64, TrapKind> {
    let task = exec.host.current_task();
    Ok(if task == 0 { Errno::EINVAL.ret() } else { 0 }) // every emulated task is root's
}

pub(super) fn current_cgroup_id(exec: &mut Exec<'_>, _: [u64; 5]) -> Result<u64, TrapKind> {
    Ok(exec.host.current_cgroup_id(None))
}

pub(super) fn current_ancestor_cgroup_id(
    exec: &mut Exec<'_>,
    [level, ..]: [u64; 5],
) -> Result<u64, TrapKind> {
    Ok(exec.host.current_cgroup_id(Some(level as i32)))
}

/// `bpf_get_ns_current_pid_tgid(dev, ino, nsdata, size)`: -EINVAL for a namespace that is not the task's. Programs learn
/// device and inode from /proc, which the emulated machine does not have.
pub(super) fn ns_pid_tgid(exec: &mut Exec<'_>, [_, _, data, size, _]: [u64; 5]) -> Result<u64, TrapKind> {
    let size = size as u32;
    exec.region.check(data, size.into(), Access::Write)?;
    exec.region.bpf_write(data, &vec![0; size as usize])?;
    Ok(Errno::EINVAL.ret())
}

/// BPF_F_USER_STACK, BPF_F_USER_BUILD_ID, and the frames to skip.
const F_USER_STACK: u64 = 1 << 8;
const F_USER_BUILD_ID: u64 = 1 << 11;
const F_SKIP_FIELD_MASK: u64 = 0xff;
/// `sizeof(struct bpf_stack_build_id)`
const BUILD_ID_SIZE: u32 = 32;

/// `bpf_get_task_stack(task, buf, size, flags)`: the stack of an emulated task is empty, so every frame is skipped: -EFAULT, as for a task
/// without a user stack; -EINVAL for unknown flags and for a size that is no number of entries. The buffer is cleared.
pub(super) fn task_stack(exec: &mut Exec<'_>, [_, buf, size, flags, _]: [u64; 5]) -> Result<u64, TrapKind> {
    let size = size as u32;
    exec.region.check(buf, size.into(), Access::Write)?;
    exec.region.bpf_write(buf, &vec![0; size as usize])?;
    let (user, build_id) = (flags & F_USER_STACK != 0, flags & F_USER_BUILD_ID != 0);
    let known = flags & !(F_SKIP_FIELD_MASK | F_USER_STACK | F_USER_BUILD_ID) == 0;
    let entry = if build_id && user { BUILD_ID_SIZE } else { 8 };
    if !known || build_id && !user || !size.is_multiple_of(entry) {
        return Ok(Errno::EINVAL.ret());
    }
    Ok(Errno::EFAULT.ret())
}

/// `bpf_find_vma(task, addr, callback, ctx, flags)`: emulated tasks map nothing.
pub(super) fn find_vma(_: &mut Exec<'_>, [_, _, _, _, flags]: [u64; 5]) -> Result<u64, TrapKind> {
    Ok(if flags != 0 { Errno::EINVAL.ret() } else { Errno::ENOENT.ret() })
}

pub(super) fn current_task(exec: &mut Exec<'_>, _: [u64; 5]) -> Result<u64, TrapKind> {
    Ok(exec.host.current_task())
}

/// No group has a net_cls class.
pub(super) fn cgroup_classid(_: &mut Exec<'_>, _: [u64; 5]) -> Result<u64, TrapKind> {
    Ok(0)
}

/// The CPUs record no branches: there is never one to hand out.
pub(super) fn branch_snapshot(_: &mut Exec<'_>, args: [u64; 5]) -> Result<u64, TrapKind> {
    Ok(if args[2] == 0 { Errno::ENOENT.ret() } else { Errno::EINVAL.ret() })
}

/// `tgid << 32 | pid`
pub(super) fn current_pid_tgid(exec: &mut Exec<'_>, _: [u64; 5]) -> Result<u64, TrapKind> {
    let task = exec.host.current_task();
    if task == 0 {
        return Ok(Errno::EINVAL.ret());
    }
    let task = TaskStruct::at(task);
    let (pid, tgid) = (task.pid().get(exec.region) as u32, task.tgid().get(exec.region) as u32);
    Ok(u64::from(tgid) << 32 | u64::from(pid))
}

/// `bpf_get_current_comm(buf, size)`: cut and NUL-terminated, the rest zero.
pub(super) fn current_comm(exec: &mut Exec<'_>, [buf, size, ..]: [u64; 5]) -> Result<u64, TrapKind> {
    let size = size as u32 as usize;
    exec.region.check(buf, size as u64, Access::Write)?;
    let task = exec.host.current_task();
    let mut out = vec![0; size];
    if task != 0 {
        let comm = TaskStruct::at(task).comm().get_str(exec.region).into_bytes();
        let len = comm.len().min(size.saturating_sub(1));
        out[..len].copy_from_slice(&comm[..len]);
    }
    exec.region.bpf_write(buf, &out)?;
    Ok(if task == 0 { Errno::EINVAL.ret() } else { 0 })
}

pub(super) fn spin_lock(exec: &mut Exec<'_>, [lock, ..]: [u64; 5]) -> Result<u64, TrapKind> {
    exec.region.check(lock, 4, Access::Write)?;
    match exec.lock.replace(lock) {
        Some(_) => Err(TrapKind::Lock("bpf_spin_lock while another lock is held")),
        None => Ok(0),
    }
}

pub(super) fn spin_unlock(exec: &mut Exec<'_>, [lock, ..]: [u64; 5]) -> Result<u64, TrapKind> {
    match exec.lock.take() {
        Some(held) if held == lock => Ok(0),
        Some(_) => Err(TrapKind::Lock("bpf_spin_unlock of a lock that is not the one held")),
        None => Err(TrapKind::Lock("bpf_spin_unlock without bpf_spin_lock")),
    }
}

/// `bpf_kptr_xchg(dst, ptr)`: the old pointer, which the program owns now.
pub(super) fn kptr_xchg(exec: &mut Exec<'_>, [dst, ptr, ..]: [u64; 5]) -> Result<u64, TrapKind> {
    exec.region.check_object(dst, 8, true)?;
    let old = exec.region.bpf_load(dst, 8)?;
    exec.region.bpf_store(dst, 8, ptr)?;
    Ok(old)
}

/// NULL for a CPU that does not exist.
pub(super) fn per_cpu_ptr(exec: &mut Exec<'_>, [var, cpu, ..]: [u64; 5]) -> Result<u64, TrapKind> {
    let cpu = cpu as u32;
    if cpu >= exec.vm.cfg.nr_cpus {
        return Ok(0);
    }
    exec.vm.percpu_addr(var, cpu).ok_or(TrapKind::BadArg("bpf_per_cpu_ptr", "not a per-CPU variable"))
}

pub(super) fn this_cpu_ptr(exec: &mut Exec<'_>, [var, ..]: [u64; 5]) -> Result<u64, TrapKind> {
    let cpu = exec.host.cpu();
    exec.vm.percpu_addr(var, cpu).ok_or(TrapKind::BadArg("bpf_this_cpu_ptr", "not a per-CPU variable"))
}

/// `bpf_strncmp(s1, s1_size, s2)`: difference of the first bytes that differ.
pub(super) fn strncmp(exec: &mut Exec<'_>, [s1, size, s2, ..]: [u64; 5]) -> Result<u64, TrapKind> {
    for i in 0..u64::from(size as u32) {
        let a = exec.region.bpf_load(s1.wrapping_add(i), 1)?;
        let b = exec.region.bpf_load(s2.wrapping_add(i), 1)?;
        if a != b {
            return Ok(if a < b { -1i64 as u64 } else { 1 });
        }
        if a == 0 {
            break;
        }
    }
    Ok(0)
}

impl crate::Vm {
    /// Memory for a per-CPU kernel variable: what a program holds as its address (CPU 0's copy). ENOMEM.
    pub fn percpu_alloc(&self, size: u32) -> Result<u64, Errno> {
        let stride = u64::from(size).next_multiple_of(64).max(64);
        let len = stride * u64::from(self.cfg.nr_cpus);
        let base = self.region.alloc_block(crate::region::Zone::Kernel, len, 64)?;
        self.region.object_add(base, size.into(), stride, self.cfg.nr_cpus.into());
        self.percpu.borrow_mut().insert(base, PercpuCopies::apart(base, stride, self.cfg.nr_cpus));
        Ok(base)
    }

    /// Makes objects that are there a per-CPU kernel variable: `copies` are their addresses by CPU, each of `size` bytes. What a
    /// program holds as its address is that of CPU 0's copy, which this gives back. EINVAL when there is none.
    pub fn percpu_bind(&self, size: u32, copies: &[u64]) -> Result<u64, Errno> {
        let base = *copies.first().ok_or(Errno::EINVAL)?;
        let var = PercpuCopies { size: size.into(), copies: copies.to_vec() };
        self.percpu.borrow_mut().insert(base, var);
        Ok(base)
    }

    /// Tells of a per-CPU kernel variable whose copies the kernel has: their addresses by CPU.
    pub fn percpu_provide(&self, name: &'static str, copies: Vec<u64>) {
        self.provided.borrow_mut().insert(name, copies);
    }

    /// The addresses told of by [`percpu_provide`](Self::percpu_provide).
    pub fn percpu_provided(&self, name: &str) -> Option<Vec<u64>> {
        self.provided.borrow().get(name).cloned()
    }

    /// A CPU's copy of (a byte of) a per-CPU variable.
    pub fn percpu_addr(&self, var: u64, cpu: u32) -> Option<u64> {
        let percpu = self.percpu.borrow();
        let (&base, found) = percpu.range(..=var).next_back()?;
        let copy = found.copies.get(cpu as usize)?;
        (var - base < found.size).then(|| copy + (var - base))
    }
}

/// Where the copies of a per-CPU kernel variable are.
#[derive(Debug)]
pub(crate) struct PercpuCopies {
    /// Bytes from one copy's start that belong to it.
    size: u64,
    /// By CPU.
    copies: Vec<u64>,
}

impl PercpuCopies {
    /// Copies `stride` bytes apart.
    pub(crate) fn apart(base: u64, stride: u64, nr_cpus: u32) -> Self {
        Self { size: stride, copies: (0..u64::from(nr_cpus)).map(|cpu| base + cpu * stride).collect() }
    }
}
