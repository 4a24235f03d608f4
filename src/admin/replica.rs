//! A store is made the same as the mail of a user: mailboxes with UIDVALIDITY and GUID, messages with UIDs, GUIDs,
//! flags, keywords, dates and unique-ids of POP3. What it has already is left as it is, so whatever
//! was broken off goes on, and a second time costs what is new.
//!
//! Each mailbox is as it was at one moment: the account lists it as of then. Of messages that are expunged before
//! their octets are read there is nothing to copy, so then the mailbox is listed again; once all
//! messages of a list are there, the copy is that list.

use super::console::Exit;
use super::intact::{Look, is_intact};
use super::visit::End;
use crate::mail::{Keyword, MailboxName, Named, Uid, UidSet, UidlFormat};
use crate::mailbox::{Listing, Portrait};
use crate::server::{Reason, Refused, Visit};
use crate::store::{Error, Filing, Found, MailboxState, Scanned, Store, beyond, lasting, saved};
use std::collections::BTreeMap;

/// What is said of a mailbox whose copy is outrun.
pub(super) const OUTRUN: &str = "messages vanish faster than they are read; try again";
/// How often a mailbox is listed while messages vanish.
const LOOKS: usize = 8;
/// Messages that become durable together, and octets of them.
const BATCH: usize = 64;
const BATCH_OCTETS: u64 = 16 << 20;
/// Letters there are for keywords.
const MAX_LETTERS: usize = 26;

/// What came of a mailbox.
#[derive(Debug, Default)]
pub(super) struct Copied {
    pub(super) messages: u64,
    pub(super) added: u64,
    /// Messages that have other flags now.
    pub(super) changed: u64,
    pub(super) removed: u64,
    /// Messages that were damaged in the copy and are copied again.
    pub(super) mended: u64,
    /// Messages that could not be read, and why.
    pub(super) unreadable: Vec<(Uid, String)>,
    /// Messages vanished faster than they were read: it is not as the mailbox was at one moment.
    pub(super) outrun: bool,
}

pub(super) fn fault(error: Error) -> End {
    let exit = match error {
        Error::Full | Error::Locked => Exit::TryAgain,
        _ => Exit::Failure,
    };
    End::new(exit, error.to_string())
}

/// What becomes of keywords for which there is no letter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Letters {
    /// They are in a side file; each letter means what is convenient.
    Own,
    /// Letters mean what they mean in the index of the account; the others are where the format has them.
    OfTheIndex,
}

/// A copy that is being made.
pub(super) struct Replica<'a> {
    pub(super) visit: &'a mut Visit,
    pub(super) store: &'a mut dyn Store,
    pub(super) letters: Letters,
    /// How closely what the copy has already is looked at.
    pub(super) look: Look,
    /// How POP3 calls messages, which may be made of what the store calls them.
    pub(super) uidl_format: &'a UidlFormat,
    /// Told how many of how many messages of a mailbox were looked at.
    pub(super) pass: &'a mut dyn FnMut(&MailboxName, usize, usize),
}

/// What the copy has of a mailbox while it is made.
struct Target {
    state: MailboxState,
    /// Letters of the numbers of the account's keywords.
    letters: Vec<Option<u32>>,
    /// By UID.
    found: BTreeMap<Uid, Found>,
    aliases: Vec<(Uid, Box<str>)>,
    /// What the copy says of UIDs that were given.
    uid_next: Option<Uid>,
    /// The side file is to be written.
    worn: bool,
}

/// A message that is to be copied could not be.
enum Lost {
    Expunged,
    Unreadable(String),
    /// The copy takes no UID below those that it gave, and what broke it off had given this one.
    Behind,
}

