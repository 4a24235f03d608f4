//! The host's side: an account does what a guest asks.

use super::ask::{Ask, Filed};
use super::known::Known;
use super::tell::{Outcome, Roster, Tell};
use crate::codec::crlf::ToCrlf;
use crate::mail::{DateTime, Flags, Guid, MailboxName};
use crate::mailbox::{Account, Comparing, Draft, Error, Identity, NewMessage, Refill, Snapshot};
use sha2::{Digest, Sha256};
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

/// How long a guest may be silent.
const PATIENCE: Duration = Duration::from_secs(600);
/// Octets of one thing that is asked.
const MAX_ASK: u32 = 4 << 20;
/// Messages that wait to be filed together.
pub(super) const MAX_WAITING: usize = 64;
/// Octets of a piece of a message.
pub(super) const PIECE: usize = 32 * 1024;

/// Does what is asked until the guest leaves. Errors: it broke off, or asks what nobody asks.
pub(crate) fn attend(account: &Account, stream: UnixStream) -> io::Result<()> {
    stream.set_nonblocking(false)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let mut host = Host {
        account,
        input: BufReader::new(stream.try_clone()?),
        output: BufWriter::new(stream),
        snapshot: None,
        target: None,
        waiting: Vec::new(),
        outcomes: Vec::new(),
    };
    while let Some(ask) = host.hear()? {
        host.answer(ask)?;
        host.output.flush()?;
    }
    Ok(())
}

/// Tells a guest why the account whose mail is in `root` cannot be opened.
pub(crate) fn refuse(error: Error, root: &Path, mut stream: UnixStream) -> io::Result<()> {
    stream.set_nonblocking(false)?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let told = Tell::Failed(error.into(), error.told_at(root));
    write_frame(&mut stream, &told.encode())
}

/// Where messages go.
struct Target {
    name: MailboxName,
    /// Held as long as it counts what is known.
    known: Option<(Known, Comparing)>,
    refill: Option<Refill>,
}

/// A message that waits to be filed.
struct Waiting {
    draft: Draft,
    flags: Flags,
    date: Option<DateTime>,
    /// Its place among the outcomes.
    at: usize,
}

struct Host<'a> {
    account: &'a Account,
    input: BufReader<UnixStream>,
    output: BufWriter<UnixStream>,
    snapshot: Option<Snapshot>,
    target: Option<Target>,
    waiting: Vec<Waiting>,
    outcomes: Vec<Outcome>,
}

