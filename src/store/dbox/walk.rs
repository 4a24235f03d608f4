//! What is in a file of messages, from its beginning on.

use super::framing::{
    FileHeader, MAX_FILE_HEADER, MAX_METADATA, MESSAGE_HEADER, Metadata, body_octets,
};
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

/// Octets of metadata read at once.
const PIECE: usize = 512;

/// A message in a file.
#[derive(Debug)]
pub(super) struct Framed {
    /// Where its header begins, and what comes behind its metadata.
    pub(super) start: u64,
    pub(super) end: u64,
    /// Where its body begins, and octets of that.
    pub(super) body: u64,
    pub(super) octets: u64,
    pub(super) metadata: Metadata,
}

/// Calls `each` with every message until it says false. Returns where the last one ends: less than the
/// length of the file if what is behind it is no message, and 0 if the file is none of this kind.
pub(super) fn walk(
    file: &File,
    each: &mut dyn FnMut(&Framed) -> io::Result<bool>,
) -> io::Result<u64> {
    let length = file.metadata()?.len();
    let Some(header) = FileHeader::parse(&piece(file, 0, MAX_FILE_HEADER, length)?) else {
        return Ok(0);
    };
    let mut at = header.octets as u64;
    while let Some(framed) = message(file, at, header.message_header, length)? {
        at = framed.end;
        if !each(&framed)? {
            break;
        }
    }
    Ok(at)
}

/// The message whose header begins there, in a file of this kind; `None` if there is none, or only a part
/// of one.
pub(super) fn message_at(file: &File, start: u64) -> io::Result<Option<Framed>> {
    let length = file.metadata()?.len();
    match FileHeader::parse(&piece(file, 0, MAX_FILE_HEADER, length)?) {
        Some(header) => message(file, start, header.message_header, length),
        None => Ok(None),
    }
}

/// The message whose header begins there; `None` if there is none, or only a part of one.
fn message(file: &File, start: u64, header: usize, length: u64) -> io::Result<Option<Framed>> {
    let bytes = piece(file, start, header, length)?;
    let body = start.saturating_add(header as u64);
    let Some(octets) = body_octets(&bytes).filter(|o| body.saturating_add(*o) < length) else {
        return Ok(None);
    };
    let mut count = PIECE;
    loop {
        let bytes = piece(file, body + octets, count, length)?;
        if let Some((metadata, consumed)) = Metadata::parse(&bytes) {
            return Ok(Some(Framed {
                start,
                body,
                octets,
                end: body + octets + consumed as u64,
                metadata,
            }));
        }
        if bytes.len() < count || count >= MAX_METADATA {
            return Ok(None);
        }
        count *= 4;
    }
}

/// Octets from there on, fewer at the end of the file.
fn piece(file: &File, at: u64, count: usize, length: u64) -> io::Result<Vec<u8>> {
    let left = usize::try_from(length.saturating_sub(at)).unwrap_or(usize::MAX);
    let mut bytes = vec![0; count.min(left)];
    file.read_exact_at(&mut bytes, at)?;
    Ok(bytes)
}

/// Octets of the body of the message that begins there; `None` if there is none.
pub(super) fn octets_at(file: &File, at: u64) -> io::Result<Option<u64>> {
    let mut header = [0; MESSAGE_HEADER];
    match file.read_exact_at(&mut header, at) {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(None),
        Err(error) => Err(error),
        Ok(()) => Ok(body_octets(&header)),
    }
}
