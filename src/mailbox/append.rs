//! Filing new messages.

use super::arrive::{Arrived, Coming, Flight, LETTERS};
use super::filed::Filed;
use super::host::lock;
use super::learn::Depth;
use super::shared::Shared;
use super::{Account, Error, FlagChange, learn, store_fault};
use crate::index::{Cached, Name};
use crate::mail::{DateTime, Flags, Guid, MailboxName, Uid, UidSet, UidValidity};
use crate::mime::{self, Unbinary};
use crate::store::{self, BlobId, Filing, Place};
use std::sync::Arc;

/// How often a message is filed again because another program was first.
const OUTRUN_TRIES: u32 = 8;

/// A message while it is written; forgotten when dropped. Bounded by the account's size limit.
pub(crate) struct Draft {
    account: Account,
    /// The mailbox that it will be filed in, most likely.
    meant: Option<MailboxName>,
    /// Staged with its first octet.
    draft: Option<Box<dyn store::Draft>>,
    limit: u64,
    /// Gives base64 to what is binary.
    unbinary: Option<Box<Unbinary>>,
    limits: mime::Limits,
    /// INTERNALDATE, once it is set.
    date: Option<i64>,
    /// What is to be remembered of the message, with that date, once it was filed.
    learned: Option<Cached>,
    /// Where that was learned.
    learned_in: Option<MailboxName>,
    /// The UID that it is to have, which none has yet.
    uid: Option<Uid>,
}

/// What a message is known by that was elsewhere before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Identity {
    /// Higher than all that the mailbox gave; the next one if `None`.
    pub(crate) uid: Option<Uid>,
    /// EMAILID.
    pub(crate) guid: Guid,
    /// SAVEDATE, in seconds since 1970; now if `None`.
    pub(crate) saved: Option<i64>,
}

/// What comes of messages that are filed at once, if that is interrupted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Batch {
    /// All of them or none.
    Whole,
    /// Some of them, perhaps.
    Loose,
}

impl Draft {
    /// Fields that this server puts in front, which do not count as the sender's octets.
    pub(crate) fn trace(&mut self, fields: &[u8]) -> Result<(), Error> {
        self.limit = self.limit.saturating_add(fields.len() as u64);
        self.write(fields)
    }

    /// Adds bytes as they come from the wire, split anywhere. Blocks on the disk.
    pub(crate) fn write(&mut self, bytes: &[u8]) -> Result<(), Error> {
        let Some(unbinary) = &mut self.unbinary else {
            return self.put(bytes);
        };
        let mut text = Vec::new();
        unbinary.write(bytes, &mut text)?;
        self.put(&text)
    }

    /// From its beginning on the message may have binary parts (RFC 3516 section 4.4).
    pub(crate) fn take_binary(&mut self) {
        self.unbinary = Some(Box::new(Unbinary::new(self.limits)));
    }

    /// Has it known as that, once all is written. Returns the GUID that it gets, which is another where a
    /// format makes it of the octets alone. Blocks on the disk.
    pub(crate) fn identify(&mut self, identity: Identity) -> Result<Guid, Error> {
        self.uid = identity.uid;
        let known = self.staged()?.identify(identity.guid, identity.saved);
        known.map_err(store_fault("writing a message"))
    }

    /// Ends what `take_binary` began.
    fn end_binary(&mut self) -> Result<(), Error> {
        let Some(mut unbinary) = self.unbinary.take() else {
            return Ok(());
        };
        let mut text = Vec::new();
        unbinary.finish(&mut text)?;
        self.put(&text)
    }

