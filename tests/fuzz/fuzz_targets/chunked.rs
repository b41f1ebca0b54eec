//! See `cases/chunked.rs`.
#![no_main]

#[path = "../cases/chunked.rs"]
mod chunked;

libfuzzer_sys::fuzz_target!(|input: &[u8]| chunked::run(input));
