//! What other servers may ask, and who may ask it.

use crate::support::{PASSWORD, Server, Start, free_port, is_root, line, skip, wait_until};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::net::UnixStream;
use std::time::Duration;

/// Says this and reads lines up to one that begins so.
pub(crate) fn asked(stream: &UnixStream, said: &str, last: &str) -> Vec<String> {
    stream
        .set_read_timeout(Some(Duration::from_secs(30)))
        .unwrap();
    (&*stream).write_all(said.as_bytes()).unwrap();
    let mut lines = Vec::new();
    for line in BufReader::new(stream).lines() {
        let line = line.unwrap();
        let found = line.starts_with(last);
        lines.push(line);
        if found {
            return lines;
        }
    }
    panic!("no {last} in {lines:?}");
}

pub(crate) fn listener(protocol: &str, more: &str) -> String {
    format!(
        "[[listener]]\nprotocol = \"{protocol}\"\naddress = \"unix:{{directory}}/{protocol}\"\n{more}\n"
    )
}

#[test]
fn users_are_looked_up_and_listed() {
    let users: String = (0..1000)
        .map(|n| format!("u{n:04}:!:{}\n", n + 1))
        .collect();
    let server = Server::with(Start {
        settings: &listener("dovecot-userdb", ""),
        users: line("ann", None) + &users,
        ..Start::default()
    });
    let path = server.path("dovecot-userdb");
    let mode = std::fs::metadata(&path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode, 0o600);
    let stream = UnixStream::connect(&path).unwrap();
    let said = asked(
        &stream,
        "VERSION\t1\t0\nUSER\t1\tu0007\tservice=lda\n",
        "USER",
    );
    assert_eq!(said[0], "VERSION\t1\t2");
    let mail = server.data().join("mail/u0007");
    let expected = format!("USER\t1\tu0007\tuid=8\tmail=maildir:{}", mail.display());
    assert_eq!(*said.last().unwrap(), expected);
    assert_eq!(
        asked(&stream, "PASS\t2\tANN\n", "PASS"),
        ["PASS\t2\tuser=ann"]
    );
    assert_eq!(
        asked(&stream, "USER\t3\teve\n", "NOTFOUND"),
        ["NOTFOUND\t3"]
    );
    // More than go into one message between processes.
    let listed = asked(&stream, "LIST\t4\n", "DONE");
    assert_eq!(listed.len(), 1002);
    assert_eq!(listed[0], "LIST\t4\tann");
    assert_eq!(listed[1000], "LIST\t4\tu0999");
    // Nobody is told what is stored.
    assert!(!listed.concat().contains(PASSWORD));
}

#[test]
fn guesses_by_other_servers_count_for_all_protocols() {
    let port = free_port();
    let settings = format!(
        "{}[[listener]]\nprotocol = \"imap\"\naddress = \"127.0.0.1:{port}\"\nproxy_protocol = true\n\
         [limits]\nlogin_failure_delay = \"10ms\"\nlogin_failure_delay_max = \"20ms\"\n",
        listener("dovecot-auth", "")
    );
    let server = Server::start(&settings);
    let stream = UnixStream::connect(server.path("dovecot-auth")).unwrap();
    let greeting = asked(&stream, "VERSION\t1\t1\nCPID\t1\n", "DONE");
    assert!(
        greeting.contains(&"MECH\tPLAIN\tplaintext".to_owned()),
        "{greeting:?}"
    );
    let guess = |id: u32, response: &str| {
        let auth = format!("AUTH\t{id}\tPLAIN\tservice=smtp\trip=192.0.2.7\tresp={response}\n");
        asked(&stream, &auth, "").pop().unwrap()
    };
    // Nothing is kept of a connection that ended in the middle of a line.
    UnixStream::connect(server.path("dovecot-auth"))
        .unwrap()
        .write_all(b"VERSION\t1\t1\nAUTH\t1\tPL")
        .unwrap();
    for id in 1..5 {
        let answer = guess(id, "AGFubgB3cm9uZw==");
        assert!(answer.starts_with(&format!("FAIL\t{id}")), "{answer}");
    }
    // The right password, too, by whatever protocol: that address is refused.
    let answer = guess(6, "AGFubgBzZWNyZXQ=");
    assert_eq!(answer, "FAIL\t6\ttemp\tcode=temp_fail");
    let mut imap = crate::support::Imap::from("192.0.2.7", port).unwrap();
    imap.command("NOOP").unwrap();
    server.wait_for_log("auth: passwd-file(ann,192.0.2.7): Password mismatch", 3);
    server.wait_for_log("auth: passwd-file(ann,192.0.2.7): Invalid credentials", 1);
    // Another address is none of it.
    let auth = "AUTH\t7\tPLAIN\tservice=smtp\trip=203.0.113.9\tresp=AGFubgBzZWNyZXQ=\n";
    assert_eq!(asked(&stream, auth, "").pop().unwrap(), "OK\t7\tuser=ann");
    // Whoever was accepted so is not logged in.
    assert!(server.role("engine").is_empty());
}

