//! Bytes of a section, as they go to a client.

use super::{Error, io_fault};
use crate::codec::crlf::{ToCrlf, virtual_octets};
use crate::mime::Transfer;
use crate::store::Body;
use std::io::{Read, Seek, SeekFrom};

/// Bytes of a section, with CRLF line ends, read piece by piece.
pub(crate) struct Content {
    source: Source,
    /// Octets still to be left out, and then still to be given.
    skip: u64,
    remaining: u64,
    kind: Kind,
}

/// What the octets are.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Of a literal, which has no NUL.
    Text,
    /// Decoded; with or without NUL.
    Binary { nul: bool },
}

enum Source {
    Memory {
        bytes: Vec<u8>,
        at: usize,
    },
    File {
        file: Body,
        raw_left: u64,
        crlf: ToCrlf,
        transfer: Transfer,
        ready: Vec<u8>,
        at: usize,
    },
}

/// Which octets of a section are wanted (RFC 3501 section 6.4.5: `BODY[]<start.count>`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Partial {
    /// Octets that are left out.
    pub(crate) start: u64,
    /// Octets at most.
    pub(crate) count: u64,
}

impl Partial {
    pub(crate) const ALL: Partial = Partial {
        start: 0,
        count: u64::MAX,
    };
}

/// A place in a section of a file, where reading can begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// Octets of the section before it, as they go to a client.
    octets: u64,
    /// Its raw offset in the file.
    raw: u64,
    /// The octet before it is a CR of the section.
    after_cr: bool,
}

impl Place {
    /// Where a section begins.
    pub(super) fn first(raw: u64) -> Place {
        Place {
            octets: 0,
            raw,
            after_cr: false,
        }
    }

    pub(super) fn octets(&self) -> u64 {
        self.octets
    }

    /// The place behind this piece.
    fn behind(&self, piece: &[u8]) -> Place {
        Place {
            octets: self.octets + virtual_octets(piece, self.after_cr),
            raw: self.raw + piece.len() as u64,
            after_cr: piece.last().map_or(self.after_cr, |last| *last == b'\r'),
        }
    }
}

/// What was counted of a section.
struct Measured {
    octets: u64,
    /// The last place looked at that is not behind the first octet asked for.
    first: Place,
    /// The last one not behind the end of what is asked for.
    last: Place,
}

const PIECE: usize = 32 * 1024;
/// Messages up to this size are taken into memory.
const SMALL: u64 = 64 * 1024;

/// RFC822.SIZE of a message, which is read for it.
pub(super) fn octets(mut body: Body, buffer: &mut [u8]) -> Result<u64, Error> {
    let (mut octets, mut after_cr) = (0, false);
    loop {
        let count = body.read(buffer).map_err(reading())?;
        let piece = buffer.get(..count).unwrap_or_default();
        let Some(last) = piece.last() else {
            return Ok(octets);
        };
        octets += virtual_octets(piece, after_cr);
        after_cr = *last == b'\r';
    }
}

impl Content {
    pub(super) fn memory(bytes: Vec<u8>) -> Content {
        Content {
            skip: 0,
            remaining: bytes.len() as u64,
            source: Source::Memory { bytes, at: 0 },
            kind: Kind::Text,
        }
    }

    /// A whole message.
    pub(super) fn whole(mut body: Body) -> Result<Content, Error> {
        if body.length() > SMALL {
            let (first, end) = (Place::first(0), body.length());
            return Content::file(body, first, end, Partial::ALL).map(|(content, _)| content);
        }
        let mut read = Vec::new();
        let raw = match body.in_memory() {
            Some(bytes) => bytes,
            None => {
                read.reserve_exact(usize::try_from(body.length()).unwrap_or(0) + 1);
                body.read_to_end(&mut read).map_err(reading())?;
                &read
            }
        };
        let mut bytes = Vec::new();
        ToCrlf::default().decode(raw, &mut bytes);
        Ok(Content::memory(bytes))
    }

