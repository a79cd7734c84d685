//! State of a path: frames with registers and stack, references, locks. Mirrors `struct bpf_verifier_state`, 7.3.

use super::reg::{Reg, What};

/// Bytes of stack a call chain may use.
pub const MAX_STACK: i64 = 512;
/// Frames of a call chain.
pub const MAX_FRAMES: usize = 16;

/// What a byte of the stack holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Byte {
    /// Never written.
    Invalid,
    /// Anything.
    Misc,
    /// 0.
    Zero,
    /// Part of a spilled register.
    Spill,
    /// Part of an iterator, dynptr or irq flag.
    Special,
}

/// An object that lives on the stack.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Special {
    /// None.
    None,
    /// An iterator; `first` in its lowest slot.
    Iter {
        /// C name of its struct.
        ty: &'static str,
        /// Lowest slot of it.
        first: bool,
        /// Its reference.
        ref_id: u32,
        /// `next` returned NULL.
        drained: bool,
        /// How often `next` was called.
        depth: u32,
        /// What its elements are: `TRUSTED`, `RCU` or `UNTRUSTED`.
        flags: u16,
    },
    /// A dynptr.
    Dynptr {
        /// Lowest slot of it.
        first: bool,
        /// Its identity.
        id: u32,
        /// The reference that it and its clones must give back (ring buffer); 0: none.
        ref_id: u32,
    },
    /// Saved interrupt flags.
    Irq {
        /// Its reference.
        ref_id: u32,
        /// Saved with a resilient lock.
        with_lock: bool,
    },
}

/// Eight bytes of stack.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Slot {
    /// By byte, lowest address first.
    pub bytes: [Byte; 8],
    /// With `Spill` from byte 0 on: the register.
    pub reg: Reg,
    /// With `Special`.
    pub special: Special,
}

impl Slot {
    /// Never written.
    pub const EMPTY: Slot = Slot { bytes: [Byte::Invalid; 8], reg: Reg::UNINIT, special: Special::None };

    /// How many bytes the spilled register has here; 0: none.
    pub fn spilled(&self) -> u32 {
        self.bytes.iter().take_while(|b| **b == Byte::Spill).count() as u32
    }
}

/// A frame.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Frame {
    /// r0-r10
    pub regs: [Reg; 11],
    /// From r10 downwards: slot 0 is `r10-8..r10`.
    pub stack: Vec<Slot>,
    /// The call that made it; the first frame has none.
    pub callsite: Option<usize>,
    /// First slot of the function.
    pub func: usize,
    /// It is a callback that the call at `callsite` runs.
    pub callback: Option<Callback>,
    /// How often callbacks called from this frame have run.
    pub callback_depth: u32,
}

/// What a callback frame must obey.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Callback {
    /// Lowest and highest result.
    pub ret: (i64, i64),
    /// It runs later, by itself.
    pub is_async: bool,
    /// It compares tree nodes and may not call.
    pub is_less: bool,
    /// References held when it was entered.
    pub held: usize,
}

impl Frame {
    /// Of the function at `func`.
    pub fn new(func: usize, index: usize, callsite: Option<usize>) -> Frame {
        let mut regs = [Reg::UNINIT; 11];
        regs[10] = Reg::ptr(What::Stack(index as u8), 0);
        Frame { regs, stack: Vec::new(), callsite, func, callback: None, callback_depth: 0 }
    }

    /// The slot that holds byte `off` (negative), made when it is missing.
    pub fn slot_mut(&mut self, off: i64) -> &mut Slot {
        let i = slot_index(off);
        if self.stack.len() <= i {
            self.stack.resize(i + 1, Slot::EMPTY);
        }
        &mut self.stack[i]
    }

    /// The slot that holds byte `off` (negative).
    pub fn slot(&self, off: i64) -> Slot {
        self.stack.get(slot_index(off)).copied().unwrap_or(Slot::EMPTY)
    }
}

/// Index of the slot of byte `off` (negative).
pub fn slot_index(off: i64) -> usize {
    ((-off - 1) / 8) as usize
}

/// Byte within the slot, 0 the lowest address.
pub fn slot_byte(off: i64) -> usize {
    off.rem_euclid(8) as usize
}

