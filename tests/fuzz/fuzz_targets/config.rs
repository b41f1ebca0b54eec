//! See `cases/config.rs`.
#![no_main]

#[path = "../../../src/cli/mod.rs"]
mod cli;
#[path = "../cases/config.rs"]
mod config;

libfuzzer_sys::fuzz_target!(|input: &[u8]| config::run(input));
