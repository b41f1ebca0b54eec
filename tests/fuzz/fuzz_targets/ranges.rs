//! See `cases/ranges.rs`.
#![no_main]

#[path = "../cases/ranges.rs"]
mod ranges;
#[path = "../cases/wire.rs"]
mod wire;

libfuzzer_sys::fuzz_target!(|input: &[u8]| ranges::run(input));
