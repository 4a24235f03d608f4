//! A connection after COMPRESS DEFLATE (RFC 4978), as clients have it.

use super::Stream;
use miniz_oxide::deflate::core::{CompressorOxide, create_comp_flags_from_zip_params};
use miniz_oxide::deflate::stream::deflate;
use miniz_oxide::inflate::stream::{InflateState, inflate};
use miniz_oxide::{DataFormat, MZFlush};
use std::io::{self, Read, Write};

/// Octets at a time.
const PIECE: usize = 4096;
/// Without header and checksum.
const RAW: i32 = -15;

pub(crate) struct Deflated {
    inner: Box<dyn Stream>,
    inflate: Box<InflateState>,
    deflate: Box<CompressorOxide>,
    /// What came and is not undone.
    packed: Vec<u8>,
}

impl Deflated {
    pub(crate) fn over(inner: Box<dyn Stream>) -> Deflated {
        let flags = create_comp_flags_from_zip_params(6, RAW, 0);
        Deflated {
            inner,
            inflate: InflateState::new_boxed(DataFormat::Raw),
            deflate: Box::new(CompressorOxide::new(flags)),
            packed: Vec::new(),
        }
    }
}

impl Read for Deflated {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        loop {
            let done = inflate(&mut self.inflate, &self.packed, out, MZFlush::None);
            self.packed.drain(..done.bytes_consumed);
            if done.bytes_written > 0 {
                return Ok(done.bytes_written);
            }
            let mut piece = [0; PIECE];
            let count = self.inner.read(&mut piece)?;
            if count == 0 {
                return Ok(0);
            }
            self.packed.extend_from_slice(&piece[..count]);
        }
    }
}

impl Write for Deflated {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut rest = bytes;
        loop {
            let mut piece = [0; PIECE];
            let done = deflate(&mut self.deflate, rest, &mut piece, MZFlush::Sync);
            self.inner.write_all(&piece[..done.bytes_written])?;
            rest = &rest[done.bytes_consumed..];
            // A flush is complete when it leaves room.
            if rest.is_empty() && done.bytes_written < PIECE {
                return Ok(bytes.len());
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}