    /// The body of a part without its transfer encoding (RFC 3516 section 4.2).
    pub(super) fn decoded(raw: &[u8], mut transfer: Transfer) -> Content {
        // Lines of a text end in CRLF also where they are encoded (RFC 3516 section 6).
        let mut lines = Vec::with_capacity(raw.len());
        ToCrlf::default().decode(raw, &mut lines);
        let mut bytes = Vec::with_capacity(lines.len());
        transfer.decode(&lines, true, &mut bytes);
        let nul = memchr::memchr(0, &bytes).is_some();
        Content {
            kind: Kind::Binary { nul },
            ..Content::memory(bytes)
        }
    }

    /// As `decoded`, of raw bytes `start` to `end` of a file. They are read once to count them.
    pub(super) fn decoded_file(
        file: Body,
        start: u64,
        end: u64,
        transfer: &dyn Fn() -> Transfer,
    ) -> Result<Content, Error> {
        let again = file.clone();
        let mut counted = Source::file(file, Place::first(start), end, transfer())?;
        let (mut octets, mut nul) = (0, false);
        loop {
            let piece = counted.piece()?;
            if piece == 0 {
                break;
            }
            octets += piece as u64;
            nul |= memchr::memchr(0, counted.ready()).is_some();
            counted.take(piece, None);
        }
        Ok(Content {
            source: Source::file(again, Place::first(start), end, transfer())?,
            skip: 0,
            remaining: octets,
            kind: Kind::Binary { nul },
        })
    }

    /// The same with its NULs, where they may be told.
    pub(super) fn with_nul(mut self) -> Content {
        self.kind = Kind::Binary { nul: true };
        self
    }

    /// True if the octets can only be told in a literal8.
    pub(crate) fn has_nul(&self) -> bool {
        self.kind == Kind::Binary { nul: true }
    }

    /// The bytes of a section of a file, which ends at the raw offset `end`, turned to CRLF: those that
    /// `partial` chooses. They are read once to count them, and nothing before `from`, a place that is not
    /// behind the first of them. Returns also the last place that is not behind their end.
    pub(super) fn file(
        mut file: Body,
        from: Place,
        end: u64,
        partial: Partial,
    ) -> Result<(Content, Place), Error> {
        let until = partial.start.saturating_add(partial.count);
        let measured = measure(&mut file, from, end, (partial.start, until)).map_err(reading())?;
        let (octets, first) = (measured.octets.min(until), measured.first);
        let source = Source::file(file, first, end, Transfer::Identity)?;
        let content = Content {
            source,
            skip: partial.start.min(octets) - first.octets,
            remaining: octets.saturating_sub(partial.start),
            kind: Kind::Text,
        };
        Ok((content, measured.last))
    }

    /// As if there were nothing else.
    pub(super) fn partial(mut self, partial: Partial) -> Content {
        self.skip = partial.start.min(self.remaining);
        self.remaining = (self.remaining - self.skip).min(partial.count);
        self
    }

    /// True if `read` touches no file.
    pub(crate) fn is_in_memory(&self) -> bool {
        matches!(self.source, Source::Memory { .. })
    }

    /// Octets that `read` will still give.
    pub(crate) fn remaining(&self) -> u64 {
        self.remaining
    }

    /// Appends up to `at_most` octets to `out`; returns how many, 0 only at the end. Errors: `Corrupt`, also
    /// where the file became shorter meanwhile, so that what `remaining` promised is not there.
    pub(crate) fn read(&mut self, out: &mut Vec<u8>, at_most: usize) -> Result<usize, Error> {
        let mut given = 0;
        while given < at_most && self.remaining > 0 {
            let piece = self.source.piece()?;
            if piece == 0 {
                log::error!("a message became shorter while it was read");
                return Err(Error::Corrupt);
            }
            let skipped = usize::try_from(self.skip).unwrap_or(usize::MAX).min(piece);
            self.source.take(skipped, None);
            self.skip -= skipped as u64;
            let wanted = usize::try_from(self.remaining).unwrap_or(usize::MAX);
            let taken = (piece - skipped).min(at_most - given).min(wanted);
            let text = self.kind == Kind::Text;
            self.source.take(taken, Some((&mut *out, text)));
            self.remaining -= taken as u64;
            given += taken;
        }
        Ok(given)
    }
}

