//! Entering compiled code, and what it calls.
//!
//! Must hold: no Rust reference to the [`Exec`] is used while compiled code runs, except inside what it calls; a panic
//! of the host does not unwind through compiled code, it is carried round it.

use std::any::Any;
use std::cell::Cell;
use std::ffi::c_void;
use std::mem::{MaybeUninit, offset_of};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::ptr::null_mut;

use super::code::Runtime;
use super::lower::{Shape, is_cmpxchg, shape};
use super::memory::Compiled;
use crate::decode::Code;
use crate::error::{Fault, TrapKind};
use crate::exec::{Exec, MAX_FRAMES};
use crate::interp::{atomic, mem_load, mem_store, sign_extend};
use crate::region::Walls;
use crate::{helper, kfunc};

/// What compiled code looks at. One per region; a nested run saves the outer one's cells.
#[repr(C)]
pub(crate) struct State {
    /// The wall check as a table.
    pub(crate) walls: Walls,
    /// r0..r10 after compiled code was left, r0 after it returned.
    pub(super) regs: [Cell<u64>; 11],
    /// A scratch word.
    pub(super) spill: Cell<u64>,
    /// The instruction of a slow access.
    pub(super) pc: Cell<u64>,
    pub(super) now: Now,
}

/// The part of the state that belongs to the run under way.
#[repr(C)]
pub(super) struct Now {
    /// Instructions left; in a register inside compiled code.
    pub(super) left: Cell<u64>,
    /// Where the next call's frame goes, and where there is no room any more.
    pub(super) cursor: Cell<*mut Saved>,
    pub(super) cursor_end: Cell<*mut Saved>,
    /// The stack pointer to come back to.
    pub(super) sp: Cell<u64>,
    /// `Exec::may_goto_left`
    pub(super) may_goto: Cell<*mut u32>,
    /// Instructions counted and left together.
    limit: Cell<u64>,
    run: Cell<*mut Run>,
}

impl State {
    /// For a region with nothing in it, at a distance of host and program's addresses.
    pub(crate) fn new(walls: Walls) -> State {
        let now = Now {
            left: Cell::new(0),
            cursor: Cell::new(null_mut()),
            cursor_end: Cell::new(null_mut()),
            sp: Cell::new(0),
            may_goto: Cell::new(null_mut()),
            limit: Cell::new(0),
            run: Cell::new(null_mut()),
        };
        State { walls, regs: Default::default(), spill: Cell::new(0), pc: Cell::new(0), now }
    }
}

impl Now {
    fn swap(&self, other: &Now) {
        self.left.swap(&other.left);
        self.cursor.swap(&other.cursor);
        self.cursor_end.swap(&other.cursor_end);
        self.sp.swap(&other.sp);
        self.may_goto.swap(&other.may_goto);
        self.limit.swap(&other.limit);
        self.run.swap(&other.run);
    }
}

/// What a call saves.
#[repr(C)]
#[derive(Clone, Copy, Default)]
pub(super) struct Saved {
    /// The slot to return to.
    pub(super) ret: u64,
    /// r6..r9
    pub(super) regs: [u64; 4],
}

/// A run of compiled code, for what it calls.
struct Run {
    /// The `Exec`, whose lifetimes no pointer can carry.
    exec: *mut (),
    /// Frames in use when the run began.
    base: usize,
    /// The first call's frame.
    first: *mut Saved,
    /// Why a call ended the run.
    trap: Option<TrapKind>,
    panic: Option<Box<dyn Any + Send>>,
}

/// How compiled code ended: [`RETURNED`], [`TRAPPED`], or [`LEFT`] and the slot in the upper half.
pub(super) const RETURNED: u32 = 0;
/// A call out trapped.
pub(super) const TRAPPED: u32 = 1;
/// The interpreter is to go on from a slot; it was not counted.
pub(super) const LEFT: u32 = 2;

/// A result in two registers.
#[repr(C)]
pub(super) struct Answer {
    val: u64,
    /// Not 0: the run ends.
    failed: u64,
}

