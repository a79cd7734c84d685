//! `sextant-fuzz [--programs N] [--hours H] [--seed S] [--show]`: random programs until one breaks a rule. `cargo xtask fuzz` builds
//! and runs it. `sextant-fuzz --export FILE --btf BTF` writes the programs for a real kernel and prints our verdicts
//! (`cargo xtask kernel-verdicts`). `sextant-fuzz --corpus DIR` writes the good inputs of the targets for cargo-fuzz.
#![forbid(unsafe_code)]

use std::process::ExitCode;
use std::time::{Duration, Instant};

use sextant_fuzz::{FULL, Fuzzer, campaign};

struct Args {
    seed: u64,
    programs: Option<u64>,
    time: Option<Duration>,
    show: bool,
    corpus: Option<String>,
    export: Option<String>,
    btf: Option<String>,
}

fn args() -> Result<Args, String> {
    let mut out =
        Args { seed: 1, programs: None, time: None, show: false, corpus: None, export: None, btf: None };
    let mut args = std::env::args().skip(1);
    while let Some(arg) = args.next() {
        let mut value = || args.next().ok_or(format!("{arg} needs a value"));
        let number = |text: String| text.parse::<u64>().map_err(|e| format!("{text}: {e}"));
        match arg.as_str() {
            "--seed" => out.seed = number(value()?)?,
            "--programs" => out.programs = Some(number(value()?)?),
            "--hours" => {
                let text = value()?;
                let hours: f64 = text.parse().map_err(|e| format!("{text}: {e}"))?;
                let time = Duration::try_from_secs_f64(hours * 3600.0);
                out.time = Some(time.map_err(|e| format!("{text}: {e}"))?);
            }
            "--show" => out.show = true,
            "--corpus" => out.corpus = Some(value()?),
            "--export" => out.export = Some(value()?),
            "--btf" => out.btf = Some(value()?),
            _ => return Err(format!("unknown argument {arg}")),
        }
    }
    Ok(out)
}

fn main() -> ExitCode {
    let args = match args() {
        Ok(args) => args,
        Err(error) => {
            eprintln!(
                "sextant-fuzz: {error}\nusage: sextant-fuzz [--programs N] [--hours H] [--seed S] [--show]"
            );
            return ExitCode::from(2);
        }
    };
    if let Some(dir) = &args.corpus {
        return match corpus(dir) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("sextant-fuzz: {dir}: {error}");
                ExitCode::from(2)
            }
        };
    }
    if let Some(file) = &args.export {
        return match export(file, &args) {
            Ok(verdicts) => {
                print!("{verdicts}");
                ExitCode::SUCCESS
            }
            Err(error) => {
                eprintln!("sextant-fuzz: {file}: {error}");
                ExitCode::from(2)
            }
        };
    }
    let start = Instant::now();
    let programs = args.programs.unwrap_or(if args.time.is_some() { u64::MAX } else { FULL });
    if args.show {
        show(args.seed);
    }
    let campaign = campaign(args.seed, programs, args.time);
    print!("{}", campaign.cover.report());
    println!("{} s", start.elapsed().as_secs());
    if let Some(found) = campaign.found {
        println!("caught: seed {}: {}\n{}", found.seed, found.failure, found.text);
        println!("replay: cargo xtask fuzz --seed {} --programs 1", found.seed);
        return ExitCode::FAILURE;
    }
    let short = campaign.cover.short();
    if campaign.cover.programs >= FULL && !short.is_empty() {
        println!("floors not reached:\n  {}", short.join("\n  "));
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}

/// The program of a seed and the verifier's word.
fn show(seed: u64) {
    let fuzzer = Fuzzer::new();
    println!("{}", sextant_fuzz::shrink::text(&fuzzer.draft(seed)));
    match fuzzer.verdict(seed) {
        Ok(accepted) => println!("accepted: {} instructions processed", accepted.insns_processed),
        Err(rejection) => println!("refused: {rejection}"),
    }
}

/// Writes the programs for the kernel of a BTF; our verdicts.
fn export(file: &str, args: &Args) -> Result<String, String> {
    let path = args.btf.as_ref().ok_or("--export needs --btf")?;
    let bytes = std::fs::read(path).map_err(|e| format!("{path}: {e}"))?;
    let kernel = sextant_bpf::btf::Btf::parse(&bytes).map_err(|e| format!("{path}: {e}"))?;
    let programs = args.programs.unwrap_or(FULL);
    let made = sextant_fuzz::export::export(args.seed, programs, &kernel);
    let (bytes, verdicts) = made.map_err(|missing| format!("{path} has no {}", missing.0))?;
    std::fs::write(file, bytes).map_err(|e| e.to_string())?;
    Ok(verdicts)
}

/// Good inputs as files, a directory for each target.
#[cfg(feature = "uapi")]
fn corpus(dir: &str) -> std::io::Result<()> {
    for (target, inputs) in sextant_fuzz::target::seeds::all() {
        let dir = std::path::Path::new(dir).join(target);
        std::fs::create_dir_all(&dir)?;
        for (nth, input) in inputs.iter().enumerate() {
            std::fs::write(dir.join(format!("good-{nth}")), input)?;
        }
    }
    Ok(())
}

/// The targets are not in this build.
#[cfg(not(feature = "uapi"))]
fn corpus(_: &str) -> std::io::Result<()> {
    Err(std::io::Error::other("built without the targets"))
}