#[test]
fn a_password_is_stored_anew_once_its_user_logs_in() {
    let stored = format!(
        "# all\n{}{}eve:!:7\n",
        line("ann", Some(4711)),
        line("bob", None)
    );
    let mut server = Server::with(Start {
        settings: "[auth]\nrehash = true\n[limits]\nargon2_memory_kib = 64\nargon2_passes = 1\n\
                   scram_iterations = 4096\n",
        users: stored.clone(),
        ..Start::default()
    });
    let users = || std::fs::read_to_string(server.path("users")).unwrap();
    // A wrong password, and one that nobody sends, change nothing.
    let mut imap = crate::support::Imap::connect(server.imap).unwrap();
    imap.login("ann", "wrong").unwrap();
    assert_eq!(users(), stored);
    let mode = std::fs::metadata(server.path("users")).unwrap().mode() & 0o777;
    server.imap("ann");
    server.wait_for_log(
        "the password of ann is stored as the settings have it now",
        1,
    );
    let now = users();
    let lines: Vec<&str> = now.lines().collect();
    assert_eq!((lines[0], lines[3]), ("# all", "eve:!:7"), "{now}");
    let hash = "ann:{ARGON2ID}$argon2id$v=19$m=64,t=1,p=1$";
    assert!(
        lines[1].starts_with(hash) && lines[1].ends_with(":4711:4711::::"),
        "{now}"
    );
    assert_eq!(lines[2], line("bob", None).trim_end());
    let after = std::fs::metadata(server.path("users")).unwrap().mode() & 0o777;
    assert_eq!(after, mode & 0o640);
    // It is the same password, and is left alone from then on.
    server.imap("ann");
    let mut imap = crate::support::Imap::connect(server.imap).unwrap();
    let refused = imap.login("ann", "wrong").unwrap().status;
    assert!(
        refused.starts_with("NO [AUTHENTICATIONFAILED]"),
        "{refused}"
    );
    server.pop3("ann");
    assert_eq!(users(), now);

    // By another scheme after that; without the setting it stays.
    let text = server.settings_with(|s| s.replace("rehash = true", "scheme = \"scram-sha-256\""));
    std::fs::write(server.config(), text).unwrap();
    server.restart();
    server.imap("bob");
    let text = server.settings_with(|s| s.replace("[auth]\n", "[auth]\nrehash = true\n"));
    std::fs::write(server.config(), text).unwrap();
    server.restart();
    let users = || std::fs::read_to_string(server.path("users")).unwrap();
    assert_eq!(users(), now);
    server.imap("bob");
    server.wait_for_log("the password of bob is stored", 1);
    let last = users();
    assert!(last.contains("\nbob:{SCRAM-SHA-256}4096,"), "{last}");
    server.imap("bob");
}

