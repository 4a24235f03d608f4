use super::option::OPTIONS;
use super::*;
use crate::admin::adopt::{Way, Wish};
use crate::admin::backup::{Backup, Restore};
use crate::admin::convert::Convert;
use crate::admin::deliver::Deliver;
use crate::admin::help;
use crate::admin::import::Import;
use crate::admin::options::Options;
use crate::config::Format;
use crate::mail::MailboxName;
use crate::mailbox::Care;
use crate::store::Selection;
use std::ffi::OsString;

fn read(line: &str) -> Result<(Command, Options), Misuse> {
    parse(line.split_ascii_whitespace().map(OsString::from))
}

fn list(name: Option<&str>, json: bool) -> Command {
    let name = name.map(str::to_owned);
    Command::User(User::List { name, json })
}

fn adopt(dry_run: bool, json: bool) -> Command {
    Command::Adopt(Wish {
        way: Way::Here,
        path: "/m".into(),
        dry_run,
        json,
    })
}

#[test]
fn commands() {
    let ann = || "ann".to_owned();
    let help = |name| Command::Help(help::topic(name).unwrap());
    for (line, expected) in [
        ("serve", Command::Serve { demo: false }),
        ("serve --demo", Command::Serve { demo: true }),
        ("--demo serve", Command::Serve { demo: true }),
        (
            "user add ann",
            Command::User(User::Add {
                name: ann(),
                stdin: false,
            }),
        ),
        (
            "user --password-stdin passwd ann",
            Command::User(User::Passwd {
                name: ann(),
                stdin: true,
            }),
        ),
        ("user list", list(None, false)),
        ("user list ann --json", list(Some("ann"), true)),
        (
            "user delete ann",
            Command::User(User::Delete { name: ann() }),
        ),
        (
            "user delete -- --ann",
            Command::User(User::Delete {
                name: "--ann".to_owned(),
            }),
        ),
        ("config check", Command::Config(Settings::Check)),
        (
            "config show --json",
            Command::Config(Settings::Show { json: true }),
        ),
        ("config reference", Command::Config(Settings::Reference)),
        (
            "doctor --user ann --rebuild",
            Command::Care {
                user: Some(ann()),
                care: Care::Rebuild,
                json: false,
            },
        ),
        (
            "doctor --user=ann",
            Command::Care {
                user: Some(ann()),
                care: Care::Check,
                json: false,
            },
        ),
        (
            "doctor --scrub --json",
            Command::Care {
                user: None,
                care: Care::Scrub,
                json: true,
            },
        ),
        (
            "purge --user ann",
            Command::Care {
                user: Some(ann()),
                care: Care::Purge,
                json: false,
            },
        ),
        (
            "purge --json",
            Command::Care {
                user: None,
                care: Care::Purge,
                json: true,
            },
        ),
        (
            "altmove --before 1970-01-02 --larger=1KB",
            Command::Care {
                user: None,
                care: Care::Aside(Selection {
                    before: Some(86_400),
                    larger: Some(1000),
                    ..Selection::default()
                }),
                json: false,
            },
        ),
        (
            "altmove --back --saved-before 1970-01-02 --user ann --json",
            Command::Care {
                user: Some(ann()),
                care: Care::Back(Selection {
                    saved_before: Some(86_400),
                    ..Selection::default()
                }),
                json: true,
            },
        ),
        (
            "index cache --mailbox INBOX",
            Command::Care {
                user: None,
                care: Care::Kept(Some(MailboxName::inbox())),
                json: false,
            },
        ),
        (
            "index cache --forget --user ann",
            Command::Care {
                user: Some(ann()),
                care: Care::Forget(None),
                json: false,
            },
        ),
        (
            "index stats --user ann --json",
            Command::Care {
                user: Some(ann()),
                care: Care::Measure,
                json: true,
            },
        ),
        (
            "deliver -d ann",
            Command::Deliver(Deliver {
                user: ann(),
                ..Deliver::default()
            }),
        ),
        (
            "deliver -e -d ann -m a/b -f= -a ann@x -p file",
            Command::Deliver(Deliver {
                user: ann(),
                mailbox: Some("a/b".to_owned()),
                sender: Some(String::new()),
                original: Some("ann@x".to_owned()),
                file: Some("file".into()),
            }),
        ),
        (
            "import -u ann a b -m old --seen",
            Command::Import(Import {
                user: ann(),
                mailbox: Some("old".to_owned()),
                seen: true,
                json: false,
                paths: vec!["a".into(), "b".into()],
            }),
        ),
        (
            "backup -u ann /b INBOX a/b --json --verify",
            Command::Backup(Backup {
                user: ann(),
                verify: true,
                json: true,
                path: "/b".into(),
                mailboxes: vec!["INBOX".to_owned(), "a/b".to_owned()],
            }),
        ),
        (
            "restore --into Old -u ann /b",
            Command::Restore(Restore {
                user: ann(),
                into: Some("Old".to_owned()),
                path: "/b".into(),
                ..Restore::default()
            }),
        ),
        (
            "convert maildir mdbox --user ann",
            Command::Convert(Convert {
                from: Format::Maildir,
                to: Format::Mdbox,
                user: Some(ann()),
                json: false,
            }),
        ),
        ("adopt /m --json", adopt(false, true)),
        ("adopt --dry-run /m", adopt(true, false)),
        (
            "export /m --to=dovecot",
            Command::Adopt(Wish {
                way: Way::Dovecot,
                path: "/m".into(),
                dry_run: false,
                json: false,
            }),
        ),
        ("help", Command::Help(&help::TOP)),
        ("--help", Command::Help(&help::TOP)),
        ("-h", Command::Help(&help::TOP)),
        ("nonsense --help", Command::Help(&help::TOP)),
        ("help postfix", help("postfix")),
        ("help user add", help("user")),
        ("user add --help", help("user")),
        ("user -h", help("user")),
        ("config check --help", help("config")),
        ("help --help", help("help")),
        ("--version", Command::Version),
        ("-V", Command::Version),
    ] {
        assert_eq!(read(line).map(|(c, _)| c), Ok(expected), "{line}");
    }
}

