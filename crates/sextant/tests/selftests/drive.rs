//! A machine in this process and schedulers on it: what libbpf and the system calls are to a selftest's user-space half.

use std::path::Path;
use std::rc::Rc;

use sextant_abi::types::TaskStruct;
use sextant_abi::{CpuId, Ns};
use sextant_bpf::vmlinux::Vmlinux;
use sextant_sched::bpf::{BpfOps, has_kfunc};
use sextant_sched::core::flags::PF_KTHREAD;
use sextant_sched::ext::EnableError;
use sextant_sched::ops::OpsParams;
use sextant_sched::topology::Shape;
use sextant_sched::{Class, TaskId};
use sextant_sim::script::Command;
use sextant_sim::workload::{Action, CondId, Phase, Policy, SpecId, TaskSpec};
use sextant_sim::{NoSink, SimConfig, Simulation, Workload};
use sextant_uapi::{LoadError, Loaded, OpenOptions, Opened, open};
use sextant_vm::{Vm, VmConfig};

/// What tasks wait for that the test lets go.
pub const GO: CondId = CondId(0);
/// What a task waits for that is to fork.
pub const FORK: CondId = CondId(1);

/// Virtual milliseconds in a second.
pub const SECOND: u64 = 1000;

/// A selftest's object, as `NAME__open` gives it; None (said aloud) when `cargo xtask kernel-examples` has not run.
pub fn object(name: &str) -> Option<Object> {
    built("selftests", name)
}

/// One of the kernel's examples (tools/sched_ext), likewise.
pub fn example(name: &str) -> Option<Object> {
    built("examples", name)
}

fn built(dir: &str, name: &str) -> Option<Object> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/kernel-examples").join(dir);
    match std::fs::read(path.join(format!("{name}.bpf.o"))) {
        Ok(bytes) => Some(Object { name: name.into(), bytes, ops: None, sets: Vec::new() }),
        Err(_) => {
            println!("SKIPPED {dir}/{name}: run `cargo xtask kernel-examples` first");
            None
        }
    }
}

/// An object with what is set in it before it is loaded.
#[derive(Clone)]
pub struct Object {
    name: String,
    bytes: Vec<u8>,
    ops: Option<String>,
    sets: Vec<(String, String)>,
}

impl Object {
    /// Which of its ops tables is meant.
    pub fn table(mut self, ops: &str) -> Self {
        self.ops = Some(ops.into());
        self
    }

    /// A global or a member of the ops table.
    pub fn set(mut self, path: &str, value: impl ToString) -> Self {
        self.sets.push((path.into(), value.to_string()));
        self
    }

    /// What a built-in setup sets, on a machine of that many CPUs.
    pub fn setup(mut self, name: &str, nr_cpus: u32) -> Self {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../workloads/setup");
        let text = std::fs::read_to_string(path.join(format!("{name}.toml"))).expect("a setup of ours");
        let setup = sextant_trace::setup::read(&text, sextant_sched::topology::Shape::flat(nr_cpus))
            .expect("a sound setup");
        self.sets.extend(setup.sets.into_iter().map(|set| (set.path, set.value)));
        self
    }

    /// The file.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    fn open(&self, nr_cpus: u32) -> Result<Opened, LoadError> {
        let options = OpenOptions {
            name: self.name.clone(),
            ops: self.ops.clone(),
            nr_cpus,
            vmlinux: Rc::new(Vmlinux::build(&has_kfunc)),
        };
        let mut opened = open(&self.bytes, &options)?;
        for (path, value) in &self.sets {
            opened.set(path, value).unwrap_or_else(|e| panic!("{}: {e}", self.name));
        }
        Ok(opened)
    }

    /// Whether `NAME__load` succeeds on a machine of 4 CPUs: the verifier accepts every program, and libbpf is content. The text is why not.
    pub fn loads(&self) -> Result<(), String> {
        self.load(&Machine::new(4, Vec::new())).map(drop)
    }

    fn load(&self, machine: &Machine) -> Result<Scheduler, String> {
        let opened = self.open(machine.nr_cpus).map_err(|e| e.to_string())?;
        let kernel = opened.kernel();
        kernel.verify_programs();
        let loaded = opened.load(machine.vm.clone(), Vec::new());
        if let Some(refused) = kernel.verdicts().into_iter().find_map(|v| v.result.err()) {
            return Err(refused.to_string());
        }
        let loaded = loaded.map_err(|e| e.to_string())?;
        Ok(Scheduler { ops: Rc::new(bind(&loaded)), loaded })
    }
}

