//! HTTP/2 by prior knowledge, as HTTP/1.1 sees it begin (RFC 9113 section 3.3).

/// What the preface of an HTTP/2 client has in front of its last line (RFC 9113 section 3.4), made
/// to be taken for the head of a request.
pub(super) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\n";

/// How much of the [preface](PREFACE) is there.
pub(super) enum Preface {
    Whole,
    /// All that came may be the begin of it, and of a request as well.
    Begun,
}

/// Whether `bytes`, the first of a connection, are those of the preface.
pub(super) fn preface(bytes: &[u8]) -> Option<Preface> {
    if !cfg!(feature = "http2") {
        return None;
    }
    if bytes.starts_with(PREFACE) {
        return Some(Preface::Whole);
    }
    PREFACE.starts_with(bytes).then_some(Preface::Begun)
}
