//! Scripts of bpf(2) calls.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| sextant_fuzz::target::bpf(data));
