//! See `cases/frames.rs`.
#![no_main]

#[path = "../cases/frames.rs"]
mod frames;

libfuzzer_sys::fuzz_target!(|input: &[u8]| frames::run(input));
