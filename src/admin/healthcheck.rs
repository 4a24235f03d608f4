//! `dovelet healthcheck`: whether the running server answers where it listens.

use miniserde::{Serialize, json};
use std::io::{self, BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use super::console::{Console, Exit};
use crate::config::{Address, Config, Listener, ListenerTls, Protocol};
use crate::server::{ALERT, is_refusal};

/// For each step with a listener.
const TIMEOUT: Duration = Duration::from_secs(5);
/// Octets of what a listener says that are read at most.
const MAX_ANSWER: u64 = 4096;

/// What became of one listener.
#[derive(Serialize)]
struct Row {
    protocol: &'static str,
    address: String,
    tls: &'static str,
    /// "healthy"; "full" for one that answers and takes nobody more now; "unhealthy"; or "unknown" for one that
    /// only systemd knows how to reach.
    state: &'static str,
    detail: String,
}

/// Connects to every listener of `config` and waits for its greeting. [`Exit::Success`] if all that can be asked
/// answer, and there is one; takes some seconds for each that does not. One that is full answers too: whoever
/// starts the server anew where it does not would take from all clients what they have.
pub(super) fn run(json: bool, config: &Config, console: &mut Console<'_>) -> Exit {
    let rows: Vec<Row> = config.listeners.iter().map(row).collect();
    if json {
        console.say(json::to_string(&rows));
    } else {
        for row in &rows {
            let Row {
                protocol,
                address,
                state,
                detail,
                ..
            } = row;
            console.say(format_args!("{protocol} on {address}: {state}: {detail}"));
        }
    }
    let any = |state| rows.iter().any(|row| row.state == state);
    match (any("healthy") || any("full")) && !any("unhealthy") {
        true => Exit::Success,
        false => Exit::Failure,
    }
}

fn row(listener: &Listener) -> Row {
    let (state, detail) = match connect(&listener.address) {
        None => ("unknown", "its socket is known to systemd only".to_owned()),
        Some(connected) => match connected.and_then(|stream| ask(listener, stream)) {
            Ok(Said::Greeting(said)) => ("healthy", said.to_owned()),
            Ok(Said::Full(said)) => ("full", said),
            Err(error) => ("unhealthy", describe(&error)),
        },
    };
    Row {
        protocol: listener.protocol.as_str(),
        address: listener.address.to_string(),
        tls: listener.tls.as_str(),
        state,
        detail,
    }
}

fn describe(error: &io::Error) -> String {
    match error.kind() {
        ErrorKind::WouldBlock | ErrorKind::TimedOut => {
            format!("no answer within {} seconds", TIMEOUT.as_secs())
        }
        _ => error.to_string(),
    }
}

/// What shows that somebody serves there.
enum Said {
    Greeting(&'static str),
    Full(String),
}

trait Stream: Read + Write {}
impl Stream for TcpStream {}
impl Stream for UnixStream {}

fn connect(address: &Address) -> Option<io::Result<Box<dyn Stream>>> {
    match address {
        Address::Tcp(address) => Some(tcp(near(*address))),
        Address::Unix(path) => Some(UnixStream::connect(path).and_then(|stream| {
            stream.set_read_timeout(Some(TIMEOUT))?;
            stream.set_write_timeout(Some(TIMEOUT))?;
            Ok(Box::new(stream) as Box<dyn Stream>)
        })),
        Address::Activated(_) => None,
    }
}

fn tcp(address: SocketAddr) -> io::Result<Box<dyn Stream>> {
    let stream = TcpStream::connect_timeout(&address, TIMEOUT)?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    stream.set_write_timeout(Some(TIMEOUT))?;
    Ok(Box::new(stream))
}

/// Where a listener for all addresses is reached from this machine.
fn near(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}

/// Waits for what shows that somebody serves there, and takes leave.
fn ask(listener: &Listener, mut stream: Box<dyn Stream>) -> io::Result<Said> {
    if listener.proxy_protocol {
        stream.write_all(b"PROXY UNKNOWN\r\n")?;
    }
    if listener.tls == ListenerTls::Implicit {
        stream.write_all(&client_hello())?;
        return server_hello(&mut stream);
    }
    let (begin, leave) = match listener.protocol {
        Protocol::Imap => ("* OK", "x LOGOUT\r\n"),
        Protocol::Pop3 => ("+OK", "QUIT\r\n"),
        Protocol::Lmtp => ("220", "QUIT\r\n"),
        // They wait for a question; that somebody takes the connection has to do.
        Protocol::DovecotAuth | Protocol::DovecotUserdb | Protocol::Socketmap => {
            return Ok(Said::Greeting("connected"));
        }
    };
    let line = line(&mut stream)?;
    if is_refusal(listener.protocol, &line) {
        return Ok(Said::Full(format!("takes nobody more now: {line}")));
    }
    if !line.starts_with(begin) {
        return Err(io::Error::other(format!("not greeted, but told: {line}")));
    }
    stream.write_all(leave.as_bytes())?;
    // Or the last words would meet a closed door, which the server might log.
    io::copy(&mut stream.take(MAX_ANSWER), &mut io::sink())?;
    Ok(Said::Greeting("greeted"))
}

/// A line without its end, of printable ASCII.
fn line(stream: &mut impl Read) -> io::Result<String> {
    let mut octets = Vec::new();
    // What follows in the same segment says nothing new.
    BufReader::new(stream.take(MAX_ANSWER)).read_until(b'\n', &mut octets)?;
    if !octets.ends_with(b"\n") {
        return Err(ErrorKind::UnexpectedEof.into());
    }
    octets.retain(|octet| octet.is_ascii_graphic() || *octet == b' ');
    Ok(octets.into_iter().map(char::from).collect())
}

/// The begin of a TLS 1.2 handshake, which servers of 1.3 take too: it is broken off after the server's first
/// answer, so that nothing in it is secret, or has to be random.
fn client_hello() -> Vec<u8> {
    let mut hello = vec![3, 3];
    hello.extend_from_slice(b"dovelet healthcheck asks for it.");
    // No session; ECDHE with AES-GCM or ChaCha20-Poly1305; no compression.
    hello.push(0);
    long(
        &mut hello,
        &[
            0xc0, 0x2b, 0xc0, 0x2c, 0xc0, 0x2f, 0xc0, 0x30, 0xcc, 0xa8, 0xcc, 0xa9,
        ],
    );
    hello.extend_from_slice(&[1, 0]);
    let extensions = [
        // Groups: X25519, P-256, P-384.
        &[0, 10, 0, 8, 0, 6, 0, 29, 0, 23, 0, 24][..],
        // Points that are not compressed.
        &[0, 11, 0, 2, 1, 0],
        // Signatures: ECDSA, Ed25519, RSA-PSS, PKCS #1.
        &[
            0, 13, 0, 16, 0, 14, 4, 3, 5, 3, 8, 7, 8, 4, 8, 5, 4, 1, 5, 1,
        ],
        // Extended master secret.
        &[0, 23, 0, 0],
    ];
    long(&mut hello, &extensions.concat());
    let mut record = vec![22, 3, 1];
    let mut message = vec![1, 0];
    long(&mut message, &hello);
    long(&mut record, &message);
    record
}

/// Appends `octets` behind their number, which takes two octets.
fn long(to: &mut Vec<u8>, octets: &[u8]) {
    let count = u16::try_from(octets.len()).unwrap_or(u16::MAX);
    to.extend_from_slice(&count.to_be_bytes());
    to.extend_from_slice(octets);
}

fn server_hello(stream: &mut impl Read) -> io::Result<Said> {
    let mut head = [0; ALERT.len()];
    stream.read_exact(&mut head)?;
    match head {
        // A handshake record that begins with ServerHello.
        [22, 3, _, _, _, 2, _] => Ok(Said::Greeting("answers a TLS handshake")),
        ALERT => Ok(Said::Full("takes nobody more now".to_owned())),
        [21, ..] => Err(io::Error::other("refuses a TLS handshake")),
        _ => Err(io::Error::other("what answers is not TLS")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admin::tests::Machine;
    use std::net::TcpListener;

    /// A place that says this to one client, and the settings that name it.
    fn place(protocol: &str, tls: &str, said: &'static [u8]) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            stream.write_all(said).unwrap();
            let mut heard = [0; 400];
            let _ = stream.read(&mut heard);
        });
        format!(
            "[[listener]]\nprotocol = \"{protocol}\"\naddress = \"{address}\"\ntls = \"{tls}\"\n"
        )
    }

    #[test]
    fn what_greets_is_healthy_and_what_says_that_it_is_full_is_full() {
        for (protocol, tls, said, expected) in [
            (
                "imap",
                "starttls",
                &b"* OK hello\r\n"[..],
                "healthy: greeted",
            ),
            ("pop3", "none", b"+OK hello\r\n", "healthy: greeted"),
            ("lmtp", "none", b"220 hello\r\n", "healthy: greeted"),
            (
                "imap",
                "none",
                b"* BYE [LIMIT] Too many connections.\r\n",
                "full: takes nobody more now: * BYE [LIMIT] Too many connections.",
            ),
            (
                "lmtp",
                "none",
                b"421 4.3.2 Too little memory.\r\n",
                "full: takes nobody more now: 421 4.3.2 Too little memory.",
            ),
            (
                "imap",
                "none",
                b"* BYE [UNAVAILABLE] Not now.\r\n",
                "unhealthy: not greeted, but told: * BYE [UNAVAILABLE] Not now.",
            ),
            ("imap", "none", b"", "unhealthy: "),
            (
                "imap",
                "implicit",
                b"\x16\x03\x03\0\x50\x02\0",
                "healthy: answers",
            ),
            ("imap", "implicit", &ALERT, "full: takes nobody"),
            (
                "imap",
                "implicit",
                b"\x15\x03\x03\0\x02\x02\x28",
                "unhealthy: refuses",
            ),
            (
                "imap",
                "implicit",
                b"* OK hello\r\n",
                "unhealthy: what answers",
            ),
        ] {
            let machine = Machine::new();
            let settings = place(protocol, tls, said);
            std::fs::write(machine.data().join("dovelet.toml"), settings).unwrap();
            let told = machine.run("healthcheck", "");
            assert!(told.out.contains(&format!(": {expected}")), "{told:?}");
            let answers = !expected.starts_with("unhealthy");
            assert_eq!(told.exit == Exit::Success, answers);
            let told = machine.run("healthcheck --json", "");
            // It has gone.
            assert!(told.out.contains("\"state\":\"unhealthy\""), "{told:?}");
        }
    }

    #[test]
    fn what_only_systemd_knows_is_not_healthy() {
        let machine = Machine::new();
        let settings = "[[listener]]\nprotocol = \"imap\"\naddress = \"systemd:x\"\n";
        std::fs::write(machine.data().join("dovelet.toml"), settings).unwrap();
        let told = machine.run("healthcheck", "");
        assert_eq!(told.exit, Exit::Failure);
        assert!(
            told.out.contains("imap on systemd:x: unknown: "),
            "{told:?}"
        );
    }

    #[test]
    fn listeners_for_all_are_reached_from_here() {
        for (address, expected) in [
            ("0.0.0.0:1", "127.0.0.1:1"),
            ("[::]:2", "[::1]:2"),
            ("192.0.2.1:3", "192.0.2.1:3"),
        ] {
            assert_eq!(near(address.parse().unwrap()).to_string(), expected);
        }
    }
}
