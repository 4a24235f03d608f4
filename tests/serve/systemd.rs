//! Started by systemd: sockets that are there before, and what it is told.

use crate::support::{Guard, Lmtp, Server, free_port, message, wait_until};
use rustix::process::{Pid, Signal, kill_process};
use std::fs;
use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixDatagram, UnixListener};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

struct Told(UnixDatagram);

impl Told {
    /// The next message that begins so; others before it must be signs of life.
    fn next(&self, begin: &str) -> String {
        loop {
            let mut bytes = [0; 200];
            let count = self.0.recv(&mut bytes).unwrap();
            let told = String::from_utf8_lossy(&bytes[..count]).into_owned();
            if told.starts_with(begin) {
                return told;
            }
            assert_eq!(told, "WATCHDOG=1", "instead of {begin}");
        }
    }
}

/// Starts the server's executable as systemd does, with two sockets as descriptors 3 and 4.
fn activated(server: &Server, names: &str, sockets: [OwnedFd; 2], told: &str) -> Guard {
    let own = server.command(&["serve"]);
    let [first, second] = sockets;
    let script = "exec 3<&0 4<&1 0</dev/null 1>&2; LISTEN_PID=$$ exec \"$@\"";
    let mut command = Command::new("sh");
    command
        .args(["-c", script, "sh"])
        .arg(own.get_program())
        .args(own.get_args())
        .env("LISTEN_FDS", "2")
        .env("LISTEN_FDNAMES", names)
        .env("NOTIFY_SOCKET", told)
        .env("WATCHDOG_USEC", "400000")
        .stdin(Stdio::from(first))
        .stdout(Stdio::from(second))
        .stderr(fs::File::create(server.path("systemd-log")).unwrap());
    Guard(command.spawn().unwrap())
}

fn settings(server: &Server, addresses: [&str; 2]) -> String {
    let [imap, lmtp] = addresses;
    format!(
        "data_dir = {:?}\nhostname = \"mail.test\"\n\
         [[listener]]\nprotocol = \"imap\"\naddress = \"{imap}\"\n\
         [[listener]]\nprotocol = \"lmtp\"\naddress = \"{lmtp}\"\n\
         [[users]]\npath = {:?}\n",
        server.data(),
        server.path("users")
    )
}

#[test]
fn sockets_are_taken_by_name_or_address_and_systemd_is_told() {
    let mut server = Server::start("");
    server.stop();
    let path = server.path("notify");
    let told = Told(UnixDatagram::bind(&path).unwrap());
    // As root the roles run under other uids, and systemd's socket is open to all as well.
    told.0
        .set_read_timeout(Some(Duration::from_secs(30)))
        .unwrap();
    let socket = server.path("passed");
    for by_name in [true, false] {
        let port = free_port();
        let imap = TcpListener::bind(("127.0.0.1", port)).unwrap();
        fs::remove_file(&socket).ok();
        let lmtp = UnixListener::bind(&socket).unwrap();
        let (names, addresses) = match by_name {
            true => (
                "mail:box",
                ["systemd:mail".to_owned(), "systemd:box".to_owned()],
            ),
            false => {
                let unix = format!("unix:{}", socket.display());
                (
                    "dovelet.socket:dovelet.socket",
                    [format!("127.0.0.1:{port}"), unix],
                )
            }
        };
        let text = settings(&server, addresses.each_ref().map(String::as_str));
        fs::write(server.config(), text).unwrap();
        let sockets = [OwnedFd::from(imap), OwnedFd::from(lmtp)];
        let notify = path.display().to_string();
        let mut guard = activated(&server, names, sockets, &notify);
        told.next("READY=1");
        let pid = Pid::from_child(&guard.0);
        server.imap = port;
        let mut imap = server.imap("ann");
        let mut lmtp = Lmtp::unix(&socket).unwrap();
        let replies = lmtp.transaction(&["ann"], &message("a@test", "x", "x"), true);
        assert!(replies.unwrap()[0].starts_with("250"));
        imap.ok("SELECT INBOX");
        // Signs of life come in half of the time.
        let begin = Instant::now();
        for _ in 0..3 {
            told.next("WATCHDOG=1");
        }
        assert!(begin.elapsed() < Duration::from_secs(10));
        kill_process(pid, Signal::HUP).unwrap();
        let reloading = told.next("RELOADING=1\nMONOTONIC_USEC=");
        assert!(reloading.rsplit('=').next().unwrap().parse::<u64>().is_ok());
        told.next("READY=1");
        imap.ok("NOOP");
        kill_process(pid, Signal::TERM).unwrap();
        told.next("STOPPING=1");
        let status = wait_until("the end", || guard.0.try_wait().unwrap());
        assert!(status.success());
        // The socket is not ours to remove.
        assert!(socket.exists());
    }
}

#[test]
fn a_socket_that_does_not_come_is_told() {
    let mut server = Server::start("");
    server.stop();
    fs::write(
        server.config(),
        settings(&server, ["systemd:mail", "systemd:box"]),
    )
    .unwrap();
    let done = crate::support::run(&mut server.command(&["serve"]));
    assert_eq!(done.status.code(), Some(1));
    assert!(done.stderr.contains("FileDescriptorName=mail"), "{done:?}");
}
