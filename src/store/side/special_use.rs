//! The `dovelet-special-use` file: what mailboxes are for, where their names do not say it. Lines of
//! an attribute of RFC 6154 section 2, a blank, and the name as `subscriptions` has it.

use super::dotted::{mailbox_name, storage_name};
use super::lock::replace;
use crate::mail::{MailboxName, SpecialUse};
use crate::store::Error;
use crate::sys::regular;
use std::io;
use std::path::Path;

pub(crate) const FILE: &str = "dovelet-special-use";

/// What mailboxes of the account are for, where that was said.
pub(crate) fn read(root: &Path) -> Result<Vec<(SpecialUse, MailboxName)>, Error> {
    match regular::read(&root.join(FILE)) {
        Ok(text) => Ok(parse(&text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error.into()),
    }
}

/// All of it anew. Durable.
pub(crate) fn write(root: &Path, uses: &[(SpecialUse, MailboxName)]) -> Result<(), Error> {
    replace(&root.join(FILE), encode(uses).as_bytes())
}

/// What cannot be read is left out.
fn parse(text: &[u8]) -> Vec<(SpecialUse, MailboxName)> {
    text.split(|&b| b == b'\n').filter_map(line).collect()
}

fn line(line: &[u8]) -> Option<(SpecialUse, MailboxName)> {
    let at = line.iter().position(|b| *b == b' ')?;
    let (attribute, name) = line.split_at_checked(at)?;
    let special_use = SpecialUse::named(std::str::from_utf8(attribute).ok()?)?;
    let name = match name.get(1..)? {
        b"INBOX" => MailboxName::inbox(),
        name => mailbox_name(name)?,
    };
    Some((special_use, name))
}

/// The whole file.
fn encode(uses: &[(SpecialUse, MailboxName)]) -> String {
    uses.iter()
        .filter_map(|(special_use, name)| {
            let name = storage_name(name)?;
            Some(format!("{} {name}\n", special_use.attribute()))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uses_are_kept() {
        let name = |text: &str| MailboxName::new(text).unwrap();
        let uses = vec![
            (SpecialUse::Drafts, name("Entw\u{fc}rfe")),
            (SpecialUse::Sent, name("a/b c")),
            (SpecialUse::Archive, MailboxName::inbox()),
        ];
        let text = encode(&uses);
        assert_eq!(
            text,
            "\\Drafts Entw&APw-rfe\n\\Sent a.b c\n\\Archive INBOX\n"
        );
        assert_eq!(parse(text.as_bytes()), uses);
        assert_eq!(
            parse(b"\\Foo x\n\n\\Sent\nx\n\\Junk y"),
            [(SpecialUse::Junk, name("y"))]
        );
    }
}
