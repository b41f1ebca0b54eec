//! See `cases/router.rs`.
#![no_main]

#[path = "../cases/router.rs"]
mod router;

libfuzzer_sys::fuzz_target!(|input: &[u8]| router::run(input));
