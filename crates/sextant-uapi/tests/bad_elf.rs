//! Files that are no schedulers: a clear error each, never a crash.

use std::rc::Rc;

use sextant_abi::types::TaskStruct;
use sextant_bpf::vmlinux::Vmlinux;
use sextant_uapi::elf::ElfError;
use sextant_uapi::{LoadError, OpenOptions, open};
use sextant_vm::{Vm, VmConfig};

const SIMPLE: &[u8] = include_bytes!("../../../schedulers/built/simple.bpf.o");

/// How many objects with one wrong bit are tried.
const FLIPS: usize = 400;

fn vm() -> Rc<Vm> {
    let config = VmConfig { nr_cpus: 2, task_size: TaskStruct::SIZE, ..VmConfig::default() };
    Rc::new(Vm::new(config).unwrap())
}

fn refuse(bytes: &[u8]) -> LoadError {
    let vmlinux = Rc::new(Vmlinux::build(&|_| true));
    let options = OpenOptions { name: "bad".into(), ops: None, nr_cpus: 2, vmlinux };
    match open(bytes, &options) {
        Ok(_) => panic!("opened"),
        Err(error) => error,
    }
}

fn elf_error(bytes: &[u8]) -> ElfError {
    match refuse(bytes) {
        LoadError::Elf(error) => error,
        other => panic!("{other}"),
    }
}

fn patched(at: usize, with: &[u8]) -> Vec<u8> {
    let mut bytes = SIMPLE.to_vec();
    bytes[at..at + with.len()].copy_from_slice(with);
    bytes
}

#[test]
fn not_an_elf() {
    assert_eq!(elf_error(b""), ElfError::Empty);
    assert!(elf_error(b"hello, world, this is text").to_string().contains("it starts with \"hell\""));
    assert!(matches!(elf_error(b"\x7fELF"), ElfError::Truncated { .. }));
}

#[test]
fn another_kind_of_elf() {
    assert_eq!(elf_error(&patched(4, &[1])), ElfError::Class { bits: 32 });
    assert_eq!(elf_error(&patched(5, &[2])), ElfError::BigEndian);
    assert!(
        matches!(elf_error(&patched(18, &[62, 0])), ElfError::Machine { machine } if machine == "x86-64")
    );
    assert!(matches!(elf_error(&patched(16, &[2, 0])), ElfError::NotRelocatable { .. }));
    let own = std::fs::read(std::env::current_exe().unwrap()).unwrap();
    assert!(matches!(elf_error(&own), ElfError::Machine { .. }));
}

#[test]
fn truncated_at_every_section_boundary() {
    let word = |at: usize| u64::from_le_bytes(SIMPLE[at..at + 8].try_into().unwrap()) as usize;
    let (table, count) = (word(40), u16::from_le_bytes([SIMPLE[60], SIMPLE[61]]) as usize);
    let mut cuts = vec![1, 4, 16, 63, 64, table, SIMPLE.len() - 1];
    for i in 0..count {
        let header = table + i * 64;
        let (start, size) = (word(header + 24), word(header + 32));
        cuts.extend([start, start + 1, (start + size).saturating_sub(1), start + size]);
        cuts.push(header);
    }
    for cut in cuts.into_iter().filter(|&cut| cut > 0 && cut < SIMPLE.len()) {
        let error = refuse(&SIMPLE[..cut]);
        assert!(matches!(error, LoadError::Elf(_)), "cut at {cut}: {error}");
    }
}

#[test]
fn a_section_table_beyond_the_end() {
    let error = elf_error(&patched(40, &u64::MAX.to_le_bytes()));
    assert!(matches!(error, ElfError::Truncated { .. }), "{error}");
    let error = elf_error(&patched(60, &[0xff, 0xff]));
    assert!(matches!(error, ElfError::Truncated { .. }), "{error}");
    let error = elf_error(&patched(40, &0u64.to_le_bytes()));
    assert!(matches!(error, ElfError::Damaged { .. }), "{error}");
}

#[test]
fn a_byte_flipped_anywhere_is_no_crash() {
    let vmlinux = Rc::new(Vmlinux::build(&|_| true));
    let options = OpenOptions { name: "flip".into(), ops: None, nr_cpus: 2, vmlinux };
    let mut seed = 0x9e37_79b9_7f4a_7c15u64;
    for _ in 0..FLIPS {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        let mut bytes = SIMPLE.to_vec();
        let at = seed as usize % bytes.len();
        bytes[at] ^= 1 << (seed >> 60 & 7);
        if let Ok(opened) = open(&bytes, &options) {
            let _ = opened.load(vm(), Vec::new());
        }
    }
}

#[test]
fn no_struct_ops() {
    // The section's name is changed where it is stored.
    let name = b".struct_ops.link";
    let at = SIMPLE.windows(name.len()).position(|w| w == name).unwrap();
    let mut bytes = SIMPLE.to_vec();
    let mut from = at;
    while let Some(i) = bytes[from..].windows(name.len()).position(|w| w == name) {
        bytes[from + i..from + i + 3].copy_from_slice(b".zz");
        from += i + name.len();
    }
    let error = elf_error(&bytes);
    assert!(matches!(&error, ElfError::NoStructOps { sections } if sections.contains("license")), "{error}");
}
