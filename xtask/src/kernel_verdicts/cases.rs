//! What is put to the kernel: its own examples and selftests, our broken schedulers, and the collected cases and probes.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Context, Result, bail};
use serde::Deserialize;

use crate::{bpf_clang, run, workspace};

/// Where a program comes from.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Set {
    /// tools/sched_ext of the kernel.
    Examples,
    /// tools/testing/selftests/sched_ext.
    Selftests,
    /// crates/sextant/tests/bpf/broken.
    Broken,
    /// The collected cases.
    Cases,
    /// The collected probes.
    Probes,
    /// The generator of crates/sextant-fuzz.
    Random,
    /// Named by the user.
    Named,
}

impl Set {
    /// As the page calls it.
    pub fn name(self) -> &'static str {
        match self {
            Set::Examples => "examples",
            Set::Selftests => "selftests",
            Set::Broken => "broken",
            Set::Cases => "cases",
            Set::Probes => "probes",
            Set::Random => "random",
            Set::Named => "named",
        }
    }
}

/// An object.
pub struct Case {
    /// Its set.
    pub set: Set,
    /// Its name there.
    pub name: String,
    /// The file.
    pub object: PathBuf,
}

/// Objects that the user names.
pub fn named(objects: &[PathBuf]) -> Vec<Case> {
    let case = |object: &PathBuf| Case {
        set: Set::Named,
        name: object.display().to_string(),
        object: object.clone(),
    };
    objects.iter().map(case).collect()
}

/// All of them, compiled where they are not yet.
pub fn all(dir: &Path) -> Result<Vec<Case>> {
    let mut cases = Vec::new();
    for (set, sub) in [(Set::Examples, "examples"), (Set::Selftests, "selftests")] {
        for object in files(&workspace::kernel_examples().join(sub), ".bpf.o")? {
            cases.push(Case { set, name: stem(&object, ".bpf.o"), object });
        }
    }
    let mut jobs = broken(dir)?;
    jobs.extend(collected(dir)?);
    compile(&jobs)?;
    cases.extend(jobs.into_iter().map(|job| job.case));
    Ok(cases)
}

/// Something to compile.
struct Job {
    case: Case,
    source: PathBuf,
    flags: Vec<String>,
}

/// Files of a directory that end so, sorted.
fn files(dir: &Path, end: &str) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(dir).with_context(|| format!("cannot read {}", dir.display()))?;
    let mut files: Vec<PathBuf> = entries.map(|entry| Ok(entry?.path())).collect::<Result<_>>()?;
    files.retain(|path| path.to_string_lossy().ends_with(end));
    files.sort();
    Ok(files)
}

fn stem(path: &Path, end: &str) -> String {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    name.strip_suffix(end).unwrap_or(&name).to_owned()
}

/// Compiled against the header that `sextant header` prints, as the test of these schedulers does.
fn broken(dir: &Path) -> Result<Vec<Job>> {
    let (root, out) = (workspace::root(), dir.join("broken"));
    fs::create_dir_all(&out)?;
    let header = run::output(Command::new(super::ours::program("sextant")?).arg("header"))?.stdout;
    let path = out.join("vmlinux.h");
    if fs::read(&path).ok().is_none_or(|old| old != header) {
        fs::write(&path, header)?;
    }
    let flags =
        format!("-mcpu=v3 -O2 -g -DBPF_NO_KFUNC_PROTOTYPES -I{} -I{}/include", out.display(), root.display());
    let flags: Vec<String> = flags.split_whitespace().map(str::to_owned).collect();
    let sources = files(&root.join("crates/sextant/tests/bpf/broken"), ".bpf.c")?;
    let job = |source: PathBuf| {
        let name = stem(&source, ".bpf.c");
        let object = out.join(format!("{name}.o"));
        Job { case: Case { set: Set::Broken, name, object }, source, flags: flags.clone() }
    };
    Ok(sources.into_iter().map(job).collect())
}

#[derive(Deserialize)]
struct Probe {
    file: String,
    #[serde(rename = "V")]
    variant: u32,
}

