//! Messages as FETCH sees them, one after the other.

mod section;

use self::section::{Found, find, from_memory, is_whole};
use super::ahead::Ahead;
use super::append::blob;
use super::content::{Content, Partial, Place};
use super::host::lock;
use super::numbering::Numbering;
use super::reached::Reached;
use super::shared::Shared;
use super::{Account, Error, fault, io_fault, learn, opening_fault};
use crate::index::{Cached, Facts, Fields, FlagChunk, Kept, Keys, Name, NameChunk};
use crate::mail::{DateTime, MailboxName, ModSeq, SeqNum, SystemFlags, Uid, UidSet};
use crate::mime::{self, Section, SectionText};
use crate::store::{Blob, Body};
use std::io::{Read, Seek};
use std::sync::Arc;

/// What will be asked of each row, so that the right things are read at once.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Want {
    pub(crate) octets: bool,
    pub(crate) internal_date: bool,
    pub(crate) envelope: bool,
    pub(crate) bodystructure: bool,
    /// Header fields that the index may know (`Rows::header_fields`).
    pub(crate) header_fields: bool,
    /// Any section of the text.
    pub(crate) body: bool,
    /// Whole messages: their sizes are compared with what is known of them.
    pub(crate) whole: bool,
}

impl Want {
    /// What is asked of rows of facts.
    fn fields(&self) -> Fields {
        let wanted = [
            (self.header_fields, Fields::HEADER),
            (self.envelope, Fields::ENVELOPE),
            (self.bodystructure, Fields::BODYSTRUCTURE),
        ];
        let wanted = wanted.into_iter().filter(|(wanted, _)| *wanted);
        wanted.fold(Fields::NONE, |all, (_, field)| all.or(field))
    }

    /// True if something that is remembered of each message is asked for.
    fn needs_rows(&self) -> bool {
        self.octets || self.internal_date || self.whole || !self.fields().is_empty()
    }
}

/// Rows computed before they are written to the index.
const MAX_LEARNED: usize = 256;
/// Sections of messages up to this size are taken from memory.
const SMALL: u64 = 64 * 1024;

/// A cursor over messages. Holds no transaction and little memory between two calls of `advance`;
/// what had to be computed is written to the index in batches and when it is dropped.
pub(crate) struct Rows {
    pub(super) account: Account,
    pub(super) shared: Arc<Shared>,
    numbers: Arc<Numbering>,
    recent: Arc<UidSet>,
    pub(super) name: MailboxName,
    /// What is left: runs and the place in them.
    uids: UidSet,
    run: usize,
    next: u32,
    want: Want,
    incomplete: bool,
    chunk: Option<u32>,
    flags: FlagChunk,
    names: Option<NameChunk>,
    pub(super) ahead: Ahead,
    /// What was computed and is not in the index yet; the last may be that of the current row.
    learned: Vec<(Uid, Cached)>,
    /// How many were computed before those.
    learned_before: usize,
    previews: Vec<(Uid, String)>,
    // The current row.
    seq: SeqNum,
    uid: Uid,
    keywords: Vec<u16>,
    text: Vec<u8>,
    /// The message in memory, if it is small and was opened.
    message: Option<Arc<Vec<u8>>>,
    /// Its structure, if it was looked through.
    parsed: Option<Box<(mime::Message, Raw)>>,
    /// The header of one that is not in memory, if it was read and is small.
    header: Option<Vec<u8>>,
    /// Octets of the messages that were looked through.
    looked_through: u64,
    /// Where the last partial of a large message ended.
    pub(super) reached: Option<Box<Reached>>,
}

