//! Figures per task and per CPU, gathered from the events as they pass.
//!
//! A scheduler that ends by itself cuts the run in two: its own time, and what the fair class did afterwards. What must hold: the two
//! together are the whole run; a wait that is still open counts in full, on both sides of a cut.

use hdrhistogram::Histogram;
use sextant_abi::Ns;
use sextant_sched::rq::Rq;
use sextant_sched::{Class, Event, Sched, TaskId};

use crate::workload::SpecId;

/// Wakeup latency in ns: from the wakeup to running.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Latency {
    /// Median.
    pub p50: u64,
    /// 90th percentile.
    pub p90: u64,
    /// 99th percentile.
    pub p99: u64,
    /// 99.9th percentile.
    pub p999: u64,
    /// Largest, exact.
    pub max: u64,
}

/// What a task has had.
#[derive(Clone, Debug)]
pub struct TaskResult {
    /// Who.
    pub id: TaskId,
    /// `comm`
    pub name: String,
    /// `pid`
    pub pid: i32,
    /// Which description it is an instance of; None for the machine's own tasks.
    pub spec: Option<SpecId>,
    /// Nice value at the end.
    pub nice: i32,
    /// `scx.weight`-like weight by the nice value (nice 0 = 100).
    pub weight: u32,
    /// Time on a CPU, kernel work on its behalf included.
    pub run_ns: u64,
    /// Time runnable without running.
    pub wait_ns: u64,
    /// Wakeups from sleep.
    pub wakeups: u64,
    /// None without wakeups. A wakeup that still waits counts with its wait so far.
    pub latency: Option<Latency>,
    /// Longest time runnable without a CPU, after a wakeup or a preemption alike; a wait that is still open counts.
    pub max_wait_ns: u64,
    /// How often it was switched in.
    pub switches: u64,
    /// Changes of runqueue.
    pub migrations: u64,
    /// From its fork (time 0 for the machine's own tasks) to its exit, or to the end of the run.
    pub alive_ns: u64,
    /// Has exited.
    pub exited: bool,
}

/// Wakeup latencies of all tasks of a description together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GroupResult {
    /// Which.
    pub spec: SpecId,
    /// None without wakeups.
    pub latency: Option<Latency>,
    /// Longest time that one of them was runnable without a CPU.
    pub max_wait_ns: u64,
}

/// What a CPU has done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CpuResult {
    /// Time with a task other than swapper.
    pub busy_ns: u64,
    /// Context switches, those to and from swapper included.
    pub switches: u64,
}

/// Figures of a stretch of time.
#[derive(Clone, Debug)]
pub struct Figures {
    /// How long it was.
    pub duration: Ns,
    /// Tasks of the workload and of the machine, in creation order; not those that were gone when it began.
    pub tasks: Vec<TaskResult>,
    /// By description.
    pub groups: Vec<GroupResult>,
    /// Per CPU, in order.
    pub cpus: Vec<CpuResult>,
}

#[derive(Default)]
struct Track {
    spec: Option<SpecId>,
    runnable_since: Option<Ns>,
    woken_at: Option<Ns>,
    sums: Sums,
    /// Of before the cut.
    before: Option<Sums>,
    /// Time on a CPU before the cut.
    run_before_ns: u64,
    forked_at: Ns,
    exited_at: Ns,
    /// Taken when it exited, before its memory goes.
    last: Option<Snapshot>,
}

/// What is added up.
#[derive(Default)]
struct Sums {
    wait_ns: u64,
    wakeups: u64,
    switches: u64,
    migrations: u64,
    max_wait_ns: u64,
    latency: Latencies,
}

impl Sums {
    fn add(&mut self, other: Sums) {
        self.wait_ns += other.wait_ns;
        self.wakeups += other.wakeups;
        self.switches += other.switches;
        self.migrations += other.migrations;
        self.max_wait_ns = self.max_wait_ns.max(other.max_wait_ns);
        self.latency.add(other.latency);
    }
}

