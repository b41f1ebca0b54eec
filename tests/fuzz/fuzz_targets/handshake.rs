//! See `cases/handshake.rs`.
#![no_main]

#[path = "../../../benches/support/echo.rs"]
mod echo;
#[path = "../cases/handshake.rs"]
mod handshake;
#[path = "../cases/request_head.rs"]
mod request_head;
#[path = "../cases/wire.rs"]
mod wire;

libfuzzer_sys::fuzz_target!(|input: &[u8]| handshake::run(input));