impl Replica<'_> {
    /// Makes the mailbox the same. Durable when it returns.
    pub(super) fn mailbox(&mut self, name: &MailboxName) -> Result<Copied, End> {
        let mut copied = Copied::default();
        for _ in 0..LOOKS {
            let (portrait, listings) = self.visit.look(name)?;
            copied.messages = listings.len() as u64;
            copied.unreadable.clear();
            let is_whole = self.look(&portrait, &listings, &mut copied)?;
            self.annotations(Some(name))?;
            if is_whole {
                return Ok(copied);
            }
        }
        copied.outrun = true;
        Ok(copied)
    }

    /// Brings the copy in line with a list. False if messages vanished meanwhile.
    fn look(
        &mut self,
        portrait: &Portrait,
        listings: &[Listing],
        copied: &mut Copied,
    ) -> Result<bool, End> {
        let mut target = self.target(portrait).map_err(fault)?;
        self.remove_others(portrait, listings, &mut target, copied)
            .map_err(fault)?;
        // A Maildir notes all in names, and in an mbox nothing can come before what is there already.
        if self.letters == Letters::OfTheIndex && self.store.is_exclusive(&portrait.name) {
            self.remove_broken_off(portrait, listings, &mut target)
                .map_err(fault)?;
        }
        let (mut is_whole, mut beyond) = (true, Vec::new());
        let (mut waiting, mut octets) = (0, 0);
        for (at, listing) in listings.iter().enumerate() {
            (self.pass)(&portrait.name, at, listings.len());
            let (letters, more) = target.letters_of(listing);
            for keyword in more {
                note(&mut beyond, portrait, keyword, listing.uid);
            }
            let filing = Filing {
                uid: listing.uid,
                flags: listing.flags,
                letters,
            };
            if let Some(found) = target.found.get_mut(&listing.uid)
                && is_intact(self.store, &portrait.name, &found.blob, self.look).map_err(fault)?
            {
                let marked = mark(self.store, &portrait.name, found, &filing).map_err(fault)?;
                copied.changed += u64::from(marked);
                continue;
            }
            match self.copy(&portrait.name, listing, &filing)? {
                Ok((found, length)) => {
                    match target.put(listing.uid, found) {
                        Some(damaged) => {
                            let removed = self.store.remove(&portrait.name, &damaged.blob);
                            removed.map_err(fault)?;
                            copied.mended += 1;
                        }
                        None => copied.added += 1,
                    }
                    (waiting, octets) = (waiting + 1, octets + length);
                }
                Err(Lost::Expunged) => is_whole = false,
                Err(Lost::Unreadable(why)) => copied.unreadable.push((listing.uid, why)),
                Err(Lost::Behind) => {
                    let (keywords, found) = (&target.state.keywords, target.found.values());
                    begin(self.store, portrait, keywords, found).map_err(fault)?;
                    return Ok(false);
                }
            }
            if waiting >= BATCH || octets >= BATCH_OCTETS {
                self.store.sync().map_err(fault)?;
                (waiting, octets) = (0, 0);
            }
        }
        self.finish(portrait, listings, target, &beyond)
            .map_err(fault)?;
        Ok(is_whole)
    }

    /// The mailbox of the copy, made if it is not there, and emptied if it is another.
    fn target(&mut self, portrait: &Portrait) -> Result<Target, Error> {
        let name = &portrait.name;
        let store = &mut *self.store;
        if !store.mailboxes()?.contains(name) {
            store.create(name)?;
        }
        let mut scanned = store.scan(name)?;
        let own = (scanned.state.uid_validity, scanned.state.guid);
        if own != (portrait.uid_validity, portrait.guid) || !scanned.header_known {
            let keywords = &scanned.state.keywords;
            begin(store, portrait, keywords, scanned.found.iter())?;
            scanned = store.scan(name)?;
        }
        let mut target = Target::of(scanned);
        if target.name_keywords(&portrait.keywords, self.letters) {
            store.record_keywords(name, &target.state.keywords)?;
        }
        Ok(target)
    }

    /// Removes what the list does not have.
    fn remove_others(
        &mut self,
        portrait: &Portrait,
        listings: &[Listing],
        target: &mut Target,
        copied: &mut Copied,
    ) -> Result<(), Error> {
        let listed = |uid: &Uid| listings.binary_search_by_key(uid, |l| l.uid).is_ok();
        let gone: Vec<Uid> = target
            .found
            .keys()
            .copied()
            .filter(|uid| !listed(uid))
            .collect();
        for uid in gone {
            if let Some(found) = target.found.remove(&uid) {
                self.store.remove(&portrait.name, &found.blob)?;
                target.worn = true;
                copied.removed += 1;
            }
        }
        Ok(())
    }

    /// Removes what a conversion was at when it was broken off, from the first message on that is damaged or of which
    /// was not noted since when it is there.
    fn remove_broken_off(
        &mut self,
        portrait: &Portrait,
        listings: &[Listing],
        target: &mut Target,
    ) -> Result<(), Error> {
        let mut first = None;
        for (uid, found) in &target.found {
            let listing = listings.binary_search_by_key(uid, |listing| listing.uid);
            let listing = listing.ok().and_then(|at| listings.get(at));
            let is_complete = listing.is_none_or(|listing| is_since(found, listing))
                && self.store.is_whole(&portrait.name, &found.blob)?;
            if !is_complete {
                first = Some(*uid);
                break;
            }
        }
        let Some(first) = first else {
            return Ok(());
        };
        for found in target.found.split_off(&first).values() {
            self.store.remove(&portrait.name, &found.blob)?;
        }
        target.worn = true;
        target.aliases.retain(|(uid, _)| *uid < first);
        self.store.sync()
    }

    /// Copies a message; returns also how many octets it has.
    fn copy(
        &mut self,
        name: &MailboxName,
        listing: &Listing,
        filing: &Filing,
    ) -> Result<Result<(Found, u64), Lost>, End> {
        let mut draft = self.store.stage().map_err(fault)?;
        let read = self.visit.read(listing.uid, &mut |octets| {
            draft.write(octets).map_err(|error| Refused {
                reason: Reason::Later,
                text: error.to_string(),
            })
        });
        let date = match read {
            Ok(date) => date,
            Err(refused) if refused.reason == Reason::Expunged => return Ok(Err(Lost::Expunged)),
            Err(refused) if refused.reason == Reason::Other => {
                return Ok(Err(Lost::Unreadable(refused.text)));
            }
            Err(refused) => return Err(refused.into()),
        };
        let octets = draft.octets();
        let mut file = || {
            draft.date(date)?;
            draft.identify(listing.guid(), Some(saved(&listing.base).unwrap_or(date)))?;
            self.store.save(&mut *draft, name)?;
            self.store.commit(&mut *draft, name, filing)
        };
        let blob = match file() {
            Err(Error::Outrun) => return Ok(Err(Lost::Behind)),
            blob => blob.map_err(fault)?,
        };
        let found = Found {
            blob,
            uid: Some(listing.uid),
            listed: false,
        };
        Ok(Ok((found, octets)))
    }

    /// Makes it durable, and says in side files what is known besides.
    fn finish(
        &mut self,
        portrait: &Portrait,
        listings: &[Listing],
        target: Target,
        keywords: &beyond::Beyond,
    ) -> Result<(), Error> {
        let name = &portrait.name;
        let store = &mut *self.store;
        store.sync()?;
        let state = MailboxState {
            uid_next: portrait.uid_next,
            ..target.state
        };
        if target.worn || target.uid_next != Some(portrait.uid_next) {
            let lines: Vec<(Uid, &str)> = target
                .found
                .iter()
                .map(|(uid, found)| (*uid, &*found.blob.name))
                .collect();
            // A store that takes no lines for a mailbox is told so where it was made.
            match lines.is_empty() {
                true => store.record(name, &state, &mut [].iter()),
                false => store.record_all(name, &state, &mut lines.iter()),
            }?;
        }
        let uidls: Vec<(Uid, String)> = listings
            .iter()
            .filter(|listing| target.found.contains_key(&listing.uid))
            .filter_map(|listing| Some((listing.uid, uidl(portrait, listing, self.uidl_format)?)))
            .filter(|(uid, uidl)| !is_called(&target.aliases, *uid, uidl))
            .collect();
        if !uidls.is_empty() {
            let uidls: Vec<(Uid, &str)> = uidls.iter().map(|(u, text)| (*u, &**text)).collect();
            store.record_uidls(name, &uidls)?;
        }
        store.settle(name)?;
        match self.letters {
            Letters::Own => beyond::write(&store.directory(name)?, keywords),
            Letters::OfTheIndex => store.keep_beyond(name, state.uid_validity, keywords),
        }
    }

    /// Annotations of a mailbox, or (`None`) of the account.
    fn annotations(&mut self, of: Option<&MailboxName>) -> Result<(), End> {
        let wanted = self.visit.annotations(of)?;
        let known = self.store.annotations(of).map_err(fault)?;
        match known == wanted {
            true => Ok(()),
            false => self.store.annotate(of, &wanted).map_err(fault),
        }
    }

    /// What an account has beside mailboxes; and mailboxes that it has not go. Durable.
    pub(super) fn account(&mut self) -> Result<(), End> {
        let roster = self.visit.account()?;
        self.annotations(None)?;
        let store = &mut *self.store;
        let mut settle = || {
            let mut names = store.mailboxes()?;
            let is_gone = |name: &MailboxName| {
                !roster.mailboxes.contains(name) && roster.absent_of(name).is_none()
            };
            names.retain(|name| !name.is_inbox() && is_gone(name));
            names.iter().try_for_each(|name| store.delete(name))?;
            let known = store.subscriptions()?;
            for name in known
                .iter()
                .filter(|name| !roster.subscriptions.contains(name))
                .filter(|name| roster.absent_of(name).is_none())
            {
                store.subscribe(name, false)?;
            }
            for name in roster
                .subscriptions
                .iter()
                .filter(|name| !known.contains(name))
            {
                store.subscribe(name, true)?;
            }
            match store.special_uses()? == roster.special_uses {
                true => Ok(()),
                false => store.set_special_uses(&roster.special_uses),
            }
        };
        settle().map_err(fault)
    }
}

