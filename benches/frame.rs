//! What does a frame header cost, decoded from a full read buffer and encoded for a reply? It must
//! be small change beside the system call that brought the bytes (about a microsecond).
//!
//! Decided: decoding stays a plain pass over the bytes, with all rules checked on the way.

use std::hint::black_box;

use aerys::internals::{Opcode, decode_header, encode_header};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};

const BUFFER_BYTES: usize = 64 * 1024;

/// A read buffer full of masked binary frames with `payload_len` bytes each.
fn buffer_of_frames(payload_len: usize) -> Vec<u8> {
    let mut frame = encode_header(true, Opcode::Binary, payload_len as u64).to_vec();
    frame[1] |= 0x80;
    frame.extend([1, 2, 3, 4]);
    frame.resize(frame.len() + payload_len, 0);
    frame.repeat(BUFFER_BYTES / frame.len())
}

fn decode(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("frame/decode_64_kib");
    for payload_len in [0, 20, 125, 1024] {
        let buffer = buffer_of_frames(payload_len);
        let header_len = decode_header(&buffer, false).unwrap().unwrap().1;
        let frame_count = buffer.len() / (header_len + payload_len);
        group.throughput(Throughput::Elements(frame_count as u64));
        group.bench_function(format!("payload of {payload_len} bytes"), |bencher| {
            bencher.iter(|| {
                let mut rest = black_box(&buffer[..]);
                while let Ok(Some((header, header_len))) = decode_header(rest, false) {
                    let header = black_box(header);
                    let payload_len = usize::try_from(header.payload_len).unwrap();
                    rest = &rest[header_len + payload_len..];
                }
                assert!(rest.is_empty());
            });
        });
    }
}

fn encode(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("frame/encode");
    for payload_len in [20, 1024, 100_000] {
        let mut output = Vec::with_capacity(16);
        group.bench_function(format!("payload of {payload_len} bytes"), |bencher| {
            bencher.iter(|| {
                output.clear();
                let header = encode_header(true, Opcode::Text, black_box(payload_len));
                output.extend_from_slice(&header);
                black_box(&output);
            });
        });
    }
}

criterion_group!(benches, decode, encode);
criterion_main!(benches);
