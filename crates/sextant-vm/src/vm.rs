//! The virtual machine: what owns memory, maps, programs and timers, and how a program is entered.
//!
//! Must hold: methods take `&self` and keep nothing borrowed while a program runs, because programs nest
//! (op → kfunc → op). The outermost call is an RCU section and owns the instruction budget.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;

use sextant_abi::{Mem, ProgPlace, ProgramImage, Reloc};

use crate::arena::ArenaUse;
use crate::decode::{self, Prog};
use crate::error::TrapKind;
use crate::exec::{Exec, STACK_BLOCK};
use crate::map::{DroppedKptr, KeyAt, Kind, Map, MapId, Timers};
use crate::owned::Owned;
use crate::region::{Region, RegionConfig, Zone};
use crate::{Engine, Errno, Host, Trap};

/// Instructions that one top-level call may execute, nested programs included.
pub const INSN_BUDGET: u64 = 100_000_000;
/// How deep programs may nest.
const MAX_NESTING: usize = 32;

/// What a vm is made for.
#[derive(Clone, Debug, Default)]
pub struct VmConfig {
    /// Possible CPUs.
    pub nr_cpus: u32,
    /// What runs programs.
    pub engine: Engine,
    /// Check accesses against live objects and registers against use before a write.
    pub sanitize: bool,
    /// `sizeof(struct task_struct)`, bytes.
    pub task_size: u32,
    /// Ranges (offset, length) of `task_struct` that programs may store to.
    pub task_writable: Vec<(u32, u32)>,
    /// Bytes that maps, their elements, arena pages and programs' own objects may take together; 0 stands for
    /// [`DEFAULT_MEMORY`](crate::DEFAULT_MEMORY). What does not fit is refused with ENOMEM.
    pub memory: u64,
}

/// A program's number, from 1.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct ProgId(pub u32);

/// What a program's run came to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Run {
    /// Return value.
    pub r0: u64,
    /// Instructions executed, without those of nested programs.
    pub insns: u64,
}

/// What a program put into a perf buffer: the CPU and the bytes.
pub type PerfRecord = (u32, Vec<u8>);

/// The virtual machine.
pub struct Vm {
    pub(crate) region: Rc<Region>,
    pub(crate) cfg: VmConfig,
    /// By id; 0 is not used.
    pub(crate) maps: RefCell<Vec<Option<Rc<Map>>>>,
    pub(crate) progs: RefCell<Vec<Option<Rc<Prog>>>>,
    pub(crate) timers: RefCell<Timers>,
    pub(crate) dead_timers: RefCell<Vec<u64>>,
    pub(crate) dropped_kptrs: RefCell<Vec<DroppedKptr>>,
    /// Objects of programs' own, lists and trees.
    pub(crate) owned: RefCell<Owned>,
    /// Resilient spin locks that are held, in the order they were taken.
    pub(crate) res_locks: RefCell<Vec<u64>>,
    /// Words of the bit iterators with more than one, by the iterator's address.
    pub(crate) bit_iters: RefCell<BTreeMap<u64, Vec<u64>>>,
    /// Faults in arenas so far.
    pub(crate) arena_reports: Cell<u32>,
    /// The timer whose callback runs.
    pub(crate) firing: Cell<Option<u64>>,
    /// Per-CPU variables: address of CPU 0's copy, distance of two copies.
    pub(crate) percpu: RefCell<BTreeMap<u64, crate::helper::PercpuCopies>>,
    /// Copies of per-CPU variables that the kernel has, by name.
    pub(crate) provided: RefCell<BTreeMap<&'static str, Vec<u64>>>,
    /// Stack blocks by nesting depth.
    stacks: RefCell<Vec<u64>>,
    depth: Cell<usize>,
    pub(crate) insns: Cell<u64>,
    /// Program and instruction of the call of a helper or kfunc that was made last.
    pub(crate) calling: Cell<(ProgId, u32)>,
    pub(crate) left: Cell<u64>,
    budget: Cell<u64>,
    /// Perf event arrays that somebody reads, with what was put out: CPU and bytes.
    pub(crate) perf: RefCell<BTreeMap<MapId, Vec<PerfRecord>>>,
    /// Asked now and then in long runs: whether to end.
    interrupt: RefCell<Option<Box<dyn Fn() -> bool>>>,
}

/// Pages in an arena: the same bytes by two addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ArenaPages {
    /// User address, as programs exchange it.
    pub user: u64,
    /// BPF address, as the kernel side accesses it.
    pub kern: u64,
}