/// Latencies of a task. A histogram is large and there is one per task, so what comes is collected and goes in by the batch:
/// the memory of thousands of histograms is not visited at every wakeup.
#[derive(Clone, Default)]
struct Latencies {
    recent: Vec<u64>,
    /// Made with the first batch.
    hist: Option<Box<Histogram<u32>>>,
    max: u64,
}

impl Latencies {
    const BATCH: usize = 128;

    fn record(&mut self, ns: u64) {
        self.max = self.max.max(ns);
        self.recent.push(ns);
        if self.recent.len() >= Self::BATCH {
            self.settle();
        }
    }

    /// What was collected goes into the histogram.
    fn settle(&mut self) {
        if self.recent.is_empty() {
            return;
        }
        let hist = self.hist.get_or_insert_with(|| {
            Box::new(Histogram::new(3).expect("3 significant figures are within 0..=5"))
        });
        for ns in self.recent.drain(..) {
            hist.record(ns).expect("an auto-resizing histogram holds every u64");
        }
    }

    fn add(&mut self, mut other: Latencies) {
        other.settle();
        self.max = self.max.max(other.max);
        match (&mut self.hist, other.hist) {
            // Both resize themselves: every value fits.
            (Some(all), Some(hist)) => all.add(&*hist).expect("an auto-resizing histogram takes any value"),
            (all @ None, hist) => *all = hist,
            (Some(_), None) => {}
        }
    }

    /// None without any.
    fn summary(&mut self) -> Option<Latency> {
        self.settle();
        self.hist.as_deref().map(|hist| latency_of(hist, self.max))
    }
}

/// What is read from a task's memory.
struct Snapshot {
    name: String,
    pid: i32,
    nice: i32,
    weight: u32,
    run_ns: u64,
}

impl Snapshot {
    /// At `now` on the machine's clock.
    fn of(s: &Sched, p: TaskId, now: Ns) -> Self {
        let (ts, mem) = (s.t(p), &*s.mem);
        let raw = u64::from(s.tasks[p].fair.weight);
        Snapshot {
            name: ts.comm().get_str(mem),
            pid: ts.pid().get(mem),
            nice: ts.static_prio().get(mem) - 120,
            weight: ((raw * 100 + 512) / 1024).clamp(1, 10_000) as u32,
            run_ns: ts.se().sum_exec_runtime().get(mem) + s.uncharged_ns(p, now),
        }
    }
}

/// Gathers.
#[derive(Default)]
pub(crate) struct Stats {
    tracks: Vec<Track>,
    /// The figures of before the cut.
    cut: Option<Cut>,
}

struct Cut {
    at: Ns,
    figures: Figures,
}

impl Stats {
    fn track(&mut self, p: TaskId) -> &mut Track {
        let i = p.0 as usize;
        if i >= self.tracks.len() {
            self.tracks.resize_with(i + 1, Track::default);
        }
        &mut self.tracks[i]
    }

    /// `p` is an instance of `spec`.
    pub fn set_spec(&mut self, p: TaskId, spec: SpecId) {
        self.track(p).spec = Some(spec);
    }

    fn cut_at(&self) -> Ns {
        self.cut.as_ref().map_or(Ns::ZERO, |cut| cut.at)
    }

    pub fn event(&mut self, t: Ns, ev: &Event, s: &Sched) {
        match *ev {
            Event::Switch { prev, prev_runnable, next } => {
                if prev_runnable {
                    self.track(prev).runnable_since = Some(t);
                }
                self.switched_in(t, next);
            }
            Event::Wakeup { p, .. } => {
                let track = self.track(p);
                track.sums.wakeups += 1;
                (track.runnable_since, track.woken_at) = (Some(t), Some(t));
            }
            Event::Fork { p, .. } => {
                let track = self.track(p);
                (track.forked_at, track.runnable_since) = (t, Some(t));
            }
            Event::Migrate { p, .. } => self.track(p).sums.migrations += 1,
            Event::Exit { p } => {
                let snap = Snapshot::of(s, p, s.now);
                self.waited(t, p);
                let track = self.track(p);
                (track.exited_at, track.last) = (t, Some(snap));
            }
            _ => {}
        }
    }

