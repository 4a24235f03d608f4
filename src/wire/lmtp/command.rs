//! Command lines.

use super::parameter::{Mail, Rcpt, mail, number, rcpt};
use super::reply::{Reply, SYNTAX, UNKNOWN, reply};
use super::xclient::{Forwarded, xclient};
use crate::wire::reader::Reader;

/// Longest name after LHLO that is remembered.
const MAX_NAME: usize = 255;

/// A command line.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Command {
    Lhlo(Vec<u8>),
    StartTls,
    Xclient(Forwarded),
    Mail(Mail),
    Rcpt(Rcpt),
    Data,
    /// A piece of the message follows the line (RFC 3030 section 2).
    Bdat {
        octets: u64,
        last: bool,
    },
    Rset,
    Noop,
    Vrfy,
    Quit,
}

/// A line without its line end. Errors: what to reply.
pub(crate) fn parse(line: &[u8]) -> Result<Command, Reply> {
    let mut r = Reader::new(line);
    let verb = r
        .take_while(|b| b.is_ascii_alphabetic())
        .to_ascii_uppercase();
    let bare = r.rest().iter().all(|b| *b == b' ');
    match verb.as_slice() {
        b"LHLO" => lhlo(&mut r),
        b"MAIL" => mail(&mut r).map(Command::Mail),
        b"RCPT" => rcpt(&mut r).map(Command::Rcpt),
        b"BDAT" => bdat(&mut r),
        b"XCLIENT" => xclient(r.rest()).map(Command::Xclient),
        b"DATA" if bare => Ok(Command::Data),
        b"RSET" if bare => Ok(Command::Rset),
        b"QUIT" if bare => Ok(Command::Quit),
        b"STARTTLS" if bare => Ok(Command::StartTls),
        b"DATA" | b"RSET" | b"QUIT" | b"STARTTLS" => Err(SYNTAX),
        b"NOOP" => Ok(Command::Noop),
        b"VRFY" => Ok(Command::Vrfy),
        b"HELO" | b"EHLO" => Err(reply(500, "5.5.1", "This is LMTP: say LHLO")),
        _ => Err(UNKNOWN),
    }
}

fn lhlo(r: &mut Reader<'_>) -> Result<Command, Reply> {
    let name = r.rest().trim_ascii();
    let good = !name.is_empty() && name.len() <= MAX_NAME && name.iter().all(u8::is_ascii_graphic);
    if good {
        Ok(Command::Lhlo(name.to_vec()))
    } else {
        Err(SYNTAX)
    }
}

/// `bdat-cmd = "BDAT" SP chunk-size [SP end-marker]` (RFC 3030 section 2).
fn bdat(r: &mut Reader<'_>) -> Result<Command, Reply> {
    let words = r.rest().split(|b| *b == b' ');
    let words: Vec<&[u8]> = words.filter(|word| !word.is_empty()).collect();
    let (octets, last) = match words.as_slice() {
        [octets] => (number(octets)?, false),
        [octets, end] if end.eq_ignore_ascii_case(b"LAST") => (number(octets)?, true),
        _ => return Err(SYNTAX),
    };
    Ok(Command::Bdat { octets, last })
}

#[cfg(test)]
mod tests {
    use super::super::parameter::Body;
    use super::super::reply::{BAD_PATH, BAD_RECIPIENT, PARAMETER};
    use super::*;

    fn mail(path: &str) -> Mail {
        Mail {
            reverse_path: path.into(),
            ..Mail::default()
        }
    }

    fn rcpt(path: &str) -> Rcpt {
        Rcpt {
            path: path.into(),
            ..Rcpt::default()
        }
    }

    #[test]
    fn commands() {
        for (line, expected) in [
            (
                "LHLO mx.example.org",
                Ok(Command::Lhlo(b"mx.example.org".to_vec())),
            ),
            ("lhlo", Err(SYNTAX)),
            ("DATA", Ok(Command::Data)),
            ("DATA x", Err(SYNTAX)),
            ("STARTTLS", Ok(Command::StartTls)),
            ("STARTTLS now", Err(SYNTAX)),
            (
                "BDAT 0",
                Ok(Command::Bdat {
                    octets: 0,
                    last: false,
                }),
            ),
            (
                "bdat 77 last",
                Ok(Command::Bdat {
                    octets: 77,
                    last: true,
                }),
            ),
            ("BDAT", Err(SYNTAX)),
            ("BDAT -1", Err(SYNTAX)),
            ("BDAT 1 FIRST", Err(SYNTAX)),
            ("BDAT 99999999999999999999", Err(SYNTAX)),
            ("NOOP anything", Ok(Command::Noop)),
            ("EHLO x", Err(reply(500, "5.5.1", "This is LMTP: say LHLO"))),
            ("", Err(UNKNOWN)),
        ] {
            assert_eq!(parse(line.as_bytes()), expected, "{line}");
        }
    }

