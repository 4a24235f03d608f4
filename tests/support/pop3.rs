//! A blocking POP3 client.

use super::Stream;
use super::lmtp::tcp;
use std::io::{self, BufRead, BufReader};

pub(crate) struct Pop3 {
    stream: BufReader<Box<dyn Stream>>,
}

impl Pop3 {
    /// Connects and reads the greeting.
    pub(crate) fn connect(port: u16) -> io::Result<Pop3> {
        Pop3::over(tcp(port)?)
    }

    /// Connects, sends what a proxy says first, and reads the greeting.
    pub(crate) fn behind(port: u16, header: &[u8]) -> io::Result<Pop3> {
        let mut stream = tcp(port)?;
        stream.write_all(header)?;
        Pop3::over(stream)
    }

    /// Over a connection that is there already.
    pub(crate) fn over(stream: Box<dyn Stream>) -> io::Result<Pop3> {
        let mut client = Pop3 {
            stream: BufReader::new(stream),
        };
        let greeting = client.line()?;
        match greeting.starts_with("+OK") {
            true => Ok(client),
            false => Err(io::Error::other(greeting)),
        }
    }

    /// Sends octets as they are.
    pub(crate) fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.get_mut().write_all(bytes)
    }

    /// The next line without its end.
    pub(crate) fn line(&mut self) -> io::Result<String> {
        let mut line = Vec::new();
        self.stream.read_until(b'\n', &mut line)?;
        match line.strip_suffix(b"\r\n") {
            Some(line) => Ok(String::from_utf8_lossy(line).into_owned()),
            None => Err(io::ErrorKind::UnexpectedEof.into()),
        }
    }

    /// The first line of the answer.
    pub(crate) fn command(&mut self, text: &str) -> io::Result<String> {
        self.send(format!("{text}\r\n").as_bytes())?;
        self.line()
    }

    /// As `command`, which must succeed: what stands behind `+OK`.
    pub(crate) fn ok(&mut self, text: &str) -> String {
        let answer = self.command(text).unwrap();
        let rest = answer.strip_prefix("+OK");
        rest.unwrap_or_else(|| panic!("{text}: {answer}"))
            .trim()
            .to_owned()
    }

    /// USER and PASS; the answer to the last of them.
    pub(crate) fn login(&mut self, user: &str, password: &str) -> io::Result<String> {
        self.command(&format!("USER {user}"))?;
        self.command(&format!("PASS {password}"))
    }

    /// A command with an answer of many lines: these, octets as they are, with their ends and without
    /// what makes dots harmless.
    pub(crate) fn many(&mut self, text: &str) -> Vec<Vec<u8>> {
        self.ok(text);
        let mut lines = Vec::new();
        loop {
            let mut line = Vec::new();
            self.stream.read_until(b'\n', &mut line).unwrap();
            assert!(line.ends_with(b"\r\n"), "{text}: {}", line.escape_ascii());
            if line == b".\r\n" {
                return lines;
            }
            lines.push(line.strip_prefix(b".").map_or(line.clone(), <[u8]>::to_vec));
        }
    }

    /// As `many`, as text without line ends.
    pub(crate) fn list(&mut self, text: &str) -> Vec<String> {
        let lines = self.many(text).into_iter();
        lines
            .map(|line| String::from_utf8_lossy(line.trim_ascii_end()).into_owned())
            .collect()
    }
}
