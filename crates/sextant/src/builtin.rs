//! What comes with the program: our schedulers, compiled, and the workloads.

/// Something that can be named instead of a file.
pub struct Builtin<T: 'static> {
    /// Its name.
    pub name: &'static str,
    /// One line about it.
    pub about: &'static str,
    /// The file.
    pub content: T,
}

/// Object files, built from `schedulers/*.bpf.c` by `cargo xtask schedulers`.
pub const SCHEDULERS: &[Builtin<&[u8]>] = &[
    Builtin {
        name: "simple",
        about: "an idle CPU gets the task, else one global queue; the classic first example",
        content: include_bytes!("../../../schedulers/built/simple.bpf.o"),
    },
    Builtin {
        name: "vtime",
        about: "one queue ordered by weighted virtual time: shares follow the weights",
        content: include_bytes!("../../../schedulers/built/vtime.bpf.o"),
    },
    Builtin {
        name: "rr",
        about: "round robin with a slice to tune (--set slice_ns=…)",
        content: include_bytes!("../../../schedulers/built/rr.bpf.o"),
    },
    Builtin {
        name: "central",
        about: "one CPU decides for all the others",
        content: include_bytes!("../../../schedulers/built/central.bpf.o"),
    },
];

/// The name that runs the machine without a sched_ext scheduler.
pub const FAIR: &str = "fair";

/// rt-app files from `workloads/`.
pub const WORKLOADS: &[Builtin<&str>] = &[
    Builtin {
        name: "mixed",
        about: "hogs, batch jobs of less weight, sleepers, frames, a pipe pair: makes differences visible",
        content: include_str!("../../../workloads/mixed.json"),
    },
    Builtin {
        name: "hogs",
        about: "CPU hogs of nice 0, 1, 5 and 10: shows shares (try --cpus 2)",
        content: include_str!("../../../workloads/hogs.json"),
    },
    Builtin {
        name: "bench-64",
        about: "64 tasks for measuring speed: 16 hogs, 32 sleepers, 8 ping-pong pairs",
        content: include_str!("../../../workloads/bench-64.json"),
    },
    Builtin {
        name: "partial",
        about: "some tasks ask for SCHED_EXT: shows partial switching",
        content: include_str!("../../../workloads/partial.json"),
    },
];

/// Setups for the kernel's examples and for schedulers of sched-ext/scx, from `workloads/setup/`.
pub const SETUPS: &[Builtin<&str>] = &[
    Builtin {
        name: "central",
        about: "for the kernel's scx_central: what its own program does",
        content: include_str!("../../../workloads/setup/central.toml"),
    },
    Builtin {
        name: "flatcg",
        about: "for the kernel's scx_flatcg",
        content: include_str!("../../../workloads/setup/flatcg.toml"),
    },
    Builtin {
        name: "pair",
        about: "for the kernel's scx_pair",
        content: include_str!("../../../workloads/setup/pair.toml"),
    },
    Builtin {
        name: "bpfland",
        about: "for scx_bpfland of sched-ext/scx: sibling and primary CPUs",
        content: include_str!("../../../workloads/setup/bpfland.toml"),
    },
    Builtin {
        name: "tickless",
        about: "for scx_tickless of sched-ext/scx: its timer on CPU 0",
        content: include_str!("../../../workloads/setup/tickless.toml"),
    },
    Builtin {
        name: "p2dq",
        about: "for scx_p2dq of sched-ext/scx: its arena and the machine's topology (up to 64 CPUs)",
        content: include_str!("../../../workloads/setup/p2dq.toml"),
    },
];

/// The entry of that name.
pub fn find<T>(table: &'static [Builtin<T>], name: &str) -> Option<&'static Builtin<T>> {
    table.iter().find(|b| b.name == name)
}
