//! Which way a message goes, and what becomes of it.

use super::alone::{self, PAUSE};
use super::letter::Letter;
use super::relay::{Said, relay};
use crate::admin::console::{Console, Exit, Failure};
use crate::admin::options::{Options, load};
use crate::admin::patient::{Lock, Patient, keep_server_away};
use crate::admin::user;
use crate::config::Config;
use crate::deliver::Outcome;
use crate::server;
use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// What to deliver to whom.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Deliver {
    /// A user, or an address.
    pub(crate) user: String,
    pub(crate) mailbox: Option<String>,
    /// The envelope sender.
    pub(crate) sender: Option<String>,
    /// To whom the message was sent first.
    pub(crate) original: Option<String>,
    /// Instead of the standard input.
    pub(crate) file: Option<PathBuf>,
}

/// How long it waits for other deliveries without a server.
const PATIENCE: Duration = Duration::from_secs(60);

/// How it ends, with the line that is told.
type End = (Exit, Option<String>);

/// Delivers. Whatever is not the message's own fault lets the mail server try again.
pub(crate) fn run(wanted: &Deliver, options: &Options, console: &mut Console<'_>) -> Exit {
    let (exit, told) = match load(options) {
        Ok(config) => from_its_source(wanted, &config, console),
        Err(failure) => later(failure),
    };
    if let Some(told) = told {
        console.complain(told);
    }
    exit
}

fn later(why: impl std::fmt::Display) -> End {
    (Exit::TryAgain, Some(why.to_string()))
}

fn from_its_source(wanted: &Deliver, config: &Config, console: &mut Console<'_>) -> End {
    let mut file;
    let source: &mut (dyn Read + Send) = match &wanted.file {
        None => console.input,
        Some(path) => match File::open(path) {
            Ok(opened) => {
                file = opened;
                &mut file
            }
            Err(error) => return later(Failure::because(path.display())(error)),
        },
    };
    let (sender, original) = (wanted.sender.as_deref(), wanted.original.as_deref());
    match Letter::begin(source, sender, original) {
        Ok(Some(mut letter)) => deliver(wanted, &mut letter, config),
        Ok(None) => (Exit::BadData, Some("there is no message".to_owned())),
        Err(error) => later(format_args!("reading the message: {error}")),
    }
}

fn deliver(wanted: &Deliver, letter: &mut Letter<'_>, config: &Config) -> End {
    let (patient, detail) = match find(&wanted.user, config) {
        Ok(Some(found)) => found,
        // Where there is nobody at all, nothing is known of anybody: a disk may be missing.
        Ok(None) if is_nobody(config) => {
            let (exit, told) = by_lmtp(wanted, letter, config);
            return (
                exit,
                told.map(|told| format!("there are no users here; {told}")),
            );
        }
        Ok(None) => {
            let told = format!("user {:?}: no such user", wanted.user);
            return (Exit::NoUser, Some(told));
        }
        // Who may not read the users asks the server.
        Err(_) => return by_lmtp(wanted, letter, config),
    };
    let mailbox = wanted.mailbox.as_deref().or(detail.as_deref());
    let address = wanted.original.as_deref().unwrap_or(&wanted.user);
    let until = Instant::now() + PATIENCE;
    loop {
        return match server::deliver(&config.data_dir, patient.asked(), address, mailbox, letter) {
            Ok(Some(outcome)) => end(outcome),
            Ok(None) => match keep_server_away(config) {
                Ok(Lock::Ours(_lock)) => {
                    match alone::deliver(&patient, address, mailbox, letter, config, until) {
                        Ok(outcome) => end(outcome),
                        Err(failure) => later(failure),
                    }
                }
                // Another delivery, or a server that begins.
                Ok(Lock::Held(_)) if Instant::now() < until => {
                    std::thread::sleep(PAUSE);
                    continue;
                }
                Ok(Lock::Held(by)) => {
                    later(format_args!("{by} works with the mail and cannot be asked"))
                }
                Err(_) => by_lmtp(wanted, letter, config),
            },
            Err(error) if error.kind() == ErrorKind::PermissionDenied => {
                by_lmtp(wanted, letter, config)
            }
            Err(error) => later(format_args!("the server does not take it: {error}")),
        };
    }
}

