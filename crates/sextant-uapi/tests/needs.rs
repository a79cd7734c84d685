//! Objects that need something: what is missing is named, what can be done without is not needed. Compiled from C here.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::rc::Rc;

use sextant_abi::tables::{HelperId, KfuncId, Op};
use sextant_abi::types::TaskStruct;
use sextant_bpf::vmlinux::Vmlinux;
use sextant_uapi::inspect::{Has, Status};
use sextant_uapi::{LoadError, Loaded, OpenOptions, Opened, open};
use sextant_vm::{Vm, VmConfig};

const HEAD: &str = "#include <scx/common.bpf.h>\nchar _license[] SEC(\"license\") = \"GPL\";\n";

/// Compiles a scheduler; `None` (and SKIPPED) without clang-19.
fn compile(test: &str, body: &str) -> Option<Vec<u8>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let libbpf = Path::new(env!("SEXTANT_LIBBPF_ARCHIVE")).with_file_name("include");
    let object = std::env::temp_dir().join(format!("sextant-{}-{test}.bpf.o", std::process::id()));
    let mut clang = Command::new("clang-19");
    clang.args(["-target", "bpf", "-mcpu=v3", "-O2", "-g", "-c", "-x", "c", "-", "-o"]).arg(&object);
    clang.arg("-I").arg(root.join("include")).arg("-I").arg(&libbpf).stdin(Stdio::piped());
    let Ok(mut child) = clang.spawn() else {
        println!("SKIPPED {test}: clang-19 is missing (apt install clang-19)");
        return None;
    };
    child.stdin.take().unwrap().write_all(format!("{HEAD}{body}").as_bytes()).unwrap();
    assert!(child.wait().unwrap().success(), "{test} does not compile");
    let bytes = std::fs::read(&object).unwrap();
    std::fs::remove_file(&object).unwrap();
    Some(bytes)
}

fn options() -> OpenOptions {
    OpenOptions { name: "test".into(), ops: None, nr_cpus: 6, vmlinux: Rc::new(Vmlinux::build(&|_| true)) }
}

fn opened(bytes: &[u8]) -> Opened {
    open(bytes, &options()).unwrap_or_else(|e| panic!("{e}"))
}

fn load(opened: Opened) -> Result<Loaded, LoadError> {
    let config = VmConfig { nr_cpus: 6, task_size: TaskStruct::SIZE, ..VmConfig::default() };
    opened.load(Rc::new(Vm::new(config).unwrap()), Vec::new())
}

fn refused(bytes: &[u8]) -> LoadError {
    match load(opened(bytes)) {
        Ok(_) => panic!("loaded"),
        Err(error) => error,
    }
}

#[test]
fn a_strong_kfunc_nobody_has_is_named() {
    let body = "void scx_bpf_teleport(s32 cpu) __ksym;\n\
        void BPF_STRUCT_OPS(t_tick, struct task_struct *p) { scx_bpf_teleport(1); }\n\
        SCX_OPS_DEFINE(t_ops, .tick = (void *)t_tick, .name = \"t\");";
    let Some(bytes) = compile("strong_kfunc", body) else { return };
    let error = refused(&bytes);
    assert!(matches!(&error, LoadError::MissingKfunc { names } if names == &["scx_bpf_teleport"]), "{error}");
    assert!(!error.is_refusal());
}

#[test]
fn a_weak_kfunc_that_is_tested_is_not_needed() {
    let body = "void scx_bpf_teleport(s32 cpu) __ksym __weak;\n\
        void BPF_STRUCT_OPS(t_tick, struct task_struct *p) { if (bpf_ksym_exists(scx_bpf_teleport)) scx_bpf_teleport(1); }\n\
        SCX_OPS_DEFINE(t_ops, .tick = (void *)t_tick, .name = \"t\");";
    let Some(bytes) = compile("weak_kfunc", body) else { return };
    let loaded = load(opened(&bytes)).unwrap_or_else(|e| panic!("{e}"));
    assert!(loaded.ops.progs.contains_key(&Op::Tick));
}

