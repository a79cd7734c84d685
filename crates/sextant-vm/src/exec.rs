//! A program's run: its frames, lock and place, shared by the interpreter and the helpers.
//!
//! ```text
//!  stack block:  frame 0 (512 B) | frame 1 | … | frame 63 | a key for each frame's callback (64 × 8 B) | context
//!  r10 of frame i = block + (i + 1) * 512
//! ```

use sextant_abi::{Mem, Reloc};

use crate::decode::{self, Prog};
use crate::error::{TrapInfo, TrapKind};
use crate::map::{KeyAt, Kind, MapId};
use crate::region::Region;
use crate::sanitize::Written;
use crate::vm::{ProgId, Run};
use crate::{Engine, Host, Trap, Vm, jit};

/// Call frames, counting callbacks. The verifier lets static functions call 16 deep (MAX_CALL_FRAMES) and counts anew in every global
/// one.
pub(crate) const MAX_FRAMES: usize = 64;
/// Bytes of a frame (MAX_BPF_STACK).
pub(crate) const FRAME: u64 = 512;
/// Bytes of a run's frames and keys.
pub(crate) const STACK_BLOCK: u64 = MAX_FRAMES as u64 * (FRAME + 8);
/// Times that one run's `may_goto`s fall through (BPF_MAX_LOOPS).
const MAX_LOOPS: u32 = 8 << 20;

/// What a call saves.
#[derive(Clone, Copy)]
pub(crate) struct Frame {
    pub(crate) ret: u32,
    pub(crate) saved: [u64; 4],
    pub(crate) written: Written,
}

/// A run of a program.
pub(crate) struct Exec<'a> {
    pub(crate) vm: &'a Vm,
    pub(crate) region: &'a Region,
    pub(crate) prog: &'a Prog,
    pub(crate) host: &'a mut dyn Host,
    stack: u64,
    /// What the calls under way have saved; most programs make none.
    pub(crate) frames: Vec<Frame>,
    /// Frames in use, those of the entry and of callbacks included.
    pub(crate) depth: usize,
    /// `bpf_spin_lock` held.
    pub(crate) lock: Option<u64>,
    /// Resilient spin locks held.
    pub(crate) held_res: u32,
    /// Interrupts are off (`bpf_local_irq_save` and the resilient locks that do so).
    irqs_off: bool,
    pub(crate) may_goto_left: u32,
    budget: u64,
    /// Arguments that the entry was given.
    pub(crate) entry_args: u32,
    /// Instruction that trapped, set by the innermost interpreter.
    pub(crate) trap_at: Option<u32>,
    /// A trap of a nested program that a kfunc passed on.
    pub(crate) nested: Option<Trap>,
    /// What bpf_throw was given: the run unwinds as after a trap, and this is its result.
    pub(crate) thrown: Option<u64>,
}

