//! `sextant gen`: man pages and completions, from the same description of the command line as the help texts.

use std::fs;
use std::io::Write;

use anyhow::Context;
use clap::CommandFactory;
use clap_complete::Shell;
use clap_mangen::Man;

use crate::cli::{Cli, GenArgs, GenWhat};
use crate::status::{Failure, Status};

/// Runs the subcommand.
pub fn run(args: &GenArgs, out: &mut dyn Write) -> Result<Status, Failure> {
    let shell = match args.what {
        GenWhat::Bash => Shell::Bash,
        GenWhat::Elvish => Shell::Elvish,
        GenWhat::Fish => Shell::Fish,
        GenWhat::Powershell => Shell::PowerShell,
        GenWhat::Zsh => Shell::Zsh,
        GenWhat::Man => return man(args, out),
    };
    if args.dir.is_some() {
        return Err(Failure::usage("--dir is for man pages: completions go to stdout"));
    }
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "sextant", &mut script);
    out.write_all(&script)?;
    Ok(Status::Done)
}

fn man(args: &GenArgs, out: &mut dyn Write) -> Result<Status, Failure> {
    let command = Cli::command().disable_help_subcommand(true);
    let Some(dir) = &args.dir else {
        Man::new(command).render(out)?;
        return Ok(Status::Done);
    };
    fs::create_dir_all(dir).with_context(|| format!("cannot make {}", dir.display()))?;
    clap_mangen::generate_to(command, dir).with_context(|| format!("cannot write to {}", dir.display()))?;
    Ok(Status::Done)
}
