//! The enums of sched_ext, 7.3 values and names. Mirrors include/linux/sched/ext.h and kernel/sched/ext/{internal,types}.h.
//!
//! Also the flag bits of the scheduler core that ops see beside the `SCX_` ones.

use super::declare::kernel_enums;

kernel_enums! {
    /// Constants that programs use.
    pub enum ScxPublicConsts = "scx_public_consts": u64 / u64 {
        SCX_OPS_NAME_LEN = 128,
        SCX_SLICE_DFL = 20000000,
        SCX_SLICE_BYPASS = 5000000,
        SCX_SLICE_INF = 0xffffffffffffffff,
    }

    /// Limits and defaults of the class.
    pub enum ScxConsts = "scx_consts": u32 / u32 {
        SCX_DSP_DFL_MAX_BATCH = 32,
        SCX_DSP_MAX_LOOPS = 32,
        SCX_WATCHDOG_MAX_TIMEOUT = 7500,
        SCX_RESCUE_DFL_BW_PPT = 20,
        SCX_RESCUE_MAX_BW_PPT = 250,
        SCX_RESCUE_DISABLE = 0xffffffff,
        SCX_RESCUE_DFL_QUANTUM_US = 5000,
        SCX_RESCUE_MIN_QUANTUM_US = 1000,
        SCX_RESCUE_MAX_QUANTUM_US = 100000,
        SCX_RESCUE_MIN_SLICE_US = 1000,
        SCX_RESCUE_OVERLOAD_MULT = 16,
        SCX_RESCUE_MIN_OVERLOAD_MS = 1000,
        SCX_RESCUE_MAX_OVERLOAD_MS = 15000,
        SCX_TID_CHUNK = 1024,
        SCX_EXIT_BT_LEN = 64,
        SCX_EXIT_MSG_LEN = 1024,
        SCX_EXIT_DUMP_DFL_LEN = 0x8000,
        SCX_CPUPERF_ONE = 1024,
        SCX_TASK_ITER_BATCH = 32,
        SCX_BYPASS_HOST_NTH = 2,
        SCX_BYPASS_LB_DFL_INTV_US = 500000,
        SCX_BYPASS_LB_DONOR_PCT = 125,
        SCX_BYPASS_LB_MIN_DELTA_DIV = 4,
        SCX_BYPASS_LB_BATCH = 256,
        SCX_REENQ_MAX_REPEAT = 256,
        SCX_SUB_MAX_DEPTH = 4,
    }

    /// Limits of cid shards.
    pub enum ScxCidConsts = "scx_cid_consts": u32 / u32 {
        SCX_CID_SHARD_SIZE_DFL = 24,
        SCX_CID_SHARD_MAX_CPUS = 512,
    }

    /// DSQ ids.
    pub enum ScxDsqIdFlags = "scx_dsq_id_flags": u64 / u64 {
        SCX_DSQ_FLAG_BUILTIN = 0x8000000000000000,
        SCX_DSQ_FLAG_LOCAL_ON = 0x4000000000000000,
        SCX_DSQ_INVALID = 0x8000000000000000,
        SCX_DSQ_GLOBAL = 0x8000000000000001,
        SCX_DSQ_LOCAL = 0x8000000000000002,
        SCX_DSQ_BYPASS = 0x8000000000000003,
        SCX_DSQ_REJECT = 0x8000000000000004,
        SCX_DSQ_RESCUE = 0x8000000000000005,
        SCX_DSQ_LOCAL_ON = 0xc000000000000000,
        SCX_DSQ_LOCAL_CPU_MASK = 0xffffffff,
    }

    /// Enqueue flags; bits 56..=63 are internal.
    pub enum ScxEnqFlags = "scx_enq_flags": u64 / u64 {
        SCX_ENQ_WAKEUP = 1,
        SCX_ENQ_HEAD = 0x10000,
        SCX_ENQ_CPU_SELECTED = 0x100000,
        SCX_ENQ_PREEMPT = 0x100000000,
        SCX_ENQ_IMMED = 0x200000000,
        SCX_ENQ_RESCUE = 0x400000000,
        SCX_ENQ_REENQ = 0x10000000000,
        SCX_ENQ_LAST = 0x20000000000,
        __SCX_ENQ_INTERNAL_MASK = 0xff00000000000000,
        SCX_ENQ_CLEAR_OPSS = 0x100000000000000,
        SCX_ENQ_DSQ_PRIQ = 0x200000000000000,
        SCX_ENQ_NESTED = 0x400000000000000,
        SCX_ENQ_GDSQ_FALLBACK = 0x800000000000000,
        SCX_ENQ_IGNORE_CAPS = 0x1000000000000000,
        SCX_ENQ_APPLY_SLICE = 0x2000000000000000,
        SCX_ENQ_SLICE_DFL = 0x4000000000000000,
    }

    /// Dequeue flags.
    pub enum ScxDeqFlags = "scx_deq_flags": u64 / u64 {
        SCX_DEQ_SLEEP = 1,
        SCX_DEQ_CORE_SCHED_EXEC = 0x100000000,
        SCX_DEQ_SCHED_CHANGE = 0x200000000,
    }

    /// Flags of scx_bpf_kick_cpu.
    pub enum ScxKickFlags = "scx_kick_flags": u32 / u64 {
        SCX_KICK_IDLE = 1,
        SCX_KICK_PREEMPT = 2,
        SCX_KICK_WAIT = 4,
    }

    /// Wake flags of ops.select_cpu.
    pub enum ScxWakeFlags = "scx_wake_flags": u32 / u64 {
        SCX_WAKE_FORK = 4,
        SCX_WAKE_TTWU = 8,
        SCX_WAKE_SYNC = 16,
    }

    /// Flags of the idle CPU pickers.
    pub enum ScxPickIdleCpuFlags = "scx_pick_idle_cpu_flags": u32 / u64 {
        SCX_PICK_IDLE_CORE = 1,
        SCX_PICK_IDLE_IN_NODE = 2,
    }

    /// Flags of scx_bpf_dsq_reenq.
    pub enum ScxReenqFlags = "scx_reenq_flags": u64 / u64 {
        SCX_REENQ_ANY = 1,
        SCX_REENQ_CAP_REVOKE = 2,
        __SCX_REENQ_FILTER_MASK = 65535,
        __SCX_REENQ_USER_MASK = 1,
        SCX_REENQ_TSR_RQ_OPEN = 0x100000000,
        SCX_REENQ_TSR_NOT_FIRST = 0x200000000,
        __SCX_REENQ_TSR_MASK = 0xf00000000,
    }

    /// Flags of the DSQ iterator.
    pub enum ScxDsqIterFlags = "scx_dsq_iter_flags": u32 / u64 {
        SCX_DSQ_ITER_REV = 0x10000,
        __SCX_DSQ_ITER_HAS_SLICE = 0x40000000,
        __SCX_DSQ_ITER_HAS_VTIME = 0x80000000,
        __SCX_DSQ_ITER_USER_FLAGS = 0x10000,
        __SCX_DSQ_ITER_ALL_FLAGS = 0xc0010000,
    }

    /// Flags of scx_dsq_list_node.
    pub enum ScxDsqLnodeFlags = "scx_dsq_lnode_flags": u32 / u32 {
        SCX_DSQ_LNODE_ITER_CURSOR = 1,
        __SCX_DSQ_LNODE_PRIV_SHIFT = 16,
    }

    /// `ops.flags`.
    pub enum ScxOpsFlags = "scx_ops_flags": u64 / u64 {
        SCX_OPS_KEEP_BUILTIN_IDLE = 1,
        SCX_OPS_ENQ_LAST = 2,
        SCX_OPS_ENQ_EXITING = 4,
        SCX_OPS_SWITCH_PARTIAL = 8,
        SCX_OPS_ENQ_MIGRATION_DISABLED = 16,
        SCX_OPS_ALLOW_QUEUED_WAKEUP = 32,
        SCX_OPS_BUILTIN_IDLE_PER_NODE = 64,
        SCX_OPS_ALWAYS_ENQ_IMMED = 128,
        SCX_OPS_TID_TO_TASK = 256,
        SCX_OPS_ALL_FLAGS = 511,
        __SCX_OPS_INTERNAL_MASK = 0xff00000000000000,
        SCX_OPS_HAS_CPU_PREEMPT = 0x100000000000000,
    }

    /// Why a scheduler ended; see `ExitKind`.
    pub enum ScxExitKind = "scx_exit_kind": u32 / u32 {
        SCX_EXIT_NONE = 0,
        SCX_EXIT_DONE = 1,
        SCX_EXIT_UNREG = 64,
        SCX_EXIT_UNREG_BPF = 65,
        SCX_EXIT_UNREG_KERN = 66,
        SCX_EXIT_SYSRQ = 67,
        SCX_EXIT_PARENT = 68,
        SCX_EXIT_PARENT_KILL = 69,
        SCX_EXIT_ERROR = 1024,
        SCX_EXIT_ERROR_BPF = 1025,
        SCX_EXIT_ERROR_STALL = 1026,
        SCX_EXIT_ERROR_REENQ = 1027,
        SCX_EXIT_ERROR_RESCUE = 1028,
    }

    /// Parts of an exit code that the kernel sets.
    pub enum ScxExitCode = "scx_exit_code": u64 / u64 {
        SCX_ECODE_RSN_HOTPLUG = 0x100000000,
        SCX_ECODE_RSN_CGROUP_OFFLINE = 0x200000000,
        SCX_ECODE_ACT_RESTART = 0x1000000000000,
    }

    /// Flags of scx_exit_info.
    pub enum ScxExitFlags = "scx_exit_flags": u32 / u64 {
        SCX_EFLAG_INITIALIZED = 1,
    }

    /// `p->scx.flags`. DIVERGES: unsigned (the kernel's BTF says signed, for the top bit).
    pub enum ScxEntFlags = "scx_ent_flags": u32 / u32 {
        SCX_TASK_QUEUED = 1,
        SCX_TASK_IN_CUSTODY = 2,
        SCX_TASK_RESET_RUNNABLE_AT = 4,
        SCX_TASK_DEQD_FOR_SLEEP = 8,
        SCX_TASK_SUB_INIT = 16,
        SCX_TASK_IMMED = 32,
        SCX_TASK_PROTECTED = 64,
        SCX_TASK_STATE_SHIFT = 8,
        SCX_TASK_STATE_BITS = 3,
        SCX_TASK_STATE_MASK = 1792,
        SCX_TASK_NONE = 0,
        SCX_TASK_INIT_BEGIN = 256,
        SCX_TASK_INIT = 512,
        SCX_TASK_READY = 768,
        SCX_TASK_ENABLED = 1024,
        SCX_TASK_DEAD = 1280,
        SCX_TASK_REENQ_REASON_SHIFT = 12,
        SCX_TASK_REENQ_REASON_BITS = 3,
        SCX_TASK_REENQ_REASON_MASK = 28672,
        SCX_TASK_REENQ_NONE = 0,
        SCX_TASK_REENQ_KFUNC = 4096,
        SCX_TASK_REENQ_IMMED = 0x2000,
        SCX_TASK_REENQ_PREEMPTED = 12288,
        SCX_TASK_REENQ_CAP = 0x4000,
        SCX_TASK_CURSOR = 0x80000000,
    }

    /// `p->scx.dsq_flags`.
    pub enum ScxEntDsqFlags = "scx_ent_dsq_flags": u32 / u32 {
        SCX_TASK_DSQ_ON_PRIQ = 1,
    }

    /// `p->scx.ops_state`, low two bits; qseq above.
    pub enum ScxOpsState = "scx_ops_state": u32 / u64 {
        SCX_OPSS_NONE = 0,
        SCX_OPSS_QUEUEING = 1,
        SCX_OPSS_QUEUED = 2,
        SCX_OPSS_DISPATCHING = 3,
        SCX_OPSS_QSEQ_SHIFT = 2,
    }

    /// Whether a scheduler is loaded.
    pub enum ScxEnableState = "scx_enable_state": u32 / u32 {
        SCX_ENABLING = 0,
        SCX_ENABLED = 1,
        SCX_DISABLING = 2,
        SCX_DISABLED = 3,
    }

    /// Who takes the CPU, in ops.cpu_release.
    pub enum ScxCpuPreemptReason = "scx_cpu_preempt_reason": u32 / u32 {
        SCX_CPU_PREEMPT_RT = 0,
        SCX_CPU_PREEMPT_DL = 1,
        SCX_CPU_PREEMPT_STOP = 2,
        SCX_CPU_PREEMPT_UNKNOWN = 3,
    }

    /// `task_group->scx.flags`.
    pub enum ScxTgFlags = "scx_tg_flags": u32 / u32 {
        SCX_TG_ONLINE = 1,
        SCX_TG_INITED = 2,
        SCX_TG_SUB_INIT = 4,
    }

    /// `rq->scx.flags`.
    pub enum ScxRqFlags = "scx_rq_flags": u32 / u32 {
        SCX_RQ_ONLINE = 1,
        SCX_RQ_CAN_STOP_TICK = 2,
        SCX_RQ_CLK_VALID = 32,
        SCX_RQ_BAL_CB_PENDING = 64,
        SCX_RQ_SUB_IDLE_RENOTIFY = 128,
        SCX_RQ_ROOT_IDLE_RENOTIFY = 256,
        SCX_RQ_IN_WAKEUP = 0x10000,
        SCX_RQ_IN_DISPATCH = 0x20000,
    }

    /// Capabilities of a sub-scheduler.
    pub enum ScxCapFlags = "scx_cap_flags": u32 / u64 {
        __SCX_CAP_ENQ_IMMED = 0,
        __SCX_CAP_ENQ = 1,
        __SCX_CAP_PREEMPT = 2,
        __SCX_CAP_PERF = 3,
        __SCX_NR_CAPS = 4,
        __SCX_CAP_ALL = 15,
        SCX_CAP_ENQ_IMMED = 1,
        SCX_CAP_ENQ = 2,
        SCX_CAP_PREEMPT = 4,
        SCX_CAP_PERF = 8,
        SCX_CAP_BASE = 1,
        SCX_CAPS_REENQ_ON_LOSS = 3,
    }

    /// State of a struct_ops map.
    pub enum BpfStructOpsState = "bpf_struct_ops_state": u32 / u32 {
        BPF_STRUCT_OPS_STATE_INIT = 0,
        BPF_STRUCT_OPS_STATE_INUSE = 1,
        BPF_STRUCT_OPS_STATE_TOBEFREE = 2,
        BPF_STRUCT_OPS_STATE_READY = 3,
    }
}
