//! What the log of a mailbox says.

use super::super::arrival::Identity;
use super::super::folded::Folded;
use super::super::line::{Contents, Line, Together, came};
use super::super::record::Record;
use super::{BLOCK, Each, Log, MAX_LOOSE, State, scratch};
use crate::mail::{Keyword, Uid, UidSet};
use crate::store::Error;
use crate::store::side::gathering::Gathering;
use crate::store::side::{checked, room};
use crate::sys::regular;
use std::borrow::Cow;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

/// Octets of the end of a log that tell whether it lacks such lines.
const TAIL: u64 = 4 * MAX_LOOSE;
/// A log has no more octets: a hundred for each of ten million messages.
pub(super) const MAX_OCTETS: u64 = 1 << 30;
pub(super) const TOO_LONG: Error = Error::Corrupt {
    what: "the log of a mailbox",
};

/// A few things that the file says.
pub(super) struct Known {
    pub(super) mailbox: Option<Identity>,
    pub(super) uid_next: Option<Uid>,
    pub(super) keywords: Vec<Option<Keyword>>,
    pub(super) together: Vec<Together>,
}

impl Known {
    pub(super) fn of(contents: &Contents) -> Known {
        Known {
            mailbox: contents.known,
            uid_next: contents.uid_next,
            keywords: contents.keywords.clone(),
            together: contents.together.clone(),
        }
    }

    pub(super) fn note(&mut self, line: Line<'_>) {
        match line {
            Line::Filed(record, ..) => {
                if let Some(uid) = Record::uid(record) {
                    self.uid_next = self.uid_next.max(uid.next());
                    came(&mut self.together, uid);
                }
            }
            Line::Next(next) => self.uid_next = self.uid_next.max(Some(next)),
            Line::Expunged(uid) => self.uid_next = self.uid_next.max(uid.next()),
            Line::Named(at, keyword) => {
                let length = self.keywords.len().max(at + 1);
                self.keywords.resize(length, None);
                if let Some(own) = self.keywords.get_mut(at) {
                    *own = Some(keyword.clone());
                }
            }
            Line::Together(first, last) => self.together.push(Together::counted(first, last)),
            Line::Open(first, last) => self.together.push(Together::open(first, last)),
            Line::Ended(first, last) => self.together.retain(|t| t.ends() != (first, last)),
            Line::Version(validity, guid) => self.mailbox = Some((validity, guid)),
            Line::Marked(..) | Line::Placed(..) | Line::Uidl(..) => {}
        }
    }
}

impl Log {
    /// What the end of the file tells, without reading all of it: which mailbox that is, and which UIDs were given;
    /// `None` of what it does not tell.
    pub(in crate::store::dbox) fn tail(&self) -> Result<(Option<Identity>, Option<Uid>), Error> {
        let state = self.state();
        let mailbox = mailbox_in(&state.file, state.end)?;
        let start = state.end.saturating_sub(TAIL);
        let tail = part(&state.file, start, state.end)?;
        let from = match start {
            0 => 0,
            _ => memchr::memchr(b'\n', &tail).map_or(tail.len(), |at| at + 1),
        };
        let last = Contents::parse(tail.get(from..).unwrap_or_default());
        let whole = last.damaged == 0 && state.waiting.is_empty();
        Ok((mailbox, last.uid_next.filter(|_| whole)))
    }

    /// Of which mailbox a log is that is not open.
    pub(in crate::store::dbox) fn mailbox_at(path: &Path) -> Result<Option<Identity>, Error> {
        let file = regular::open(path)?;
        let length = file.metadata()?.len();
        Ok(mailbox_in(&file, length)?)
    }

    /// Which UIDs were given: those below the first of these two, but, where a line cannot be read, of what it may have
    /// said; and those that lines tell of.
    pub(in crate::store::dbox) fn given(&self) -> Result<(Option<Uid>, UidSet), Error> {
        let mut state = self.state();
        self.flush_if_room(&mut state)?;
        let (mut head, mut floor, mut told) = (Contents::default(), None, Vec::new());
        state.each_line(&mut |line| {
            let (before, damaged) = (head.uid_next, head.damaged);
            head.skim_one(line, &mut |uid, line| {
                if line.starts_with('F') {
                    told.push(uid);
                }
                Ok(())
            })?;
            if head.damaged > damaged && damaged == 0 {
                floor = Some(before);
            }
            Ok(())
        })?;
        crate::mail::sort(&mut told);
        let told: UidSet = told.into_iter().collect();
        Ok((floor.unwrap_or(head.uid_next), told.union(&head.expunged)))
    }

