//! `bpf_cpumask_*`: CPU sets a program owns, and questions about any set. Mirrors kernel/bpf/cpumask.c, 7.3.

use sextant_abi::Mem;
use sextant_abi::ObjKind;
use sextant_abi::tables::KfuncId;
use sextant_abi::types::{BpfCpumask, Cpumask};
use sextant_vm::Errno;

use super::Handler;
use crate::bpf::call::{Call, Ret};

const EACCES: Errno = Errno(13);

pub(super) fn handler(id: KfuncId) -> Option<Handler> {
    Some(match id {
        KfuncId::bpf_cpumask_create => create,
        KfuncId::bpf_cpumask_acquire => acquire,
        KfuncId::bpf_cpumask_release => release,
        KfuncId::bpf_cpumask_first => |c| ask(c, |c, a| u64::from(a.first(c.mem(), c.nr_cpus()))),
        KfuncId::bpf_cpumask_first_zero => |c| ask(c, |c, a| u64::from(a.first_zero(c.mem(), c.nr_cpus()))),
        KfuncId::bpf_cpumask_empty => |c| ask(c, |c, a| u64::from(a.is_empty(c.mem(), c.nr_cpus()))),
        KfuncId::bpf_cpumask_full => |c| ask(c, |c, a| u64::from(a.is_full(c.mem(), c.nr_cpus()))),
        KfuncId::bpf_cpumask_weight => |c| ask(c, |c, a| u64::from(a.weight(c.mem(), c.nr_cpus()))),
        KfuncId::bpf_cpumask_any_distribute => any_distribute,
        KfuncId::bpf_cpumask_first_and => {
            |c| ask2(c, |c, a, b| u64::from(a.first_and(c.mem(), b, c.nr_cpus())))
        }
        KfuncId::bpf_cpumask_any_and_distribute => any_and_distribute,
        KfuncId::bpf_cpumask_equal => |c| ask2(c, |c, a, b| u64::from(a.equal(c.mem(), b, c.nr_cpus()))),
        KfuncId::bpf_cpumask_intersects => {
            |c| ask2(c, |c, a, b| u64::from(a.intersects(c.mem(), b, c.nr_cpus())))
        }
        KfuncId::bpf_cpumask_subset => |c| ask2(c, |c, a, b| u64::from(a.subset(c.mem(), b, c.nr_cpus()))),
        KfuncId::bpf_cpumask_test_cpu => test_cpu,
        KfuncId::bpf_cpumask_set_cpu => |c| change(c, true),
        KfuncId::bpf_cpumask_clear_cpu => |c| change(c, false),
        KfuncId::bpf_cpumask_test_and_set_cpu => |c| change(c, true),
        KfuncId::bpf_cpumask_test_and_clear_cpu => |c| change(c, false),
        KfuncId::bpf_cpumask_setall => |c| fill(c, true),
        KfuncId::bpf_cpumask_clear => |c| fill(c, false),
        KfuncId::bpf_cpumask_and => |c| combine(c, |a, b| a & b),
        KfuncId::bpf_cpumask_or => |c| combine(c, |a, b| a | b),
        KfuncId::bpf_cpumask_xor => |c| combine(c, |a, b| a ^ b),
        KfuncId::bpf_cpumask_copy => copy,
        KfuncId::bpf_cpumask_populate => populate,
        _ => return None,
    })
}

fn create(c: &mut Call<'_>) -> Ret {
    let Some(addr) = c.s.mem.try_alloc(ObjKind::Kernel, BpfCpumask::SIZE) else { return Ok(0) };
    c.ops.cpumasks.borrow_mut().insert(addr, 1);
    Ok(addr)
}

fn acquire(c: &mut Call<'_>) -> Ret {
    c.own_cpumask(0)?;
    if let Some(refs) = c.ops.cpumasks.borrow_mut().get_mut(&c.args[0]) {
        // A count of 0 stays there, as refcount_t does.
        *refs = refs.saturating_add(u32::from(*refs > 0));
    }
    Ok(c.args[0])
}

