//! PREVIEW (RFC 8970): made when somebody asks and remembered then. Not made at delivery: most messages
//! are never asked for one, and every delivery would pay.

use super::{Error, Rows};
use crate::index::Fields;
use crate::mime;

/// Octets of a part that are looked at, as stored; the heads of some HTML are long. No limit that a board
/// sets: previews of one message would differ from board to board, and a piece at a time is in memory.
const MAX_OCTETS: u64 = 128 * 1024;
const PIECE: u64 = 4 * 1024;

impl Rows {
    /// The first words of the message, empty if it has no text; `None` if they were not made before
    /// and `lazy` says that they need not be (RFC 8970 section 4.1).
    pub(crate) fn preview(&mut self, lazy: bool) -> Result<Option<String>, Error> {
        self.shared.note_asked(Fields::PREVIEW);
        if let Some(known) = self.known_preview()? {
            return Ok(Some(known));
        }
        if lazy {
            return Ok(None);
        }
        let text = self.make_preview()?;
        self.keep_preview(&text);
        Ok(Some(text))
    }

    fn make_preview(&mut self) -> Result<String, Error> {
        let (structure, raw) = self.raw()?;
        let Some(part) = structure.preview_part() else {
            return Ok(String::new());
        };
        let Some(mut decoder) = mime::Text::new(&part.content) else {
            return Ok(String::new());
        };
        let mut preview = mime::Preview::new(part);
        let mut at = part.body.start;
        let end = part.body.end.min(at.saturating_add(MAX_OCTETS));
        let mut text = String::new();
        loop {
            let to = end.min(at + PIECE);
            let piece = raw.read(at, to)?;
            at = to;
            let last = at >= end || piece.is_empty();
            text.clear();
            decoder.decode(piece, last, &mut text);
            if preview.add(&text) || last {
                return Ok(preview.finish());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{append, flags, name};
    use super::super::{Access, Account, Want};
    use crate::mail::{Flags, SystemFlags};

    /// Previews of all messages of INBOX.
    fn previews(account: &Account, lazy: bool) -> Vec<Option<String>> {
        let view = account.select(&name("INBOX"), Access::ReadOnly).unwrap();
        let mut rows = view.fetch(view.uids().clone(), Want::default());
        let mut all = Vec::new();
        while rows.advance().unwrap() {
            all.push(rows.preview(lazy).unwrap());
        }
        all
    }

    #[test]
    fn only_the_beginning_of_a_part_is_looked_at() {
        let (account, directory) = Account::temporary();
        assert_eq!(previews(&account, false), []);
        let html = |octets: usize| {
            let style = "x".repeat(octets);
            format!("Content-Type: text/html\n\n<style>{style}</style>seen")
        };
        for (at, octets) in [(1, 100_000), (2, 140_000)] {
            let path = directory.path().join(format!("new/{at}.foreign"));
            std::fs::write(path, html(octets)).unwrap();
        }
        let made = [Some("seen".to_owned()), Some(String::new())];
        assert_eq!(previews(&account, true), [None, None]);
        assert_eq!(previews(&account, false), made);
        assert_eq!(previews(&account, true), made);
    }

    #[test]
    fn previews_go_with_their_messages() {
        let (account, _directory) = Account::temporary();
        append(&account, "INBOX", "one", &flags(SystemFlags::DELETED, &[]));
        append(&account, "INBOX", "two", &Flags::default());
        let both = previews(&account, false);
        assert!(both.iter().all(Option::is_some));
        let mut view = account.select(&name("INBOX"), Access::ReadWrite).unwrap();
        let first = view.uids().window(0..1);
        view.expunge(Some(&first)).unwrap();
        assert_eq!(previews(&account, true), both[1..]);
        account.check(true, &mut |_| {}).unwrap();
        assert_eq!(previews(&account, true), [None], "forgotten with the rest");
    }
}
