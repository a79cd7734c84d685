//! `sextant inspect --disasm`: the instructions of an object, in the kernel's words.

use std::io::Write;

use anyhow::anyhow;
use sextant_abi::tables::HelperId;
use sextant_bpf::disasm::{self, Ref};
use sextant_trace::nearest::did_you_mean;
use sextant_uapi::code::{Function, functions};

use crate::object::Object;
use crate::status::{Failure, Status};

/// Prints one function, or all of them if `wanted` is empty.
pub fn run(object: &Object, wanted: &str, out: &mut dyn Write) -> Result<Status, Failure> {
    let all = functions(&object.content).map_err(|e| anyhow!("{}: {e}", object.name))?;
    let chosen: Vec<&Function> = all.iter().filter(|f| wanted.is_empty() || f.name == wanted).collect();
    if chosen.is_empty() {
        let hint = did_you_mean(wanted, all.iter().map(|f| f.name.as_str()));
        return Err(Failure::usage(format!("{}: no program or function \"{wanted}\"{hint}", object.name)));
    }
    for (i, function) in chosen.iter().enumerate() {
        let gap = if i > 0 { "\n" } else { "" };
        writeln!(
            out,
            "{gap}{} ({}, {} instructions):",
            function.name,
            function.section,
            function.insns.len()
        )?;
        out.write_all(disasm::program(&function.insns, &|slot, what| name(function, slot, what)).as_bytes())?;
    }
    Ok(Status::Done)
}

fn name(function: &Function, slot: usize, what: Ref) -> Option<String> {
    match what {
        Ref::Helper(number) => helper(number),
        _ => function.names.get(&slot).cloned(),
    }
}

fn helper(number: i32) -> Option<String> {
    let id = HelperId::from_number(u32::try_from(number).ok()?)?;
    Some(id.name().to_string())
}