#[test]
fn a_weak_kfunc_that_is_not_tested_is_refused_by_name() {
    let body = "void scx_bpf_teleport(s32 cpu) __ksym __weak;\n\
        void BPF_STRUCT_OPS(t_tick, struct task_struct *p) { scx_bpf_teleport(1); }\n\
        SCX_OPS_DEFINE(t_ops, .tick = (void *)t_tick, .name = \"t\");";
    let Some(bytes) = compile("untested_weak_kfunc", body) else { return };
    let error = refused(&bytes);
    assert!(error.is_refusal());
    assert!(error.to_string().contains("scx_bpf_teleport"), "{error}");
}

#[test]
fn a_field_nobody_has_is_refused_by_name_and_may_be_tested() {
    let body = |code: &str| {
        format!(
            "struct task_struct___x {{ int warp_factor; }} __attribute__((preserve_access_index));\n\
            u64 seen;\n\
            void BPF_STRUCT_OPS(t_tick, struct task_struct *p) {{ struct task_struct___x *x = (void *)p; {code} }}\n\
            SCX_OPS_DEFINE(t_ops, .tick = (void *)t_tick, .name = \"t\");"
        )
    };
    let Some(bytes) = compile("field", &body("seen = x->warp_factor;")) else { return };
    let error = refused(&bytes);
    assert!(!error.is_refusal(), "Sextant lacks it");
    assert!(error.to_string().contains("warp_factor"), "{error}");
    let tested = body("if (bpf_core_field_exists(x->warp_factor)) seen = x->warp_factor;");
    let Some(bytes) = compile("tested_field", &tested) else { return };
    load(opened(&bytes)).unwrap_or_else(|e| panic!("{e}"));
}

#[test]
fn the_machine_is_the_emulated_one() {
    let body = "extern int LINUX_KERNEL_VERSION __kconfig;\n\
        extern unsigned long CONFIG_HZ __kconfig __weak;\n\
        extern _Bool CONFIG_PREEMPT_RCU __kconfig __weak;\n\
        extern _Bool CONFIG_NO_SUCH_THING __kconfig __weak;\n\
        u64 version, hz, rcu, none;\n\
        SEC(\"syscall\") int look(void *ctx) { version = LINUX_KERNEL_VERSION; hz = CONFIG_HZ; rcu = CONFIG_PREEMPT_RCU;\n\
            none = CONFIG_NO_SUCH_THING; return 0; }\n\
        SCX_OPS_DEFINE(t_ops, .name = \"t\");";
    let Some(bytes) = compile("kconfig", body) else { return };
    let loaded = load(opened(&bytes)).unwrap_or_else(|e| panic!("{e}"));
    let look = loaded.other_progs.iter().find(|p| p.name == "look").unwrap();
    assert_eq!(look.section, "syscall");
    loaded.vm.run(look.id.unwrap(), &[0], &mut Quiet).unwrap();
    let global = |name| loaded.globals.get_u64(name).unwrap();
    assert_eq!(global("version"), 0x070304);
    assert_eq!((global("hz"), global("rcu"), global("none")), (250, 1, 0));
}

#[test]
fn frozen_constants_decide_what_is_reachable() {
    let body = "const volatile bool risky;\n\
        void scx_bpf_teleport(s32 cpu) __ksym __weak;\n\
        void BPF_STRUCT_OPS(t_tick, struct task_struct *p) { if (risky) scx_bpf_teleport(1); }\n\
        SCX_OPS_DEFINE(t_ops, .tick = (void *)t_tick, .name = \"t\");";
    let Some(bytes) = compile("frozen", body) else { return };
    load(opened(&bytes)).unwrap_or_else(|e| panic!("{e}"));
    let mut risky = opened(&bytes);
    risky.set("risky", "true").unwrap();
    let Err(error) = load(risky) else { panic!("loaded") };
    assert!(error.to_string().contains("scx_bpf_teleport"), "{error}");
}

#[test]
fn a_sleepable_program_for_an_op_that_must_not_sleep_is_refused() {
    let body = "void BPF_STRUCT_OPS_SLEEPABLE(t_tick, struct task_struct *p) { }\n\
        SCX_OPS_DEFINE(t_ops, .tick = (void *)t_tick, .name = \"t\");";
    let Some(bytes) = compile("sleepable", body) else { return };
    let error = refused(&bytes);
    assert!(error.to_string().contains("attach to unsupported member tick"), "{error}");
}

