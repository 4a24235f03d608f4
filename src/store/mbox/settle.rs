//! Writing into the file what its log says already: flags, UIDs, what the first message says of all; and
//! taking out what was expunged. Where only values of fields change, they change in their places: should
//! that be torn, the log still has them. All else is written anew, as `rewrite` has it.

use super::field::{Base, Block, HeaderReader, Kept, MAX_FIELD};
use super::lease::Opened;
use super::line::Line;
use super::rewrite::{Rewrite, patch};
use super::rows::{Rows, part, row};
use super::spans::Arranging;
use super::stat::Stat;
use super::state::{Layout, State};
use super::walk::{Span, Walked, walk};
use crate::mail::{SystemFlags, Uid};
use crate::store::Error;
use crate::store::side::{disk, room};
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

/// A longer header is not written anew: flags of its message stay in the log.
const MAX_HEADER: u64 = 1 << 20;

/// A UID, flags and letters.
const FLAGS: usize = 4 + 1 + 4;

/// What is to be done with the file, beside what changes in its place.
#[derive(Default)]
struct Work {
    /// Where the first header begins that gets another length, or other lines.
    anew: Option<u64>,
    /// Something stays undone.
    left: bool,
}

impl State {
    /// Has the file say what the log says, if that is possible now. Errors: `Locked`, if somebody else has
    /// the lock or messages are read just now.
    pub(super) fn settle(&mut self) -> Result<(), Error> {
        self.log.flush()?;
        let Some(now) = Stat::at(&self.path)? else {
            return Ok(());
        };
        if self.seen == Some(now) && !self.is_due() {
            return self.note_seen();
        }
        let (opened, writing) = self.write()?;
        if self.layout.is_none() && !self.dirty.is_empty() | !self.doomed.is_empty() {
            self.reconcile(&opened.file)?;
        }
        if self.layout.is_some() && self.is_due() {
            self.write_back(&opened)?;
        } else if std::mem::take(&mut self.appended) && !self.settle_base(&opened)? {
            self.reconcile(&opened.file)?;
            self.write_back(&opened)?;
        }
        self.appended = false;
        drop(writing);
        self.note_seen()
    }

    /// Notes of what file the log speaks.
    pub(super) fn note_seen(&mut self) -> Result<(), Error> {
        let contents_say = |seen: &Stat| self.noted == Some((self.token, *seen));
        if let Some(seen) = self.seen.filter(|seen| !contents_say(seen)) {
            self.log.put(Line::Seen(self.token, seen))?;
            self.noted = Some((self.token, seen));
            self.log.flush()?;
        }
        Ok(())
    }

    fn is_due(&self) -> bool {
        let Some(layout) = &self.layout else {
            return self.appended || !self.dirty.is_empty() || !self.doomed.is_empty();
        };
        let empty = layout.spans.is_empty() && layout.pseudo.is_none();
        let stale = layout.base.as_ref() != Some(&self.wanted_base());
        let stale = stale && (!empty || self.speaks_empty());
        stale || layout.gone.is_some() || !layout.bare.is_empty() || !self.dirty.is_empty()
    }

    /// As `settle`; the caller has the lock, and the layout is that of the file.
    pub(super) fn write_back(&mut self, opened: &Arc<Opened>) -> Result<(), Error> {
        let Some(layout) = self.layout.take() else {
            return Ok(());
        };
        let file = &opened.file;
        let base = self.wanted_base();
        let due = Due::of(self, &layout, &base)?;
        let work = due.change_in_place(file)?;
        let from = [layout.gone, work.anew].into_iter().flatten().min();
        let from = from.or(due.speaks.then_some(0));
        let Some(from) = from else {
            drop(due);
            disk::sync_data(file)?;
            self.layout = Some(Layout {
                base: Some(base),
                bare: Default::default(),
                ..layout
            });
            return self.written_back(file, work.left);
        };
        if opened.is_read() {
            drop(due);
            self.layout = Some(layout);
            self.note_own(file)?;
            return Err(Error::Locked);
        }
        let mut rewrite = Rewrite::begin(file, &self.side, from)?;
        let staged = due.stage(&mut rewrite, from);
        drop(due);
        let layout = match staged {
            Ok(layout) => layout,
            Err(error) => {
                rewrite.forget();
                self.layout = Some(layout);
                return Err(error);
            }
        };
        // A failure from here on is mended by whoever opens the file next.
        self.broken = true;
        rewrite.finish()?;
        self.broken = false;
        self.layout = Some(Layout {
            base: Some(base),
            ..layout
        });
        self.written_back(file, work.left)
    }

