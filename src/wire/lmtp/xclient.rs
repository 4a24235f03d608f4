//! XCLIENT (as Postfix describes it): for whom a proxy connects.

use super::parameter::{number, xtext};
use super::reply::{Reply, SYNTAX};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// What is told in the reply to LHLO: all that matters here. More is taken and checked.
pub(crate) const ATTRIBUTES: &str = "ADDR HELO";

/// Longest value.
const MAX_VALUE: usize = 255;

/// What was said of the client.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Forwarded {
    pub(crate) address: Option<IpAddr>,
    /// What it called itself.
    pub(crate) name: Option<Vec<u8>>,
}

/// `XCLIENT 1*(SP attribute "=" xtext)`, behind the verb.
pub(in crate::wire) fn xclient(text: &[u8]) -> Result<Forwarded, Reply> {
    let mut forwarded = Forwarded::default();
    let mut words = text.split(|b| *b == b' ').filter(|word| !word.is_empty());
    let mut any = false;
    words.try_for_each(|word| {
        any = true;
        attribute(word, &mut forwarded)
    })?;
    any.then_some(forwarded).ok_or(SYNTAX)
}

fn attribute(word: &[u8], forwarded: &mut Forwarded) -> Result<(), Reply> {
    let at = memchr::memchr(b'=', word).ok_or(SYNTAX)?;
    let (name, value) = word.split_at(at);
    let value = xtext(value.get(1..).unwrap_or_default(), MAX_VALUE)?;
    let known = !matches!(value.as_slice(), b"[UNAVAILABLE]" | b"[TEMPUNAVAIL]");
    match name.to_ascii_uppercase().as_slice() {
        b"ADDR" if known => forwarded.address = Some(address(&value).ok_or(SYNTAX)?),
        b"HELO" if known => match value.iter().all(u8::is_ascii_graphic) {
            true => forwarded.name = Some(value),
            false => return Err(SYNTAX),
        },
        b"PORT" | b"DESTPORT" | b"TTL" | b"TIMEOUT" if known => drop(number(&value)?),
        b"ADDR" | b"HELO" | b"PORT" | b"DESTPORT" | b"TTL" | b"TIMEOUT" | b"PROTO" | b"LOGIN"
        | b"SESSION" | b"CLIENT-TRANSPORT" | b"DESTNAME" | b"DESTADDR" => {}
        _ => return Err(SYNTAX),
    }
    Ok(())
}

/// `192.0.2.1`, or `IPV6:2001:db8::1`.
fn address(value: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(value).ok()?;
    let (kind, rest) = text.split_at_checked(5).unwrap_or((text, ""));
    if kind.eq_ignore_ascii_case("ipv6:") {
        return rest.parse::<Ipv6Addr>().ok().map(IpAddr::V6);
    }
    text.parse::<Ipv4Addr>().ok().map(IpAddr::V4)
}

/// Fields with tabs between them; in a field `\001` and a letter stand for what would end it. `None` for another
/// letter.
pub(super) fn unescaped(text: &[u8]) -> Option<Vec<Vec<u8>>> {
    text.split(|b| *b == b'\t').map(field).collect()
}

fn field(text: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.iter();
    while let Some(byte) = bytes.next() {
        out.push(match byte {
            1 => match bytes.next()? {
                b'0' => 0,
                b'1' => 1,
                b't' => b'\t',
                b'r' => b'\r',
                b'n' => b'\n',
                _ => return None,
            },
            other => *other,
        });
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes() {
        let told = |address: &str, name: &str| {
            Ok(Forwarded {
                address: (!address.is_empty()).then(|| address.parse().unwrap()),
                name: (!name.is_empty()).then(|| name.into()),
            })
        };
        for (text, expected) in [
            (" ADDR=192.0.2.7 PORT=12", told("192.0.2.7", "")),
            (
                " addr=IPV6:2001:db8::7 HELO=a+2Bb",
                told("2001:db8::7", "a+b"),
            ),
            (
                " ADDR=[UNAVAILABLE] HELO=[TEMPUNAVAIL] PORT=[UNAVAILABLE]",
                told("", ""),
            ),
            (" SESSION=x+20y TTL=3 PROTO=LMTP", told("", "")),
            ("", Err(SYNTAX)),
            (" ADDR=nowhere", Err(SYNTAX)),
            (" ADDR=2001:db8::7", Err(SYNTAX)),
            (" ADDR", Err(SYNTAX)),
            (" HELO=a+0D+0Ab", Err(SYNTAX)),
            (" HELO=a+20b", Err(SYNTAX)),
            (" PORT=x", Err(SYNTAX)),
            (" COLOUR=blue", Err(SYNTAX)),
        ] {
            assert_eq!(xclient(text.as_bytes()), expected, "{text}");
        }
    }

    #[test]
    fn every_attribute_that_proxies_have_is_taken() {
        let more =
            "PORT PROTO LOGIN SESSION CLIENT-TRANSPORT TTL TIMEOUT DESTNAME DESTADDR DESTPORT";
        let all = [ATTRIBUTES, more].map(str::split_whitespace);
        for name in all.into_iter().flatten() {
            let text = format!(" {name}=[UNAVAILABLE]");
            assert_eq!(xclient(text.as_bytes()), Ok(Forwarded::default()), "{name}");
        }
    }

    #[test]
    fn escapes_of_fields() {
        let fields = unescaped(b"a=b\x01tc\td=\x011").unwrap();
        assert_eq!(fields, [&b"a=b\tc"[..], b"d=\x01"]);
        assert!(unescaped(b"a=\x01x").is_none() && unescaped(b"a\x01").is_none());
    }
}
