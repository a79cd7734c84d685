//! What happens to machine and tasks during a run, by a list of commands with times: what an administrator would do.
//!
//! A command runs in a kernel thread of the machine (`current` while it does). One that cannot be carried out (no such cgroup,
//! a scheduler that refuses) is reported in `Outcome::failed_events`, and the run goes on.

use sextant_abi::{CpuId, CpuMaskBits, Ns};
use sextant_sched::{CgroupError, CgroupId, TaskId};

use crate::config::SimError;
use crate::machine::{Simulation, UPTIME};
use crate::workload::{CgroupSpec, Policy};

/// A command and its time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScriptEvent {
    /// After the start of the run.
    pub at: Ns,
    /// What.
    pub command: Command,
}

/// A file of a cgroup's CPU controller, and what to write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CgroupSetting {
    /// cpu.weight
    Weight(u32),
    /// cpu.idle
    Idle(bool),
    /// cpu.max and cpu.max.burst, µs; no quota for "max".
    Max {
        /// None: no limit.
        quota_us: Option<u64>,
        /// 1000..=1000000
        period_us: u64,
        /// At most the quota.
        burst_us: u64,
    },
}

/// Something to do. A task is named as in the workload (all its instances) or by its `comm`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Writes a CPU's `online` file.
    Cpu {
        /// Not CPU 0.
        cpu: CpuId,
        /// To.
        online: bool,
    },
    /// `mkdir -p` with settings.
    CgroupCreate(CgroupSpec),
    /// `rmdir`
    CgroupRemove(String),
    /// Writes settings.
    CgroupSet(CgroupSpec),
    /// Into a cgroup.
    Move {
        /// Who.
        task: String,
        /// Where to.
        cgroup: String,
    },
    /// setpriority(2)
    Nice {
        /// Who.
        task: String,
        /// -20..=19
        nice: i32,
    },
    /// sched_setaffinity(2)
    Affinity {
        /// Who.
        task: String,
        /// Allowed from now on.
        cpus: Vec<CpuId>,
    },
    /// sched_setscheduler(2)
    Policy {
        /// Who.
        task: String,
        /// To.
        policy: Policy,
        /// Nice value or priority; None keeps the nice value.
        value: Option<i32>,
    },
    /// kill(2) with SIGKILL
    Kill {
        /// The name of the task, as events name tasks.
        task: String,
    },
}

impl Command {
    /// A CPU goes and comes by itself; the rest is done on CPU 0.
    pub(crate) fn where_it_happens(&self) -> CpuId {
        match self {
            Command::Cpu { cpu, .. } => *cpu,
            _ => CpuId(0),
        }
    }
}

/// Until a command that is held off is tried again.
const RETRY: Ns = Ns(1_000_000);

impl Simulation {
    /// The cgroups of the workload, and those its tasks name.
    pub(crate) fn make_cgroups(&mut self) -> Result<(), SimError> {
        let workload = self.workload.clone();
        for spec in &workload.cgroups {
            self.cgroup_create(spec).map_err(|error| SimError::Cgroup { path: spec.path.clone(), error })?;
        }
        for spec in &workload.tasks {
            let phases = spec.phases.iter().filter_map(|p| p.cgroup.as_ref());
            for path in spec.cgroup.iter().chain(phases) {
                self.sched
                    .cgroup_mkdir_all(path)
                    .map_err(|error| SimError::Cgroup { path: path.clone(), error })?;
            }
        }
        Ok(())
    }

    fn cgroup_create(&mut self, spec: &CgroupSpec) -> Result<(), CgroupError> {
        let id = self.sched.cgroup_mkdir_all(&spec.path)?;
        self.cgroup_set(id, &spec.settings)
    }

    fn cgroup_set(&mut self, id: CgroupId, settings: &[CgroupSetting]) -> Result<(), CgroupError> {
        for setting in settings {
            match *setting {
                CgroupSetting::Weight(weight) => self.sched.cgroup_set_weight(id, weight)?,
                CgroupSetting::Idle(idle) => self.sched.cgroup_set_idle(id, idle)?,
                CgroupSetting::Max { quota_us, period_us, burst_us } => {
                    self.sched.cgroup_set_bandwidth(id, period_us, quota_us, burst_us)?;
                }
            }
        }
        Ok(())
    }

    /// Puts the events in order and arms the first.
    pub(crate) fn arm_script(&mut self) {
        let events = &self.workload.events;
        let mut order: Vec<usize> = (0..events.len()).collect();
        order.sort_by_key(|&i| events[i].at); // stable: file order at the same instant
        order.reverse();
        self.script = order;
        self.arm_next();
    }

