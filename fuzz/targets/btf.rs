//! BTF and BTF.ext sections.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| sextant_fuzz::target::btf(data));
