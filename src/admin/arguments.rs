//! From the words of a command line to a command.

use lexopt::{Arg, Parser, ValueExt};
use std::ffi::OsString;
use std::path::PathBuf;

use super::adopt::{Way, Wish};
use super::deliver::Deliver;
use super::help;
use super::options::Options;
use crate::config::{BOARDS, nearest};
use crate::mailbox::Care;

/// What to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Command {
    Serve { demo: bool },
    User(User),
    Config(Settings),
    Care { user: Option<String>, care: Care },
    Deliver(Deliver),
    Adopt(Wish),
    Capabilities { json: bool },
    Help(&'static help::Topic),
    Version,
}

/// What to do with users.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum User {
    Add { name: String, stdin: bool },
    Passwd { name: String, stdin: bool },
    List { name: Option<String>, json: bool },
    Delete { name: String },
}

/// What to do with settings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Settings {
    Check,
    Show { json: bool },
    Reference,
}

/// What is wrong with a command line, and which topic of the help tells more.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Misuse {
    pub(crate) what: String,
    pub(crate) topic: Option<&'static str>,
}

impl Misuse {
    fn new(what: impl Into<String>, topic: Option<&'static str>) -> Misuse {
        Misuse {
            what: what.into(),
            topic,
        }
    }
}

/// Every command; the first word of a command line is one of them.
pub(crate) const COMMANDS: [&str; 10] = [
    "serve",
    "user",
    "config",
    "doctor",
    "purge",
    "deliver",
    "adopt",
    "export",
    "capabilities",
    "help",
];
/// How commands are written, as the help shows them.
#[cfg(test)]
pub(crate) const FORMS: [&str; 14] = [
    "serve [--demo]",
    "user add NAME [--password-stdin]",
    "user passwd NAME [--password-stdin]",
    "user list [NAME] [--json]",
    "user delete NAME",
    "config check",
    "config show [--json]",
    "config reference",
    "doctor [--user NAME] [--rebuild]",
    "purge [--user NAME]",
    "deliver -d USER [-m BOX] [-f FROM] [-a ORIG] [-e] [-p FILE]",
    "adopt PATH [--dry-run] [--json]",
    "export PATH --to dovecot [--dry-run] [--json]",
    "capabilities [--json]",
];
const USER: [&str; 4] = ["add", "passwd", "list", "delete"];
const CONFIG: [&str; 3] = ["check", "show", "reference"];

/// An option, and the commands that take it.
struct Opt {
    name: &'static str,
    /// What its value is, if it has one.
    value: bool,
    /// First words, or first and second words, of commands; empty for all.
    of: &'static [&'static str],
}

const OPTIONS: [Opt; 18] = [
    opt("config", true, &[]),
    opt("data", true, &[]),
    opt("board", true, &[]),
    opt("help", false, &[]),
    opt("version", false, &[]),
    opt("demo", false, &["serve"]),
    opt("password-stdin", false, &["user add", "user passwd"]),
    opt(
        "json",
        false,
        &[
            "user list",
            "config show",
            "adopt",
            "export",
            "capabilities",
        ],
    ),
    opt("dry-run", false, &["adopt", "export"]),
    opt("to", true, &["export"]),
    opt("user", true, &["doctor", "purge"]),
    opt("rebuild", false, &["doctor"]),
    // As dovecot-lda has them, in one letter.
    opt("-d", true, &["deliver"]),
    opt("-m", true, &["deliver"]),
    opt("-f", true, &["deliver"]),
    opt("-a", true, &["deliver"]),
    opt("-e", false, &["deliver"]),
    opt("-p", true, &["deliver"]),
];

