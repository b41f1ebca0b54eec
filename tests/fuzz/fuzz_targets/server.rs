//! See `cases/server.rs`.
#![no_main]

#[path = "../cases/hpack.rs"]
mod hpack;
#[path = "../cases/http2_output.rs"]
mod http2_output;
#[path = "../cases/server.rs"]
mod server;
#[path = "../cases/wire.rs"]
mod wire;

libfuzzer_sys::fuzz_target!(|input: &[u8]| server::run(input));
