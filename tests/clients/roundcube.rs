//! Roundcube, served by PHP itself, as a browser uses it.

use crate::support::{Guard, PASSWORD, Server, can, free_port, message, python, run, skip};
use std::fs::{self, File};
use std::net::TcpStream;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Command, Stdio};

/// Where Debian puts it.
const INSTALLED: &str = "/usr/share/roundcube";
const SETTINGS: &str = "/etc/roundcube";

fn possible() -> bool {
    can(&["php"])
        && (Path::new(INSTALLED).join("index.php").exists() || skip("no Roundcube"))
        && (run(Command::new("php").args(["-r", "new PDO('sqlite::memory:');"]))
            .status
            .success()
            || skip("PHP has no SQLite"))
}

/// Roundcube with a directory of its own, as `define`d before all else.
fn lay_out(server: &Server) {
    let root = server.path("roundcube");
    for directory in ["config", "logs", "temp"] {
        fs::create_dir_all(root.join(directory)).unwrap();
    }
    for name in ["program", "plugins", "skins", "SQL", "index.php"] {
        symlink(Path::new(INSTALLED).join(name), root.join(name)).unwrap();
    }
    for name in ["defaults.inc.php", "mimetypes.php"] {
        fs::copy(
            Path::new(SETTINGS).join(name),
            root.join("config").join(name),
        )
        .unwrap();
    }
    let root = root.display();
    let settings = format!(
        "<?php\n$config = [];\n$config['db_dsnw'] = 'sqlite:///{root}/db?mode=0600';\n\
         $config['imap_host'] = 'localhost:{}';\n$config['des_key'] = 'twenty-four octets of it';\n\
         $config['plugins'] = [];\n$config['language'] = 'en_US';\n\
         $config['log_dir'] = '{root}/logs/';\n$config['temp_dir'] = '{root}/temp/';\n",
        server.imap
    );
    fs::write(format!("{root}/config/config.inc.php"), settings).unwrap();
    let before = format!(
        "<?php define('INSTALL_PATH', '{root}/'); define('RCMAIL_CONFIG_DIR', '{root}/config');\n"
    );
    fs::write(format!("{root}/before.php"), before).unwrap();
}

/// PHP's own web server.
fn serve(server: &Server, port: u16) -> Guard {
    let root = server.path("roundcube");
    let output = File::create(root.join("output")).unwrap();
    let child = Command::new("php")
        .arg("-d")
        .arg(format!(
            "auto_prepend_file={}",
            root.join("before.php").display()
        ))
        .arg("-d")
        .arg(format!("session.save_path={}", root.join("temp").display()))
        .arg("-S")
        .arg(format!("127.0.0.1:{port}"))
        .arg("-t")
        .arg(&root)
        .stdin(Stdio::null())
        .stdout(output.try_clone().unwrap())
        .stderr(output)
        .spawn()
        .unwrap();
    let guard = Guard(child);
    crate::support::wait_until("PHP's web server", || {
        TcpStream::connect(("127.0.0.1", port)).ok()
    });
    guard
}

#[test]
fn roundcube() {
    let Some(python) = possible().then(|| python("urllib")).flatten() else {
        return;
    };
    let server = Server::start("");
    for number in 1..7 {
        let text = message(
            &format!("{number}@test"),
            &format!("Fruit{number}"),
            &format!("About {number}."),
        );
        server.deliver("ann", &text);
    }
    lay_out(&server);
    let port = free_port();
    let _php = serve(&server, port);
    let mut command = Command::new(python);
    command
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients/with_roundcube.py"))
        .arg(format!("http://127.0.0.1:{port}"))
        .args(["ann", PASSWORD]);
    let said = run(&mut command).ok();
    assert!(said.ends_with("all is well\n"), "{said}");
    let expected = [
        (
            "INBOX",
            vec![("1", "\\Seen"), ("2", "\\Flagged"), ("5", "\\Seen")],
        ),
        ("Archive", vec![("4", "")]),
        ("Trash", vec![("3", "\\Seen")]),
    ];
    for (mailbox, messages) in expected {
        crate::left::assert_left(&server, mailbox, &messages);
    }
    let mut imap = server.imap("ann");
    imap.ok("SELECT Drafts");
    let draft = imap.ok("FETCH 1:* (FLAGS BODY.PEEK[])").untagged.concat();
    for text in [
        "FLAGS (\\Seen)",
        "Subject: A draft",
        "To: bob@example.org",
        "Not yet done.",
    ] {
        assert!(draft.contains(text), "{text:?} not in {draft}");
    }
}