impl Rows {
    pub(super) fn new(
        account: Account,
        shared: Arc<Shared>,
        numbers: Arc<Numbering>,
        recent: Arc<UidSet>,
        uids: UidSet,
        want: Want,
    ) -> Rows {
        let name = lock(&shared.state).name.clone();
        let next = uids.first().map_or(0, Uid::number);
        let fields = want.fields();
        shared.note_asked(fields);
        Rows {
            account,
            shared,
            numbers,
            recent,
            name,
            uids,
            run: 0,
            next,
            want,
            incomplete: false,
            chunk: None,
            flags: FlagChunk::default(),
            names: None,
            ahead: Ahead::of(
                match fields.is_empty() {
                    true => Kept::Keys,
                    false => Kept::Facts,
                },
                fields,
            ),
            learned: Vec::new(),
            learned_before: 0,
            previews: Vec::new(),
            seq: SeqNum::MIN,
            uid: Uid::MIN,
            keywords: Vec::new(),
            text: Vec::new(),
            message: None,
            parsed: None,
            header: None,
            looked_through: 0,
            reached: None,
        }
    }

    fn next_uid(&mut self) -> Option<Uid> {
        let &(_, last) = self.uids.runs().get(self.run)?;
        let uid = Uid::new(self.next)?;
        if self.next == last {
            self.run += 1;
            self.next = self.uids.runs().get(self.run).map_or(0, |run| run.0);
        } else {
            self.next += 1;
        }
        Some(uid)
    }

    /// Goes to the next message that still exists; `false` at the end.
    pub(crate) fn advance(&mut self) -> Result<bool, Error> {
        (self.message, self.parsed, self.header) = (None, None, None);
        loop {
            let Some(uid) = self.next_uid() else {
                self.write_learned();
                return Ok(false);
            };
            let Some(seq) = self.numbers.seq(uid) else {
                continue;
            };
            let (number, slot) = (uid.number() >> 8, (uid.number() & 255) as u8);
            if self.chunk != Some(number) {
                self.load(number)?;
            }
            if !self.flags.present.has(slot) {
                self.incomplete = true;
                continue;
            }
            (self.seq, self.uid) = (seq, uid);
            self.keywords.clear();
            self.flags.keywords(slot, &mut self.keywords);
            if self.want.needs_rows() {
                let runs = self.uids.runs();
                // A run is read as a whole, lone messages one by one.
                let last = runs.get(self.run).and_then(|run| Uid::new(run.1));
                self.ahead.go_to(uid, last.unwrap_or(uid), &self.shared)?;
            }
            return Ok(true);
        }
    }

    /// Reads flags of a chunk.
    fn load(&mut self, number: u32) -> Result<(), Error> {
        let reader = self
            .shared
            .host
            .index
            .read()
            .map_err(fault("reading the index"))?;
        self.flags = reader
            .flags(self.shared.id, number)
            .map_err(fault("reading the index"))?;
        self.names = None;
        self.chunk = Some(number);
        Ok(())
    }

    /// True if a message asked for was expunged meanwhile and left out.
    pub(crate) fn incomplete(&self) -> bool {
        self.incomplete
    }

    pub(crate) fn seq(&self) -> SeqNum {
        self.seq
    }

    pub(crate) fn uid(&self) -> Uid {
        self.uid
    }

    fn slot(&self) -> u8 {
        (self.uid.number() & 255) as u8
    }

    pub(crate) fn flags(&self) -> SystemFlags {
        self.flags.system(self.slot())
    }

    /// Numbers of keywords in `View::keywords`, ascending. The view may not know the newest yet (`View::learn_keywords`).
    pub(crate) fn keywords(&self) -> &[u16] {
        &self.keywords
    }

    /// Of the row's flags as they were when its chunk was read.
    pub(crate) fn mod_seq(&self) -> ModSeq {
        self.flags.mod_seq(self.slot())
    }

    pub(crate) fn recent(&self) -> bool {
        self.recent.contains(self.uid)
    }

    /// The name that the row's file has.
    pub(super) fn name(&mut self) -> Result<&Name, Error> {
        if self.names.is_none() {
            let reading = fault("reading the index");
            let reader = self.shared.host.index.read().map_err(&reading)?;
            let number = self.uid.number() >> 8;
            self.names = Some(reader.names(self.shared.id, number).map_err(&reading)?);
        }
        let slot = self.slot();
        let name = self.names.as_ref().and_then(|names| names.find(slot));
        name.ok_or(Error::Expunged)
    }