impl Source {
    /// What a file holds from a place on to the raw offset `end`.
    fn file(mut file: Body, from: Place, end: u64, transfer: Transfer) -> Result<Source, Error> {
        file.seek(SeekFrom::Start(from.raw)).map_err(reading())?;
        Ok(Source::File {
            file,
            raw_left: end.saturating_sub(from.raw),
            crlf: ToCrlf::within(from.after_cr),
            transfer,
            ready: Vec::new(),
            at: 0,
        })
    }

    /// Octets that can be taken now; 0 at the end.
    fn piece(&mut self) -> Result<usize, Error> {
        match self {
            Source::Memory { bytes, at } => Ok(bytes.len() - *at),
            Source::File {
                file,
                raw_left,
                crlf,
                transfer,
                ready,
                at,
            } => {
                // A piece may decode to nothing.
                while *at == ready.len() && *raw_left > 0 {
                    let mut raw = Vec::with_capacity(PIECE);
                    file.take((*raw_left).min(PIECE as u64))
                        .read_to_end(&mut raw)
                        .map_err(reading())?;
                    *raw_left = if raw.is_empty() {
                        0
                    } else {
                        *raw_left - raw.len() as u64
                    };
                    ready.clear();
                    *at = 0;
                    if transfer.is_identity() {
                        crlf.decode(&raw, ready);
                    } else {
                        let mut lines = Vec::with_capacity(raw.len());
                        crlf.decode(&raw, &mut lines);
                        transfer.decode(&lines, *raw_left == 0, ready);
                    }
                }
                Ok(ready.len() - *at)
            }
        }
    }

    /// What can be taken now.
    fn ready(&self) -> &[u8] {
        let (bytes, at) = match self {
            Source::Memory { bytes, at } => (bytes, at),
            Source::File { ready, at, .. } => (ready, at),
        };
        bytes.get(*at..).unwrap_or_default()
    }

    /// Takes octets; `out` is where they go, and whether they are those of a literal.
    fn take(&mut self, count: usize, out: Option<(&mut Vec<u8>, bool)>) {
        let taken = self.ready().get(..count).unwrap_or_default();
        match out {
            Some((out, true)) => put_literal(taken, out),
            Some((out, false)) => out.extend_from_slice(taken),
            None => {}
        }
        match self {
            Source::Memory { at, .. } | Source::File { at, .. } => *at += count,
        }
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

/// Counts from a place on, until the octets up to the second of `asked` are counted or the section ends.
fn measure(file: &mut Body, from: Place, end: u64, asked: (u64, u64)) -> std::io::Result<Measured> {
    file.seek(SeekFrom::Start(from.raw))?;
    let mut buffer = vec![0; PIECE];
    let (mut here, mut first, mut last) = (from, from, from);
    while here.raw < end && here.octets < asked.1 {
        let left = usize::try_from(end - here.raw).unwrap_or(PIECE);
        let got = file.read(buffer.get_mut(..left.min(PIECE)).unwrap_or_default())?;
        if got == 0 {
            break;
        }
        here = here.behind(buffer.get(..got).unwrap_or_default());
        if here.octets <= asked.0 {
            first = here;
        }
        if here.octets <= asked.1 {
            last = here;
        }
    }
    Ok(Measured {
        octets: here.octets,
        first,
        last,
    })
}

fn reading() -> impl Fn(std::io::Error) -> Error {
    io_fault("reading a message")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;
    use std::io::Write;

    fn whole(file: File) -> Body {
        Body::whole(file).unwrap()
    }

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
            let file = tempfile::NamedTempFile::new().unwrap();
            file.as_file().write_all(raw.as_bytes()).unwrap();
            let partial = Partial { start, count };
            let (first, end) = (Place::first(0), raw.len() as u64);
            let (from_file, place) =
                Content::file(whole(file.reopen().unwrap()), first, end, partial).unwrap();
            assert!(place.octets <= start.saturating_add(count));
            // A second time from where the first one ended, if that is not too far.
            let place = if place.octets <= start { place } else { first };
            let (again, _) =
                Content::file(whole(file.reopen().unwrap()), place, end, partial).unwrap();
            let from_memory = Content::memory(wire.as_bytes().to_vec()).partial(partial);
            for mut content in [from_file, again, from_memory] {
                let mut out = Vec::new();
                while content.read(&mut out, 1000).unwrap() > 0 {}
                let from = (start as usize).min(wire.len());
                let to = from.saturating_add(count as usize).min(wire.len());
                assert!(out == wire.as_bytes()[from..to], "{start} {count}");
            }
        }
    }

