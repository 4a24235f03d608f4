//! POP3 (RFC 1939, RFC 2449) as bytes: command lines and replies.

use super::lmtp::{Forwarded, xclient};
use super::reader::Reader;
use crate::mail::SeqNum;

/// A command line.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Command {
    Capa,
    /// For whom a proxy connects.
    Xclient(Forwarded),
    Stls,
    User(Vec<u8>),
    /// Everything behind the space, spaces included.
    Pass(Vec<u8>),
    /// RFC 5034 section 4; without a mechanism: what there is.
    Auth(Option<Auth>),
    Apop {
        user: Vec<u8>,
        /// As hexadecimal digits.
        digest: Vec<u8>,
    },
    Quit,
    Noop,
    Stat,
    List(Option<Message>),
    Uidl(Option<Message>),
    Retr(Message),
    Top {
        message: Message,
        /// Of the body.
        lines: u64,
    },
    Dele(Message),
    Rset,
    /// The highest number that was read (RFC 1081).
    Last,
    /// RFC 6856 section 2.1.
    Utf8,
    /// RFC 6856 section 3.2: a language range; without one: which languages there are.
    Lang(Option<Vec<u8>>),
}

/// What a client authenticates with.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Auth {
    pub(crate) mechanism: String,
    /// In base64; `=` for an empty one.
    pub(crate) initial: Option<Vec<u8>>,
}

/// A message-number as it was written; `None` for 0 and for what no maildrop has.
pub(crate) type Message = Option<SeqNum>;

/// Why a line is no command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    Unknown,
    Arguments,
}

/// A line without its line end. Keywords in any case; spaces at the end do not count.
pub(crate) fn parse(line: &[u8]) -> Result<Command, Fault> {
    let mut r = Reader::new(line);
    let keyword = r
        .take_while(|b| b.is_ascii_alphanumeric())
        .to_ascii_uppercase();
    let own = (r.at_end() || r.peek() == Some(b' ')).then_some(keyword.as_slice());
    let command = match own.unwrap_or_default() {
        b"XCLIENT" => {
            let forwarded = xclient(r.take(usize::MAX));
            return forwarded
                .map(Command::Xclient)
                .map_err(|_| Fault::Arguments);
        }
        // Of proxies that were there before XCLIENT was.
        b"XOIP" => {
            let forwarded = xclient(&[b"ADDR=", word(&mut r)].concat());
            Command::Xclient(forwarded.map_err(|_| Fault::Arguments)?)
        }
        b"CAPA" => Command::Capa,
        b"STLS" => Command::Stls,
        b"QUIT" => Command::Quit,
        b"NOOP" => Command::Noop,
        b"STAT" => Command::Stat,
        b"RSET" => Command::Rset,
        b"LAST" => Command::Last,
        b"UTF8" => Command::Utf8,
        b"LANG" => Command::Lang(match word(&mut r) {
            [] => None,
            range => Some(range.to_vec()),
        }),
        b"PASS" => return argument(&mut r).map(Command::Pass).ok_or(Fault::Arguments),
        b"USER" => {
            let name = argument(&mut r).map(|name| name.trim_ascii().to_vec());
            let name = name.filter(|name| !name.is_empty());
            return name.map(Command::User).ok_or(Fault::Arguments);
        }
        b"AUTH" => Command::Auth(auth(&mut r)?),
        b"APOP" => apop(&mut r).ok_or(Fault::Arguments)?,
        b"LIST" => Command::List(optional(&mut r)?),
        b"UIDL" => Command::Uidl(optional(&mut r)?),
        b"RETR" => Command::Retr(message(&mut r)?),
        b"DELE" => Command::Dele(message(&mut r)?),
        b"TOP" => Command::Top {
            message: message(&mut r)?,
            lines: number(&mut r)?,
        },
        _ => return Err(Fault::Unknown),
    };
    match r.rest().iter().all(|b| *b == b' ') {
        true => Ok(command),
        false => Err(Fault::Arguments),
    }
}

/// All that stands behind one space; not nothing.
fn argument(r: &mut Reader<'_>) -> Option<Vec<u8>> {
    let argument = r.eat(b' ').then(|| r.take(usize::MAX).to_vec());
    argument.filter(|argument| !argument.is_empty())
}

/// The next of several words.
fn word<'a>(r: &mut Reader<'a>) -> &'a [u8] {
    r.take_while(|b| b == b' ');
    r.take_while(|b| b != b' ')
}

