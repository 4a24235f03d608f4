//! A delivery by LMTP, for who may not ask the server in another way.

use super::letter::Letter;
use crate::config::{Address, Config, ListenerTls, Protocol};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::time::Duration;

/// How long the server may take to answer.
const PATIENCE: Duration = Duration::from_secs(300);
/// How long a connection may take to come about.
const CONNECT: Duration = Duration::from_secs(10);
/// Octets of a chunk.
const CHUNK: usize = 32 * 1024;

/// What the server said: its code and its words.
pub(super) struct Said {
    pub(super) code: u16,
    pub(super) text: String,
    /// Of the recipient, not of the message.
    pub(super) of_recipient: bool,
}

trait Stream: Read + Write {}
impl<T: Read + Write> Stream for T {}

/// Gives the message to the first listener of the settings that can be reached. `None` if there is none.
pub(super) fn relay(
    recipient: &str,
    letter: &mut Letter<'_>,
    config: &Config,
) -> io::Result<Option<Said>> {
    let listeners = config.listeners.iter().filter(|listener| {
        listener.protocol == Protocol::Lmtp
            && listener.tls != ListenerTls::Implicit
            && !listener.proxy_protocol
    });
    let mut connected = listeners.filter_map(|listener| connect(&listener.address).ok());
    let Some(stream) = connected.next() else {
        return Ok(None);
    };
    Client(BufReader::new(stream))
        .deliver(recipient, letter, config)
        .map(Some)
}

fn connect(address: &Address) -> io::Result<Box<dyn Stream>> {
    match address {
        // Where it is only systemd knows.
        Address::Activated(_) => Err(io::ErrorKind::Unsupported.into()),
        Address::Unix(path) => {
            let stream = UnixStream::connect(path)?;
            stream.set_read_timeout(Some(PATIENCE))?;
            stream.set_write_timeout(Some(PATIENCE))?;
            Ok(Box::new(stream))
        }
        Address::Tcp(address) => {
            let mut address: SocketAddr = *address;
            if address.ip().is_unspecified() {
                address.set_ip(match address {
                    SocketAddr::V4(_) => IpAddr::V4(Ipv4Addr::LOCALHOST),
                    SocketAddr::V6(_) => IpAddr::V6(Ipv6Addr::LOCALHOST),
                });
            }
            let stream = TcpStream::connect_timeout(&address, CONNECT)?;
            stream.set_read_timeout(Some(PATIENCE))?;
            stream.set_write_timeout(Some(PATIENCE))?;
            Ok(Box::new(stream))
        }
    }
}

struct Client(BufReader<Box<dyn Stream>>);

impl Client {
    fn deliver(
        &mut self,
        recipient: &str,
        letter: &mut Letter<'_>,
        config: &Config,
    ) -> io::Result<Said> {
        let sender = letter.sender.clone().unwrap_or_default();
        let utf8 = match sender.is_ascii() && recipient.is_ascii() {
            true => "",
            false => " SMTPUTF8",
        };
        let mut said = self.reply(false)?;
        for (line, of_recipient) in [
            (format!("LHLO {}", config.hostname), false),
            (format!("MAIL FROM:<{sender}>{utf8}"), false),
            (format!("RCPT TO:<{recipient}>"), true),
        ] {
            if said.code / 100 != 2 {
                return Ok(said);
            }
            self.send(format!("{line}\r\n").as_bytes())?;
            said = self.reply(of_recipient)?;
        }
        match said.code / 100 {
            2 => self.chunks(letter),
            _ => Ok(said),
        }
    }

    /// RFC 3030 section 2: lines may end as they are.
    fn chunks(&mut self, letter: &mut Letter<'_>) -> io::Result<Said> {
        let limit = u64::try_from(CHUNK).unwrap_or(u64::MAX);
        loop {
            let mut chunk = Vec::new();
            letter.by_ref().take(limit).read_to_end(&mut chunk)?;
            let last = if chunk.is_empty() { " LAST" } else { "" };
            self.send(format!("BDAT {}{last}\r\n", chunk.len()).as_bytes())?;
            self.send(&chunk)?;
            let said = self.reply(false)?;
            if chunk.is_empty() || said.code / 100 != 2 {
                // Nobody hears of it any more.
                self.send(b"QUIT\r\n").ok();
                return Ok(said);
            }
        }
    }

    fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.0.get_mut().write_all(bytes)
    }

    /// The last line of a reply.
    fn reply(&mut self, of_recipient: bool) -> io::Result<Said> {
        loop {
            let mut line = Vec::new();
            // No line of the server is longer.
            (&mut self.0).take(4096).read_until(b'\n', &mut line)?;
            let line = String::from_utf8_lossy(&line).trim_end().to_owned();
            let code = line.get(..3).and_then(|code| code.parse().ok());
            let Some(code) = code else {
                return Err(io::ErrorKind::UnexpectedEof.into());
            };
            if line.as_bytes().get(3) != Some(&b'-') {
                return Ok(Said {
                    code,
                    text: line,
                    of_recipient,
                });
            }
        }
    }
}
