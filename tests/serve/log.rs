//! Whatever becomes of the log, mail goes on and SIGTERM ends the server.

use super::support::{Imap, PASSWORD, Server, message, wait_until};
use rustix::process::Signal;
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use std::fs::File;
use std::io::{Read, pipe};
use std::time::{Duration, Instant};

/// Logins in all ways that are logged, a delivery, a reload, a session that was there before, the end.
fn goes_on(mut server: Server, old: &mut Imap) {
    let logins = || {
        for _ in 0..3 {
            server.imap("ann");
            // Its line is in the log.
            let wrong = Imap::connect(server.imap).unwrap().login("ann", "wrong");
            assert!(wrong.unwrap().status.starts_with("NO"));
        }
    };
    logins();
    server.signal(Signal::HUP);
    server.deliver("bob", &message("a@test", "x", "x"));
    server.signal(Signal::HUP);
    logins();
    assert!(old.command("NOOP").unwrap().status.starts_with("OK"));
    let processes = server.processes().len();
    assert!(processes >= 4, "{processes}");
    let begin = Instant::now();
    let status = server.stop();
    assert!(status.success(), "{status}");
    assert!(
        begin.elapsed() < Duration::from_secs(5),
        "{:?}",
        begin.elapsed()
    );
}

fn server() -> Server {
    Server::start("[log]\nlevel = \"debug\"\n[limits]\nlogin_failure_delay = \"10ms\"\n")
}

#[test]
fn a_log_that_nobody_can_read_any_more_stops_nothing() {
    // The logger panics when it cannot write: logins got no answer, and a reload ended the server.
    let mut server = server();
    let (reader, writer) = pipe().unwrap();
    server.restart_logging_to(writer);
    let mut old = server.imap("ann");
    drop(reader);
    goes_on(server, &mut old);
}

#[test]
fn a_log_whose_disk_is_full_stops_nothing() {
    let mut server = server();
    server.restart_logging_to(File::options().write(true).open("/dev/full").unwrap());
    let mut old = server.imap("ann");
    goes_on(server, &mut old);
}

#[test]
fn a_log_on_a_terminal_that_is_closed_stops_nothing() {
    let mut server = server();
    let terminal = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    grantpt(&terminal).unwrap();
    unlockpt(&terminal).unwrap();
    let name = ptsname(&terminal, Vec::new()).unwrap();
    let other = File::options()
        .write(true)
        .open(name.to_str().unwrap())
        .unwrap();
    server.restart_logging_to(other);
    let mut old = server.imap("ann");
    drop(terminal);
    goes_on(server, &mut old);
}

#[test]
fn a_log_that_nobody_reads_loses_lines_and_tells_how_many() {
    let mut server = server();
    let (mut reader, writer) = pipe().unwrap();
    rustix::pipe::fcntl_setpipe_size(&writer, 4096).unwrap();
    server.restart_logging_to(writer);
    let mut old = server.imap("ann");
    // Each is a line of more than 60 octets.
    for _ in 0..100 {
        let wrong = Imap::connect(server.imap).unwrap().login("ann", "wrong");
        wrong.unwrap();
    }
    // Who comes back to it finds out. `auth` writes the next line.
    let mut heard = String::new();
    wait_until("the number of lost lines", || {
        let mut part = [0; 4096];
        let octets = reader.read(&mut part).unwrap();
        heard.push_str(&String::from_utf8_lossy(&part[..octets]));
        Imap::connect(server.imap)
            .unwrap()
            .login("ann", "wrong")
            .unwrap();
        heard
            .contains(" lines of the log could not be written\n")
            .then_some(())
    });
    assert!(server.imap("ann").command("NOOP").is_ok());
    // Full again, and never read.
    for _ in 0..100 {
        let wrong = Imap::connect(server.imap).unwrap().login("ann", PASSWORD);
        wrong.unwrap();
    }
    goes_on(server, &mut old);
}