    pub(super) fn open(&mut self) -> Result<Blob, Error> {
        let name = blob(self.name()?);
        let mut opened = self.account.0.store()?.open(&self.name, &name);
        if opened.is_err() {
            // The mailbox was renamed meanwhile, or the message was purged into another file.
            self.name = lock(&self.shared.state).name.clone();
            self.names = None;
            let name = blob(self.name()?);
            let mut store = self.account.0.store()?;
            opened = store.open(&self.name, &name);
            let knows_all = store.knows_all_files(&self.name);
            drop(store);
            self.shared.note_missed(&opened, knows_all);
        }
        let root = &self.account.0.location.root;
        opened.map_err(opening_fault(root, &self.name, self.uid))
    }

    /// What is remembered of the row, computed if nothing is.
    pub(super) fn facts(&mut self) -> Result<Facts<'_>, Error> {
        let is_own = |(uid, _): &(Uid, Cached)| *uid == self.uid;
        if !self.ahead.has_facts(self.uid) && !self.learned.last().is_some_and(is_own) {
            self.learn()?;
        }
        let learned = || self.learned.last().map(|(_, cached)| cached.facts());
        self.ahead
            .facts(self.uid)
            .or_else(learned)
            .ok_or(Error::Fault)
    }

    /// As `facts`, of what messages are found and sorted by.
    pub(super) fn keys(&mut self) -> Result<Keys<'_>, Error> {
        if self.ahead.keys(self.uid).is_none() {
            return self.facts().map(|facts| facts.keys);
        }
        self.ahead.keys(self.uid).ok_or(Error::Fault)
    }

    fn learn(&mut self) -> Result<(), Error> {
        if self.learned.len() >= MAX_LEARNED {
            self.write_learned();
        }
        let mut blob = self.open()?;
        let limits = self.shared.host.limits.mime;
        let cached = if blob.body.length() <= SMALL {
            let bytes = self.read_all(&mut blob)?;
            let cached = learn::from_bytes(&bytes, blob.internal_date, &limits);
            self.message = Some(Arc::new(bytes));
            cached
        } else {
            learn::from_body(&mut blob.body, blob.internal_date, &limits)
                .map_err(|error| self.unreadable(error))?
        };
        self.learned.push((self.uid, cached));
        Ok(())
    }

    fn read_all(&self, blob: &mut Blob) -> Result<Vec<u8>, Error> {
        let mut bytes = Vec::with_capacity(usize::try_from(blob.body.length()).unwrap_or(0) + 1);
        blob.body
            .read_to_end(&mut bytes)
            .map_err(|error| self.unreadable(error))?;
        Ok(bytes)
    }

    /// Remembers what was computed; what was expunged meanwhile is left out.
    fn write_learned(&mut self) {
        let learned = std::mem::take(&mut self.learned);
        let previews = std::mem::take(&mut self.previews);
        if learned.is_empty() && previews.is_empty() {
            return;
        }
        self.learned_before += learned.len();
        self.shared.host.note_bulk(self.learned_before);
        let (id, bounds) = (self.shared.id, self.shared.host.limits.bounds());
        // It is computed anew if it cannot be written.
        let kept = self.shared.host.write(|w| {
            let mut keeping = w.keeping(self.shared.owner, id, &bounds)?;
            let mut chunk: Option<(u32, FlagChunk)> = None;
            for (uid, cached) in &learned {
                let number = uid.number() >> 8;
                if chunk.as_ref().is_none_or(|(own, _)| *own != number) {
                    chunk = Some((number, w.flags(id, number)?));
                }
                if chunk
                    .as_ref()
                    .is_some_and(|(_, flags)| flags.present.has((uid.number() & 255) as u8))
                {
                    w.learn(id, *uid, cached, &mut keeping)?;
                }
            }
            for (uid, text) in &previews {
                let flags = w.flags(id, uid.number() >> 8)?;
                if flags.present.has((uid.number() & 255) as u8) {
                    w.keep_preview(id, *uid, text, &mut keeping)?;
                }
            }
            Ok(keeping)
        });
        if let Some(keeping) = kept.ok().filter(|keeping| keeping.is_full) {
            self.shared.note_keeping(&keeping);
            self.shared.host.trim_later(&self.shared);
        }
    }

    /// The preview that was made before.
    pub(super) fn known_preview(&self) -> Result<Option<String>, Error> {
        let reading = fault("reading the index");
        let reader = self.shared.host.index.read().map_err(&reading)?;
        reader.preview(self.shared.id, self.uid).map_err(&reading)
    }

    /// Remembers the preview that was made.
    pub(super) fn keep_preview(&mut self, text: &str) {
        self.previews.push((self.uid, text.to_owned()));
        if self.previews.len() >= MAX_LEARNED {
            self.write_learned();
        }
    }

    /// RFC822.SIZE.
    pub(crate) fn octets(&mut self) -> Result<u64, Error> {
        Ok(self.keys()?.octets)
    }

    pub(crate) fn internal_date(&mut self) -> Result<DateTime, Error> {
        Ok(DateTime::utc(self.keys()?.internal_date))
    }

    /// ENVELOPE as IMAP writes it, parentheses included.
    pub(crate) fn envelope(&mut self) -> Result<&[u8], Error> {
        if self.facts()?.envelope.is_empty() {
            let header = self.header()?;
            self.text = mime::envelope(&header, &self.shared.host.limits.mime);
            return Ok(&self.text);
        }
        Ok(self.facts()?.envelope)
    }

    /// BODYSTRUCTURE as IMAP writes it, parentheses included.
    pub(crate) fn bodystructure(&mut self) -> Result<&[u8], Error> {
        if self.facts()?.bodystructure.is_empty() {
            let mut blob = self.open()?;
            let limits = self.shared.host.limits.mime;
            let message =
                mime::parse(&mut blob.body, &limits).map_err(|error| self.unreadable(error))?;
            self.text = mime::bodystructure(&message);
            return Ok(&self.text);
        }
        Ok(self.facts()?.bodystructure)
    }

    /// The raw header of the message, empty line included.
    fn header(&mut self) -> Result<Vec<u8>, Error> {
        if let Some(header) = &self.header {
            return Ok(header.clone());
        }
        let section = Section {
            part: Vec::new(),
            text: SectionText::Header,
        };
        let mut out = Vec::new();
        if let Some(mut content) = self.content(&section)? {
            while content.read(&mut out, usize::MAX)? > 0 {}
        }
        if self.message.is_none() && out.len() as u64 <= SMALL {
            self.header = Some(out.clone());
        }
        Ok(out)
    }

    /// As `header_fields`, if the index knows them: then they are few octets. `None`: they have to be
    /// read from the message.
    pub(crate) fn known_fields(&mut self, names: &[String]) -> Result<Option<&[u8]>, Error> {
        if !learn::knows(names) {
            return Ok(None);
        }
        let mut text = std::mem::take(&mut self.text);
        text.clear();
        let header = self.facts()?.header;
        let is_kept = !header.is_empty();
        if is_kept {
            mime::fields_as_they_stand(header, names, &mut text);
        }
        self.text = text;
        Ok(is_kept.then_some(self.text.as_slice()))
    }

    /// These fields of the message's header with their names, as BODY[HEADER.FIELDS (...)] has them,
    /// the empty line at the end included. Names are compared without regard to case.
    pub(crate) fn header_fields(&mut self, names: &[String]) -> Result<&[u8], Error> {
        if self.known_fields(names)?.is_some() {
            return Ok(&self.text);
        }
        let header = self.header()?;
        self.text.clear();
        mime::header_fields(&header, names, false, &mut self.text);
        Ok(&self.text)
    }

    /// A section of the text with CRLF line ends. `None`: there is no such part.
    pub(crate) fn content(&mut self, section: &Section) -> Result<Option<Content>, Error> {
        self.part(section, Partial::ALL)
    }

    /// Some octets of a section.
    pub(crate) fn part(
        &mut self,
        section: &Section,
        partial: Partial,
    ) -> Result<Option<Content>, Error> {
        if self.message.is_none() {
            let mut blob = self.open()?;
            if blob.body.length() > SMALL {
                return self.part_of_file(blob, section, partial);
            }
            self.message = Some(Arc::new(self.read_all(&mut blob)?));
        }
        let message = self.message.as_deref().map_or(&[][..], Vec::as_slice);
        let content = from_memory(message, section, &self.shared.host.limits.mime);
        if let Some(content) = content.as_ref().filter(|_| is_whole(section)) {
            self.compare(content.remaining())?;
        }
        Ok(content.map(|content| content.partial(partial)))
    }

    fn part_of_file(
        &mut self,
        mut blob: Blob,
        section: &Section,
        partial: Partial,
    ) -> Result<Option<Content>, Error> {
        let (uid, length) = (self.uid, blob.body.length());
        let reached = self.reached.as_deref();
        let reached = match reached.filter(|r| r.is_in(uid, length, section)) {
            Some(reached) => reached.clone(),
            None => {
                let (start, end) = match find(&mut blob, section, &self.shared.host.limits.mime)? {
                    Found::Nothing => return Ok(None),
                    Found::Fields(bytes) => {
                        return Ok(Some(Content::memory(bytes).partial(partial)));
                    }
                    Found::Text(start, end) => (start, end),
                };
                Reached {
                    uid,
                    section: section.clone(),
                    length,
                    start,
                    end,
                    place: Place::first(start),
                }
            }
        };
        let from = reached.before(partial);
        let (content, place) = Content::file(blob.body, from, reached.end, partial)?;
        if partial == Partial::ALL {
            if is_whole(section) {
                self.compare(content.remaining())?;
            }
        } else {
            self.reached = Some(Box::new(Reached { place, ..reached }));
        }
        Ok(Some(content))
    }
}