/// The functions that compiled code calls.
pub(super) fn runtime() -> Runtime {
    let call_out: extern "C" fn(&State, &[u64; 5], u64) -> Answer = call_out;
    let slow_access: extern "C" fn(&State, u64, u64) -> Answer = slow_access;
    Runtime { call_out: call_out as usize as u64, slow_access: slow_access as usize as u64 }
}

/// Runs a function in a new frame to its exit; `target` is where its first block is in `code`.
pub(crate) fn run(
    exec: &mut Exec<'_>,
    code: &Compiled,
    target: *const c_void,
    [r1, r2, r3, r4, r5]: [u64; 5],
) -> Result<u64, TrapKind> {
    let base = exec.depth;
    let fp = exec.push_frame::<false>()?;
    let (region, vm) = (exec.region, exec.vm);
    let state = &region.compiled;
    // The first is what the outermost exit restores, the others are written by calls before they are read.
    let mut frames = [const { MaybeUninit::<Saved>::uninit() }; MAX_FRAMES + 1];
    frames[0].write(Saved::default());
    let frames = frames.as_mut_ptr().cast::<Saved>();
    let first = frames.wrapping_add(1);
    let exec_ptr: *mut Exec<'_> = exec;
    let mut run = Run { exec: exec_ptr.cast(), base, first, trap: None, panic: None };
    let left = vm.left.get();
    let now = Now {
        left: Cell::new(left),
        cursor: Cell::new(first),
        cursor_end: Cell::new(first.wrapping_add(MAX_FRAMES - 1 - base)),
        sp: Cell::new(0),
        // SAFETY: the pointer was made of a reference just above.
        may_goto: Cell::new(unsafe { &raw mut (*exec_ptr).may_goto_left }),
        limit: Cell::new(vm.insns.get() + left),
        run: Cell::new(&raw mut run),
    };
    state.now.swap(&now);
    // SAFETY: `code` was made by a back end for these types, `target` is one of its blocks; it touches the region where the
    // wall's table lets it, `state`, the frames, of which the depth check leaves enough, and the `Exec` through `run`.
    let status = unsafe { code.entry()(state, target, &[r1, r2, r3, r4, r5, fp]) };
    state.now.swap(&now);
    if let Some(panic) = run.panic.take() {
        resume_unwind(panic);
    }
    if status as u32 != TRAPPED {
        vm.left.set(now.left.get());
        vm.insns.set(now.limit.get() - now.left.get());
    }
    match status as u32 {
        RETURNED => {
            exec.pop_frame::<false>();
            Ok(state.regs[0].get())
        }
        LEFT => {
            let calls = frames_in_use(&now, first);
            // SAFETY: compiled code has written the frames below its cursor.
            let saved = unsafe { std::slice::from_raw_parts(first, calls) };
            exec.depth = base + 1;
            for saved in saved {
                exec.adopt_frame(saved.ret as u32, saved.regs);
            }
            let mut regs = [0; 16];
            regs.iter_mut().zip(&state.regs).for_each(|(to, from)| *to = from.get());
            exec.interp_from::<false>(base, (status >> 32) as u32, regs)
        }
        _ => {
            exec.depth = base;
            Err(run.trap.take().unwrap_or(TrapKind::BadInsn("a call failed without a reason")))
        }
    }
}

fn frames_in_use(now: &Now, first: *mut Saved) -> usize {
    (now.cursor.get() as usize - first as usize) / size_of::<Saved>()
}

