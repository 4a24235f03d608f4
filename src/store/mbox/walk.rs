//! What is in a file of messages, from its beginning on. A message begins with a line of `from` and ends
//! before the next one or with the file; a line end before that is not its own. Where Content-Length
//! leads to such an end, what is before it is body, whatever it looks like.

use super::digest::{Digest, Known};
use super::field::{HeaderReader, Kept, MAX_FIELD};
use super::from;
use crate::store::Error;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

const BUFFER: usize = 64 * 1024;
/// Parts that fields which are not shown may leave of a message.
const MAX_PARTS: usize = 4096;

/// Where a message is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Span {
    /// Where its first line begins.
    pub(super) start: u64,
    /// Where its header ends, with the empty line.
    pub(super) body: u64,
    /// Where its body ends.
    pub(super) end: u64,
    /// Where the next message begins, or the file ends.
    pub(super) next: u64,
}

/// A message in the file.
#[derive(Debug)]
pub(super) struct Walked {
    pub(super) span: Span,
    pub(super) kept: Kept,
    pub(super) known: Known,
    /// INTERNALDATE.
    pub(super) received: i64,
    /// It has NULs, or is shorter than it says.
    pub(super) doubtful: bool,
    /// It is none, but what is left of one that was written by half: it has no first line.
    pub(super) torn: bool,
}

/// Octets of a file in order, with so many at once that a line's beginning is whole.
struct Window<'a> {
    file: &'a File,
    length: u64,
    /// Where `buffer` begins in the file, and what of it is read.
    start: u64,
    buffer: Vec<u8>,
    at: usize,
}

