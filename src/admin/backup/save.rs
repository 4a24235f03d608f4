//! `dovelet backup`.

use super::place::Place;
use crate::admin::console::{Console, Exit};
use crate::admin::intact::Look;
use crate::admin::options::{Options, load};
use crate::admin::patient::Patient;
use crate::admin::replica::{Copied, Letters, OUTRUN, Replica};
use crate::admin::visit::{End, patient, visiting};
use crate::config::Config;
use crate::mail::{DELIMITER, MailboxName};
use crate::server::Roster;
use crate::store;
use miniserde::Serialize;
use std::path::{Path, PathBuf};

/// Whose mail is to be saved, and where to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Backup {
    pub(crate) user: String,
    /// What the copy has is read, too.
    pub(crate) verify: bool,
    pub(crate) json: bool,
    pub(crate) path: PathBuf,
    /// These mailboxes; all if none is named.
    pub(crate) mailboxes: Vec<String>,
}

const ABSENT: &str = "the namespace cannot be used now (its log says why)";

/// What came of a mailbox.
#[derive(Debug, Serialize)]
struct Row {
    mailbox: String,
    messages: u64,
    added: u64,
    changed: u64,
    removed: u64,
    mended: u64,
    unreadable: u64,
}

/// Saves. Ends with `BadData` if some messages could not be read.
pub(crate) fn run(wanted: &Backup, options: &Options, console: &mut Console<'_>) -> Exit {
    let done = load(options).map_err(End::from).and_then(|config| {
        let patient = patient(&wanted.user, &config)?;
        let named = names(&wanted.mailboxes)?;
        stand_apart(&wanted.path, &patient, &config)?;
        let mut place = Place::of(&wanted.path, &patient.name)?;
        let saved = visiting(&patient, &config, |visit| {
            let roster = visit.account()?;
            admit(&named, &roster)?;
            let all = match named.is_empty() {
                true => &roster.mailboxes,
                false => &named,
            };
            let look = match wanted.verify {
                true => Look::Octets,
                false => Look::Length,
            };
            let (mut unreadable, mut failed, mut outrun) = (0, false, false);
            let mut some = false;
            for prefix in roster.absent.iter().filter(|_| named.is_empty()) {
                console.complain(format_args!(
                    "{prefix}{DELIMITER}: {ABSENT}; what the backup has of it stays as it is"
                ));
                failed = true;
            }
            for name in all {
                let usable = place.put_strange_aside(name).map(|told| {
                    let lines = told.iter();
                    lines.for_each(|line| console.complain(format_args!("{name}: {line}")));
                });
                let mut pass = |name: &MailboxName, at, of| {
                    console.pass(format_args!("{name}: {at} of {of} messages"));
                };
                let mut replica = Replica {
                    visit: &mut *visit,
                    store: &mut *place.store,
                    letters: Letters::Own,
                    look,
                    uidl_format: &config.pop3.uidl_format,
                    pass: &mut pass,
                };
                let copied = match usable.and_then(|()| replica.mailbox(name)) {
                    Ok(copied) => copied,
                    // The others have theirs, unless the disk or the server failed.
                    Err(end) if end.exit == Exit::Failure => {
                        console.complain(format_args!("{name}: {}", end.text));
                        failed = true;
                        continue;
                    }
                    Err(end) => return Err(end),
                };
                some = true;
                unreadable += copied.unreadable.len();
                if copied.outrun {
                    console.complain(format_args!("{name}: {OUTRUN}"));
                    outrun = true;
                }
                tell(name, &copied, wanted.json, console);
            }
            // What belongs to the account is nothing alone.
            if named.is_empty() && some {
                let mut replica = Replica {
                    visit,
                    store: &mut *place.store,
                    letters: Letters::Own,
                    look,
                    uidl_format: &config.pop3.uidl_format,
                    pass: &mut |_, _, _| (),
                };
                replica.account()?;
            }
            Ok(match unreadable {
                _ if failed => Exit::Failure,
                _ if outrun => Exit::TryAgain,
                0 => Exit::Success,
                _ => Exit::BadData,
            })
        });
        if !matches!(saved, Ok(Exit::Success)) {
            place.give_up();
        }
        saved
    });
    done.unwrap_or_else(|end| end.tell(console))
}

