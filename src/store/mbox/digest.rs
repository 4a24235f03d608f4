//! What is known of a message from its bytes, which may come in pieces: the GUID, which is the same for the same
//! message wherever it is and whatever its line ends are, and its sizes.

use crate::mail::Guid;
use sha1::{Digest as _, Sha1};

#[derive(Default)]
pub(super) struct Digest {
    sum: Sha1,
    /// Line ends that came last and are not in the sum yet: at most one, which may turn out not to belong
    /// to the message, and a CR that may belong to a line end.
    held_line_end: u64,
    held_cr: bool,
    stored: u64,
    wire: u64,
}

/// All of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Known {
    pub(super) guid: Guid,
    /// Octets as stored, and with every line end as CRLF.
    pub(super) stored: u64,
    pub(super) wire: u64,
}

impl Digest {
    pub(super) fn add(&mut self, bytes: &[u8]) {
        let mut rest = bytes;
        while !rest.is_empty() {
            self.release();
            let Some(at) = memchr::memchr2(b'\r', b'\n', rest) else {
                self.cr_alone();
                self.put(rest);
                return;
            };
            let (text, after) = rest.split_at(at);
            if !text.is_empty() {
                self.cr_alone();
                self.put(text);
            }
            rest = after.get(1..).unwrap_or_default();
            if after.first() == Some(&b'\r') {
                self.cr_alone();
                self.held_cr = true;
            } else {
                self.held_line_end = 1 + u64::from(std::mem::take(&mut self.held_cr));
            }
        }
    }

    fn put(&mut self, bytes: &[u8]) {
        self.sum.update(bytes);
        self.stored += bytes.len() as u64;
        self.wire += bytes.len() as u64;
    }

    fn release(&mut self) {
        if self.held_line_end > 0 {
            self.sum.update(b"\n");
            self.stored += std::mem::take(&mut self.held_line_end);
            self.wire += 2;
        }
    }

    fn cr_alone(&mut self) {
        if std::mem::take(&mut self.held_cr) {
            self.put(b"\r");
        }
    }

    /// Octets with every line end as CRLF so far.
    pub(super) fn wire(&self) -> u64 {
        let held = if self.held_line_end > 0 { 2 } else { 0 };
        self.wire + held + u64::from(self.held_cr)
    }

    /// All that came; `short`: without the last line end, with which nothing may have come.
    pub(super) fn finish(mut self, short: bool) -> Known {
        match short {
            true => self.held_line_end = 0,
            false => self.release(),
        }
        self.cr_alone();
        let mut guid = [0; 16];
        let sum = self.sum.finalize();
        guid.iter_mut().zip(sum).for_each(|(own, byte)| *own = byte);
        Known {
            guid: Guid(guid),
            stored: self.stored,
            wire: self.wire,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known(pieces: &[&str], short: bool) -> Known {
        let mut digest = Digest::default();
        pieces.iter().for_each(|piece| digest.add(piece.as_bytes()));
        digest.finish(short)
    }

    #[test]
    fn pieces_and_line_ends_do_not_matter() {
        let text = "a\n\nb\rc\r\r\nd\r";
        let whole = known(&[text], false);
        assert_eq!((whole.stored, whole.wire), (11, 13));
        for at in 0..text.len() {
            assert_eq!(known(&[&text[..at], &text[at..]], false), whole, "{at}");
        }
        let (lf, crlf) = (known(&["a\nb\n"], false), known(&["a\r\nb\r\n"], false));
        assert_eq!((lf.guid, lf.wire), (crlf.guid, crlf.wire));
        assert_eq!((lf.stored, crlf.stored, lf.wire), (4, 6, 6));
        for more in ["a\nb\n\n", "a\r\nb\r\n\r\n"] {
            assert_eq!(known(&[more], true).guid, lf.guid);
        }
        assert_ne!(known(&["a\nb"], false).guid, lf.guid);
    }
}
