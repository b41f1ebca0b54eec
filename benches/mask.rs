//! How many bytes a second does unmasking take, from a chat line to a full read buffer?
//!
//! Decided: chunks of eight bytes in safe code, which the compiler vectorises; no `unsafe`.

use std::hint::black_box;

use aerys::internals::unmask;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};

fn unmasking(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("mask/unmask");
    for len in [20, 125, 1024, 16 * 1024, 64 * 1024] {
        // Behind a header of six bytes, as payloads lie in the read buffer: not aligned.
        let mut buffer = vec![0x55_u8; 6 + len];
        group.throughput(Throughput::Bytes(len as u64));
        group.bench_function(format!("{len} bytes"), |bencher| {
            bencher.iter(|| unmask(black_box(&mut buffer[6..]), black_box([1, 2, 3, 4]), 0));
        });
    }
}

criterion_group!(benches, unmasking);
criterion_main!(benches);