#[test]
fn every_command_takes_the_common_options() {
    let expected = Options {
        config: Some("f.toml".into()),
        data: Some("d".into()),
        board: Some("nas".to_owned()),
        uci: true,
    };
    for line in [
        "serve",
        "user list",
        "config check",
        "config reference",
        "doctor",
        "help",
        "--version",
    ] {
        let line = format!("{line} --config f.toml --data d --uci --board=nas");
        assert_eq!(
            read(&line).map(|(_, o)| o).as_ref(),
            Ok(&expected),
            "{line}"
        );
    }
}

#[test]
fn misuses() {
    for (line, expected, topic) in [
        ("", "which command?", None),
        (
            "serv",
            "unknown command \"serv\"; did you mean \"serve\"?",
            None,
        ),
        ("start", "unknown command \"start\"", None),
        ("serve now", "\"now\" is one word too many", Some("serve")),
        (
            "serve --dmeo",
            "unknown option \"--dmeo\"; did you mean \"--demo\"?",
            Some("serve"),
        ),
        (
            "altmove",
            "altmove needs --before, --saved-before or --larger, or --back",
            Some("altmove"),
        ),
        (
            "altmove --before 1.1.1970",
            "--before takes a day, such as 2026-12-31",
            Some("altmove"),
        ),
        (
            "altmove --larger much",
            "--larger takes a size, such as 1MB",
            Some("altmove"),
        ),
        (
            "adopt",
            "adopt needs the directory of the mail behind it",
            Some("adopt"),
        ),
        ("export /m", "export needs --to dovecot", Some("export")),
        (
            "convert maildir",
            "convert needs two formats behind it: from which, and to which",
            Some("convert"),
        ),
        (
            "convert maildir mdobx",
            "unknown format \"mdobx\"; did you mean \"mdbox\"?",
            Some("convert"),
        ),
        (
            "convert mbox mbox",
            "the two formats are one",
            Some("convert"),
        ),
        ("import a", "import needs -u USER", Some("import")),
        (
            "import -u ann",
            "import needs the path of what is to be imported behind it",
            Some("import"),
        ),
        ("backup /b", "backup needs -u USER", Some("backup")),
        (
            "restore -u ann",
            "restore needs the directory of the backup behind it",
            Some("restore"),
        ),
        (
            "restore -u ann --merge --into a /b",
            "--merge and --into are two ways, of which one is needed",
            Some("restore"),
        ),
        (
            "export /m --to dovecto",
            "unknown server \"dovecto\"; did you mean \"dovecot\"?",
            Some("export"),
        ),
        ("adopt a b", "\"b\" is one word too many", Some("adopt")),
        ("serve -x", "unknown option -x", Some("serve")),
        ("serve -d ann", "-d belongs to deliver", Some("serve")),
        ("deliver", "deliver needs -d USER", Some("deliver")),
        (
            "index",
            "index needs stats or cache behind it",
            Some("index"),
        ),
        (
            "index cache --mailbox a//b",
            "--mailbox takes the name of a mailbox",
            Some("index"),
        ),
        (
            "index stats ann",
            "\"ann\" is one word too many",
            Some("index"),
        ),
        (
            "deliver -d ann bob",
            "\"bob\" is one word too many",
            Some("deliver"),
        ),
        (
            "deliver -d ann -m=",
            "-m needs a value that is not empty",
            Some("deliver"),
        ),
        (
            "serve --json",
            "--json belongs to user list and user app-password list and config show and doctor and purge and altmove and index stats and index cache and adopt and export and import and backup and restore and convert and capabilities and healthcheck and check-data",
            Some("serve"),
        ),
        (
            "config check --json",
            "--json belongs to user list and user app-password list and config show and doctor and purge and altmove and index stats and index cache and adopt and export and import and backup and restore and convert and capabilities and healthcheck and check-data",
            Some("config"),
        ),
        (
            "user delete ann --password-stdin",
            "--password-stdin belongs to user add and user passwd",
            Some("user"),
        ),
        (
            "user",
            "user needs add, passwd, app-password, list or delete behind it",
            Some("user"),
        ),
        (
            "user ad ann",
            "unknown command user \"ad\"; did you mean \"add\"?",
            Some("user"),
        ),
        (
            "user add",
            "user add needs the name of a user",
            Some("user"),
        ),
        (
            "user add ann bob",
            "\"bob\" is one word too many",
            Some("user"),
        ),
        (
            "user app-password",
            "user app-password needs add, list or delete behind it",
            Some("user"),
        ),
        (
            "user app-password ad ann",
            "unknown command user app-password \"ad\"; did you mean \"add\"?",
            Some("user"),
        ),
        (
            "user app-password add",
            "user app-password add needs the name of a user",
            Some("user"),
        ),
        (
            "user app-password delete ann",
            "user app-password delete needs the name of a user and the id behind it",
            Some("user"),
        ),
        (
            "user app-password delete ann abcd x",
            "\"x\" is one word too many",
            Some("user"),
        ),
        (
            "user add ann --for imap",
            "--for belongs to user app-password add",
            Some("user"),
        ),
        (
            "config",
            "config needs check, show or reference behind it",
            Some("config"),
        ),
        (
            "config chekc",
            "unknown command config \"chekc\"; did you mean \"check\"?",
            Some("config"),
        ),
        (
            "help postfixx",
            "no help on \"postfixx\"; did you mean \"postfix\"?",
            None,
        ),
        (
            "help user add ann",
            "\"ann\" is one word too many",
            Some("help"),
        ),
        (
            "serve --data",
            "missing argument for option '--data'",
            Some("serve"),
        ),
        (
            "serve --data=",
            "--data needs a value that is not empty",
            Some("serve"),
        ),
        (
            "serve --demo=x",
            "unexpected argument for option '--demo': \"x\"",
            Some("serve"),
        ),
        ("a\u{1b}[1m", "unknown command \"a\\u{1b}[1m\"", None),
    ] {
        let what = expected.to_owned();
        assert_eq!(read(line), Err(Misuse { what, topic }), "{line}");
    }
}

#[test]
fn every_option_of_a_command_is_in_its_form() {
    for option in OPTIONS.iter() {
        for of in option.of {
            let forms = FORMS.iter().filter(|form| form.starts_with(of));
            let mut words = forms.flat_map(|form| form.split(['[', ']', ' ']));
            assert!(
                words.any(|word| word == option.form()),
                "{of} {}",
                option.form()
            );
        }
    }
}
