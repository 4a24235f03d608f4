//! What a proxy says about a client before the client's first byte (the PROXY protocol, versions 1 and 2).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Longest header that is taken: a line of version 1 has 107 octets, version 2 may have extras.
pub(super) const MAX_OCTETS: usize = 536;

/// Octets of a line of version 1 with its end.
const MAX_LINE: usize = 107;

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
    if !bytes.starts_with(b"PROXY") {
        return match b"PROXY".starts_with(bytes) {
            true => Header::Incomplete,
            false => Header::Broken,
        };
    }
    // What ends in LF alone ends no header, and is none itself.
    match memchr::memchr(b'\n', bytes) {
        Some(end) if end < MAX_LINE => match bytes.get(..end).unwrap_or_default() {
            [before @ .., b'\r'] => line(before, end + 1),
            _ => Header::Broken,
        },
        None if bytes.len() < MAX_LINE => Header::Incomplete,
        _ => Header::Broken,
    }
}

/// `PROXY TCP4 192.0.2.1 192.0.2.2 1234 143`.
fn line(line: &[u8], octets: usize) -> Header {
    let text = String::from_utf8_lossy(line);
    let words: Vec<&str> = text.split(' ').collect();
    match words.as_slice() {
        ["PROXY", "UNKNOWN", ..] => Header::Client(None, octets),
        ["PROXY", family, client, server, ports @ ..] => {
            let address = |text: &str| {
                let address: IpAddr = text.parse().ok()?;
                (address.is_ipv4() == (*family == "TCP4")).then_some(address)
            };
            let good = matches!(*family, "TCP4" | "TCP6")
                && address(server).is_some()
                && ports.len() == 2
                && ports.iter().all(|port| is_port(port));
            match address(client).filter(|_| good) {
                Some(client) => Header::Client(Some(client), octets),
                None => Header::Broken,
            }
        }
        _ => Header::Broken,
    }
}

/// Digits alone, and no more than there are ports.
fn is_port(text: &str) -> bool {
    text.bytes().all(|octet| octet.is_ascii_digit()) && text.parse::<u16>().is_ok()
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
    match command & 15 {
        // The proxy for itself: whatever else it says does not count.
        0 => return Header::Client(None, octets),
        1 => {}
        _ => return Header::Broken,
    }
    // Both addresses and both ports of TCP or UDP, two paths of a unix socket, or what nobody knows.
    let (family, protocol) = (family >> 4, family & 15);
    let least = [0, 12, 36, 216].get(usize::from(family)).copied();
    let fits = least.is_some_and(|least| addresses.len() >= least);
    if protocol > 2 || !fits {
        return Header::Broken;
    }
    let client = match family {
        1 => addresses
            .first_chunk::<4>()
            .map(|a| IpAddr::V4(Ipv4Addr::from(*a))),
        2 => addresses
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
            "PROXY TCP4 2001:db8::1 10.0.0.1 1 2\r\n",
            "PROXY TCP6 192.0.2.1 ::1 1 2\r\n",
            "PROXY TCP4 192.0.2.1 10.0.0.1 1\r\n",
            "PROXY TCP4 192.0.2.1 10.0.0.1 1 2 3\r\n",
            "PROXY TCP4 192.0.2.1 10.0.0.1 1 99999\r\n",
            "PROXY TCP4 192.0.2.1 10.0.0.1 1 +2\r\n",
            "PROXY TCP4 192.0.2.1 10.0.0.1 1 2\na1 NOOP\r\n",
            "PROXY UNKNOWN\n\r\n",
        ] {
            assert_eq!(header(bad.as_bytes()), Header::Broken, "{bad:?}");
        }
        let long = |extra| format!("PROXY UNKNOWN {}\r\n", "x".repeat(extra));
        assert!(matches!(
            header(long(91).as_bytes()),
            Header::Client(None, MAX_LINE)
        ));
        assert_eq!(header(long(92).as_bytes()), Header::Broken);
        let binary = |command, family, octets: usize| {
            let mut all = SIGNATURE.to_vec();
            all.extend([command, family, 0, u8::try_from(octets).unwrap()]);
            all.extend(vec![1; octets]);
            header(&all)
        };
        for (command, family, octets) in [
            (0x20, 0, 0),
            (0x20, 0x11, 12),
            (0x20, 0x55, 3),
            (0x21, 0x31, 216),
        ] {
            let all = Header::Client(None, 16 + octets);
            assert_eq!(binary(command, family, octets), all);
        }
        for (command, family, octets) in [
            (0x22, 0x11, 12),
            (0x2f, 0x11, 12),
            (0x31, 0x11, 12),
            (0x21, 0x41, 12),
            (0x21, 0x15, 12),
            (0x21, 0x11, 4),
            (0x21, 0x21, 35),
            (0x21, 0x31, 215),
        ] {
            assert_eq!(binary(command, family, octets), Header::Broken);
        }
    }
}
