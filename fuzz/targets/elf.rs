//! Object files, libbpf behind the check.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| sextant_fuzz::target::elf(data));
