//! `sextant check`: what the verifier says of each program of an object. Nothing runs.

use std::io::Write;
use std::path::Path;
use std::rc::Rc;

use serde_json::{Value, json};
use sextant_sched::topology::Shape;
use sextant_uapi::{Opened, Verdict};
use sextant_verifier::Rejection;
use sextant_verifier::diag::{Known, Source, Step, Way};

use crate::cli::CheckArgs;
use crate::object::{self, How, Object};
use crate::setup::SetupFile;
use crate::status::{Failure, Status};
use crate::{color, inline, ksyms, scheduler, source};

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
        checked.extend(check(name, args)?);
    }
    if args.json {
        let objects: Vec<Value> = checked.iter().map(document).collect();
        serde_json::to_writer_pretty(&mut *out, &json!({ "format": 1, "objects": objects }))
            .map_err(std::io::Error::from)?;
        writeln!(out)?;
    } else {
        for (i, c) in checked.iter().enumerate() {
            if i > 0 {
                writeln!(out)?;
            }
            print(c, args, out)?;
        }
        summary(&checked, out)?;
    }
    // The worst: an object that cannot be read before one that is refused.
    let rank = |status: &Status| match status {
        Status::Done => 0,
        Status::No => 1,
        _ => 2,
    };
    Ok(checked.iter().map(Checked::status).max_by_key(rank).unwrap_or(Status::Done))
}

/// An object, once for each of its ops tables unless one is named.
fn check(name: &str, args: &CheckArgs) -> Result<Vec<Checked>, Failure> {
    let Some(object) = source::scheduler(name)? else {
        return Err(Failure::usage(
            "fair is no object file: it is the machine without a sched_ext scheduler",
        ));
    };
    let setup = args.setup.as_deref().map(|arg| SetupFile::read(arg, Shape::flat(args.cpus))).transpose()?;
    let how = How {
        nr_cpus: args.cpus,
        machine: Shape::flat(args.cpus),
        ops: args.ops.as_deref(),
        sets: &args.sets,
        setup: setup.as_ref(),
        lockup: None,
    };
    match object::prepare(&object, &how) {
        Ok(opened) => Ok(vec![judge(name.to_owned(), &object, opened, args, &how)?]),
        Err(failure) => {
            let tables = if args.ops.is_none() { object::ops_tables(&object, &how) } else { Vec::new() };
            if tables.is_empty() {
                return Ok(vec![Checked {
                    name: name.to_owned(),
                    verdicts: Vec::new(),
                    failure: Some(failure),
                }]);
            }
            let each = |table: &String| {
                let how = How { ops: Some(table), ..how };
                let opened = object::prepare(&object, &how)?;
                judge(format!("{name} --ops {table}"), &object, opened, args, &how)
            };
            tables.iter().map(each).collect()
        }
    }
}

/// The verdict on every program. A load ends at a program that needs what is not there, in libbpf's words: a second one goes on for
/// the verdicts on those after it.
fn judge(
    name: String,
    object: &Object,
    opened: Opened,
    args: &CheckArgs,
    how: &How<'_>,
) -> Result<Checked, Failure> {
    let mut checked = load(name.clone(), object, opened, args)?;
    if checked.failure.is_some() {
        let opened = object::prepare(object, how)?;
        opened.kernel().keep_on();
        let all = load(name, object, opened, args)?;
        if all.verdicts.len() > checked.verdicts.len() {
            checked.verdicts = all.verdicts;
        }
    }
    Ok(checked)
}

/// Loads an object for its verdicts.
fn load(name: String, object: &Object, opened: Opened, args: &CheckArgs) -> Result<Checked, Failure> {
    let kernel = opened.kernel();
    kernel.verify_programs();
    if args.log.is_some() {
        kernel.keep_logs();
    }
    for warning in opened.warnings() {
        tracing::warn!("{name}: {warning}");
    }
    let vm = Rc::new(scheduler::vm(args.cpus, sextant_vm::Engine::default(), false, 0)?);
    let failure = ksyms::fill(&opened, &vm, Shape::flat(args.cpus), args.cpus)
        .and_then(|ksyms| opened.load(vm, ksyms).map_err(|e| object::failure(object, e)))
        .err();
    let mut verdicts = kernel.verdicts();
    inline::fill(&object.content, &mut verdicts);
    // What a verdict says better is not said twice. The load ends with the last program it got to, whose name the call cuts.
    let told = |failure: &Failure| {
        let last = verdicts.last().filter(|v| v.result.is_err());
        last.is_some_and(|v| {
            let cut: String = v.prog.chars().take(15).collect();
            format!("{:#}", failure.error).contains(&format!("program '{cut}' was refused"))
        })
    };
    let failure = failure.filter(|failure| !told(failure));
    Ok(Checked { name, verdicts, failure })
}