/// Errors: the directory of the backup is among what the server keeps: a mailbox or the mail of a user would come of
/// it.
fn stand_apart(path: &Path, patient: &Patient, config: &Config) -> Result<(), End> {
    let real = store::real_path(&std::path::absolute(path).unwrap_or_else(|_| path.to_owned()));
    let own = patient.location.directories();
    for place in own.chain([config.data_dir.as_path()]) {
        if real.starts_with(store::real_path(place)) {
            let (path, place) = (path.display(), place.display());
            let what = format!("{path} is in {place}, where mail is: name a directory elsewhere");
            return Err(End::new(Exit::Failure, what));
        }
    }
    Ok(())
}

/// Errors: one of these mailboxes is not there.
fn admit(named: &[MailboxName], roster: &Roster) -> Result<(), End> {
    let Some(missing) = named.iter().find(|name| !roster.mailboxes.contains(name)) else {
        return Ok(());
    };
    Err(match roster.absent_of(missing) {
        Some(prefix) => End::new(Exit::Failure, format!("{prefix}{DELIMITER}: {ABSENT}")),
        None => End::new(Exit::NoInput, format!("there is no mailbox {missing}")),
    })
}

/// Names that were written by a person.
pub(super) fn names(written: &[String]) -> Result<Vec<MailboxName>, End> {
    let name = |text: &String| {
        MailboxName::new(text).map_err(|_| {
            let what = format!("{text:?} is no name of a mailbox");
            End::new(Exit::BadUsage, what)
        })
    };
    written.iter().map(name).collect()
}

fn tell(name: &MailboxName, copied: &Copied, json: bool, console: &mut Console<'_>) {
    for (uid, why) in &copied.unreadable {
        console.complain(format_args!("{name}: UID {uid} could not be read: {why}"));
    }
    let row = Row {
        mailbox: name.to_string(),
        messages: copied.messages,
        added: copied.added,
        changed: copied.changed,
        removed: copied.removed,
        mended: copied.mended,
        unreadable: copied.unreadable.len() as u64,
    };
    if json {
        console.say(miniserde::json::to_string(&row));
        return;
    }
    let mut line = format!(
        "{name}: {} messages, {} of them new",
        row.messages, row.added
    );
    for (count, what) in [
        (row.changed, "have other flags"),
        (row.removed, "are gone"),
        (
            row.mended,
            "were damaged in the backup and are copied again",
        ),
        (row.unreadable, "could not be read"),
    ] {
        if count > 0 {
            line.push_str(&format!(", {count} {what}"));
        }
    }
    console.say(line);
}

#[cfg(test)]
mod tests {
    use crate::admin::console::Exit;
    use crate::admin::tests::{Machine, Told};
    use std::fs::{self, Permissions};
    use std::os::unix::fs::PermissionsExt;
    use std::path::{Path, PathBuf};

    /// A user with a message, who is subscribed to something.
    fn machine() -> Machine {
        let machine = Machine::new();
        for path in [machine.path(), &machine.data()] {
            fs::set_permissions(path, Permissions::from_mode(0o711)).unwrap();
        }
        fs::write(machine.data().join("users"), "ann:!\n").unwrap();
        let told = machine.run("deliver -d ann", "Subject: one\r\n\r\ntext\r\n");
        assert_eq!(told, Told::success(""));
        // Then it has the mailboxes that everybody has at first.
        let told = backup(&machine, &machine.path().join("first"), "INBOX");
        assert_eq!(told.exit, Exit::Success, "{told:?}");
        let subscriptions = machine.data().join("mail/ann/subscriptions");
        fs::write(subscriptions, "INBOX\n").unwrap();
        machine
    }

    fn backup(machine: &Machine, to: &Path, mailbox: &str) -> Told {
        machine.run(&format!("backup -u ann {} {mailbox}", to.display()), "")
    }

