//! Writing into the file what its log says already: flags, UIDs, what the first message says of all; and
//! taking out what was expunged. Where only values of fields change, they change in their places: should
//! that be torn, the log still has them. All else is written anew, as `rewrite` has it.

use super::field::{Base, Block, HeaderReader, Kept, MAX_FIELD};
use super::file::{Layout, State};
use super::lease::Opened;
use super::line::Line;
use super::rewrite::{Rewrite, patch};
use super::stat::Stat;
use super::walk::{Span, Walked, walk};
use crate::mail::Uid;
use crate::store::Error;
use crate::store::side::disk;
use std::collections::BTreeSet;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

/// A longer header is not written anew: flags of its message stay in the log.
const MAX_HEADER: u64 = 1 << 20;

/// What is to be done with the file.
#[derive(Default)]
struct Work {
    /// Where headers begin that get another length, or other lines.
    anew: BTreeSet<u64>,
    patches: Vec<(u64, Vec<u8>)>,
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
        let gone = !layout.doomed.is_empty() || !layout.junk.is_empty();
        stale || gone || !layout.bare.is_empty() || !self.dirty.is_empty()
    }

    /// As `settle`; the caller has the lock, and the layout is that of the file.
    pub(super) fn write_back(&mut self, opened: &Arc<Opened>) -> Result<(), Error> {
        let Some(layout) = self.layout.take() else {
            return Ok(());
        };
        let file = &opened.file;
        let base = self.wanted_base();
        let due = Due::of(self, &layout, &base);
        let work = due.plan(file)?;
        let gone = layout.doomed.values().chain(&layout.junk).map(|s| s.start);
        let from = gone.chain(work.anew.first().copied()).min();
        let from = from.or(due.speaks.then_some(0));
        patch(file, &work.patches)?;
        let Some(from) = from else {
            disk::sync_data(file)?;
            self.layout = Some(Layout {
                base: Some(base),
                bare: Default::default(),
                ..layout
            });
            return self.written_back(file, work.left);
        };
        if opened.is_read() {
            self.layout = Some(layout);
            self.note_own(file)?;
            return Err(Error::Locked);
        }
        let mut rewrite = Rewrite::begin(file, &self.side, from)?;
        let staged = due.stage(&mut rewrite, &work, from);
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
            self.dirty.clear();
            self.doomed.clear();
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
        let due = Due::of(self, &layout, &base);
        let uid = kept.uid.and_then(|noted| Uid::new(noted.number));
        let mut work = Work::default();
        if let Some(old) = read_header(file, &span)? {
            match uid {
                _ if kept.pseudo => work.take(&span, &old, &pseudo_header(&old, &base)),
                Some(uid) => work.take(&span, &old, &due.header(&old, &span, uid, true)),
                None => {}
            }
        }
        if missing && !work.anew.is_empty() {
            return Ok(false);
        }
        patch(file, &work.patches)?;
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
}

impl<'a> Due<'a> {
    fn of(state: &'a State, layout: &'a Layout, base: &'a Base) -> Due<'a> {
        let first = layout.spans.iter().min_by_key(|(_, span)| span.start);
        let first = first.filter(|_| layout.pseudo.is_none());
        // Where the first message goes, the next one says it.
        let gone = layout.doomed.values().chain(&layout.junk);
        let gone = gone.map(|span| span.start).min();
        let moves = gone
            .zip(first)
            .is_some_and(|(gone, (_, first))| gone < first.start);
        Due {
            state,
            layout,
            base,
            stale: layout.base.as_ref() != Some(base),
            first: first.map(|(uid, _)| *uid),
            moves,
            speaks: layout.spans.is_empty() && layout.pseudo.is_none() && state.speaks_empty(),
        }
    }

    fn has(&self, uid: Option<Uid>) -> bool {
        let Some(uid) = uid else {
            return self.stale;
        };
        let own = self.first == Some(uid) && (self.stale || self.moves);
        own || self.layout.bare.contains(&uid) || self.state.dirty.contains_key(&uid)
    }

    /// All messages in the order of the file; without a UID: the first, if it is none.
    fn spans(&self) -> Vec<(Option<Uid>, Span)> {
        let pseudo = self.layout.pseudo.iter().map(|span| (None, *span));
        let spans = self.layout.spans.iter();
        let spans = spans.map(|(uid, span)| (Some(*uid), *span));
        let mut all: Vec<(Option<Uid>, Span)> = pseudo.chain(spans).collect();
        all.sort_unstable_by_key(|(_, span)| span.start);
        all
    }

    /// The header that a message is to have.
    fn renewed(&self, old: &[u8], span: &Span, uid: Option<Uid>) -> Vec<u8> {
        match uid {
            None => pseudo_header(old, self.base),
            Some(uid) => self.header(old, span, uid, self.first == Some(uid)),
        }
    }

    fn plan(&self, file: &File) -> Result<Work, Error> {
        let mut work = Work::default();
        for (uid, span) in self.spans().into_iter().filter(|(uid, _)| self.has(*uid)) {
            match read_header(file, &span)? {
                Some(old) => work.take(&span, &old, &self.renewed(&old, &span, uid)),
                None => work.left = true,
            }
        }
        Ok(work)
    }

    fn header(&self, old: &[u8], span: &Span, uid: Uid, first: bool) -> Vec<u8> {
        let (lines, kept) = shown_lines(old);
        let dirty = self.state.dirty.get(&uid);
        let (flags, keywords) = match dirty {
            Some((flags, letters)) => {
                let mut keywords = self.state.named(*letters);
                keywords.extend(self.state.named_beyond(uid));
                (*flags, keywords)
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
        with_fields(&lines, &block.encode(), old)
    }

    /// Says what the file is to be from there on; returns where its messages are then.
    fn stage(&self, rewrite: &mut Rewrite<'_>, work: &Work, from: u64) -> Result<Layout, Error> {
        let mut new = Layout::default();
        if self.speaks {
            new.pseudo = Some(self.stage_pseudo(rewrite)?);
        }
        for (uid, span) in self.spans() {
            let moved = match span.start < from {
                true => span,
                false => self.stage_one(rewrite, work, &span, uid)?,
            };
            match uid {
                Some(uid) => drop(new.spans.insert(uid, moved)),
                None => new.pseudo = Some(moved),
            }
        }
        Ok(new)
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
        work: &Work,
        span: &Span,
        uid: Option<Uid>,
    ) -> Result<Span, Error> {
        let start = rewrite.position();
        let anew = work.anew.contains(&span.start);
        let old = match anew {
            true => read_header(rewrite.file(), span)?,
            false => None,
        };
        match old {
            Some(old) => rewrite.put(&self.renewed(&old, span, uid))?,
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

impl Work {
    /// Takes a header that is to change.
    fn take(&mut self, span: &Span, old: &[u8], new: &[u8]) {
        let line_ends = |text: &[u8]| memchr::memchr_iter(b'\n', text).collect::<Vec<_>>();
        if new.len() != old.len() || line_ends(new) != line_ends(old) {
            self.anew.insert(span.start);
            return;
        }
        let differs = |(a, b): (&u8, &u8)| a != b;
        let mut pairs = new.iter().zip(old);
        if let Some(start) = pairs.clone().position(differs) {
            let end = pairs.rposition(differs).map_or(start, |last| last + 1);
            let bytes = new.get(start..end).unwrap_or_default();
            self.patches
                .push((span.start + start as u64, bytes.to_vec()));
        }
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
