//! See `cases/http2.rs`.
#![no_main]

#[path = "../../../benches/support/echo.rs"]
mod echo;
#[path = "../cases/hpack.rs"]
mod hpack;
#[path = "../cases/http2.rs"]
mod http2;
#[path = "../cases/http2_output.rs"]
mod http2_output;
#[path = "../cases/wire.rs"]
mod wire;

libfuzzer_sys::fuzz_target!(|input: &[u8]| http2::run(input));
