//! The result for people: at most 80 columns, the answer to "who got how much, and how late" first.

use std::fmt::Write;

use crate::end::{self, WIDTH, wrap};
use crate::report::{CpuRow, Report};
use crate::{shown, swaps};

/// How to emphasise; plain unless stdout is a terminal and NO_COLOR is unset.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Style {
    /// Use ANSI colours.
    pub color: bool,
}

impl Style {
    fn wrap(self, code: &str, text: &str) -> String {
        if self.color { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_string() }
    }

    pub(crate) fn heading(self, text: &str) -> String {
        self.wrap("1", text)
    }

    pub(crate) fn bad(self, text: &str) -> String {
        self.wrap("1;31", text)
    }

    pub(crate) fn good(self, text: &str) -> String {
        self.wrap("32", text)
    }
}

/// From which distance from the ideal, in tenths of a per cent of the machine, a share is emphasised.
const FAR: u64 = 20;

/// Up to this many CPUs each has its own number.
const CPUS_SHOWN: usize = 64;

/// The whole table.
pub fn render(report: &Report, style: Style) -> String {
    let mut out = String::new();
    head(&mut out, report, style);
    // Figures under a scheduler's name are what it did.
    if report.took_over {
        groups(&mut out, report, style);
        cpus(&mut out, report, style);
    }
    ops(&mut out, report, style);
    end::long_calls(&mut out, &report.long_calls, style);
    out += &swaps::render(report, |text| style.heading(text), |text| style.bad(text));
    shown::render(&mut out, &report.shown, style);
    events(&mut out, report, style);
    end::render(&mut out, report, style);
    out
}

/// Writing to a String cannot fail.
macro_rules! put {
    ($out:expr, $($arg:tt)*) => {{
        let _ = writeln!($out, $($arg)*);
    }};
}

fn head(out: &mut String, r: &Report, style: Style) {
    let cpus = if r.cpus == 1 { "1 CPU".to_string() } else { format!("{} CPUs", r.cpus) };
    let what = format!("{} on {}", printable(&r.scheduler), printable(&r.workload));
    let own = match r.after {
        Some(_) => format!("{} of {}", time(r.duration_ns), time(r.run_ns)),
        None => time(r.run_ns),
    };
    let run = format!("{cpus}, {own} virtual, seed {}", r.seed);
    if what.chars().count() + 3 + run.chars().count() <= WIDTH {
        put!(out, "{}   {run}", style.heading(&what));
        return;
    }
    wrap(&what, 0).iter().for_each(|line| put!(out, "{}", style.heading(line)));
    put!(out, "{run}");
}

fn groups(out: &mut String, r: &Report, style: Style) {
    // A name has what a large number of tasks leaves of its 12 columns.
    let most = r.groups.iter().map(|g| g.members.len()).max().unwrap_or(0);
    let number = most.to_string().len().max(3);
    let longest = r.groups.iter().map(|g| g.name.chars().count()).max().unwrap_or(0);
    let width = longest.clamp(5, 15 - number);
    let titles = format!(
        "{:<width$} {:>number$} {:>4} {:>5} {:>5} {:>5} {:>6} {:>6} {:>6} {:>6} {:>6} {:>5}",
        "TASKS", "N", "NICE", "CPU%", "IDEAL", "WAKES", "P50", "P99", "MAX", "WAIT", "SWITCH", "MIGR"
    );
    put!(out, "\n{}", style.heading(&titles));
    let ideal = r.ideal_run_ns();
    for g in &r.groups {
        let sum = |f: &dyn Fn(usize) -> u64| g.members.iter().map(|&i| f(i)).sum::<u64>();
        let got = share(sum(&|i| r.tasks[i].run_ns), r.capacity_ns());
        let want = share(sum(&|i| ideal[i]), r.capacity_ns());
        let wakeups = sum(&|i| r.tasks[i].wakeups);
        let late = |ns: u64| if wakeups == 0 { "-".to_string() } else { time(ns) };
        let cell = format!("{:>5}", tenths(got));
        let cell = if got.abs_diff(want) >= FAR { style.bad(&cell) } else { style.good(&cell) };
        put!(
            out,
            "{:<width$} {:>number$} {:>4} {cell} {:>5} {:>5} {:>6} {:>6} {:>6} {:>6} {:>6} {:>5}",
            cut(&g.name, width),
            g.members.len(),
            nice(r, &g.members),
            tenths(want),
            count(wakeups, 5),
            late(g.latency.p50),
            late(g.latency.p99),
            late(g.latency.max),
            time(g.max_wait_ns),
            count(sum(&|i| r.tasks[i].switches), 6),
            count(sum(&|i| r.tasks[i].migrations), 5),
        );
    }
    put!(out, "CPU% and IDEAL: per cent of the machine. P50, P99, MAX: from wakeup to running.");
    put!(out, "WAIT: the longest time that a task was runnable without a CPU.");
}