    fn arm_next(&mut self) {
        if let Some(&i) = self.script.last() {
            let at = self.workload.events[i].at;
            self.queue.arm(self.script_slot, UPTIME + at);
        }
    }

    /// Where the next event happens: a CPU goes and comes by itself.
    pub(crate) fn script_cpu(&self) -> CpuId {
        self.script.last().map_or(CpuId(0), |&i| self.workload.events[i].command.where_it_happens())
    }

    /// Carries out the event that is due.
    pub(crate) fn run_script(&mut self, at: Ns) {
        let workload = self.workload.clone();
        let due = self.script.last().map(|&i| &workload.events[i].command);
        if matches!(due, Some(Command::Cpu { .. })) && self.sched.scx_in_transition() {
            // Enabling and disabling a scheduler hold it off (cpus_read_lock).
            self.queue.arm(self.script_slot, at + RETRY);
            return;
        }
        if let Some(i) = self.script.pop() {
            self.sched.as_kthread = Some(self.helper);
            self.sched.charge(self.costs.syscall_ns);
            if let Err(why) = self.carry_out(&workload.events[i].command) {
                self.failed_events.push((at.since(UPTIME), why));
            }
            self.sched.as_kthread = None;
        }
        self.arm_next();
    }

    pub(crate) fn carry_out(&mut self, command: &Command) -> Result<(), String> {
        let text = |e: CgroupError| e.to_string();
        match command {
            Command::Cpu { cpu, online: true } => self.sched.cpu_activate(*cpu).map_err(|e| e.to_string()),
            Command::Cpu { cpu, online: false } => self.sched.cpu_deactivate(*cpu).map_err(|e| e.to_string()),
            Command::CgroupCreate(spec) => self.cgroup_create(spec).map_err(text),
            Command::CgroupRemove(path) => {
                let id = self.sched.cgroup_lookup(path).map_err(text)?;
                self.sched.cgroup_rmdir(id).map_err(text)
            }
            Command::CgroupSet(spec) => {
                let id = self.sched.cgroup_lookup(&spec.path).map_err(text)?;
                self.cgroup_set(id, &spec.settings).map_err(text)
            }
            Command::Move { task, cgroup } => {
                let id = self.sched.cgroup_lookup(cgroup).map_err(text)?;
                let tasks = self.tasks_named(task)?;
                self.sched.cgroup_attach(&tasks, id).map_err(text)
            }
            Command::Nice { task, nice } => {
                self.tasks_named(task)?.into_iter().for_each(|p| self.sched.set_user_nice(p, *nice));
                Ok(())
            }
            Command::Affinity { task, cpus } => {
                let mask: CpuMaskBits = cpus.iter().copied().collect();
                self.for_each_task(task, |sim, p| sim.sched.set_cpus_allowed(p, &mask))
            }
            Command::Kill { task } => {
                self.tasks_named(task)?.into_iter().for_each(|p| self.kill(p));
                Ok(())
            }
            Command::Policy { task, policy, value } => {
                self.for_each_task(task, |sim, p| sim.sched.sched_setscheduler(p, policy.number(), *value))
            }
        }
    }

    fn for_each_task(
        &mut self,
        task: &str,
        f: impl Fn(&mut Self, TaskId) -> Result<(), i32>,
    ) -> Result<(), String> {
        for p in self.tasks_named(task)? {
            f(self, p).map_err(|errno| format!("task \"{task}\": refused (errno {})", -errno))?;
        }
        Ok(())
    }

    /// The live tasks of that name.
    fn tasks_named(&self, name: &str) -> Result<Vec<TaskId>, String> {
        let is_named = |p: TaskId| {
            let prog = self.programs.get(p.0 as usize)?.as_deref()?;
            let spec = &self.workload.tasks[prog.spec.0 as usize];
            let comm = self.sched.t(p).comm().get_str(&*self.sched.mem);
            (!self.sched.tasks[p].dead && (spec.name == name || comm == name)).then_some(p)
        };
        let found: Vec<TaskId> = self.sched.tasks.ids().filter_map(is_named).collect();
        if found.is_empty() { Err(format!("no task \"{name}\" is alive")) } else { Ok(found) }
    }

    /// A task goes into another cgroup by itself (a phase that says so).
    pub(crate) fn move_to_cgroup(&mut self, tasks: &[TaskId], path: &str) {
        let moved = self.sched.cgroup_lookup(path).and_then(|id| self.sched.cgroup_attach(tasks, id));
        if let Err(e) = moved {
            self.failed_events.push((self.sched.now.since(UPTIME), e.to_string()));
        }
    }
}
