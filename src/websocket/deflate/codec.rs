//! Raw deflate (RFC 1951) as RFC 7692 uses it: the one file that knows the library.
//!
//! The library has not reached 1.0 and works on raw pointers inside, so nothing of it is trusted
//! further than this: a panic of it ends here, and the state that it came from is never touched
//! again.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use zlib_rs::{Deflate, DeflateConfig, DeflateFlush, Inflate, InflateFlush, Status};

/// Least and greatest size of the LZ77 window, as the power of two that it is (RFC 7692 section
/// 7.1.2).
pub(crate) const MIN_WINDOW_BITS: u8 = 8;
pub(crate) const MAX_WINDOW_BITS: u8 = 15;

/// What a compressed message ends in that is not sent (RFC 7692 section 7.2.1): the length fields of
/// the empty stored block of a sync flush.
pub(crate) const TAIL: [u8; 4] = [0x00, 0x00, 0xFF, 0xFF];

/// An empty stored block that is the last: where a block may begin, the stream ends by it.
const END: [u8; 5] = [0x01, 0x00, 0x00, 0xFF, 0xFF];

/// What an inflater holds in memory, its window included, in bytes. Measured: it tells no size.
pub(crate) const INFLATER_BYTES: usize = 48 * 1024;

/// The library's measure for its tables, 1 to 9. With 4 a compressor takes 105 KiB less than with
/// the usual 8 and is faster to begin anew, which for a message of 1 KiB is most of the work;
/// 16 KiB come out as small, or smaller, at every level.
const MEM_LEVEL: i32 = 4;

/// The bits of the compressor's window for what was negotiated.
///
/// The library has none of 8 bits. It need not: with 9, no distance is above 2^9 - 262 = 250, so
/// what it makes is good for a window of 256 bytes.
pub(crate) const fn compressor_bits(negotiated: u8) -> u8 {
    if negotiated < 9 { 9 } else { negotiated }
}

/// Does something with the library's state, of which nothing is left if that panics.
fn guarded<T, R>(state: &mut Option<T>, act: impl FnOnce(&mut T) -> R) -> Option<R> {
    let inner = state.as_mut()?;
    let done = catch_unwind(AssertUnwindSafe(|| act(inner))).ok();
    if done.is_none() {
        log::error!("the deflate library panicked: that message is lost to it");
        // Not even dropped: who knows what state it is in.
        std::mem::forget(state.take());
    }
    done
}

/// A compressor.
pub struct Deflater {
    /// None after a panic.
    deflate: Option<Deflate>,
    config: DeflateConfig,
}

impl Deflater {
    /// A compressor of level `level`, 1 (fast) to 9 (small), for a window of `window_bits`, 8 to 15.
    #[must_use]
    pub fn new(window_bits: u8, level: u8) -> Self {
        debug_assert!((MIN_WINDOW_BITS..=MAX_WINDOW_BITS).contains(&window_bits));
        let config = DeflateConfig {
            level: level.into(),
            // Negative: without the header and checksum of zlib.
            window_bits: -i32::from(compressor_bits(window_bits)),
            mem_level: MEM_LEVEL,
            ..DeflateConfig::default()
        };
        let mut deflater = Self {
            deflate: None,
            config,
        };
        deflater.restart();
        deflater
    }

    /// Forgets all messages before: the next one refers to none of them.
    pub fn restart(&mut self) {
        if self.deflate.is_none() {
            let config = self.config;
            self.deflate = catch_unwind(|| Deflate::new_with_config(config)).ok();
        } else {
            guarded(&mut self.deflate, Deflate::reset);
        }
    }

    /// Compresses one message, given in pieces, to the front of `output`, and says to how many
    /// bytes: `None` if they would not be fewer than `most`. Then the compressor begins anew, since
    /// its window holds what nobody is sent.
    ///
    /// `output` is to be longer than `most` by [`TAIL`].
    pub fn compress<'a>(
        &mut self,
        pieces: impl Iterator<Item = &'a [u8]>,
        output: &mut [u8],
        most: usize,
    ) -> Option<usize> {
        let output = output.get_mut(..most + TAIL.len())?;
        guarded(&mut self.deflate, |deflate| {
            let len = feed_all(deflate, pieces, output);
            let message = len.and_then(|len| output[..len].strip_suffix(&TAIL));
            if message.is_none() {
                abandon(deflate);
            }
            message.map(<[u8]>::len)
        })?
    }
}

/// Forgets a message in the middle of it.
fn abandon(deflate: &mut Deflate) {
    // A reset alone leaves the block open that was begun (of level 1, in release 0.6.8), and the
    // next message would go on inside it.
    let mut discarded = [0; 4096];
    loop {
        let written = deflate.total_out();
        let flushed = deflate.compress(&[], &mut discarded, DeflateFlush::SyncFlush);
        if flushed.is_err() || deflate.total_out() - written < discarded.len() as u64 {
            break;
        }
    }
    deflate.reset();
}