impl<'a> Exec<'a> {
    pub(crate) fn new(
        vm: &'a Vm,
        prog: &'a Prog,
        stack: u64,
        budget: u64,
        host: &'a mut dyn Host,
    ) -> Exec<'a> {
        let irqs_off = host.irqs_disabled();
        Exec {
            vm,
            region: &vm.region,
            prog,
            host,
            stack,
            frames: Vec::new(),
            depth: 0,
            lock: None,
            held_res: 0,
            irqs_off,
            may_goto_left: MAX_LOOPS,
            budget,
            entry_args: 5,
            trap_at: None,
            nested: None,
            thrown: None,
        }
    }

    /// `irqs_disabled()`: around the program, or by it. A `bpf_spin_lock` turns them off too.
    pub(crate) fn irqs_disabled(&self) -> bool {
        self.irqs_off || self.lock.is_some()
    }

    /// Turns interrupts off or on; whether they were off.
    pub(crate) fn set_irqs_off(&mut self, off: bool) -> bool {
        std::mem::replace(&mut self.irqs_off, off)
    }

    /// Runs from an instruction to the exit of its function.
    pub(crate) fn run(&mut self, insn: u32, args: [u64; 5]) -> Result<Run, Trap> {
        let result = self.interpret(insn, args);
        let result = self.thrown.take().map_or(result, Ok);
        let result = match result {
            result if self.held_res == 0 => result,
            result => {
                self.release_res_locks();
                result.and(Err(TrapKind::Lock("bpf_res_spin_lock is held at exit")))
            }
        };
        let result = result.and_then(|r0| match self.lock {
            Some(_) => Err(TrapKind::Lock("bpf_spin_lock is held at exit")),
            None => Ok(r0),
        });
        match result {
            Ok(r0) => Ok(Run { r0, insns: self.vm.insns.get() }),
            Err(kind) => Err(self.trap(kind)),
        }
    }

    fn trap(&mut self, kind: TrapKind) -> Trap {
        if let Some(nested) = self.nested.take() {
            return nested;
        }
        Trap::bare(kind).in_prog(self.prog, self.trap_at.unwrap_or(0)).after(self.vm.insns.get())
    }

    fn interpret(&mut self, insn: u32, args: [u64; 5]) -> Result<u64, TrapKind> {
        if insn as usize >= self.prog.ops.len() {
            return Err(TrapKind::BadInsn("no such function"));
        }
        if self.vm.cfg.sanitize {
            return self.interp::<true>(insn, args);
        }
        if self.vm.cfg.engine == Engine::Jit
            && let Some(code) = self.prog.compiled.get_or_init(|| jit::compile(self.prog))
            && let Some(target) = code.target(insn)
        {
            return jit::run(self, code, target, args);
        }
        self.interp::<false>(insn, args)
    }

    /// Calls a function of this program from a helper.
    pub(crate) fn callback(&mut self, func: u64, args: [u64; 5]) -> Result<u64, TrapKind> {
        match decode::func_at(func) {
            Some((prog, insn)) if prog == self.prog.id => self.interpret(insn, args),
            _ => Err(TrapKind::BadInsn("the callback is not a function of this program")),
        }
    }

    /// r10 of a frame.
    pub(crate) fn frame_pointer(&self, frame: usize) -> u64 {
        self.stack + (frame as u64 + 1) * FRAME
    }

    /// Opens a frame; its r10.
    #[inline(always)]
    pub(crate) fn push_frame<const SAN: bool>(&mut self) -> Result<u64, TrapKind> {
        if self.depth >= MAX_FRAMES {
            return Err(TrapKind::CallDepth);
        }
        let fp = self.frame_pointer(self.depth);
        self.depth += 1;
        if SAN {
            self.region.object_add(fp - FRAME, FRAME, FRAME, 1);
        }
        Ok(fp)
    }

    /// Closes the innermost frame.
    #[inline(always)]
    pub(crate) fn pop_frame<const SAN: bool>(&mut self) {
        self.depth -= 1;
        if SAN {
            self.region.object_remove(self.frame_pointer(self.depth) - FRAME, 1);
        }
    }

    /// A frame that compiled code opened for a call.
    pub(crate) fn adopt_frame(&mut self, ret: u32, saved: [u64; 4]) {
        self.depth += 1;
        self.frames.push(Frame { ret, saved, written: Written::entry(5) });
    }

    /// Where a callback called from this frame finds its key.
    pub(crate) fn key_addr(&self, key: KeyAt) -> u64 {
        match key {
            KeyAt::Addr(addr) => addr,
            KeyAt::Index(index) => {
                let addr = self.stack + MAX_FRAMES as u64 * FRAME + 8 * (self.depth % MAX_FRAMES) as u64;
                self.region.object_add(addr, 4, 8, 1);
                self.region.store(addr, 4, index.into());
                addr
            }
        }
    }

    /// The budget is used up: more of it, or the trap that ends the run.
    #[cold]
    pub(crate) fn refill(&mut self) -> Result<u64, TrapKind> {
        if self.vm.is_interrupted() {
            return Err(TrapKind::Interrupted);
        }
        match self.host.refill(self.vm.insns.get()) {
            0 => Err(TrapKind::Budget { limit: self.budget }),
            more => Ok(more),
        }
    }
}

impl Trap {
    /// Says after how many instructions.
    fn after(mut self, insns: u64) -> Trap {
        self.info_mut().insns = insns;
        self
    }

    /// Says where the trap happened.
    pub(crate) fn in_prog(self, prog: &Prog, insn: u32) -> Trap {
        let disasm = if (insn as usize) < prog.insns.len() {
            sextant_bpf::disasm::text(&prog.insns, insn as usize, &sextant_bpf::disasm::nameless)
        } else {
            "(end)".to_owned()
        };
        Box::new(TrapInfo {
            id: prog.id,
            insns: 0,
            prog: prog.name.clone(),
            insn,
            disasm,
            kind: self.into_kind(),
        })
        .into()
    }
}

impl Vm {
    /// What an instruction that named an outside thing gets.
    pub(crate) fn reloc_addr(&self, prog: ProgId, reloc: Reloc) -> Option<u64> {
        match reloc {
            Reloc::Map(id) => self.map_addr(MapId(id)),
            Reloc::MapValue(id, off) => match &self.map(MapId(id))?.kind {
                // A program gets the address that user space has.
                Kind::Arena(arena) => {
                    (u64::from(off) < arena.len()).then(|| arena.user_start + u64::from(off))
                }
                _ => self.map_value_addr(MapId(id), off),
            },
            Reloc::Func(insn) => Some(decode::func_addr(prog, insn)),
            Reloc::Addr(addr) => Some(addr),
            Reloc::Kfunc(_) => None,
        }
    }
}
