//! What a proxy says about a client before the client's first byte (the PROXY protocol, versions 1 and 2).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Longest header that is taken: a line of version 1 has 107 octets, version 2 may have extras.
pub(super) const MAX_OCTETS: usize = 536;

const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

/// What the bytes so far amount to.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Header {
    /// More is to come.
    Incomplete,
    /// The client (unless the proxy speaks for itself), and the octets of the header.
    Client(Option<IpAddr>, usize),
    /// This is no header.
    Broken,
}

/// Reads the header at the start of `bytes`.
pub(super) fn header(bytes: &[u8]) -> Header {
    if bytes.starts_with(SIGNATURE) {
        return binary(bytes);
    }
    if bytes.len() < SIGNATURE.len() && SIGNATURE.starts_with(bytes) {
        return Header::Incomplete;
    }
    match memchr::memmem::find(bytes, b"\r\n") {
        Some(end) => line(bytes.get(..end).unwrap_or_default(), end + 2),
        None if bytes.len() < 107
            && (bytes.starts_with(b"PROXY") || b"PROXY".starts_with(bytes)) =>
        {
            Header::Incomplete
        }
        None => Header::Broken,
    }
}

/// `PROXY TCP4 192.0.2.1 192.0.2.2 1234 143`.
fn line(line: &[u8], octets: usize) -> Header {
    let text = String::from_utf8_lossy(line);
    let words: Vec<&str> = text.split(' ').collect();
    match words.as_slice() {
        ["PROXY", "UNKNOWN", ..] => Header::Client(None, octets),
        ["PROXY", "TCP4" | "TCP6", client, ..] => match client.parse() {
            Ok(client) => Header::Client(Some(client), octets),
            Err(_) => Header::Broken,
        },
        _ => Header::Broken,
    }
}

fn binary(bytes: &[u8]) -> Header {
    let Some(&[command, family, high, low]) = bytes.get(12..16) else {
        return Header::Incomplete;
    };
    let octets = 16 + usize::from(u16::from_be_bytes([high, low]));
    if octets > MAX_OCTETS || command >> 4 != 2 {
        return Header::Broken;
    }
    let Some(addresses) = bytes.get(16..octets) else {
        return Header::Incomplete;
    };
    let client = match (command & 15, family >> 4) {
        (1, 1) => addresses
            .first_chunk::<4>()
            .map(|a| IpAddr::V4(Ipv4Addr::from(*a))),
        (1, 2) => addresses
            .first_chunk::<16>()
            .map(|a| IpAddr::V6(Ipv6Addr::from(*a))),
        _ => return Header::Client(None, octets),
    };
    match client {
        Some(client) => Header::Client(Some(client), octets),
        None => Header::Broken,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_at_every_length() {
        let mut v2 = SIGNATURE.to_vec();
        v2.extend([0x21, 0x11, 0, 12, 192, 0, 2, 7, 10, 0, 0, 1, 1, 2, 3, 4]);
        let client = |text: &str, octets| Header::Client(Some(text.parse().unwrap()), octets);
        for (bytes, expected) in [
            (
                b"PROXY TCP4 192.0.2.1 10.0.0.1 1 2\r\n".to_vec(),
                client("192.0.2.1", 35),
            ),
            (
                b"PROXY TCP6 2001:db8::1 ::1 1 2\r\n".to_vec(),
                client("2001:db8::1", 32),
            ),
            (b"PROXY UNKNOWN\r\n".to_vec(), Header::Client(None, 15)),
            (v2, client("192.0.2.7", 28)),
        ] {
            for end in 0..bytes.len() {
                assert_eq!(
                    header(&bytes[..end]),
                    Header::Incomplete,
                    "{end} of {bytes:?}"
                );
            }
            assert_eq!(header(&bytes), expected);
        }
        for bad in [
            "a1 LOGIN x y\r\n",
            "PROXY TCP4 nonsense a 1 2\r\n",
            "\r\n\r\nx",
        ] {
            assert_eq!(header(bad.as_bytes()), Header::Broken, "{bad:?}");
        }
    }
}