    /// What it says, all in memory. Errors: as of [`whole`].
    pub(in crate::store::dbox) fn contents(&self) -> Result<Contents, Error> {
        let mut state = self.state();
        self.flush_if_room(&mut state)?;
        let mut text = whole(&state.file, state.end)?;
        text.extend_from_slice(&state.waiting);
        let contents = Contents::parse(&text);
        state.known = Some(Known::of(&contents));
        Ok(contents)
    }

    /// The first of the UIDs at the end that were given to messages which are not `there`: lines say that those came, and
    /// nothing else that these UIDs were given. `None`: there are none, or not all lines can be read.
    pub(in crate::store::dbox) fn untold(&self, there: &UidSet) -> Result<Option<Uid>, Error> {
        let mut state = self.state();
        self.flush_if_room(&mut state)?;
        let mut given = there.last().and_then(Uid::next);
        let (mut absent, mut damaged) = (Vec::new(), 0);
        state.each_line(&mut |line| {
            let (mut one, mut filed) = (Contents::default(), None);
            one.skim_one(line, &mut |uid, line| {
                filed = filed.or(line.starts_with('F').then_some(uid));
                Ok(())
            })?;
            damaged += one.damaged;
            match filed {
                Some(uid) if there.contains(uid) => {}
                Some(uid) => absent.push(uid),
                None => given = given.max(one.uid_next),
            }
            Ok(())
        })?;
        let untold = absent.into_iter().filter(|uid| Some(*uid) >= given);
        Ok(untold.min().filter(|_| damaged == 0))
    }

    /// What it says but of messages.
    pub(in crate::store::dbox) fn head(&self) -> Result<Contents, Error> {
        let mut state = self.state();
        let head = self.skim(&mut state, &mut |_, _| Ok(()))?;
        Ok(head)
    }

    /// What it says, of messages apart. `octets`: what may be in memory of those.
    pub(in crate::store::dbox) fn folded(
        &self,
        octets: usize,
    ) -> Result<(Contents, Folded), Error> {
        let mut state = self.state();
        let path = state.path.clone();
        let mut scratch = || scratch(&path);
        let mut all = Gathering::new(octets);
        let head = self.skim(&mut state, &mut |uid, line| {
            all.add(uid, line, &mut scratch)
        })?;
        drop(state);
        Ok((head, Folded(all.finish(&mut scratch)?)))
    }

    /// Calls `each` with every line of a message. Returns what the others say.
    pub(super) fn skim(&self, state: &mut State, each: &mut Each<'_>) -> Result<Contents, Error> {
        self.flush_if_room(state)?;
        let mut head = Contents::default();
        state.each_line(&mut |line| head.skim_one(line, each))?;
        state.known = Some(Known::of(&head));
        Ok(head)
    }

    /// Finds out what it says, but of messages, if nobody did.
    pub(super) fn know(&self, state: &mut State) -> Result<(), Error> {
        match state.known {
            Some(_) => Ok(()),
            None => self.skim(state, &mut |_, _| Ok(())).map(drop),
        }
    }
}

impl Contents {
    /// Takes a line, as [`Contents::skim`] does, and calls `each` if it is one of a message.
    pub(super) fn skim_one(
        &mut self,
        line: Option<Cow<'_, str>>,
        each: &mut Each<'_>,
    ) -> Result<(), Error> {
        self.count(line.as_ref());
        match line
            .as_deref()
            .and_then(|line| Some((line, self.skim(line)?)))
        {
            Some((line, about)) => about.each(line, each)?,
            None => self.damaged += 1,
        }
        Ok(())
    }
}

fn part(file: &File, from: u64, to: u64) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; usize::try_from(to - from).unwrap_or(0)];
    file.read_exact_at(&mut bytes, from)?;
    Ok(bytes)
}

/// What the first line of a log says that ends there.
fn mailbox_in(file: &File, end: u64) -> io::Result<Option<Identity>> {
    let mut first = Contents::default();
    let head = part(file, 0, end.min(BLOCK))?;
    if let Some(Some(line)) = checked::lines(&head).next() {
        first.skim(&line);
    }
    Ok(first.known)
}

/// All lines of a file that end there. Errors: `Corrupt` if that is further than any log goes, and those of
/// [`room::for_log`].
pub(super) fn whole(file: &File, end: u64) -> Result<Vec<u8>, Error> {
    let length = usize::try_from(end).ok().filter(|_| end <= MAX_OCTETS);
    let length = length.ok_or(TOO_LONG)?;
    room::for_log(end)?;
    let mut text = vec![0; length];
    file.read_exact_at(&mut text, 0)?;
    Ok(text)
}
