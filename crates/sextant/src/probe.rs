//! libbpf meets an object in a process of its own first, when the object is not one of ours: a crash or a hang of libbpf is then a
//! message, and not the end of the program.
//!
//! The child is this program again, with the hidden subcommand `probe-object` and the object on its standard input. It opens and
//! loads the object, asks no verifier, runs nothing and says nothing: what is wrong with an object that libbpf survives, the parent finds
//! out itself.

use std::borrow::Cow;
use std::io::{Read, Write};
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, ExitStatus, Stdio};
use std::rc::Rc;

use anyhow::Context;
use rustix::process::{Resource, Rlimit, Signal, setrlimit};
use sextant_sched::topology::Shape;
use sextant_uapi::{LoadError, Opened, open};

use crate::object::{self, How};
use crate::source::Source;
use crate::status::{Failure, Status};
use crate::{ksyms, scheduler};

/// The hidden subcommand's name.
pub const SUBCOMMAND: &str = "probe-object";
/// CPU time that libbpf may take for an object, seconds. The largest known scheduler takes less than one.
const CPU_SECONDS: u64 = 5;
/// CPUs of the machine that the child loads on.
const NR_CPUS: u32 = 8;

/// Fails when libbpf does not survive the object.
pub fn survives(name: &str, object: &[u8]) -> Result<(), Failure> {
    let program = std::env::current_exe().context("cannot find the program itself")?;
    let mut child = Command::new(program)
        .arg(SUBCOMMAND)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .context("cannot start the process in which libbpf looks at the object first")?;
    if let Some(mut stdin) = child.stdin.take() {
        let _ = stdin.write_all(object); // a child that is dead already says so by its status
    }
    let ended = child.wait().context("lost the process in which libbpf looks at the object first")?;
    verdict(name, ended)
}

/// What the end of the child says.
fn verdict(name: &str, ended: ExitStatus) -> Result<(), Failure> {
    match ended.signal() {
        None => Ok(()),
        Some(signal) if [Signal::XCPU, Signal::KILL].iter().any(|s| s.as_raw() == signal) => {
            Err(Failure::usage(format!(
                "{name}: libbpf did not come to an end with this object in {CPU_SECONDS} s of CPU time: it is damaged, or its types refer to \
             themselves in a circle; build it again with clang -target bpf -g -O2"
            )))
        }
        Some(signal) => Err(Failure::usage(format!(
            "{name}: libbpf crashes with this object ({}): it is damaged, or made in a way that libbpf does not expect; build it again \
             with clang -target bpf -g -O2",
            signal_name(signal)
        ))),
    }
}

fn signal_name(signal: i32) -> String {
    let known = [
        (Signal::SEGV, "SIGSEGV, segmentation fault"),
        (Signal::ABORT, "SIGABRT, aborted"),
        (Signal::BUS, "SIGBUS, bus error"),
        (Signal::FPE, "SIGFPE, arithmetic exception"),
    ];
    let name = known.iter().find(|(known, _)| known.as_raw() == signal);
    name.map_or_else(|| format!("signal {signal}"), |(_, name)| (*name).to_string())
}

/// The child: loads what is on standard input.
pub fn run() -> Result<Status, Failure> {
    let limit = Rlimit { current: Some(CPU_SECONDS), maximum: Some(CPU_SECONDS + 1) };
    setrlimit(Resource::Cpu, limit).map_err(std::io::Error::from)?;
    setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) }).map_err(std::io::Error::from)?;
    let mut content = Vec::new();
    std::io::stdin().lock().read_to_end(&mut content)?;
    let object = Source { name: "object".to_string(), content: Cow::Owned(content) };
    let how = |ops| How {
        nr_cpus: NR_CPUS,
        machine: Shape::flat(NR_CPUS),
        ops,
        sets: &[],
        setup: None,
        lockup: None,
    };
    let open = |ops| open(&object.content, &object::options(&object, &how(ops)));
    match open(None) {
        Ok(opened) => load(opened)?,
        Err(LoadError::AmbiguousOps { names }) => {
            for opened in names.iter().filter_map(|ops| open(Some(ops)).ok()) {
                load(opened)?;
            }
        }
        Err(_) => {}
    }
    Ok(Status::Done)
}

fn load(opened: Opened) -> Result<(), Failure> {
    let vm = Rc::new(scheduler::vm(NR_CPUS, sextant_vm::Engine::default(), false, 0)?);
    let ksyms = ksyms::fill(&opened, &vm, Shape::flat(NR_CPUS), NR_CPUS)?;
    let _ = opened.load(vm, ksyms); // the parent hears of it
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_the_child_is_a_message() {
        let of = |raw: i32| verdict("x.o", ExitStatus::from_raw(raw)).map_err(|f| f.error.to_string());
        assert_eq!(of(0), Ok(()));
        assert_eq!(of(101 << 8), Ok(()), "a panic: the parent meets it too, and reports it");
        let crash = of(Signal::SEGV.as_raw()).expect_err("a crash");
        assert!(
            crash.starts_with("x.o: libbpf crashes with this object (SIGSEGV, segmentation fault)"),
            "{crash}"
        );
        let hang = of(Signal::XCPU.as_raw()).expect_err("a hang");
        assert!(hang.starts_with("x.o: libbpf did not come to an end with this object in 5 s"), "{hang}");
    }
}
