//! A message while it is written: in memory, or if it is large in a file without a name. Fields that the
//! file of messages keeps for itself are left out.

use super::digest::{Digest, Known};
use super::field::{HeaderReader, MAX_FIELD};
use super::from;
use super::root::Root;
use crate::codec::crlf::{ToCrlf, ToLf};
use crate::mail::Guid;
use crate::store::side::disk;
use crate::store::{Body, Draft, Error};
use std::any::Any;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

/// Messages up to this many octets stay in memory until they are filed.
const BUFFER_OCTETS: usize = 64 * 1024;

pub(super) struct MboxDraft {
    root: Arc<Root>,
    encoder: ToLf,
    header: Option<Header>,
    digest: Digest,
    buffer: Vec<u8>,
    /// Where the octets are once they are more than the buffer takes; those in the buffer follow.
    spool: Option<File>,
    spooled: u64,
    finished: Option<Known>,
    /// Octets up to the end of the header; `None`: it has no empty line behind it.
    header_octets: Option<u64>,
    pub(super) sender: Option<String>,
    pub(super) received: i64,
    /// When it was saved, if that was before.
    pub(super) since: Option<i64>,
}

/// A header that is not at its end.
#[derive(Default)]
struct Header {
    reader: HeaderReader,
    /// The beginning of a line.
    line: Vec<u8>,
    /// What follows belongs to a line that was begun, and is shown or not.
    within: Option<bool>,
    octets: u64,
    began: bool,
}

impl MboxDraft {
    pub(super) fn new(root: &Arc<Root>) -> MboxDraft {
        MboxDraft {
            root: root.clone(),
            encoder: ToLf::default(),
            header: Some(Header::default()),
            digest: Digest::default(),
            buffer: Vec::new(),
            spool: None,
            spooled: 0,
            finished: None,
            header_octets: None,
            sender: None,
            received: crate::sys::clock::now_seconds(),
            since: None,
        }
    }

    /// Takes text with LF.
    fn take(&mut self, text: &[u8]) -> Result<(), Error> {
        let mut rest = text;
        while let Some(mut header) = self.header.take() {
            let Some(at) = memchr::memchr(b'\n', rest) else {
                header.part(rest, self)?;
                self.header = Some(header);
                return Ok(());
            };
            let (line, after) = rest.split_at(at + 1);
            rest = after;
            if !header.line_end(line, self)? {
                self.header = Some(header);
            }
        }
        self.keep(rest)
    }

    fn keep(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.digest.add(bytes);
        for piece in bytes.chunks(BUFFER_OCTETS) {
            self.buffer.extend_from_slice(piece);
            if self.buffer.len() > BUFFER_OCTETS {
                self.spool_buffer()?;
            }
        }
        Ok(())
    }

    /// Nothing comes any more.
    pub(super) fn finish(&mut self) -> Result<Known, Error> {
        if let Some(known) = self.finished {
            return Ok(known);
        }
        let mut last = Vec::new();
        self.encoder.finish(&mut last);
        self.take(&last)?;
        if let Some(mut header) = self.header.take()
            && (header.within.is_some() || !header.line.is_empty())
        {
            header.line_end(b"\n", self)?;
        }
        if self.spool.is_some() {
            self.spool_buffer()?;
        }
        let known = std::mem::take(&mut self.digest).finish(false);
        self.finished = Some(known);
        Ok(known)
    }

    fn spool_buffer(&mut self) -> Result<(), Error> {
        let spool = match &self.spool {
            Some(spool) => spool,
            None => self.spool.insert(self.root.scratchpad().file()?),
        };
        disk::write_at(spool, &self.buffer, self.spooled)?;
        self.spooled += self.buffer.len() as u64;
        self.buffer.clear();
        Ok(())
    }

    /// Octets of the body of what is finished, with CRLF if so; `None` if it has none.
    pub(super) fn body_octets(&mut self, crlf: bool) -> Result<Option<u64>, Error> {
        let known = self.finish()?;
        let Some(header) = self.header_octets else {
            return Ok(None);
        };
        let plain = known.stored - header;
        if !crlf {
            return Ok(Some(plain));
        }
        let mut added = 0;
        let mut at = 0;
        self.each(&mut |piece| {
            let skip = usize::try_from(header.saturating_sub(at)).unwrap_or(usize::MAX);
            at += piece.len() as u64;
            let body = piece.get(skip.min(piece.len())..).unwrap_or_default();
            added += memchr::memchr_iter(b'\n', body).count() as u64;
            Ok(())
        })?;
        Ok(Some(plain + added))
    }