/// A frame; `None` at the end. Errors: `InvalidData` if it is larger than `most`.
pub(super) fn read_frame(input: &mut impl Read, most: u32) -> io::Result<Option<Vec<u8>>> {
    let mut length = [0; 4];
    if let Err(error) = input.read_exact(&mut length) {
        return match error.kind() {
            io::ErrorKind::UnexpectedEof => Ok(None),
            _ => Err(error),
        };
    }
    let length = u32::from_le_bytes(length);
    if length > most {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let mut bytes = Vec::new();
    input.take(u64::from(length)).read_to_end(&mut bytes)?;
    match u32::try_from(bytes.len()) == Ok(length) {
        true => Ok(Some(bytes)),
        false => Err(io::ErrorKind::UnexpectedEof.into()),
    }
}

pub(super) fn write_frame(output: &mut impl Write, bytes: &[u8]) -> io::Result<()> {
    let length = u32::try_from(bytes.len()).map_err(io::Error::other)?;
    output.write_all(&length.to_le_bytes())?;
    output.write_all(bytes)
}

impl Host<'_> {
    fn hear(&mut self) -> io::Result<Option<Ask>> {
        let Some(bytes) = read_frame(&mut self.input, MAX_ASK)? else {
            return Ok(None);
        };
        let ask = Ask::decode(&bytes);
        ask.map(Some).ok_or(io::ErrorKind::InvalidData.into())
    }

    fn tell(&mut self, tell: &Tell) -> io::Result<()> {
        write_frame(&mut self.output, &tell.encode())
    }

    fn answer(&mut self, ask: Ask) -> io::Result<()> {
        let told = match ask {
            Ask::Look(name) => return self.look(&name),
            Ask::Read(uid) => return self.read(uid),
            Ask::File(filed) => return self.file(filed),
            Ask::Octets(_) | Ask::End | Ask::Drop(_) => {
                return Err(io::ErrorKind::InvalidData.into());
            }
            other => self.obey(other),
        };
        self.tell_result(told)
    }

    fn tell_result(&mut self, told: Result<Tell, Error>) -> io::Result<()> {
        let tell = told.unwrap_or_else(|error| Tell::Failed(error.into(), told_of(error)));
        self.tell(&tell)
    }

    fn obey(&mut self, ask: Ask) -> Result<Tell, Error> {
        match ask {
            Ask::Account => self.roster().map(Tell::Account),
            Ask::Annotations(of) => self.account.annotations(of.as_ref()).map(Tell::Annotations),
            Ask::Into { name, known } => self.go_into(name, known),
            Ask::Found {
                name,
                uid_validity,
                guid,
            } => {
                self.target = None;
                let refill = self.account.refill(&name, uid_validity, guid)?;
                let first = refill.first;
                self.target = Some(Target {
                    name,
                    known: None,
                    refill: Some(refill),
                });
                Ok(Tell::Founded(first))
            }
            Ask::Forget(uids) => {
                let snapshot = self.snapshot.as_ref().ok_or(Error::NoSuchMailbox)?;
                snapshot.forget(&uids).map(|()| Tell::Done)
            }
            Ask::Commit => self.commit(),
            Ask::Uidls(uidls) => {
                let target = self.target.as_ref().ok_or(Error::NoSuchMailbox)?;
                let access = crate::mailbox::Access::ReadOnly;
                let view = self.account.select(&target.name, access)?;
                let uidls: Vec<_> = uidls
                    .into_iter()
                    .map(|(u, text)| (u, text.into()))
                    .collect();
                view.keep_uidls(&uidls)?;
                Ok(Tell::Done)
            }
            Ask::Finish(uid_next) => {
                let refill = self.target.take().and_then(|target| target.refill);
                refill.ok_or(Error::NoSuchMailbox)?.finish(uid_next)?;
                Ok(Tell::Done)
            }
            Ask::Subscribe(name) => self.account.subscribe(&name, true).map(|()| Tell::Done),
            Ask::SpecialUses(uses) => self.account.set_special_uses(&uses).map(|()| Tell::Done),
            Ask::Annotate { of, entries } => {
                let entries = entries.into_iter();
                let set = entries.map(|(name, value)| (name, Some(value))).collect();
                self.account.annotate(of.as_ref(), set, 0)?;
                Ok(Tell::Done)
            }
            // Those that `answer` takes.
            _ => Err(Error::Fault),
        }
    }

    fn roster(&self) -> Result<Roster, Error> {
        let mut absent = Vec::new();
        Ok(Roster {
            mailboxes: self.account.names_there(&mut absent)?,
            absent,
            subscriptions: self.account.subscriptions_there()?,
            special_uses: self.account.said_special_uses()?,
        })
    }

    fn look(&mut self, name: &MailboxName) -> io::Result<()> {
        self.snapshot = None;
        let mut snapshot = match self.account.snapshot(name) {
            Ok(snapshot) => snapshot,
            Err(error) => return self.tell_result(Err(error)),
        };
        self.tell(&Tell::Mailbox(snapshot.portrait.clone()))?;
        loop {
            match snapshot.list() {
                Ok(Some(some)) if some.is_empty() => {}
                Ok(Some(some)) => self.tell(&Tell::Messages(some))?,
                Ok(None) => break,
                Err(error) => return self.tell_result(Err(error)),
            }
        }
        self.snapshot = Some(snapshot);
        self.tell(&Tell::End)
    }

    fn read(&mut self, uid: crate::mail::Uid) -> io::Result<()> {
        let snapshot = self.snapshot.as_ref().ok_or(Error::NoSuchMailbox);
        let (mut content, date) = match snapshot.and_then(|snapshot| snapshot.read(uid)) {
            Ok(read) => read,
            Err(error) => return self.tell_result(Err(error)),
        };
        self.tell(&Tell::Message(date))?;
        loop {
            let mut octets = Vec::with_capacity(PIECE);
            match content.read(&mut octets, PIECE) {
                Ok(0) => return self.tell(&Tell::End),
                Ok(_) => self.tell(&Tell::Octets(octets))?,
                Err(error) => return self.tell_result(Err(error)),
            }
        }
    }

    /// Messages go there from now on; the mailbox is made if it is not there.
    fn go_into(&mut self, name: MailboxName, known: bool) -> Result<Tell, Error> {
        self.target = None;
        match self.account.create(&name) {
            Ok(_) | Err(Error::MailboxExists) => {}
            Err(error) => return Err(error),
        }
        let known = match known {
            true => {
                let comparing = self.account.compare(&name)?;
                Some((Known::new(self.account.guids(&name)?), comparing))
            }
            false => None,
        };
        self.target = Some(Target {
            name,
            known,
            refill: None,
        });
        Ok(Tell::Done)
    }

    /// Takes the octets of a message, which then waits.
    fn file(&mut self, filed: Filed) -> io::Result<()> {
        if self.waiting.len() >= MAX_WAITING {
            return Err(io::ErrorKind::InvalidData.into());
        }
        let mut draft = match &self.target {
            Some(target) => self.account.draft_for(&target.name),
            None => self.account.draft(),
        };
        let mut written = Ok(());
        // What it is known by is made of its octets where nobody says it.
        let mut own = filed.guid.ok_or_else(Made::default);
        loop {
            match self.hear()? {
                Some(Ask::Octets(octets)) if written.is_ok() => {
                    if let Err(made) = &mut own {
                        made.take(&octets);
                    }
                    written = draft.write(&octets);
                }
                Some(Ask::Octets(_)) => {}
                Some(Ask::End) => break,
                Some(Ask::Drop(why)) => {
                    self.outcomes.push(Outcome::Refused(why));
                    return Ok(());
                }
                _ => return Err(io::ErrorKind::InvalidData.into()),
            }
        }
        let own = own.unwrap_or_else(Made::guid);
        let guid = written.and_then(|()| {
            draft.identify(Identity {
                uid: filed.uid,
                guid: own,
                saved: filed.saved,
            })
        });
        let target = self.target.as_mut();
        let outcome = match guid {
            Ok(guid) => {
                let known = target.and_then(|target| target.known.as_mut());
                match known.is_some_and(|(known, _)| known.take(guid)) {
                    true => Outcome::Known,
                    false => Outcome::Added,
                }
            }
            Err(error) => Outcome::Refused(told_of(error)),
        };
        if outcome == Outcome::Added {
            self.waiting.push(Waiting {
                draft,
                flags: filed.flags,
                date: filed.date.map(DateTime::utc),
                at: self.outcomes.len(),
            });
        }
        self.outcomes.push(outcome);
        Ok(())
    }

    /// Files what waits.
    fn commit(&mut self) -> Result<Tell, Error> {
        let name = self.target.as_ref().map(|target| target.name.clone());
        let name = name.ok_or(Error::NoSuchMailbox)?;
        let mut waiting = std::mem::take(&mut self.waiting);
        let mut outcomes = std::mem::take(&mut self.outcomes);
        if !waiting.is_empty() {
            let mut all: Vec<NewMessage<'_>> = waiting.iter_mut().map(Waiting::message).collect();
            match self.account.append_each(&name, &mut all) {
                Ok(_) => {}
                Err(Error::Limit(_)) => {
                    drop(all);
                    for one in &mut waiting {
                        let outcome = self.file_alone(&name, one)?;
                        if let Some(own) = outcomes.get_mut(one.at) {
                            *own = outcome;
                        }
                    }
                }
                Err(error) => return Err(error),
            }
        }
        Ok(Tell::Filed(outcomes))
    }

    /// Files one of several of which some run into a limit.
    fn file_alone(&self, name: &MailboxName, one: &mut Waiting) -> Result<Outcome, Error> {
        match self.account.append_each(name, &mut [one.message()]) {
            Ok(_) => return Ok(Outcome::Added),
            Err(Error::Limit(_)) if !one.flags.keywords.is_empty() => {}
            Err(Error::Limit(limit)) => return Ok(Outcome::Refused(limit.to_owned())),
            Err(error) => return Err(error),
        }
        one.flags.keywords.clear();
        match self.account.append_each(name, &mut [one.message()]) {
            Ok(_) => Ok(Outcome::Stripped),
            Err(Error::Limit(limit)) => Ok(Outcome::Refused(limit.to_owned())),
            Err(error) => Err(error),
        }
    }
}