#[test]
fn nothing_is_known_before_there_are_users() {
    let server = Server::with(Start {
        settings: &listener("dovecot-userdb", ""),
        ..Start::default()
    });
    let stream = UnixStream::connect(server.path("dovecot-userdb")).unwrap();
    let said = asked(&stream, "VERSION\t1\t0\nUSER\t3\tann\n", "FAIL");
    assert_eq!(said.last().unwrap(), "FAIL\t3\treason=temp");
    let listed = asked(&stream, "LIST\t4\n", "FAIL");
    assert_eq!(listed, ["FAIL\t4\treason=temp"]);
}

#[test]
fn two_passwords_are_stored_anew_at_once() {
    // The second one was forgotten until users were read anew.
    let server = Server::with(Start {
        settings: "[auth]\nrehash = true\nscheme = \"scram-sha-256\"\n[limits]\nscram_iterations = 4096\n",
        users: line("ann", None) + &line("bob", None),
        ..Start::default()
    });
    for user in ["ann", "bob"] {
        server.imap(user);
    }
    wait_until("both are stored anew", || {
        let users = std::fs::read_to_string(server.path("users")).unwrap();
        if users.matches("{SCRAM-SHA-256}").count() < 2 {
            server.imap("ann");
            server.imap("bob");
            std::thread::sleep(Duration::from_millis(200));
            return None;
        }
        Some(())
    });
}

#[test]
fn strangers_are_not_heard() {
    let [auth, userdb] = [free_port(), free_port()];
    let tcp = |protocol: &str, port: u16| {
        format!(
            "[[listener]]\nprotocol = \"{protocol}\"\naddress = \"127.0.0.1:{port}\"\nproxy_protocol = true\n"
        )
    };
    let settings = format!(
        "{}{}[limits]\ntrusted_networks = [\"10.0.0.0/8\"]\n",
        tcp("dovecot-auth", auth),
        tcp("dovecot-userdb", userdb)
    );
    let server = Server::start(&settings);
    for port in [auth, userdb] {
        for (address, heard) in [
            ("192.0.2.7", false),
            ("10.1.2.3", true),
            ("127.0.0.1", true),
        ] {
            let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
            stream
                .set_read_timeout(Some(Duration::from_secs(30)))
                .unwrap();
            let header = format!("PROXY TCP4 {address} 127.0.0.1 1 2\r\n");
            stream.write_all(header.as_bytes()).unwrap();
            let mut first = Vec::new();
            let read = (&mut stream).take(7).read_to_end(&mut first);
            assert_eq!(first == b"VERSION", heard, "{address} {read:?}");
        }
    }
    let refused = "192.0.2.7 is no trusted network";
    wait_until("the refusals", || {
        (server.log().matches(refused).count() == 2).then_some(())
    });
}

#[test]
fn a_socket_has_the_mode_and_the_group_of_the_settings() {
    if !(is_root() || skip("not root, who alone can give a file to a group")) {
        return;
    }
    let server = Server::start(
        &[
            listener("dovecot-auth", "group = \"root\""),
            listener("dovecot-userdb", "mode = \"0640\""),
        ]
        .concat(),
    );
    for (protocol, mode) in [("dovecot-auth", 0o660), ("dovecot-userdb", 0o640)] {
        let found = std::fs::metadata(server.path(protocol)).unwrap();
        assert_eq!((found.mode() & 0o777, found.gid()), (mode, 0), "{protocol}");
    }
    let wrong = listener("dovecot-auth", "group = \"no-such-group\"");
    let wrong = wrong.replace("{directory}", &server.path("").display().to_string());
    let settings = format!("data_dir = \"{}\"\n{wrong}", server.path("other").display());
    std::fs::write(server.path("other.toml"), settings).unwrap();
    let mut command = crate::support::dovelet();
    command
        .args(["serve", "--config"])
        .arg(server.path("other.toml"));
    let finished = crate::support::run(&mut command);
    assert!(!finished.status.success());
    assert!(
        finished.stderr.contains("no group no-such-group"),
        "{finished:?}"
    );
}