fn bind(loaded: &Loaded) -> BpfOps {
    let ops = &loaded.ops;
    let params = OpsParams {
        name: ops.name.clone(),
        flags: ops.flags,
        dispatch_max_batch: ops.dispatch_max_batch,
        timeout_ms: ops.timeout_ms,
        exit_dump_len: ops.exit_dump_len,
        hotplug_seq: ops.hotplug_seq,
        cid_form: ops.cid_form,
        cid_shard_size: ops.cid_shard_size,
        sub_cgroup_id: ops.sub_cgroup_id,
        calls_switch_all: ops.calls_switch_all,
    };
    let progs: Vec<_> = ops.progs.iter().map(|(&op, &prog)| (op, prog)).collect();
    BpfOps::new(loaded.vm.clone(), params, &progs).with_trace_progs(loaded.trace_progs())
}

/// A loaded object; it can be attached again and again.
pub struct Scheduler {
    pub loaded: Loaded,
    ops: Rc<BpfOps>,
}

impl Scheduler {
    /// A variable of at most 8 bytes.
    pub fn get(&self, path: &str) -> u64 {
        self.loaded.globals.get_u64(path).unwrap_or_else(|e| panic!("{e}"))
    }

    /// The sum over CPUs of an element of a map of u64 per CPU.
    pub fn per_cpu_sum(&self, map: &str, index: u32) -> u64 {
        let found = self.loaded.vm.map_lookup(self.loaded.maps[map], &index.to_le_bytes(), 0);
        let bytes = found.expect("an element");
        bytes.chunks_exact(8).map(|word| u64::from_le_bytes(word.try_into().expect("8 bytes"))).sum()
    }

    /// A C string.
    pub fn text(&self, path: &str) -> String {
        let bytes = self.loaded.globals.bytes(path).unwrap_or_else(|e| panic!("{e}"));
        String::from_utf8_lossy(bytes.split(|&b| b == 0).next().unwrap_or_default()).into_owned()
    }

    /// Writes a variable, whose other bytes become 0.
    pub fn put(&self, path: &str, value: u64) {
        let size = self.loaded.globals.bytes(path).unwrap_or_else(|e| panic!("{e}")).len();
        let mut bytes = vec![0; size];
        let len = size.min(8);
        bytes[..len].copy_from_slice(&value.to_le_bytes()[..len]);
        self.loaded.globals.put(path, &bytes).unwrap_or_else(|e| panic!("{e}"));
    }

    /// The reason and message it recorded at its end: UEI_REPORT.
    pub fn report(&self) -> String {
        format!("{} ({}) kind {}", self.text("uei.reason"), self.text("uei.msg"), self.get("uei.kind"))
    }

    /// Asserts the exit kind that it recorded; 0 is none.
    #[track_caller]
    pub fn expect_kind(&self, kind: u32) {
        assert_eq!(self.get("uei.kind"), u64::from(kind), "{}", self.report());
    }
}

/// A machine with tasks on it.
pub struct Machine {
    pub sim: Simulation,
    vm: Rc<Vm>,
    nr_cpus: u32,
}

impl Machine {
    /// `nr_cpus` CPUs without any common cores or caches.
    pub fn new(nr_cpus: u32, tasks: Vec<TaskSpec>) -> Self {
        Self::make(nr_cpus, None, tasks, &[])
    }

    /// The same, with semaphores.
    pub fn with_sems(nr_cpus: u32, tasks: Vec<TaskSpec>, sems: &[&str]) -> Self {
        Self::make(nr_cpus, None, tasks, sems)
    }

    /// A machine of that shape.
    pub fn shaped(shape: Shape, tasks: Vec<TaskSpec>) -> Self {
        Self::make(shape.nr_cpus().expect("a possible machine"), Some(shape), tasks, &[])
    }

