//! A blocking IMAP client. Every response it reads is also parsed by `imap-codec`.

use super::{Deflated, Stream};
use imap_codec::decode::Decoder;
use imap_codec::{GreetingCodec, ResponseCodec};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

/// Longest wait for an answer.
const PATIENCE: Duration = Duration::from_secs(60);

/// Responses of extensions which `imap-codec` does not know: RFC 2971, RFC 2342, RFC 7162, RFC 4731,
/// RFC 5256.
const UNKNOWN: &[&str] = &[
    "* ESEARCH ",
    "* ID ",
    "* NAMESPACE ",
    "* VANISHED ",
    "* SORT",
    "* THREAD",
];

pub(crate) struct Imap {
    stream: BufReader<Box<dyn Stream>>,
    tag: u32,
    /// Responses are parsed by `imap-codec`, and octets that are no UTF-8 lost.
    parsed: bool,
}

/// What a command brought.
#[derive(Debug)]
pub(crate) struct Answer {
    /// Untagged responses without `* `, literals in them.
    pub(crate) untagged: Vec<String>,
    /// The tagged one, without its tag: `OK [READ-WRITE] ...`.
    pub(crate) status: String,
}

impl Answer {
    /// The numbers behind `[APPENDUID validity ` or the like, the last word of the code.
    pub(crate) fn code(&self, name: &str) -> Option<&str> {
        let (_, rest) = self.status.split_once(&format!("[{name} "))?;
        rest.split_once(']').map(|(code, _)| code)
    }

    /// The untagged response that begins with `head`, without it.
    pub(crate) fn find(&self, head: &str) -> Option<&str> {
        self.untagged.iter().find_map(|r| r.strip_prefix(head))
    }
}

/// One message as [`Imap::list`] sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Message {
    pub(crate) uid: u32,
    /// Message-ID without angle brackets.
    pub(crate) id: String,
    /// In alphabetical order, without `\Recent`.
    pub(crate) flags: Vec<String>,
}

impl Imap {
    /// Connects without TLS and reads the greeting.
    pub(crate) fn connect(port: u16) -> io::Result<Imap> {
        Imap::over(Box::new(tcp(port)?))
    }

    /// As `connect`, to a listener for proxies: in the name of a client with that address.
    pub(crate) fn from(address: &str, port: u16) -> io::Result<Imap> {
        let mut stream = tcp(port)?;
        let kind = if address.contains(':') {
            "TCP6"
        } else {
            "TCP4"
        };
        stream.write_all(format!("PROXY {kind} {address} {address} 1 2\r\n").as_bytes())?;
        Imap::over(Box::new(stream))
    }

    /// Reads the greeting of a connection that is there.
    pub(crate) fn over(stream: Box<dyn Stream>) -> io::Result<Imap> {
        let stream = BufReader::new(stream);
        let mut client = Imap {
            stream,
            tag: 0,
            parsed: true,
        };
        let greeting = client.line()?;
        let parsed = GreetingCodec::new().decode(&greeting);
        assert!(parsed.is_ok(), "{}", String::from_utf8_lossy(&greeting));
        if !greeting.starts_with(b"* OK") {
            return Err(io::Error::other(String::from_utf8_lossy(&greeting)));
        }
        Ok(client)
    }

    /// From now on responses are as they come, each octet a character.
    pub(crate) fn raw(mut self) -> Imap {
        self.parsed = false;
        self
    }

    /// From now on both sides compress (RFC 4978).
    pub(crate) fn compress(&mut self) -> io::Result<()> {
        self.ok("COMPRESS DEFLATE");
        let nothing: Box<dyn Stream> = Box::new(io::empty());
        let stream = std::mem::replace(&mut self.stream, BufReader::new(nothing));
        self.stream = BufReader::new(Box::new(Deflated::over(stream.into_inner())));
        Ok(())
    }

    fn line(&mut self) -> io::Result<Vec<u8>> {
        let mut line = Vec::new();
        self.stream.read_until(b'\n', &mut line)?;
        match line.ends_with(b"\r\n") {
            true => Ok(line),
            false => Err(io::Error::new(io::ErrorKind::UnexpectedEof, "in a line")),
        }
    }

    /// The next response with its literals, without the last CRLF.
    pub(crate) fn response(&mut self) -> io::Result<String> {
        let mut whole = Vec::new();
        loop {
            let line = self.line()?;
            whole.extend_from_slice(&line);
            let Some(octets) = literal(&line) else {
                break;
            };
            let mut bytes = vec![0; octets];
            self.stream.read_exact(&mut bytes)?;
            whole.extend_from_slice(&bytes);
        }
        if !self.parsed {
            let text: String = whole.iter().map(|octet| char::from(*octet)).collect();
            return Ok(text.trim_end_matches(['\r', '\n']).to_owned());
        }
        let text = String::from_utf8_lossy(&whole).trim_end().to_owned();
        let mut unknown = UNKNOWN.iter().any(|head| text.starts_with(head));
        // Items of RFC 7162, and RFC 9586.
        unknown |= ["MODSEQ (", "(MODSEQ ", " UIDFETCH ("]
            .iter()
            .any(|item| text.contains(item));
        unknown |= text.starts_with("* STATUS ") && text.contains("HIGHESTMODSEQ ");
        if !unknown {
            let parsed = ResponseCodec::new().decode(&whole);
            let whole_of_it = parsed.as_ref().is_ok_and(|(rest, _)| rest.is_empty());
            assert!(whole_of_it, "not understood: {text:?} ({parsed:?})");
        }
        Ok(text)
    }

