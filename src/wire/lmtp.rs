//! LMTP (RFC 2033) as bytes: command lines and replies of RFC 5321.

use super::reader::Reader;

/// Longest path between angle brackets (RFC 5321 section 4.5.3.1.3).
pub(crate) const MAX_PATH: usize = 256;
/// Longest name after LHLO that is remembered.
pub(crate) const MAX_NAME: usize = 255;

/// A command line.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Command {
    Lhlo(Vec<u8>),
    Mail {
        /// Empty for the null reverse path.
        reverse_path: Vec<u8>,
        /// RFC 1870 section 3.
        size: Option<u64>,
    },
    /// The forward path without angle brackets and source route.
    Rcpt(Vec<u8>),
    Data,
    Rset,
    Noop,
    Vrfy,
    Quit,
}

/// One reply line: code, enhanced status code (RFC 2034 section 4; empty where none belongs), text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Reply {
    pub(crate) code: u16,
    pub(crate) status: &'static str,
    pub(crate) text: &'static str,
}

/// A reply as a constant.
pub(crate) const fn reply(code: u16, status: &'static str, text: &'static str) -> Reply {
    Reply { code, status, text }
}

impl Reply {
    /// Appends the line.
    pub(crate) fn encode(self, out: &mut Vec<u8>) {
        let space = if self.status.is_empty() { "" } else { " " };
        let line = format!("{} {}{space}{}\r\n", self.code, self.status, self.text);
        out.extend_from_slice(line.as_bytes());
    }
}

const UNKNOWN: Reply = reply(500, "5.5.2", "Unknown command");
const SYNTAX: Reply = reply(501, "5.5.4", "Syntax error in parameters");
const PARAMETER: Reply = reply(555, "5.5.4", "Unsupported parameter");
const BAD_PATH: Reply = reply(501, "5.1.7", "Bad sender address");
const BAD_RECIPIENT: Reply = reply(501, "5.1.3", "Bad recipient address");