impl Vm {
    /// A vm without maps and programs. Fails with the host's errno when address space cannot be reserved.
    pub fn new(cfg: VmConfig) -> Result<Vm, Errno> {
        let region = Region::new(RegionConfig {
            task_size: cfg.task_size,
            task_writable: cfg.task_writable.clone(),
            sanitize: cfg.sanitize,
            memory: cfg.memory,
        })?;
        region.alloc_block(Zone::MapPtr, crate::map::MAP_PTR_SIZE, 64)?; // map ids start at 1
        Ok(Vm {
            region,
            cfg,
            maps: RefCell::new(vec![None]),
            progs: RefCell::new(vec![None]),
            timers: RefCell::default(),
            dead_timers: RefCell::default(),
            dropped_kptrs: RefCell::default(),
            owned: RefCell::default(),
            res_locks: RefCell::default(),
            bit_iters: RefCell::default(),
            arena_reports: Cell::new(0),
            firing: Cell::new(None),
            percpu: RefCell::default(),
            provided: RefCell::default(),
            stacks: RefCell::default(),
            depth: Cell::new(0),
            insns: Cell::new(0),
            calling: Cell::new((ProgId(0), 0)),
            left: Cell::new(0),
            budget: Cell::new(INSN_BUDGET),
            perf: RefCell::default(),
            interrupt: RefCell::default(),
        })
    }

    /// Its memory.
    pub fn region(&self) -> Rc<Region> {
        self.region.clone()
    }

    /// Whether programs' objects may take so many bytes more ([`VmConfig::memory`]).
    pub fn has_memory(&self, bytes: u64) -> bool {
        self.region.meter.has(bytes)
    }

    /// Possible CPUs.
    pub fn nr_cpus(&self) -> u32 {
        self.cfg.nr_cpus
    }

    /// Opens a perf buffer for every CPU of a PERF_EVENT_ARRAY: what programs put out is kept for [`Vm::perf_take`].
    pub fn perf_open(&self, map: MapId) {
        self.perf.borrow_mut().entry(map).or_default();
    }

    /// What programs have put out since, in order: CPU and bytes.
    pub fn perf_take(&self, map: MapId) -> Vec<PerfRecord> {
        self.perf.borrow_mut().get_mut(&map).map(std::mem::take).unwrap_or_default()
    }

    /// Has programs that use up their budget end with [`TrapKind::Interrupted`] when `wanted` says so.
    pub fn set_interrupt(&self, wanted: impl Fn() -> bool + 'static) {
        *self.interrupt.borrow_mut() = Some(Box::new(wanted));
    }

    pub(crate) fn is_interrupted(&self) -> bool {
        self.interrupt.borrow().as_ref().is_some_and(|wanted| wanted())
    }

    /// Changes the instruction budget of a top-level call ([`INSN_BUDGET`] at first).
    pub fn set_insn_budget(&self, insns: u64) {
        self.budget.set(insns);
    }

    /// Instructions the running program has executed so far (0 outside a run). Exact inside helpers and kfuncs.
    pub fn insns(&self) -> u64 {
        self.insns.get()
    }

    /// Whether a program is running.
    pub fn is_running(&self) -> bool {
        self.depth.get() > 0
    }

    /// The program that runs, and its instruction. Exact inside helpers and kfuncs; None outside a run.
    pub fn position(&self) -> Option<ProgPlace> {
        let (id, insn) = self.calling.get();
        let prog = self.prog(id).ok().filter(|_| self.is_running())?;
        Some(ProgPlace { prog: id.0, name: prog.name.clone(), insn })
    }

    pub(crate) fn map(&self, id: MapId) -> Option<Rc<Map>> {
        self.maps.borrow().get(id.0 as usize)?.clone()
    }

    pub(crate) fn all_maps(&self) -> Vec<Rc<Map>> {
        self.maps.borrow().iter().flatten().cloned().collect()
    }

    /// Adds a program. What is wrong with it traps when it is reached.
    pub fn prog_add(&self, image: ProgramImage) -> ProgId {
        let mut progs = self.progs.borrow_mut();
        let id = ProgId(progs.len() as u32);
        let map_addr = |reloc| self.reloc_addr(id, reloc);
        let arena = self.arena_use(&image);
        progs.push(Some(Rc::new(decode::decode(id, image, arena, &map_addr))));
        id
    }

