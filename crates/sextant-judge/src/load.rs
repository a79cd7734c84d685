//! Programs of an object through libbpf to the verifier, each by itself: what is wrong with one, or with what it needs, does not reach
//! its neighbours.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use anyhow::{Context, Result, bail};
use libbpf_rs::ObjectBuilder;
use object::{Endianness, Object as _, ObjectSection as _, ObjectSymbol as _};
use sextant_abi::types::TaskStruct;
use sextant_bpf::btf::Btf;
use sextant_bpf::vmlinux::Vmlinux;
use sextant_uapi::{Judged, Kernel, KernelConfig, with_kernel};
use sextant_vm::{Vm, VmConfig};

use crate::annotation::{Test, tests};

const NR_CPUS: u32 = 8;

/// A test and what became of it.
pub struct Tried {
    /// The test.
    pub test: Test,
    /// The verifier's answer, or why there is none.
    pub answer: Result<Judged, String>,
}

/// Loads every annotated program of an object.
///
/// # Errors
/// When the object or its BTF cannot be read.
pub fn object(bytes: &[u8], vmlinux: &Rc<Vmlinux>) -> Result<Vec<Tried>> {
    let mut bytes = bytes.to_vec();
    let elf = object::File::parse(&*bytes).context("no ELF file")?;
    let section = elf.section_by_name(".BTF").context("no .BTF")?;
    let btf = Btf::parse(section.data()?).context("its BTF")?;
    let weak = undefined(&elf)?;
    drop(elf);
    for at in weak {
        // st_info: a weak symbol of no type in particular. libbpf leaves what it does not find to the verifier.
        bytes[at] = 2 << 4 | bytes[at] & 0xf;
    }
    let tests = tests(&btf);
    let all: BTreeSet<&str> = tests.iter().map(|t| t.name.as_str()).collect();
    let flags: BTreeMap<&str, u32> = tests.iter().map(|t| (t.name.as_str(), t.flags)).collect();
    let (mut judged, _) = load(&bytes, &all, &flags, vmlinux)?;
    let mut tried = Vec::new();
    for test in tests {
        let answer = match judged.remove(&test.name) {
            Some(answer) => Ok(answer),
            None => {
                let (mut alone, why) =
                    load(&bytes, &BTreeSet::from([&*test.name]), &flags_of(&test), vmlinux)?;
                alone.remove(&test.name).ok_or(why)
            }
        };
        tried.push(Tried { test, answer });
    }
    Ok(tried)
}

fn flags_of(test: &Test) -> BTreeMap<&str, u32> {
    BTreeMap::from([(test.name.as_str(), test.flags)])
}

/// Where the binding of each undefined symbol is in the file.
fn undefined(elf: &object::File<'_>) -> Result<Vec<usize>> {
    let object::File::Elf64(file) = elf else { bail!("no 64-bit ELF file") };
    let table = file.elf_section_table();
    let symbols = table
        .iter()
        .find(|s| {
            object::read::elf::SectionHeader::sh_type(*s, Endianness::Little) == object::elf::SHT_SYMTAB
        })
        .context("no symbols")?;
    let start = symbols.sh_offset.get(Endianness::Little) as usize;
    let undefined = elf.symbols().filter(|s| s.is_undefined() && s.index().0 > 0);
    Ok(undefined.map(|s| start + s.index().0 * 24 + 4).collect())
}

/// Loads the named programs of an object; the answers by name, and what libbpf said.
fn load(
    bytes: &[u8],
    names: &BTreeSet<&str>,
    flags: &BTreeMap<&str, u32>,
    vmlinux: &Rc<Vmlinux>,
) -> Result<(BTreeMap<String, Judged>, String)> {
    let kernel = Kernel::new(KernelConfig { nr_cpus: NR_CPUS, vmlinux: vmlinux.clone() });
    let config = VmConfig { nr_cpus: NR_CPUS, task_size: TaskStruct::SIZE, ..VmConfig::default() };
    kernel.set_vm(Rc::new(Vm::new(config)?), Vec::new());
    kernel.judge_programs();
    let (loaded, said) = sextant_uapi::catching(|| {
        with_kernel(&kernel, || -> libbpf_rs::Result<()> {
            let mut builder = ObjectBuilder::default();
            builder.name("tests")?;
            let mut open = builder.open_memory(bytes)?;
            for mut prog in open.progs_mut() {
                let name = prog.name().to_string_lossy().into_owned();
                prog.set_autoload(names.contains(&*name));
                if let Some(flags) = flags.get(&*name).filter(|flags| **flags != 0) {
                    prog.set_flags(*flags);
                }
            }
            open.load().map(|_| ())
        })
    });
    let mut why = said;
    why.extend(kernel.notes());
    why.extend(loaded.err().map(|error| error.to_string()));
    let judged = kernel.judged().into_iter().map(|j| (j.prog.clone(), j)).collect();
    Ok((judged, why.join("; ")))
}