fn auth(r: &mut Reader<'_>) -> Result<Option<Auth>, Fault> {
    let (mechanism, initial) = (word(r), word(r));
    if mechanism.is_empty() {
        return Ok(None);
    }
    let mechanism = String::from_utf8(mechanism.to_vec()).map_err(|_| Fault::Arguments)?;
    Ok(Some(Auth {
        mechanism,
        initial: (!initial.is_empty()).then(|| initial.to_vec()),
    }))
}

fn apop(r: &mut Reader<'_>) -> Option<Command> {
    // A name may have spaces, the digest has none.
    let text = argument(r)?;
    let text = text.trim_ascii_end();
    let space = memchr::memrchr(b' ', text)?;
    let (user, digest) = text.split_at(space);
    let digest = digest.trim_ascii_start();
    let good = !user.trim_ascii().is_empty() && digest.len() == 32;
    good.then(|| Command::Apop {
        user: user.trim_ascii().to_vec(),
        digest: digest.to_ascii_lowercase(),
    })
}

/// A decimal number. More than fits is as good as the most that does.
fn number(r: &mut Reader<'_>) -> Result<u64, Fault> {
    let digits = word(r);
    let all = !digits.is_empty() && digits.iter().all(u8::is_ascii_digit);
    if !all {
        return Err(Fault::Arguments);
    }
    Ok(Reader::new(digits).number(u64::MAX).unwrap_or(u64::MAX))
}

fn message(r: &mut Reader<'_>) -> Result<Message, Fault> {
    Ok(u32::try_from(number(r)?).ok().and_then(SeqNum::new))
}

fn optional(r: &mut Reader<'_>) -> Result<Option<Message>, Fault> {
    match r.rest().iter().all(|b| *b == b' ') {
        true => Ok(None),
        false => message(r).map(Some),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands() {
        let seq = SeqNum::new;
        for (line, expected) in [
            ("capa", Ok(Command::Capa)),
            ("STAT ", Ok(Command::Stat)),
            ("STAT 1", Err(Fault::Arguments)),
            ("USER ann b ", Ok(Command::User(b"ann b".to_vec()))),
            ("USER  ", Err(Fault::Arguments)),
            ("USER", Err(Fault::Arguments)),
            ("PASS  a b ", Ok(Command::Pass(b" a b ".to_vec()))),
            ("pass", Err(Fault::Arguments)),
            ("AUTH", Ok(Command::Auth(None))),
            (
                "AUTH PLAIN =",
                Ok(Command::Auth(Some(Auth {
                    mechanism: "PLAIN".into(),
                    initial: Some(b"=".to_vec()),
                }))),
            ),
            ("AUTH PLAIN a b", Err(Fault::Arguments)),
            (
                "APOP a b C4C9334BAC560ECC979E58001B3E22FB",
                Ok(Command::Apop {
                    user: b"a b".to_vec(),
                    digest: b"c4c9334bac560ecc979e58001b3e22fb".to_vec(),
                }),
            ),
            ("APOP ann c4c9", Err(Fault::Arguments)),
            (
                "APOP c4c9334bac560ecc979e58001b3e22fb",
                Err(Fault::Arguments),
            ),
            ("LIST", Ok(Command::List(None))),
            ("LIST 7 ", Ok(Command::List(Some(seq(7))))),
            ("UIDL 0", Ok(Command::Uidl(Some(None)))),
            ("UIDL x", Err(Fault::Arguments)),
            ("RETR", Err(Fault::Arguments)),
            ("RETR 99999999999999999999", Ok(Command::Retr(None))),
            ("RETR -1", Err(Fault::Arguments)),
            (
                "TOP 3 10",
                Ok(Command::Top {
                    message: seq(3),
                    lines: 10,
                }),
            ),
            ("UTF8", Ok(Command::Utf8)),
            ("UTF8 x", Err(Fault::Arguments)),
            ("UTF", Err(Fault::Unknown)),
            ("lang ", Ok(Command::Lang(None))),
            ("LANG en-gb", Ok(Command::Lang(Some(b"en-gb".to_vec())))),
            ("LANG en de", Err(Fault::Arguments)),
            ("TOP 3", Err(Fault::Arguments)),
            ("TOP 3 x", Err(Fault::Arguments)),
            ("DELE 2 3", Err(Fault::Arguments)),
            ("XYZZY", Err(Fault::Unknown)),
            ("RETRX 1", Err(Fault::Unknown)),
            ("RETR\t1", Err(Fault::Unknown)),
            ("", Err(Fault::Unknown)),
        ] {
            assert_eq!(parse(line.as_bytes()), expected, "{line}");
        }
    }
}
