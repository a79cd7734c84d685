//! `sextant check`: what the verifier says of each program of an object. Nothing runs.

use std::io::Write;
use std::rc::Rc;

use serde_json::{Value, json};
use sextant_uapi::Verdict;
use sextant_verifier::diag::Step;

use crate::cli::CheckArgs;
use crate::object::{self, How};
use crate::status::{Failure, Status};
use crate::{color, scheduler, source};

/// What came of one object.
struct Checked {
    name: String,
    verdicts: Vec<Verdict>,
    /// Why the load stopped for another reason than a verdict.
    failure: Option<Failure>,
}

impl Checked {
    fn status(&self) -> Status {
        match &self.failure {
            Some(failure) => failure.status,
            None if self.verdicts.iter().any(|v| v.result.is_err()) => Status::No,
            None => Status::Done,
        }
    }
}

/// Runs the subcommand.
pub fn run(args: &CheckArgs, out: &mut dyn Write) -> Result<Status, Failure> {
    let mut checked = Vec::new();
    for name in &args.objects {
        checked.push(check(name, args)?);
    }
    if args.json {
        let objects: Vec<Value> = checked.iter().map(document).collect();
        serde_json::to_writer_pretty(&mut *out, &json!({ "format": 1, "objects": objects }))
            .map_err(std::io::Error::from)?;
        writeln!(out)?;
    } else {
        checked.iter().try_for_each(|c| print(c, out))?;
    }
    // The worst: an object that cannot be read before one that is refused.
    let rank = |status: &Status| match status {
        Status::Done => 0,
        Status::No => 1,
        _ => 2,
    };
    Ok(checked.iter().map(Checked::status).max_by_key(rank).unwrap_or(Status::Done))
}

fn check(name: &str, args: &CheckArgs) -> Result<Checked, Failure> {
    let Some(object) = source::scheduler(name)? else {
        return Err(Failure::usage(
            "fair is no object file: it is the machine without a sched_ext scheduler",
        ));
    };
    let how = How { nr_cpus: args.cpus, ops: args.ops.as_deref(), sets: &args.sets };
    let mut checked = Checked { name: name.to_owned(), verdicts: Vec::new(), failure: None };
    match object::prepare(&object, &how) {
        Ok(opened) => {
            let kernel = opened.kernel();
            kernel.verify_programs();
            let vm = Rc::new(scheduler::vm(args.cpus, sextant_vm::Engine::default(), false)?);
            checked.failure = opened.load(vm, Vec::new()).err().map(|e| object::failure(&object, e));
            checked.verdicts = kernel.verdicts();
        }
        Err(failure) => checked.failure = Some(failure),
    }
    Ok(checked)
}

fn print(checked: &Checked, out: &mut dyn Write) -> std::io::Result<()> {
    let (bold, red, plain) =
        if color(std::io::stdout()) { ("\x1b[1m", "\x1b[1;31m", "\x1b[0m") } else { ("", "", "") };
    writeln!(out, "{bold}{}{plain}", checked.name)?;
    for v in &checked.verdicts {
        out.write_all(verdict(v, color(std::io::stdout())).as_bytes())?;
    }
    match &checked.failure {
        Some(failure) => writeln!(out, "  {red}not loaded{plain}: {:#}", failure.error),
        None => Ok(()),
    }
}

/// What the verifier said of a program, in lines.
pub fn verdict(Verdict { prog, result }: &Verdict, color: bool) -> String {
    let (red, plain) = if color { ("\x1b[1;31m", "\x1b[0m") } else { ("", "") };
    match result {
        Ok(a) => format!(
            "  {prog:<32} accepted   {} insns processed, {} states ({} at most), {} bytes of stack\n",
            a.insns_processed, a.total_states, a.peak_states, a.stack_depth
        ),
        Err(rejection) => {
            let mut text = format!("  {prog:<32} {red}refused{plain}\n");
            for line in rejection.to_string().lines() {
                text.push_str(&format!("    {line}\n"));
            }
            text
        }
    }
}

fn document(checked: &Checked) -> Value {
    let programs: Vec<Value> = checked.verdicts.iter().map(program).collect();
    json!({
        "object": checked.name,
        "programs": programs,
        "error": checked.failure.as_ref().map(|f| format!("{:#}", f.error)),
    })
}

fn program(verdict: &Verdict) -> Value {
    match &verdict.result {
        Ok(a) => json!({
            "name": verdict.prog,
            "accepted": true,
            "insns_processed": a.insns_processed,
            "peak_states": a.peak_states,
            "total_states": a.total_states,
            "stack_depth": a.stack_depth,
        }),
        Err(r) => json!({
            "name": verdict.prog,
            "accepted": false,
            "code": r.code.code(),
            "message": r.message,
            "at": step(&r.at),
            "state": r.state.iter().map(|(name, known)| json!({ "name": name, "known": known })).collect::<Vec<_>>(),
            "slice": r.slice.iter().map(step).collect::<Vec<_>>(),
            "why": r.code.why(),
            "try": r.code.advice(),
            "insns_processed": r.insns_processed,
        }),
    }
}

fn step(step: &Step) -> Value {
    let source =
        step.source.as_ref().map(|(file, line, text)| json!({ "file": file, "line": line, "text": text }));
    json!({ "insn": step.insn, "text": step.text, "source": source })
}