/// Calls the helper or kfunc of a slot.
extern "C" fn call_out(state: &State, args: &[u64; 5], pc: u64) -> Answer {
    // SAFETY: `run` set the pointers and waits for compiled code to end; nobody else uses what they lead to.
    let (run, exec) = unsafe {
        let run = &mut *state.now.run.get();
        let exec = run.exec.cast::<Exec<'_>>();
        (run, &mut *exec)
    };
    let vm = exec.vm;
    exec.depth = run.base + 1 + frames_in_use(&state.now, run.first);
    let left = state.now.left.get();
    vm.insns.set(state.now.limit.get() - left);
    vm.left.set(left);
    vm.calling.set((exec.prog.id, pc as u32));
    let op = exec.prog.ops[pc as usize];
    let result = catch_unwind(AssertUnwindSafe(|| match op.code {
        Code::CallHelper => helper::call(exec, op.imm as usize, *args),
        Code::CallKfunc => exec.call_kfunc(op.imm as u32, *args),
        _ => kfunc::call(exec, op.imm as usize, *args),
    }));
    state.now.left.set(vm.left.get());
    state.now.limit.set(vm.insns.get() + vm.left.get());
    match result {
        Ok(Ok(val)) => return Answer { val, failed: 0 },
        Ok(Err(kind)) => {
            exec.trap_at.get_or_insert(pc as u32);
            run.trap = Some(kind);
        }
        Err(panic) => run.panic = Some(panic),
    }
    Answer { val: 0, failed: 1 }
}

/// The access of a slot, as the interpreter makes it. What faults has done nothing, so the interpreter can do it again.
extern "C" fn slow_access(state: &State, addr: u64, val: u64) -> Answer {
    // SAFETY: as in `call_out`.
    let (run, exec) = unsafe {
        let run = &mut *state.now.run.get();
        let exec = run.exec.cast::<Exec<'_>>();
        (run, &mut *exec)
    };
    let r0 = state.regs[0].get();
    match catch_unwind(AssertUnwindSafe(|| access(exec, state.pc.get() as usize, addr, val, r0))) {
        Ok(Ok(val)) => return Answer { val, failed: 0 },
        Ok(Err(_)) => {}
        Err(panic) => run.panic = Some(panic),
    }
    Answer { val: 0, failed: 1 }
}

/// The access of the op at `pc`; `val` is what it stores. Gives what it loads.
fn access(exec: &mut Exec<'_>, pc: usize, addr: u64, val: u64, r0: u64) -> Result<u64, Fault> {
    let op = exec.prog.ops[pc];
    match shape(op.code) {
        Shape::Load(size, signed, probe) => {
            let val = match mem_load(exec.region, addr, size, false) {
                Err(_) if probe => Ok(0),
                Err(fault) => exec.load_refused(pc, fault),
                val => val,
            };
            val.map(|val| if signed { sign_extend(val, size * 8) } else { val })
        }
        Shape::Store(size, _) => {
            let done = mem_store::<false>(exec.region, addr, size, val);
            done.or_else(|fault| exec.store_refused(pc, fault, val)).map(|()| 0)
        }
        _ => {
            let mut regs = [0; 16];
            regs[op.src as usize] = val;
            regs[0] = r0;
            let done = atomic::<false>(exec.region, &op, addr, &mut regs);
            done.or_else(|fault| exec.atomic_refused(pc, fault, &op, &mut regs))?;
            Ok(regs[if is_cmpxchg(&op) { 0 } else { op.src as usize }])
        }
    }
}

/// Offsets of what compiled code uses.
pub(super) mod at {
    use super::*;
    pub(crate) const START: usize = offset_of!(State, walls) + Walls::START;
    pub(crate) const DELTA: usize = offset_of!(State, walls) + Walls::DELTA;
    pub(crate) const REGS: usize = offset_of!(State, regs);
    pub(crate) const SPILL: usize = offset_of!(State, spill);
    pub(crate) const PC: usize = offset_of!(State, pc);
    const NOW: usize = offset_of!(State, now);
    pub(crate) const LEFT: usize = NOW + offset_of!(Now, left);
    pub(crate) const CURSOR: usize = NOW + offset_of!(Now, cursor);
    pub(crate) const CURSOR_END: usize = NOW + offset_of!(Now, cursor_end);
    pub(crate) const SP: usize = NOW + offset_of!(Now, sp);
    pub(crate) const MAY_GOTO: usize = NOW + offset_of!(Now, may_goto);
    /// The table for a size and a kind of access.
    pub(crate) fn allowed(size: u32, write: bool) -> usize {
        offset_of!(State, walls) + Walls::allowed_at(size, write)
    }
}