    #[test]
    fn mail_and_its_parameters() {
        for (line, expected) in [
            ("MAIL FROM:<>", Ok(mail(""))),
            (
                "mail from:<a@b.c> SIZE=17 BODY=8BITMIME",
                Ok(Mail {
                    size: Some(17),
                    ..mail("a@b.c")
                }),
            ),
            (
                "MAIL FROM:<zoë@b.c> smtputf8 body=binarymime",
                Ok(Mail {
                    utf8: true,
                    body: Body::Binary,
                    ..mail("zoë@b.c")
                }),
            ),
            (
                "MAIL FROM:<a@b.c> RET=hdrs ENVID=QQ+2B314159",
                Ok(Mail {
                    ret: Some("HDRS"),
                    envid: Some(b"QQ+314159".to_vec()),
                    ..mail("a@b.c")
                }),
            ),
            ("MAIL FROM: <a@b.c> ", Ok(mail("a@b.c"))),
            ("MAIL FROM:<@x,@y:a@b.c>", Ok(mail("a@b.c"))),
            ("MAIL FROM:<a@b.c> AUTH=<>", Err(PARAMETER)),
            ("MAIL FROM:<a@b.c>SIZE=1", Err(SYNTAX)),
            ("MAIL FROM:<a@b.c> RET=SOME", Err(SYNTAX)),
            ("MAIL FROM:<a@b.c> ENVID=a+0A", Err(SYNTAX)),
            ("MAIL FROM:<a@b.c> ENVID=a+2b", Err(SYNTAX)),
            ("MAIL FROM:<a@b.c> ENVID", Err(SYNTAX)),
            ("MAIL FROM:<a@b.c> BODY=9BIT", Err(SYNTAX)),
            ("MAIL FROM:<a@b.c> SMTPUTF8=yes", Err(SYNTAX)),
            ("MAIL FROM:a@b.c", Err(BAD_PATH)),
            ("MAIL FROM:<a@b.c> SIZE=x", Err(SYNTAX)),
        ] {
            let expected = expected.map(Command::Mail);
            assert_eq!(parse(line.as_bytes()), expected, "{line}");
        }
        let envid = |count| format!("MAIL FROM:<> ENVID={}", "e".repeat(count));
        assert!(parse(envid(100).as_bytes()).is_ok());
        assert_eq!(parse(envid(101).as_bytes()), Err(SYNTAX));
    }

    #[test]
    fn rcpt_and_its_parameters() {
        for (line, expected) in [
            ("RCPT TO:<\"a b>\\\"\"@c>", Ok(rcpt("\"a b>\\\"\"@c"))),
            (
                "RCPT TO:<a> NOTIFY=success,delay ORCPT=rfc822;A+2BB@c",
                Ok(Rcpt {
                    notify: Some(b"SUCCESS,DELAY".to_vec()),
                    original: Some(b"A+B@c".to_vec()),
                    ..rcpt("a")
                }),
            ),
            (
                "RCPT TO:<a> XRCPTFORWARD=a2V5PXZhbHVlCXg9eQ==",
                Ok(Rcpt {
                    forwarded: true,
                    ..rcpt("a")
                }),
            ),
            ("RCPT TO:<a> XRCPTFORWARD=***", Err(SYNTAX)),
            ("RCPT TO:<a> NOTIFY=NEVER,DELAY", Err(SYNTAX)),
            ("RCPT TO:<a> NOTIFY=", Err(SYNTAX)),
            ("RCPT TO:<a> ORCPT=a@b", Err(SYNTAX)),
            ("RCPT TO:<a> ORCPT=rfc822;a+0D+0AX", Err(SYNTAX)),
            ("RCPT TO:<a> SIZE=1", Err(PARAMETER)),
            ("RCPT TO:<>", Err(BAD_RECIPIENT)),
            ("RCPT TO:<a@b", Err(BAD_RECIPIENT)),
            ("RCPT TO:<a b@c>", Err(BAD_RECIPIENT)),
        ] {
            let expected = expected.map(Command::Rcpt);
            assert_eq!(parse(line.as_bytes()), expected, "{line}");
        }
        let original = |count| format!("RCPT TO:<a> ORCPT=x;{}", "o".repeat(count));
        assert!(parse(original(498).as_bytes()).is_ok());
        assert_eq!(parse(original(499).as_bytes()), Err(SYNTAX));
        let forwarded = |count| format!("RCPT TO:<a> XRCPTFORWARD={}", "AAAA".repeat(count));
        assert!(parse(forwarded(225).as_bytes()).is_ok());
        assert_eq!(parse(forwarded(226).as_bytes()), Err(SYNTAX));
    }
}
