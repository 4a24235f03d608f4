//! What clients are told for whom there is no place, and how [`dovelet healthcheck`](crate::admin) knows that
//! again: a server that is full answers.

use super::permit::Refused;
use crate::config::Protocol;

/// Of a client that waits for TLS, which hears no words before: a fatal alert "internal_error", for what has
/// nothing to do with the peer, as where memory is short (RFC 8446 §6.2).
pub(crate) const ALERT: [u8; 7] = [21, 3, 3, 0, 2, 2, 80];

/// What a line begins with that refuses a connection where it would be greeted; nothing where clients hear
/// no words before they ask.
fn begins(protocol: Protocol) -> &'static [&'static str] {
    match protocol {
        Protocol::Imap => &["* BYE [LIMIT] "],
        Protocol::Pop3 => &["-ERR [SYS/TEMP] "],
        // As if nobody were there, or as one who comes too often (RFC 3463 §3.5, §3.8).
        Protocol::Lmtp => &["421 4.3.2 ", "421 4.7.0 "],
        // They try again.
        Protocol::DovecotAuth | Protocol::DovecotUserdb | Protocol::Socketmap => &[],
    }
}

/// Why a connection may not be, in words.
pub(super) fn why(refused: Refused) -> &'static str {
    match refused {
        Refused::TooMany => "Too many connections.",
        Refused::TooManyFromAddress => "Too many connections from your address.",
        Refused::NoMemory => "Too little memory.",
    }
}

/// The line that a client without TLS is told instead of a greeting.
pub(super) fn refusal(protocol: Protocol, refused: Refused) -> String {
    let begins = begins(protocol);
    let begin = match refused {
        Refused::TooManyFromAddress => begins.last(),
        Refused::TooMany | Refused::NoMemory => begins.first(),
    };
    begin.map_or_else(String::new, |begin| format!("{begin}{}\r\n", why(refused)))
}

/// Whether a line that came instead of a greeting says that there is no place now.
pub(crate) fn is_refusal(protocol: Protocol, line: &str) -> bool {
    begins(protocol).iter().any(|begin| line.starts_with(begin))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_refusal_is_known_again_and_nothing_else() {
        for refused in [
            Refused::TooMany,
            Refused::TooManyFromAddress,
            Refused::NoMemory,
        ] {
            for protocol in [Protocol::Imap, Protocol::Pop3, Protocol::Lmtp] {
                let line = refusal(protocol, refused);
                assert!(line.ends_with(&format!(" {}\r\n", why(refused))), "{line}");
                assert!(is_refusal(protocol, &line), "{line}");
                assert!(!is_refusal(Protocol::Socketmap, &line));
            }
            assert_eq!(refusal(Protocol::DovecotAuth, refused), "");
        }
        let from_address = refusal(Protocol::Lmtp, Refused::TooManyFromAddress);
        assert!(from_address.starts_with("421 4.7.0 "), "{from_address}");
        for (protocol, line) in [
            (Protocol::Imap, "* BYE [UNAVAILABLE] Shutting down."),
            (Protocol::Imap, "* OK [LIMIT] hello"),
            (Protocol::Pop3, "-ERR no"),
            (Protocol::Lmtp, "421 4.4.2 Too slow."),
            (Protocol::Lmtp, "220 421 4.3.2 "),
        ] {
            assert!(!is_refusal(protocol, line), "{line}");
        }
    }
}
