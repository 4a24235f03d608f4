//! What is on a command line.

use lexopt::{Arg, Parser, ValueExt};
use std::ffi::OsString;
use std::path::PathBuf;

use super::command::{COMMANDS, CONFIG, Command, INDEX, Settings, USER};
use super::option::{OPTIONS, Opt, board, find};
use super::user;
use super::words::{Misuse, excess, hint, nothing_in, unknown};
use crate::admin::adopt::{Way, Wish};
use crate::admin::app_password;
use crate::admin::backup::{Backup, Restore};
use crate::admin::convert::Convert;
use crate::admin::deliver::Deliver;
use crate::admin::help;
use crate::admin::import::Import;
use crate::admin::options::Options;
use crate::config::Format;
use crate::mail::{Date, DateTime, MailboxName};
use crate::mailbox::Care;
use crate::store::Selection;

/// What was on the command line, in no order.
#[derive(Default)]
pub(super) struct Given {
    words: Vec<String>,
    options: Options,
    user: Option<String>,
    to: Option<String>,
    mailbox: Option<String>,
    into: Option<String>,
    selection: Selection,
    deliver: Deliver,
    pub(super) app_password: app_password::Wanted,
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

/// When a day begins, in seconds since 1970.
fn day(option: &str, value: OsString) -> Result<i64, lexopt::Error> {
    let date = Date::parse(&value.string()?);
    let time = date.and_then(|date| DateTime::from_fields(date, 0, 0, 0, 0));
    let fault = || format!("--{option} takes a day, such as 2026-12-31");
    Ok(time.ok_or_else(fault)?.seconds)
}

impl Given {
    pub(super) fn has(&self, option: &str) -> bool {
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
            self.options.uci |= option.name == "uci";
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
            "-m" | "mailbox" => self.mailbox = Some(value.string()?),
            "-f" => self.deliver.sender = Some(value.string()?),
            "-a" => self.deliver.original = Some(value.string()?),
            "-p" => self.deliver.file = Some(PathBuf::from(value)),
            "for" => self.app_password.scope = Some(value.string()?),
            "until" => self.app_password.until = Some(value.string()?),
            "label" => self.app_password.label = value.string()?,
            "before" => self.selection.before = Some(day(option, value)?),
            "saved-before" => self.selection.saved_before = Some(day(option, value)?),
            "larger" => {
                let octets = crate::config::size(&value.string()?);
                let fault = "--larger takes a size, such as 1MB";
                self.selection.larger = Some(octets.ok_or(fault)?);
            }
            "into" => self.into = Some(value.string()?),
            "to" => self.to = Some(value.string()?),
            _ => self.user = Some(value.string()?),
        }
        Ok(())
    }

