//! Our own schedulers: `schedulers/NAME.bpf.c` to `schedulers/built/NAME.bpf.o`, which the program embeds.
//!
//! The committed object must be the one that its source yields. What is compared is what a loader reads: sections (code,
//! data, BTF, BTF.ext), symbols and relocations, so that a byte in an ELF header is no difference.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use object::{Object, ObjectSection, ObjectSymbol, RelocationTarget};

use crate::{Done, bpf_clang, deps, run, workspace};

const FLAGS: &str =
    "-mcpu=v3 -O2 -g -Wall -Wextra -Wno-unused-parameter -Werror -Iinclude -isystem include/libbpf";

/// Builds every scheduler; writes the objects, or with `check` compares with the committed ones.
pub fn run(check: bool) -> Result<Done> {
    if let Err(why) = deps::ensure(&[deps::CLANG, deps::LLVM]) {
        return Ok(Done::Skipped(format!("{why:#}")));
    }
    let root = workspace::root();
    let built = root.join("schedulers/built");
    let scratch = root.join("target/schedulers");
    fs::create_dir_all(&scratch)?;
    fs::create_dir_all(&built)?;
    let names = names(&root.join("schedulers"), ".bpf.c")?;
    let mut differences = Vec::new();
    for name in &names {
        let fresh = scratch.join(format!("{name}.bpf.o"));
        build(root, name, &fresh)?;
        let committed = built.join(format!("{name}.bpf.o"));
        if check {
            differences.extend(compare(&committed, &fresh)?.into_iter().map(|d| format!("{name}: {d}")));
        } else {
            fs::copy(&fresh, &committed)?;
        }
    }
    differences.extend(orphans(&built, &names)?);
    let compiler = bpf_clang::version()?;
    if !differences.is_empty() {
        bail!(
            "built objects differ from their sources ({compiler}); `cargo xtask schedulers` rewrites them:\n  {}",
            differences.join("\n  ")
        );
    }
    let verb = if check { "equal their sources" } else { "built" };
    Ok(Done::Ok(format!("{} {verb} ({compiler})", names.join(", "))))
}

fn build(root: &Path, name: &str, object: &Path) -> Result<()> {
    let flags: Vec<String> = FLAGS.split_whitespace().map(str::to_owned).collect();
    bpf_clang::compile(root, &flags, &PathBuf::from(format!("schedulers/{name}.bpf.c")), object)?;
    run::output(Command::new("llvm-strip-19").arg("-g").arg(object))?;
    Ok(())
}

/// File names in `dir` that end in `suffix`, without it, sorted.
fn names(dir: &Path, suffix: &str) -> Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(dir).with_context(|| format!("cannot read {}", dir.display()))? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        names.extend(name.strip_suffix(suffix).map(str::to_owned));
    }
    names.sort();
    Ok(names)
}

/// Objects without a source.
fn orphans(built: &Path, sources: &[String]) -> Result<Vec<String>> {
    let objects = names(built, ".bpf.o")?;
    Ok(objects
        .iter()
        .filter(|name| !sources.contains(name))
        .map(|name| format!("{name}: no source"))
        .collect())
}

fn compare(committed: &Path, fresh: &Path) -> Result<Vec<String>> {
    let Ok(old) = fs::read(committed) else { return Ok(vec!["not built yet".to_owned()]) };
    let new = fs::read(fresh)?;
    if old == new {
        return Ok(Vec::new());
    }
    let old = contents(&old).with_context(|| committed.display().to_string())?;
    Ok(differences(&old, &contents(&new)?))
}

/// What a loader reads of an object, by name.
type Contents = BTreeMap<String, Vec<u8>>;

fn contents(elf: &[u8]) -> Result<Contents> {
    let file = object::File::parse(elf).context("not an ELF")?;
    let mut contents = Contents::new();
    for section in file.sections() {
        let name = section.name()?;
        if [".strtab", ".symtab", ".llvm_addrsig"].contains(&name) || name.starts_with(".rel") {
            continue;
        }
        contents.insert(format!("section {name}"), section.uncompressed_data()?.into_owned());
        let mut relocations = String::new();
        for (offset, relocation) in section.relocations() {
            let target = match relocation.target() {
                RelocationTarget::Symbol(index) => symbol(&file, index)?,
                other => format!("{other:?}"),
            };
            relocations +=
                &format!("{offset:#x} {:?} {target} {}\n", relocation.flags(), relocation.addend());
        }
        contents.insert(format!("relocations of {name}"), relocations.into_bytes());
    }
    let mut symbols = Vec::new();
    for symbol in file.symbols() {
        symbols.push(format!(
            "{} {:#x} {} {:?}",
            symbol.name()?,
            symbol.address(),
            symbol.size(),
            symbol.flags()
        ));
    }
    symbols.sort();
    contents.insert("symbols".to_owned(), symbols.join("\n").into_bytes());
    Ok(contents)
}

fn symbol(file: &object::File, index: object::SymbolIndex) -> Result<String> {
    let symbol = file.symbol_by_index(index)?;
    let section = symbol.section_index().map(|index| file.section_by_index(index)).transpose()?;
    let section = section.map(|section| section.name().map(str::to_owned)).transpose()?;
    Ok(format!("{}+{:#x} {}", section.unwrap_or_default(), symbol.address(), symbol.name()?))
}

fn differences(old: &Contents, new: &Contents) -> Vec<String> {
    let names: std::collections::BTreeSet<_> = old.keys().chain(new.keys()).collect();
    names.into_iter().filter_map(|name| difference(name, old.get(name), new.get(name))).collect()
}

fn difference(name: &str, old: Option<&Vec<u8>>, new: Option<&Vec<u8>>) -> Option<String> {
    match (old, new) {
        (Some(old), Some(new)) if old == new => None,
        (Some(old), Some(new)) => {
            let at = old.iter().zip(new).take_while(|(a, b)| a == b).count();
            Some(format!(
                "{name} differs from byte {at} on ({} bytes committed, {} rebuilt)",
                old.len(),
                new.len()
            ))
        }
        (Some(_), None) => Some(format!("{name} is only in the committed object")),
        (None, _) => Some(format!("{name} is missing in the committed object")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn built(name: &str) -> Vec<u8> {
        let path = workspace::root().join(format!("schedulers/built/{name}.bpf.o"));
        fs::read(path).expect("the built objects are committed")
    }

    #[test]
    fn an_object_equals_itself() {
        let simple = contents(&built("simple")).expect("an ELF");
        assert!(simple.keys().any(|name| name == "section .BTF"), "{:?}", simple.keys());
        assert_eq!(differences(&simple, &simple), Vec::<String>::new());
    }

    #[test]
    fn one_flipped_bit_of_code_is_seen() {
        let old = built("simple");
        let file = object::File::parse(&*old).expect("an ELF");
        let code = file.section_by_name("struct_ops/simple_enqueue").expect("has an enqueue");
        let at = code.file_range().expect("lies in the file").0 as usize;
        let mut new = old.clone();
        new[at + 8] ^= 1;
        let found = differences(&contents(&old).expect("an ELF"), &contents(&new).expect("an ELF"));
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(
            found[0].starts_with("section struct_ops/simple_enqueue differs from byte 8 on"),
            "{found:?}"
        );
    }

    #[test]
    fn a_relocation_to_another_symbol_is_seen() {
        let [simple, rr] = ["simple", "rr"].map(|name| contents(&built(name)).expect("an ELF"));
        let name = "relocations of .struct_ops.link";
        assert!(differences(&simple, &rr).iter().any(|d| d.starts_with(name)));
    }
}