    /// The log need not say it any more.
    fn written_back(&mut self, file: &File, left: bool) -> Result<(), Error> {
        self.note_own(file)?;
        if !left {
            self.log.put(Line::Clean)?;
            self.dirty = Default::default();
            self.doomed = Default::default();
        }
        self.log.flush()
    }

    /// Has the first message say which UIDs were given, where its place is not known otherwise and has room.
    /// False if it has none for a keyword: Dovecot takes those that are not named there from all messages.
    fn settle_base(&mut self, opened: &Opened) -> Result<bool, Error> {
        let file = &opened.file;
        let mut first = None;
        walk(file, 0, &mut |walked| {
            first = Some(walked);
            Ok(false)
        })?;
        let Some(Walked { span, kept, .. }) = first.filter(|first| first.kept.base.is_some())
        else {
            return Ok(true);
        };
        let (layout, base) = (Layout::default(), self.wanted_base());
        let told = kept.base.as_ref().map_or(&[][..], |base| &base.keywords);
        let missing = base.keywords.iter().any(|keyword| !told.contains(keyword));
        let due = Due::of(self, &layout, &base)?;
        let uid = kept.uid.and_then(|noted| Uid::new(noted.number));
        let mut change = None;
        if let Some(old) = read_header(file, &span)? {
            change = match uid {
                _ if kept.pseudo => Some(Change::of(&old, &pseudo_header(&old, &base))),
                Some(uid) => Some(Change::of(&old, &due.header(&old, &span, uid, true)?)),
                None => None,
            };
        }
        match change {
            Some(Change::Anew) if missing => return Ok(false),
            Some(Change::InPlace(at, bytes)) => patch(file, &[(span.start + at, bytes)])?,
            _ => {}
        }
        self.note_own(file)?;
        Ok(true)
    }
}

/// Messages of a file whose fields are not as they should be.
struct Due<'a> {
    state: &'a State,
    layout: &'a Layout,
    base: &'a Base,
    stale: bool,
    /// The message that is to say of all.
    first: Option<Uid>,
    /// It did not say it before.
    moves: bool,
    /// There is no message, and one that is none is to say it.
    speaks: bool,
    /// Flags that the file does not have and that are in the log alone.
    flags: Rows<FLAGS>,
}

