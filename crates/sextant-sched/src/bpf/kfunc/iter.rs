//! Open-coded iterators over numbers (`bpf_for`) and bits. Mirrors kernel/bpf/{bpf_iter,helpers}.c, 7.3.

use sextant_abi::Mem;
use sextant_abi::tables::KfuncId;
use sextant_vm::{Access, Errno};

use super::Handler;
use crate::bpf::call::{Call, Ret};

/// `BPF_MAX_LOOPS`: what `bpf_iter_num` accepts as a range.
const MAX_LOOPS: i64 = 8 << 20;

pub(super) fn handler(id: KfuncId) -> Option<Handler> {
    Some(match id {
        KfuncId::bpf_iter_num_new => num_new,
        KfuncId::bpf_iter_num_next => num_next,
        KfuncId::bpf_iter_num_destroy => num_destroy,
        _ => return None,
    })
}

/// The state is two s32 on the program's stack: the current number, starting one below the first, and the end.
fn num_new(c: &mut Call<'_>) -> Ret {
    let it = c.buffer(0, 8, Access::Write)?;
    let (start, end) = (c.s32(1), c.s32(2));
    let err = if start > end {
        Errno::EINVAL.ret()
    } else if i64::from(end) - i64::from(start) > MAX_LOOPS {
        Errno::E2BIG.ret()
    } else {
        0
    };
    let (cur, end) = if err == 0 { (start.wrapping_sub(1), end) } else { (0, 0) };
    set(c, it, cur, end);
    Ok(err)
}

fn num_next(c: &mut Call<'_>) -> Ret {
    let it = c.buffer(0, 8, Access::Write)?;
    let (cur, end) = (c.mem().load(it, 4) as i32, c.mem().load(it + 4, 4) as i32);
    if cur.wrapping_add(1) >= end {
        set(c, it, 0, 0);
        return Ok(0);
    }
    set(c, it, cur.wrapping_add(1), end);
    Ok(it)
}

fn num_destroy(c: &mut Call<'_>) -> Ret {
    let it = c.buffer(0, 8, Access::Write)?;
    set(c, it, 0, 0);
    Ok(0)
}

fn set(c: &Call<'_>, it: u64, cur: i32, end: i32) {
    c.mem().store(it, 4, u64::from(cur as u32));
    c.mem().store(it + 4, 4, u64::from(end as u32));
}