    /// Writes it to an offset of a file, with these lines in front; returns where it ends.
    pub(super) fn copy_to(
        &self,
        file: &File,
        mut at: u64,
        lines: &str,
        crlf: bool,
    ) -> io::Result<u64> {
        let mut out = Vec::with_capacity(self.buffer.len() + lines.len());
        let mut encoder = ToCrlf::default();
        let mut put = |bytes: &[u8], out: &mut Vec<u8>| match crlf {
            true => encoder.decode(bytes, out),
            false => out.extend_from_slice(bytes),
        };
        put(lines.as_bytes(), &mut out);
        self.each(&mut |piece| {
            put(piece, &mut out);
            disk::write_at(file, &out, at)?;
            at += out.len() as u64;
            out.clear();
            Ok(())
        })?;
        Ok(at)
    }

    /// All of what is finished, in pieces.
    fn each(&self, take: &mut dyn FnMut(&[u8]) -> io::Result<()>) -> io::Result<()> {
        let Some(spool) = &self.spool else {
            return take(&self.buffer);
        };
        let mut buffer = vec![0; BUFFER_OCTETS];
        let mut at = 0;
        while at < self.spooled {
            let count = usize::try_from(self.spooled - at).unwrap_or(BUFFER_OCTETS);
            let piece = buffer
                .get_mut(..count.min(BUFFER_OCTETS))
                .unwrap_or_default();
            spool.read_exact_at(piece, at)?;
            take(piece)?;
            at += piece.len() as u64;
        }
        Ok(())
    }
}

impl Header {
    /// A line or the end of one. True if it ends the header.
    fn line_end(&mut self, line: &[u8], draft: &mut MboxDraft) -> Result<bool, Error> {
        self.part(line, draft)?;
        let over = self.within.is_none() && self.line == b"\n";
        self.decide(draft)?;
        self.within = None;
        if over {
            draft.header_octets = Some(self.octets);
        }
        Ok(over)
    }

    /// A part of a line.
    fn part(&mut self, part: &[u8], draft: &mut MboxDraft) -> Result<(), Error> {
        if let Some(shown) = self.within {
            return self.keep(part, shown, draft);
        }
        self.line.extend_from_slice(part);
        if self.line.len() >= MAX_FIELD {
            self.decide(draft)?;
        }
        Ok(())
    }

    /// Is the line shown whose beginning is known?
    fn decide(&mut self, draft: &mut MboxDraft) -> Result<(), Error> {
        if self.within.is_some() {
            return Ok(());
        }
        let line = std::mem::take(&mut self.line);
        if !std::mem::replace(&mut self.began, true) {
            draft.sender = sender(&line);
        }
        // What would begin another message there is none of its fields.
        let shown = line == b"\n" || self.reader.line(&line) && from::parse(&line).is_none();
        self.within = Some(shown);
        self.keep(&line, shown, draft)
    }

    fn keep(&mut self, bytes: &[u8], shown: bool, draft: &mut MboxDraft) -> Result<(), Error> {
        if !shown {
            return Ok(());
        }
        self.octets += bytes.len() as u64;
        draft.keep(bytes)
    }
}

/// The address in a Return-Path.
fn sender(line: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(line).ok()?;
    let (name, value) = text.split_once(':')?;
    let address = value.trim().strip_prefix('<')?.strip_suffix('>')?;
    name.eq_ignore_ascii_case("return-path")
        .then(|| address.to_owned())
}

impl Draft for MboxDraft {
    fn write(&mut self, bytes: &[u8]) -> Result<(), Error> {
        let mut text = Vec::with_capacity(bytes.len().min(BUFFER_OCTETS) + 1);
        for piece in bytes.chunks(BUFFER_OCTETS) {
            text.clear();
            self.encoder.encode(piece, &mut text);
            self.take(&text)?;
        }
        Ok(())
    }

    fn octets(&self) -> u64 {
        let known = self.finished.map(|known| known.wire);
        known.unwrap_or_else(|| self.digest.wire())
    }

    fn whole(&mut self) -> Result<Option<&[u8]>, Error> {
        self.finish()?;
        Ok(self.spool.is_none().then_some(self.buffer.as_slice()))
    }

    fn reader(&mut self) -> Result<Body, Error> {
        self.finish()?;
        Ok(match &self.spool {
            Some(spool) => Body::whole(spool.try_clone()?)?,
            None => Body::memory(self.buffer.clone()),
        })
    }

    fn date(&mut self, seconds: i64) -> Result<(), Error> {
        self.received = seconds;
        Ok(())
    }

    /// What a message is known by is made of its octets.
    fn identify(&mut self, _guid: Guid, saved: Option<i64>) -> Result<Guid, Error> {
        self.since = saved;
        Ok(self.finish()?.guid)
    }

    fn as_any(&mut self) -> &mut dyn Any {
        self
    }
}