impl<'a> Window<'a> {
    /// Of a file from `start` on; it ends at `length`.
    fn new(file: &'a File, start: u64, length: u64) -> Window<'a> {
        Window {
            file,
            length,
            start,
            buffer: Vec::new(),
            at: 0,
        }
    }

    fn position(&self) -> u64 {
        self.start + self.at as u64
    }

    fn seek(&mut self, to: u64) {
        match usize::try_from(to.saturating_sub(self.start)) {
            Ok(at) if to >= self.start && at <= self.buffer.len() => self.at = at,
            _ => {
                self.start = to;
                self.buffer.clear();
                self.at = 0;
            }
        }
    }

    /// What comes, at least so many octets unless the file ends.
    fn ahead(&mut self, count: usize) -> io::Result<&[u8]> {
        if self.buffer.len() - self.at < count
            && self.start + (self.buffer.len() as u64) < self.length
        {
            self.buffer.drain(..self.at);
            self.start += self.at as u64;
            self.at = 0;
            let have = self.buffer.len();
            let left = self.length - self.start - have as u64;
            let left = usize::try_from(left).unwrap_or(usize::MAX);
            let more = left.min(BUFFER.saturating_sub(have).max(count - have));
            self.buffer.resize(have + more, 0);
            let place = self.start + have as u64;
            let read = self.buffer.get_mut(have..).unwrap_or_default();
            self.file.read_exact_at(read, place)?;
        }
        Ok(self.buffer.get(self.at..).unwrap_or_default())
    }

    /// The next line or a long line's next piece, at most so many octets; nothing at the end. The second
    /// value: it ends a line.
    fn piece(&mut self, count: usize) -> io::Result<(&[u8], bool)> {
        let ahead = self.ahead(count)?;
        let ahead = ahead.get(..count).unwrap_or(ahead);
        let (length, ends) = match memchr::memchr(b'\n', ahead) {
            Some(at) => (at + 1, true),
            None => (ahead.len(), false),
        };
        let from = self.at;
        self.at += length;
        Ok((self.buffer.get(from..self.at).unwrap_or_default(), ends))
    }

    /// The date of the line that comes, if a message begins with it.
    fn begins(&mut self) -> io::Result<Option<i64>> {
        let ahead = self.ahead(from::MAX_LINE)?;
        if !ahead.starts_with(from::PREFIX) {
            return Ok(None);
        }
        let end = memchr::memchr(b'\n', ahead).unwrap_or(ahead.len());
        Ok(from::parse(ahead.get(..end).unwrap_or_default()))
    }

    /// True if what comes is a whole line.
    fn has_line(&mut self) -> io::Result<bool> {
        let ahead = self.ahead(MAX_FIELD)?;
        Ok(ahead.len() >= MAX_FIELD || memchr::memchr(b'\n', ahead).is_some())
    }

    /// True if what comes is a line that was written by half: the beginning of a first line, or NULs.
    fn is_torn(&mut self) -> io::Result<bool> {
        let ahead = self.ahead(from::MAX_LINE)?;
        let end = memchr::memchr(b'\n', ahead);
        let line = ahead.get(..end.unwrap_or(ahead.len())).unwrap_or_default();
        let begun = line.iter().zip(from::PREFIX).all(|(own, from)| own == from);
        Ok(begun && end.is_none() || memchr::memchr(0, line).is_some())
    }

    /// True if a body may end here: the file does, or a message begins behind at most two line ends.
    fn ends(&mut self) -> io::Result<bool> {
        for _ in 0..3 {
            let over = self.position() == self.length || self.begins()?.is_some();
            if over || self.is_torn()? {
                return Ok(true);
            }
            let line_end = match self.ahead(2)? {
                [b'\n', ..] => 1,
                [b'\r', b'\n', ..] => 2,
                _ => return Ok(false),
            };
            self.at += line_end;
        }
        Ok(false)
    }
}

fn is_line_end(line: &[u8]) -> bool {
    matches!(line, b"\n" | b"\r\n")
}

/// Calls `each` with every message from an offset on, until it says false. Errors: `Corrupt` if no message
/// begins there.
pub(super) fn walk(
    file: &File,
    from: u64,
    each: &mut dyn FnMut(Walked) -> Result<bool, Error>,
) -> Result<(), Error> {
    let mut window = Window::new(file, from, file.metadata()?.len());
    // Some programs leave line ends where messages were.
    while let [b'\r' | b'\n', ..] = window.ahead(1)? {
        window.at += 1;
    }
    while window.position() < window.length {
        let walked = match window.begins()? {
            Some(received) => message(&mut window, received)?,
            None if window.is_torn()? => {
                let start = window.position();
                rest(&mut window, start)?
            }
            None => {
                return Err(Error::Corrupt {
                    what: "a file of messages",
                });
            }
        };
        if !each(walked)? {
            break;
        }
    }
    Ok(())
}

/// What is left of a message.
fn rest(window: &mut Window<'_>, start: u64) -> io::Result<Walked> {
    let mut doubtful = true;
    let (end, next) = body_lines(window, &mut Digest::default(), &mut doubtful)?;
    Ok(Walked {
        span: Span {
            start,
            body: start,
            end,
            next,
        },
        kept: Kept::default(),
        known: Digest::default().finish(false),
        received: 0,
        doubtful,
        torn: true,
    })
}

fn message(window: &mut Window<'_>, received: i64) -> io::Result<Walked> {
    let start = window.position();
    while !window.piece(MAX_FIELD)?.1 && window.position() < window.length {}
    let mut reader = HeaderReader::default();
    let mut digest = Digest::default();
    let mut doubtful = false;
    if !window.has_line()? {
        return rest(window, start);
    }
    let mut empty_line = false;
    let mut body = header(
        window,
        &mut reader,
        &mut digest,
        &mut doubtful,
        &mut empty_line,
    )?;
    // What this server writes has its length if there is an empty line behind its header.
    doubtful |= reader.kept.body_octets.is_some() && !empty_line;
    let noted = reader
        .kept
        .body_octets
        .map(|octets| body.saturating_add(octets));
    let mut exact = false;
    if let Some(end) = noted {
        let short = end > window.length;
        doubtful |= short;
        window.seek(end.min(window.length));
        exact = !short && window.ends()?;
        window.seek(body);
    }
    let noted = noted.filter(|_| exact);
    let (mut end, next) = match noted {
        Some(end) => {
            doubtful |= add(window, end, &mut digest)?;
            window.ends()?;
            (end, window.position())
        }
        None => body_lines(window, &mut digest, &mut doubtful)?,
    };
    let mut short = false;
    if noted.is_none() {
        let line_end = line_end_before(window.file, start, end, next == window.length)?;
        short = line_end > 0;
        doubtful |= !empty_line && !short;
        end -= line_end;
        body = body.min(end);
    }
    Ok(Walked {
        span: Span {
            start,
            body,
            end,
            next,
        },
        kept: reader.kept,
        known: digest.finish(short),
        received,
        doubtful,
        torn: false,
    })
}

/// Reads a header; returns where it ends.
fn header(
    window: &mut Window<'_>,
    reader: &mut HeaderReader,
    digest: &mut Digest,
    doubtful: &mut bool,
    empty_line: &mut bool,
) -> io::Result<u64> {
    let (mut begins, mut shown) = (true, true);
    loop {
        if begins && window.begins()?.is_some() {
            return Ok(window.position());
        }
        let (piece, ends) = window.piece(MAX_FIELD)?;
        if piece.is_empty() {
            return Ok(window.position());
        }
        *doubtful |= memchr::memchr(0, piece).is_some();
        let over = begins && is_line_end(piece);
        if begins {
            shown = over || reader.line(piece);
        }
        if shown {
            digest.add(piece);
        }
        begins = ends;
        *empty_line |= over;
        if over {
            return Ok(window.position());
        }
    }
}

/// Reads a body up to there; true if it has NULs.
fn add(window: &mut Window<'_>, end: u64, digest: &mut Digest) -> io::Result<bool> {
    let mut nul = false;
    while window.position() < end {
        let left = usize::try_from(end - window.position()).unwrap_or(BUFFER);
        let ahead = window.ahead(left.min(BUFFER))?;
        let piece = ahead.get(..left).unwrap_or(ahead);
        if piece.is_empty() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        digest.add(piece);
        nul |= memchr::memchr(0, piece).is_some();
        window.at += piece.len();
    }
    Ok(nul)
}

/// Reads a body up to the next message; returns where that begins, twice.
fn body_lines(
    window: &mut Window<'_>,
    digest: &mut Digest,
    doubtful: &mut bool,
) -> io::Result<(u64, u64)> {
    let mut begins = true;
    loop {
        let at = window.position();
        if begins && window.begins()?.is_some() {
            return Ok((at, at));
        }
        let (piece, ends) = window.piece(BUFFER)?;
        if piece.is_empty() {
            return Ok((at, at));
        }
        *doubtful |= memchr::memchr(0, piece).is_some();
        digest.add(piece);
        begins = ends;
    }
}

/// Octets of the line end before `end` which is not the message's own; at the end of the file only an
/// empty line is one.
fn line_end_before(file: &File, start: u64, end: u64, last: bool) -> io::Result<u64> {
    let count = (end - start).min(4);
    let mut tail = [0; 4];
    let from = 4 - usize::try_from(count).unwrap_or(4);
    let tail = tail.get_mut(from..).unwrap_or_default();
    file.read_exact_at(tail, end - count)?;
    let crlf = tail.ends_with(b"\r\n");
    Ok(match (tail.ends_with(b"\n"), crlf, last) {
        (false, ..) => 0,
        (true, true, false) => 2,
        (true, false, false) => 1,
        (true, true, true) => 2 * u64::from(tail.ends_with(b"\n\r\n")),
        (true, false, true) => u64::from(tail.ends_with(b"\n\n")),
    })
}

/// What the fields of a message say that clients do not see.
pub(super) fn kept(file: &File, span: &Span) -> io::Result<Kept> {
    let mut window = Window::new(file, span.start, span.body);
    let mut reader = HeaderReader::default();
    let mut begins = false;
    loop {
        let (piece, ends) = window.piece(MAX_FIELD)?;
        if piece.is_empty() {
            return Ok(reader.kept);
        }
        if begins {
            reader.line(piece);
        }
        begins = ends;
    }
}

/// Parts of a message that clients see, in order: where they begin, and octets. Errors: `InvalidData` if
/// there are too many.
pub(super) fn shown(file: &File, span: &Span) -> io::Result<Vec<(u64, u64)>> {
    let mut window = Window::new(file, span.start, span.body);
    while !window.piece(MAX_FIELD)?.1 && window.position() < window.length {}
    let mut reader = HeaderReader::default();
    let mut pieces: Vec<(u64, u64)> = Vec::new();
    let (mut begins, mut is_shown) = (true, true);
    loop {
        let at = window.position();
        let (piece, ends) = window.piece(MAX_FIELD)?;
        if piece.is_empty() {
            break;
        }
        if begins {
            is_shown = is_line_end(piece) || reader.line(piece);
        }
        begins = ends;
        let octets = piece.len() as u64;
        if pieces.len() > MAX_PARTS {
            return Err(io::ErrorKind::InvalidData.into());
        }
        match pieces.last_mut() {
            _ if !is_shown => {}
            Some((start, length)) if *start + *length == at => *length += octets,
            _ => pieces.push((at, octets)),
        }
    }
    let octets = span.end - span.body;
    match pieces.last_mut() {
        Some((start, length)) if *start + *length == span.body => *length += octets,
        _ if octets > 0 => pieces.push((span.body, octets)),
        _ => {}
    }
    Ok(pieces)
}
