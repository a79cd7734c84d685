//! Verdicts: what a person can act on. A [`Rejection`] has a stable code, the kernel's words, the reason in plain words, the state that
//! matters and the instructions that made it.

use std::fmt;

macro_rules! codes {
    ($($name:ident $code:literal $why:literal $advice:literal;)*) => {
        /// Why programs are refused. The number is stable: it is never given to anything else.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        pub enum Code {
            $(#[doc = $why] $name),*
        }

        impl Code {
            /// Every code.
            pub const ALL: &[Code] = &[$(Code::$name),*];

            /// `V0012`
            pub const fn code(self) -> &'static str {
                match self { $(Code::$name => $code),* }
            }

            /// The reason in plain words.
            pub const fn why(self) -> &'static str {
                match self { $(Code::$name => $why),* }
            }

            /// What to try.
            pub const fn advice(self) -> &'static str {
                match self { $(Code::$name => $advice),* }
            }
        }
    };
}

codes! {
    Structure "V0001" "The instructions are malformed." "Compile with clang -target bpf; a hand-made program must follow RFC 9669.";
    Unreachable "V0002" "No path leads to an instruction." "Remove the dead code, or put it behind a condition on a `const volatile` variable.";
    Uninit "V0003" "A register is read before anything was put into it." "Initialise the variable on every path; return a value on every path. A call leaves nothing in r1-r5.";
    BadPointerMath "V0004" "This arithmetic is not possible on this pointer." "Bound the index first (`if (i >= N) return;`) and do arithmetic on it, not on the pointer; test for NULL before.";
    NullDeref "V0005" "The pointer may be NULL." "Test it (`if (!p) return ...;`) before it is used.";
    NotAPointer "V0006" "Memory is accessed through something that is not a usable pointer." "Use bpf_core_cast() or bpf_probe_read_kernel() for addresses read as numbers; do not use what was given back.";
    StackBounds "V0007" "The access is outside of the stack." "Keep variables within 512 bytes of stack; move large ones into a map or a global.";
    MapBounds "V0008" "The access can be outside of the map's value." "Compare the index with the array's size right before the access, on the same variable.";
    MemBounds "V0009" "The access can be outside of the memory." "Compare the index or the size with the memory's size before the access.";
    Readonly "V0010" "The memory is read only." "Write to your own map or global instead.";
    ObjAccess "V0011" "A kernel object is accessed in a way that its type does not allow." "Read whole members; of a task only scx.slice, scx.dsq_vtime and scx.disallow can be written, or use scx_bpf_task_set_slice().";
    ObjWrite "V0012" "A field of a kernel object is written that a scheduler may not write." "Of a task only scx.slice, scx.dsq_vtime and scx.disallow can be written; use the kfuncs for the rest.";
    CtxAccess "V0013" "The context is accessed in a way that its type does not allow." "Use BPF_STRUCT_OPS() or BPF_PROG(), whose arguments are those of the op.";
    SpecialField "V0014" "A timer, lock, kptr or root inside of a value is accessed directly." "Go through its helpers (bpf_timer_*, bpf_spin_lock, bpf_kptr_xchg, ...).";
    Spill "V0015" "A pointer that was put on the stack is read back in part." "Do not overlay pointers with other data on the stack.";
    UnknownHelper "V0016" "The helper does not exist here." "Test for the feature first (bpf_core_field_exists, bpf_ksym_exists).";
    HelperDenied "V0017" "This kind of program may not call the helper." "Use a program type that may, or another helper.";
    KfuncDenied "V0018" "This op may not call the kfunc." "Do it in an op that may: queues are created in init, tasks are inserted in select_cpu, enqueue and dispatch, moved in dispatch.";
    Sleepable "V0019" "The call may sleep and this place may not." "Make the program sleepable (SEC(\"struct_ops.s/...\")) where the op allows it, and leave RCU and lock regions first.";
    ArgType "V0020" "An argument is not of the type the function takes." "Compare the prototype; load the pointer from where it is trusted.";
    ArgNull "V0021" "An argument may be NULL where the function does not take NULL." "Test the pointer before the call.";
    ArgTrust "V0022" "An argument may point to an object that is already gone." "Do it between bpf_rcu_read_lock() and bpf_rcu_read_unlock(), or take a reference (bpf_task_acquire()).";
    ArgConst "V0023" "An argument must be a constant." "Pass a literal or an expression known at compile time.";
    ArgSize "V0024" "The size argument does not fit the memory." "Bound the size before the call, as an unsigned number: `if (n > sizeof(buf)) n = sizeof(buf);`.";
    RefLeak "V0025" "A reference is still held where the program ends." "Release it on every path (bpf_task_release(), scx_bpf_put_cpumask(), bpf_iter_*_destroy(), ...).";
    RefRelease "V0026" "Something is released that is not held." "Release exactly what was acquired, once.";
    LockBalance "V0027" "A lock, RCU, preempt-off or irq-off region is not balanced." "Leave every region on every path, innermost first, in the function that entered it.";
    LockedCall "V0028" "The call is not allowed while a lock is held or preemption is off." "Call it before locking or after unlocking.";
    Iterator "V0029" "An iterator is used out of order." "Use bpf_for() and bpf_for_each(): new, next until NULL, destroy.";
    Dynptr "V0030" "A dynptr is used out of order." "Initialise it once, use it as it is, submit or discard it.";
    InfiniteLoop "V0031" "The loop comes back in the same state: nothing bounds it." "Count with bpf_for() or bpf_loop(), or put `can_loop` into the condition.";
    TooComplex "V0032" "There are too many paths to follow." "Make loops use bpf_for() or bpf_loop(); move parts into global (non-static) functions.";
    StackDepth "V0033" "The functions together use too much stack, or call too deep." "Move large variables into a map or a global; call less deep, and never recursively.";
    Return "V0034" "The program returns something that its op or attach point does not take." "Return a number on every path, within the op's range.";
    GlobalArg "V0035" "The argument does not fit the global function's prototype." "Check for NULL, tag the argument (__arg_trusted, __arg_nullable, __arg_arena), or make the function static.";
    Callback "V0036" "The callback is not of the form the function wants." "Compare its prototype; return 0 or 1 as documented.";
    MapUse "V0037" "The map is not of a kind that the helper takes." "Use the helper for this type of map.";
    Atomic "V0038" "Atomic operations do not work on this memory." "Do atomics on maps, globals, arena or the stack.";
    Unsupported "V0039" "The verifier does not know this instruction or function yet." "Do without it, or run the scheduler with `sextant sim --unchecked`.";
    Misaligned "V0041" "The access is not on a multiple of its size, which the stack and atomics need." "Align the variable (`__attribute__((aligned(8)))`) or access it by its own type.";
    Licence "V0042" "The program's licence does not allow it." "Give the object a licence that is compatible with the GPL: `char _license[] SEC(\"license\") = \"GPL\";`; \"Dual MIT/GPL\" and \"Dual BSD/GPL\" are too.";
    Owned "V0040" "An owned object is used in a way its list or tree does not allow." "Add and remove nodes while the lock beside the root is held.";
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

/// A place in the program.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Step {
    /// Slot.
    pub insn: usize,
    /// As in the kernel's log.
    pub text: String,
    /// Its source line, when BTF tells.
    pub source: Option<Source>,
    /// Slot at which its function begins.
    pub start: usize,
    /// Where it is part of inlined code: the calls, innermost first. The verifier leaves it empty; who has the object's debug information fills
    /// it in.
    pub called_at: Box<[Source]>,
}