    /// Blocks on the disk.
    fn staged(&mut self) -> Result<&mut dyn store::Draft, Error> {
        let draft = match self.draft.take() {
            Some(draft) => draft,
            None => {
                self.account.may_change()?;
                let reserve = &self.account.0.host.reserve;
                if reserve.is_used() {
                    reserve.look();
                }
                if reserve.is_used() {
                    return Err(Error::Full);
                }
                let mut store = self.account.0.store()?;
                let staged = match &self.meant {
                    Some(name) => store.stage_for(name),
                    None => store.stage(),
                };
                drop(store);
                staged.map_err(store_fault("staging a message"))?
            }
        };
        Ok(&mut **self.draft.insert(draft))
    }

    fn put(&mut self, bytes: &[u8]) -> Result<(), Error> {
        let limit = self.limit;
        let draft = self.staged()?;
        draft
            .write(bytes)
            .map_err(store_fault("writing a message"))?;
        if draft.octets() > limit {
            Err(Error::TooLarge)
        } else {
            Ok(())
        }
    }
}

/// A message to be filed.
pub(crate) struct NewMessage<'a> {
    pub(crate) draft: &'a mut Draft,
    pub(crate) flags: &'a Flags,
    /// INTERNALDATE, now if `None`.
    pub(crate) date: Option<DateTime>,
}

/// What APPENDUID tells (RFC 4315 section 3): UIDs in the order of the messages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Appended {
    pub(crate) uid_validity: UidValidity,
    pub(crate) uids: UidSet,
}

impl From<mime::UnknownEncoding> for Error {
    fn from(_: mime::UnknownEncoding) -> Error {
        Error::UnknownEncoding
    }
}

impl Account {
    /// A place to write a new message; on the disk from its first octet on.
    pub(crate) fn draft(&self) -> Draft {
        Draft {
            account: self.clone(),
            meant: None,
            draft: None,
            limit: self.0.host.limits.message_octets,
            unbinary: None,
            limits: self.0.host.limits.mime,
            date: None,
            learned: None,
            learned_in: None,
            uid: None,
        }
    }

    /// As `draft`, where it is known which mailbox it is for; it may be filed in others all the same.
    pub(crate) fn draft_for(&self, name: &MailboxName) -> Draft {
        Draft {
            meant: Some(name.clone()),
            ..self.draft()
        }
    }

    /// Files the draft; durable when it returns.
    #[cfg(test)]
    pub(crate) fn append(
        &self,
        name: &MailboxName,
        draft: &mut Draft,
        flags: &Flags,
        date: Option<DateTime>,
    ) -> Result<Appended, Error> {
        self.append_all(name, &mut [NewMessage { draft, flags, date }])
    }