    #[test]
    fn where_nothing_was_saved_there_is_no_backup() {
        let machine = machine();
        let to = machine.path().join("backup");
        let told = backup(&machine, &to, "nothing");
        assert_eq!(told.exit, Exit::NoInput, "{told:?}");
        assert!(!to.exists());
        // What somebody made stays.
        fs::create_dir(&to).unwrap();
        backup(&machine, &to, "nothing");
        assert_eq!(fs::read_dir(&to).unwrap().count(), 0);
        // All mailboxes have to be looked at, and cannot be.
        let root = machine.data().join("mail/ann");
        let entries = fs::read_dir(&root).unwrap().map(Result::unwrap);
        let all = entries.filter(|entry| entry.file_name().as_encoded_bytes().starts_with(b"."));
        let all: Vec<PathBuf> = all
            .map(|entry| entry.path())
            .chain([root.clone()])
            .collect();
        let mode = |mode| {
            let set = |path: &PathBuf| {
                fs::set_permissions(path.join("cur"), Permissions::from_mode(mode)).unwrap();
            };
            all.iter().for_each(set);
        };
        for mailbox in &all {
            fs::write(mailbox.join("new/1.foreign"), "Subject: two\n\n").unwrap();
        }
        mode(0o000);
        let told = backup(&machine, &to, "");
        mode(0o700);
        assert_eq!(told.err.matches("may not use the files").count(), all.len());
        assert_eq!(told.exit, Exit::Failure);
        assert_eq!(fs::read_dir(&to).unwrap().count(), 0);
        let told = machine.run(&format!("restore -u ann {}", to.display()), "");
        assert_eq!(told.exit, Exit::NoInput, "{told:?}");
        // One that was there before stays.
        assert_eq!(backup(&machine, &to, "").exit, Exit::Success);
        assert_eq!(backup(&machine, &to, "nothing").exit, Exit::NoInput);
        let told = machine.run(&format!("restore -u ann {}", to.display()), "");
        assert_eq!(told.exit, Exit::Success, "{told:?}");
    }

    #[test]
    fn what_is_no_file_in_a_backup_is_put_aside() {
        use rustix::fs::{CWD, FileType, Mode, mknodat};
        let machine = machine();
        let to = machine.path().join("backup");
        assert_eq!(backup(&machine, &to, "").exit, Exit::Success);
        let fifo = |path: &Path| mknodat(CWD, path, FileType::Fifo, Mode::RWXU, 0).unwrap();
        let list = to.join("dovecot-uidlist");
        fs::remove_file(&list).unwrap();
        fifo(&list);
        let annotations = to.join(".Sent/dovelet-metadata");
        fs::create_dir(&annotations).unwrap();
        let told = backup(&machine, &to, "");
        assert_eq!(told.exit, Exit::Success, "{told:?}");
        let lines: Vec<&str> = told.err.lines().collect();
        for (line, (mailbox, path)) in lines.iter().zip([("INBOX", &list), ("Sent", &annotations)])
        {
            let start = format!("dovelet: {mailbox}: {} is no file: ", path.display());
            assert!(line.starts_with(&start), "{told:?}");
        }
        assert_eq!(lines.len(), 2, "{told:?}");
        assert!(
            told.out.contains("INBOX: 1 messages, 1 of them new\n"),
            "{told:?}"
        );
        let told = backup(&machine, &to, "");
        assert_eq!((told.exit, told.err.as_str()), (Exit::Success, ""));
        assert!(
            told.out.contains("INBOX: 1 messages, 0 of them new\n"),
            "{told:?}"
        );
        // Nobody waits for the other end of what says that it is a backup.
        let mark = to.join("dovelet-backup");
        fs::remove_file(&mark).unwrap();
        fifo(&mark);
        let told = backup(&machine, &to, "");
        assert_eq!(told.exit, Exit::NoInput, "{told:?}");
    }

    #[test]
    fn where_the_disk_of_the_mail_is_away_its_directory_is_named() {
        let machine = machine();
        let root = machine.data().join("mail/ann");
        fs::rename(&root, machine.path().join("away")).unwrap();
        fs::create_dir(&root).unwrap();
        let to = machine.path().join("backup");
        let told = backup(&machine, &to, "");
        let start = format!(
            "dovelet: {}: the directory of the mail is empty: is its disk mounted? ",
            root.display()
        );
        let last = told.err.lines().last().unwrap_or_default();
        assert!(last.starts_with(&start), "{told:?}");
        assert!(last.ends_with("to begin without it"), "{told:?}");
        assert_eq!(told.exit, Exit::Failure);
        assert!(!to.exists());
    }
}
