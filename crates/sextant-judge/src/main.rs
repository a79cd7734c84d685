//! The kernel's verifier tests against our verifier; see the library.
#![forbid(unsafe_code)]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::rc::Rc;

use anyhow::{Context, Result, ensure};
use clap::Parser;
use sextant_bpf::btf::Btf;
use sextant_bpf::vmlinux::Vmlinux;
use sextant_judge::load;
use sextant_judge::report::{self, Tally};

/// Generated text of the report goes between these.
const BEGIN: &str = "<!-- cargo xtask verifier-tests: begin -->\n";
const END: &str = "<!-- cargo xtask verifier-tests: end -->\n";

#[derive(Parser)]
#[command(about = "The kernel's verifier tests against our verifier")]
struct Args {
    /// The kernel's BTF, for types and attach points that we do not describe
    #[arg(long)]
    btf: PathBuf,
    /// What the tests were made from, for the report
    #[arg(long)]
    kernel: String,
    /// Tests that did not compile: a line each, for the report
    #[arg(long)]
    failed: Option<PathBuf>,
    /// The files that tests name as their kernel's BTF are here
    #[arg(long)]
    btf_dir: Option<PathBuf>,
    /// Write the numbers into this file
    #[arg(long)]
    report: Option<PathBuf>,
    /// Only compare the numbers with the file
    #[arg(long)]
    check: bool,
    /// Only tests whose `file/name` contains this
    #[arg(long)]
    only: Option<String>,
    /// A line for every test, not just for those that come out wrong
    #[arg(short, long)]
    verbose: bool,
    /// The compiled tests
    objects: Vec<PathBuf>,
}

fn main() -> ExitCode {
    match run(&Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: &Args) -> Result<()> {
    sextant_uapi::hook::prove().context("libbpf is not hooked")?;
    let bytes = fs::read(&args.btf).with_context(|| format!("cannot read {}", args.btf.display()))?;
    let real = Btf::parse(&bytes).context("the kernel's BTF")?;
    let vmlinux = Rc::new(Vmlinux::build(&|_| true).with_types_of(&real)?);
    let btfs = args.btf_dir.as_deref().map(btfs).transpose()?.unwrap_or_default();
    let mut files = BTreeMap::new();
    for path in &args.objects {
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let tally = file(args, path, &name, &vmlinux, &btfs).with_context(|| name.clone())?;
        files.insert(name, tally);
    }
    let failed = match &args.failed {
        Some(path) => fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?,
        None => String::new(),
    };
    let text = report::render(&files, &args.kernel, &failed);
    match &args.report {
        Some(path) => {
            report::hold(&files)?;
            keep(path, &text, args.check)?;
        }
        None => print!("{text}"),
    }
    Ok(())
}

/// The files of a directory, by name.
fn btfs(dir: &Path) -> Result<BTreeMap<String, Vec<u8>>> {
    let entries = fs::read_dir(dir).with_context(|| format!("cannot read {}", dir.display()))?;
    let read = |entry: std::io::Result<fs::DirEntry>| {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        Ok((name, fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?))
    };
    entries.map(read).collect()
}

fn file(
    args: &Args,
    path: &Path,
    name: &str,
    vmlinux: &Rc<Vmlinux>,
    btfs: &BTreeMap<String, Vec<u8>>,
) -> Result<Tally> {
    let bytes = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    let mut tally = Tally::default();
    if args.only.as_ref().is_some_and(|only| !only.split('/').next().is_some_and(|f| name.contains(f))) {
        return Ok(tally);
    }
    for tried in load::object(&bytes, vmlinux, btfs)? {
        let (result, words) = report::result(&tried);
        let full = format!("{name}/{}", tried.test.name);
        if args.only.as_ref().is_some_and(|only| !full.contains(only)) {
            continue;
        }
        tally.add(result);
        use report::Result::*;
        let wrong = matches!(result, WronglyAccepted | WronglyRefused | NoAnswer | OtherReason);
        if args.verbose || wrong && (args.report.is_none() || args.only.is_some()) {
            println!("{result:?} {full}: {words}");
        }
    }
    Ok(tally)
}

/// Puts the text between the marks of the file, or sees that it is there already.
fn keep(path: &Path, text: &str, check: bool) -> Result<()> {
    let old = fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    let (before, rest) = old.split_once(BEGIN).with_context(|| format!("{}: no {BEGIN}", path.display()))?;
    let (_, after) = rest.split_once(END).with_context(|| format!("{}: no {END}", path.display()))?;
    let new = format!("{before}{BEGIN}{text}{END}{after}");
    if check {
        ensure!(new == old, "{} is not what the tests say now: cargo xtask verifier-tests", path.display());
        return Ok(());
    }
    fs::write(path, new).with_context(|| format!("cannot write {}", path.display()))
}