    /// Files all of them or none (RFC 3502); nobody is told of one before all are there. Durable when
    /// it returns.
    pub(crate) fn append_all(
        &self,
        name: &MailboxName,
        messages: &mut [NewMessage<'_>],
    ) -> Result<Appended, Error> {
        self.append_batch(name, messages, Batch::Whole)
    }

    /// As `append_all`, but after a power cut some of them may be there.
    pub(crate) fn append_each(
        &self,
        name: &MailboxName,
        messages: &mut [NewMessage<'_>],
    ) -> Result<Appended, Error> {
        self.append_batch(name, messages, Batch::Loose)
    }

    fn append_batch(
        &self,
        name: &MailboxName,
        messages: &mut [NewMessage<'_>],
        batch: Batch,
    ) -> Result<Appended, Error> {
        self.file_batch(name, messages, batch)?.finish()
    }

    /// Gives the draft a name in the mailbox; it is there with [`Filed::finish`]. A draft can be filed in several
    /// mailboxes, of several accounts, one after the other.
    pub(crate) fn file(
        &self,
        name: &MailboxName,
        draft: &mut Draft,
        flags: &Flags,
    ) -> Result<Filed, Error> {
        let date = None;
        self.file_batch(name, &mut [NewMessage { draft, flags, date }], Batch::Whole)
    }

    fn file_batch(
        &self,
        name: &MailboxName,
        messages: &mut [NewMessage<'_>],
        batch: Batch,
    ) -> Result<Filed, Error> {
        let shared = self.shared(name)?;
        let mut store = self.0.own_store()?;
        let mut cached = Vec::with_capacity(messages.len());
        // Of many at once rows cost little, and whoever brings them looks at them.
        let depth = match messages.len() > 1 || shared.was_asked() {
            true => Depth::All,
            false => Depth::Keys,
        };
        for message in &mut *messages {
            cached.push(self.make_ready(&mut *store, name, message, depth)?);
        }
        let (flight, uid_validity, mut arrived) =
            shared.file(&mut *store, messages, batch, OUTRUN_TRIES)?;
        for (arrived, cached) in arrived.iter_mut().zip(cached) {
            arrived.cached = cached;
        }
        Ok(Filed {
            shared,
            store,
            flight,
            uid_validity,
            arrived,
        })
    }

    /// The slow part, outside the mailbox's lock: deliveries sync side by side.
    fn make_ready(
        &self,
        store: &mut dyn store::Store,
        name: &MailboxName,
        message: &mut NewMessage<'_>,
        depth: Depth,
    ) -> Result<Option<Cached>, Error> {
        message.draft.end_binary()?;
        // What is filed again keeps its date; index and file have the same.
        let known = message.date.map(|date| date.seconds);
        let known = known.or(message.draft.date);
        let date = known.unwrap_or_else(crate::sys::clock::now_seconds);
        let dated = message.draft.date.replace(date) == Some(date);
        let draft = message.draft.staged()?;
        if !dated {
            let dated = draft.date(date);
            dated.map_err(store_fault("filing a message"))?;
        }
        let saved = store.save(draft, name);
        saved.map_err(store_fault("filing a message"))?;
        let before = message.draft.learned_in.replace(name.clone());
        let same = before.is_none_or(|before| store.keeps_octets(&before, name));
        let lacks = |learned: &Cached| depth == Depth::All && learned.is_of_keys();
        if message.draft.learned.as_ref().is_none_or(lacks) || !dated || !same {
            let draft = message.draft.staged()?;
            let learned = learn::from_draft(draft, date, &self.0.host.limits.mime, depth);
            message.draft.learned = learned;
        }
        Ok(message.draft.learned.clone())
    }
}

impl Shared {
    /// Gives the messages the next UIDs and names.
    fn file(
        self: &Arc<Self>,
        store: &mut dyn store::Store,
        messages: &mut [NewMessage<'_>],
        batch: Batch,
        tries: u32,
    ) -> Result<(Flight, UidValidity, Vec<Arrived>), Error> {
        let mut state = lock(&self.state);
        let restores = messages.iter().all(|message| message.draft.uid.is_some());
        if !restores {
            state.admit()?;
        }
        self.prepare_to_add(&mut state, store)?;
        let validity = state.summary.as_ref().map(|s| s.uid_validity);
        let validity = validity.ok_or(Error::Fault)?;
        // Before any name: a keyword may take a scan, which would find the names.
        let mut keywords = Vec::with_capacity(messages.len());
        for message in &*messages {
            let named = &message.flags.keywords;
            let mut numbers = self.numbers_of(&mut state, store, FlagChange::Add, named)?;
            numbers.sort_unstable();
            numbers.dedup();
            keywords.push(numbers);
        }
        let given = state.next_uid()?;
        let wanted = messages.first().and_then(|message| message.draft.uid);
        let first = wanted.unwrap_or(given).max(given);
        let promise = match batch {
            Batch::Whole => self.promise(&state, store, first, messages.len())?,
            Batch::Loose => None,
        };
        // Who goes on with a restore that was broken off takes what is there for whole.
        let mut coming = match restores {
            true => coming(messages, &keywords),
            false => Coming::new(),
        };
        if !coming.is_empty() {
            self.keep_beyond_with(&state, store, &coming)?;
        }
        let (mut next, mut failure, mut outrun) = (first, None, false);
        let mut arrived = Vec::with_capacity(messages.len());
        for (message, keywords) in messages.iter_mut().zip(keywords) {
            let uid = message.draft.uid.unwrap_or(next);
            if uid < next {
                failure = Some(Error::Cannot("a UID that was given already"));
                break;
            }
            match self.name_one(&state.name, store, message, keywords, uid) {
                Ok(Some((one, after))) => {
                    arrived.push(one);
                    next = after;
                }
                Ok(None) => {
                    outrun = true;
                    failure = Some(Error::Busy);
                    break;
                }
                Err(error) => {
                    failure = Some(error);
                    break;
                }
            }
        }
        if failure.is_some() && !coming.is_empty() {
            // UIDs that are not taken are another message's some day. A failure is logged.
            coming.retain(|(uid, _)| *uid < next);
            let _ = self.keep_beyond_with(&state, store, &coming);
        }
        if next == first {
            if let Some(uids) = promise {
                let ended = store.fulfil(&state.name, uids);
                ended.map_err(store_fault("filing messages"))?;
            }
            if outrun && tries > 0 {
                // What the other program brought gets its UIDs first; nobody may have told of it yet.
                super::resync::resync(self, &mut state, store)?;
                drop(state);
                return self.file(store, messages, batch, tries - 1);
            }
            return Err(failure.unwrap_or(Error::Fault));
        }
        let mut flight = self.take_off(&mut state, (first, next), coming);
        flight.promise = promise;
        drop(state);
        match failure {
            None => Ok((flight, validity, arrived)),
            Some(error) => {
                self.abandon(flight.promise, store, &arrived);
                Err(error)
            }
        }
    }

    /// Gives one message its name; returns the UID of the next. `None`: another program gave that UID.
    fn name_one(
        &self,
        mailbox: &MailboxName,
        store: &mut dyn store::Store,
        message: &mut NewMessage<'_>,
        keywords: Vec<u16>,
        uid: Uid,
    ) -> Result<Option<(Arrived, Uid)>, Error> {
        let next = uid
            .next()
            .ok_or(Error::Limit("no UIDs left in this mailbox"))?;
        let filing = Filing {
            uid,
            flags: message.flags.system,
            letters: letters(&keywords),
        };
        let draft = message.draft.staged()?;
        self.begin();
        let committed = store.commit(draft, mailbox, &filing);
        self.end(i64::from(committed.is_ok()));
        if matches!(committed, Err(store::Error::Outrun)) {
            return Ok(None);
        }
        let arrived = Arrived {
            filing,
            keywords,
            blob: committed.map_err(store_fault("filing a message"))?,
            cached: None,
        };
        Ok(Some((arrived, next)))
    }
}

/// The index's form of a name.
pub(super) fn name(slot: u8, blob: &BlobId) -> Name {
    Name {
        slot,
        base: blob.name.clone(),
        is_new: blob.place == Place::New,
        flags: blob.flags,
        letters: blob.letters,
    }
}

/// The UIDs that messages are to have which have keywords without a letter, and those keywords.
fn coming(messages: &[NewMessage<'_>], keywords: &[Vec<u16>]) -> Coming {
    let own = messages.iter().zip(keywords).filter_map(|(message, own)| {
        let beyond: Vec<u16> = own.iter().copied().filter(|k| *k >= LETTERS).collect();
        let uid = message.draft.uid.filter(|_| !beyond.is_empty());
        Some((uid?, beyond))
    });
    own.collect()
}

/// The store's form of a name.
pub(super) fn blob(name: &Name) -> BlobId {
    let place = if name.is_new { Place::New } else { Place::Cur };
    BlobId {
        name: name.base.clone(),
        place,
        flags: name.flags,
        letters: name.letters,
    }
}

/// Letters of keywords, as far as they have some.
pub(super) fn letters(keywords: &[u16]) -> u32 {
    keywords
        .iter()
        .filter(|k| **k < 26)
        .fold(0, |all, k| all | 1 << k)
}