/// Compresses `pieces` and what flushes them to `output`. How many bytes that is; `None` if all of
/// it is full.
fn feed_all<'a>(
    deflate: &mut Deflate,
    pieces: impl Iterator<Item = &'a [u8]>,
    output: &mut [u8],
) -> Option<usize> {
    let before = deflate.total_out();
    for piece in pieces {
        feed(deflate, piece, output, before, DeflateFlush::NoFlush)?;
    }
    feed(deflate, &[], output, before, DeflateFlush::SyncFlush)
}

/// Compresses `piece` behind what was written to `output` since `before`. How many bytes that is
/// then.
fn feed(
    deflate: &mut Deflate,
    mut piece: &[u8],
    output: &mut [u8],
    before: u64,
    flush: DeflateFlush,
) -> Option<usize> {
    let mut written = usize::try_from(deflate.total_out() - before).ok()?;
    loop {
        let read = deflate.total_in();
        deflate
            .compress(piece, output.get_mut(written..)?, flush)
            .ok()?;
        let taken = usize::try_from(deflate.total_in() - read).ok()?;
        piece = piece.get(taken..)?;
        written = usize::try_from(deflate.total_out() - before).ok()?;
        if written == output.len() {
            return None;
        }
        if piece.is_empty() {
            return Some(written);
        }
        if taken == 0 {
            debug_assert!(false, "room for output, and input is not taken");
            return None;
        }
    }
}

impl fmt::Debug for Deflater {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Deflater").finish_non_exhaustive()
    }
}

/// What a client sent is not deflate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BrokenDeflate {
    /// Bytes of the output that were written before that was found: they come first.
    pub produced: usize,
}

/// What one call of [`Inflater::inflate`] came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Inflated {
    /// Bytes of the input that were used up.
    pub consumed: usize,
    /// Bytes of the output that were written.
    pub produced: usize,
    /// A block that says that it is the last came to its end: what follows is for an inflater
    /// that was [restarted](Inflater::restart).
    pub ended: bool,
}

/// A decompressor. It takes windows of all sizes.
pub struct Inflater {
    /// None after a panic.
    inflate: Option<Inflate>,
}

impl Inflater {
    /// An inflater at the begin of a stream.
    #[must_use]
    pub fn new() -> Self {
        let mut inflater = Self { inflate: None };
        inflater.restart(&[]);
        inflater
    }

    /// Begins a new stream, which may refer to what was inflated last: `window`.
    pub fn restart(&mut self, window: &[u8]) {
        if self.inflate.is_none() {
            self.inflate = catch_unwind(|| Inflate::new(false, MAX_WINDOW_BITS)).ok();
        }
        guarded(&mut self.inflate, |inflate| {
            inflate.reset(false);
            // Of raw deflate any window is taken.
            window.is_empty() || inflate.set_dictionary(window).is_ok()
        });
    }

    /// Inflates as much of `input` as `output` has room for. If that is full, there may be more,
    /// without any input.
    ///
    /// # Errors
    ///
    /// [`BrokenDeflate`], for good.
    pub fn inflate(&mut self, input: &[u8], output: &mut [u8]) -> Result<Inflated, BrokenDeflate> {
        let inflated = guarded(&mut self.inflate, |inflate| {
            let (read, written) = (inflate.total_in(), inflate.total_out());
            let status = inflate.decompress(input, output, InflateFlush::SyncFlush);
            let len = |total: u64| usize::try_from(total).unwrap_or(0); // no longer than the slices
            let produced = len(inflate.total_out() - written);
            match status {
                Ok(status) => Ok(Inflated {
                    ended: status == Status::StreamEnd,
                    consumed: len(inflate.total_in() - read),
                    produced,
                }),
                Err(_) => Err(BrokenDeflate { produced }),
            }
        });
        inflated.unwrap_or(Err(BrokenDeflate { produced: 0 }))
    }

    /// Ends a message, all of whose bytes were inflated but for [`TAIL`], which its sender left away.
    ///
    /// # Errors
    ///
    /// [`BrokenDeflate`] if they are not all of a message: a block is cut.
    pub fn finish(&mut self) -> Result<(), BrokenDeflate> {
        // Where the tail ends a block a new one may begin. In the middle of one these bytes mean
        // something else, and do not come to an end here.
        let mut end = [0; TAIL.len() + END.len()];
        end[..TAIL.len()].copy_from_slice(&TAIL);
        end[TAIL.len()..].copy_from_slice(&END);
        let whole = Inflated {
            consumed: end.len(),
            produced: 0,
            ended: true,
        };
        if self.inflate(&end, &mut [0])? == whole {
            Ok(())
        } else {
            Err(BrokenDeflate { produced: 0 })
        }
    }
}

impl Default for Inflater {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Inflater {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inflater").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