    /// The arena of a program, which has at most one.
    fn arena_use(&self, image: &ProgramImage) -> Option<ArenaUse> {
        image.relocs.iter().find_map(|(_, reloc)| match *reloc {
            Reloc::Map(id) | Reloc::MapValue(id, _) => self.map(MapId(id))?.arena_use(),
            _ => None,
        })
    }

    /// The arena a program uses: the address of its window.
    pub fn prog_arena(&self, id: ProgId) -> Option<u64> {
        Some(self.prog(id).ok()?.arena?.window)
    }

    /// Writes bytes to an arena where user space would, at an address of which the low half counts. EFAULT where no page is, EINVAL for
    /// a map of another type.
    pub fn arena_write(&self, map: MapId, addr: u64, bytes: &[u8]) -> Result<(), crate::Errno> {
        let arena = self.map(map).and_then(|map| map.arena_use()).ok_or(crate::Errno::EINVAL)?;
        let at = arena.window | u64::from(addr as u32);
        let whole = at.checked_add(bytes.len() as u64).ok_or(crate::Errno::EFAULT)?;
        self.region.wall::<true>(at, whole - at).map_err(|_| crate::Errno::EFAULT)?;
        for (byte, to) in bytes.iter().zip(at..) {
            self.region.bpf_store(to, 1, (*byte).into()).map_err(|_| crate::Errno::EFAULT)?;
        }
        Ok(())
    }

    /// `bpf_arena_alloc_pages_sleepable`: so many pages of the arena with that window; None when it has no room.
    pub fn arena_alloc_pages(&self, window: u64, pages: u32) -> Option<ArenaPages> {
        let maps = self.all_maps();
        let arena = maps.iter().find_map(|map| match &map.kind {
            Kind::Arena(arena) if arena.window == window => Some(arena),
            _ => None,
        })?;
        let user = arena.alloc(0, pages)?;
        Some(ArenaPages { user, kern: window | user & 0xffff_ffff })
    }

    /// Drops a program. A run that is under way ends normally.
    pub fn prog_free(&self, id: ProgId) {
        if let Some(prog) = self.progs.borrow_mut().get_mut(id.0 as usize) {
            *prog = None;
        }
    }

    /// How often each instruction of a program was executed: counted with `sanitize` only. Empty for no such program.
    pub fn executed(&self, id: ProgId) -> Vec<u64> {
        let prog = self.prog(id);
        prog.map_or(Vec::new(), |prog| prog.executed.iter().map(|n| n.get()).collect())
    }

    pub(crate) fn prog(&self, id: ProgId) -> Result<Rc<Prog>, Trap> {
        let prog = self.progs.borrow().get(id.0 as usize).cloned().flatten();
        prog.ok_or_else(|| Trap::bare(TrapKind::NoProg(id.0)))
    }

    /// Runs a program with its context: `args` are the words that r1 points to, at most 32.
    pub fn run(&self, prog: ProgId, args: &[u64], host: &mut dyn Host) -> Result<Run, Trap> {
        self.enter(prog, 0, Entry::Words(args), host)
    }

    /// Runs a program with a context it may write (BPF_PROG_TEST_RUN of a syscall program); `ctx` gets the result.
    pub fn run_with_ctx(&self, prog: ProgId, ctx: &mut [u8], host: &mut dyn Host) -> Result<Run, Trap> {
        self.enter(prog, 0, Entry::Ctx(ctx), host)
    }

    /// Calls a function of a program (a callback) with five arguments.
    pub fn call_function(
        &self,
        prog: ProgId,
        insn: u32,
        args: [u64; 5],
        host: &mut dyn Host,
    ) -> Result<Run, Trap> {
        self.enter(prog, insn, Entry::Args(args), host)
    }

    /// Calls the function that a program's function pointer means (the callback argument of a kfunc).
    pub fn call_pointer(&self, func: u64, args: [u64; 5], host: &mut dyn Host) -> Result<Run, Trap> {
        match decode::func_at(func) {
            Some((prog, insn)) => self.call_function(prog, insn, args, host),
            None => Err(Trap::bare(TrapKind::BadInsn("the callback is not a function"))),
        }
    }

    /// Calls a map element's callback: (map, key, value).
    pub(crate) fn call_with_key(
        &self,
        prog: ProgId,
        insn: u32,
        elem: (u64, KeyAt, u64),
        host: &mut dyn Host,
    ) -> Result<Run, Trap> {
        self.enter(prog, insn, Entry::Elem(elem), host)
    }

