//! Messages to look at, and the LMTP client that delivers them.

use std::io::{self, BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// Compiled in; lines end in LF here and in CRLF on the way.
pub(crate) const SAMPLES: [&str; 4] = [
    include_str!("samples/welcome.eml"),
    include_str!("samples/letters.eml"),
    include_str!("samples/attachment.eml"),
    include_str!("samples/answer.eml"),
];

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// For each answer, deliveries to a slow disk included.
const TIMEOUT: Duration = Duration::from_secs(60);
/// Octets of one answer that are read at most, all its lines together.
const MAX_ANSWER: u64 = 16 * 1024;

/// Delivers the samples to `recipient` over LMTP (RFC 2033) at `address`. Errors: the connection
/// fails, an answer takes longer than a minute, or the server refuses something (`Other`).
pub(crate) fn deliver(address: SocketAddr, recipient: &str) -> io::Result<()> {
    let stream = TcpStream::connect_timeout(&address, CONNECT_TIMEOUT)?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    stream.set_write_timeout(Some(TIMEOUT))?;
    stream.set_nodelay(true)?;
    let mut client = Client {
        reader: BufReader::new(stream.try_clone()?),
        stream,
    };
    client.expect("220")?;
    client.ask("LHLO localhost", "250")?;
    for sample in SAMPLES {
        client.ask("MAIL FROM:<> BODY=8BITMIME", "250")?;
        client.ask(&format!("RCPT TO:<{recipient}>"), "250")?;
        client.ask("DATA", "354")?;
        client.stream.write_all(&transparent(sample))?;
        // One recipient, one answer.
        client.expect("250")?;
    }
    client.ask("QUIT", "221")
}

/// The message as it goes over the wire, its end included (RFC 5321 section 4.5.2).
fn transparent(message: &str) -> Vec<u8> {
    let mut sent = Vec::with_capacity(message.len() * 2);
    for line in message.lines() {
        if line.starts_with('.') {
            sent.push(b'.');
        }
        sent.extend_from_slice(line.as_bytes());
        sent.extend_from_slice(b"\r\n");
    }
    sent.extend_from_slice(b".\r\n");
    sent
}

struct Client {
    reader: BufReader<TcpStream>,
    stream: TcpStream,
}

impl Client {
    fn ask(&mut self, command: &str, code: &str) -> io::Result<()> {
        self.stream.write_all(format!("{command}\r\n").as_bytes())?;
        self.expect(code)
    }

    /// Reads one answer, of one or more lines, which must have this code.
    fn expect(&mut self, code: &str) -> io::Result<()> {
        let mut answer = self.reader.by_ref().take(MAX_ANSWER);
        loop {
            let mut line = String::new();
            answer.read_line(&mut line)?;
            if !line.ends_with('\n') {
                return Err(ErrorKind::UnexpectedEof.into());
            }
            match line.strip_prefix(code) {
                Some(rest) if rest.starts_with('-') => {}
                Some(_) => return Ok(()),
                None => return Err(io::Error::other(format!("answered {:?}", line.trim_end()))),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::dot::Decoder;
    use std::net::TcpListener;

    /// Answers what `refuse` begins with by 550, all else by what LMTP says; returns the messages.
    fn server(listener: &TcpListener, refuse: Option<&str>) -> Vec<String> {
        let (mut stream, _) = listener.accept().unwrap();
        let mut reader = BufReader::new(stream.try_clone().unwrap());
        let mut messages = Vec::new();
        stream.write_all(b"220 ready\r\n").unwrap();
        let mut line = String::new();
        while reader.read_line(&mut line).unwrap() > 0 {
            let answer = match line.trim_end() {
                refused if refuse.is_some_and(|r| refused.starts_with(r)) => "550 no\r\n",
                "LHLO localhost" => "250-here\r\n250 8BITMIME\r\n",
                "MAIL FROM:<> BODY=8BITMIME" | "RCPT TO:<demo>" => "250 2.1.0 fine\r\n",
                "DATA" => {
                    stream.write_all(b"354 go on\r\n").unwrap();
                    messages.push(message(&mut reader));
                    "250 2.0.0 kept\r\n"
                }
                "QUIT" => "221 bye\r\n",
                other => panic!("{other}"),
            };
            stream.write_all(answer.as_bytes()).unwrap();
            line.clear();
        }
        messages
    }

    fn message(reader: &mut impl BufRead) -> String {
        let (mut decoder, mut text, mut line) = (Decoder::default(), Vec::new(), Vec::new());
        loop {
            line.clear();
            reader.read_until(b'\n', &mut line).unwrap();
            decoder.decode(&line, &mut text);
            if line == b".\r\n" {
                return String::from_utf8(text).unwrap();
            }
        }
    }

    fn exchange(refuse: Option<&'static str>) -> (io::Result<()>, Vec<String>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let server = std::thread::spawn(move || server(&listener, refuse));
        let delivered = deliver(address, "demo");
        (delivered, server.join().unwrap())
    }

    #[test]
    fn samples_arrive_as_they_are() {
        let (delivered, messages) = exchange(None);
        delivered.unwrap();
        let expected: Vec<String> = SAMPLES.iter().map(|s| s.replace('\n', "\r\n")).collect();
        assert_eq!(messages, expected);
    }

    #[test]
    fn refusals_are_errors() {
        for (refused, told) in [
            ("LHLO", 0),
            ("MAIL", 0),
            ("RCPT", 0),
            ("DATA", 0),
            ("QUIT", 4),
        ] {
            let (delivered, messages) = exchange(Some(refused));
            let error = delivered.unwrap_err().to_string();
            assert_eq!(error, "answered \"550 no\"", "{refused}");
            assert_eq!(messages.len(), told, "{refused}");
        }
    }

    #[test]
    fn samples_show_what_mail_can_be() {
        for sample in SAMPLES {
            let (header, _) = sample.split_once("\n\n").unwrap();
            assert!(header.is_ascii());
            for name in ["From: ", "Subject: ", "Date: ", "Message-ID: "] {
                assert!(header.lines().any(|l| l.starts_with(name)), "{sample}");
            }
        }
        assert!(SAMPLES.iter().any(|s| !s.is_ascii()));
        assert!(SAMPLES.iter().any(|s| s.contains("multipart/mixed")));
        assert!(SAMPLES.iter().any(|s| s.contains("\n.\n")));
    }
}