fn print(checked: &Checked, args: &CheckArgs, out: &mut dyn Write) -> std::io::Result<()> {
    let color = color(std::io::stdout());
    let (bold, red, plain) = if color { ("\x1b[1m", "\x1b[1;31m", "\x1b[0m") } else { ("", "", "") };
    if let Some(wanted) = &args.log {
        for v in checked.verdicts.iter().filter(|v| wanted.is_empty() || v.prog == *wanted) {
            writeln!(out, "{}", v.log)?;
        }
    }
    writeln!(out, "{bold}{}{plain}", checked.name)?;
    let width = checked.verdicts.iter().map(|v| v.prog.len()).max().unwrap_or(0);
    for Verdict { prog, result, .. } in &checked.verdicts {
        match result {
            Ok(a) => writeln!(
                out,
                "  {prog:<width$}  accepted  {:>7} insns processed {:>6} states {:>4} bytes of stack",
                a.insns_processed, a.peak_states, a.stack_depth
            )?,
            Err(r) => writeln!(out, "  {prog:<width$}  {red}refused{plain}   {}", r.code)?,
        }
    }
    if let Some(failure) = &checked.failure {
        writeln!(out, "  {red}not loaded{plain}: {:#}", failure.error)?;
    }
    out.write_all(messages(&checked.verdicts, color, crate::width(std::io::stdout())).as_bytes())
}

/// One line to end with, where several programs were looked at and not all are fine.
fn summary(checked: &[Checked], out: &mut dyn Write) -> std::io::Result<()> {
    let verdicts = || checked.iter().flat_map(|c| &c.verdicts);
    let (all, refused) = (verdicts().count(), verdicts().filter(|v| v.result.is_err()).count());
    match refused {
        0 => Ok(()),
        _ if all == 1 => Ok(()),
        _ => writeln!(out, "\n{refused} of {all} programs refused"),
    }
}

/// Why programs were refused, each message after an empty line. What is one mistake in several programs is told once.
pub fn messages(verdicts: &[Verdict], color: bool, width: usize) -> String {
    let mut told: Vec<(&Verdict, &Rejection, Vec<&Verdict>)> = Vec::new();
    for verdict in verdicts {
        let Err(rejection) = &verdict.result else { continue };
        match told.iter_mut().find(|(_, first, _)| is_same(first, rejection)) {
            // libbpf loads a refused program a second time, for its log.
            Some((first, ..)) if first.prog == verdict.prog => {}
            Some((.., again)) => again.push(verdict),
            None => told.push((verdict, rejection, Vec::new())),
        }
    }
    let mut text = String::new();
    for (_, rejection, again) in told {
        text.push('\n');
        let mut rejection = rejection.clone();
        if !again.is_empty() {
            let mut places: Vec<String> = again.iter().map(|verdict| place(verdict)).collect();
            places.dedup();
            let note = format!("the same in {}", places.join(", "));
            rejection.notes = rejection.notes.iter().cloned().chain([note]).collect();
        }
        text.push_str(&rejection.render_to(color, width));
    }
    // Files as people see them from where they are.
    match std::env::current_dir() {
        Ok(here) if here != Path::new("/") => text.replace(&format!("{}/", here.display()), ""),
        _ => text,
    }
}

/// Whether it is the same line of code, refused for the same reason.
fn is_same(a: &Rejection, b: &Rejection) -> bool {
    let line = |r: &Rejection| r.at.source.as_ref().map(|s| (s.file.clone(), s.line, s.column));
    a.code == b.code && a.message == b.message && line(a).is_some() && line(a) == line(b)
}

/// `mine_enqueue (mine.bpf.c:12)`, where the author wrote it.
fn place(verdict: &Verdict) -> String {
    let author = verdict.result.as_ref().err().and_then(|r| r.author().or(r.at.called_at.first()));
    match author {
        Some(source) => format!("{} ({}:{})", verdict.prog, source.file, source.line),
        None => verdict.prog.clone(),
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
    let log = (!verdict.log.is_empty()).then_some(&verdict.log);
    match &verdict.result {
        Ok(a) => json!({
            "name": verdict.prog,
            "accepted": true,
            "insns_processed": a.insns_processed,
            "peak_states": a.peak_states,
            "total_states": a.total_states,
            "stack_depth": a.stack_depth,
            "log": log,
        }),
        Err(r) => json!({
            "name": verdict.prog,
            "accepted": false,
            "code": r.code.code(),
            "message": r.message,
            "at": step(&r.at),
            "called_at": r.at.called_at.iter().map(place_of).collect::<Vec<_>>(),
            "state": r.state.iter().map(known).collect::<Vec<_>>(),
            "slice": r.slice.iter().map(step).collect::<Vec<_>>(),
            "path": r.path.iter().map(|(at, turn)| json!({ "at": step(at), "way": way(*turn) })).collect::<Vec<_>>(),
            "notes": r.notes,
            "functions": r.chain,
            "why": r.code.why(),
            "try": r.advice(),
            "insns_processed": r.insns_processed,
            "log": log,
        }),
    }
}

fn way(way: Way) -> &'static str {
    match way {
        Way::Taken => "taken",
        Way::NotTaken => "not taken",
        Way::Enters => "enters",
    }
}

fn known(known: &Known) -> Value {
    json!({ "name": known.name, "known": known.known, "meaning": known.meaning })
}

fn step(step: &Step) -> Value {
    json!({ "insn": step.insn, "text": step.text, "source": step.source.as_ref().map(place_of) })
}

fn place_of(s: &Source) -> Value {
    json!({ "file": s.file, "line": s.line, "column": s.column, "text": s.text.trim() })
}
