//! The guest's side.

use super::ask::{Ask, Filed};
use super::host::{MAX_WAITING, PIECE, read_frame, write_frame};
use super::tell::{Outcome, Reason, Roster, Tell};
use crate::mail::{EntryName, Guid, MailboxName, SpecialUse, Uid, UidValidity};
use crate::mailbox::{Listing, Portrait};
use std::io::{self, BufReader, BufWriter, ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::time::Duration;

/// Octets of one thing that is told.
const MAX_TELL: u32 = 64 << 20;
/// How long a host may be silent; a large mailbox takes its time.
const PATIENCE: Duration = Duration::from_secs(600);
/// Octets that wait to be filed together.
const MAX_OCTETS: u64 = 8 << 20;
/// UIDs in one thing that is asked, and unique-ids.
const UIDS: usize = 1000;

/// Why something was not done.
#[derive(Debug)]
pub(crate) struct Refused {
    pub(crate) reason: Reason,
    pub(crate) text: String,
}

impl From<io::Error> for Refused {
    fn from(error: io::Error) -> Refused {
        let text = match error.kind() {
            ErrorKind::UnexpectedEof | ErrorKind::BrokenPipe | ErrorKind::ConnectionReset => {
                "the server, or the engine of this user, ended meanwhile".to_owned()
            }
            _ => error.to_string(),
        };
        Refused {
            reason: Reason::Later,
            text,
        }
    }
}

/// The mail of one user, wherever the process is that has its index.
pub(crate) struct Visit {
    input: BufReader<UnixStream>,
    output: BufWriter<UnixStream>,
    /// Messages and octets since the last commit.
    waiting: usize,
    octets: u64,
}

fn unexpected() -> Refused {
    io::Error::from(ErrorKind::InvalidData).into()
}

impl Visit {
    /// `stream`: at its other end is a host.
    pub(crate) fn new(stream: UnixStream) -> io::Result<Visit> {
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        Ok(Visit {
            input: BufReader::new(stream.try_clone()?),
            output: BufWriter::new(stream),
            waiting: 0,
            octets: 0,
        })
    }

    fn send(&mut self, ask: &Ask) -> Result<(), Refused> {
        Ok(write_frame(&mut self.output, &ask.encode())?)
    }

    fn hear(&mut self) -> Result<Tell, Refused> {
        let ended = || io::Error::from(ErrorKind::UnexpectedEof);
        let frame = read_frame(&mut self.input, MAX_TELL)?.ok_or_else(ended)?;
        match Tell::decode(&frame).ok_or_else(unexpected)? {
            Tell::Failed(reason, text) => Err(Refused { reason, text }),
            told => Ok(told),
        }
    }

    fn ask(&mut self, ask: &Ask) -> Result<Tell, Refused> {
        self.send(ask)?;
        self.output.flush()?;
        self.hear()
    }

    fn done(&mut self, ask: &Ask) -> Result<(), Refused> {
        match self.ask(ask)? {
            Tell::Done => Ok(()),
            _ => Err(unexpected()),
        }
    }

    pub(crate) fn account(&mut self) -> Result<Roster, Refused> {
        match self.ask(&Ask::Account)? {
            Tell::Account(roster) => Ok(roster),
            _ => Err(unexpected()),
        }
    }

    /// Of a mailbox, or (`None`) of the account.
    pub(crate) fn annotations(
        &mut self,
        of: Option<&MailboxName>,
    ) -> Result<Vec<(EntryName, Vec<u8>)>, Refused> {
        match self.ask(&Ask::Annotations(of.cloned()))? {
            Tell::Annotations(entries) => Ok(entries),
            _ => Err(unexpected()),
        }
    }

    /// What a mailbox is and has at this moment, messages in ascending order.
    pub(crate) fn look(&mut self, name: &MailboxName) -> Result<(Portrait, Vec<Listing>), Refused> {
        let Tell::Mailbox(portrait) = self.ask(&Ask::Look(name.clone()))? else {
            return Err(unexpected());
        };
        let mut all = Vec::new();
        loop {
            match self.hear()? {
                Tell::Messages(mut some) => all.append(&mut some),
                Tell::End => return Ok((portrait, all)),
                _ => return Err(unexpected()),
            }
        }
    }

    /// Reads a message of the mailbox that was looked at last, with CRLF line ends; returns INTERNALDATE.
    /// Errors: `Expunged`; those of `put`, once the message is over.
    pub(crate) fn read(
        &mut self,
        uid: Uid,
        put: &mut dyn FnMut(&[u8]) -> Result<(), Refused>,
    ) -> Result<i64, Refused> {
        let Tell::Message(date) = self.ask(&Ask::Read(uid))? else {
            return Err(unexpected());
        };
        let mut result = Ok(());
        loop {
            match self.hear()? {
                Tell::Octets(octets) => result = result.and_then(|()| put(&octets)),
                Tell::End => return result.map(|()| date),
                _ => return Err(unexpected()),
            }
        }
    }

    /// Has nothing be known any more that was computed from these messages of the mailbox that was looked at last:
    /// their octets will be others.
    pub(crate) fn forget(&mut self, uids: &[Uid]) -> Result<(), Refused> {
        for some in uids.chunks(UIDS) {
            self.done(&Ask::Forget(some.to_vec()))?;
        }
        Ok(())
    }

    /// Messages go there from now on; the mailbox is made if it is not there. `known`: those that it has
    /// already are not filed.
    pub(crate) fn go_into(&mut self, name: &MailboxName, known: bool) -> Result<(), Refused> {
        let name = name.clone();
        self.done(&Ask::Into { name, known })
    }

    /// As `go_into`, under the UIDs that messages have: the mailbox has none yet, or is that one already.
    /// Returns the first UID that can be given. Errors: `Exists` if it is another.
    pub(crate) fn found(
        &mut self,
        name: &MailboxName,
        uid_validity: UidValidity,
        guid: Guid,
    ) -> Result<Uid, Refused> {
        let name = name.clone();
        let told = self.ask(&Ask::Found {
            name,
            uid_validity,
            guid,
        })?;
        match told {
            Tell::Founded(first) => Ok(first),
            _ => Err(unexpected()),
        }
    }

    /// Hands a message over; it is there once `commit` says so. One that cannot be read is refused.
    pub(crate) fn file(&mut self, filed: Filed, from: &mut dyn Read) -> Result<(), Refused> {
        self.send(&Ask::File(filed))?;
        loop {
            let mut octets = Vec::with_capacity(PIECE);
            let piece = u64::try_from(PIECE).unwrap_or(u64::MAX);
            let read = from.take(piece).read_to_end(&mut octets);
            match read {
                Ok(0) => break,
                Ok(_) => {}
                Err(error) => {
                    self.waiting += 1;
                    return self.send(&Ask::Drop(error.to_string()));
                }
            }
            self.octets = self.octets.saturating_add(octets.len() as u64);
            self.send(&Ask::Octets(octets))?;
        }
        self.waiting += 1;
        self.send(&Ask::End)
    }

    /// True if so much waits that it should be filed.
    pub(crate) fn is_full(&self) -> bool {
        self.waiting >= MAX_WAITING || self.octets >= MAX_OCTETS
    }

    /// Files what waits, durably; tells what became of each message.
    pub(crate) fn commit(&mut self) -> Result<Vec<Outcome>, Refused> {
        if self.waiting == 0 {
            return Ok(Vec::new());
        }
        (self.waiting, self.octets) = (0, 0);
        match self.ask(&Ask::Commit)? {
            Tell::Filed(outcomes) => Ok(outcomes),
            _ => Err(unexpected()),
        }
    }

    /// What POP3 calls messages of the mailbox, ascending, for ever.
    pub(crate) fn keep_uidls(&mut self, uidls: &[(Uid, String)]) -> Result<(), Refused> {
        for some in uidls.chunks(UIDS) {
            self.done(&Ask::Uidls(some.to_vec()))?;
        }
        Ok(())
    }

    /// The mailbox of `found` has all: UIDs below were given.
    pub(crate) fn finish(&mut self, uid_next: Uid) -> Result<(), Refused> {
        self.done(&Ask::Finish(uid_next))
    }

    pub(crate) fn subscribe(&mut self, name: &MailboxName) -> Result<(), Refused> {
        self.done(&Ask::Subscribe(name.clone()))
    }

    pub(crate) fn set_special_uses(
        &mut self,
        uses: &[(SpecialUse, MailboxName)],
    ) -> Result<(), Refused> {
        self.done(&Ask::SpecialUses(uses.to_vec()))
    }

    pub(crate) fn annotate(
        &mut self,
        of: Option<&MailboxName>,
        entries: Vec<(EntryName, Vec<u8>)>,
    ) -> Result<(), Refused> {
        let of = of.cloned();
        self.done(&Ask::Annotate { of, entries })
    }
}