    fn switched_in(&mut self, t: Ns, next: TaskId) {
        self.track(next).sums.switches += 1;
        self.waited(t, next);
    }

    /// What `p` waited for is over.
    fn waited(&mut self, t: Ns, p: TaskId) {
        let cut_at = self.cut_at();
        let track = self.track(p);
        let (since, woken) = (track.runnable_since.take(), track.woken_at.take());
        track.sums.wait(t, cut_at, since, woken);
    }

    /// A scheduler's time is over: what comes now is counted anew.
    pub fn cut(&mut self, t: Ns, nr_specs: usize, s: &Sched) {
        if self.cut.is_some() {
            return;
        }
        let figures = self.figures(t, nr_specs, s);
        let ids: Vec<TaskId> = s.tasks.ids().filter(|&p| self.counts(s, p)).collect();
        for p in ids {
            let now = s.now;
            let track = self.track(p);
            track.run_before_ns = match &track.last {
                Some(last) => last.run_ns,
                None => Snapshot::of(s, p, now).run_ns,
            };
            track.before = Some(std::mem::take(&mut track.sums));
        }
        self.cut = Some(Cut { at: t, figures });
    }

    /// Another scheduler has come: there was no cut.
    pub fn join(&mut self) {
        if self.cut.take().is_none() {
            return;
        }
        for track in &mut self.tracks {
            track.run_before_ns = 0;
            if let Some(before) = track.before.take() {
                track.sums.add(before);
            }
        }
    }

    /// The figures of before the cut, or of the whole run, and those of after it.
    pub fn finish(&mut self, now: Ns, nr_specs: usize, s: &Sched) -> (Figures, Option<Figures>) {
        let last = self.figures(now, nr_specs, s);
        match self.cut.take() {
            None => (last, None),
            Some(cut) => (cut.figures, Some(last)),
        }
    }

    /// Since the cut, if there was one, up to `now`.
    fn figures(&mut self, now: Ns, nr_specs: usize, s: &Sched) -> Figures {
        let cut_at = self.cut_at();
        let ids: Vec<TaskId> =
            s.tasks.ids().filter(|&p| self.counts(s, p) && !self.is_of_before(p)).collect();
        let tasks = ids.into_iter().map(|p| self.result(now, s, p)).collect();
        let groups = (0..nr_specs as u32).map(SpecId).filter_map(|spec| self.group(now, spec)).collect();
        let mut cpus = cpu_results(s);
        if let Some(cut) = &self.cut {
            for (cpu, before) in cpus.iter_mut().zip(&cut.figures.cpus) {
                cpu.busy_ns = cpu.busy_ns.saturating_sub(before.busy_ns);
                cpu.switches -= before.switches;
            }
        }
        Figures { duration: now.since(cut_at), tasks, groups, cpus }
    }

    /// It was gone before the cut.
    fn is_of_before(&self, p: TaskId) -> bool {
        let Some((cut, track)) = self.cut.as_ref().zip(self.tracks.get(p.0 as usize)) else { return false };
        track.last.is_some() && track.exited_at <= cut.at
    }

    /// Latencies of a description, those still open included; None without any task.
    fn group(&mut self, now: Ns, spec: SpecId) -> Option<GroupResult> {
        let cut_at = self.cut_at();
        let mut all: Option<Sums> = None;
        for track in self.tracks.iter_mut().filter(|t| t.spec == Some(spec)) {
            let sums = track.up_to(now, cut_at);
            all.get_or_insert_default().add(sums);
        }
        let mut all = all?;
        Some(GroupResult { spec, latency: all.latency.summary(), max_wait_ns: all.max_wait_ns })
    }