#[test]
fn what_the_kernel_dropped_is_dropped_with_a_warning() {
    let body = "void BPF_STRUCT_OPS(t_tick, struct task_struct *p) { }\n\
        void BPF_STRUCT_OPS(t_hop, struct task_struct *p) { }\n\
        struct sched_ext_ops___old { void (*tick)(struct task_struct *p); void (*hop)(struct task_struct *p); u64 flags; char name[128]; };\n\
        SEC(\".struct_ops.link\") struct sched_ext_ops___old t_ops = {\n\
            .tick = (void *)t_tick, .hop = (void *)t_hop, .flags = (1 << 16) | 2, .name = \"t\" };";
    let Some(bytes) = compile("dropped", body) else { return };
    let o = opened(&bytes);
    let warnings = o.warnings().join("\n");
    assert!(
        warnings.contains("ops.hop is dropped") && warnings.contains("SCX_OPS_HAS_CGROUP_WEIGHT"),
        "{warnings}"
    );
    let loaded = load(o).unwrap_or_else(|e| panic!("{e}"));
    assert_eq!(loaded.ops.flags, 2);
    assert_eq!(loaded.ops.progs.keys().collect::<Vec<_>>(), [&Op::Tick]);
}

#[test]
fn another_subsystems_struct_ops_is_no_scheduler() {
    let body = "\
        SEC(\"struct_ops/cc_init\") void BPF_PROG(cc_init, void *sk) { }\n\
        SEC(\".struct_ops.link\") struct tcp_congestion_ops cc = { .init = (void *)cc_init, .name = \"cc\" };";
    let Some(bytes) = compile("tcp", body) else { return };
    let Err(error) = open(&bytes, &options()) else { panic!("opened") };
    assert!(
        matches!(&error, LoadError::ForeignOps { struct_name, .. } if struct_name == "tcp_congestion_ops")
    );
    let scx = format!("{body}\nSCX_OPS_DEFINE(t_ops, .name = \"t\");");
    let Some(bytes) = compile("tcp_and_scx", &scx) else { return };
    let loaded = load(opened(&bytes)).unwrap_or_else(|e| panic!("{e}"));
    assert_eq!(loaded.ops.map, "t_ops");
    assert!(loaded.warnings.iter().any(|w| w.contains("'cc'")), "{:?}", loaded.warnings);
}

#[test]
fn an_ops_table_without_a_link_attaches_too() {
    let body = "void BPF_STRUCT_OPS(t_tick, struct task_struct *p) { }\n\
        SEC(\".struct_ops\") struct sched_ext_ops t_ops = { .tick = (void *)t_tick, .name = \"t\" };";
    let Some(bytes) = compile("no_link", body) else { return };
    let loaded = load(opened(&bytes)).unwrap_or_else(|e| panic!("{e}"));
    assert_eq!(loaded.ops.progs.keys().collect::<Vec<_>>(), [&Op::Tick]);
}

#[test]
fn what_the_class_would_refuse_at_once_is_refused_with_its_reason() {
    let table = |init: &str| {
        format!(
            "void BPF_STRUCT_OPS(t_tick, struct task_struct *p) {{ }}\n\
            SCX_OPS_DEFINE(t_ops, .tick = (void *)t_tick, {init});"
        )
    };
    for (test, init, says) in [
        ("timeout", ".name = \"t\", .timeout_ms = 30001", "ops.timeout_ms = 30001"),
        ("flags", ".name = \"t\", .flags = 1ull << 40", "0x10000000000"),
        ("name", ".name = \"a b\"", "ops.name"),
        ("no_name", ".timeout_ms = 1", "ops.name"),
    ] {
        let Some(bytes) = compile(test, &table(init)) else { return };
        let error = refused(&bytes).to_string();
        assert!(error.contains(says), "{test}: {error}");
    }
}