/// The nice value of a group, `*` if its tasks differ.
fn nice(r: &Report, members: &[usize]) -> String {
    let mut values = members.iter().map(|&i| r.tasks[i].nice);
    match values.next() {
        Some(first) if values.all(|n| n == first) => first.to_string(),
        Some(_) => "*".into(),
        None => "-".into(),
    }
}

fn cpus(out: &mut String, r: &Report, style: Style) {
    let busy = |c: &CpuRow| share(c.busy_ns, r.duration_ns);
    put!(out, "\n{}", style.heading("CPU BUSY%"));
    if r.cpu_rows.len() <= CPUS_SHOWN {
        for row in r.cpu_rows.chunks(8) {
            let cells: Vec<String> =
                row.iter().map(|c| format!("{:>2}:{:>5}", c.cpu, tenths(busy(c)))).collect();
            put!(out, "{}", cells.join("  "));
        }
        return;
    }
    let low = r.cpu_rows.iter().min_by_key(|c| c.busy_ns);
    let high = r.cpu_rows.iter().max_by_key(|c| c.busy_ns);
    if let (Some(low), Some(high)) = (low, high) {
        let total: u64 = r.cpu_rows.iter().map(|c| c.busy_ns).sum();
        let mean = tenths(share(total, r.capacity_ns()));
        put!(
            out,
            "mean {mean}   least {} (CPU {})   most {} (CPU {})",
            tenths(busy(low)),
            low.cpu,
            tenths(busy(high)),
            high.cpu
        );
    }
}

fn ops(out: &mut String, r: &Report, style: Style) {
    if r.ops.is_empty() {
        return;
    }
    let title = format!("{:<18} {:>10} {:>10}", "OPS", "CALLS", "INSNS/CALL");
    put!(out, "\n{}", style.heading(&title));
    for op in r.ops.iter().filter(|op| op.calls > 0) {
        let mean = (u128::from(op.insns) * 10 / u128::from(op.calls)) as u64;
        put!(out, "{:<18} {:>10} {:>10}", op.name, op.calls, tenths(mean));
    }
}

fn events(out: &mut String, r: &Report, style: Style) {
    let counters: Vec<String> =
        r.events.iter().filter(|(_, n)| *n != 0).map(|(name, n)| format!("{name}={n}")).collect();
    if !counters.is_empty() {
        put!(out, "\n{}", style.heading("EVENTS"));
        counters.iter().for_each(|c| put!(out, "{c}"));
    }
}

/// `part` of `whole` in tenths of a per cent, rounded.
pub(crate) fn share(part: u64, whole: u64) -> u64 {
    if whole == 0 {
        return 0;
    }
    ((u128::from(part) * 2000 / u128::from(whole)) as u64).div_ceil(2)
}

/// Tenths with one decimal.
pub(crate) fn tenths(n: u64) -> String {
    format!("{}.{}", n / 10, n % 10)
}

/// A time in at most six characters, three digits of it.
pub fn time(ns: u64) -> String {
    const UNITS: [(&str, u64); 4] = [("ns", 1), ("us", 1_000), ("ms", 1_000_000), ("s", 1_000_000_000)];
    let (unit, scale) = *UNITS.iter().rev().find(|(_, scale)| ns >= *scale).unwrap_or(&UNITS[0]);
    let (whole, rest) = (ns / scale, ns % scale);
    match whole {
        0..=9 if scale > 1 => format!("{whole}.{:02}{unit}", rest / (scale / 100)),
        10..=99 if scale > 1 => format!("{whole}.{}{unit}", rest / (scale / 10)),
        _ => format!("{whole}{unit}"),
    }
}

/// A count in at most `width` characters, of which there are five or more.
fn count(n: u64, width: usize) -> String {
    let fits = |text: &String| text.len() <= width;
    let scaled = [(1, ""), (1_000, "k"), (1_000_000, "M"), (1_000_000_000, "G")];
    let texts = scaled.iter().map(|(scale, unit)| format!("{}{unit}", n / scale));
    texts.into_iter().find(fits).unwrap_or_else(|| "many".into())
}

pub(crate) fn cut(name: &str, width: usize) -> String {
    let name = printable(name);
    if name.chars().count() <= width {
        return name;
    }
    name.chars().take(width - 1).chain(['…']).collect()
}