    /// Not swapper, and not a fork that was refused.
    fn counts(&self, s: &Sched, p: TaskId) -> bool {
        let exited = self.tracks.get(p.0 as usize).is_some_and(|t| t.last.is_some());
        s.tasks[p].class != Class::Idle && (exited || !s.tasks[p].dead)
    }

    fn result(&mut self, now: Ns, s: &Sched, p: TaskId) -> TaskResult {
        let cut_at = self.cut_at();
        let track = self.track(p);
        let exited = track.last.is_some();
        let fresh = track.last.is_none().then(|| Snapshot::of(s, p, s.now));
        let mut sums = track.up_to(now, cut_at);
        let snap = track.last.as_ref().or(fresh.as_ref()).expect("one of them is there");
        TaskResult {
            id: p,
            name: snap.name.clone(),
            pid: snap.pid,
            spec: track.spec,
            nice: snap.nice,
            weight: snap.weight,
            run_ns: snap.run_ns.saturating_sub(track.run_before_ns),
            wait_ns: sums.wait_ns,
            wakeups: sums.wakeups,
            latency: sums.latency.summary(),
            max_wait_ns: sums.max_wait_ns,
            switches: sums.switches,
            migrations: sums.migrations,
            alive_ns: (if exited { track.exited_at } else { now }).since(track.forked_at.max(cut_at)).0,
            exited,
        }
    }
}

impl Sums {
    /// A wait has lasted until `t`.
    fn wait(&mut self, t: Ns, cut_at: Ns, since: Option<Ns>, woken: Option<Ns>) {
        if let Some(since) = since {
            self.wait_ns += t.since(since.max(cut_at)).0;
            self.max_wait_ns = self.max_wait_ns.max(t.since(since).0);
        }
        if let Some(woken) = woken {
            self.latency.record(t.since(woken).0);
        }
    }
}

impl Track {
    /// The sums as if the wait that is open ended now.
    fn up_to(&mut self, now: Ns, cut_at: Ns) -> Sums {
        self.sums.latency.settle();
        let sums = &self.sums;
        let mut sums = Sums { latency: sums.latency.clone(), ..*sums };
        sums.wait(now, cut_at, self.runnable_since, self.woken_at);
        sums
    }
}

fn latency_of(hist: &Histogram<u32>, max: u64) -> Latency {
    // A bucket reports its upper end, which may lie above the largest value.
    let q = |x| hist.value_at_quantile(x).min(max);
    Latency { p50: q(0.5), p90: q(0.9), p99: q(0.99), p999: q(0.999), max }
}

/// Per CPU, in order.
pub(crate) fn cpu_results(s: &Sched) -> Vec<CpuResult> {
    let busy = |rq: &Rq| if rq.curr == rq.idle { 0 } else { s.uncharged_ns(rq.curr, s.now) };
    s.rqs.iter().map(|rq| CpuResult { busy_ns: rq.exec_ns + busy(rq), switches: rq.nr_switches }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A histogram that starts small must grow with what it is given, not cut it off.
    #[test]
    fn latencies_are_not_cut_off() {
        let mut all = Latencies::default();
        assert_eq!(all.summary(), None);
        for ns in [20_000_000, 21_000_000, 22_000_000] {
            all.record(ns);
        }
        let latency = all.summary().expect("three");
        assert!(latency.p50.abs_diff(21_000_000) < 21_000, "{latency:?}");
        assert_eq!(latency.max, 22_000_000);
    }

    /// Every latency counts, whether its batch is full or not.
    #[test]
    fn batches_lose_nothing() {
        for n in [1, Latencies::BATCH - 1, Latencies::BATCH, Latencies::BATCH * 3 + 5] {
            let mut all = Latencies::default();
            (0..n as u64).for_each(|ns| all.record(ns));
            all.settle();
            assert_eq!(all.hist.map(|h| h.len()), Some(n as u64));
        }
    }
}
