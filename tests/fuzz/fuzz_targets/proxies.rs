//! See `cases/proxies.rs`.
#![no_main]

#[path = "../cases/proxies.rs"]
mod proxies;

libfuzzer_sys::fuzz_target!(|input: &[u8]| proxies::run(input));
