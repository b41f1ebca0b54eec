//! The content coding gzip (RFC 9110 section 8.4.1.3, RFC 1952), made at once of a whole body, and
//! for which bodies that pays.
//!
//! Brotli and zstd are not made here, but served if somebody made them before: what there is in Rust
//! for the one is five times the code of this server, for the other no match for gzip yet.

use std::panic::catch_unwind;

use zlib_rs::{Deflate, DeflateConfig, DeflateFlush, Status};

/// The window of 32 KiB, and 16 more for the head and tail of gzip.
const WINDOW_BITS: i32 = 15 + 16;

/// `bytes` compressed with `level`, 1 (fast) to 9 (small); `None` if that is not shorter.
///
/// It takes its time: 8 ms for a MiB of text at level 1, 17 ms at level 6.
pub(crate) fn compressed(bytes: &[u8], level: u8) -> Option<Vec<u8>> {
    // As with messages: the library works on raw pointers, and a panic of it ends here.
    let done = catch_unwind(|| compress(bytes, level));
    done.unwrap_or_else(|_| {
        log::error!("the deflate library panicked: a body goes out as it is");
        None
    })
}

fn compress(bytes: &[u8], level: u8) -> Option<Vec<u8>> {
    let mut deflate = Deflate::new_with_config(DeflateConfig {
        level: level.clamp(1, 9).into(),
        window_bits: WINDOW_BITS,
        ..DeflateConfig::default()
    });
    let mut output = vec![0; bytes.len().checked_sub(1)?];
    let status = deflate.compress(bytes, &mut output, DeflateFlush::Finish);
    // Anything else: there was not enough room.
    if status != Ok(Status::StreamEnd) {
        return None;
    }
    output.truncate(usize::try_from(deflate.total_out()).ok()?);
    output.shrink_to_fit();
    Some(output)
}

/// Whether what has this `Content-Type` usually becomes much shorter.
pub(crate) fn is_compressible(content_type: &str) -> bool {
    let essence = content_type.split(';').next().unwrap_or_default().trim();
    let essence = essence.to_ascii_lowercase();
    // What comes event by event must not wait for its end.
    if essence == "text/event-stream" {
        return false;
    }
    essence.starts_with("text/")
        || essence.ends_with("+json")
        || essence.ends_with("+xml")
        || matches!(
            &*essence,
            "application/json"
                | "application/javascript"
                | "application/ecmascript"
                | "application/x-javascript"
                | "application/xml"
                | "application/xml-dtd"
                | "application/wasm"
                | "application/x-ndjson"
                | "application/yaml"
                | "application/toml"
                | "application/sql"
                | "application/rtf"
                | "application/postscript"
                | "application/vnd.ms-fontobject"
                | "font/ttf"
                | "font/otf"
                | "image/bmp"
                | "image/x-icon"
                | "image/vnd.microsoft.icon"
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    /// With another library than the one that compressed.
    fn inflated(gzip: &[u8]) -> Vec<u8> {
        // The head of RFC 1952 section 2.3 without any extra, and behind the stream its CRC and
        // length.
        assert_eq!(gzip[..4], [0x1F, 0x8B, 8, 0]);
        let (stream, tail) = gzip[10..].split_at(gzip.len() - 18);
        let bytes = miniz_oxide::inflate::decompress_to_vec(stream).unwrap();
        let len = u32::try_from(bytes.len()).unwrap();
        assert_eq!(tail[4..], len.to_le_bytes());
        bytes
    }

    #[test]
    fn what_was_compressed_comes_back_at_every_level() {
        let text: Vec<u8> = (0..20_000_u32)
            .flat_map(|n| format!("line {} of text\n", n % 977).into_bytes())
            .collect();
        for level in 1..=9 {
            let gzip = compressed(&text, level).unwrap();
            assert!(gzip.len() < text.len() / 5, "{} at {level}", gzip.len());
            assert!(inflated(&gzip) == text, "level {level}");
        }
    }

    #[test]
    fn the_checksum_is_that_of_the_bytes() {
        // RFC 1952 section 8, and its usual check value.
        let text = b"123456789".repeat(20);
        let gzip = compressed(&text, 6).unwrap();
        let crc = gzip[gzip.len() - 8..gzip.len() - 4].try_into().unwrap();
        assert_eq!(u32::from_le_bytes(crc), crc32(&text));
        assert_eq!(crc32(b"123456789"), 0xCBF4_3926);
    }

    /// Bit by bit, as the RFC defines it.
    fn crc32(bytes: &[u8]) -> u32 {
        !bytes.iter().fold(!0, |crc, byte| {
            (0..8).fold(crc ^ u32::from(*byte), |crc, _| {
                (crc >> 1) ^ (0xEDB8_8320 * (crc & 1))
            })
        })
    }

    #[test]
    fn what_does_not_become_shorter_stays_as_it_is() {
        let mut state = 1_u32;
        let noise: Vec<u8> = std::iter::repeat_with(|| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            state.to_le_bytes()[3]
        })
        .take(5000)
        .collect();
        for bytes in [&noise[..], b"", b"a", b"short"] {
            assert_eq!(compressed(bytes, 6), None);
        }
    }

    #[test]
    fn text_in_any_guise_is_compressible_and_what_is_compressed_is_not() {
        for yes in [
            "text/html; charset=utf-8",
            "TEXT/CSS",
            "application/json",
            "application/ld+json",
            "application/manifest+json",
            "application/problem+json; x=y",
            "image/svg+xml",
            "application/xml",
            "application/wasm",
        ] {
            assert!(is_compressible(yes), "{yes}");
        }
        for no in [
            "",
            "image/png",
            "application/gzip",
            "font/woff2",
            "application/octet-stream",
            "text/event-stream",
            "multipart/byteranges; boundary=a",
            "application/zip",
        ] {
            assert!(!is_compressible(no), "{no}");
        }
    }
}