/// Has a mailbox of the copy be that one and have no messages, no UID of which was given. Durable.
fn begin<'f>(
    store: &mut dyn Store,
    portrait: &Portrait,
    keywords: &[Option<Keyword>],
    found: impl Iterator<Item = &'f Found>,
) -> Result<(), Error> {
    let name = &portrait.name;
    for found in found {
        store.remove(name, &found.blob)?;
    }
    store.sync()?;
    let state = MailboxState {
        uid_validity: portrait.uid_validity,
        uid_next: Uid::MIN,
        guid: portrait.guid,
        keywords: keywords.to_vec(),
    };
    store.record_all(name, &state, &mut [].iter())
}

/// What POP3 calls a message, where that is not made of numbers alone: another store has other names.
fn uidl(portrait: &Portrait, listing: &Listing, format: &UidlFormat) -> Option<String> {
    if let Some(uidl) = listing.uidl() {
        return Some(uidl.to_owned());
    }
    if !portrait.name.is_inbox() || !format.needs_name() {
        return None;
    }
    let mut words = listing.aliases.split(' ');
    let guid = words.find_map(|word| word.strip_prefix('G').filter(|guid| !guid.is_empty()));
    let mut text = String::new();
    let lasting = lasting(&listing.base);
    let file_name = lasting.as_deref().unwrap_or(&listing.base);
    let named = Named {
        uid: listing.uid,
        uid_validity: portrait.uid_validity,
        file_name,
        guid: guid.unwrap_or(file_name),
        md5: "",
    };
    format.put(&named, &mut text);
    Some(text)
}