/// A line without its line end. Errors: what to reply.
pub(crate) fn parse(line: &[u8]) -> Result<Command, Reply> {
    let mut r = Reader::new(line);
    let verb = r
        .take_while(|b| b.is_ascii_alphabetic())
        .to_ascii_uppercase();
    let bare = r.rest().iter().all(|b| *b == b' ');
    match verb.as_slice() {
        b"LHLO" => lhlo(&mut r),
        b"MAIL" => mail(&mut r),
        b"RCPT" => rcpt(&mut r),
        b"DATA" if bare => Ok(Command::Data),
        b"RSET" if bare => Ok(Command::Rset),
        b"QUIT" if bare => Ok(Command::Quit),
        b"DATA" | b"RSET" | b"QUIT" => Err(SYNTAX),
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

/// `"MAIL FROM:" Reverse-path [SP Mail-parameters]` (RFC 5321 section 4.1.1.2).
fn mail(r: &mut Reader<'_>) -> Result<Command, Reply> {
    if !r.eat_word(" FROM:") {
        return Err(SYNTAX);
    }
    r.take_while(|b| b == b' ');
    let reverse_path = path(r).ok_or(BAD_PATH)?;
    let mut size = None;
    while r.eat(b' ') {
        let word = r.take_while(|b| b.is_ascii_graphic());
        let mut parameter = Reader::new(word);
        if parameter.eat_word("SIZE=") {
            size = Some(
                parameter
                    .number(u64::MAX)
                    .filter(|_| parameter.at_end())
                    .ok_or(SYNTAX)?,
            );
        } else if !(word.is_empty()
            || word.eq_ignore_ascii_case(b"BODY=7BIT")
            || word.eq_ignore_ascii_case(b"BODY=8BITMIME"))
        {
            return Err(PARAMETER);
        }
    }
    if r.at_end() {
        Ok(Command::Mail { reverse_path, size })
    } else {
        Err(SYNTAX)
    }
}

/// `"RCPT TO:" Forward-path` (RFC 5321 section 4.1.1.3).
fn rcpt(r: &mut Reader<'_>) -> Result<Command, Reply> {
    if !r.eat_word(" TO:") {
        return Err(SYNTAX);
    }
    r.take_while(|b| b == b' ');
    let path = path(r)
        .filter(|path| !path.is_empty())
        .ok_or(BAD_RECIPIENT)?;
    if r.rest().iter().all(|b| *b == b' ') {
        Ok(Command::Rcpt(path))
    } else {
        Err(PARAMETER)
    }
}

/// What is between the angle brackets, without a source route (RFC 5321 section 4.1.2 and appendix C).
fn path(r: &mut Reader<'_>) -> Option<Vec<u8>> {
    if !r.eat(b'<') {
        return None;
    }
    if r.peek() == Some(b'@') {
        r.take_while(|b| b != b':' && b != b'>');
        if !r.eat(b':') {
            return None;
        }
    }
    let mut path = Vec::new();
    let mut quoted = false;
    loop {
        let byte = r.peek()?;
        if byte < b' ' || byte == 127 || path.len() >= MAX_PATH {
            return None;
        }
        r.take(1);
        match byte {
            b'>' if !quoted => return Some(path),
            b'<' | b' ' if !quoted => return None,
            b'"' => quoted = !quoted,
            b'\\' if quoted => {
                path.push(byte);
                path.push(r.peek().filter(|b| *b >= b' ')?);
                r.take(1);
                continue;
            }
            _ => {}
        }
        path.push(byte);
    }
}

/// A local part without its quotes (RFC 5321 section 4.1.2): the address as user names are written.
pub(crate) fn unquoted(address: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(address.len());
    let mut escaped = false;
    for &byte in address {
        if escaped || (byte != b'"' && byte != b'\\') {
            out.push(byte);
            escaped = false;
        } else {
            escaped = byte == b'\\';
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands() {
        let mail = |path: &str, size| {
            Ok(Command::Mail {
                reverse_path: path.as_bytes().to_vec(),
                size,
            })
        };
        let rcpt = |path: &str| Ok(Command::Rcpt(path.as_bytes().to_vec()));
        for (line, expected) in [
            (
                "LHLO mx.example.org",
                Ok(Command::Lhlo(b"mx.example.org".to_vec())),
            ),
            ("lhlo", Err(SYNTAX)),
            ("MAIL FROM:<>", mail("", None)),
            (
                "mail from:<a@b.c> SIZE=17 BODY=8BITMIME",
                mail("a@b.c", Some(17)),
            ),
            ("MAIL FROM: <a@b.c>", mail("a@b.c", None)),
            ("MAIL FROM:<@x,@y:a@b.c>", mail("a@b.c", None)),
            ("MAIL FROM:<a@b.c> RET=FULL", Err(PARAMETER)),
            ("MAIL FROM:a@b.c", Err(BAD_PATH)),
            ("MAIL FROM:<a@b.c> SIZE=x", Err(SYNTAX)),
            ("RCPT TO:<\"a b>\\\"\"@c>", rcpt("\"a b>\\\"\"@c")),
            ("RCPT TO:<>", Err(BAD_RECIPIENT)),
            ("RCPT TO:<a@b", Err(BAD_RECIPIENT)),
            ("RCPT TO:<a b@c>", Err(BAD_RECIPIENT)),
            ("RCPT TO:<a> NOTIFY=NEVER", Err(PARAMETER)),
            ("DATA", Ok(Command::Data)),
            ("DATA x", Err(SYNTAX)),
            ("NOOP anything", Ok(Command::Noop)),
            ("EHLO x", Err(reply(500, "5.5.1", "This is LMTP: say LHLO"))),
            ("", Err(UNKNOWN)),
        ] {
            assert_eq!(parse(line.as_bytes()), expected, "{line}");
        }
        let long = format!("RCPT TO:<{}@x>", "a".repeat(300));
        assert_eq!(parse(long.as_bytes()), Err(BAD_RECIPIENT));
    }

    #[test]
    fn quotes_go() {
        assert_eq!(unquoted(b"\"a b\\\"c\"@d"), b"a b\"c@d");
        assert_eq!(unquoted(b"ann+x@y"), b"ann+x@y");
    }
}