impl<'a> Due<'a> {
    fn of(state: &'a State, layout: &'a Layout, base: &'a Base) -> Result<Due<'a>, Error> {
        let first = layout.spans.in_file(&state.pad)?.next()?;
        let first = first.filter(|_| layout.pseudo.is_none());
        // Where the first message goes, the next one says it.
        let moves = layout
            .gone
            .zip(first)
            .is_some_and(|(gone, (_, first))| gone < first.start);
        Ok(Due {
            state,
            layout,
            base,
            stale: layout.base.as_ref() != Some(base),
            first: first.map(|(uid, _)| uid),
            moves,
            speaks: layout.spans.is_empty() && layout.pseudo.is_none() && state.speaks_empty(),
            flags: flags(state)?,
        })
    }

    fn has(&self, uid: Option<Uid>) -> bool {
        let Some(uid) = uid else {
            return self.stale;
        };
        let own = self.first == Some(uid) && (self.stale || self.moves);
        own || self.layout.bare.contains(uid) || self.state.dirty.contains(uid)
    }

    /// Calls `each` with all messages in the order of the file; without a UID: the first, if it is none.
    fn each(
        &self,
        each: &mut dyn FnMut(Option<Uid>, Span) -> Result<(), Error>,
    ) -> Result<(), Error> {
        if let Some(span) = self.layout.pseudo {
            each(None, span)?;
        }
        let mut all = self.layout.spans.in_file(&self.state.pad)?;
        while let Some((uid, span)) = all.next()? {
            each(Some(uid), span)?;
        }
        Ok(())
    }

    /// As `each`, of those that `has` tells of, in no order.
    fn each_due(
        &self,
        each: &mut dyn FnMut(Option<Uid>, Span) -> Result<(), Error>,
    ) -> Result<(), Error> {
        if let Some(span) = self.layout.pseudo.filter(|_| self.has(None)) {
            each(None, span)?;
        }
        let mut uids = self.layout.bare.union(self.state.dirty.uids());
        if let Some(first) = self.first.filter(|first| self.has(Some(*first))) {
            uids.insert(first);
        }
        for uid in uids.iter() {
            if let Some(span) = self.layout.spans.get(uid)? {
                each(Some(uid), span)?;
            }
        }
        Ok(())
    }

    /// Flags and letters of a message that the file does not have yet.
    fn flags_of(&self, uid: Uid) -> Result<Option<(SystemFlags, u32)>, Error> {
        if !self.state.dirty.contains(uid) {
            return Ok(None);
        }
        if let Some(flags) = self.state.dirty.get(uid) {
            return Ok(Some(flags));
        }
        let row = self.flags.find(&uid.number().to_be_bytes())?;
        Ok(row.map(|row| {
            let mut rest = row.get(4..).unwrap_or_default();
            let flags = SystemFlags::from_bits(u8::from_le_bytes(part(&mut rest)));
            (flags, u32::from_le_bytes(part(&mut rest)))
        }))
    }

    /// The header that a message is to have.
    fn renewed(&self, old: &[u8], span: &Span, uid: Option<Uid>) -> Result<Vec<u8>, Error> {
        match uid {
            None => Ok(pseudo_header(old, self.base)),
            Some(uid) => self.header(old, span, uid, self.first == Some(uid)),
        }
    }

    /// Writes what has room where it is; returns what else there is to do.
    fn change_in_place(&self, file: &File) -> Result<Work, Error> {
        let mut work = Work::default();
        self.each_due(&mut |uid, span| {
            let Some(old) = read_header(file, &span)? else {
                work.left = true;
                return Ok(());
            };
            match Change::of(&old, &self.renewed(&old, &span, uid)?) {
                Change::Nothing => {}
                Change::InPlace(at, bytes) => patch(file, &[(span.start + at, bytes)])?,
                Change::Anew => {
                    let first = work.anew.map_or(span.start, |first| first.min(span.start));
                    work.anew = Some(first);
                }
            }
            Ok(())
        })?;
        Ok(work)
    }

    fn header(&self, old: &[u8], span: &Span, uid: Uid, first: bool) -> Result<Vec<u8>, Error> {
        let (lines, kept) = shown_lines(old);
        let dirty = self.flags_of(uid)?;
        let (flags, keywords) = match dirty {
            Some((flags, letters)) => {
                let mut keywords = self.state.named(letters);
                keywords.extend(self.state.named_beyond(uid));
                (flags, keywords)
            }
            None => (kept.flags, kept.keywords.iter().map(|k| &**k).collect()),
        };
        // Without an empty line there is no body, and none must seem to begin.
        let whole = lines.last().is_some_and(|line| is_line_end(line));
        let block = Block {
            base: Some(self.base).filter(|_| first),
            uid: uid.number(),
            flags,
            old: kept.old || dirty.is_some(),
            keywords: &keywords,
            body_octets: whole.then_some(span.end - span.body),
        };
        Ok(with_fields(&lines, &block.encode(), old))
    }

    /// Says what the file is to be from there on; returns where its messages are then.
    fn stage(&self, rewrite: &mut Rewrite<'_>, from: u64) -> Result<Layout, Error> {
        let mut pseudo = None;
        if self.speaks {
            pseudo = Some(self.stage_pseudo(rewrite)?);
        }
        let pad = &self.state.pad;
        let mut arranging = Arranging::like(&self.layout.spans);
        self.each(&mut |uid, span| {
            let moved = match span.start < from {
                true => span,
                false => self.stage_one(rewrite, &span, uid)?,
            };
            match uid {
                Some(uid) => arranging.push(uid, moved, pad)?,
                None => pseudo = Some(moved),
            }
            Ok(())
        })?;
        Ok(Layout {
            spans: arranging.finish(pad)?,
            pseudo,
            ..Layout::default()
        })
    }

    fn stage_pseudo(&self, rewrite: &mut Rewrite<'_>) -> Result<Span, Error> {
        let text = super::empty::pseudo(self.base);
        let header = text.find("\n\n").map_or(text.len(), |at| at + 2);
        let start = rewrite.position();
        rewrite.put(text.as_bytes())?;
        let next = rewrite.position();
        Ok(Span {
            start,
            body: start + header as u64,
            end: next - 1,
            next,
        })
    }

    fn stage_one(
        &self,
        rewrite: &mut Rewrite<'_>,
        span: &Span,
        uid: Option<Uid>,
    ) -> Result<Span, Error> {
        let start = rewrite.position();
        let old = match self.has(uid) {
            true => read_header(rewrite.file(), span)?,
            false => None,
        };
        match old {
            Some(old) => rewrite.put(&self.renewed(&old, span, uid)?)?,
            None => rewrite.copy(span.start, span.body)?,
        }
        let body = rewrite.position();
        rewrite.copy(span.body, span.next)?;
        Ok(Span {
            start,
            body,
            end: body + (span.end - span.body),
            next: rewrite.position(),
        })
    }
}

/// Flags of messages that the file does not have, if they are not all in memory.
fn flags(state: &State) -> Result<Rows<FLAGS>, Error> {
    let mut flags = Rows::new(room::to_sort());
    if state.dirty.is_told() {
        return Ok(flags);
    }
    let is_dirty = |uid| state.dirty.contains(uid);
    let (_, all) = state.log.folded_of(room::to_sort(), &is_dirty)?;
    let mut messages = all.messages()?;
    while let Some((uid, told)) = messages.next()? {
        if let Some(message) = told.message.filter(|message| message.dirty) {
            let (uid, letters) = (uid.number().to_be_bytes(), message.letters.to_le_bytes());
            flags.push(row(&[&uid, &[message.flags.bits()], &letters]), &state.pad)?;
        }
    }
    Ok(flags)
}

/// How a header is to change.
enum Change {
    Nothing,
    /// These octets, from there on in it.
    InPlace(u64, Vec<u8>),
    Anew,
}

impl Change {
    fn of(old: &[u8], new: &[u8]) -> Change {
        let line_ends = |text| memchr::memchr_iter(b'\n', text);
        if new.len() != old.len() || !line_ends(new).eq(line_ends(old)) {
            return Change::Anew;
        }
        let differs = |(a, b): (&u8, &u8)| a != b;
        let mut pairs = new.iter().zip(old);
        let Some(start) = pairs.clone().position(differs) else {
            return Change::Nothing;
        };
        let end = pairs.rposition(differs).map_or(start, |last| last + 1);
        let bytes = new.get(start..end).unwrap_or_default();
        Change::InPlace(start as u64, bytes.to_vec())
    }
}

/// `None` if it is too long to be written anew.
fn read_header(file: &File, span: &Span) -> io::Result<Option<Vec<u8>>> {
    let octets = span.body - span.start;
    if octets > MAX_HEADER {
        return Ok(None);
    }
    let mut header = vec![0; usize::try_from(octets).unwrap_or(0)];
    file.read_exact_at(&mut header, span.start)?;
    Ok(Some(header))
}

/// The lines of a header that clients see, behind its first, and what the others say.
fn shown_lines(header: &[u8]) -> (Vec<&[u8]>, Kept) {
    let mut reader = HeaderReader::default();
    let mut lines = Vec::new();
    for (at, line) in header.split_inclusive(|b| *b == b'\n').enumerate() {
        let begin = line.get(..MAX_FIELD).unwrap_or(line);
        if at == 0 || is_line_end(line) || reader.line(begin) {
            lines.push(line);
        }
    }
    (lines, reader.kept)
}

fn is_line_end(line: &[u8]) -> bool {
    matches!(line, b"\n" | b"\r\n")
}

/// A header of these lines with fields behind its first, and with its line ends.
fn with_fields(lines: &[&[u8]], fields: &str, old: &[u8]) -> Vec<u8> {
    let first = lines.first().copied().unwrap_or_default();
    let fields = match first.ends_with(b"\r\n") {
        true => fields.replace('\n', "\r\n"),
        false => fields.to_owned(),
    };
    let mut new = Vec::with_capacity(old.len() + fields.len());
    new.extend_from_slice(first);
    new.extend_from_slice(fields.as_bytes());
    let rest = lines.get(1..).unwrap_or_default();
    rest.iter().for_each(|line| new.extend_from_slice(line));
    new
}

/// The header of a first message that is none.
fn pseudo_header(old: &[u8], base: &Base) -> Vec<u8> {
    let mut new = Vec::with_capacity(old.len() + 64);
    let value = super::field::base_value(base);
    for line in old.split_inclusive(|b| *b == b'\n') {
        match super::field::named(line) {
            Some(super::field::Field::XImap) => {
                let end = if line.ends_with(b"\r\n") {
                    "\r\n"
                } else {
                    "\n"
                };
                new.extend_from_slice(format!("X-IMAP: {value}{end}").as_bytes());
            }
            _ => new.extend_from_slice(line),
        }
    }
    new
}