/// Text from outside must not move the cursor.
pub(crate) fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '?' } else { c }).collect()
}

#[cfg(test)]
pub(crate) mod tests {
    use expect_test::expect;
    use sextant_abi::{CpuId, ExitInfo, ExitKind, ExitOrigin};

    use super::*;
    use crate::report::{AfterRow, ExitRow, GroupRow, Latency, LongRow, OpRow, SourceRow, TaskRow};

    pub(crate) fn sample() -> Report {
        let s = 1_000_000_000;
        let task = |name: &str, pid, nice, weight, run_ns, wait_ns| TaskRow {
            name: name.into(),
            pid,
            nice,
            weight: weight * 100 / 1024,
            load_weight: weight,
            run_ns,
            wait_ns,
            want_ns: if name == "hog" { 2 * s } else { run_ns },
            wakeups: if name == "hog" { 0 } else { 605 },
            latency: Latency::default(),
            max_wait_ns: 17_000_000,
            switches: 700,
            migrations: 33,
            exited: false,
        };
        let latency = Latency { p50: 1_250, p90: 9_000, p99: 412_000, p999: 2_000_000, max: 12_345_678 };
        Report {
            scheduler: "simple".into(),
            workload: "mixed".into(),
            cpus: 2,
            seed: 7,
            duration_ns: 2 * s,
            run_ns: 2 * s,
            ended: "duration",
            took_over: true,
            exit: Some(ExitInfo::new(ExitKind::Unreg, 0).into()),
            tasks: vec![
                task("hog", 1000, 0, 1024, s * 19 / 10, s / 10),
                task("hog", 1001, 5, 335, s * 19 / 10, s / 10),
                task("sleeper_with_a_long_name", 1002, 0, 1024, s / 5, s / 100),
            ],
            groups: vec![
                GroupRow {
                    name: "hog".into(),
                    members: vec![0, 1],
                    latency: Latency::default(),
                    max_wait_ns: 17_000_000,
                },
                GroupRow {
                    name: "sleeper_with_a_long_name".into(),
                    members: vec![2],
                    latency,
                    max_wait_ns: 12_345_678,
                },
            ],
            cpu_rows: (0..2)
                .map(|cpu| CpuRow { cpu, busy_ns: s * 2 - u64::from(cpu) * 7_000_000, switches: 9 })
                .collect(),
            ops: vec![OpRow { name: "select_cpu", calls: 605, insns: 8_000 }],
            events: vec![("SCX_EV_REFILL_SLICE_DFL", 12), ("SCX_EV_BYPASS_ACTIVATE", 0)],
            ..Report::default()
        }
    }

