//! What was put into mailboxes.

use crate::truth::Checked;
use std::collections::HashMap;

/// A message as it was sent.
#[derive(Clone, Debug)]
pub(crate) struct Text {
    text: String,
    checksum: u32,
    /// The server puts header fields before it.
    traced: bool,
    /// INTERNALDATE: what APPEND said, or what was told first.
    date: Option<String>,
}

impl Text {
    pub(crate) fn new(text: &str, date: Option<&str>) -> Text {
        Text {
            checksum: crc32fast::hash(text.as_bytes()),
            text: text.to_owned(),
            traced: false,
            date: date.map(str::to_owned),
        }
    }

    /// One that LMTP delivers.
    pub(crate) fn delivered(text: &str) -> Text {
        Text {
            traced: true,
            ..Text::new(text, None)
        }
    }

    /// What `BODY[...]` may be.
    pub(crate) fn has(&self, section: &str, octets: &str) -> Checked {
        let body = || {
            self.text
                .split_once("\r\n\r\n")
                .map_or("", |(_, body)| body)
        };
        let right = match section {
            "BODY[]" if self.traced => self.is_end_of(octets),
            "BODY[]" => octets.len() == self.text.len() && hash(octets) == self.checksum,
            "BODY[TEXT]" => hash(octets) == hash(body()),
            "BODY[TEXT]<3>" => hash(octets) == hash(partial(body())),
            _ => true,
        };
        match right {
            true => Ok(()),
            false => Err(format!(
                "{section} has the checksum {:08x} ({} octets), sent were {:08x} ({} octets)",
                hash(octets),
                octets.len(),
                self.checksum,
                self.text.len(),
            )),
        }
    }

    fn is_end_of(&self, octets: &str) -> bool {
        let trace = octets.len().checked_sub(self.text.len());
        let parts = trace.and_then(|trace| octets.split_at_checked(trace));
        parts.is_some_and(|(trace, rest)| {
            let known = ["Return-Path:", "Delivered-To:", "Received:", " ", "\t"];
            let is_trace = |line: &str| known.iter().any(|head| line.starts_with(head));
            trace.lines().all(is_trace) && hash(rest) == self.checksum
        })
    }

    /// RFC822.SIZE; of traced messages only the least is known.
    pub(crate) fn has_size(&self, size: u64) -> bool {
        let sent = self.text.len() as u64;
        size == sent || self.traced && size > sent
    }

    /// INTERNALDATE; copies keep it (RFC 3501 section 6.4.7).
    pub(crate) fn has_date(&mut self, date: &str) -> Checked {
        let known = self.date.get_or_insert_with(|| date.to_owned());
        match known == date {
            true => Ok(()),
            false => Err(format!("INTERNALDATE {date}, it was {known}")),
        }
    }
}

/// `<3.20>`.
fn partial(body: &str) -> &str {
    let end = body.len().min(23);
    body.get(3.min(end)..end).unwrap_or_default()
}

pub(crate) fn hash(octets: &str) -> u32 {
    crc32fast::hash(octets.as_bytes())
}

/// The Message-ID in a header, without angle brackets.
pub(crate) fn id_in(header: &str) -> Option<&str> {
    let (_, rest) = header.split_once("Message-ID: <")?;
    rest.split_once('>').map(|(id, _)| id)
}

/// By Message-ID.
pub(crate) type Texts = HashMap<String, Text>;