    fn make(nr_cpus: u32, shape: Option<Shape>, tasks: Vec<TaskSpec>, sems: &[&str]) -> Self {
        let scx = TaskStruct::at(0).scx();
        let writable = [(scx.slice().addr(), 8), (scx.dsq_vtime().addr(), 8), (scx.disallow().addr(), 1)];
        let config = VmConfig {
            nr_cpus,
            task_size: TaskStruct::SIZE,
            task_writable: writable.map(|(offset, len)| (offset as u32, len)).to_vec(),
            ..VmConfig::default()
        };
        let vm = Rc::new(Vm::new(config).expect("the host has address space"));
        let config = SimConfig { nr_cpus, machine: shape, ..SimConfig::default() };
        // Duration: a run ends when the test ends it.
        let workload = Workload {
            name: "selftest".into(),
            duration: Some(Ns::from_ms(1_000 * SECOND)),
            conds: vec!["go".into(), "fork".into()],
            sems: sems.iter().map(|&name| name.into()).collect(),
            tasks,
            ..Workload::default()
        };
        let sim = Simulation::new(config, &workload, vm.region()).expect("a sound workload");
        Self { sim, vm, nr_cpus }
    }

    /// `NAME__load`, which must succeed.
    #[track_caller]
    pub fn load(&self, object: &Object) -> Scheduler {
        object.load(self).unwrap_or_else(|e| panic!("{} does not load: {e}", object.name))
    }

    /// `bpf_map__attach_struct_ops`, which must succeed. That may end in an exit right away.
    #[track_caller]
    pub fn attach(&mut self, scheduler: &Scheduler) {
        let attached = self.sim.attach(scheduler.ops.clone(), &mut NoSink);
        attached.unwrap_or_else(|e| panic!("not attached: {e}"));
    }

    /// The same when it may be refused.
    pub fn try_attach(&mut self, scheduler: &Scheduler) -> Result<(), EnableError> {
        self.sim.attach(scheduler.ops.clone(), &mut NoSink)
    }

    /// `bpf_link__destroy`
    pub fn detach(&mut self) {
        self.sim.detach(&mut NoSink);
    }

    /// Lets time pass.
    #[track_caller]
    pub fn run(&mut self, ms: u64) {
        self.sim.run_for(Ns::from_ms(ms), &mut NoSink).expect("time passes");
    }

    /// Lets time pass until something has come true; panics if it has not after so many milliseconds.
    #[track_caller]
    pub fn run_until(&mut self, ms: u64, what: &str, done: impl Fn() -> bool) {
        for _ in 0..ms {
            if done() {
                return;
            }
            self.run(1);
        }
        panic!("{what}: not within {ms} ms");
    }

    /// What an administrator or another program does to machine and tasks.
    #[track_caller]
    pub fn perform(&mut self, command: Command) {
        self.sim.perform(&command, &mut NoSink).unwrap_or_else(|e| panic!("{command:?}: {e}"));
    }

    /// The same when it may be refused: a task may be gone.
    pub fn try_perform(&mut self, command: Command) -> bool {
        self.sim.perform(&command, &mut NoSink).is_ok()
    }

    /// Takes CPU 1 on- or offline.
    #[track_caller]
    pub fn cpu1(&mut self, online: bool) {
        self.perform(Command::Cpu { cpu: CpuId(1), online });
    }

    /// Wakes every task that waits for `GO` or `FORK`.
    pub fn resume(&mut self, cond: CondId) {
        self.sim.resume_all(cond, &mut NoSink);
    }

    /// `bpf_prog_test_run_opts` of a syscall program with that context: its return value.
    #[track_caller]
    pub fn prog_run(&mut self, scheduler: &Scheduler, prog: &str, ctx: &mut [u8]) -> i32 {
        let progs = &scheduler.loaded.other_progs;
        let id = progs.iter().find(|p| p.name == prog).and_then(|p| p.id).expect("a syscall program");
        let run = self.sim.call(&mut NoSink, |s| scheduler.ops.test_run(s, id, ctx));
        run.unwrap_or_else(|trap| panic!("{prog}: {trap}")) as i32
    }

