//! Lines of a log that tell of messages, brought together by UIDs without all of them in memory.

use crate::mail::Uid;
use crate::store::sorter::{Records, Sorted};
use crate::store::{Error, Scratch, Sorter};

/// Octets in front of a line: its UID and number, which sort as these do.
const HEAD: usize = 8;

/// Lines as they come.
pub(in crate::store) struct Gathering {
    sorter: Sorter,
    count: u32,
    key: Vec<u8>,
}

impl Gathering {
    /// `octets`: what may be in memory.
    pub(in crate::store) fn new(octets: usize) -> Gathering {
        Gathering {
            sorter: Sorter::new(octets),
            count: 0,
            key: Vec::new(),
        }
    }

    /// Adds a line that tells of a message. Errors: those of `scratch` and of writing its file.
    pub(in crate::store) fn add(
        &mut self,
        uid: Uid,
        line: &str,
        scratch: &mut Scratch<'_>,
    ) -> Result<(), Error> {
        self.key.clear();
        self.key.extend_from_slice(&uid.number().to_be_bytes());
        self.key.extend_from_slice(&self.count.to_be_bytes());
        self.key.extend_from_slice(line.as_bytes());
        self.count = self.count.checked_add(1).ok_or(Error::TooMany)?;
        self.sorter.add(&self.key, 0, scratch)
    }

    /// Errors: as of `add`.
    pub(in crate::store) fn finish(self, scratch: &mut Scratch<'_>) -> Result<Gathered, Error> {
        Ok(Gathered(self.sorter.finish(scratch)?))
    }
}

/// All lines of messages.
pub(in crate::store) struct Gathered(Sorted);

impl Gathered {
    /// Goes through the messages.
    pub(in crate::store) fn groups(&self) -> Result<Groups<'_>, Error> {
        Ok(Groups {
            lines: self.0.records()?,
            ahead: None,
        })
    }
}

/// A place among messages.
pub(in crate::store) struct Groups<'g> {
    lines: Records<'g>,
    /// The first line of the next one.
    ahead: Option<(Uid, Box<str>)>,
}

impl Groups<'_> {
    /// Calls `each` with the lines of the next message, in the order in which they came. Returns its UID; `None`
    /// after the last one.
    pub(in crate::store) fn next(
        &mut self,
        each: &mut dyn FnMut(&str),
    ) -> Result<Option<Uid>, Error> {
        let mut uid = None;
        if let Some((own, line)) = self.ahead.take() {
            uid = Some(own);
            each(&line);
        }
        while let Some((key, _)) = self.lines.next()? {
            let (own, line) = split(key).ok_or(Error::Corrupt {
                what: "a sorted run",
            })?;
            if *uid.get_or_insert(own) != own {
                self.ahead = Some((own, line.into()));
                break;
            }
            each(line);
        }
        Ok(uid)
    }
}

fn split(key: &[u8]) -> Option<(Uid, &str)> {
    let (uid, line) = (key.first_chunk::<4>()?, key.get(HEAD..)?);
    let uid = Uid::new(u32::from_be_bytes(*uid))?;
    Some((uid, std::str::from_utf8(line).ok()?))
}
