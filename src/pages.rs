//! The code on pages compiles, and runs where it does not say `no_run`. A test in `tests/book.rs` fails
//! for a page that has code and is not here.

macro_rules! pages {
    ($($name:ident: $page:literal,)*) => {
        $(
            #[doc = include_str!(concat!("../", $page))]
            mod $name {}
        )*
    };
}

pages! {
    readme: "README.md",
    authentication: "docs/authentication.md",
    close_codes: "docs/close-codes.md",
    compression: "docs/compression.md",
    hosts: "docs/hosts.md",
    http2: "docs/http2.md",
    logging: "docs/logging.md",
    metrics: "docs/metrics.md",
    middleware: "docs/middleware.md",
    rooms: "docs/rooms.md",
    single_thread: "docs/single-thread.md",
    static_files: "docs/static-files.md",
    tls: "docs/tls.md",
    tutorial_handshake: "docs/tutorial-handshake.md",
    tutorial_push: "docs/tutorial-push.md",
    tutorial_start: "docs/tutorial-start.md",
}