/// The user that is meant, and the mailbox that an address names. Errors: the users cannot be read.
fn find(name: &str, config: &Config) -> Result<Option<(Patient, Option<String>)>, Failure> {
    let all = user::all(config)?;
    let named = all.iter().find_map(|(_, users)| users.find(name));
    if let Some(user) = named {
        return Ok(Some((Patient::of(user, config)?, None)));
    }
    let lmtp = &config.lmtp;
    let meant = |users: &crate::auth::Users| {
        let (user, detail) = users.recipient(name.as_bytes(), &lmtp.recipient_delimiter)?;
        let detail = detail.filter(|_| lmtp.save_to_detail_mailbox);
        Some(Patient::of(user, config).map(|patient| (patient, detail)))
    };
    all.iter().find_map(|(_, users)| meant(users)).transpose()
}

/// True if no file has any user.
fn is_nobody(config: &Config) -> bool {
    let all = user::all(config).unwrap_or_default();
    all.iter().all(|(_, users)| users.iter().next().is_none())
}

fn end(outcome: Outcome) -> End {
    let (exit, told) = match outcome {
        Outcome::Delivered => return (Exit::Success, None),
        Outcome::Full => (Exit::TryAgain, "no room on the disk"),
        Outcome::Busy => (Exit::TryAgain, "too many deliveries to this user at once"),
        Outcome::Unavailable => (Exit::TryAgain, "the mail of this user cannot be opened now"),
        Outcome::TooLarge => (Exit::Rejected, "the message is too large"),
        Outcome::Unconvertible => (Exit::Rejected, "NUL in a part that is not binary"),
    };
    (exit, Some(told.to_owned()))
}

fn by_lmtp(wanted: &Deliver, letter: &mut Letter<'_>, config: &Config) -> End {
    let recipient = match address(wanted, config) {
        Ok(recipient) => recipient,
        Err(why) => return later(why),
    };
    match relay(&recipient, letter, config) {
        Ok(Some(said)) => by_code(said),
        Ok(None) => later(
            "neither the server's control socket nor a listener for LMTP can be reached; see \"dovelet help deliver\"",
        ),
        Err(error) => later(format_args!("LMTP: {error}")),
    }
}

fn by_code(said: Said) -> End {
    let exit = match (said.code / 100, said.of_recipient) {
        (2, _) => return (Exit::Success, None),
        (5, true) => Exit::NoUser,
        (5, false) => Exit::Rejected,
        _ => Exit::TryAgain,
    };
    (exit, Some(said.text))
}

/// The address that stands for user and mailbox.
fn address(wanted: &Deliver, config: &Config) -> Result<String, &'static str> {
    let user = &wanted.user;
    let (local, domain) = match user.rsplit_once('@') {
        Some((local, domain)) => (local, format!("@{domain}")),
        None => (user.as_str(), String::new()),
    };
    let local = match (
        &wanted.mailbox,
        config.lmtp.recipient_delimiter.chars().next(),
    ) {
        (None, _) => local.to_owned(),
        (Some(mailbox), Some(delimiter)) if config.lmtp.save_to_detail_mailbox => {
            format!("{local}{delimiter}{mailbox}")
        }
        (Some(_), _) => return Err("-m needs the server's control socket with these settings"),
    };
    let plain = |c: char| c.is_alphanumeric() || "!#$%&'*+-/=?^_`{|}~.".contains(c);
    if local.chars().all(plain) {
        return Ok(format!("{local}{domain}"));
    }
    let escaped = local.replace('\\', "\\\\").replace('"', "\\\"");
    Ok(format!("\"{escaped}\"{domain}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_mailboxes() {
        let mut config = Config::with_defaults("/data".into(), "host".into());
        let wanted = |user: &str, mailbox: &str| Deliver {
            user: user.into(),
            mailbox: (!mailbox.is_empty()).then(|| mailbox.into()),
            ..Deliver::default()
        };
        for (user, mailbox, expected) in [
            ("ann", "", "ann"),
            ("ann@x", "lists/a", "ann+lists/a@x"),
            ("ann@x", "My \"box\"", "\"ann+My \\\"box\\\"\"@x"),
        ] {
            let got = address(&wanted(user, mailbox), &config);
            assert_eq!(got.as_deref(), Ok(expected));
        }
        config.lmtp.save_to_detail_mailbox = false;
        assert!(address(&wanted("ann", "x"), &config).is_err());
        assert_eq!(address(&wanted("ann", ""), &config).as_deref(), Ok("ann"));
    }
}