#[test]
fn two_ops_tables_need_a_choice_and_only_the_chosen_ones_programs_load() {
    let body = "void scx_bpf_teleport(s32 cpu) __ksym __weak;\n\
        void BPF_STRUCT_OPS(a_tick, struct task_struct *p) { }\n\
        void BPF_STRUCT_OPS(b_tick, struct task_struct *p) { scx_bpf_teleport(1); }\n\
        SCX_OPS_DEFINE(a_ops, .tick = (void *)a_tick, .name = \"a\");\n\
        SCX_OPS_DEFINE(b_ops, .tick = (void *)b_tick, .name = \"b\");";
    let Some(bytes) = compile("two", body) else { return };
    let Err(error) = open(&bytes, &options()) else { panic!("opened") };
    assert_eq!(error, LoadError::AmbiguousOps { names: vec!["a_ops".into(), "b_ops".into()] });
    let choose = |name: &str| open(&bytes, &OpenOptions { ops: Some(name.into()), ..options() }).map(load);
    assert_eq!(choose("a_ops").unwrap().unwrap_or_else(|e| panic!("{e}")).ops.name, "a");
    assert!(choose("b_ops").unwrap().is_err());
}

#[test]
fn globals_are_set_by_name_and_type() {
    let body = "const volatile u32 nr_cpus = 1;\n\
        const volatile bool on;\n\
        const volatile s32 level;\n\
        const volatile u64 dsq;\n\
        struct { u32 a : 3, b : 5; struct { u64 c; } in; } s = { .a = 5 };\n\
        char word[8];\n\
        u32 three[3];\n\
        u64 RESIZABLE(gimme);\n\
        struct { __uint(type, BPF_MAP_TYPE_HASH); __type(key, u32); __type(value, u64); __uint(max_entries, 4); } tbl SEC(\".maps\");\n\
        void BPF_STRUCT_OPS(t_tick, struct task_struct *p) { u32 k = 0; bpf_map_lookup_elem(&tbl, &k);\n\
            if (on) { s.in.c += nr_cpus + level + dsq; word[0]++; three[1]++; gimme[0]++; } }\n\
        SCX_OPS_DEFINE(t_ops, .tick = (void *)t_tick, .name = \"t\");";
    let body = body.replace("RESIZABLE(gimme)", "gimme[1] SEC(\".data.gimme\")");
    let Some(bytes) = compile("globals", &body) else { return };
    let mut o = opened(&bytes);
    for (path, value, reads) in [
        ("nr_cpus", "@cpus", "6"),
        ("on", "true", "true"),
        ("level", "-3", "-3"),
        ("dsq", "SCX_DSQ_LOCAL", "9223372036854775810"),
        ("s.b", "17", "17"),
        ("s.in.c", "0x10", "16"),
        ("word", "\"hi\"", "\"hi\""),
        ("three[1]", "7", "7"),
        ("three", "[1,2,3]", "[1, 2, 3]"),
        ("gimme", "[9; @cpus]", "[9, 9, 9, 9, 9, 9]"),
        ("gimme[5]", "1", "1"),
    ] {
        o.set(path, value).unwrap_or_else(|e| panic!("{path}: {e}"));
        assert_eq!(o.get(path).unwrap(), reads, "{path}");
    }
    assert_eq!(o.get("s").unwrap(), "{a: 5, b: 17, in: {c: 16}}");
    o.set("ops.timeout_ms", "1500").unwrap();
    o.set("ops.flags", "SCX_OPS_SWITCH_PARTIAL|SCX_OPS_ENQ_LAST").unwrap();
    o.set("map:tbl.max_entries", "99").unwrap();
    for (path, value, says) in [
        ("nr_cpu", "1", "did you mean nr_cpus"),
        ("on", "7", "true or false expected"),
        ("three", "[1,2,3,4]", "4 values for 3 elements"),
        ("three[3]", "1", "3 elements"),
        ("s.d", "1", "no field 'd'"),
        ("level[0]", "1", "not an array"),
        ("ops.timeout", "1", "did you mean timeout_ms"),
        ("ops.tick", "5", "a pointer cannot be set"),
        ("map:tlb.max_entries", "1", "did you mean tbl"),
        ("map:tbl.key_size", "1", "only map:NAME.max_entries"),
        ("map:tbl.max_entries", "-1", "outside 0..=4294967295"),
        ("gimme", "[]", "0 bytes"),
        ("nr_cpus", "6 cpus", "not a number"),
    ] {
        let error = o.set(path, value).unwrap_err().to_string();
        assert!(error.contains(says), "{path}={value}: {error}");
    }
    let loaded = load(o).unwrap_or_else(|e| panic!("{e}"));
    assert_eq!((loaded.ops.timeout_ms, loaded.ops.flags), (1500, 10));
    assert_eq!(loaded.vm.map_spec(loaded.maps["tbl"]).unwrap().max_entries, 99);
    assert_eq!(loaded.globals.get("gimme").unwrap(), "[9, 9, 9, 9, 9, 1]");
    assert_eq!(loaded.globals.get_u64("nr_cpus").unwrap(), 6);
}

