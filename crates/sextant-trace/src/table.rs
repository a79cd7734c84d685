//! The result for people: at most 80 columns, the answer to "who got how much, and how late" first.

use std::fmt::Write;

use crate::report::{CpuRow, Report};
use crate::swaps;

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

    fn heading(self, text: &str) -> String {
        self.wrap("1", text)
    }

    fn bad(self, text: &str) -> String {
        self.wrap("1;31", text)
    }

    fn good(self, text: &str) -> String {
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
    groups(&mut out, report, style);
    cpus(&mut out, report, style);
    ops(&mut out, report, style);
    out += &swaps::render(report, |text| style.heading(text), |text| style.bad(text));
    end(&mut out, report, style);
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
    put!(out, "{}   {cpus}, {} virtual, seed {}", style.heading(&what), time(r.duration_ns), r.seed);
}

fn groups(out: &mut String, r: &Report, style: Style) {
    let width = r.groups.iter().map(|g| g.name.chars().count()).max().unwrap_or(0).clamp(5, 12);
    let titles = format!(
        "{:<width$} {:>3} {:>4}  {:>5} {:>5} {:>7} {:>6} {:>6} {:>6} {:>8} {:>6}",
        "TASKS", "N", "NICE", "CPU%", "IDEAL", "WAKEUPS", "P50", "P99", "MAX", "SWITCHES", "MIGR"
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
            "{:<width$} {:>3} {:>4}  {cell} {:>5} {:>7} {:>6} {:>6} {:>6} {:>8} {:>6}",
            cut(&g.name, width),
            g.members.len(),
            nice(r, &g.members),
            tenths(want),
            count(wakeups),
            late(g.latency.p50),
            late(g.latency.p99),
            late(g.latency.max),
            count(sum(&|i| r.tasks[i].switches)),
            count(sum(&|i| r.tasks[i].migrations)),
        );
    }
    put!(out, "CPU% and IDEAL: per cent of the machine. P50, P99, MAX: from wakeup to running.");
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

fn end(out: &mut String, r: &Report, style: Style) {
    let Some(exit) = &r.exit else {
        put!(out, "\nNo sched_ext scheduler: the fair class alone.");
        return;
    };
    let counters: Vec<String> =
        r.events.iter().filter(|(_, n)| *n != 0).map(|(name, n)| format!("{name}={n}")).collect();
    if !counters.is_empty() {
        put!(out, "\n{}", style.heading("EVENTS"));
        counters.iter().for_each(|c| put!(out, "{c}"));
    }
    let mut what = format!("{} ({})", exit.kind.name(), exit.reason);
    if exit.code != 0 {
        let _ = write!(what, ", code {}", exit.code);
    }
    let what = if exit.kind.is_error() { style.bad(&what) } else { style.good(&what) };
    put!(out, "\n{} {what}", style.heading("Scheduler ended:"));
    if !exit.msg.is_empty() {
        put!(out, "  {}", printable(&exit.msg));
    }
}

/// `part` of `whole` in tenths of a per cent, rounded.
fn share(part: u64, whole: u64) -> u64 {
    if whole == 0 {
        return 0;
    }
    ((u128::from(part) * 2000 / u128::from(whole)) as u64).div_ceil(2)
}

/// Tenths with one decimal.
fn tenths(n: u64) -> String {
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

/// A count in at most seven characters.
fn count(n: u64) -> String {
    match n {
        0..=9_999_999 => n.to_string(),
        10_000_000..=9_999_999_999 => format!("{}k", n / 1_000),
        _ => format!("{}M", n / 1_000_000),
    }
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
    use sextant_abi::{ExitInfo, ExitKind};

    use super::*;
    use crate::report::{GroupRow, Latency, OpRow, TaskRow};

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
            switches: 700,
            migrations: 33,
        };
        let latency = Latency { p50: 1_250, p90: 9_000, p99: 412_000, p999: 2_000_000, max: 12_345_678 };
        Report {
            scheduler: "simple".into(),
            workload: "mixed".into(),
            cpus: 2,
            seed: 7,
            duration_ns: 2 * s,
            exit: Some(ExitInfo::new(ExitKind::Unreg, 0)),
            tasks: vec![
                task("hog", 1000, 0, 1024, s * 19 / 10, s / 10),
                task("hog", 1001, 5, 335, s * 19 / 10, s / 10),
                task("sleeper_with_a_long_name", 1002, 0, 1024, s / 5, s / 100),
            ],
            groups: vec![
                GroupRow { name: "hog".into(), members: vec![0, 1], latency: Latency::default() },
                GroupRow { name: "sleeper_with_a_long_name".into(), members: vec![2], latency },
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

            TASKS          N NICE   CPU% IDEAL WAKEUPS    P50    P99    MAX SWITCHES   MIGR
            hog            2    *   95.0  95.0       0      -      -      -     1400     66
            sleeper_wit…   1    0    5.0   5.0     605 1.25us  412us 12.3ms      700     33
            CPU% and IDEAL: per cent of the machine. P50, P99, MAX: from wakeup to running.

            CPU BUSY%
             0:100.0   1: 99.7

            OPS                     CALLS INSNS/CALL
            select_cpu                605       13.2

            EVENTS
            SCX_EV_REFILL_SLICE_DFL=12

            Scheduler ended: UNREG (unregistered from user space)
        "#]]
        .assert_eq(&text);
    }

    #[test]
    fn an_error_shows_its_message_and_cannot_draw() {
        let mut report = sample();
        let exit =
            ExitInfo::new(ExitKind::ErrorStall, 0).with_msg("hog[1000] failed to run for 30.001s\u{1b}[2J");
        report.exit = Some(exit);
        let text = render(&report, Style { color: false });
        let tail: Vec<&str> = text.lines().rev().take(2).collect();
        assert_eq!(tail[1], "Scheduler ended: ERROR_STALL (runnable task stall)");
        assert_eq!(tail[0], "  hog[1000] failed to run for 30.001s?[2J");
        assert!(!text.contains('\x1b'));
        assert!(render(&report, Style { color: true }).contains("\x1b[1;31mERROR_STALL"));
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