/// True if POP3 calls the message that for ever.
fn is_called(aliases: &[(Uid, Box<str>)], uid: Uid, uidl: &str) -> bool {
    let at = aliases.binary_search_by_key(&uid, |(uid, _)| *uid).ok();
    let words = at
        .and_then(|at| aliases.get(at))
        .map_or("", |(_, words)| words);
    words
        .split(' ')
        .any(|word| word.strip_prefix('P') == Some(uidl))
}

fn note(beyond: &mut beyond::Beyond, portrait: &Portrait, number: u16, uid: Uid) {
    let keyword = portrait
        .keywords
        .get(usize::from(number))
        .cloned()
        .flatten();
    let Some(keyword) = keyword else {
        return;
    };
    match beyond.iter_mut().find(|(own, _)| *own == keyword) {
        Some((_, uids)) => uids.insert(uid),
        None => beyond.push((keyword, UidSet::range(uid, uid))),
    }
}

/// Gives a message other flags, if it has not these. True if it did.
fn mark(
    store: &mut dyn Store,
    name: &MailboxName,
    found: &mut Found,
    filing: &Filing,
) -> Result<bool, Error> {
    let same = found.blob.flags == filing.flags && found.blob.letters == filing.letters;
    if !same {
        (found.blob, _) = store.mark(name, &found.blob, filing.flags, filing.letters)?;
    }
    Ok(!same)
}

