//! Programs that log in without sending the password.

use crate::support::{PASSWORD, Server, Start, can, line, python, run, unpacked, wait_until};
use std::path::Path;
use std::process::Command;

/// Servers whose user `ann` has a password that is stored as it is, or by the scheme for SCRAM-SHA-256.
fn servers() -> [Server; 2] {
    let settings = "[auth]\nscheme = \"scram-sha-256\"\n";
    let scram = Server::start(settings);
    let mut change = scram.command(&["user", "passwd", "ann", "--password-stdin"]);
    let input = std::process::Stdio::from(std::fs::File::open(password(&scram)).unwrap());
    assert!(change.stdin(input).status().unwrap().success());
    let users = std::fs::read_to_string(scram.path("users")).unwrap();
    assert!(users.starts_with("ann:{SCRAM-SHA-256}10000,"), "{users}");
    // And nobody who has another scheme.
    let deleted = run(&mut scram.command(&["user", "delete", "bob"]));
    deleted.ok();
    [Server::start(""), scram]
}

fn password(server: &Server) -> std::path::PathBuf {
    let file = server.path("password");
    std::fs::write(&file, PASSWORD).unwrap();
    file
}

#[test]
fn python_with_scram() {
    let Some(python) = python("imaplib") else {
        return;
    };
    let server = Server::start("");
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients/with_scram.py");
    let mut command = Command::new(python);
    command
        .arg(script)
        .args([server.imap, server.imaps, server.pop3s].map(|port| port.to_string()))
        .arg(server.certificate())
        .args(["ann", PASSWORD]);
    let said = run(&mut command).ok();
    assert!(said.ends_with("all is well\n"), "{said}");
    let log = server.log();
    assert!(log.contains("auth: passwd-file(nobody,"), "{log}");
}

/// GNU SASL, bound to the TLS connection or not.
#[test]
fn gsasl_with_scram() {
    let Some(root) = unpacked(&["gsasl", "libgsasl18", "libgssglue1", "libntlm0"]) else {
        return;
    };
    for (server, hashes) in servers().iter().zip([&["1", "256"][..], &["256"]]) {
        let gsasl = |mechanism: &str, password: &str, plain: bool| {
            let mut command = Command::new(root.join("usr/bin/gsasl"));
            let libraries = root
                .join("usr/lib")
                .join(format!("{}-linux-gnu", std::env::consts::ARCH));
            command
                .env("LD_LIBRARY_PATH", libraries)
                .args(["--imap", "--mechanism", mechanism])
                .args(["--authentication-id", "ann", "--password", password])
                .args(["--hostname", "localhost"])
                .args(["--connect", &format!("localhost:{}", server.imap)]);
            match plain {
                true => command.arg("--no-starttls"),
                false => command.arg("--x509-ca-file").arg(server.certificate()),
            };
            run(&mut command)
        };
        for hash in hashes {
            let name = format!("SCRAM-SHA-{hash}");
            gsasl(&name, PASSWORD, true).ok();
            gsasl(&format!("{name}-PLUS"), PASSWORD, false).ok();
            let refused = gsasl(&format!("{name}-PLUS"), "wrong", false);
            assert!(!refused.status.success(), "{refused:?}");
            assert!(
                refused.stdout.contains("AUTHENTICATIONFAILED"),
                "{refused:?}"
            );
        }
    }
}

/// Cyrus SASL, as mbsync has it.
#[test]
fn mbsync_with_scram() {
    if !can(&["mbsync"]) {
        return;
    }
    for (server, mechanisms) in servers().iter().zip([
        &["SCRAM-SHA-1", "SCRAM-SHA-256", "*"][..],
        &["SCRAM-SHA-256", "*"],
    ]) {
        for mechanism in mechanisms {
            let settings = format!(
                "IMAPAccount ours\nHost localhost\nPort {}\nUser ann\nPass {PASSWORD}\nSSLType IMAPS\n\
                 CertificateFile {}\nAuthMechs {mechanism}\n\nIMAPStore far\nAccount ours\n\n\
                 MaildirStore near\nPath {near}/\nInbox {near}/INBOX\n\n\
                 Channel all\nFar :far:\nNear :near:\nPatterns *\n",
                server.imaps,
                server.certificate().display(),
                near = server.path("near").display(),
            );
            std::fs::write(server.path("mbsyncrc"), settings).unwrap();
            std::fs::create_dir_all(server.path("near")).unwrap();
            let mut command = Command::new("mbsync");
            command.arg("--config").arg(server.path("mbsyncrc"));
            command.args(["--debug-net", "--list", "all"]);
            let finished = run(command.env("HOME", server.path("")));
            let said = finished.ok();
            assert!(said.contains("INBOX"), "{said}");
            if *mechanism == "*" {
                assert!(said.contains("AUTHENTICATE SCRAM-SHA-"), "{said}");
            }
        }
    }
}

#[test]
fn curl_with_cram_md5_where_the_settings_have_it() {
    if !can(&["curl"]) {
        return;
    }
    let settings = "[auth]\nmechanisms = [\"plain\", \"cram-md5\"]\n";
    let server = Server::with(Start {
        settings,
        users: format!("{}bob:!\n", line("ann", None)),
        ..Start::default()
    });
    let curl = |base: String, password: &str| {
        let mut command = Command::new("curl");
        command
            .args(["--silent", "--show-error", "--max-time", "20"])
            .args(["--user", &format!("ann:{password}")])
            .args(["--login-options", "AUTH=CRAM-MD5"])
            .arg(base);
        run(&mut command)
    };
    for base in [
        format!("imap://127.0.0.1:{}/", server.imap),
        format!("pop3://127.0.0.1:{}/", server.pop3),
    ] {
        curl(base.clone(), PASSWORD).ok();
        assert!(!curl(base, "wrong").status.success());
    }
    // One whose password is stored otherwise: it goes on for those who can.
    let mut imap = crate::support::Imap::connect(server.imap).unwrap();
    let capability = imap.ok("CAPABILITY").untagged.concat();
    assert!(!capability.contains("AUTH=LOGIN"), "{capability}");
    assert!(!capability.contains("AUTH=SCRAM"), "{capability}");
    std::fs::write(
        server.path("users"),
        "ann:{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=\n",
    )
    .unwrap();
    server.signal(rustix::process::Signal::HUP);
    wait_until("the end of CRAM-MD5", || {
        let mut imap = crate::support::Imap::connect(server.imap).ok()?;
        let capability = imap.ok("CAPABILITY").untagged.concat();
        (!capability.contains("AUTH=CRAM-MD5")).then_some(())
    });
}