fn release(c: &mut Call<'_>) -> Ret {
    c.own_cpumask(0)?;
    match c.ops.put_cpumask(c.args[0]) {
        true => Ok(0),
        false => Err(c.bad(0, "is released, but nobody holds it")),
    }
}

fn ask(c: &mut Call<'_>, f: impl Fn(&Call<'_>, Cpumask) -> u64) -> Ret {
    let mask = c.cpumask(0)?;
    Ok(f(c, mask))
}

fn ask2(c: &mut Call<'_>, f: impl Fn(&Call<'_>, Cpumask, Cpumask) -> u64) -> Ret {
    let (a, b) = (c.cpumask(0)?, c.cpumask(1)?);
    Ok(f(c, a, b))
}

/// The next CPU of the set after the one given out last, round and round, so that work spreads.
fn any_distribute(c: &mut Call<'_>) -> Ret {
    let mask = c.cpumask(0)?.load(c.mem(), c.nr_cpus());
    Ok(u64::from(c.ops.distribute(&mask, c.nr_cpus())))
}

fn any_and_distribute(c: &mut Call<'_>) -> Ret {
    let (a, b) = (c.cpumask(0)?, c.cpumask(1)?);
    let both = a.load(c.mem(), c.nr_cpus()).and(&b.load(c.mem(), c.nr_cpus()));
    Ok(u64::from(c.ops.distribute(&both, c.nr_cpus())))
}

fn test_cpu(c: &mut Call<'_>) -> Ret {
    let mask = c.cpumask(1)?;
    Ok(u64::from(c.u32(0) < c.nr_cpus() && mask.test_cpu(c.mem(), c.u32(0))))
}

/// Sets or clears one CPU; the value before. A CPU the machine does not have is ignored.
fn change(c: &mut Call<'_>, on: bool) -> Ret {
    let (cpu, mask) = (c.u32(0), c.own_cpumask(1)?);
    if cpu >= c.nr_cpus() {
        return Ok(0);
    }
    let before = mask.test_cpu(c.mem(), cpu);
    if on {
        mask.set_cpu(c.mem(), cpu)
    } else {
        mask.clear_cpu(c.mem(), cpu)
    }
    Ok(u64::from(before))
}

fn fill(c: &mut Call<'_>, on: bool) -> Ret {
    let mask = c.own_cpumask(0)?;
    if on {
        mask.setall(c.mem(), c.nr_cpus())
    } else {
        mask.clear(c.mem())
    }
    Ok(0)
}

fn combine(c: &mut Call<'_>, f: impl Fn(u64, u64) -> u64) -> Ret {
    let (dst, a, b) = (c.own_cpumask(0)?, c.cpumask(1)?, c.cpumask(2)?);
    Ok(u64::from(dst.assign(c.mem(), a, b, c.nr_cpus(), f)))
}

fn copy(c: &mut Call<'_>) -> Ret {
    let (dst, src) = (c.own_cpumask(0)?, c.cpumask(1)?);
    dst.assign(c.mem(), src, src, c.nr_cpus(), |a, _| a);
    Ok(0)
}

/// -EACCES when the buffer does not cover `nr_cpu_ids` bits in whole longs.
fn populate(c: &mut Call<'_>) -> Ret {
    let (dst, size) = (c.own_cpumask(0)?, c.u64(2));
    let need = u64::from(c.nr_cpus().div_ceil(64)) * 8;
    if size < need {
        return Ok(EACCES.ret());
    }
    let bytes = c.bytes(1, need as usize)?;
    for (i, word) in bytes.chunks_exact(8).enumerate() {
        let word = u64::from_le_bytes(word.try_into().expect("chunks of 8"));
        dst.bits().at(i).set(c.mem(), word);
    }
    Ok(0)
}
