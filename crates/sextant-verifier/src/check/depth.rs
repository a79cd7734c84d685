//! The stack that call chains use together, and what must not happen deep in a chain. Mirrors `check_max_stack_depth()` of
//! kernel/bpf/verifier.c, 7.3, with a JIT: probes have private stacks, where large frames do not add up.

use std::collections::{BTreeMap, BTreeSet};

use sextant_abi::tables::bpf::*;
use sextant_abi::tables::{HelperId, Op};
use sextant_bpf::opcode::{Callee, Kind};

use super::state::{MAX_FRAMES, MAX_STACK};
use super::*;
use crate::program::{CtxArg, ProgKind};
use crate::structure::func_target;

/// Smallest frame that gets a private stack, bytes.
const PRIVATE: u32 = 64;
/// Most stack of the callers of a function with a tail call, bytes.
const BEFORE_TAIL_CALL: u32 = 256;

/// What matters of a function.
#[derive(Clone, Debug, Default)]
struct Func {
    /// Functions that it calls or has called: with one place of the call.
    callees: BTreeMap<usize, usize>,
    tail_call: bool,
    loads_skb: bool,
    throws: Option<usize>,
}

/// The walk along one chain.
struct Walk {
    funcs: BTreeMap<usize, Func>,
    /// Functions that never get a private stack.
    plain: BTreeSet<usize>,
    private: bool,
    /// Outermost first.
    chain: Vec<usize>,
    worst: u32,
}

impl Env<'_> {
    /// The stack of every call chain together.
    pub(super) fn check_depth(&mut self) -> Res {
        let funcs: BTreeMap<usize, Func> =
            self.cfg.funcs.keys().map(|start| (*start, self.look_at(*start))).collect();
        let private = self.has_private_stack() && !funcs.values().any(|f| f.tail_call);
        let mut walk = Walk { funcs, plain: BTreeSet::new(), private: false, chain: Vec::new(), worst: 0 };
        // What also runs by itself shares no private stack with the program.
        for later in self.later.clone() {
            self.chain_depth(later, None, (0, 0), &mut walk)?;
        }
        walk.private = private;
        self.chain_depth(0, None, (0, 0), &mut walk)?;
        self.depth.insert(usize::MAX, walk.worst);
        Ok(())
    }

    fn has_private_stack(&self) -> bool {
        match self.prog.kind {
            ProgKind::Other(hook) => matches!(
                hook.prog_type,
                BPF_PROG_TYPE_KPROBE
                    | BPF_PROG_TYPE_TRACEPOINT
                    | BPF_PROG_TYPE_PERF_EVENT
                    | BPF_PROG_TYPE_RAW_TRACEPOINT
            ),
            // Iterators may be nested.
            ProgKind::Tracing { args, .. } => match args.first() {
                Some(CtxArg::Trusted(name)) => !name.starts_with("bpf_iter__"),
                first => first.is_some(),
            },
            // What schedulers below this one may run again while it runs. Mirrors kernel/sched/ext/ext.c bpf_scx_check_member().
            ProgKind::StructOps { op, .. } => matches!(op, Op::Dispatch | Op::SubCapsUpdated),
            _ => false,
        }
    }

    fn look_at(&self, start: usize) -> Func {
        let desc = self.cfg.func_of(start);
        let mut func = Func::default();
        for pc in (desc.start..desc.end).filter(|pc| self.seen[*pc]) {
            let insn = &self.prog.insns[pc];
            match self.cfg.kinds[pc] {
                Some(Kind::Call(Callee::Local)) => {
                    let target = func_target(pc, insn).unwrap_or(0) as usize;
                    func.callees.entry(target).or_insert(pc);
                }
                Some(Kind::Call(Callee::Helper)) if insn.imm as u32 == HelperId::tail_call as u32 => {
                    func.tail_call = true;
                }
                Some(Kind::LdSkb { .. }) => func.loads_skb = true,
                Some(Kind::Call(Callee::Kfunc)) if self.cfg.is_throw(pc) => func.throws = Some(pc),
                _ => {
                    let callback = self.cfg.func_ref(self.prog, pc).filter(|f| !self.later.contains(f));
                    if let Some(target) = callback {
                        func.callees.entry(target).or_insert(pc);
                    }
                }
            }
        }
        func
    }

    /// The chain in `walk` goes on in `func`, called at `site`; its callers use `depth` bytes, and `frames` of them lie since the last
    /// global function. Mirrors `check_max_stack_depth_subprog()`.
    fn chain_depth(
        &self,
        func: usize,
        site: Option<usize>,
        (depth, frames): (u32, usize),
        walk: &mut Walk,
    ) -> Res {
        let made = |text: String| match site {
            Some(site) => refuse_made(Code::StackDepth, site, text),
            None => refuse(Code::StackDepth, text),
        };
        if walk.chain.contains(&func) {
            let caller = walk.chain.last().copied().unwrap_or(func);
            let names = (self.prog.func_name(caller), self.prog.func_name(func));
            return made(format!("recursive call from {}() to {}()", names.0, names.1));
        }
        if frames >= MAX_FRAMES {
            return made(format!("the call stack of {frames} frames is too deep !"));
        }
        let desc = walk.funcs.get(&func).cloned().unwrap_or_default();
        if desc.tail_call && !walk.chain.is_empty() && depth >= BEFORE_TAIL_CALL {
            return made(format!(
                "tail_calls are not allowed when call stack of previous frames is {depth} bytes. Too large"
            ));
        }
        walk.chain.push(func);
        self.in_callback(&desc, func, &walk.chain)?;
        let own = self.depth.get(&func).copied().unwrap_or(0).next_multiple_of(16);
        if !walk.private {
            walk.plain.insert(func);
        }
        let private = own >= PRIVATE && !walk.plain.contains(&func);
        let all = if private { depth } else { depth + own };
        walk.worst = walk.worst.max(all).max(own);
        if i64::from(all) > MAX_STACK {
            return made(format!("combined stack size of {} calls is {all}. Too large", walk.chain.len()));
        }
        for (callee, pc) in &desc.callees {
            let global = self.cfg.funcs.get(callee).is_some_and(|f| f.global);
            let frames = if global { 0 } else { frames + 1 };
            self.chain_depth(*callee, Some(*pc), (all, frames), walk)?;
        }
        walk.chain.pop();
        Ok(())
    }

    /// A callback is left by its exit only.
    fn in_callback(&self, desc: &Func, func: usize, chain: &[usize]) -> Res {
        if !chain.iter().any(|f| self.cfg.callbacks.contains(f)) {
            return Ok(());
        }
        if desc.loads_skb {
            return refuse(Code::Callback, "cannot use BPF_LD_[ABS|IND] within callback");
        }
        if desc.tail_call {
            return refuse(Code::Callback, "cannot tail call within callback");
        }
        match desc.throws {
            Some(pc) => {
                let text =
                    format!("bpf_throw kfunc (insn {pc}) cannot be called from callback subprog {func}");
                refuse_made(Code::Callback, pc, text)
            }
            None => Ok(()),
        }
    }
}