    fn enter(&self, id: ProgId, insn: u32, entry: Entry<'_>, host: &mut dyn Host) -> Result<Run, Trap> {
        let prog = self.prog(id)?;
        let depth = self.depth.get();
        if depth >= MAX_NESTING {
            return Err(Trap::bare(TrapKind::Nesting).in_prog(&prog, insn));
        }
        let outer_insns = self.insns.replace(0);
        let outer_call = self.calling.get();
        if depth == 0 {
            self.left.set(self.budget.get());
        }
        self.depth.set(depth + 1);
        self.region.rcu_enter();
        let result = self.enter_with_stack(&prog, insn, entry, host);
        self.depth.set(depth);
        self.region.rcu_exit();
        self.insns.set(outer_insns);
        self.calling.set(outer_call);
        if depth == 0 {
            for timer in self.take_dead_timers() {
                host.timer_cancel(timer);
            }
        }
        result
    }

    fn enter_with_stack(
        &self,
        prog: &Rc<Prog>,
        insn: u32,
        entry: Entry<'_>,
        host: &mut dyn Host,
    ) -> Result<Run, Trap> {
        let no_memory = |_| Trap::bare(TrapKind::Nesting).in_prog(prog, insn);
        let stack = self.stack_block(self.depth.get() - 1).map_err(no_memory)?;
        let mut exec = Exec::new(self, prog, stack, self.budget.get(), host);
        let mut ctx_out = None;
        let args = match entry {
            Entry::Args(args) => args,
            Entry::Elem((map, key, value)) => {
                exec.entry_args = 3;
                [map, exec.key_addr(key), value, 0, 0]
            }
            Entry::Words(words) if words.len() * 8 <= CTX_INLINE => {
                exec.entry_args = 1;
                let addr = stack + STACK_BLOCK;
                self.region.object_add(addr, words.len() as u64 * 8, CTX_INLINE as u64, 1);
                for (at, word) in words.iter().enumerate() {
                    self.region.store(addr + at as u64 * 8, 8, *word);
                }
                [addr, 0, 0, 0, 0]
            }
            Entry::Words(_) => return Err(Trap::bare(TrapKind::BadArg("run", "too many arguments"))),
            Entry::Ctx(ctx) => {
                let addr = self.ctx_put(stack, ctx).map_err(no_memory)?;
                exec.entry_args = 1;
                ctx_out = Some((addr, ctx));
                [addr, 0, 0, 0, 0]
            }
        };
        let result = exec.run(insn, args);
        if let Some((addr, ctx)) = ctx_out {
            self.region.read_bytes(addr, ctx);
            self.ctx_drop(stack, addr, ctx.len());
        }
        result
    }

    /// Puts a context next to the stack, or, when it is long, into memory of its own.
    fn ctx_put(&self, stack: u64, ctx: &[u8]) -> Result<u64, Errno> {
        let addr = if ctx.len() <= CTX_INLINE {
            let addr = stack + STACK_BLOCK;
            self.region.object_add(addr, ctx.len() as u64, CTX_INLINE as u64, 1);
            addr
        } else {
            self.region.alloc_slot(Zone::Heap, ctx.len() as u64)?
        };
        self.region.write_bytes(addr, ctx);
        Ok(addr)
    }

    fn ctx_drop(&self, stack: u64, addr: u64, len: usize) {
        if addr == stack + STACK_BLOCK {
            self.region.object_remove(addr, 1);
        } else {
            self.region.free_slot(Zone::Heap, addr, len as u64);
        }
    }

    fn stack_block(&self, depth: usize) -> Result<u64, Errno> {
        let mut stacks = self.stacks.borrow_mut();
        if depth == stacks.len() {
            stacks.push(self.region.alloc_block(Zone::Stack, STACK_BLOCK + CTX_INLINE as u64, 64)?);
        }
        Ok(stacks[depth])
    }
}

/// Contexts up to this many bytes lie next to the stack.
const CTX_INLINE: usize = 256;

/// How a program is entered.
enum Entry<'a> {
    /// r1 = address of these words.
    Words(&'a [u64]),
    /// r1 = address of these bytes, which are copied back.
    Ctx(&'a mut [u8]),
    /// r1..r5.
    Args([u64; 5]),
    /// r1 = map, r2 = its key, r3 = value.
    Elem((u64, KeyAt, u64)),
}