/// True if the copy knows since when the message is where it is.
fn is_since(found: &Found, listing: &Listing) -> bool {
    saved(&listing.base).is_none_or(|since| saved(&found.blob.name) == Some(since))
}

impl Target {
    fn of(scanned: Scanned) -> Target {
        let unlisted = scanned.found.iter().any(|found| !found.listed);
        let found = scanned.found.into_iter();
        Target {
            worn: scanned.rewrite || unlisted,
            uid_next: Some(scanned.state.uid_next),
            letters: Vec::new(),
            state: scanned.state,
            found: found
                .filter_map(|found| Some((found.uid?, found)))
                .collect(),
            aliases: scanned.aliases,
        }
    }

    /// Notes a message that was copied; returns that in whose place it is.
    fn put(&mut self, uid: Uid, found: Found) -> Option<Found> {
        self.worn = true;
        let before = self.found.insert(uid, found);
        if before.is_some() {
            // They are said of the file that goes.
            self.aliases.retain(|(own, _)| *own != uid);
        }
        before
    }

    /// Finds letters for keywords, as far as there are some. True if new ones got some.
    fn name_keywords(&mut self, keywords: &[Option<Keyword>], letters: Letters) -> bool {
        let named = &mut self.state.keywords;
        let before = named.clone();
        for (number, keyword) in keywords.iter().enumerate() {
            let is_free = |at: &usize| named.get(*at).is_none_or(Option::is_none);
            let known = named.iter().position(|own| own == keyword);
            let own = Some(number).filter(|at| *at < MAX_LETTERS && is_free(at));
            let any = || match letters {
                Letters::Own => (0..MAX_LETTERS).find(is_free),
                Letters::OfTheIndex => None,
            };
            let at = known.or(own).or_else(any).filter(|_| keyword.is_some());
            if let Some(at) = at {
                named.resize(named.len().max(at + 1), None);
                if let Some(slot) = named.get_mut(at) {
                    slot.clone_from(keyword);
                }
            }
            let letter = at.filter(|at| *at < MAX_LETTERS);
            self.letters.push(letter.map(|at| 1 << at));
        }
        *named != before
    }

    /// Letters of a message, and the numbers of keywords that have none.
    fn letters_of(&self, listing: &Listing) -> (u32, Vec<u16>) {
        let (mut letters, mut more) = (0, Vec::new());
        for number in &listing.keywords {
            match self.letters.get(usize::from(*number)).copied().flatten() {
                Some(letter) => letters |= letter,
                None => more.push(*number),
            }
        }
        (letters, more)
    }
}