    #[test]
    fn one_partial_after_the_other() {
        // Pieces end between CR and LF, and at the places where the file is read.
        let raw = "\r\n\n\rab\r\r\n".repeat(20_000);
        let wire = raw.replace("\r\n", "\n").replace('\n', "\r\n");
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(raw.as_bytes()).unwrap();
        for count in [7, 32_768, 50_001] {
            let (mut place, mut out) = (Place::first(0), Vec::new());
            loop {
                let start = out.len() as u64;
                let partial = Partial { start, count };
                let file = file.try_clone().unwrap();
                let (mut content, reached) =
                    Content::file(whole(file), place, raw.len() as u64, partial).unwrap();
                if content.remaining() == 0 {
                    break;
                }
                while content.read(&mut out, 10_000).unwrap() > 0 {}
                assert!(reached.octets <= out.len() as u64);
                place = reached;
                if count == 7 && out.len() > 1000 {
                    break;
                }
            }
            let octets = if count == 7 { out.len() } else { wire.len() };
            assert!(out == wire.as_bytes()[..octets], "{count}");
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
    fn encodings_are_undone_in_memory_and_from_files() {
        let blanks = " \n".repeat(40_000);
        let base64 = "AAEC\n".repeat(20_000);
        let decoded = [0u8, 1, 2].repeat(20_000);
        for (raw, encoding, expected) in [
            ("a\nb\r\nc", "8bit", b"a\r\nb\r\nc".to_vec()),
            (
                "a=0A=00\nsoft=\nbreak=",
                "quoted-printable",
                b"a\n\0\r\nsoftbreak=".to_vec(),
            ),
            (
                &format!("AAE{blanks}C{base64}AA"),
                "BASE64",
                [&[0, 1, 2], &decoded[..], &[0]].concat(),
            ),
        ] {
            let transfer = || Transfer::new(encoding.as_bytes()).unwrap();
            let mut file = tempfile::tempfile().unwrap();
            file.write_all(raw.as_bytes()).unwrap();
            let from_file =
                Content::decoded_file(whole(file), 0, raw.len() as u64, &transfer).unwrap();
            for content in [from_file, Content::decoded(raw.as_bytes(), transfer())] {
                assert_eq!(content.remaining(), expected.len() as u64, "{encoding}");
                assert_eq!(content.has_nul(), expected.contains(&0));
                let (start, count) = (1, 50_000);
                let mut content = content.partial(Partial { start, count });
                let mut out = Vec::new();
                while content.read(&mut out, 700).unwrap() > 0 {}
                assert!(out == expected[1..expected.len().min(50_001)], "{encoding}");
            }
        }
    }

    #[test]
    fn a_file_that_shrinks_is_a_fault() {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(b"0123456789").unwrap();
        let first = Place::first(0);
        let whole = Content::file(whole(file.try_clone().unwrap()), first, 10, Partial::ALL);
        let (mut content, _) = whole.unwrap();
        file.set_len(4).unwrap();
        let mut out = Vec::new();
        let end = loop {
            match content.read(&mut out, 3) {
                Ok(0) => break None,
                Ok(_) => {}
                Err(error) => break Some(error),
            }
        };
        assert!(matches!(end, Some(Error::Corrupt)));
        assert_eq!((out.as_slice(), content.remaining()), (&b"0123"[..], 6));
    }
}
