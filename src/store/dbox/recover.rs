//! Messages of a mailbox whose log is lost, found in the files of messages.

use super::files::Files;
use super::framing::{GUID, MAILBOX};
use super::layout::mailbox_name;
use super::line::{self, Contents, Message};
use super::log::SORT_OCTETS;
use super::recall::{Recall, confirm};
use super::record::{Place, Record};
use super::root::Root;
use super::walk::{Framed, walk};
use crate::mail::{MailboxName, Uid};
use crate::store::Error;
use crate::store::side::room;
use std::collections::HashSet;
use std::io;
use std::path::{Path, PathBuf};

impl Root {
    /// What a new log of a mailbox says where the old one is gone: what the index knows. Where that knows
    /// nothing, or not all: messages that came to this mailbox first, or (INBOX) to one that is gone, and that no
    /// log has. Their UIDs are new, flags are lost, and what was expunged and not purged is back. Errors: where
    /// only Dovecot has an index, in which they are, or has it elsewhere, as nothing there is of this server.
    pub(super) fn recover(&self, name: &MailboxName) -> Result<Contents, Error> {
        let files = Files::looked_at(&self.path, self.alternate.as_deref());
        let mut known = Contents::default();
        let recall = self.recall(name, &mut known, &mut |own| confirm(&files, own))?;
        if let Recall::Some { complete } = recall {
            self.rejoin_unless(complete, name, &mut known)?;
            return Ok(known);
        }
        // A mailbox without what is put aside would have that go with a purge, once it is seen again.
        files.all_there()?;
        let mut contents = self.empty()?;
        if files.numbers()?.is_empty() {
            return Ok(contents);
        }
        if let Some(map) = files.map() {
            return Err(refused(name, &map));
        }
        if !files.are_own() && !self.has_log()? {
            return Err(io::Error::other(without_map(&files.directory)).into());
        }
        let count = self.rejoin(name, &mut contents)?;
        if count > 0 {
            let name = name.of(&self.path);
            log::error!("{name}: {count} messages of a log that is gone have new UIDs");
        }
        Ok(contents)
    }

    /// Of a log of which the index told what it knows: finds what that does not know, unless that is all.
    pub(super) fn rejoin_unless(
        &self,
        complete: bool,
        name: &MailboxName,
        contents: &mut Contents,
    ) -> Result<(), Error> {
        let new = match complete {
            true => 0,
            false => self.rejoin(name, contents)?,
        };
        if new > 0 {
            let name = name.of(&self.path);
            log::error!("{name}: {new} messages that the index does not know have new UIDs");
        }
        Ok(())
    }

    /// As `recover`, of a log that cannot be read as a whole: what it says stays. Returns how many messages
    /// were found.
    pub(super) fn rejoin(
        &self,
        name: &MailboxName,
        contents: &mut Contents,
    ) -> Result<usize, Error> {
        let files = Files::looked_at(&self.path, self.alternate.as_deref());
        let mut mailboxes = self.mailboxes()?;
        mailboxes.retain(|other| other != name);
        let mut had = self.referenced(&mailboxes)?;
        had.places.extend(places(contents));
        had.places.extend(&contents.left);
        let mut uid = contents.uid_next.or(Some(Uid::MIN));
        let mut count = 0;
        for number in files.numbers()? {
            let file = files.open(number)?;
            walk(&file, &mut |framed| {
                let place = Place {
                    file: number,
                    offset: framed.start,
                };
                if had.has(framed, place) {
                    return Ok(true);
                }
                let first = framed.metadata.get(MAILBOX).and_then(mailbox_name);
                let own = match &first {
                    Some(first) if first == name => true,
                    first => {
                        let gone = first
                            .as_ref()
                            .is_none_or(|first| !mailboxes.contains(first));
                        name.is_inbox() && gone
                    }
                };
                let next = uid.filter(|_| own);
                if let Some(own) = next {
                    let record = Record::of_framed(framed, own, Some(place)).to_string();
                    contents
                        .messages
                        .insert(own, Message::unmarked(record.into()));
                    room::for_messages(contents.messages.len(), room::OF_DBOX)?;
                    uid = own.next();
                    contents.uid_next = uid;
                    count += 1;
                }
                Ok(true)
            })?;
        }
        Ok(count)
    }

