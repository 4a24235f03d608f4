//! Zstandard (RFC 8878).

use super::method::damaged;
use ruzstd::decoding::errors::{FrameDecoderError, ReadFrameHeaderError};
use ruzstd::decoding::{BlockDecodingStrategy, FrameDecoder};
use ruzstd::encoding::{CompressionLevel, FrameCompressor};
use std::io::{self, BufRead, BufReader, Read, Write};

pub(super) const MAGIC: &[u8] = b"\x28\xb5\x2f\xfd";
/// The largest window: what level 19 asks for, and RFC 8878 recommends to support. What is
/// larger needs more memory than small machines have.
const MAX_WINDOW: u64 = 8 << 20;

/// What a file of one or more frames has.
pub(super) struct Reader {
    from: BufReader<Box<dyn Read + Send>>,
    decoder: FrameDecoder,
    /// Within a frame.
    begun: bool,
    /// One frame was whole.
    any: bool,
    failed: bool,
}

impl Reader {
    pub(super) fn new(from: Box<dyn Read + Send>) -> Reader {
        let mut decoder = FrameDecoder::new();
        decoder.set_max_window_size(MAX_WINDOW);
        Reader {
            from: BufReader::new(from),
            decoder,
            begun: false,
            any: false,
            failed: false,
        }
    }

    fn next(&mut self, out: &mut [u8]) -> io::Result<usize> {
        loop {
            if !self.begun {
                if self.from.fill_buf()?.is_empty() && self.any {
                    return Ok(0);
                }
                match self.decoder.init(&mut self.from) {
                    Err(FrameDecoderError::ReadFrameHeaderError(
                        ReadFrameHeaderError::SkipFrame { length, .. },
                    )) => {
                        let skipped = self.from.by_ref().take(length.into());
                        io::copy(&mut { skipped }, &mut io::sink())?;
                        self.any = true;
                        continue;
                    }
                    begun => begun.map_err(|_| damaged())?,
                }
                self.begun = true;
            }
            if self.decoder.can_collect() > 0 {
                return self.decoder.read(out);
            }
            if self.decoder.is_finished() {
                let decoder = &self.decoder;
                if let Some(told) = decoder.get_checksum_from_data()
                    && decoder.get_calculated_checksum() != Some(told)
                {
                    return Err(damaged());
                }
                (self.begun, self.any) = (false, true);
                continue;
            }
            let one = BlockDecodingStrategy::UptoBlocks(1);
            let decoded = self.decoder.decode_blocks(&mut self.from, one);
            decoded.map_err(|_| damaged())?;
        }
    }
}

impl Read for Reader {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if out.is_empty() {
            return Ok(0);
        }
        if self.failed {
            return Err(damaged());
        }
        let read = self.next(out);
        self.failed = read.is_err();
        read
    }
}

/// Keeps an error, which the compressor takes for a reason to panic.
struct Kept<T> {
    inner: T,
    error: Option<io::Error>,
}

impl<T: Read> Read for Kept<T> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        loop {
            match self.inner.read(out) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    self.error = Some(error);
                    return Ok(0);
                }
                read => return read,
            }
        }
    }
}

impl<T: Write> Write for Kept<T> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.error.is_none() {
            self.error = self.inner.write_all(bytes).err();
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Writes one frame.
pub(super) fn compress(from: &mut dyn Read, to: &mut dyn Write) -> io::Result<()> {
    let kept = |error| Err(error);
    let mut source = Kept {
        inner: from,
        error: None,
    };
    let mut drain = Kept {
        inner: to,
        error: None,
    };
    let mut compressor = FrameCompressor::new(CompressionLevel::Fastest);
    compressor.set_source(&mut source);
    compressor.set_drain(&mut drain);
    compressor.compress();
    drop(compressor);
    source.error.or(drain.error).map_or(Ok(()), kept)
}
