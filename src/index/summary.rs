//! What SELECT and STATUS need to know of a mailbox, in one row.

use super::bits::{put_varint, take, take_varint};
use crate::mail::{Guid, Keyword, ModSeq, Since, Uid, UidValidity};

/// The octets of all messages, as long as none came or went: then UIDNEXT or the count changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SizeOf {
    pub(crate) uid_next: Uid,
    pub(crate) messages: u32,
    pub(crate) octets: u64,
}

/// The store had just what the rows say, durably, at that time; it still holds after a hard stop as long as the
/// mod-sequence is the highest and the stamp is the store's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Rest {
    pub(crate) mod_seq: ModSeq,
    pub(crate) stamp: [i64; 3],
    /// Nanoseconds since 1970.
    pub(crate) time: i64,
}

/// Totals and numbers of one mailbox.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Summary {
    pub(crate) uid_validity: UidValidity,
    pub(crate) uid_next: Uid,
    pub(crate) guid: Guid,
    pub(crate) highest_mod_seq: ModSeq,
    /// Expunges up to this mod-sequence are not, or not all, remembered.
    pub(crate) horizon: u64,
    /// Mod-sequences between these two may have been told with flags that are not as they were told: a power
    /// cut took them.
    pub(crate) doubtful: (u64, u64),
    /// Rows of expunges that are remembered.
    pub(crate) expunges: u32,
    pub(crate) messages: u32,
    pub(crate) seen: u32,
    /// As it was when somebody last asked.
    pub(crate) size: Option<SizeOf>,
    /// Messages from here on were told to no session yet (RFC 3501 section 2.3.2, \Recent).
    pub(crate) first_recent: Uid,
    /// Nanoseconds since 1970 of new/, cur/ and the side file when they were last found consistent.
    pub(crate) stamp: [i64; 3],
    /// Nanoseconds since 1970 when the stamp was taken; 0: it means nothing.
    pub(crate) stamp_time: i64,
    pub(crate) rest: Option<Rest>,
    /// Numbers are positions; `None`: a letter without a name.
    pub(crate) keywords: Vec<Option<Keyword>>,
}

/// 1: the first; 2: with the expunges; 3: with the size; 4: with the rest; 5: with what is doubtful.
const VERSION: u8 = 5;

impl Summary {
    /// True if a change may be missing that somebody was told of who knows that mod-sequence.
    pub(crate) fn is_doubtful(&self, since: Since) -> bool {
        let (known, sure) = self.doubtful;
        known < since.number() && since.number() < sure
    }

    pub(crate) fn new(uid_validity: UidValidity, uid_next: Uid, guid: Guid) -> Summary {
        Summary {
            uid_validity,
            uid_next,
            guid,
            highest_mod_seq: ModSeq::MIN,
            horizon: 0,
            doubtful: (0, 0),
            expunges: 0,
            messages: 0,
            seen: 0,
            size: None,
            first_recent: Uid::MIN,
            stamp: [0; 3],
            stamp_time: 0,
            rest: None,
            keywords: Vec::new(),
        }
    }

    /// The octets of all messages, if they were added up since the last one came or went.
    pub(crate) fn current_size(&self) -> Option<u64> {
        let now = (self.uid_next, self.messages);
        let size = self.size.filter(|s| (s.uid_next, s.messages) == now);
        size.map(|size| size.octets)
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = vec![VERSION];
        out.extend_from_slice(&self.guid.0);
        let numbers = [
            self.uid_validity.number(),
            self.uid_next.number(),
            self.messages,
            self.seen,
            self.first_recent.number(),
            self.expunges,
        ];
        numbers
            .iter()
            .for_each(|&n| put_varint(u64::from(n), &mut out));
        put_varint(self.highest_mod_seq.number(), &mut out);
        put_varint(self.horizon, &mut out);
        put_varint(self.doubtful.0, &mut out);
        put_varint(self.doubtful.1, &mut out);
        self.stamp
            .iter()
            .for_each(|&time| put_varint(time.cast_unsigned(), &mut out));
        put_varint(self.stamp_time.cast_unsigned(), &mut out);
        if let Some(size) = self.size {
            put_varint(u64::from(size.uid_next.number()), &mut out);
            put_varint(u64::from(size.messages), &mut out);
            put_varint(size.octets, &mut out);
        } else {
            out.push(0);
        }
        match &self.rest {
            Some(rest) => {
                put_varint(rest.mod_seq.number(), &mut out);
                for time in rest.stamp.iter().chain([&rest.time]) {
                    put_varint(time.cast_unsigned(), &mut out);
                }
            }
            None => out.push(0),
        }
        put_varint(self.keywords.len() as u64, &mut out);
        for keyword in &self.keywords {
            let name = keyword.as_ref().map_or("", Keyword::as_str);
            put_varint(name.len() as u64, &mut out);
            out.extend_from_slice(name.as_bytes());
        }
        out
    }

