//! See `cases/hpack.rs`.
#![no_main]

#[path = "../cases/hpack.rs"]
mod hpack;

libfuzzer_sys::fuzz_target!(|input: &[u8]| hpack::run(input));
