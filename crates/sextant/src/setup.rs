//! `--setup FILE`: what a scheduler's own program would do before it attaches, when that program is absent. `sextant_trace::setup` reads the
//! file; here it meets the object.

use sextant_sched::bpf::SetupRun;
use sextant_trace::nearest::did_you_mean;
use sextant_trace::setup::{self, Context, Run, Setup};
use sextant_uapi::{Loaded, Opened};

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

impl SetupFile {
    /// The one named or found at `arg`, for a machine of that many CPUs.
    pub fn read(arg: &str, nr_cpus: u32) -> Result<SetupFile, Failure> {
        let source = source::setup(arg)?;
        let setup = setup::read(&source.content, nr_cpus)
            .map_err(|e| Failure::usage(format!("{}:{e}", source.name)))?;
        Ok(SetupFile { hash: sha256(source.content.as_bytes()), name: source.name, setup })
    }

    /// As the command line names it, and the SHA-256 of its text.
    pub fn name_and_hash(&self) -> (String, String) {
        (self.name.clone(), self.hash.clone())
    }

    fn failure(&self, line: usize, object: &Object, what: impl std::fmt::Display) -> Failure {
        Failure::usage(format!("{}:{line}: {}: {what}", self.name, object.name))
    }

    /// What is done to an object before it is loaded.
    pub fn apply(&self, opened: &mut Opened, object: &Object) -> Result<(), Failure> {
        for set in &self.setup.sets {
            opened.set(&set.path, &set.value).map_err(|e| self.failure(set.line, object, e))?;
        }
        Ok(())
    }

    /// What is done after that, and the programs to run before the attach.
    pub fn fill(&self, loaded: &Loaded, object: &Object) -> Result<Vec<SetupRun>, Failure> {
        for entry in &self.setup.entries {
            loaded
                .set_entry(&entry.map, entry.at, entry.key.as_deref(), &entry.value)
                .map_err(|e| self.failure(entry.line, object, e))?;
        }
        self.setup.runs.iter().map(|run| self.prepare(run, loaded, object)).collect()
    }

    fn prepare(&self, run: &Run, loaded: &Loaded, object: &Object) -> Result<SetupRun, Failure> {
        let syscalls = || loaded.other_progs.iter().filter(|prog| prog.section == "syscall");
        let prog = syscalls().find(|prog| prog.name == run.prog).and_then(|prog| prog.id);
        let Some(prog) = prog else {
            let hint = did_you_mean(&run.prog, syscalls().map(|prog| prog.name.as_str()));
            let what = format!("no syscall program '{}'{hint}", run.prog);
            return Err(self.failure(run.line, object, what));
        };
        let ctx = match &run.ctx {
            Context::Empty => Vec::new(),
            Context::Words(words) => words.iter().flat_map(|word| word.to_le_bytes()).collect(),
            Context::Fields(fields) => {
                loaded.context(&run.prog, fields).map_err(|e| self.failure(run.line, object, e))?
            }
        };
        Ok(SetupRun { prog, name: run.prog.clone(), ctx, returns: run.returns })
    }
}
