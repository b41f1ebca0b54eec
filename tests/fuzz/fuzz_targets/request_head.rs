//! See `cases/request_head.rs`.
#![no_main]

#[path = "../cases/request_head.rs"]
mod request_head;

libfuzzer_sys::fuzz_target!(|input: &[u8]| request_head::run(input));
