//! Logins: what other servers ask, and how soon a maildrop is there.

use super::{at_most, fill, median_cpu};
use crate::lookups::{asked, listener};
use crate::support::{PASSWORD, Pop3, Server};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

/// Passwords that are asked about at a time, and in all.
const BATCH: u32 = 20;
const PASSWORDS: u32 = 4000;

#[test]
#[ignore = "a figure"]
fn passwords_of_other_servers() {
    let server = Server::start(&listener("dovecot-auth", "[limits]\nauth_requests = 100\n"));
    let mut stream = UnixStream::connect(server.path("dovecot-auth")).unwrap();
    asked(&stream, "VERSION\t1\t1\nCPID\t1\n", "DONE");
    let response = data_encoding::BASE64.encode(format!("\0ann\0{PASSWORD}").as_bytes());
    let mut answers = BufReader::new(stream.try_clone().unwrap());
    let all = median_cpu(&server, 3, || {
        for _ in 0..PASSWORDS / BATCH {
            let batch =
                (1..=BATCH).map(|id| format!("AUTH\t{id}\tPLAIN\tservice=smtp\tresp={response}\n"));
            stream
                .write_all(batch.collect::<String>().as_bytes())
                .unwrap();
            for _ in 0..BATCH {
                let mut answer = String::new();
                answers.read_line(&mut answer).unwrap();
                assert!(answer.starts_with("OK\t"), "{answer}");
            }
        }
    });
    // 2,000 a second of CPU.
    let limit = Duration::from_micros(500);
    at_most("CPU of a PLAIN verification", all / PASSWORDS, limit);
}

#[test]
#[ignore = "a figure"]
fn from_login_to_stat_of_a_hundred_thousand() {
    const COUNT: u32 = 100_000;
    let server = Server::start("");
    let cur = server.maildir("ann").join("cur");
    server.deliver("ann", "Subject: first\r\n\r\n");
    fill(&cur, COUNT, "Subject: x\r\n\r\nx\r\n");
    let stat = || {
        let began = Instant::now();
        let mut pop3 = Pop3::connect(server.pop3).unwrap();
        assert!(pop3.login("ann", PASSWORD).unwrap().starts_with("+OK"));
        let told = pop3.ok("STAT");
        assert!(told.starts_with(&format!("{} ", COUNT + 1)), "{told}");
        began.elapsed()
    };
    println!("the first time: {:?}", stat());
    let mut times: Vec<Duration> = (0..9).map(|_| stat()).collect();
    times.sort_unstable();
    at_most(
        "login to STAT of 100,000",
        times[4],
        Duration::from_millis(20),
    );
}