/// The GUID of a message, made of its octets with CRLF line ends.
#[derive(Default)]
struct Made {
    crlf: ToCrlf,
    digest: Sha256,
}

impl Made {
    fn take(&mut self, octets: &[u8]) {
        let mut lines = Vec::with_capacity(octets.len() + octets.len() / 16);
        self.crlf.decode(octets, &mut lines);
        self.digest.update(&lines);
    }

    fn guid(self) -> Guid {
        let sum = self.digest.finalize();
        Guid(sum.first_chunk().copied().unwrap_or_default())
    }
}

impl Waiting {
    fn message(&mut self) -> NewMessage<'_> {
        NewMessage {
            draft: &mut self.draft,
            flags: &self.flags,
            date: self.date,
        }
    }
}

fn told_of(error: Error) -> String {
    match error {
        Error::TooLarge => "it is larger than `message_octets` allows".to_owned(),
        Error::MailboxExists => "there is a mailbox of that name".to_owned(),
        Error::Expunged => "it was expunged meanwhile".to_owned(),
        Error::EntryTooLong(_) | Error::TooManyEntries => {
            "annotations are more than `metadata_octets` or `metadata_entries` allow".to_owned()
        }
        other => other.reason().to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Outcome, Reason, Visit};
    use super::*;
    use crate::mail::Uid;

    /// A visit to an account of its own, and what the host said of it in the end.
    fn visiting(work: impl FnOnce(UnixStream)) -> io::Result<()> {
        let (account, _directory) = Account::volatile();
        let (near, far) = UnixStream::pair().unwrap();
        std::thread::scope(|scope| {
            let host = scope.spawn(|| attend(&account, far));
            work(near);
            host.join().unwrap()
        })
    }

    fn filed(uid: Option<u32>) -> Filed {
        Filed {
            uid: uid.and_then(Uid::new),
            date: Some(1_000_000_000),
            ..Filed::default()
        }
    }

    /// Reads so much and then fails.
    struct Broken(&'static [u8]);

    impl Read for Broken {
        fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
            match self.0.is_empty() {
                true => Err(io::Error::other("bad sector")),
                false => self.0.read(out),
            }
        }
    }

    #[test]
    fn who_is_refused_is_told_where() {
        let (near, far) = UnixStream::pair().unwrap();
        let mut visit = Visit::new(near).unwrap();
        std::thread::scope(|scope| {
            scope.spawn(|| refuse(Error::Gone, Path::new("/mail/ann"), far).unwrap());
            let refused = visit.account().unwrap_err();
            let start = "/mail/ann: the directory of the mail is empty: is its disk mounted?";
            assert!(refused.text.starts_with(start), "{refused:?}");
        });
    }

    #[test]
    fn messages_come_and_are_listed_and_read() {
        let ended = visiting(|stream| {
            let mut visit = Visit::new(stream).unwrap();
            let name = MailboxName::new("a/b").unwrap();
            visit.go_into(&name, true).unwrap();
            visit
                .file(filed(None), &mut &b"Subject: x\n\ny\n"[..])
                .unwrap();
            visit
                .file(filed(None), &mut Broken(b"Subject: y\n"))
                .unwrap();
            visit
                .file(filed(None), &mut &b"Subject: x\r\n\r\ny\r\n"[..])
                .unwrap();
            let refused = Outcome::Refused("bad sector".to_owned());
            let expected = [Outcome::Added, refused, Outcome::Added];
            assert_eq!(visit.commit().unwrap(), expected);
            // Both are the same message, and there are two of them.
            visit.go_into(&name, true).unwrap();
            for _ in 0..3 {
                visit
                    .file(filed(None), &mut &b"Subject: x\n\ny\n"[..])
                    .unwrap();
            }
            let expected = [Outcome::Known, Outcome::Known, Outcome::Added];
            assert_eq!(visit.commit().unwrap(), expected);
            let (portrait, listings) = visit.look(&name).unwrap();
            assert_eq!((portrait.messages, listings.len()), (3, 3));
            let mut text = Vec::new();
            let date = visit.read(listings[0].uid, &mut |octets| {
                text.extend_from_slice(octets);
                Ok(())
            });
            assert_eq!(date.unwrap(), 1_000_000_000);
            assert_eq!(text, b"Subject: x\r\n\r\ny\r\n");
            let gone = visit.read(Uid::new(99).unwrap(), &mut |_| Ok(()));
            assert_eq!(gone.unwrap_err().reason, Reason::Expunged);
            // UIDs are given by `found` alone, and to the mailbox that it says.
            let other = visit.found(&name, portrait.uid_validity, Guid([1; 16]));
            assert_eq!(other.unwrap_err().reason, Reason::Exists);
            let same = visit.found(&name, portrait.uid_validity, portrait.guid);
            assert_eq!(same.unwrap(), portrait.uid_next);
            visit.file(filed(Some(9)), &mut &b"a: b\n\n"[..]).unwrap();
            assert_eq!(visit.commit().unwrap(), [Outcome::Added]);
            visit.finish(Uid::new(20).unwrap()).unwrap();
            let (portrait, listings) = visit.look(&name).unwrap();
            assert_eq!(portrait.uid_next.number(), 20);
            assert_eq!(listings[3].uid.number(), 9);
        });
        ended.unwrap();
    }

    #[test]
    fn what_no_guest_does_ends_the_visit() {
        let send = |stream: &mut UnixStream, ask: &Ask| write_frame(stream, &ask.encode());
        let many = visiting(|mut stream| {
            let name = MailboxName::inbox();
            send(&mut stream, &Ask::Into { name, known: false }).unwrap();
            for _ in 0..=MAX_WAITING {
                send(&mut stream, &Ask::File(filed(None))).ok();
                send(&mut stream, &Ask::End).ok();
            }
            read_frame(&mut stream, MAX_ASK).unwrap().unwrap();
            assert!(read_frame(&mut stream, MAX_ASK).is_ok_and(|frame| frame.is_none()));
        });
        assert_eq!(many.unwrap_err().kind(), io::ErrorKind::InvalidData);
        let long = visiting(|mut stream| {
            stream.write_all(&(MAX_ASK + 1).to_le_bytes()).unwrap();
        });
        assert_eq!(long.unwrap_err().kind(), io::ErrorKind::InvalidData);
        let unknown = visiting(|mut stream| write_frame(&mut stream, &[99]).unwrap());
        assert_eq!(unknown.unwrap_err().kind(), io::ErrorKind::InvalidData);
        let stray = visiting(|mut stream| send(&mut stream, &Ask::End).unwrap());
        assert_eq!(stray.unwrap_err().kind(), io::ErrorKind::InvalidData);
        let half = visiting(|mut stream| stream.write_all(&[9, 0, 0, 0, 1]).unwrap());
        assert_eq!(half.unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
    }
}