/// What must be given back.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RefKind {
    /// An object.
    Object,
    /// An iterator.
    Iter,
    /// A held `bpf_spin_lock`: what it is in.
    Lock(LockId),
    /// A held `bpf_res_spin_lock`.
    ResLock(LockId),
    /// One taken with interrupts saved.
    ResLockIrq(LockId),
    /// Saved interrupt flags.
    Irq,
}

impl RefKind {
    /// The lock that it is.
    pub fn lock(self) -> Option<LockId> {
        match self {
            RefKind::Lock(id) | RefKind::ResLock(id) | RefKind::ResLockIrq(id) => Some(id),
            _ => None,
        }
    }
}

/// Which lock: map or object, and the identity of the value it was found in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LockId {
    /// What the pointer pointed to.
    pub what: What,
    /// Its id.
    pub id: u32,
}

/// A reference.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Ref {
    /// Its id.
    pub id: u32,
    /// What it is.
    pub kind: RefKind,
    /// Where it was taken.
    pub pc: usize,
}

/// The state of a path.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct State {
    /// Outermost first.
    pub frames: Vec<Frame>,
    /// What must be given back, oldest first.
    pub refs: Vec<Ref>,
    /// RCU read sides entered.
    pub rcu: u32,
    /// Preemption disabled so often.
    pub preempt: u32,
    /// Loops left open by `may_goto` so often.
    pub may_goto: u32,
    /// Callbacks unrolled so often.
    pub unrolled: u32,
    /// The program, or the callback that runs by itself, may sleep.
    pub sleepable: bool,
    /// Next instruction.
    pub pc: usize,
    /// Instructions on the way from the last kept state that its history would name: jumps, calls, spilled registers.
    pub history: u32,
    /// Conditional jumps it came through, see `trail`; 0: none, or nobody asked.
    pub trail: u32,
}

impl State {
    /// At the start of a function.
    pub fn new(func: usize, sleepable: bool) -> State {
        State {
            frames: vec![Frame::new(func, 0, None)],
            refs: Vec::new(),
            rcu: 0,
            preempt: 0,
            may_goto: 0,
            unrolled: 0,
            sleepable,
            pc: func,
            history: 0,
            trail: 0,
        }
    }

    /// The running frame.
    pub fn top(&self) -> &Frame {
        &self.frames[self.frames.len() - 1]
    }

    /// The running frame.
    pub fn top_mut(&mut self) -> &mut Frame {
        let last = self.frames.len() - 1;
        &mut self.frames[last]
    }

    /// A register of the running frame.
    pub fn reg(&self, n: u8) -> &Reg {
        &self.top().regs[n as usize]
    }

    /// A register of the running frame.
    pub fn reg_mut(&mut self, n: u8) -> &mut Reg {
        &mut self.top_mut().regs[n as usize]
    }

    /// Every register and spilled register of every frame.
    pub fn each_reg(&mut self, mut f: impl FnMut(&mut Reg)) {
        for frame in &mut self.frames {
            frame.regs.iter_mut().for_each(&mut f);
            for slot in frame.stack.iter_mut().filter(|s| s.bytes[0] == Byte::Spill) {
                f(&mut slot.reg);
            }
        }
    }

    /// The lock taken last, if any is held.
    pub fn lock(&self) -> Option<LockId> {
        self.refs.iter().rev().find_map(|r| r.kind.lock())
    }

    /// Whether interrupts were saved.
    pub fn irqs_off(&self) -> bool {
        self.refs.iter().any(|r| r.kind == RefKind::Irq)
    }

    /// Whether an RCU-protected object cannot go away here.
    pub fn in_rcu(&self) -> bool {
        self.rcu > 0 || self.lock().is_some() || !self.can_sleep()
    }

    /// Whether it may sleep here.
    pub fn can_sleep(&self) -> bool {
        self.sleepable && self.rcu == 0 && self.preempt == 0 && self.lock().is_none() && !self.irqs_off()
    }

    /// Whether both have the same call chain.
    pub fn same_chain(&self, other: &State) -> bool {
        self.frames.len() == other.frames.len()
            && self
                .frames
                .iter()
                .zip(&other.frames)
                .all(|(a, b)| a.func == b.func && a.callsite == b.callsite && a.callback == b.callback)
    }
}
