//! The small cases that the fuzz targets begin with, without a fuzzer.

#[cfg(feature = "self-signed")]
#[path = "../benches/support/anybody.rs"]
mod anybody;
#[path = "fuzz/cases/chunked.rs"]
mod chunked;
#[path = "fuzz/cases/deflate.rs"]
mod deflate;
#[path = "../benches/support/echo.rs"]
mod echo;
#[path = "fuzz/cases/frames.rs"]
mod frames;
#[path = "fuzz/cases/handshake.rs"]
mod handshake;
#[cfg(feature = "http2")]
#[path = "fuzz/cases/hpack.rs"]
mod hpack;
#[cfg(feature = "http2")]
#[path = "fuzz/cases/http2.rs"]
mod http2;
#[cfg(feature = "http2")]
#[path = "fuzz/cases/http2_output.rs"]
mod http2_output;
#[path = "fuzz/cases/messages.rs"]
mod messages;
#[path = "fuzz/cases/proxies.rs"]
mod proxies;
#[path = "fuzz/cases/ranges.rs"]
mod ranges;
#[path = "fuzz/cases/request_head.rs"]
mod request_head;
#[path = "fuzz/cases/router.rs"]
mod router;
#[cfg(feature = "http2")]
#[path = "fuzz/cases/server.rs"]
mod server;
#[cfg(feature = "self-signed")]
#[path = "fuzz/cases/tls_records.rs"]
mod tls_records;
#[path = "fuzz/cases/wire.rs"]
mod wire;

/// Runs every file of `tests/fuzz/corpus/NAME`.
fn replay(name: &str, run: fn(&[u8])) {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let files = std::fs::read_dir(root.join("tests/fuzz/corpus").join(name)).expect("a corpus");
    let mut count = 0;
    for file in files {
        let path = file.expect("the corpus is readable").path();
        println!("{}", path.display());
        run(&std::fs::read(path).expect("the corpus is readable"));
        count += 1;
    }
    assert!(count > 5, "{count} cases");
}

#[test]
fn bodies_in_chunks_have_one_reading() {
    replay("chunked", chunked::run);
}

#[test]
fn deflate_comes_to_an_end_and_comes_back() {
    replay("deflate", deflate::run);
}

#[test]
fn frame_headers_have_one_form() {
    replay("frames", frames::run);
}

#[test]
fn no_handshake_is_accepted_that_is_none() {
    replay("handshake", handshake::run);
}

#[cfg(feature = "http2")]
#[test]
fn field_blocks_are_what_the_rfc_says() {
    replay("hpack", hpack::run);
}

#[cfg(feature = "http2")]
#[test]
fn streams_are_the_same_in_any_pieces() {
    replay("http2", http2::run);
}

#[test]
fn messages_are_those_of_a_reader_that_has_all_bytes() {
    replay("messages", messages::run);
}

#[test]
fn nobody_but_a_trusted_proxy_is_believed() {
    replay("proxies", proxies::run);
}

#[test]
fn no_part_of_a_file_is_another_than_was_asked_for() {
    replay("ranges", ranges::run);
}

#[test]
fn request_heads_have_one_reading() {
    replay("request_head", request_head::run);
}

#[test]
fn paths_are_found_as_their_patterns_say() {
    replay("router", router::run);
}

#[cfg(feature = "http2")]
#[test]
fn servers_answer_alike_in_any_pieces() {
    replay("server", server::run);
}

#[cfg(feature = "self-signed")]
#[test]
fn nothing_of_a_peer_of_tls_panics_or_goes_round() {
    replay("tls_records", tls_records::run);
}
