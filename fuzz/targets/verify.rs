//! Programs for the verifier and both engines.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| sextant_fuzz::target::verify(data));
