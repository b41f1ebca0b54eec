//! See `cases/tls_records.rs`.
#![no_main]

#[path = "../../../benches/support/anybody.rs"]
mod anybody;
#[path = "../../../benches/support/echo.rs"]
mod echo;
#[path = "../cases/tls_records.rs"]
mod tls_records;
#[path = "../cases/wire.rs"]
mod wire;

libfuzzer_sys::fuzz_target!(|input: &[u8]| tls_records::run(input));
