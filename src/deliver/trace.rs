//! The fields that delivery adds to a message (RFC 5321 section 4.4).

use crate::mail::DateTime;

/// What LMTP said about a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Envelope {
    /// Empty for the null reverse path.
    pub(crate) reverse_path: Vec<u8>,
    /// What the client called itself.
    pub(crate) client: Vec<u8>,
    /// Where it connected from, as text.
    pub(crate) address: Vec<u8>,
}

/// Longest text of a peer that goes into a field.
const MAX_OCTETS: usize = 300;

impl Envelope {
    /// For the way between two processes.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        for text in [&self.reverse_path, &self.client, &self.address] {
            let text = text.get(..MAX_OCTETS).unwrap_or(text);
            out.extend_from_slice(&u16::try_from(text.len()).unwrap_or(0).to_le_bytes());
            out.extend_from_slice(text);
        }
        out
    }

    /// `None` if the bytes are no envelope. Control characters become `?`: they come from a process
    /// that speaks with the network.
    pub(crate) fn decode(mut bytes: &[u8]) -> Option<Envelope> {
        let mut text = || {
            let (length, rest) = bytes.split_first_chunk::<2>()?;
            let length = usize::from(u16::from_le_bytes(*length));
            let (text, rest) = rest.split_at_checked(length.min(MAX_OCTETS))?;
            bytes = rest;
            let clean = |b: &u8| if *b < b' ' || *b == 127 { b'?' } else { *b };
            Some(text.iter().map(clean).collect::<Vec<u8>>())
        };
        Some(Envelope {
            reverse_path: text()?,
            client: text()?,
            address: text()?,
        })
    }

    /// Return-Path, Delivered-To and Received, with CRLF.
    pub(super) fn fields(&self, recipient: &[u8], hostname: &str, id: &str, now: i64) -> Vec<u8> {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        format!(
            "Return-Path: <{}>\r\nDelivered-To: {}\r\nReceived: from {} ({})\r\n\tby {hostname} \
             with LMTP id {id}\r\n\tfor <{}>; {}\r\n",
            text(&self.reverse_path),
            text(recipient),
            text(&self.client),
            text(&self.address),
            text(recipient),
            date(now),
        )
        .into_bytes()
    }
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
        };
        let back = Envelope::decode(&envelope.encode()).unwrap();
        assert_eq!(back.client, b"mx??X: y");
        let fields = back.fields(b"ann@x", "host", "7", 0);
        assert_eq!(
            String::from_utf8(fields).unwrap(),
            "Return-Path: <a@b>\r\nDelivered-To: ann@x\r\nReceived: from mx??X: y ([127.0.0.1])\r\n\t\
             by host with LMTP id 7\r\n\tfor <ann@x>; Thu, 1 Jan 1970 00:00:00 +0000\r\n"
        );
        for bad in [&b""[..], b"\x05\0a", b"\x01\0a\x01\0"] {
            assert_eq!(Envelope::decode(bad), None);
        }
    }
}
