//! The emulated kernel: version and configuration, as `LINUX_KERNEL_VERSION` and `CONFIG_*` externs see them.
//! 7.3.4 with Debian's configuration for x86-64, of which only what schedulers ask for is kept.

/// CONFIG_NR_CPUS: the size of a cpumask in bits.
pub const NR_CPUS: usize = 8192;
/// CONFIG_HZ: ticks (jiffies) per second.
pub const HZ: u64 = 250;
/// ns per jiffy.
pub const TICK_NSEC: u64 = 1_000_000_000 / HZ;
/// Version, patchlevel, sublevel.
pub const KERNEL_VERSION: (u32, u32, u32) = (7, 3, 4);
/// `KERNEL_VERSION(7, 3, 4)`; the sublevel saturates at 255.
pub const LINUX_KERNEL_VERSION: u32 = KERNEL_VERSION.0 << 16 | KERNEL_VERSION.1 << 8 | KERNEL_VERSION.2;
/// `uname -r`
pub const UTS_RELEASE: &str = "7.3.4-sextant";

/// Value of a configuration option.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum KconfigValue {
    /// `y`
    Yes,
    /// `m`
    Module,
    /// A number.
    Int(u64),
    /// A string, without quotes.
    Str(&'static str),
}

/// Name with `CONFIG_`, and value; an option that is not set is absent.
pub const KCONFIG: &[(&str, KconfigValue)] = &[
    ("CONFIG_64BIT", KconfigValue::Yes),
    ("CONFIG_BPF", KconfigValue::Yes),
    ("CONFIG_BPF_JIT", KconfigValue::Yes),
    ("CONFIG_BPF_SYSCALL", KconfigValue::Yes),
    ("CONFIG_CC_VERSION_TEXT", KconfigValue::Str("gcc (Debian) 14.2.0")),
    ("CONFIG_CGROUPS", KconfigValue::Yes),
    ("CONFIG_CGROUP_SCHED", KconfigValue::Yes),
    ("CONFIG_DEBUG_INFO_BTF", KconfigValue::Yes),
    ("CONFIG_EXT_GROUP_SCHED", KconfigValue::Yes),
    ("CONFIG_EXT_SUB_SCHED", KconfigValue::Yes),
    ("CONFIG_FAIR_GROUP_SCHED", KconfigValue::Yes),
    ("CONFIG_HZ", KconfigValue::Int(HZ)),
    ("CONFIG_HZ_250", KconfigValue::Yes),
    ("CONFIG_LOCALVERSION", KconfigValue::Str("")),
    ("CONFIG_NODES_SHIFT", KconfigValue::Int(10)),
    ("CONFIG_NR_CPUS", KconfigValue::Int(NR_CPUS as u64)),
    ("CONFIG_NUMA", KconfigValue::Yes),
    ("CONFIG_PREEMPTION", KconfigValue::Yes),
    ("CONFIG_PREEMPT_RCU", KconfigValue::Yes),
    ("CONFIG_SCHED_AUTOGROUP", KconfigValue::Yes),
    ("CONFIG_SCHED_CLASS_EXT", KconfigValue::Yes),
    ("CONFIG_SMP", KconfigValue::Yes),
    ("CONFIG_X86", KconfigValue::Yes),
    ("CONFIG_X86_64", KconfigValue::Yes),
];

/// The value of `CONFIG_` option `name`, `None` when it is not set.
pub fn kconfig(name: &str) -> Option<KconfigValue> {
    KCONFIG.iter().find(|(option, _)| *option == name).map(|(_, value)| *value)
}

/// The configuration as the text of `/boot/config-*`, which is how libbpf reads it.
pub fn kconfig_text() -> String {
    let line = |(name, value): &(&str, KconfigValue)| match value {
        KconfigValue::Yes => format!("{name}=y\n"),
        KconfigValue::Module => format!("{name}=m\n"),
        KconfigValue::Int(number) => format!("{name}={number}\n"),
        KconfigValue::Str(text) => format!("{name}=\"{text}\"\n"),
    };
    KCONFIG.iter().map(line).collect()
}