    fn care(&self, care: Care) -> Command {
        Command::Care {
            user: self.user.clone(),
            care,
            json: self.has("json"),
        }
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
            "user" => user::command(self, rest).map(Command::User),
            "config" => self.config_command(rest).map(Command::Config),
            "doctor" => nothing_in(rest, "doctor").and_then(|()| {
                let care = match (self.has("rebuild"), self.has("scrub")) {
                    (false, false) => Care::Check,
                    (true, false) => Care::Rebuild,
                    (false, true) => Care::Scrub,
                    (true, true) => {
                        let what =
                            "--rebuild forgets what --scrub compares with: one after the other";
                        return Err(Misuse::new(what, Some("doctor")));
                    }
                };
                Ok(self.care(care))
            }),
            "purge" => nothing_in(rest, "purge").map(|()| self.care(Care::Purge)),
            "altmove" => nothing_in(rest, "altmove").and_then(|()| {
                let all = self.selection == Selection::default();
                match self.has("back") {
                    true => Ok(self.care(Care::Back(self.selection))),
                    false if all => {
                        let what = "altmove needs --before, --saved-before or --larger, or --back";
                        Err(Misuse::new(what, Some("altmove")))
                    }
                    false => Ok(self.care(Care::Aside(self.selection))),
                }
            }),
            "index" => match rest.split_first() {
                Some((second, rest)) if second == "stats" => {
                    nothing_in(rest, "index").map(|()| self.care(Care::Measure))
                }
                Some((second, rest)) if second == "cache" => {
                    nothing_in(rest, "index")?;
                    let mailbox = self.mailbox.as_deref().map(MailboxName::new).transpose();
                    let fault =
                        |_| Misuse::new("--mailbox takes the name of a mailbox", Some("index"));
                    let mailbox = mailbox.map_err(fault)?;
                    Ok(self.care(match self.has("forget") {
                        true => Care::Forget(mailbox),
                        false => Care::Kept(mailbox),
                    }))
                }
                Some((other, _)) => Err(unknown("command index", other, &INDEX, Some("index"))),
                None => Err(Misuse::new(
                    "index needs stats or cache behind it",
                    Some("index"),
                )),
            },
            "deliver" if self.deliver.user.is_empty() => {
                Err(Misuse::new("deliver needs -d USER", Some("deliver")))
            }
            "deliver" => {
                let mailbox = self.mailbox.clone();
                nothing_in(rest, "deliver").map(|()| {
                    Command::Deliver(Deliver {
                        mailbox,
                        ..self.deliver.clone()
                    })
                })
            }
            "adopt" => self.wish(Way::Here, "adopt", rest).map(Command::Adopt),
            "export" => match self.to.as_deref() {
                Some("dovecot") => self.wish(Way::Dovecot, "export", rest).map(Command::Adopt),
                Some(other) => Err(unknown("server", other, &["dovecot"], Some("export"))),
                None => Err(Misuse::new("export needs --to dovecot", Some("export"))),
            },
            "import" => self.import(rest).map(Command::Import),
            "backup" => self.backup(rest).map(Command::Backup),
            "restore" => self.restore(rest).map(Command::Restore),
            "convert" => self.convert(rest).map(Command::Convert),
            "capabilities" => nothing_in(rest, "capabilities").map(|()| Command::Capabilities {
                json: self.has("json"),
            }),
            "healthcheck" => nothing_in(rest, "healthcheck").map(|()| Command::Healthcheck {
                json: self.has("json"),
            }),
            "check-data" => match rest {
                [directory] => Ok(Command::CheckData {
                    directory: PathBuf::from(directory),
                    json: self.has("json"),
                }),
                [_, more, ..] => Err(excess(more, "check-data")),
                [] => {
                    let what = "check-data needs a directory behind it";
                    Err(Misuse::new(what, Some("check-data")))
                }
            },
            "help" => help_command(rest).map(Command::Help),
            other => Err(unknown("command", other, &COMMANDS, None)),
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

    fn import(&self, words: &[String]) -> Result<Import, Misuse> {
        let missing = |what: &str| Misuse::new(format!("import needs {what}"), Some("import"));
        if words.is_empty() {
            return Err(missing("the path of what is to be imported behind it"));
        }
        Ok(Import {
            user: self.user.clone().ok_or_else(|| missing("-u USER"))?,
            mailbox: self.mailbox.clone(),
            seen: self.has("seen"),
            json: self.has("json"),
            paths: words.iter().map(PathBuf::from).collect(),
        })
    }

    /// Whose mail it is about; the directory and the mailboxes that follow it.
    fn user_and_place(
        &self,
        command: &'static str,
        words: &[String],
    ) -> Result<(String, PathBuf, Vec<String>), Misuse> {
        let missing = |what: &str| Misuse::new(format!("{command} needs {what}"), Some(command));
        let Some((path, mailboxes)) = words.split_first() else {
            return Err(missing("the directory of the backup behind it"));
        };
        let user = self.user.clone().ok_or_else(|| missing("-u USER"))?;
        Ok((user, PathBuf::from(path), mailboxes.to_vec()))
    }

    fn backup(&self, words: &[String]) -> Result<Backup, Misuse> {
        let (user, path, mailboxes) = self.user_and_place("backup", words)?;
        Ok(Backup {
            user,
            verify: self.has("verify"),
            json: self.has("json"),
            path,
            mailboxes,
        })
    }

    fn restore(&self, words: &[String]) -> Result<Restore, Misuse> {
        let (user, path, mailboxes) = self.user_and_place("restore", words)?;
        if self.has("merge") && self.into.is_some() {
            let what = "--merge and --into are two ways, of which one is needed";
            return Err(Misuse::new(what, Some("restore")));
        }
        Ok(Restore {
            user,
            merge: self.has("merge"),
            into: self.into.clone(),
            json: self.has("json"),
            path,
            mailboxes,
        })
    }

    fn convert(&self, words: &[String]) -> Result<Convert, Misuse> {
        let (from, to) = match words {
            [from, to] => (format(from)?, format(to)?),
            [_, _, more, ..] => return Err(excess(more, "convert")),
            _ => {
                let what = "convert needs two formats behind it: from which, and to which";
                return Err(Misuse::new(what, Some("convert")));
            }
        };
        if from == to {
            return Err(Misuse::new("the two formats are one", Some("convert")));
        }
        Ok(Convert {
            from,
            to,
            user: self.user.clone(),
            json: self.has("json"),
        })
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

fn format(word: &str) -> Result<Format, Misuse> {
    let mut all = Format::ALL.into_iter();
    all.find(|format| format.as_str() == word).ok_or_else(|| {
        let names = Format::ALL.map(Format::as_str);
        unknown("format", word, &names, Some("convert"))
    })
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
