//! The end of the table: how the scheduler ended, where, and what came afterwards.

use std::fmt::Write;

use crate::report::{AfterRow, ExitRow, LongRow, Report, ideal_run_ns};
use crate::table::{Style, cut, printable, share, tenths, time};

/// Columns that there are.
pub(crate) const WIDTH: usize = 80;

/// How it ended, a line each, without colours: kind and time; message; op and task; source line.
pub(crate) fn exit_lines(exit: &ExitRow) -> Vec<String> {
    let info = &exit.info;
    let code = if info.code == 0 { String::new() } else { format!(", code {}", info.code) };
    let mut lines = vec![format!("{} ({}){code} at {}", info.kind.name(), info.reason, seconds(exit.at_ns))];
    lines.extend((!info.msg.is_empty()).then(|| printable(&info.msg)));
    lines.extend(place_lines(exit));
    lines
}

/// The same in one line.
pub(crate) fn exit_line(exit: &ExitRow) -> String {
    let info = &exit.info;
    let msg = if info.msg.is_empty() { String::new() } else { format!(": {}", printable(&info.msg)) };
    let mut parts = vec![format!("{} ({}){msg}", info.kind.name(), info.reason)];
    parts.push(format!("at {}", seconds(exit.at_ns)));
    parts.extend(place_lines(exit));
    parts.join("; ")
}

/// Op and task; source line.
fn place_lines(exit: &ExitRow) -> Vec<String> {
    let mut lines = Vec::new();
    let origin = &exit.info.origin;
    if let Some(op) = origin.op {
        let when = if origin.returned { "after" } else { "in" };
        let task = origin.task.as_ref().map_or(String::new(), |task| format!(", task {}", printable(task)));
        lines.push(format!("{when} ops.{op} on CPU {}{task}", origin.cpu));
    }
    match (&exit.source, &origin.place) {
        (Some(s), _) => {
            lines.push(format!("{}:{}: {}", printable(&s.file), s.line, printable(&s.text)));
        }
        (None, Some(place)) => {
            lines.push(format!("program {}, instruction {}", printable(&place.name), place.insn));
        }
        (None, None) => {}
    }
    lines
}

/// Seconds as in the trace, by which the place is found there.
pub(crate) fn seconds(ns: u64) -> String {
    format!("{}.{:06}s", ns / 1_000_000_000, ns % 1_000_000_000 / 1000)
}

/// Text in lines of at most [`WIDTH`] columns, each begun with `indent` spaces; broken at spaces where there are any.
pub(crate) fn wrap(text: &str, indent: usize) -> Vec<String> {
    let room = WIDTH - indent;
    let mut lines = Vec::new();
    let mut rest: Vec<char> = text.chars().collect();
    while rest.len() > room {
        let at = rest[..=room].iter().rposition(|&c| c == ' ').filter(|&at| at > 0).unwrap_or(room);
        let tail = rest.split_off(at);
        lines.push(rest.iter().collect::<String>());
        rest = tail.into_iter().skip_while(|&c| c == ' ').collect();
    }
    lines.push(rest.into_iter().collect());
    lines.into_iter().map(|line| format!("{:indent$}{line}", "").trim_end().to_string()).collect()
}

/// The scheduler's end.
pub(crate) fn render(out: &mut String, r: &Report, style: Style) {
    let Some(exit) = &r.exit else {
        out.push_str("\nNo sched_ext scheduler: the fair class alone.\n");
        return;
    };
    let is_error = exit.info.kind.is_error();
    let mut lines = exit_lines(exit).into_iter();
    let what = lines.next().unwrap_or_default();
    let what = if is_error { style.bad(&what) } else { style.good(&what) };
    // Writing to a String cannot fail.
    let _ = writeln!(out, "\n{} {what}", style.heading("Scheduler ended:"));
    for line in lines.flat_map(|line| wrap(&line, 2)) {
        let _ = writeln!(out, "{line}");
    }
    if !r.took_over {
        out.push_str("  It was never in charge: it ended while it was being enabled.\n");
    } else if r.scheduled_nothing {
        out.push_str("  No task was ever in SCHED_EXT: what is above is the fair class's doing.\n");
    }
    if let Some(after) = &r.after {
        afterwards(out, r, after, style);
    }
}

/// What the fair class did with the rest of the run.
fn afterwards(out: &mut String, r: &Report, after: &AfterRow, style: Style) {
    let _ =
        writeln!(out, "\nThe fair class had the tasks for the other {} of the run:", time(after.duration_ns));
    let titles = format!(
        "{:<12} {:>5}  {:>5} {:>5} {:>6} {:>6} {:>6}",
        "TASKS", "N", "CPU%", "IDEAL", "P99", "MAX", "WAIT"
    );
    let _ = writeln!(out, "{}", style.heading(&titles));
    let capacity = after.duration_ns.saturating_mul(u64::from(r.cpus));
    let ideal = ideal_run_ns(&after.tasks, capacity);
    for g in &after.groups {
        let sum = |f: &dyn Fn(usize) -> u64| g.members.iter().map(|&i| f(i)).sum::<u64>();
        let woken = sum(&|i| after.tasks[i].wakeups) > 0 || g.latency.max > 0;
        let late = |ns: u64| if woken { time(ns) } else { "-".to_string() };
        let _ = writeln!(
            out,
            "{:<12} {:>5}  {:>5} {:>5} {:>6} {:>6} {:>6}",
            cut(&g.name, 12),
            g.members.len(),
            tenths(share(sum(&|i| after.tasks[i].run_ns), capacity)),
            tenths(share(sum(&|i| ideal[i]), capacity)),
            late(g.latency.p99),
            late(g.latency.max),
            time(g.max_wait_ns),
        );
    }
}

/// Calls that took long; nothing without any.
pub(crate) fn long_calls(out: &mut String, rows: &[LongRow], style: Style) {
    if rows.is_empty() {
        return;
    }
    let titles = format!(
        "{:<18} {:>6} {:>7} {:>11} {:>4} {:>12} {}",
        "LONG CALLS", "CALLS", "LONGEST", "AT", "CPU", "INSNS", "TASK"
    );
    let _ = writeln!(out, "\n{}", style.heading(&titles));
    for row in rows {
        let task = row.task.as_deref().unwrap_or("-");
        let line = format!(
            "{:<18} {:>6} {:>7} {:>11} {:>4} {:>12} {}",
            row.op,
            row.count,
            time(row.took_ns),
            seconds(row.at_ns),
            row.cpu,
            row.insns,
            cut(task, 16)
        );
        let _ = writeln!(out, "{line}");
    }
    out.push_str("Calls of 10 ms and more: their CPU did nothing else meanwhile.\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_text_is_broken_at_spaces() {
        let text = "word ".repeat(40);
        let lines = wrap(text.trim_end(), 2);
        assert!(
            lines.len() == 3 && lines.iter().all(|l| l.len() <= WIDTH && l.starts_with("  word")),
            "{lines:?}"
        );
        assert_eq!(wrap(&"x".repeat(100), 2).iter().map(|l| l.trim().len()).sum::<usize>(), 100);
        assert_eq!(wrap("", 2), [""]);
        assert_eq!(seconds(5_000_004_321), "5.000004s");
    }
}
