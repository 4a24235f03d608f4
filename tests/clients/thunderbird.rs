//! Thunderbird with a profile of its own and no screen, led by Marionette.

use crate::left::assert_left;
use crate::support::{PASSWORD, Server, can, free_port, message, python, run};
use rustix::process::{Pid, Signal, kill_process_group};
use std::fs::{self, File};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// An account of the server, and nothing that asks people or the network.
fn preferences(server: &Server, marionette: u16) -> String {
    let texts = [
        ("mail.accountmanager.accounts", "account1"),
        ("mail.accountmanager.defaultaccount", "account1"),
        ("mail.account.account1.identities", "id1"),
        ("mail.account.account1.server", "server1"),
        ("mail.identity.id1.fullName", "Ann"),
        ("mail.identity.id1.useremail", "ann@example.org"),
        ("mail.server.server1.type", "imap"),
        ("mail.server.server1.hostname", "127.0.0.1"),
        ("mail.server.server1.userName", "ann"),
        ("mail.server.server1.name", "ann"),
        ("mailnews.auto_config_url", ""),
    ];
    // A password as it is, without TLS, which is for loopback only.
    let others = [
        ("mail.server.server1.port", server.imap.to_string()),
        ("mail.server.server1.socketType", "0".to_owned()),
        ("mail.server.server1.authMethod", "3".to_owned()),
        ("marionette.port", marionette.to_string()),
        ("network.proxy.type", "0".to_owned()),
        ("mail.rights.version", "1".to_owned()),
        ("mail.identity.id1.valid", "true".to_owned()),
        ("mail.spotlight.firstRunDone", "true".to_owned()),
        (
            "mail.provider.suppress_dialog_on_startup",
            "true".to_owned(),
        ),
    ];
    let off = [
        "app.normandy.enabled",
        "app.update.enabled",
        "datareporting.policy.dataSubmissionEnabled",
        "mail.inappnotifications.enabled",
        "mail.server.server1.check_new_mail",
        "mail.server.server1.login_at_startup",
        "mail.shell.checkDefaultClient",
        "mailnews.start_page.enabled",
        "network.captive-portal-service.enabled",
        "network.connectivity-service.enabled",
        "network.manage-offline-status",
        "toolkit.telemetry.enabled",
    ];
    let texts = texts.map(|(name, value)| format!("user_pref(\"{name}\", \"{value}\");\n"));
    let others = others.map(|(name, value)| format!("user_pref(\"{name}\", {value});\n"));
    let off = off.map(|name| format!("user_pref(\"{name}\", false);\n"));
    texts.concat() + &others.concat() + &off.concat()
}

/// Debian's program is a script that starts the real one: all of its process group ends with the value.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        kill_process_group(Pid::from_child(&self.0), Signal::KILL).ok();
        self.0.wait().ok();
    }
}

fn start(server: &Server, marionette: u16) -> Running {
    let profile = server.path("profile");
    fs::create_dir(&profile).unwrap();
    fs::write(profile.join("user.js"), preferences(server, marionette)).unwrap();
    let output = File::create(server.path("thunderbird.log")).unwrap();
    let child = Command::new("thunderbird")
        .args([
            "--headless",
            "--no-remote",
            "--marionette",
            "--remote-allow-system-access",
        ])
        .arg("--profile")
        .arg(&profile)
        .process_group(0)
        .env("HOME", server.path(""))
        .env("MOZ_HEADLESS", "1")
        .env("MOZ_CRASHREPORTER_DISABLE", "1")
        .stdin(Stdio::null())
        .stdout(output.try_clone().unwrap())
        .stderr(output)
        .spawn()
        .unwrap();
    Running(child)
}

#[test]
fn thunderbird() {
    let Some(python) = can(&["thunderbird"]).then(|| python("imaplib")).flatten() else {
        return;
    };
    let server = Server::start("");
    for number in 1..7 {
        let (id, subject) = (format!("{number}@test"), format!("Fruit{number}"));
        server.deliver("ann", &message(&id, &subject, &format!("About {number}.")));
    }
    let marionette = free_port();
    let _thunderbird = start(&server, marionette);
    let mut command = Command::new(python);
    command
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients/with_thunderbird.py"))
        .args([marionette, server.imap].map(|port| port.to_string()))
        .args(["ann", PASSWORD]);
    let said = run(&mut command).ok();
    assert!(said.ends_with("all is well\n"), "{said}");
    let inbox = [
        ("1", "\\Seen"),
        ("2", "$label1 \\Flagged"),
        ("6", "\\Flagged"),
        ("7", ""),
    ];
    assert_left(&server, "INBOX", &inbox);
    assert_left(&server, "Archive", &[("3", ""), ("5", "")]);
    assert_left(&server, "Trash", &[("4", "")]);
    let mut imap = server.imap("ann");
    imap.ok("SELECT Drafts");
    let draft = imap.ok("FETCH 1:* (FLAGS BODY.PEEK[])").untagged.concat();
    for text in [
        "\\Draft",
        "Subject: A draft",
        "To: bob@example.org",
        "Not yet done.",
    ] {
        assert!(draft.contains(text), "{text:?} not in {draft}");
    }
}