#[test]
fn an_inspection_says_what_is_needed() {
    let body = "void scx_bpf_teleport(s32 cpu) __ksym __weak;\n\
        enum scx_ops_flags___old { SCX_OPS_ENQ_LAST___x = 1 };\n\
        const volatile u64 __SCX_DSQ_LOCAL __weak;\n\
        u64 seen = 3;\n\
        void BPF_STRUCT_OPS(t_tick, struct task_struct *p) { if (bpf_ksym_exists(scx_bpf_teleport)) scx_bpf_teleport(1);\n\
            seen += bpf_ktime_get_ns() + __SCX_DSQ_LOCAL; scx_bpf_kick_cpu(0, 0); }\n\
        SCX_OPS_DEFINE(t_ops, .tick = (void *)t_tick, .name = \"t\", .timeout_ms = 77, .flags = 2);";
    let Some(bytes) = compile("inspect", body) else { return };
    let o = opened(&bytes);
    let has =
        Has { kfunc: &|id| id != KfuncId::scx_bpf_kick_cpu, helper: &|id| id == HelperId::ktime_get_ns };
    let i = o.inspect(&has);
    let ops = &i.ops[0];
    assert_eq!((ops.map.as_str(), ops.name.as_str(), ops.timeout_ms), ("t_ops", "t", 77));
    assert_eq!(ops.flags, (2, vec!["SCX_OPS_ENQ_LAST".into()]));
    assert_eq!(ops.members, [("tick".to_string(), "t_tick".to_string())]);
    let status = |name: &str| i.kfuncs.iter().find(|k| k.name == name).map(|k| (k.status, k.weak));
    assert_eq!(status("scx_bpf_teleport"), Some((Status::Unknown, true)));
    assert_eq!(status("scx_bpf_kick_cpu"), Some((Status::Lacks, true)));
    assert!(i.helpers.iter().any(|h| h.name == "bpf_ktime_get_ns" && h.status == Status::Has));
    let global = |name: &str| i.globals.iter().find(|g| g.name == name).map(|g| g.value.as_str());
    assert_eq!(global("seen"), Some("3"));
    assert_eq!(global("__SCX_DSQ_LOCAL"), Some("9223372036854775810"), "filled in at open");
    assert!(i.progs.iter().any(|p| p.name == "t_tick" && p.insns > 3));
}

/// Nothing around the program.
struct Quiet;

impl sextant_vm::Host for Quiet {
    fn ktime_ns(&mut self, _: u64) -> u64 {
        0
    }
    fn jiffies(&mut self) -> u64 {
        0
    }
    fn cpu(&self) -> u32 {
        0
    }
    fn nr_cpus(&self) -> u32 {
        6
    }
    fn current_task(&self) -> u64 {
        0
    }
    fn prandom_u32(&mut self) -> u32 {
        0
    }
    fn printk(&mut self, _: &str) {}
    fn kfunc(&mut self, _: &Vm, _: u32, _: [u64; 5]) -> Result<u64, sextant_vm::Trap> {
        Ok(0)
    }
    fn timer_start(&mut self, _: u64, _: u64, _: bool) {}
    fn timer_cancel(&mut self, _: u64) -> bool {
        false
    }
    fn task_alive(&self, _: u64) -> bool {
        false
    }
}
