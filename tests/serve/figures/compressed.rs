//! What COMPRESS costs.

use super::{at_most, cpu};
use crate::support::{PASSWORD, Server};
use miniz_oxide::inflate::stream::{InflateState, inflate};
use miniz_oxide::{DataFormat, MZFlush};
use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Command;
use std::time::Duration;

const MESSAGES: u32 = 20_000;

/// A client that says what it has to say as it is.
struct Client {
    stream: TcpStream,
    inflate: Option<Box<InflateState>>,
}

impl Client {
    /// All that comes until a line that begins so.
    fn until(&mut self, tag: &str) -> Vec<u8> {
        // A line may be the first.
        let mut all = b"\r\n".to_vec();
        let (mut raw, mut plain) = (vec![0; 1 << 16], vec![0; 1 << 18]);
        let end = format!("\r\n{tag} ");
        loop {
            let tail = all.len().saturating_sub(200);
            let text: &[u8] = &all[tail..];
            let ended = text
                .windows(end.len())
                .any(|window| window == end.as_bytes());
            if ended && text.ends_with(b"\r\n") {
                return all;
            }
            let read = self.stream.read(&mut raw).unwrap();
            assert!(read > 0, "the server went");
            let mut left = &raw[..read];
            match self.inflate.as_mut() {
                None => all.extend_from_slice(left),
                Some(state) => loop {
                    let done = inflate(state, left, &mut plain, MZFlush::None);
                    all.extend_from_slice(&plain[..done.bytes_written]);
                    left = &left[done.bytes_consumed..];
                    if left.is_empty() && done.bytes_written < plain.len() {
                        break;
                    }
                },
            }
        }
    }

    fn send(&mut self, text: &str) {
        let mut bytes = text.as_bytes().to_vec();
        if self.inflate.is_some() {
            // One stored block (RFC 1951 section 3.2.4).
            let octets = u16::try_from(bytes.len()).unwrap();
            let mut block = vec![0];
            block.extend(octets.to_le_bytes());
            block.extend((!octets).to_le_bytes());
            block.append(&mut bytes);
            bytes = block;
        }
        self.stream.write_all(&bytes).unwrap();
    }
}

/// CPU time of zlib at level 1 for these octets.
fn zlib(bytes: &[u8], server: &Server) -> Duration {
    let path = server.path("answer");
    fs::write(&path, bytes).unwrap();
    let script = "import sys, time, zlib; d = open(sys.argv[1], 'rb').read(); t = time.process_time()\n\
                  zlib.compress(d, 1); print(time.process_time() - t)";
    let output = Command::new("python3")
        .args(["-c", script])
        .arg(path)
        .output()
        .unwrap();
    let seconds = String::from_utf8(output.stdout).unwrap();
    Duration::from_secs_f64(seconds.trim().parse().unwrap())
}

#[test]
#[ignore = "fills a large mailbox; prints its figure"]
fn envelopes_that_are_compressed() {
    let server = Server::start("");
    drop(server.imap("ann"));
    let cur = server.maildir("ann").join("cur");
    for n in 1..=MESSAGES {
        let (a, b) = (n.wrapping_mul(2_654_435_761), n.wrapping_mul(40_503) % 977);
        let text = format!(
            "Date: Thu, {:02} Nov 2026 {:02}:{:02}:{:02} +0000\nFrom: Sender {b} <sender{b}@example{}.org>\n\
             To: Ann <ann@example.org>\nSubject: Report {a:x} about matter {b}\n\
             Message-ID: <{a:08x}.{n}@mail{}.example.org>\nIn-Reply-To: <{:08x}@mail.example.org>\n\nx\n",
            1 + n % 28,
            n % 24,
            n % 60,
            n % 59,
            b % 31,
            n % 7,
            a ^ 0x5555
        );
        fs::write(cur.join(format!("m{n},U={n}:2,S")), text).unwrap();
    }
    let mut client = Client {
        stream: TcpStream::connect(("127.0.0.1", server.imap)).unwrap(),
        inflate: None,
    };
    client.send(&format!("\r\na LOGIN ann {PASSWORD}\r\nb SELECT INBOX\r\n"));
    client.until("b");
    let fetch = |client: &mut Client, tag: &str| {
        let before = cpu(&server);
        client.send(&format!("{tag} FETCH 1:* (ENVELOPE)\r\n"));
        let answer = client.until(tag);
        (cpu(&server).saturating_sub(before), answer)
    };
    // The first fills the index.
    fetch(&mut client, "f");
    let median = |client: &mut Client| {
        let mut all: Vec<(Duration, Vec<u8>)> = (0..7).map(|_| fetch(client, "f")).collect();
        all.sort_unstable_by_key(|(time, _)| *time);
        all.swap_remove(3)
    };
    let (plain, answer) = median(&mut client);
    client.send("c COMPRESS DEFLATE\r\n");
    client.until("c");
    client.inflate = Some(InflateState::new_boxed(DataFormat::Raw));
    let (packed, again) = median(&mut client);
    assert_eq!(answer, again);
    let mut times: Vec<Duration> = (0..7).map(|_| zlib(&answer, &server)).collect();
    times.sort_unstable();
    let zlib = times[3];
    println!(
        "{} octets: {plain:?} plain, {packed:?} compressed, zlib {zlib:?}",
        answer.len()
    );
    at_most("compressed", packed, (plain + zlib).mul_f64(1.2));
}
