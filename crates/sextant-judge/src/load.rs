//! Programs of an object through libbpf to the verifier, each by itself: what is wrong with one, or with what it needs, does not reach
//! its neighbours.

use std::collections::BTreeMap;
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
use crate::bound;
use crate::scope::Beyond;

const NR_CPUS: u32 = 8;

/// A test and what became of it.
pub struct Tried {
    /// The test.
    pub test: Test,
    /// The verifier's answer, or why there is none.
    pub answer: Result<Judged, String>,
    /// What the program is bound to and is not here.
    pub unbound: Option<Beyond>,
}

/// Loads every annotated program of an object. `btfs`: the files that tests name as their kernel's BTF, by name.
///
/// # Errors
/// When the object or its BTF cannot be read.
pub fn object(bytes: &[u8], vmlinux: &Rc<Vmlinux>, btfs: &BTreeMap<String, Vec<u8>>) -> Result<Vec<Tried>> {
    let mut bytes = bytes.to_vec();
    let elf = object::File::parse(&*bytes).context("no ELF file")?;
    let section = elf.section_by_name(".BTF").context("no .BTF")?;
    let btf = Btf::parse(section.data()?).context("its BTF")?;
    let weak = undefined(&elf)?;
    let unbound = bound::unbound(&elf, &btf, &vmlinux.btf);
    drop(elf);
    for at in weak {
        // st_info: a weak symbol of no type in particular. libbpf leaves what it does not find to the verifier.
        bytes[at] = 2 << 4 | bytes[at] & 0xf;
    }
    let object = Object { bytes: &bytes, vmlinux, btfs };
    let tests = tests(&btf);
    let together = |t: &&Test| t.btf_path.is_none() && !unbound.contains_key(&t.name);
    let (mut judged, _) = object.load(&tests.iter().filter(together).collect::<Vec<_>>())?;
    let mut tried = Vec::new();
    for test in tests {
        let unbound = unbound.get(&test.name).copied();
        let answer = match judged.remove(&test.name) {
            Some(answer) => Ok(answer),
            None if unbound.is_some() => Err("not loaded".to_owned()),
            None => {
                let (mut alone, why) = object.load(&[&test])?;
                alone.remove(&test.name).ok_or(why)
            }
        };
        tried.push(Tried { test, answer, unbound });
    }
    Ok(tried)
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

/// An object, and what it is loaded with.
struct Object<'a> {
    bytes: &'a [u8],
    vmlinux: &'a Rc<Vmlinux>,
    btfs: &'a BTreeMap<String, Vec<u8>>,
}

impl Object<'_> {
    /// Loads the programs of some tests; the answers by name, and what libbpf said. All have the kernel's BTF of the first.
    fn load(&self, tests: &[&Test]) -> Result<(BTreeMap<String, Judged>, String)> {
        let kernel = Kernel::new(KernelConfig { nr_cpus: NR_CPUS, vmlinux: self.vmlinux.clone() });
        let config = VmConfig { nr_cpus: NR_CPUS, task_size: TaskStruct::SIZE, ..VmConfig::default() };
        kernel.set_vm(Rc::new(Vm::new(config)?), Vec::new());
        kernel.judge_programs();
        let btf = tests.first().and_then(|test| test.btf_path.as_deref());
        if let Some((path, bytes)) = btf.and_then(|path| self.btfs.get_key_value(path)) {
            kernel.add_file(path, bytes.clone());
        }
        let (loaded, said) = sextant_uapi::catching(|| {
            with_kernel(&kernel, || -> libbpf_rs::Result<()> {
                let mut builder = ObjectBuilder::default();
                builder.name("tests")?;
                if let Some(path) = btf {
                    builder.btf_custom_path(path)?;
                }
                let mut open = builder.open_memory(self.bytes)?;
                for mut prog in open.progs_mut() {
                    let name = prog.name().to_string_lossy().into_owned();
                    let test = tests.iter().find(|test| test.name == name);
                    prog.set_autoload(test.is_some());
                    if let Some(flags) = test.map(|test| test.flags).filter(|flags| *flags != 0) {
                        prog.set_flags(flags);
                    }
                }
                open.load().map(|_| ())
            })
        });
        let mut why = said;
        why.extend(kernel.notes());
        why.extend(loaded.err().map(|error| error.to_string()));
        // Without BTF a program's name is cut; by itself it is known all the same.
        let name = |j: &Judged| match tests {
            [test] if test.name.starts_with(&j.prog) => test.name.clone(),
            _ => j.prog.clone(),
        };
        let judged = kernel.judged().into_iter().map(|j| (name(&j), j)).collect();
        Ok((judged, why.join("; ")))
    }
}
