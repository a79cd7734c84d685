//! Figures per task and per CPU, gathered from the events as they pass.

use hdrhistogram::Histogram;
use sextant_abi::Ns;
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
    /// None without wakeups.
    pub latency: Option<Latency>,
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
}

/// What a CPU has done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CpuResult {
    /// Time with a task other than swapper.
    pub busy_ns: u64,
    /// Context switches, those to and from swapper included.
    pub switches: u64,
}

#[derive(Default)]
struct Track {
    spec: Option<SpecId>,
    runnable_since: Option<Ns>,
    woken_at: Option<Ns>,
    wait_ns: u64,
    wakeups: u64,
    switches: u64,
    migrations: u64,
    latency: Latencies,
    forked_at: Ns,
    exited_at: Ns,
    /// Taken when it exited, before its memory goes.
    last: Option<Snapshot>,
}

/// Latencies of a task. A histogram is large and there is one per task, so what comes is collected and goes in by the batch:
/// the memory of thousands of histograms is not visited at every wakeup.
#[derive(Default)]
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
    fn of(s: &Sched, p: TaskId) -> Self {
        let (ts, mem) = (s.t(p), &*s.mem);
        let raw = u64::from(s.tasks[p].fair.weight);
        Snapshot {
            name: ts.comm().get_str(mem),
            pid: ts.pid().get(mem),
            nice: ts.static_prio().get(mem) - 120,
            weight: ((raw * 100 + 512) / 1024).clamp(1, 10_000) as u32,
            run_ns: ts.se().sum_exec_runtime().get(mem),
        }
    }
}

/// Gathers.
#[derive(Default)]
pub(crate) struct Stats {
    tracks: Vec<Track>,
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
                track.wakeups += 1;
                (track.runnable_since, track.woken_at) = (Some(t), Some(t));
            }
            Event::Fork { p, .. } => {
                let track = self.track(p);
                (track.forked_at, track.runnable_since) = (t, Some(t));
            }
            Event::Migrate { p, .. } => self.track(p).migrations += 1,
            Event::Exit { p } => {
                let snap = Snapshot::of(s, p);
                let track = self.track(p);
                (track.exited_at, track.last) = (t, Some(snap));
            }
            _ => {}
        }
    }

    fn switched_in(&mut self, t: Ns, next: TaskId) {
        let track = self.track(next);
        track.switches += 1;
        if let Some(since) = track.runnable_since.take() {
            track.wait_ns += t.since(since).0;
        }
        if let Some(woken) = track.woken_at.take() {
            track.latency.record(t.since(woken).0);
        }
    }

    /// Everything so far, tasks in creation order.
    pub fn results(&mut self, now: Ns, s: &Sched) -> Vec<TaskResult> {
        s.tasks
            .ids()
            .filter(|&p| self.counts(s, p))
            .collect::<Vec<_>>()
            .into_iter()
            .map(|p| self.result(now, s, p))
            .collect()
    }

    /// Latencies by description; those without any task are left out.
    pub fn groups(&mut self, nr_specs: usize) -> Vec<GroupResult> {
        self.tracks.iter_mut().for_each(|t| t.latency.settle());
        (0..nr_specs as u32).map(SpecId).filter_map(|spec| self.group(spec)).collect()
    }

    fn group(&self, spec: SpecId) -> Option<GroupResult> {
        let members = || self.tracks.iter().filter(|t| t.spec == Some(spec));
        members().next()?;
        let mut all: Option<Histogram<u32>> = None;
        for hist in members().filter_map(|t| t.latency.hist.as_deref()) {
            match &mut all {
                // Both resize themselves: every value fits.
                Some(all) => all.add(hist).expect("an auto-resizing histogram takes any value"),
                None => all = Some(hist.clone()),
            }
        }
        let max = members().map(|t| t.latency.max).max().unwrap_or(0);
        Some(GroupResult { spec, latency: all.map(|h| latency_of(&h, max)) })
    }

    /// Not swapper, and not a fork that was refused.
    fn counts(&self, s: &Sched, p: TaskId) -> bool {
        let exited = self.tracks.get(p.0 as usize).is_some_and(|t| t.last.is_some());
        s.tasks[p].class != Class::Idle && (exited || !s.tasks[p].dead)
    }

    fn result(&mut self, now: Ns, s: &Sched, p: TaskId) -> TaskResult {
        let track = self.track(p);
        let exited = track.last.is_some();
        let snap = track.last.take().unwrap_or_else(|| Snapshot::of(s, p));
        let waiting = track.runnable_since.map_or(0, |since| now.since(since).0);
        let result = TaskResult {
            id: p,
            name: snap.name.clone(),
            pid: snap.pid,
            spec: track.spec,
            nice: snap.nice,
            weight: snap.weight,
            run_ns: snap.run_ns,
            wait_ns: track.wait_ns + waiting,
            wakeups: track.wakeups,
            latency: track.latency.summary(),
            switches: track.switches,
            migrations: track.migrations,
            alive_ns: (if exited { track.exited_at } else { now }).since(track.forked_at).0,
            exited,
        };
        track.last = exited.then_some(snap);
        result
    }
}

fn latency_of(hist: &Histogram<u32>, max: u64) -> Latency {
    // A bucket reports its upper end, which may lie above the largest value.
    let q = |x| hist.value_at_quantile(x).min(max);
    Latency { p50: q(0.5), p90: q(0.9), p99: q(0.99), p999: q(0.999), max }
}

/// Per CPU, in order.
pub(crate) fn cpu_results(s: &Sched) -> Vec<CpuResult> {
    s.rqs.iter().map(|rq| CpuResult { busy_ns: rq.exec_ns, switches: rq.nr_switches }).collect()
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