    #[test]
    fn the_table() {
        let text = render(&sample(), Style { color: false });
        assert!(text.lines().all(|l| l.chars().count() <= 80), "{text}");
        expect![[r#"
            simple on mixed   2 CPUs, 2.00s virtual, seed 7

            TASKS          N NICE  CPU% IDEAL WAKES    P50    P99    MAX   WAIT SWITCH  MIGR
            hog            2    *  95.0  95.0     0      -      -      - 17.0ms   1400    66
            sleeper_wit…   1    0   5.0   5.0   605 1.25us  412us 12.3ms 12.3ms    700    33
            CPU% and IDEAL: per cent of the machine. P50, P99, MAX: from wakeup to running.
            WAIT: the longest time that a task was runnable without a CPU.

            CPU BUSY%
             0:100.0   1: 99.7

            OPS                     CALLS INSNS/CALL
            select_cpu                605       13.2

            EVENTS
            SCX_EV_REFILL_SLICE_DFL=12

            Scheduler ended: UNREG (unregistered from user space) at 0.000000s
        "#]]
        .assert_eq(&text);
    }

    #[test]
    fn an_error_shows_its_message_and_cannot_draw() {
        let mut report = sample();
        let exit =
            ExitInfo::new(ExitKind::ErrorStall, 0).with_msg("hog[1000] failed to run for 30.001s\u{1b}[2J");
        report.exit = Some(exit.into());
        let text = render(&report, Style { color: false });
        let tail: Vec<&str> = text.lines().rev().take(2).collect();
        assert_eq!(tail[1], "Scheduler ended: ERROR_STALL (runnable task stall) at 0.000000s");
        assert_eq!(tail[0], "  hog[1000] failed to run for 30.001s?[2J");
        assert!(!text.contains('\x1b'));
        assert!(render(&report, Style { color: true }).contains("\x1b[1;31mERROR_STALL"));
    }

    /// A scheduler that ended by itself: where, and what the fair class did with the rest.
    #[test]
    fn an_end_has_a_place_and_an_afterwards() {
        let mut report = sample();
        let mut exit = ExitInfo::new(ExitKind::ErrorBpf, 0).with_msg("lost a task ".repeat(12));
        exit.origin = ExitOrigin {
            cpu: CpuId(1),
            op: Some("enqueue"),
            task: Some("hog[1000]".into()),
            ..ExitOrigin::default()
        };
        let source = SourceRow {
            prog: "lost_enqueue".into(),
            file: "lost.bpf.c".into(),
            line: 17,
            text: "scx_bpf_error(\"lost a task\");".into(),
            ..SourceRow::default()
        };
        report.exit = Some(ExitRow { info: exit, at_ns: 1_234_567_890, source: Some(source) });
        (report.duration_ns, report.run_ns) = (1_234_567_890, 5_000_000_000);
        report.after = Some(AfterRow {
            duration_ns: 3_765_432_110,
            tasks: report.tasks[..2].to_vec(),
            groups: report.groups[..1].to_vec(),
            ..AfterRow::default()
        });
        report.long_calls = vec![LongRow {
            op: "dispatch",
            count: 3,
            took_ns: 412_000_000,
            at_ns: 4_123_456,
            insns: 33_554_432,
            cpu: 7,
            ..LongRow::default()
        }];
        report.scheduler = "/home/somebody/with/a/long/path/to/the/schedulers/lost.bpf.o".into();
        let text = render(&report, Style { color: false });
        assert!(text.lines().all(|l| l.chars().count() <= 80), "{text}");
        expect![[r#"
            /home/somebody/with/a/long/path/to/the/schedulers/lost.bpf.o on mixed
            2 CPUs, 1.23s of 5.00s virtual, seed 7

            TASKS          N NICE  CPU% IDEAL WAKES    P50    P99    MAX   WAIT SWITCH  MIGR
            hog            2    * 153.9  91.9     0      -      -      - 17.0ms   1400    66
            sleeper_wit…   1    0   8.1   8.1   605 1.25us  412us 12.3ms 12.3ms    700    33
            CPU% and IDEAL: per cent of the machine. P50, P99, MAX: from wakeup to running.
            WAIT: the longest time that a task was runnable without a CPU.

            CPU BUSY%
             0:162.0   1:161.4

            OPS                     CALLS INSNS/CALL
            select_cpu                605       13.2

            LONG CALLS          CALLS LONGEST          AT  CPU        INSNS TASK
            dispatch                3   412ms   0.004123s    7     33554432 -
            Calls of 10 ms and more: their CPU did nothing else meanwhile.

            EVENTS
            SCX_EV_REFILL_SLICE_DFL=12

            Scheduler ended: ERROR_BPF (scx_bpf_error) at 1.234567s
              lost a task lost a task lost a task lost a task lost a task lost a task lost a
              task lost a task lost a task lost a task lost a task lost a task
              in ops.enqueue on CPU 1, task hog[1000]
              lost.bpf.c:17: scx_bpf_error("lost a task");

            The fair class had the tasks for the other 3.76s of the run:
            TASKS            N   CPU% IDEAL    P99    MAX   WAIT
            hog              2   50.5  53.1      -      - 17.0ms
        "#]]
        .assert_eq(&text);
        report.took_over = false;
        let text = render(&report, Style { color: false });
        assert!(!text.contains("CPU BUSY%") && text.contains("never in charge"), "{text}");
    }

    #[test]
    fn counts_fit_their_columns() {
        for (n, width, want) in [
            (99_999, 5, "99999"),
            (100_000, 5, "100k"),
            (100_000, 6, "100000"),
            (u64::MAX, 5, "many"),
            (12_345_678_901, 5, "12G"),
        ] {
            assert_eq!(count(n, width), want);
        }
    }

    #[test]
    fn many_cpus_are_summed_up() {
        let mut report = sample();
        report.cpus = 512;
        report.cpu_rows =
            (0..512).map(|cpu| CpuRow { cpu, busy_ns: u64::from(cpu) * 1_000_000, switches: 0 }).collect();
        let text = render(&report, Style { color: false });
        assert!(text.contains("mean 12.8   least 0.0 (CPU 0)   most 25.6 (CPU 511)"), "{text}");
    }

    #[test]
    fn times_have_three_digits() {
        for (ns, want) in [
            (0, "0ns"),
            (999, "999ns"),
            (1_000, "1.00us"),
            (12_345, "12.3us"),
            (999_999, "999us"),
            (1_250_000, "1.25ms"),
            (2_000_000_000, "2.00s"),
            (600_000_000_000, "600s"),
        ] {
            assert_eq!(time(ns), want);
        }
    }
}