    /// True if some mailbox has a log.
    fn has_log(&self) -> Result<bool, Error> {
        for name in self.mailboxes()? {
            if self.directory(&name)?.join(line::FILE).is_file() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// All messages that these mailboxes have.
    fn referenced(&self, mailboxes: &[MailboxName]) -> Result<Referenced, Error> {
        let mut had = Referenced::default();
        for name in mailboxes {
            let log: PathBuf = self.directory(name)?.join(line::FILE);
            // What is no file is no log, and is put aside once somebody opens it.
            if log.is_file() {
                let (_, all) = self.log(name)?.folded(SORT_OCTETS)?;
                let mut messages = all.messages()?;
                while let Some((_, message)) = messages.next()? {
                    let record = Record::parse(&message.record);
                    had.places.extend(record.and_then(|record| record.place));
                }
            } else if let Some((messages, _)) = self.remembered(name)? {
                // It is made anew of that, too, once somebody opens it.
                let records = messages.values();
                let records = records.filter_map(|own| Record::parse(&own.record));
                had.guids.extend(records.map(|record| record.guid));
            }
        }
        Ok(had)
    }
}

/// Messages that mailboxes have.
#[derive(Default)]
struct Referenced {
    places: HashSet<Place>,
    /// Those of mailboxes whose logs are gone, which only the index knows.
    guids: HashSet<Box<str>>,
}

impl Referenced {
    fn has(&self, framed: &Framed, place: Place) -> bool {
        let guid = framed.metadata.get(GUID);
        let guid = guid.and_then(|guid| std::str::from_utf8(guid).ok());
        self.places.contains(&place) || guid.is_some_and(|guid| self.guids.contains(guid))
    }
}

/// Where the messages of a log are.
fn places(contents: &Contents) -> impl Iterator<Item = Place> {
    let records = contents.messages.values();
    records.filter_map(|message| Record::parse(&message.record)?.place)
}

/// Why nothing is made of the files of an mdbox in that directory of which nobody says which mailboxes they are of.
pub(super) fn without_map(storage: &Path) -> String {
    format!(
        "{} has no dovecot.map.index, which says where messages are: if Dovecot's mail_location has INDEX=DIR, \
         stop Dovecot, copy (cp -p) DIR/storage/dovecot.map.index* there, and for each mailbox \
         DIR/mailboxes/NAME/dovecot.index* to mailboxes/NAME/dbox-Mails, then run \"dovelet adopt\" with the \
         directory of the mail",
        storage.display()
    )
}

/// Why nothing is made of the files of an sdbox in that directory of which nobody says what the messages are.
pub(super) fn without_index(mailbox: &Path, messages: usize) -> String {
    format!(
        "{} has {messages} files of messages, and no dovecot.index or dovecot.index.log, which say the UIDVALIDITY \
         and flags: if Dovecot's mail_location has INDEX=DIR, stop Dovecot, copy (cp -p) DIR/mailboxes/NAME/dovecot.index* of \
         each mailbox to mailboxes/NAME/dbox-Mails, then try again; if they are lost, let Dovecot make them first: \
         doveadm force-resync -u USER '*'",
        mailbox.display()
    )
}

/// Why a mailbox with an index of Dovecot's is not opened.
pub(super) fn refused(name: &MailboxName, index: &Path) -> Error {
    let why = format!(
        "{name} is Dovecot's, and {} has its UIDs and flags: stop Dovecot, then run \"dovelet adopt\" with \
         the directory of the mail",
        index.display()
    );
    io::Error::other(why).into()
}
