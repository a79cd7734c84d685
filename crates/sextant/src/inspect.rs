//! `sextant inspect`: what an object file contains and needs, and whether Sextant has it. Nothing runs.

use std::io::{self, Write};
use std::rc::Rc;

use sextant_sched::bpf::has_kfunc;
use sextant_sched::topology::Shape;
use sextant_uapi::Opened;
use sextant_uapi::inspect::{
    Extern, GlobalInfo, Has, HelperInfo, Inspection, OpsInfo, Status as Need, TypeNeed,
};
use sextant_vm::{Engine, helper_is_implemented};

use crate::cli::InspectArgs;
use crate::object::{self, How, Object};
use crate::source;
use crate::status::{Failure, Status};
use crate::{color, disasm, ksyms, scheduler};

/// Runs the subcommand.
pub fn run(args: &InspectArgs, out: &mut dyn Write) -> Result<Status, Failure> {
    let Some(object) = source::scheduler(&args.object)? else {
        return Err(Failure::usage(
            "fair is no object file: it is the machine without a sched_ext scheduler",
        ));
    };
    let how = How {
        nr_cpus: args.cpus,
        machine: Shape::flat(args.cpus),
        ops: args.ops.as_deref(),
        sets: &[],
        setup: None,
        lockup: None,
    };
    let opened = object::prepare(&object, &how)?;
    if let Some(wanted) = &args.disasm {
        return disasm::run(&object, wanted, out);
    }
    print(opened, &object, args.cpus, out)?;
    Ok(Status::Done)
}

fn print(opened: Opened, object: &Object, nr_cpus: u32, out: &mut dyn Write) -> Result<(), Failure> {
    let has = Has { kfunc: &|id| has_kfunc(id.info().name), helper: &|id| helper_is_implemented(id as u32) };
    let i = opened.inspect(&has);
    let mut p = Printer { out, color: color(std::io::stdout()), first: true };
    i.ops.iter().try_for_each(|ops| p.ops(ops))?;
    p.programs(&i)?;
    p.maps(&i)?;
    p.externs("KERNEL FUNCTIONS", &i.kfuncs)?;
    p.externs("KERNEL VARIABLES", &i.ksyms)?;
    p.externs("KERNEL CONFIGURATION", &i.kconfig)?;
    p.needs(&i.needs)?;
    p.helpers(&i.helpers)?;
    p.globals(&i.globals)?;
    p.enums(&i)?;
    p.warnings(opened.warnings())?;
    let load = Load::of(opened, object, nr_cpus)?;
    p.verdict(&i, &load)?;
    Ok(())
}

/// What a load comes to, with the verifier; nothing of it runs.
struct Load {
    /// Why there is none.
    failure: Option<Failure>,
    programs: usize,
    refused: usize,
}

impl Load {
    fn of(opened: Opened, object: &Object, nr_cpus: u32) -> Result<Load, Failure> {
        let kernel = opened.kernel();
        kernel.verify_programs();
        let vm = Rc::new(scheduler::vm(nr_cpus, Engine::default(), false, 0)?);
        let failure = ksyms::fill(&opened, &vm, Shape::flat(nr_cpus), nr_cpus)
            .and_then(|ksyms| opened.load(vm.clone(), ksyms).map_err(|e| object::failure(object, e)))
            .err();
        let verdicts = kernel.verdicts();
        let refused = verdicts.iter().filter(|v| v.result.is_err()).count();
        Ok(Load { failure, programs: verdicts.len(), refused })
    }
}

struct Printer<'a> {
    out: &'a mut dyn Write,
    color: bool,
    first: bool,
}

