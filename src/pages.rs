//! The code on pages compiles, and runs where it does not say `no_run`. A test in `tests/docs.rs` fails
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
    compression: "docs/compression.md",
    hosts: "docs/hosts.md",
    http2: "docs/http2.md",
    middleware: "docs/middleware.md",
    static_files: "docs/static-files.md",
    tls: "docs/tls.md",
}
