//! The fields that delivery adds to a message (RFC 5321 section 4.4).

use crate::config::DeliveryAddress;
use crate::mail::DateTime;

/// What LMTP said about a message.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Envelope {
    /// Empty for the null reverse path.
    pub(crate) reverse_path: Vec<u8>,
    /// What the client called itself.
    pub(crate) client: Vec<u8>,
    /// Where it connected from, as text.
    pub(crate) address: Vec<u8>,
    /// Names the transaction in logs, in Received and in the reply to its message; for its client nothing else.
    pub(crate) id: Vec<u8>,
    /// The message has all fields that it needs already, of whoever gives it.
    pub(crate) complete: bool,
    /// It has several recipients: all get the same octets, which name none of them (RFC 5321 section 7.2).
    pub(crate) several: bool,
    /// It came over TLS.
    pub(crate) tls: bool,
    /// Addresses and header fields may be UTF-8 (RFC 6531 section 3.4).
    pub(crate) utf8: bool,
    /// Parts may be binary (RFC 3030 section 3).
    pub(crate) binary: bool,
    /// RFC 3461 section 4.4; empty if there is none, as the next.
    pub(crate) envid: Vec<u8>,
    /// RFC 3461 section 4.3.
    pub(crate) ret: Vec<u8>,
    /// What was said of each recipient, in their order.
    pub(crate) recipients: Vec<Dsn>,
}

/// What was said about notifications to the sender of a message for one recipient. Who sent it writes them: the
/// keyword DSN is not told, so the client stays responsible (RFC 3461 section 5.2.2).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Dsn {
    /// To whom the message was sent first (RFC 3461 section 4.2); empty if that was not said, as the next.
    pub(crate) original: Vec<u8>,
    /// RFC 3461 section 4.1.
    pub(crate) notify: Vec<u8>,
}

/// Longest text of a peer that goes into a field.
const MAX_OCTETS: usize = 512;

impl Envelope {
    /// For the way between two processes.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let flags = [
            self.complete,
            self.several,
            self.tls,
            self.utf8,
            self.binary,
        ];
        let mut out: Vec<u8> = flags.map(u8::from).to_vec();
        let own = [
            &self.reverse_path,
            &self.client,
            &self.address,
            &self.id,
            &self.envid,
            &self.ret,
        ];
        let each = self.recipients.iter();
        let each = each.flat_map(|dsn| [&dsn.original, &dsn.notify]);
        for text in own.into_iter().chain(each) {
            let text = text.get(..MAX_OCTETS).unwrap_or(text);
            out.extend_from_slice(&u16::try_from(text.len()).unwrap_or(0).to_le_bytes());
            out.extend_from_slice(text);
        }
        out
    }

    /// `None` if the bytes are no envelope. Control characters become `?`: they come from a process
    /// that speaks with the network.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Envelope> {
        let (&[complete, several, tls, utf8, binary], mut rest) = bytes.split_first_chunk::<5>()?;
        let mut text = || take_text(&mut rest);
        let mut envelope = Envelope {
            complete: complete != 0,
            several: several != 0,
            tls: tls != 0,
            utf8: utf8 != 0,
            binary: binary != 0,
            reverse_path: text()?,
            client: text()?,
            address: text()?,
            id: text()?,
            envid: text()?,
            ret: text()?,
            recipients: Vec::new(),
        };
        while !rest.is_empty() {
            envelope.recipients.push(Dsn {
                original: take_text(&mut rest)?,
                notify: take_text(&mut rest)?,
            });
        }
        Some(envelope)
    }

    /// Return-Path, Delivered-To and Received, with CRLF. `recipient`: its address and its place among all;
    /// `named`: which address is told.
    pub(super) fn fields(
        &self,
        (recipient, at): (&[u8], usize),
        named: DeliveryAddress,
        stamp: Stamp<'_>,
    ) -> Vec<u8> {
        if self.complete {
            return Vec::new();
        }
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let original = self.recipients.get(at).map(|dsn| dsn.original.as_slice());
        let named = match (named, original) {
            (DeliveryAddress::None, _) => None,
            _ if self.several => None,
            (DeliveryAddress::Original, Some(original)) if !original.is_empty() => Some(original),
            _ => Some(recipient),
        };
        let delivered_to = named.map(|named| format!("Delivered-To: {}\r\n", text(named)));
        let of = named.map(|named| format!("\r\n\tfor <{}>", text(named)));
        format!(
            "Return-Path: <{}>\r\n{}Received: from {} ({})\r\n\tby {} with {} id {}{}; {}\r\n",
            text(&self.reverse_path),
            delivered_to.unwrap_or_default(),
            text(&self.client),
            text(&self.address),
            stamp.hostname,
            self.protocol(),
            text(&self.id),
            of.unwrap_or_default(),
            date(stamp.now),
        )
        .into_bytes()
    }

    /// As Received names it (RFC 3848 section 1, RFC 6531 section 4.3).
    fn protocol(&self) -> &'static str {
        match (self.utf8, self.tls) {
            (false, false) => "LMTP",
            (false, true) => "LMTPS",
            (true, false) => "UTF8LMTP",
            (true, true) => "UTF8LMTPS",
        }
    }

    /// For the log: what the client said about notifications, of the recipient at that place too.
    pub(crate) fn notes(&self, at: usize) -> String {
        let dsn = self.recipients.get(at).cloned().unwrap_or_default();
        let all = [
            ("envid", &self.envid),
            ("ret", &self.ret),
            ("orcpt", &dsn.original),
            ("notify", &dsn.notify),
            ("id", &self.id),
        ];
        let told = all.into_iter().filter(|(_, text)| !text.is_empty());
        told.map(|(name, text)| format!(", {name}=<{}>", String::from_utf8_lossy(text)))
            .collect()
    }
}

