//! DEFLATE as a stream that never ends (RFC 1951, RFC 4978 section 3).
//!
//! A compressor holds some 300 KB. Each thread has one, whoever needs it: every burst ends with a full
//! flush, after which the next one needs nothing of what came before. A stream that is read keeps
//! its window, as the peer may refer back to it at any time.

use miniz_oxide::deflate::core::{CompressorOxide, create_comp_flags_from_zip_params};
use miniz_oxide::deflate::stream::deflate;
use miniz_oxide::inflate::stream::{InflateState, inflate};
use miniz_oxide::{DataFormat, MZError, MZFlush, MZStatus};
use std::cell::RefCell;

/// Octets written at a time.
const PIECE: usize = 16 * 1024;
/// The fastest: this is for links, not for archives.
const LEVEL: i32 = 1;
/// Without header and checksum, window of 32 KiB.
const RAW: i32 = -15;

thread_local! {
    static COMPRESSOR: RefCell<Option<Box<CompressorOxide>>> = const { RefCell::new(None) };
}

/// Appends `bytes` compressed to `out`, complete up to the last octet.
pub(crate) fn compress(bytes: &[u8], out: &mut Vec<u8>) {
    if bytes.is_empty() {
        return;
    }
    COMPRESSOR.with(|compressor| {
        let mut compressor = compressor.borrow_mut();
        let compressor = compressor.get_or_insert_with(|| {
            let flags = create_comp_flags_from_zip_params(LEVEL, RAW, 0);
            Box::new(CompressorOxide::new(flags))
        });
        compressor.reset();
        let mut rest = bytes;
        loop {
            let start = out.len();
            out.resize(start + PIECE, 0);
            let room = out.get_mut(start..).unwrap_or_default();
            let done = deflate(compressor, rest, room, MZFlush::Full);
            out.truncate(start + done.bytes_written);
            rest = rest.get(done.bytes_consumed..).unwrap_or_default();
            // A flush is complete when it leaves room.
            if done.bytes_written < PIECE && rest.is_empty() || done.status.is_err() {
                return;
            }
        }
    });
}

/// The stream is no DEFLATE, or has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Broken;

/// A stream that is read.
pub(crate) struct Inflate {
    state: Box<InflateState>,
    /// Octets that came and are not undone yet.
    packed: Vec<u8>,
    used: usize,
    /// The last piece was full: there may be more.
    more: bool,
}

impl Inflate {
    pub(crate) fn new() -> Inflate {
        Inflate {
            state: InflateState::new_boxed(DataFormat::Raw),
            packed: Vec::new(),
            used: 0,
            more: false,
        }
    }

    /// Takes octets from the peer. Undo all that came before first, so that memory is bounded.
    pub(crate) fn input(&mut self, bytes: &[u8]) {
        self.packed.extend_from_slice(bytes);
    }

    /// Appends the next octets to `out`, a bounded number of them however well they were compressed;
    /// none if more has to come first.
    pub(crate) fn next(&mut self, out: &mut Vec<u8>) -> Result<(), Broken> {
        let rest = self.packed.get(self.used..).unwrap_or_default();
        if rest.is_empty() && !self.more {
            return Ok(());
        }
        let start = out.len();
        out.resize(start + PIECE, 0);
        let room = out.get_mut(start..).unwrap_or_default();
        let done = inflate(&mut self.state, rest, room, MZFlush::None);
        out.truncate(start + done.bytes_written);
        self.used += done.bytes_consumed;
        self.more = done.bytes_written == PIECE;
        if self.used >= self.packed.len() {
            (self.packed, self.used) = (Vec::new(), 0);
        }
        match done.status {
            Ok(MZStatus::Ok) | Err(MZError::Buf) => Ok(()),
            _ => Err(Broken),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn undone(stream: &[u8], pieces: usize) -> Result<Vec<u8>, Broken> {
        let (mut inflate, mut out) = (Inflate::new(), Vec::new());
        for piece in stream.chunks(pieces) {
            inflate.input(piece);
            loop {
                let before = out.len();
                inflate.next(&mut out)?;
                if out.len() == before {
                    break;
                }
            }
            assert!(inflate.packed.is_empty(), "nothing waits");
        }
        Ok(out)
    }

    fn text(length: usize) -> Vec<u8> {
        let mut state = 3u64;
        (0..length)
            .map(|at| {
                state = state
                    .wrapping_mul(6364136223846793005)
                    .wrapping_add(1442695040888963407);
                if at % 7 < 4 {
                    b'a' + (at % 11) as u8
                } else {
                    (state >> 56) as u8
                }
            })
            .collect()
    }

    #[test]
    fn bursts_are_complete_each_by_itself() {
        let bursts = [
            text(1),
            text(17),
            text(40_000),
            vec![b'x'; 3_000_000],
            text(PIECE),
        ];
        let (mut inflate, mut packed) = (Inflate::new(), Vec::new());
        let mut all = Vec::new();
        for burst in &bursts {
            let start = packed.len();
            compress(burst, &mut packed);
            inflate.input(&packed[start..]);
            let mut out = Vec::new();
            while out.len() < burst.len() {
                let before = out.len();
                inflate.next(&mut out).unwrap();
                assert!((1..=PIECE).contains(&(out.len() - before)));
            }
            assert!(out == *burst);
            all.extend_from_slice(burst);
        }
        for pieces in [1, 7, 1000, packed.len()] {
            assert!(undone(&packed, pieces).unwrap() == all, "{pieces}");
        }
        let mut nothing = Vec::new();
        compress(b"", &mut nothing);
        assert!(nothing.is_empty());
        assert!(packed.len() < all.len() / 20);
    }

    #[test]
    fn what_is_no_deflate_is_refused() {
        assert_eq!(undone(b"\x07\xff\xff", 3), Err(Broken));
        assert_eq!(undone(b"a NOOP\r\na NOOP\r\n", 1), Err(Broken));
        // A last block ends the stream.
        assert_eq!(undone(&[1, 1, 0, 254, 255, b'x'], 100), Err(Broken));
        let mut state = 1u64;
        for _ in 0..2000 {
            let noise: Vec<u8> = (0..40)
                .map(|_| {
                    state = state
                        .wrapping_mul(6364136223846793005)
                        .wrapping_add(1442695040888963407);
                    (state >> 56) as u8
                })
                .collect();
            // It may be understood or not; it must end.
            undone(&noise, 9).ok();
        }
    }

    #[test]
    fn a_waiting_stream_is_small() {
        let inflate = Inflate::new();
        let octets = size_of::<Inflate>() + size_of_val(&*inflate.state);
        assert!(octets <= 48 * 1024, "{octets}");
    }
}
