//! Bytes of a section, as they go to a client.

use super::Error;
use crate::codec::crlf::{ToCrlf, virtual_octets};
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};

/// Bytes of a section, with CRLF line ends, read piece by piece.
pub(crate) struct Content {
    source: Source,
    octets: u64,
    /// Octets still to be left out, and then still to be given.
    skip: u64,
    remaining: u64,
}

enum Source {
    Memory {
        bytes: Vec<u8>,
        at: usize,
    },
    File {
        file: File,
        raw_left: u64,
        crlf: ToCrlf,
        ready: Vec<u8>,
        at: usize,
    },
}

const PIECE: usize = 32 * 1024;

impl Content {
    pub(super) fn memory(bytes: Vec<u8>) -> Content {
        let octets = bytes.len() as u64;
        Content {
            source: Source::Memory { bytes, at: 0 },
            octets,
            skip: 0,
            remaining: octets,
        }
    }

    /// Raw bytes `start` to `end` of a file, turned to CRLF. They are read once to count them.
    pub(super) fn file(mut file: File, start: u64, end: u64) -> Result<Content, Error> {
        let octets = count(&mut file, start, end).map_err(io_fault)?;
        file.seek(SeekFrom::Start(start)).map_err(io_fault)?;
        let source = Source::File {
            file,
            raw_left: end.saturating_sub(start),
            crlf: ToCrlf::default(),
            ready: Vec::new(),
            at: 0,
        };
        Ok(Content {
            source,
            octets,
            skip: 0,
            remaining: octets,
        })
    }

    /// Leaves out the first `start` octets and all after `count` more.
    pub(crate) fn partial(&mut self, start: u64, count: u64) {
        self.skip = start.min(self.octets);
        self.remaining = (self.octets - self.skip).min(count);
    }

    /// Octets that `read` will still give.
    pub(crate) fn remaining(&self) -> u64 {
        self.remaining
    }

    /// Appends up to `at_most` octets to `out`; returns how many, 0 only at the end. Always gives
    /// exactly as many as `remaining` promised: a file that became shorter is filled up with spaces and logged.
    pub(crate) fn read(&mut self, out: &mut Vec<u8>, at_most: usize) -> Result<usize, Error> {
        let mut given = 0;
        while given < at_most && self.remaining > 0 {
            let piece = self.source.piece()?;
            if piece == 0 {
                log::error!("a message became shorter while it was read");
                let fill = usize::try_from(self.remaining)
                    .unwrap_or(usize::MAX)
                    .min(at_most - given);
                out.resize(out.len() + fill, b' ');
                self.remaining -= fill as u64;
                return Ok(given + fill);
            }
            let skipped = usize::try_from(self.skip).unwrap_or(usize::MAX).min(piece);
            self.source.take(skipped, None);
            self.skip -= skipped as u64;
            let wanted = usize::try_from(self.remaining).unwrap_or(usize::MAX);
            let taken = (piece - skipped).min(at_most - given).min(wanted);
            self.source.take(taken, Some(out));
            self.remaining -= taken as u64;
            given += taken;
        }
        Ok(given)
    }
}

impl Source {
    /// Octets that can be taken now; 0 at the end.
    fn piece(&mut self) -> Result<usize, Error> {
        match self {
            Source::Memory { bytes, at } => Ok(bytes.len() - *at),
            Source::File {
                file,
                raw_left,
                crlf,
                ready,
                at,
            } => {
                if *at == ready.len() && *raw_left > 0 {
                    let mut raw = Vec::with_capacity(PIECE);
                    file.take((*raw_left).min(PIECE as u64))
                        .read_to_end(&mut raw)
                        .map_err(io_fault)?;
                    *raw_left = if raw.is_empty() {
                        0
                    } else {
                        *raw_left - raw.len() as u64
                    };
                    ready.clear();
                    *at = 0;
                    crlf.decode(&raw, ready);
                }
                Ok(ready.len() - *at)
            }
        }
    }

