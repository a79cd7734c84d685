//! `--setup FILE`: what a scheduler's own program would do around the attach, when that program is absent. `sextant_trace::setup` reads the
//! file; here it meets the object.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use sextant_abi::{CpuId, Ns};
use sextant_sched::Sched;
use sextant_sched::bpf::{BpfOps, SetupStep};
use sextant_sched::topology::Shape;
use sextant_trace::nearest::did_you_mean;
use sextant_trace::setup::{self, Act, Context, Setup, Step, Target, Text, resolve_parts};
use sextant_uapi::{Loaded, Opened};
use sextant_vm::ProgId;

use crate::made::sha256;
use crate::object::Object;
use crate::source;
use crate::status::Failure;

/// A setup file, read.
pub struct SetupFile {
    /// As the command line names it.
    name: String,
    setup: Setup,
    /// SHA-256 of its text.
    hash: String,
}

/// What steps have saved, by name.
type Saves = Rc<RefCell<BTreeMap<String, u64>>>;

impl SetupFile {
    /// The one named or found at `arg`, for a machine of that shape.
    pub fn read(arg: &str, machine: Shape) -> Result<SetupFile, Failure> {
        let source = source::setup(arg)?;
        let setup = setup::read(&source.content, machine)
            .map_err(|e| Failure::usage(format!("{}:{e}", source.name)))?;
        Ok(SetupFile { hash: sha256(source.content.as_bytes()), name: source.name, setup })
    }

    /// As the command line names it, and the SHA-256 of its text.
    pub fn name_and_hash(&self) -> (String, String) {
        (self.name.clone(), self.hash.clone())
    }

    fn place(&self, line: usize, object: &Object) -> String {
        format!("{}:{line}: {}", self.name, object.name)
    }

    fn failure(&self, line: usize, object: &Object, what: impl std::fmt::Display) -> Failure {
        Failure::usage(format!("{}: {what}", self.place(line, object)))
    }

    /// What is done to an object before it is loaded.
    pub fn apply(&self, opened: &mut Opened, object: &Object) -> Result<(), Failure> {
        for prog in &self.setup.progs {
            let wrong = |e| self.failure(prog.line, object, e);
            if let Some(target) = &prog.target {
                opened.set_target(&prog.name, target).map_err(wrong)?;
            }
            if let Some(load) = prog.load {
                opened.set_autoload(&prog.name, load).map_err(wrong)?;
            }
        }
        for set in &self.setup.sets {
            opened.set(&set.path, &set.value).map_err(|e| self.failure(set.line, object, e))?;
        }
        Ok(())
    }

    /// What is done after that, and the steps around the attach.
    pub fn fill(&self, loaded: &Rc<Loaded>, object: &Object) -> Result<Vec<SetupStep>, Failure> {
        for entry in &self.setup.entries {
            loaded
                .set_entry(&entry.map, entry.at, entry.key.as_deref(), &entry.values)
                .map_err(|e| self.failure(entry.line, object, e))?;
        }
        let saves = Saves::default();
        self.setup.steps.iter().map(|step| self.prepare(step, loaded, object, &saves)).collect()
    }

    fn prepare(
        &self,
        step: &Step,
        loaded: &Rc<Loaded>,
        object: &Object,
        saves: &Saves,
    ) -> Result<SetupStep, Failure> {
        let wrong = |what: String| self.failure(step.line, object, what);
        let (loaded, saves) = (loaded.clone(), saves.clone());
        let place = self.place(step.line, object);
        let told = move |result: Result<(), String>| result.map_err(|what| format!("{place}: {what}"));
        let at = step.at_ns.map(Ns);
        Ok(match &step.act {
            Act::Run { prog, ctx, returns, on, save } => {
                let id = syscall_prog(&loaded, prog).map_err(wrong)?;
                if context_is_known(ctx) {
                    context(&loaded, prog, ctx, &|_| None).map_err(wrong)?;
                }
                for (_, field) in save {
                    loaded.context_place(prog, ctx_is_words(ctx), field).map_err(|e| wrong(e.to_string()))?;
                }
                let run =
                    Run { id, prog: prog.clone(), ctx: ctx.clone(), returns: *returns, save: save.clone() };
                let act = move |ops: &BpfOps, s: &mut Sched| told(run.run(ops, s, &loaded, &saves));
                SetupStep { at, on: on.map(CpuId), act: Rc::new(act) }
            }
            Act::Write { to, value } => {
                if let Target::Global(path) = to {
                    loaded.globals.get(path).map_err(|e| wrong(e.to_string()))?;
                }
                let (to, value) = (to.clone(), value.clone());
                let act = move |_: &BpfOps, _: &mut Sched| told(write(&loaded, &to, &value, &saves));
                SetupStep { at, on: None, act: Rc::new(act) }
            }
        })
    }
}