/// What this server says of itself in a field.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stamp<'a> {
    pub(crate) hostname: &'a str,
    /// Seconds since 1970.
    pub(crate) now: i64,
}

fn take_text(bytes: &mut &[u8]) -> Option<Vec<u8>> {
    let (length, rest) = bytes.split_first_chunk::<2>()?;
    let length = usize::from(u16::from_le_bytes(*length));
    let (text, rest) = rest.split_at_checked(length.min(MAX_OCTETS))?;
    *bytes = rest;
    let clean = |b: &u8| if *b < b' ' || *b == 127 { b'?' } else { *b };
    Some(text.iter().map(clean).collect())
}

/// `date-time` of RFC 5322 section 3.3, in UTC.
fn date(seconds: i64) -> String {
    const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
    let (date, hour, minute, second) = DateTime::utc(seconds).fields();
    let day = usize::try_from(seconds.div_euclid(86_400).rem_euclid(7)).unwrap_or(0);
    format!(
        "{}, {} {} {} {hour:02}:{minute:02}:{second:02} +0000",
        DAYS.get(day).unwrap_or(&"Thu"),
        date.day,
        date.month_name(),
        date.year
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates() {
        assert_eq!(date(0), "Thu, 1 Jan 1970 00:00:00 +0000");
        assert_eq!(date(1_732_406_400), "Sun, 24 Nov 2024 00:00:00 +0000");
    }

    #[test]
    fn envelopes_come_back_clean() {
        let envelope = Envelope {
            reverse_path: b"a@b".to_vec(),
            client: b"mx\r\nX: y".to_vec(),
            address: b"[127.0.0.1]".to_vec(),
            binary: true,
            id: b"1f".to_vec(),
            envid: b"e".to_vec(),
            recipients: vec![Dsn {
                original: b"first@x".to_vec(),
                notify: b"NEVER".to_vec(),
            }],
            ..Envelope::default()
        };
        let back = Envelope::decode(&envelope.encode()).unwrap();
        assert_eq!(back.client, b"mx??X: y");
        assert!(back.binary && !back.tls && back.recipients == envelope.recipients);
        assert_eq!(
            back.notes(0),
            ", envid=<e>, orcpt=<first@x>, notify=<NEVER>, id=<1f>"
        );
        assert_eq!(back.notes(1), ", envid=<e>, id=<1f>");
        for bad in [&b""[..], b"\0\0\0\0\0\x05\0a", b"\0\0\0\0\0\x01\0a\x01\0"] {
            assert_eq!(Envelope::decode(bad), None);
        }
        let whole = envelope.encode();
        assert_eq!(Envelope::decode(&whole[..whole.len() - 1]), None);
    }

    #[test]
    fn fields_name_the_address_that_is_wanted() {
        let envelope = |original: &str| Envelope {
            reverse_path: b"a@b".to_vec(),
            client: b"mx".to_vec(),
            address: b"[::1]".to_vec(),
            id: b"7".to_vec(),
            utf8: true,
            tls: !original.is_empty(),
            recipients: vec![Dsn {
                original: original.into(),
                ..Dsn::default()
            }],
            ..Envelope::default()
        };
        let stamp = Stamp {
            hostname: "host",
            now: 0,
        };
        for (named, original, delivered_to, of, with) in [
            (
                DeliveryAddress::Final,
                "",
                "Delivered-To: ann@x\r\n",
                "\r\n\tfor <ann@x>",
                "UTF8LMTP",
            ),
            (
                DeliveryAddress::Original,
                "",
                "Delivered-To: ann@x\r\n",
                "\r\n\tfor <ann@x>",
                "UTF8LMTP",
            ),
            (
                DeliveryAddress::Original,
                "list@x",
                "Delivered-To: list@x\r\n",
                "\r\n\tfor <list@x>",
                "UTF8LMTPS",
            ),
            (DeliveryAddress::None, "list@x", "", "", "UTF8LMTPS"),
        ] {
            let fields = envelope(original).fields((b"ann@x", 0), named, stamp);
            assert_eq!(
                String::from_utf8(fields).unwrap(),
                format!(
                    "Return-Path: <a@b>\r\n{delivered_to}Received: from mx ([::1])\r\n\tby host with {with} \
                     id 7{of}; Thu, 1 Jan 1970 00:00:00 +0000\r\n"
                )
            );
        }
    }
}