    fn take(&mut self, count: usize, out: Option<&mut Vec<u8>>) {
        let (bytes, at) = match self {
            Source::Memory { bytes, at } => (bytes, at),
            Source::File { ready, at, .. } => (ready, at),
        };
        if let Some(out) = out {
            put_literal(bytes.get(*at..*at + count).unwrap_or_default(), out);
        }
        *at += count;
    }
}

/// Appends octets of a literal: NUL, which may not be in one (RFC 3501 section 9: `CHAR8`), as 0x80,
/// as Dovecot has it.
pub(crate) fn put_literal(bytes: &[u8], out: &mut Vec<u8>) {
    let start = out.len();
    out.extend_from_slice(bytes);
    let mut rest = out.get_mut(start..).unwrap_or_default();
    while let Some(at) = memchr::memchr(0, rest) {
        let (_, from_nul) = rest.split_at_mut(at);
        if let Some((nul, after)) = from_nul.split_first_mut() {
            *nul = 0x80;
            rest = after;
        } else {
            return;
        }
    }
}

fn count(file: &mut File, start: u64, end: u64) -> std::io::Result<u64> {
    file.seek(SeekFrom::Start(start))?;
    let mut buffer = vec![0; PIECE];
    let (mut left, mut octets, mut after_cr) = (end.saturating_sub(start), 0, false);
    while left > 0 {
        let room = usize::try_from(left).unwrap_or(PIECE).min(PIECE);
        let got = file.read(buffer.get_mut(..room).unwrap_or_default())?;
        let piece = buffer.get(..got).unwrap_or_default();
        let Some(last) = piece.last() else { break };
        octets += virtual_octets(piece, after_cr);
        after_cr = *last == b'\r';
        left -= got as u64;
    }
    Ok(octets)
}

fn io_fault(error: std::io::Error) -> Error {
    log::error!("reading a message: {error}");
    Error::Fault
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn partials_of_both_sources() {
        let raw = "line\nnext\r\nlast\n".repeat(5000);
        let wire = raw.replace("\r\n", "\n").replace('\n', "\r\n");
        for (start, count) in [
            (0, u64::MAX),
            (5, 3),
            (4, 1),
            (70_000, 9000),
            (wire.len() as u64, 1),
            (u64::MAX, 1),
        ] {
            let mut file = tempfile::tempfile().unwrap();
            file.write_all(raw.as_bytes()).unwrap();
            let from_file = Content::file(file, 0, raw.len() as u64).unwrap();
            for mut content in [from_file, Content::memory(wire.as_bytes().to_vec())] {
                assert_eq!(content.remaining(), wire.len() as u64);
                content.partial(start, count);
                let mut out = Vec::new();
                while content.read(&mut out, 1000).unwrap() > 0 {}
                let from = (start as usize).min(wire.len());
                let to = from.saturating_add(count as usize).min(wire.len());
                assert_eq!(out, &wire.as_bytes()[from..to], "{start} {count}");
            }
        }
    }

    #[test]
    fn nul_is_in_no_literal() {
        // NULs went out in literals, which are CHAR8.
        for (raw, wire) in [
            (&b""[..], &b""[..]),
            (b"a\0b", b"a\x80b"),
            (b"\0\0x\0", b"\x80\x80x\x80"),
        ] {
            let mut out = b"\0".to_vec();
            let mut content = Content::memory(raw.to_vec());
            while content.read(&mut out, 2).unwrap() > 0 {}
            assert_eq!(out, [b"\0", wire].concat());
        }
    }

    #[test]
    fn a_file_that_shrinks_is_filled_up() {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(b"0123456789").unwrap();
        let mut content = Content::file(file.try_clone().unwrap(), 0, 10).unwrap();
        file.set_len(4).unwrap();
        let mut out = Vec::new();
        while content.read(&mut out, 3).unwrap() > 0 {}
        assert_eq!(out, b"0123      ");
    }
}