impl Printer<'_> {
    fn heading(&mut self, text: &str) -> io::Result<()> {
        if !std::mem::take(&mut self.first) {
            writeln!(self.out)?;
        }
        match self.color {
            true => writeln!(self.out, "\x1b[1m{text}\x1b[0m"),
            false => writeln!(self.out, "{text}"),
        }
    }

    fn ops(&mut self, ops: &OpsInfo) -> io::Result<()> {
        let chosen = if ops.chosen { "" } else { " (not chosen, see --ops)" };
        self.heading(&format!("OPS {}: struct {}{chosen}", ops.map, ops.struct_name))?;
        writeln!(self.out, "  name        \"{}\"", printable(&ops.name))?;
        let (flags, names) = &ops.flags;
        let names = if names.is_empty() { String::new() } else { format!(" {}", names.join(" | ")) };
        writeln!(self.out, "  flags       {flags:#x}{names}")?;
        match ops.timeout_ms {
            0 => writeln!(self.out, "  timeout_ms  30000 (default)")?,
            ms => writeln!(self.out, "  timeout_ms  {ms}")?,
        }
        for (member, prog) in &ops.members {
            writeln!(self.out, "  {:<18} {}", format!(".{member}"), printable(prog))?;
        }
        Ok(())
    }

    fn programs(&mut self, i: &Inspection) -> io::Result<()> {
        self.heading(&format!("PROGRAMS {:<24} {:>8}  SECTION", "", "INSNS"))?;
        for p in &i.progs {
            let left_out = if p.autoload { "" } else { "  (left out)" };
            writeln!(
                self.out,
                "  {:<31} {:>8}  {}{left_out}",
                printable(&p.name),
                p.insns,
                printable(&p.section)
            )?;
        }
        Ok(())
    }

    fn maps(&mut self, i: &Inspection) -> io::Result<()> {
        self.heading(&format!(
            "MAPS {:<16} {:<20} {:>5} {:>7} {:>9}  FLAGS",
            "", "TYPE", "KEY", "VALUE", "ENTRIES"
        ))?;
        for m in &i.maps {
            writeln!(
                self.out,
                "  {:<19} {:<20} {:>5} {:>7} {:>9}  {:#x}",
                printable(&m.name),
                m.map_type,
                m.key_size,
                m.value_size,
                m.max_entries,
                m.flags
            )?;
        }
        Ok(())
    }

    fn externs(&mut self, title: &str, externs: &[Extern]) -> io::Result<()> {
        if externs.is_empty() {
            return Ok(());
        }
        self.heading(title)?;
        externs.iter().try_for_each(|e| self.need(&e.name, e.status, e.weak))
    }

    fn helpers(&mut self, helpers: &[HelperInfo]) -> io::Result<()> {
        if helpers.is_empty() {
            return Ok(());
        }
        self.heading("HELPERS")?;
        helpers.iter().try_for_each(|h| self.need(&format!("{}#{}", h.name, h.number), h.status, false))
    }

    fn need(&mut self, name: &str, status: Need, weak: bool) -> io::Result<()> {
        let word = match status {
            Need::Has => "yes",
            Need::Lacks => "not in Sextant yet",
            Need::Unknown => "not in Linux 7.3",
        };
        let (code, rest) = match (status, weak) {
            (Need::Has, _) => ("32", ""),
            (_, true) => ("33", ", the object can do without"),
            (_, false) => ("1;31", ""),
        };
        let word = if self.color { format!("\x1b[{code}m{word}\x1b[0m") } else { word.to_string() };
        writeln!(self.out, "  {:<40} {word}{rest}", printable(name))
    }

    /// Types, fields and enumerators that the kernel here does not have.
    fn needs(&mut self, needs: &[TypeNeed]) -> io::Result<()> {
        if needs.is_empty() {
            return Ok(());
        }
        self.heading("KERNEL TYPES, FIELDS AND VALUES that are not there")?;
        for need in needs {
            let rest = if need.asks { "the object asks first" } else { "" };
            writeln!(self.out, "  {:<40} {rest}", printable(&need.what))?;
        }
        Ok(())
    }

    fn globals(&mut self, globals: &[GlobalInfo]) -> io::Result<()> {
        if globals.is_empty() {
            return Ok(());
        }
        self.heading("GLOBALS (--set NAME=VALUE)")?;
        // Format strings are nobody's to set, and the copies of the kernel's enums are filled by the loader.
        let is_enum = |g: &&GlobalInfo| g.name.starts_with("__SCX_");
        for g in globals.iter().filter(|g| !g.name.contains("___fmt") && !is_enum(g)) {
            let value = shortened(&printable(&g.value));
            writeln!(self.out, "  {:<9} {} {} = {value}", g.section, printable(&g.ty), printable(&g.name))?;
        }
        match globals.iter().filter(is_enum).count() {
            0 => Ok(()),
            n => writeln!(self.out, "  and {n} __SCX_* constants, filled with the values of Linux 7.3"),
        }
    }

    fn enums(&mut self, i: &Inspection) -> io::Result<()> {
        if i.enum_diffs.is_empty() {
            return Ok(());
        }
        self.heading("ENUM VALUES baked in that differ from Linux 7.3")?;
        for d in &i.enum_diffs {
            writeln!(self.out, "  {:<40} {:#x}, in 7.3 {:#x}", printable(&d.name), d.object, d.kernel)?;
        }
        Ok(())
    }

    fn warnings(&mut self, warnings: &[String]) -> io::Result<()> {
        if warnings.is_empty() {
            return Ok(());
        }
        self.heading("NOTES")?;
        warnings.iter().try_for_each(|w| writeln!(self.out, "  {}", printable(w)))
    }

    /// The question most people come with.
    fn verdict(&mut self, i: &Inspection, load: &Load) -> io::Result<()> {
        let names = i.kfuncs.iter().chain(&i.ksyms);
        let functions = names.filter(|e| !e.weak && e.status != Need::Has).map(|e| e.name.as_str());
        let helpers = i.helpers.iter().filter(|h| h.status != Need::Has).map(|h| h.name.as_str());
        let missing: Vec<&str> = functions.chain(helpers).collect();
        let text = match (&load.failure, load.refused, missing.is_empty()) {
            (None, 0, _) => "Sextant has everything that this object cannot do without.".to_string(),
            (_, refused, true) if refused > 0 => {
                let all = load.programs;
                format!("The verifier refuses {refused} of {all} programs: `sextant check` says why.")
            }
            (_, _, false) => format!("Sextant lacks {}.", missing.join(", ")),
            (_, _, true) => "This object does not load:".to_string(),
        };
        self.heading(&text)?;
        match &load.failure {
            Some(failure) if load.refused == 0 => {
                writeln!(self.out, "{}", printable_lines(&format!("{:#}", failure.error)))
            }
            _ => Ok(()),
        }
    }
}

/// At most this many characters of a value are shown.
const VALUE_SHOWN: usize = 60;

fn shortened(value: &str) -> String {
    match value.chars().count() {
        0..=VALUE_SHOWN => value.to_string(),
        _ => value.chars().take(VALUE_SHOWN - 1).chain(['…']).collect(),
    }
}

/// The same of several lines.
fn printable_lines(text: &str) -> String {
    text.lines().map(|line| format!("  {}\n", printable(line))).collect::<String>().trim_end().to_string()
}

/// Text of the object's must not move the cursor.
fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '?' } else { c }).collect()
}
