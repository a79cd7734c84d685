//! Numbers of the bpf(2) interface: commands, map, program and attach types, flags. Mirrors include/uapi/linux/bpf.h, 7.3.
//! A table, hence its length.

macro_rules! numbers {
    ($($(#[$m:meta])* $table:ident { $($name:ident = $value:literal,)* })*) => {$(
        $(#[$m])*
        pub const $table: &[(&str, u32)] = &[$((stringify!($name), $value)),*];
        $(
            #[allow(missing_docs)]
            pub const $name: u32 = $value;
        )*
    )*};
}

/// The first name of `value` in one of the tables below.
pub fn name_of(table: &'static [(&'static str, u32)], value: u32) -> Option<&'static str> {
    table.iter().find(|(_, v)| *v == value).map(|(name, _)| *name)
}

numbers! {
    /// `enum bpf_cmd`
    COMMANDS {
        BPF_MAP_CREATE = 0,
        BPF_MAP_LOOKUP_ELEM = 1,
        BPF_MAP_UPDATE_ELEM = 2,
        BPF_MAP_DELETE_ELEM = 3,
        BPF_MAP_GET_NEXT_KEY = 4,
        BPF_PROG_LOAD = 5,
        BPF_OBJ_PIN = 6,
        BPF_OBJ_GET = 7,
        BPF_PROG_ATTACH = 8,
        BPF_PROG_DETACH = 9,
        BPF_PROG_TEST_RUN = 10,
        BPF_PROG_RUN = 10,
        BPF_PROG_GET_NEXT_ID = 11,
        BPF_MAP_GET_NEXT_ID = 12,
        BPF_PROG_GET_FD_BY_ID = 13,
        BPF_MAP_GET_FD_BY_ID = 14,
        BPF_OBJ_GET_INFO_BY_FD = 15,
        BPF_PROG_QUERY = 16,
        BPF_RAW_TRACEPOINT_OPEN = 17,
        BPF_BTF_LOAD = 18,
        BPF_BTF_GET_FD_BY_ID = 19,
        BPF_TASK_FD_QUERY = 20,
        BPF_MAP_LOOKUP_AND_DELETE_ELEM = 21,
        BPF_MAP_FREEZE = 22,
        BPF_BTF_GET_NEXT_ID = 23,
        BPF_MAP_LOOKUP_BATCH = 24,
        BPF_MAP_LOOKUP_AND_DELETE_BATCH = 25,
        BPF_MAP_UPDATE_BATCH = 26,
        BPF_MAP_DELETE_BATCH = 27,
        BPF_LINK_CREATE = 28,
        BPF_LINK_UPDATE = 29,
        BPF_LINK_GET_FD_BY_ID = 30,
        BPF_LINK_GET_NEXT_ID = 31,
        BPF_ENABLE_STATS = 32,
        BPF_ITER_CREATE = 33,
        BPF_LINK_DETACH = 34,
        BPF_PROG_BIND_MAP = 35,
        BPF_TOKEN_CREATE = 36,
        BPF_PROG_STREAM_READ_BY_FD = 37,
        BPF_PROG_ASSOC_STRUCT_OPS = 38,
        BPF_COMMON_ATTRS = 65536,
    }

    /// `enum bpf_map_type`
    MAP_TYPES {
        BPF_MAP_TYPE_UNSPEC = 0,
        BPF_MAP_TYPE_HASH = 1,
        BPF_MAP_TYPE_ARRAY = 2,
        BPF_MAP_TYPE_PROG_ARRAY = 3,
        BPF_MAP_TYPE_PERF_EVENT_ARRAY = 4,
        BPF_MAP_TYPE_PERCPU_HASH = 5,
        BPF_MAP_TYPE_PERCPU_ARRAY = 6,
        BPF_MAP_TYPE_STACK_TRACE = 7,
        BPF_MAP_TYPE_CGROUP_ARRAY = 8,
        BPF_MAP_TYPE_LRU_HASH = 9,
        BPF_MAP_TYPE_LRU_PERCPU_HASH = 10,
        BPF_MAP_TYPE_LPM_TRIE = 11,
        BPF_MAP_TYPE_ARRAY_OF_MAPS = 12,
        BPF_MAP_TYPE_HASH_OF_MAPS = 13,
        BPF_MAP_TYPE_DEVMAP = 14,
        BPF_MAP_TYPE_SOCKMAP = 15,
        BPF_MAP_TYPE_CPUMAP = 16,
        BPF_MAP_TYPE_XSKMAP = 17,
        BPF_MAP_TYPE_SOCKHASH = 18,
        BPF_MAP_TYPE_CGROUP_STORAGE_DEPRECATED = 19,
        BPF_MAP_TYPE_CGROUP_STORAGE = 19,
        BPF_MAP_TYPE_REUSEPORT_SOCKARRAY = 20,
        BPF_MAP_TYPE_PERCPU_CGROUP_STORAGE_DEPRECATED = 21,
        BPF_MAP_TYPE_PERCPU_CGROUP_STORAGE = 21,
        BPF_MAP_TYPE_QUEUE = 22,
        BPF_MAP_TYPE_STACK = 23,
        BPF_MAP_TYPE_SK_STORAGE = 24,
        BPF_MAP_TYPE_DEVMAP_HASH = 25,
        BPF_MAP_TYPE_STRUCT_OPS = 26,
        BPF_MAP_TYPE_RINGBUF = 27,
        BPF_MAP_TYPE_INODE_STORAGE = 28,
        BPF_MAP_TYPE_TASK_STORAGE = 29,
        BPF_MAP_TYPE_BLOOM_FILTER = 30,
        BPF_MAP_TYPE_USER_RINGBUF = 31,
        BPF_MAP_TYPE_CGRP_STORAGE = 32,
        BPF_MAP_TYPE_ARENA = 33,
        BPF_MAP_TYPE_INSN_ARRAY = 34,
        BPF_MAP_TYPE_RHASH = 35,
    }

    /// `enum bpf_prog_type`
    PROG_TYPES {
        BPF_PROG_TYPE_UNSPEC = 0,
        BPF_PROG_TYPE_SOCKET_FILTER = 1,
        BPF_PROG_TYPE_KPROBE = 2,
        BPF_PROG_TYPE_SCHED_CLS = 3,
        BPF_PROG_TYPE_SCHED_ACT = 4,
        BPF_PROG_TYPE_TRACEPOINT = 5,
        BPF_PROG_TYPE_XDP = 6,
        BPF_PROG_TYPE_PERF_EVENT = 7,
        BPF_PROG_TYPE_CGROUP_SKB = 8,
        BPF_PROG_TYPE_CGROUP_SOCK = 9,
        BPF_PROG_TYPE_LWT_IN = 10,
        BPF_PROG_TYPE_LWT_OUT = 11,
        BPF_PROG_TYPE_LWT_XMIT = 12,
        BPF_PROG_TYPE_SOCK_OPS = 13,
        BPF_PROG_TYPE_SK_SKB = 14,
        BPF_PROG_TYPE_CGROUP_DEVICE = 15,
        BPF_PROG_TYPE_SK_MSG = 16,
        BPF_PROG_TYPE_RAW_TRACEPOINT = 17,
        BPF_PROG_TYPE_CGROUP_SOCK_ADDR = 18,
        BPF_PROG_TYPE_LWT_SEG6LOCAL = 19,
        BPF_PROG_TYPE_LIRC_MODE2 = 20,
        BPF_PROG_TYPE_SK_REUSEPORT = 21,
        BPF_PROG_TYPE_FLOW_DISSECTOR = 22,
        BPF_PROG_TYPE_CGROUP_SYSCTL = 23,
        BPF_PROG_TYPE_RAW_TRACEPOINT_WRITABLE = 24,
        BPF_PROG_TYPE_CGROUP_SOCKOPT = 25,
        BPF_PROG_TYPE_TRACING = 26,
        BPF_PROG_TYPE_STRUCT_OPS = 27,
        BPF_PROG_TYPE_EXT = 28,
        BPF_PROG_TYPE_LSM = 29,
        BPF_PROG_TYPE_SK_LOOKUP = 30,
        BPF_PROG_TYPE_SYSCALL = 31,
        BPF_PROG_TYPE_NETFILTER = 32,
    }

    /// `enum bpf_attach_type`
    ATTACH_TYPES {
        BPF_CGROUP_INET_INGRESS = 0,
        BPF_CGROUP_INET_EGRESS = 1,
        BPF_CGROUP_INET_SOCK_CREATE = 2,
        BPF_CGROUP_SOCK_OPS = 3,
        BPF_SK_SKB_STREAM_PARSER = 4,
        BPF_SK_SKB_STREAM_VERDICT = 5,
        BPF_CGROUP_DEVICE = 6,
        BPF_SK_MSG_VERDICT = 7,
        BPF_CGROUP_INET4_BIND = 8,
        BPF_CGROUP_INET6_BIND = 9,
        BPF_CGROUP_INET4_CONNECT = 10,
        BPF_CGROUP_INET6_CONNECT = 11,
        BPF_CGROUP_INET4_POST_BIND = 12,
        BPF_CGROUP_INET6_POST_BIND = 13,
        BPF_CGROUP_UDP4_SENDMSG = 14,
        BPF_CGROUP_UDP6_SENDMSG = 15,
        BPF_LIRC_MODE2 = 16,
        BPF_FLOW_DISSECTOR = 17,
        BPF_CGROUP_SYSCTL = 18,
        BPF_CGROUP_UDP4_RECVMSG = 19,
        BPF_CGROUP_UDP6_RECVMSG = 20,
        BPF_CGROUP_GETSOCKOPT = 21,
        BPF_CGROUP_SETSOCKOPT = 22,
        BPF_TRACE_RAW_TP = 23,
        BPF_TRACE_FENTRY = 24,
        BPF_TRACE_FEXIT = 25,
        BPF_MODIFY_RETURN = 26,
        BPF_LSM_MAC = 27,
        BPF_TRACE_ITER = 28,
        BPF_CGROUP_INET4_GETPEERNAME = 29,
        BPF_CGROUP_INET6_GETPEERNAME = 30,
        BPF_CGROUP_INET4_GETSOCKNAME = 31,
        BPF_CGROUP_INET6_GETSOCKNAME = 32,
        BPF_XDP_DEVMAP = 33,
        BPF_CGROUP_INET_SOCK_RELEASE = 34,
        BPF_XDP_CPUMAP = 35,
        BPF_SK_LOOKUP = 36,
        BPF_XDP = 37,
        BPF_SK_SKB_VERDICT = 38,
        BPF_SK_REUSEPORT_SELECT = 39,
        BPF_SK_REUSEPORT_SELECT_OR_MIGRATE = 40,
        BPF_PERF_EVENT = 41,
        BPF_TRACE_KPROBE_MULTI = 42,
        BPF_LSM_CGROUP = 43,
        BPF_STRUCT_OPS = 44,
        BPF_NETFILTER = 45,
        BPF_TCX_INGRESS = 46,
        BPF_TCX_EGRESS = 47,
        BPF_TRACE_UPROBE_MULTI = 48,
        BPF_CGROUP_UNIX_CONNECT = 49,
        BPF_CGROUP_UNIX_SENDMSG = 50,
        BPF_CGROUP_UNIX_RECVMSG = 51,
        BPF_CGROUP_UNIX_GETPEERNAME = 52,
        BPF_CGROUP_UNIX_GETSOCKNAME = 53,
        BPF_NETKIT_PRIMARY = 54,
        BPF_NETKIT_PEER = 55,
        BPF_TRACE_KPROBE_SESSION = 56,
        BPF_TRACE_UPROBE_SESSION = 57,
        BPF_TRACE_FSESSION = 58,
        BPF_TRACE_FENTRY_MULTI = 59,
        BPF_TRACE_FEXIT_MULTI = 60,
        BPF_TRACE_FSESSION_MULTI = 61,
    }

    /// Flags of BPF_MAP_CREATE (and of opening).
    MAP_FLAGS {
        BPF_F_NO_PREALLOC = 1,
        BPF_F_NO_COMMON_LRU = 2,
        BPF_F_NUMA_NODE = 4,
        BPF_F_RDONLY = 8,
        BPF_F_WRONLY = 16,
        BPF_F_STACK_BUILD_ID = 32,
        BPF_F_ZERO_SEED = 64,
        BPF_F_RDONLY_PROG = 128,
        BPF_F_WRONLY_PROG = 256,
        BPF_F_CLONE = 512,
        BPF_F_MMAPABLE = 1024,
        BPF_F_PRESERVE_ELEMS = 2048,
        BPF_F_INNER_MAP = 4096,
        BPF_F_LINK = 8192,
        BPF_F_PATH_FD = 16384,
        BPF_F_VTYPE_BTF_OBJ_FD = 32768,
        BPF_F_TOKEN_FD = 65536,
        BPF_F_SEGV_ON_FAULT = 131072,
        BPF_F_NO_USER_CONV = 262144,
        BPF_F_RB_OVERWRITE = 524288,
    }

    /// Flags of map updates.
    UPDATE_FLAGS {
        BPF_ANY = 0,
        BPF_NOEXIST = 1,
        BPF_EXIST = 2,
        BPF_F_LOCK = 4,
        BPF_F_CPU = 8,
        BPF_F_ALL_CPUS = 16,
    }

    /// Flags of the local storage helpers.
    STORAGE_FLAGS {
        BPF_LOCAL_STORAGE_GET_F_CREATE = 1,
    }

    /// What bpf_loop() and timed may_goto loops are bounded by.
    LOOP_LIMITS {
        BPF_MAX_LOOPS = 8388608,
        BPF_MAX_TIMED_LOOPS = 65535,
    }

    /// Flags of the perf event helpers.
    PERF_FLAGS {
        BPF_F_INDEX_MASK = 4294967295,
        BPF_F_CURRENT_CPU = 4294967295,
    }

    /// Flags of the stack trace helpers.
    STACK_FLAGS {
        BPF_F_SKIP_FIELD_MASK = 255,
        BPF_F_USER_STACK = 256,
        BPF_F_FAST_STACK_CMP = 512,
        BPF_F_REUSE_STACKID = 1024,
        BPF_F_USER_BUILD_ID = 2048,
    }

    /// Flags of bpf_timer_start.
    TIMER_FLAGS {
        BPF_F_TIMER_ABS = 1,
        BPF_F_TIMER_CPU_PIN = 2,
    }

    /// Flags of the ring buffer helpers.
    RINGBUF_FLAGS {
        BPF_RB_NO_WAKEUP = 1,
        BPF_RB_FORCE_WAKEUP = 2,
        BPF_RB_AVAIL_DATA = 0,
        BPF_RB_RING_SIZE = 1,
        BPF_RB_CONS_POS = 2,
        BPF_RB_PROD_POS = 3,
        BPF_RB_OVERWRITE_POS = 4,
    }

    /// Flags of bpf_iter_task_new.
    TASK_ITER {
        BPF_TASK_ITER_ALL_PROCS = 0,
        BPF_TASK_ITER_ALL_THREADS = 1,
        BPF_TASK_ITER_PROC_THREADS = 2,
    }

    /// `enum bpf_cgroup_iter_order`
    CGROUP_ITER {
        BPF_CGROUP_ITER_ORDER_UNSPEC = 0,
        BPF_CGROUP_ITER_SELF_ONLY = 1,
        BPF_CGROUP_ITER_DESCENDANTS_PRE = 2,
        BPF_CGROUP_ITER_DESCENDANTS_POST = 3,
        BPF_CGROUP_ITER_ANCESTORS_UP = 4,
        BPF_CGROUP_ITER_CHILDREN = 5,
    }
}

/// The tables that programs are compiled with, as the kernel's BTF has them: the enum's name ("" for none) and its values.
pub const PROGRAM_ENUMS: &[(&str, &[(&str, u32)])] = &[
    ("bpf_map_type", MAP_TYPES),
    ("", MAP_FLAGS),
    ("", UPDATE_FLAGS),
    ("", STORAGE_FLAGS),
    ("", LOOP_LIMITS),
    ("", PERF_FLAGS),
    ("", STACK_FLAGS),
    ("", TIMER_FLAGS),
    ("", RINGBUF_FLAGS),
    ("", TASK_ITER),
    ("bpf_cgroup_iter_order", CGROUP_ITER),
];