    pub(crate) fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.get_mut().write_all(bytes)
    }

    /// Sends a command (with CRLF and literals in it, if need be) and waits for its end.
    pub(crate) fn command(&mut self, command: &str) -> io::Result<Answer> {
        self.tag += 1;
        let tag = format!("t{}", self.tag);
        self.send(format!("{tag} {command}\r\n").as_bytes())?;
        let mut untagged = Vec::new();
        loop {
            let response = self.response()?;
            if let Some(status) = response.strip_prefix(&format!("{tag} ")) {
                let status = status.to_owned();
                return Ok(Answer { untagged, status });
            }
            untagged.push(response.strip_prefix("* ").unwrap_or(&response).to_owned());
        }
    }

    /// The tag of the last command.
    pub(crate) fn last_tag(&self) -> String {
        format!("t{}", self.tag)
    }

    /// Sends a command and counts the octets of its untagged responses, whatever is in them.
    pub(crate) fn count(&mut self, command: &str) -> io::Result<(u64, String)> {
        self.tag += 1;
        let tag = format!("t{} ", self.tag);
        self.send(format!("{tag}{command}\r\n").as_bytes())?;
        let mut octets = 0;
        loop {
            let mut line = Vec::new();
            self.stream.read_until(b'\n', &mut line)?;
            if line.is_empty() {
                return Err(io::Error::new(
                    io::ErrorKind::UnexpectedEof,
                    "in a response",
                ));
            }
            if let Some(status) = line.strip_prefix(tag.as_bytes()) {
                return Ok((
                    octets,
                    String::from_utf8_lossy(status).trim_end().to_owned(),
                ));
            }
            let literal = literal(&line)
                .and_then(|n| u64::try_from(n).ok())
                .unwrap_or(0);
            let stream: &mut dyn Read = &mut self.stream;
            io::copy(&mut stream.take(literal), &mut io::sink())?;
            octets += u64::try_from(line.len()).unwrap_or(0) + literal;
        }
    }

    /// As `command`, which must succeed.
    pub(crate) fn ok(&mut self, command: &str) -> Answer {
        let answer = self.command(command);
        let answer = answer.unwrap_or_else(|e| panic!("{command:?}: {e}"));
        assert!(answer.status.starts_with("OK"), "{command:?}: {answer:#?}");
        answer
    }

    pub(crate) fn login(&mut self, user: &str, password: &str) -> io::Result<Answer> {
        self.command(&format!("LOGIN {user} {password}"))
    }

    /// Appends a message by a literal that does not wait.
    pub(crate) fn append(&mut self, mailbox: &str, flags: &str, text: &str) -> io::Result<Answer> {
        let octets = text.len();
        self.command(&format!(
            "APPEND {mailbox} ({flags}) {{{octets}+}}\r\n{text}"
        ))
    }

    /// Every message with a UID in `set` of the selected mailbox.
    pub(crate) fn list(&mut self, set: &str) -> io::Result<Vec<Message>> {
        let items = "(UID FLAGS BODY.PEEK[HEADER.FIELDS (MESSAGE-ID)])";
        let answer = self.command(&format!("UID FETCH {set} {items}"))?;
        if !answer.status.starts_with("OK") {
            return Err(io::Error::other(answer.status));
        }
        let with_header = |r: &&String| r.contains(" FETCH (") && r.contains("BODY[");
        let responses = answer.untagged.iter().filter(with_header);
        Ok(responses.map(|r| message(r)).collect())
    }
}

/// A connection that waits for bounded time.
pub(super) fn tcp(port: u16) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

fn literal(line: &[u8]) -> Option<usize> {
    let text = std::str::from_utf8(line).ok()?.strip_suffix("}\r\n")?;
    text.rsplit_once('{')?.1.parse().ok()
}

fn message(response: &str) -> Message {
    let after = |before: &str| response.split_once(before).map_or("", |(_, rest)| rest);
    let until = |text: &str, end: char| text.split(end).next().unwrap_or_default().to_owned();
    let uid: String = after("UID ")
        .chars()
        .take_while(char::is_ascii_digit)
        .collect();
    let flags = until(after("FLAGS ("), ')');
    let mut flags: Vec<String> = flags.split_whitespace().map(str::to_owned).collect();
    flags.retain(|flag| flag != "\\Recent");
    flags.sort();
    Message {
        uid: uid
            .parse()
            .unwrap_or_else(|_| panic!("no UID in {response:?}")),
        id: until(after("<"), '>'),
        flags,
    }
}
