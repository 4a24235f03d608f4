//! When a message that stands in a file of its own was received.

use crate::mime::{sent_date, values};
use std::io::{self, Read};

/// Octets of a message that are looked at.
const HEAD: u64 = 64 * 1024;
/// Octets of the name of a field.
const MAX_NAME: usize = 76;

/// The beginning of a message.
pub(super) fn head(from: &mut impl Read) -> io::Result<Vec<u8>> {
    let mut head = Vec::new();
    from.take(HEAD).read_to_end(&mut head)?;
    Ok(head)
}

/// True of what begins with a header field.
pub(super) fn is_message(head: &[u8]) -> bool {
    let line = head.split(|octet| *octet == b'\n').next();
    let line = line.unwrap_or_default();
    let end = memchr::memchr(b':', line).unwrap_or(0);
    let name = line.get(..end).unwrap_or_default();
    (1..=MAX_NAME).contains(&end) && name.iter().all(u8::is_ascii_graphic)
}

/// When it was received last, or else sent, in seconds since 1970.
pub(super) fn received(head: &[u8]) -> Option<i64> {
    let end = memchr::memmem::find(head, b"\n\n").map(|at| at + 1);
    let crlf = memchr::memmem::find(head, b"\n\r\n").map(|at| at + 1);
    let end = end.into_iter().chain(crlf).min().unwrap_or(head.len());
    let header = head.get(..end).unwrap_or(head);
    let trace = values(header, "Received").filter_map(|value| {
        // RFC 5322 section 3.6.7: the date stands behind the last semicolon.
        let at = memchr::memrchr(b';', value)?;
        sent_date(value.get(at + 1..)?)
    });
    let sent = values(header, "Date").filter_map(sent_date);
    trace.chain(sent).next().map(|date| date.seconds)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_hop_tells_and_else_the_sender() {
        for (text, expected) in [
            (
                "Received: from a\n by b; Thu, 1 Jan 1970 00:00:09 +0000 (x; y)\n\
                 Received: x; Thu, 1 Jan 1970 00:00:05 +0000\nDate: Thu, 1 Jan 1970 00:00:01 +0000\n\n",
                // What is in a comment is none; the next one tells.
                Some(5),
            ),
            (
                "Received: x; Thu, 1 Jan 1970 00:00:05 +0000\r\nDate: 1 Jan 1970 00:00:01 +0000\r\n\r\n",
                Some(5),
            ),
            ("Received: x\nDate: 1 Jan 1970 00:00:01 +0000\n\n", Some(1)),
            ("Subject: x\n\nDate: 1 Jan 1970 00:00:01 +0000\n", None),
            ("", None),
        ] {
            assert_eq!(received(text.as_bytes()), expected, "{text}");
        }
    }

    #[test]
    fn messages_begin_with_a_field() {
        for (text, expected) in [
            ("Subject: x\n", true),
            ("X-Y:\r\n", true),
            ("From a@b Thu Jan  1 00:00:00 1970\n", false),
            ("#!/bin/sh: x\n", true),
            ("two words: x\n", false),
            ("\u{7f}ELF", false),
            ("", false),
        ] {
            assert_eq!(is_message(text.as_bytes()), expected, "{text}");
        }
    }
}
