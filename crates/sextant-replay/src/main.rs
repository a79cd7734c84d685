//! `cargo xtask kernel-replay`: the recordings named on the command line, or all of `../shared/data/kernel-traces`.
#![forbid(unsafe_code)]

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;
use clap::Parser;
use sextant_replay::object::has_object;
use sextant_replay::{Recording, Report, replay, replay_live};

/// Replays recordings of a real kernel's sched_ext class against ours; exit status 0 if every one matches to 99% or more
#[derive(Parser)]
#[command(name = "kernel-replay", version)]
struct Args {
    /// Recordings, NAME.csv.zst or NAME.csv; all of ../shared/data/kernel-traces if none is named
    files: Vec<PathBuf>,
    /// Run the scheduler's own object instead of the recorded answers, and compare its kfunc calls too (scx_simple, scx_cpu0,
    /// scx_central and scx_flatcg; others are left out)
    #[arg(long)]
    bpf: bool,
    /// Where the objects are
    #[arg(long, default_value = concat!(env!("CARGO_MANIFEST_DIR"), "/../../target/kernel-examples/examples"))]
    objects: PathBuf,
    /// How many divergences to show in full per recording
    #[arg(long, default_value_t = 1)]
    show: usize,
    /// Show only divergences whose one-line summary contains this
    #[arg(long, default_value = "")]
    only: String,
    /// Show the kinds of decisions with misses for recordings that pass, too
    #[arg(short, long)]
    verbose: bool,
}

fn main() -> ExitCode {
    match run(&Args::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::from(2)
        }
    }
}

fn run(args: &Args) -> anyhow::Result<bool> {
    let files = if args.files.is_empty() { all_recordings()? } else { args.files.clone() };
    let (mut all_passed, mut failed) = (true, 0);
    let mut out = std::io::stdout().lock();
    for file in &files {
        let name = file.file_name().and_then(|n| n.to_str()).unwrap_or("?");
        let name = name.trim_end_matches(".zst").trim_end_matches(".csv");
        let text = match replay_file(args, file) {
            Ok(None) => continue,
            Ok(Some(report)) => {
                all_passed &= report.passed();
                show(args, name, &report)
            }
            Err(error) => {
                failed += 1;
                format!("{name} not replayed: {error:#}")
            }
        };
        if writeln!(out, "{text}").is_err() {
            return Ok(all_passed); // nobody reads on
        }
    }
    if failed > 0 {
        anyhow::bail!("{failed} of {} recordings were not replayed", files.len());
    }
    Ok(all_passed)
}

fn show(args: &Args, name: &str, report: &Report) -> String {
    let mut text = report.headline(name);
    if args.verbose || !report.passed() {
        text += "\n";
        text += report.breakdown().trim_end();
    }
    let shown = report.divergences.iter().filter(|d| d.summary.contains(&args.only)).take(args.show);
    for d in shown {
        text += &format!("\n  divergence at line {}, {}\n{}", d.line, d.summary, d.text.trim_end());
    }
    text
}

/// None for a recording without an object, where objects run.
fn replay_file(args: &Args, file: &Path) -> anyhow::Result<Option<Report>> {
    let bytes = std::fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
    let rec = match std::str::from_utf8(&bytes) {
        Ok(text) => Recording::from_csv(text),
        Err(_) => Recording::from_zstd(&bytes),
    };
    let rec = rec.with_context(|| file.display().to_string())?;
    if !args.bpf {
        return replay(rec).map(Some).with_context(|| file.display().to_string());
    }
    if !has_object(&rec.sched) {
        return Ok(None);
    }
    let object = args.objects.join(format!("{}.bpf.o", rec.sched));
    let bytes = std::fs::read(&object)
        .with_context(|| format!("cannot read {}: run `cargo xtask kernel-examples`", object.display()))?;
    replay_live(rec, &bytes).map(Some).with_context(|| file.display().to_string())
}

fn all_recordings() -> anyhow::Result<Vec<PathBuf>> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data/kernel-traces");
    let entries =
        std::fs::read_dir(&dir).with_context(|| format!("no recordings in {}: name files", dir.display()))?;
    let mut files: Vec<PathBuf> = entries.filter_map(|e| e.ok().map(|e| e.path())).collect();
    files.retain(|f| f.to_str().is_some_and(|f| f.ends_with(".csv.zst")));
    files.sort();
    Ok(files)
}