/// A source line.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Source {
    /// As the compiler was given it.
    pub file: String,
    /// From 1.
    pub line: u32,
    /// From 1; 0: unknown.
    pub column: u32,
    /// The line itself, indentation included.
    pub text: String,
}

/// What an instruction on the way did.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Way {
    /// A conditional jump that could go either way was taken.
    Taken,
    /// A conditional jump that could go either way was not taken.
    NotTaken,
    /// A call entered a region (lock, RCU, preemption or interrupts off) that was not left.
    Enters,
}

/// What is known of a register where a program was refused.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Known {
    /// `R1`
    pub name: String,
    /// As in the kernel's log: `trusted_ptr_or_null_task_struct(id=1)`.
    pub known: String,
    /// In plain words, to follow the name: `is a struct task_struct, or NULL`.
    pub meaning: String,
}

/// A program was refused.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Rejection {
    /// The stable code.
    pub code: Code,
    /// In the kernel's words.
    pub message: String,
    /// The instruction.
    pub at: Box<Step>,
    /// The registers the instruction uses.
    pub state: Box<[Known]>,
    /// The instructions that made them, in program order.
    pub slice: Box<[Step]>,
    /// Where the way that was taken is the reason: its last turns, oldest first.
    pub path: Box<[(Step, Way)]>,
    /// What this case adds: which ops may, which lines surround an inlined one.
    pub notes: Box<[String]>,
    /// Function names of the call chain, outermost first.
    pub chain: Box<[String]>,
    /// Instructions processed until then.
    pub insns_processed: u32,
}

impl std::error::Error for Rejection {}

/// A program was accepted.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Accepted {
    /// Instructions processed, all paths.
    pub insns_processed: u64,
    /// Most states kept at once.
    pub peak_states: usize,
    /// States kept in all.
    pub total_states: usize,
    /// Bytes of stack of the deepest call chain.
    pub stack_depth: u32,
    /// Per slot: never executed.
    pub dead: Vec<bool>,
    /// Per slot: a load through a BTF pointer that may be gone, which reads 0 when the address is bad.
    pub probe_load: Vec<bool>,
    /// Per slot: an access through an arena pointer, of which only the low half of the address counts.
    pub arena_access: Vec<bool>,
}