/// A message's bytes as stored.
pub(super) enum Raw {
    Memory(Arc<Vec<u8>>),
    File(Body, Vec<u8>),
}

impl Raw {
    /// The bytes from `start` to `end`, or fewer where the message ends.
    pub(super) fn read(&mut self, start: u64, end: u64) -> Result<&[u8], Error> {
        let reading = io_fault("reading a message");
        match self {
            Raw::Memory(bytes) => {
                let at = |offset: u64| {
                    usize::try_from(offset)
                        .unwrap_or(usize::MAX)
                        .min(bytes.len())
                };
                Ok(bytes.get(at(start)..at(end)).unwrap_or_default())
            }
            Raw::File(file, piece) => {
                piece.clear();
                file.seek(std::io::SeekFrom::Start(start))
                    .map_err(&reading)?;
                file.take(end.saturating_sub(start))
                    .read_to_end(piece)
                    .map_err(&reading)?;
                Ok(piece)
            }
        }
    }
}

impl Rows {
    /// Octets of the messages that [`Rows::raw`] was asked for since the last time.
    pub(super) fn looked_through(&mut self) -> u64 {
        std::mem::take(&mut self.looked_through)
    }

    /// The structure of the message and its bytes; the message is opened and parsed once, however often
    /// it is asked for.
    pub(super) fn raw(&mut self) -> Result<&mut (mime::Message, Raw), Error> {
        let parsed = match self.parsed.take() {
            Some(parsed) => parsed,
            None => Box::new(self.parse()?),
        };
        self.looked_through += parsed.0.octets();
        Ok(self.parsed.insert(parsed))
    }

    fn parse(&mut self) -> Result<(mime::Message, Raw), Error> {
        let limits = self.shared.host.limits.mime;
        if self.message.is_none() {
            let mut blob = self.open()?;
            if blob.body.length() > SMALL {
                let message =
                    mime::parse(&mut blob.body, &limits).map_err(|error| self.unreadable(error))?;
                return Ok((message, Raw::File(blob.body, Vec::new())));
            }
            self.message = Some(Arc::new(self.read_all(&mut blob)?));
        }
        let bytes = self.message.clone().unwrap_or_default();
        Ok((mime::parse_bytes(&bytes, &limits), Raw::Memory(bytes)))
    }
}

impl Drop for Rows {
    fn drop(&mut self) {
        self.write_learned();
    }
}