const fn opt(name: &'static str, value: bool, of: &'static [&'static str]) -> Opt {
    Opt { name, value, of }
}

impl Opt {
    /// As it is typed.
    fn form(&self) -> String {
        match self.name.starts_with('-') {
            true => self.name.to_owned(),
            false => format!("--{}", self.name),
        }
    }

    fn belongs_to(&self, words: &[String]) -> bool {
        let belongs = |of: &&str| of.split(' ').eq(words.iter().take(of.split(' ').count()));
        self.of.is_empty() || self.of.iter().any(belongs)
    }
}

/// What was on the command line, in no order.
#[derive(Default)]
struct Given {
    words: Vec<String>,
    options: Options,
    user: Option<String>,
    to: Option<String>,
    deliver: Deliver,
    seen: Vec<&'static str>,
}

/// Reads the words behind the name of the program.
pub(crate) fn parse(
    arguments: impl IntoIterator<Item = OsString>,
) -> Result<(Command, Options), Misuse> {
    let mut given = Given::default();
    let mut parser = Parser::from_args(arguments);
    let read = given.read(&mut parser);
    let topic = given.topic();
    read.map_err(|error| Misuse::new(error.to_string(), topic))?;
    if given.has("help") {
        let topic = topic.and_then(help::topic).unwrap_or(&help::TOP);
        return Ok((Command::Help(topic), given.options));
    }
    if given.has("version") {
        nothing_in(&given.words, "help")?;
        return Ok((Command::Version, given.options));
    }
    let command = given.command()?;
    given.check_options()?;
    Ok((command, given.options))
}

impl Given {
    fn has(&self, option: &str) -> bool {
        self.seen.contains(&option)
    }

    /// The page about what was asked for, as far as it is known.
    fn topic(&self) -> Option<&'static str> {
        let first = self.words.first()?;
        COMMANDS.into_iter().find(|command| command == first)
    }

    fn read(&mut self, parser: &mut Parser) -> Result<(), lexopt::Error> {
        while let Some(argument) = parser.next()? {
            let option = match argument {
                Arg::Value(word) => {
                    self.words.push(word.string()?);
                    continue;
                }
                Arg::Short('h') => find("help")?,
                Arg::Short('V') => find("version")?,
                Arg::Short(letter) => {
                    let form = format!("-{letter}");
                    let known = OPTIONS.iter().find(|option| option.name == form);
                    known.ok_or_else(|| format!("unknown option {form}"))?
                }
                Arg::Long(name) => find(name)?,
            };
            self.seen.push(option.name);
            if option.value {
                self.take(option.name, parser.value()?)?;
            }
        }
        Ok(())
    }

    fn take(&mut self, option: &str, value: OsString) -> Result<(), lexopt::Error> {
        // The null sender is empty.
        if value.is_empty() && option != "-f" {
            let form = find(option).map(Opt::form)?;
            return Err(format!("{form} needs a value that is not empty").into());
        }
        match option {
            "config" => self.options.config = Some(PathBuf::from(value)),
            "data" => self.options.data = Some(PathBuf::from(value)),
            "board" => self.options.board = Some(board(value.string()?)?),
            "-d" => self.deliver.user = value.string()?,
            "-m" => self.deliver.mailbox = Some(value.string()?),
            "-f" => self.deliver.sender = Some(value.string()?),
            "-a" => self.deliver.original = Some(value.string()?),
            "-p" => self.deliver.file = Some(PathBuf::from(value)),
            "to" => self.to = Some(value.string()?),
            _ => self.user = Some(value.string()?),
        }
        Ok(())
    }

    fn command(&self) -> Result<Command, Misuse> {
        let (first, rest) = match self.words.split_first() {
            Some((first, rest)) => (first.as_str(), rest),
            None => return Err(Misuse::new("which command?", None)),
        };
        match first {
            "serve" => nothing_in(rest, "serve").map(|()| Command::Serve {
                demo: self.has("demo"),
            }),
            "user" => self.user_command(rest).map(Command::User),
            "config" => self.config_command(rest).map(Command::Config),
            "doctor" => nothing_in(rest, "doctor").map(|()| Command::Care {
                user: self.user.clone(),
                care: match self.has("rebuild") {
                    true => Care::Rebuild,
                    false => Care::Check,
                },
            }),
            "purge" => nothing_in(rest, "purge").map(|()| Command::Care {
                user: self.user.clone(),
                care: Care::Purge,
            }),
            "deliver" if self.deliver.user.is_empty() => {
                Err(Misuse::new("deliver needs -d USER", Some("deliver")))
            }
            "deliver" => {
                nothing_in(rest, "deliver").map(|()| Command::Deliver(self.deliver.clone()))
            }
            "adopt" => self.wish(Way::Here, "adopt", rest).map(Command::Adopt),
            "export" => match self.to.as_deref() {
                Some("dovecot") => self.wish(Way::Dovecot, "export", rest).map(Command::Adopt),
                Some(other) => Err(unknown("server", other, &["dovecot"], Some("export"))),
                None => Err(Misuse::new("export needs --to dovecot", Some("export"))),
            },
            "capabilities" => nothing_in(rest, "capabilities").map(|()| Command::Capabilities {
                json: self.has("json"),
            }),
            "help" => help_command(rest).map(Command::Help),
            other => Err(unknown("command", other, &COMMANDS, None)),
        }
    }

    fn user_command(&self, words: &[String]) -> Result<User, Misuse> {
        let Some((second, rest)) = words.split_first() else {
            let what = "user needs add, passwd, list or delete behind it";
            return Err(Misuse::new(what, Some("user")));
        };
        let name = || match rest {
            [name] => Ok(name.clone()),
            [] => Err(Misuse::new(
                format!("user {second} needs the name of a user"),
                Some("user"),
            )),
            [_, more, ..] => Err(excess(more, "user")),
        };
        let stdin = self.has("password-stdin");
        match second.as_str() {
            "add" => name().map(|name| User::Add { name, stdin }),
            "passwd" => name().map(|name| User::Passwd { name, stdin }),
            "list" => Ok(User::List {
                name: (!rest.is_empty()).then(name).transpose()?,
                json: self.has("json"),
            }),
            "delete" => name().map(|name| User::Delete { name }),
            other => Err(unknown("command user", other, &USER, Some("user"))),
        }
    }

    fn wish(&self, way: Way, command: &'static str, words: &[String]) -> Result<Wish, Misuse> {
        match words {
            [path] => Ok(Wish {
                way,
                path: PathBuf::from(path),
                dry_run: self.has("dry-run"),
                json: self.has("json"),
            }),
            [] => {
                let what = format!("{command} needs the directory of the mail behind it");
                Err(Misuse::new(what, Some(command)))
            }
            [_, more, ..] => Err(excess(more, command)),
        }
    }

    fn config_command(&self, words: &[String]) -> Result<Settings, Misuse> {
        let Some((second, rest)) = words.split_first() else {
            let what = "config needs check, show or reference behind it";
            return Err(Misuse::new(what, Some("config")));
        };
        let settings = match second.as_str() {
            "check" => Settings::Check,
            "show" => Settings::Show {
                json: self.has("json"),
            },
            "reference" => Settings::Reference,
            other => return Err(unknown("command config", other, &CONFIG, Some("config"))),
        };
        nothing_in(rest, "config").map(|()| settings)
    }

    /// An option of another command is a mistake, not noise.
    fn check_options(&self) -> Result<(), Misuse> {
        let foreign = |o: &&Opt| self.has(o.name) && !o.belongs_to(&self.words);
        let Some(option) = OPTIONS.iter().find(foreign) else {
            return Ok(());
        };
        let what = format!("{} belongs to {}", option.form(), option.of.join(" and "));
        Err(Misuse::new(what, self.topic()))
    }
}