    pub(crate) fn decode(mut bytes: &[u8]) -> Option<Summary> {
        let bytes = &mut bytes;
        let version = *take(bytes, 1)?.first()?;
        if !(1..=VERSION).contains(&version) {
            return None;
        }
        let guid = Guid(take(bytes, 16)?.try_into().ok()?);
        let mut number = || u32::try_from(take_varint(bytes)?).ok();
        let (uid_validity, uid_next) = (UidValidity::new(number()?)?, Uid::new(number()?)?);
        let (messages, seen, first_recent) = (number()?, number()?, Uid::new(number()?)?);
        let expunges = if version >= 2 { number()? } else { 0 };
        let highest_mod_seq = ModSeq::new(take_varint(bytes)?)?;
        let horizon = if version >= 2 {
            take_varint(bytes)?
        } else {
            highest_mod_seq.number()
        };
        let doubtful = match version >= 5 {
            true => (take_varint(bytes)?, take_varint(bytes)?),
            false => (0, 0),
        };
        let mut stamp = [0; 3];
        for time in &mut stamp {
            *time = take_varint(bytes)?.cast_signed();
        }
        let stamp_time = take_varint(bytes)?.cast_signed();
        let size = if version >= 3 { size(bytes)? } else { None };
        let rest = if version >= 4 { rest(bytes)? } else { None };
        let mut keywords = Vec::new();
        for _ in 0..take_varint(bytes)? {
            let length = usize::try_from(take_varint(bytes)?).ok()?;
            keywords.push(Keyword::new(
                std::str::from_utf8(take(bytes, length)?).ok()?,
            ));
        }
        Some(Summary {
            uid_validity,
            uid_next,
            guid,
            highest_mod_seq,
            horizon,
            doubtful,
            expunges,
            messages,
            seen,
            size,
            first_recent,
            stamp,
            stamp_time,
            rest,
            keywords,
        })
    }
}

fn size(bytes: &mut &[u8]) -> Option<Option<SizeOf>> {
    let Some(uid_next) = Uid::new(u32::try_from(take_varint(bytes)?).ok()?) else {
        return Some(None);
    };
    Some(Some(SizeOf {
        uid_next,
        messages: u32::try_from(take_varint(bytes)?).ok()?,
        octets: take_varint(bytes)?,
    }))
}

fn rest(bytes: &mut &[u8]) -> Option<Option<Rest>> {
    let Some(mod_seq) = ModSeq::new(take_varint(bytes)?) else {
        return Some(None);
    };
    let mut time = || Some(take_varint(bytes)?.cast_signed());
    Some(Some(Rest {
        mod_seq,
        stamp: [time()?, time()?, time()?],
        time: time()?,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn summary_survives() {
        let mut summary = Summary::new(
            UidValidity::new(9).unwrap(),
            Uid::new(4).unwrap(),
            Guid([7; 16]),
        );
        summary.keywords = vec![Keyword::new("$Junk"), None];
        (summary.horizon, summary.expunges) = (1 << 50, 77);
        summary.doubtful = (300, 1 << 40);
        summary.stamp = [-1, 0, i64::MAX];
        assert_eq!(Summary::decode(&summary.encode()), Some(summary.clone()));
        summary.size = Some(SizeOf {
            uid_next: Uid::MAX,
            messages: 3,
            octets: 1 << 40,
        });
        summary.rest = Some(Rest {
            mod_seq: ModSeq::new(1 << 62).unwrap(),
            stamp: [i64::MIN, 0, 7],
            time: 1 << 60,
        });
        let bytes = summary.encode();
        assert_eq!(Summary::decode(&bytes), Some(summary));
        for cut in 0..bytes.len() {
            assert_eq!(Summary::decode(&bytes[..cut]), None);
        }
    }

    #[test]
    fn a_summary_without_expunges_is_read() {
        let guid = [[1].as_slice(), &[7; 16]].concat();
        // UIDVALIDITY 9, UIDNEXT 4, 3 messages, 2 seen, recent from 4, mod-sequence 300, no stamp.
        let old = [guid.as_slice(), &[9, 4, 3, 2, 4, 0xac, 2, 0, 0, 0, 0, 0]].concat();
        let summary = Summary::decode(&old).unwrap();
        assert_eq!(
            (summary.messages, summary.highest_mod_seq.number()),
            (3, 300)
        );
        assert_eq!((summary.horizon, summary.expunges), (300, 0));
        assert_eq!(summary.doubtful, (0, 0));
    }
}