    /// CPU time of the live tasks of that name, ns.
    pub fn cpu_time(&self, name: &str) -> u64 {
        let sched = &self.sim.sched;
        let live = sched.tasks.iter().filter(|t| !t.dead);
        let named = live.filter(|t| t.ts.comm().get_str(&*sched.mem) == name);
        named.map(|t| t.ts.se().sum_exec_runtime().get(&*sched.mem)).sum()
    }

    /// How many live tasks have that name (an instance's number cut off).
    pub fn alive(&self, name: &str) -> usize {
        let sched = &self.sim.sched;
        let is = |comm: String| comm == name || comm.rsplit_once('-').is_some_and(|(stem, _)| stem == name);
        sched.tasks.iter().filter(|t| !t.dead && is(t.ts.comm().get_str(&*sched.mem))).count()
    }

    /// Whether a task is of the workload: no kernel thread, no idle task.
    pub fn is_workload(&self, p: TaskId) -> bool {
        let task = &self.sim.sched.tasks[p];
        task.class != Class::Idle && task.ts.flags().get(&*self.sim.sched.mem) & PF_KTHREAD == 0
    }

    /// The pid of a live task.
    pub fn pid(&self, name: &str) -> i32 {
        let sched = &self.sim.sched;
        let found = sched.tasks.iter().find(|t| !t.dead && t.ts.comm().get_str(&*sched.mem) == name);
        found.expect("a live task of that name").ts.pid().get(&*sched.mem)
    }
}

/// A task that does this once and exits.
pub fn once(name: &str, actions: Vec<Action>) -> TaskSpec {
    TaskSpec { loops: Some(1), ..forever(name, actions) }
}

/// A task that does this over and over.
pub fn forever(name: &str, actions: Vec<Action>) -> TaskSpec {
    TaskSpec { name: name.into(), phases: vec![Phase { actions, ..Phase::default() }], ..TaskSpec::default() }
}

/// So many of it.
pub fn times(n: u32, spec: TaskSpec) -> TaskSpec {
    TaskSpec { instances: n, ..spec }
}

/// Waits for `FORK`, then forks so many of each of these task descriptions (by index) and ends.
pub fn forks(children: &[(u64, u32)]) -> TaskSpec {
    let wait = Phase { actions: vec![Action::Suspend(FORK)], ..Phase::default() };
    let fork = |&(n, spec): &(u64, u32)| Phase {
        loops: Some(n),
        actions: vec![Action::Fork(SpecId(spec))],
        ..Phase::default()
    };
    TaskSpec {
        name: "parent".into(),
        loops: Some(1),
        phases: std::iter::once(wait).chain(children.iter().map(fork)).collect(),
        ..TaskSpec::default()
    }
}

/// Only others start it.
pub fn forked(spec: TaskSpec) -> TaskSpec {
    TaskSpec { instances: 0, ..spec }
}

/// With this policy from its start.
pub fn policy(policy: Policy, spec: TaskSpec) -> TaskSpec {
    TaskSpec { policy, ..spec }
}

/// On these CPUs only.
pub fn pinned(cpus: &[u32], spec: TaskSpec) -> TaskSpec {
    TaskSpec { cpus: Some(cpus.iter().copied().map(CpuId).collect()), ..spec }
}

/// Computes that long.
pub fn run_us(us: u64) -> Action {
    Action::Run(Ns::from_us(us))
}

/// Sleeps that long.
pub fn sleep_us(us: u64) -> Action {
    Action::Sleep(Ns::from_us(us))
}

/// Plenty of scheduling events, as on a machine that is in use: hogs enough for every second CPU, and many that come and go.
pub fn in_use(nr_cpus: u32) -> Vec<TaskSpec> {
    let sleeper = forever("sleeper", vec![run_us(200), sleep_us(1500)]);
    let yielder = forever("yielder", vec![run_us(300), Action::Yield, run_us(100), sleep_us(700)]);
    let hog = forever("hog", vec![run_us(5000)]);
    vec![
        times(2 * nr_cpus, sleeper),
        times(nr_cpus, yielder),
        times(nr_cpus / 2, hog),
        pinned(&[0], forever("bound", vec![run_us(100), sleep_us(900)])),
    ]
}