fn find(name: &str) -> Result<&'static Opt, lexopt::Error> {
    let known = OPTIONS.iter().find(|option| option.name == name);
    known.ok_or_else(|| {
        let long = OPTIONS.iter().map(|option| option.name);
        let hint = nearest(name, long.filter(|name| !name.starts_with('-')))
            .map(|meant| format!("; did you mean \"--{meant}\"?"))
            .unwrap_or_default();
        format!("unknown option \"--{name}\"{hint}").into()
    })
}

fn board(name: String) -> Result<String, lexopt::Error> {
    if BOARDS.contains(&name.as_str()) {
        return Ok(name);
    }
    let hint = hint(&name, BOARDS.iter().copied());
    let boards = BOARDS.join(", ");
    Err(format!("unknown board {name:?}{hint}; the boards are {boards}").into())
}

/// `; did you mean "word"?`, or nothing.
fn hint<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    nearest(word, known)
        .map(|meant| format!("; did you mean {meant:?}?"))
        .unwrap_or_default()
}

fn unknown(what: &str, word: &str, known: &[&'static str], topic: Option<&'static str>) -> Misuse {
    let hint = hint(word, known.iter().copied());
    Misuse::new(format!("unknown {what} {word:?}{hint}"), topic)
}

fn excess(word: &str, topic: &'static str) -> Misuse {
    Misuse::new(format!("{word:?} is one word too many"), Some(topic))
}

fn nothing_in(words: &[String], topic: &'static str) -> Result<(), Misuse> {
    words
        .first()
        .map_or(Ok(()), |word| Err(excess(word, topic)))
}

fn help_command(words: &[String]) -> Result<&'static help::Topic, Misuse> {
    let Some((name, rest)) = words.split_first() else {
        return Ok(&help::TOP);
    };
    // `help user add` is as good as `help user`.
    let seconds = match name.as_str() {
        "user" => &USER[..],
        "config" => &CONFIG[..],
        _ => &[],
    };
    let known = |word: &String| seconds.contains(&word.as_str());
    let rest = match rest {
        [second, more @ ..] if known(second) => more,
        rest => rest,
    };
    nothing_in(rest, "help")?;
    help::topic(name).ok_or_else(|| {
        let hint = hint(name, help::TOPICS.iter().map(|topic| topic.name));
        Misuse::new(format!("no help on {name:?}{hint}"), None)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

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
                },
            ),
            (
                "doctor --user=ann",
                Command::Care {
                    user: Some(ann()),
                    care: Care::Check,
                },
            ),
            (
                "purge --user ann",
                Command::Care {
                    user: Some(ann()),
                    care: Care::Purge,
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
            let line = format!("{line} --config f.toml --data d --board=nas");
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
                "adopt",
                "adopt needs the directory of the mail behind it",
                Some("adopt"),
            ),
            ("export /m", "export needs --to dovecot", Some("export")),
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
                "--json belongs to user list and config show and adopt and export and capabilities",
                Some("serve"),
            ),
            (
                "config check --json",
                "--json belongs to user list and config show and adopt and export and capabilities",
                Some("config"),
            ),
            (
                "user delete ann --password-stdin",
                "--password-stdin belongs to user add and user passwd",
                Some("user"),
            ),
            (
                "user",
                "user needs add, passwd, list or delete behind it",
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
}
