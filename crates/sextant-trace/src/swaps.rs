//! The part of the table that is on changes of the scheduler: a line for each; many are summed up.

use std::fmt::Write;

use crate::end::{exit_line, wrap};
use crate::report::{Report, SwapRow};
use crate::table::{cut, printable, time};

/// Up to this many each have a line.
const SHOWN: usize = 20;
/// Columns of a name.
const NAME: usize = 14;

/// Heading and lines, without an empty line at the end; nothing without swaps.
pub fn render(report: &Report, heading: impl Fn(&str) -> String, bad: impl Fn(&str) -> String) -> String {
    let mut out = String::new();
    if report.swaps.is_empty() {
        return out;
    }
    // Writing to a String cannot fail.
    let titles = line("SWAP AT", "FROM", "TO", ["BYPASS", "FIRST OP", "DECIDES", "WAIT"].map(String::from));
    let _ = writeln!(out, "\n{}", heading(&titles));
    let many = report.swaps.len() > SHOWN;
    for row in report.swaps.iter().filter(|row| !many || is_bad(row)) {
        let to = if row.rollback { format!("{} again", name(&row.to)) } else { name(&row.to) };
        let _ = writeln!(out, "{}", line(&time(row.at_ns), &name(&row.from), &to, figures(row)));
        if let Some(exit) = row.from_exit.as_ref().filter(|exit| exit.info.kind.is_error()) {
            let ended = format!("{} ended: {}", name(&row.from), exit_line(exit));
            wrap(&ended, 2).iter().for_each(|line| out.push_str(&format!("{}\n", bad(line))));
        }
        if let Some(why) = &row.failed {
            let failed = format!("{} was not loaded: {}", name(&row.to), printable(why));
            wrap(&failed, 2).iter().for_each(|line| out.push_str(&format!("{}\n", bad(line))));
        }
    }
    if many {
        let all = format!("{} swaps", report.swaps.len());
        for (what, part) in [("median", 2), ("largest", 1)] {
            let _ = writeln!(out, "{}", line("", &all, what, quantile(&report.swaps, part)));
        }
    }
    out += "BYPASS: time in bypass mode. FIRST OP, DECIDES: from the swap to the new one's\n";
    out += "first callback; first select_cpu, enqueue or dispatch. WAIT: longest across it.\n";
    out
}

fn line(at: &str, from: &str, to: &str, figures: [String; 4]) -> String {
    let [bypass, first, decides, wait] = figures;
    let (from, to) = (cut(from, NAME), cut(to, NAME + 6));
    format!(
        "{at:<7} {from:<NAME$} {to:<width$} {bypass:>7} {first:>8} {decides:>8} {wait:>7}",
        width = NAME + 6
    )
    .trim_end()
    .to_string()
}

fn is_bad(row: &SwapRow) -> bool {
    row.failed.is_some() || row.from_exit.as_ref().is_some_and(|exit| exit.info.kind.is_error())
}

/// A path by its file's name.
fn name(scheduler: &str) -> String {
    let file = scheduler.rsplit('/').next().filter(|file| !file.is_empty());
    printable(file.unwrap_or(scheduler)).trim_end_matches(".bpf.o").to_string()
}

fn figures(row: &SwapRow) -> [String; 4] {
    let or_none = |ns: Option<u64>| ns.map_or("-".into(), time);
    [time(row.bypass_ns), or_none(row.first_op_ns), or_none(row.first_decision_ns), time(row.max_wait_ns)]
}

/// The value that a `part`-th of the swaps reach at most (1: the largest), of each figure.
fn quantile(swaps: &[SwapRow], part: usize) -> [String; 4] {
    let of = |figure: &dyn Fn(&SwapRow) -> Option<u64>| {
        let mut all: Vec<u64> = swaps.iter().filter_map(figure).collect();
        all.sort_unstable();
        (all.len() / part).checked_sub(1).and_then(|i| all.get(i)).map_or("-".into(), |&ns| time(ns))
    };
    [
        of(&|row| Some(row.bypass_ns)),
        of(&|row| row.first_op_ns),
        of(&|row| row.first_decision_ns),
        of(&|row| Some(row.max_wait_ns)),
    ]
}

#[cfg(test)]
mod tests {
    use expect_test::expect;
    use sextant_abi::{ExitInfo, ExitKind};

    use super::*;

    fn row(at_ms: u64, from: &str, to: &str) -> SwapRow {
        SwapRow {
            at_ns: at_ms * 1_000_000,
            from: from.into(),
            to: to.into(),
            from_exit: Some(ExitInfo::new(ExitKind::Unreg, 0).into()),
            bypass_ns: 12_300,
            first_op_ns: Some(9_000),
            first_decision_ns: Some(40_000),
            max_wait_ns: 3_200_000,
            ..SwapRow::default()
        }
    }

    fn text(swaps: Vec<SwapRow>) -> String {
        let report = Report { swaps, ..Report::default() };
        let text = render(&report, str::to_string, str::to_string);
        assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
        text
    }

    #[test]
    fn each_has_a_line_and_failures_say_why() {
        let mut failed = row(1_000, "simple", "/home/me/scx_broken.bpf.o");
        failed.first_decision_ns = None;
        let mut back = row(1_500, "/home/me/scx_broken.bpf.o", "simple");
        back.rollback = true;
        back.from_exit = Some(ExitInfo::new(ExitKind::Error, 0).with_msg("invalid CPU 99\x1b").into());
        expect![[r#"

            SWAP AT FROM           TO                    BYPASS FIRST OP  DECIDES    WAIT
            1.00s   simple         scx_broken            12.3us   9.00us        -  3.20ms
            1.50s   scx_broken     simple again          12.3us   9.00us   40.0us  3.20ms
              scx_broken ended: ERROR (runtime error): invalid CPU 99?; at 0.000000s
            BYPASS: time in bypass mode. FIRST OP, DECIDES: from the swap to the new one's
            first callback; first select_cpu, enqueue or dispatch. WAIT: longest across it.
        "#]]
        .assert_eq(&text(vec![failed, back]));
    }

    #[test]
    fn many_are_summed_up_but_for_failures() {
        let mut swaps: Vec<SwapRow> = (1..=100).map(|i| row(i, "a", "b")).collect();
        for (i, swap) in (1..).zip(&mut swaps) {
            swap.bypass_ns = i * 1_000;
        }
        swaps[7].failed = Some("no memory".into());
        expect![[r#"

            SWAP AT FROM           TO                    BYPASS FIRST OP  DECIDES    WAIT
            8.00ms  a              b                     8.00us   9.00us   40.0us  3.20ms
              b was not loaded: no memory
                    100 swaps      median                50.0us   9.00us   40.0us  3.20ms
                    100 swaps      largest                100us   9.00us   40.0us  3.20ms
            BYPASS: time in bypass mode. FIRST OP, DECIDES: from the swap to the new one's
            first callback; first select_cpu, enqueue or dispatch. WAIT: longest across it.
        "#]]
        .assert_eq(&text(swaps));
        assert_eq!(text(Vec::new()), "");
    }
}
