//! See `cases/deflate.rs`. A panic of the deflate library, which its module would end, ends the run
//! here: the fuzzer's own hook is asked first.
#![no_main]

#[path = "../cases/deflate.rs"]
mod deflate;

libfuzzer_sys::fuzz_target!(|input: &[u8]| deflate::run(input));