fn syscall_prog(loaded: &Loaded, name: &str) -> Result<ProgId, String> {
    let syscalls =
        || loaded.other_progs.iter().filter(|prog| prog.section.trim_start_matches('?') == "syscall");
    let found = syscalls().find(|prog| prog.name == name).and_then(|prog| prog.id);
    found.ok_or_else(|| {
        let hint = did_you_mean(name, syscalls().map(|prog| prog.name.as_str()));
        format!("no syscall program '{name}'{hint}")
    })
}

fn ctx_is_words(ctx: &Context) -> bool {
    matches!(ctx, Context::Words(_))
}

fn context_is_known(ctx: &Context) -> bool {
    match ctx {
        Context::Empty => true,
        Context::Fields(fields) => fields.iter().all(|(_, text)| text.is_known()),
        Context::Words(words) => words.iter().all(Text::is_known),
    }
}

/// What `$name` is now.
fn looked_up(loaded: &Loaded, saves: &Saves, name: &str) -> Option<u64> {
    if let Some(ty) = name.strip_prefix("sizeof(").and_then(|rest| rest.strip_suffix(')')) {
        return loaded.size_of(ty);
    }
    saves.borrow().get(name).copied()
}

fn context(
    loaded: &Loaded,
    prog: &str,
    ctx: &Context,
    saved: &dyn Fn(&str) -> Option<u64>,
) -> Result<Vec<u8>, String> {
    match ctx {
        Context::Empty => Ok(Vec::new()),
        Context::Words(words) => Ok(bytes(words, saved)?),
        Context::Fields(fields) => {
            loaded.context(prog, &resolve_parts(fields, saved)?).map_err(|e| e.to_string())
        }
    }
}

/// Words of 64 bits.
fn bytes(words: &[Text], saved: &dyn Fn(&str) -> Option<u64>) -> Result<Vec<u8>, String> {
    let word = |text: &Text| {
        let text = text.resolve(saved)?;
        let number: i128 = text.parse().map_err(|_| format!("\"{text}\" is no number"))?;
        let fits = u64::try_from(number).or_else(|_| i64::try_from(number).map(|n| n as u64));
        fits.map_err(|_| format!("{number} is no word of 64 bits"))
    };
    let words = words.iter().map(word).collect::<Result<Vec<_>, _>>()?;
    Ok(words.iter().flat_map(|word| word.to_le_bytes()).collect())
}

/// A program to run.
struct Run {
    id: ProgId,
    prog: String,
    ctx: Context,
    returns: i32,
    save: Vec<(String, String)>,
}

impl Run {
    fn run(&self, ops: &BpfOps, s: &mut Sched, loaded: &Loaded, saves: &Saves) -> Result<(), String> {
        let name = &self.prog;
        let mut ctx = context(loaded, name, &self.ctx, &|name| looked_up(loaded, saves, name))?;
        let value =
            ops.test_run(s, self.id, &mut ctx).map_err(|trap| format!("setup: program '{name}': {trap}"))?;
        if value as i32 != self.returns {
            let (value, want) = (value as i32, self.returns);
            return Err(format!("setup: program '{name}' returned {value}, not {want}"));
        }
        for (key, field) in &self.save {
            let place =
                loaded.context_place(name, ctx_is_words(&self.ctx), field).map_err(|e| e.to_string())?;
            let value = place.read(&ctx);
            saves.borrow_mut().insert(key.clone(), value);
        }
        Ok(())
    }
}

fn write(loaded: &Loaded, to: &Target, value: &[(String, Text)], saves: &Saves) -> Result<(), String> {
    let saved = |name: &str| looked_up(loaded, saves, name);
    match to {
        Target::Global(path) => {
            for (field, text) in resolve_parts(value, &saved)? {
                let dot = if field.is_empty() || field.starts_with('[') { "" } else { "." };
                loaded.set_global(&format!("{path}{dot}{field}"), &text).map_err(|e| e.to_string())?;
            }
            Ok(())
        }
        Target::Map { map, inner, key } => {
            let key = key.as_ref().map(|key| resolve_parts(key, &saved)).transpose()?;
            let value = resolve_parts(value, &saved)?;
            loaded.set_entry(map, *inner, key.as_deref(), &[value]).map_err(|e| e.to_string())
        }
        Target::Arena(at) => {
            let text = at.resolve(&saved)?;
            let at: u64 = text.parse().map_err(|_| format!("\"{text}\" is no address"))?;
            let words = match value {
                [(_, Text::List(words))] => bytes(words, &saved)?,
                _ => Vec::new(),
            };
            loaded.write_arena(at, &words).map_err(|e| e.to_string())
        }
    }
}