/// Cases and probes, where they are beside the workspace.
fn collected(dir: &Path) -> Result<Vec<Job>> {
    let all = workspace::root().join("../shared/data/cases");
    let (cases, probes) = (all.join("verifier"), all.join("probes"));
    if !cases.is_dir() || !probes.is_dir() {
        println!("SKIPPED kernel-verdicts cases: the collected cases are not beside the workspace");
        return Ok(Vec::new());
    }
    let mut jobs = Vec::new();
    for (sub, place) in [("", cases.clone()), ("dynptr-", cases.join("dynptr"))] {
        for source in files(&place, ".c")? {
            let name = format!("{sub}{}", stem(&source, ".c"));
            jobs.push(job(dir, Set::Cases, name, source, None)?);
        }
    }
    let listed: Vec<Probe> = serde_json::from_str(&fs::read_to_string(probes.join("verdicts.json"))?)?;
    for probe in listed {
        let name = format!("{}-{}", stem(Path::new(&probe.file), ".bpf.c"), probe.variant);
        jobs.push(job(dir, Set::Probes, name, probes.join(&probe.file), Some(probe.variant))?);
    }
    Ok(jobs)
}

/// Compiled like the kernel's own examples; the first lines of a file may name further flags.
fn job(dir: &Path, set: Set, name: String, source: PathBuf, variant: Option<u32>) -> Result<Job> {
    let examples = workspace::kernel_examples();
    let text = fs::read_to_string(&source).with_context(|| format!("cannot read {}", source.display()))?;
    let mut flags = vec!["-O2".to_owned(), "-g".to_owned(), "-D__TARGET_ARCH_x86".to_owned()];
    let named = text.lines().take(5).find_map(|line| line.strip_prefix("/* flags: ")?.strip_suffix(" */"));
    flags.extend(named.unwrap_or("-mcpu=v3").split_whitespace().map(str::to_owned));
    flags.extend(
        "-Wno-microsoft-anon-tag -fms-extensions -Wno-everything".split_whitespace().map(str::to_owned),
    );
    for include in [
        "",
        "include",
        "source/tools/include/uapi",
        "source/tools/sched_ext/include",
        "source/tools/sched_ext/include/bpf-compat",
        "source/include",
    ] {
        flags.push(format!("-I{}", examples.join(include).display()));
    }
    flags.extend(variant.map(|n| format!("-DV={n}")));
    let out = dir.join(set.name());
    fs::create_dir_all(&out)?;
    let object = out.join(format!("{name}.o"));
    Ok(Job { case: Case { set, name, object }, source, flags })
}

/// Compiles on all CPUs what is older than its source, or was compiled with other flags.
fn compile(jobs: &[Job]) -> Result<()> {
    let system = bpf_clang::system_includes()?;
    let fresh = |job: &Job| {
        let times = |path: &Path| fs::metadata(path).and_then(|m| m.modified()).ok();
        let newer =
            times(&job.case.object).zip(times(&job.source)).is_some_and(|(object, source)| object > source);
        newer
            && fs::read_to_string(job.case.object.with_extension("flags"))
                .is_ok_and(|old| old == job.flags.join(" "))
    };
    let jobs: Vec<&Job> = jobs.iter().filter(|job| !fresh(job)).collect();
    if jobs.is_empty() {
        return Ok(());
    }
    eprintln!("compiling {} objects with {}", jobs.len(), bpf_clang::version()?);
    let (next, failed) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    let work = || {
        while let Some(job) = jobs.get(next.fetch_add(1, Ordering::Relaxed)) {
            if let Err(why) = compile_one(job, &system) {
                failed.lock().expect("no thread panics with it").push(format!("{why:#}"));
            }
        }
    };
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| (0..threads).for_each(|_| drop(scope.spawn(work))));
    let failed = failed.into_inner().expect("no thread panics with it");
    if !failed.is_empty() {
        bail!("{} do not compile:\n{}", failed.len(), failed.join("\n"));
    }
    Ok(())
}

fn compile_one(job: &Job, system: &[String]) -> Result<()> {
    let mut clang = Command::new("clang-19");
    clang.args(["-target", "bpf"]).args(&job.flags).args(system).arg("-c").arg(&job.source);
    run::output(clang.arg("-o").arg(&job.case.object))?;
    fs::write(job.case.object.with_extension("flags"), job.flags.join(" "))?;
    Ok(())
}
