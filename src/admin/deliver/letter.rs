//! The message as it is given.

use std::io::{self, Read};

/// Octets that are looked at before the message is passed on.
const HEAD: usize = 16 * 1024;

/// A message with what it is to begin with.
pub(super) struct Letter<'a> {
    /// Its first octets, with new fields in front.
    head: Vec<u8>,
    /// How far `head` was read.
    at: usize,
    rest: &'a mut (dyn Read + Send),
    /// The envelope sender, if anybody told it; empty for the null one.
    pub(super) sender: Option<String>,
}

impl<'a> Letter<'a> {
    /// Reads the beginning. A line `From sender date` in front, as mbox has it and `local` of Postfix writes it,
    /// goes; its sender counts if `sender` is `None`. Return-Path and Delivered-To are added if they are known
    /// and not there. `None`: there is no message.
    pub(super) fn begin(
        from: &'a mut (dyn Read + Send),
        sender: Option<&str>,
        address: Option<&str>,
    ) -> io::Result<Option<Letter<'a>>> {
        let mut head = Vec::new();
        let limit = u64::try_from(HEAD).unwrap_or(u64::MAX);
        (&mut *from).take(limit).read_to_end(&mut head)?;
        if head.is_empty() {
            return Ok(None);
        }
        let mut sender = sender.map(bare);
        if head.starts_with(b"From ") {
            let end = memchr::memchr(b'\n', &head).map_or(head.len(), |at| at + 1);
            let line: Vec<u8> = head.drain(..end).collect();
            let line = String::from_utf8_lossy(&line).into_owned();
            let named = line.split_ascii_whitespace().nth(1).map(bare);
            sender = sender.or(named.filter(|name| !name.contains("MAILER-DAEMON")));
        }
        let mut fields = String::new();
        if let Some(sender) = sender.as_ref().filter(|_| !has(&head, "Return-Path")) {
            fields.push_str(&format!("Return-Path: <{sender}>\r\n"));
        }
        if let Some(address) = address.filter(|_| !has(&head, "Delivered-To")) {
            fields.push_str(&format!("Delivered-To: {}\r\n", bare(address)));
        }
        head.splice(..0, fields.into_bytes());
        Ok(Some(Letter {
            head,
            at: 0,
            rest: from,
            sender,
        }))
    }
}

impl Read for Letter<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let left = self.head.get(self.at..).unwrap_or_default();
        if left.is_empty() {
            return self.rest.read(into);
        }
        let count = left.len().min(into.len());
        if let (Some(into), Some(from)) = (into.get_mut(..count), left.get(..count)) {
            into.copy_from_slice(from);
        }
        self.at += count;
        Ok(count)
    }
}

/// An address without angle brackets, and without what would end a line.
fn bare(address: &str) -> String {
    let address = address.trim();
    let inner = address.strip_prefix('<').and_then(|a| a.strip_suffix('>'));
    let mut address = inner.unwrap_or(address).to_owned();
    address.retain(|c| !c.is_control());
    address
}

/// Whether the header begins with a field of this name, among others.
fn has(head: &[u8], name: &str) -> bool {
    let lines = head.split(|b| *b == b'\n');
    let mut header = lines.take_while(|line| !line.trim_ascii().is_empty());
    header.any(|line| {
        let named = line.get(..name.len());
        named.is_some_and(|own| own.eq_ignore_ascii_case(name.as_bytes()))
            && line.get(name.len()) == Some(&b':')
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn letter(text: &str, sender: Option<&str>, address: Option<&str>) -> (String, Option<String>) {
        let mut input = text.as_bytes();
        let mut letter = Letter::begin(&mut input, sender, address).unwrap().unwrap();
        let mut whole = String::new();
        letter.read_to_string(&mut whole).unwrap();
        (whole, letter.sender)
    }

    #[test]
    fn fields_are_added_where_they_are_missing() {
        for (text, sender, address, expected, told) in [
            ("a: b\n\nx\n", None, None, "a: b\n\nx\n", None),
            (
                "a: b\n\nDelivered-To: x\n",
                Some("<s@x>"),
                Some("ann+l@x"),
                "Return-Path: <s@x>\r\nDelivered-To: ann+l@x\r\na: b\n\nDelivered-To: x\n",
                Some("s@x"),
            ),
            (
                "return-path: <q@x>\r\nDELIVERED-TO: x\r\n\r\n",
                Some("s@x"),
                Some("ann"),
                "return-path: <q@x>\r\nDELIVERED-TO: x\r\n\r\n",
                Some("s@x"),
            ),
            (
                "a: b\n",
                Some(""),
                None,
                "Return-Path: <>\r\na: b\n",
                Some(""),
            ),
            (
                "From s@x Thu Nov 26 03:43:21 2026\na: b\n",
                None,
                None,
                "Return-Path: <s@x>\r\na: b\n",
                Some("s@x"),
            ),
            (
                "From MAILER-DAEMON Thu Nov 26 03:43:21 2026\na: b\n",
                None,
                None,
                "a: b\n",
                None,
            ),
            (
                "a: b\n",
                Some("s@x\nEvil: 1"),
                None,
                "Return-Path: <s@xEvil: 1>\r\na: b\n",
                Some("s@xEvil: 1"),
            ),
        ] {
            let (whole, sender) = letter(text, sender, address);
            assert_eq!(
                (whole.as_str(), sender.as_deref()),
                (expected, told),
                "{text}"
            );
        }
        let long = format!("From x\n{}", "0123456789\n".repeat(10_000));
        assert_eq!(letter(&long, Some("s"), None).0.len(), 110_000 + 18);
        assert!(
            Letter::begin(&mut io::empty(), None, None)
                .unwrap()
                .is_none()
        );
    }
}
