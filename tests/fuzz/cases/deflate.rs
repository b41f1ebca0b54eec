//! The deflate library behind its module: whatever a client sends, inflating comes to an end, and
//! whatever is compressed comes back.
//!
//! The first bytes of the input choose; what follows is data.

use aerys::internals::{Deflater, Inflater};

/// What a message ends in that is not sent (RFC 7692 section 7.2.1).
const TAIL_LEN: usize = 4;

pub(crate) fn run(input: &[u8]) {
    let &[choice, settings, size, ref data @ ..] = input else {
        return;
    };
    if choice % 2 == 0 {
        inflate(data, usize::from(settings) + 1, usize::from(size) + 1);
    } else {
        round_trip(data, settings, usize::from(size) * 16 + 1);
    }
}

/// Inflates garbage in pieces of `piece_len` bytes, with so little room, behind a window that is the
/// first part of it.
fn inflate(data: &[u8], piece_len: usize, room: usize) {
    let (window, data) = data.split_at(data.len() / 4);
    let mut inflater = Inflater::new();
    inflater.restart(window);
    let mut output = vec![0; room];
    for piece in data.chunks(piece_len) {
        let mut piece = piece;
        loop {
            let Ok(step) = inflater.inflate(piece, &mut output) else {
                return;
            };
            assert!(step.consumed <= piece.len() && step.produced <= room);
            piece = &piece[step.consumed..];
            if step.ended {
                inflater.restart(window);
            } else if step.produced < room {
                assert!(piece.is_empty(), "room for more, and input is left");
            }
            if piece.is_empty() && step.produced < room {
                break;
            }
        }
    }
    let _ = inflater.finish();
}

/// Compresses messages of `message_len` bytes, of which each is the begin of `data` at another
/// place, and inflates them.
fn round_trip(data: &[u8], settings: u8, message_len: usize) {
    let (window_bits, level, takeover) = (8 + settings % 8, 1 + settings / 8 % 9, settings >= 128);
    let mut deflater = Deflater::new(window_bits, level);
    let mut inflater = Inflater::new();
    let mut window = Vec::new();
    for message in data.chunks(message_len).take(50) {
        if !takeover {
            deflater.restart();
            window.clear();
        }
        let mut output = vec![0; message.len() + TAIL_LEN];
        let pieces = message.chunks(message_len / 3 + 1);
        let Some(len) = deflater.compress(pieces, &mut output, message.len()) else {
            // It has begun anew.
            window.clear();
            continue;
        };
        assert!(len < message.len());
        inflater.restart(&window);
        let mut came_back = vec![0; message.len() + 1];
        let step = inflater.inflate(&output[..len], &mut came_back);
        let step = step.expect("what was compressed is deflate");
        assert!(step.consumed == len && !step.ended);
        assert!(came_back[..step.produced] == *message);
        inflater.finish().expect("it is whole");
        window.extend_from_slice(message);
        window.drain(..window.len().saturating_sub(1 << window_bits));
    }
}
