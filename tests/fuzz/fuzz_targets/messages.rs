//! See `cases/messages.rs`.
#![no_main]

#[path = "../cases/messages.rs"]
mod messages;
#[path = "../cases/wire.rs"]
mod wire;

libfuzzer_sys::fuzz_target!(|input: &[u8]| messages::run(input));
