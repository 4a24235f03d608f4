//! A blocking LMTP client (and, with `EHLO`, one for SMTP).

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

/// Longest wait for an answer.
const PATIENCE: Duration = Duration::from_secs(60);

/// Either kind of connection.
pub(crate) trait Stream: Read + Write + Send {}
impl<T: Read + Write + Send> Stream for T {}

pub(crate) struct Lmtp {
    stream: BufReader<Box<dyn Stream>>,
}

fn lost(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::UnexpectedEof, what.to_owned())
}

impl Lmtp {
    /// Connects and says `LHLO`.
    pub(crate) fn tcp(port: u16) -> io::Result<Lmtp> {
        Lmtp::greeted(tcp(port)?, "LHLO client.test")
    }

    /// Connects to an SMTP server and says `EHLO`.
    pub(crate) fn smtp(port: u16) -> io::Result<Lmtp> {
        Lmtp::greeted(tcp(port)?, "EHLO client.test")
    }

    /// Connects to a unix socket and says `LHLO`.
    pub(crate) fn unix(path: &Path) -> io::Result<Lmtp> {
        let stream = UnixStream::connect(path)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        Lmtp::greeted(Box::new(stream), "LHLO client.test")
    }

    /// Connects, sends what a proxy says first, and says `LHLO`.
    pub(crate) fn behind(port: u16, header: &[u8]) -> io::Result<Lmtp> {
        let mut stream = tcp(port)?;
        stream.write_all(header)?;
        Lmtp::greeted(stream, "LHLO client.test")
    }

    fn greeted(stream: Box<dyn Stream>, hello: &str) -> io::Result<Lmtp> {
        let mut client = Lmtp {
            stream: BufReader::new(stream),
        };
        let greeting = client.reply()?;
        if !greeting.starts_with("220 ") {
            return Err(io::Error::other(greeting));
        }
        client.command(hello)?;
        Ok(client)
    }

    pub(crate) fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        let stream = self.stream.get_mut();
        stream.write_all(bytes)?;
        stream.flush()
    }

    /// The next reply; of several lines all, with `\n` between them.
    pub(crate) fn reply(&mut self) -> io::Result<String> {
        let mut reply = String::new();
        loop {
            let mut line = String::new();
            if self.stream.read_line(&mut line)? == 0 || !line.ends_with('\n') {
                return Err(lost("in a reply"));
            }
            reply.push_str(line.trim_end());
            if line.as_bytes().get(3) != Some(&b'-') {
                return Ok(reply);
            }
            reply.push('\n');
        }
    }

    pub(crate) fn command(&mut self, line: &str) -> io::Result<String> {
        self.send(format!("{line}\r\n").as_bytes())?;
        self.reply()
    }

    /// One transaction: the reply to DATA's end for every recipient, in order; for one that was
    /// refused the reply to RCPT. `text` has CRLF line ends and is dot-stuffed here. With
    /// `each` false there is one reply for all, as SMTP has it.
    pub(crate) fn transaction(
        &mut self,
        recipients: &[&str],
        text: &str,
        each: bool,
    ) -> io::Result<Vec<String>> {
        self.command("MAIL FROM:<sender@example.net>")?;
        let mut replies = Vec::new();
        for recipient in recipients {
            replies.push(self.command(&format!("RCPT TO:<{recipient}>"))?);
        }
        if !replies.iter().any(|reply| reply.starts_with("25")) {
            self.command("RSET")?;
            return Ok(replies);
        }
        let go_on = self.command("DATA")?;
        if !go_on.starts_with("354") {
            return Ok(vec![go_on; replies.len()]);
        }
        let stuffed = text.replace("\r\n.", "\r\n..");
        self.send(format!("{stuffed}.\r\n").as_bytes())?;
        if !each {
            return Ok(vec![self.reply()?]);
        }
        for reply in replies.iter_mut().filter(|reply| reply.starts_with("25")) {
            *reply = self.reply()?;
        }
        Ok(replies)
    }
}

pub(super) fn tcp(port: u16) -> io::Result<Box<dyn Stream>> {
    let stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_nodelay(true)?;
    Ok(Box::new(stream))
}
