//! What is wrong with a line of a users file.

use std::collections::HashSet;
use std::fmt;

use super::password::Unusable;
use super::user::NameFault;
use crate::config::OwnMailFault;

/// Most complaints about one file.
pub(super) const MAX_COMPLAINTS: usize = 100;

/// One fault and where it is. Never quotes a password.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Complaint {
    /// Counted from 1.
    pub(crate) line: usize,
    pub(crate) what: Fault,
}

impl fmt::Display for Complaint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.what)
    }
}

/// A user whose password cannot be checked with the memory there is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Costly<'a> {
    pub(super) user: &'a str,
    /// What a check takes, and what the process may have that makes it.
    pub(super) kib: u32,
    pub(super) limit_octets: usize,
}

impl fmt::Display for Costly<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Costly {
            user,
            kib,
            limit_octets,
        } = self;
        let limit = limit_octets / 1024;
        write!(
            f,
            "user {user} cannot log in: to check the password takes {kib} KiB of memory, and \
             `auth_memory_octets` is {limit} KiB; raise that limit, or have the password hashed for \
             this board: dovelet user passwd {user}"
        )
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Not UTF-8; the line is left out.
    NotText,
    /// The line is left out.
    TooLong,
    /// The line is left out.
    Name(NameFault),
    /// Nothing but a name, if it is one: there is a user who cannot log in.
    OneField,
    /// An earlier line has this user; this one is left out.
    Duplicate(String),
    /// This user and all behind it are left out.
    TooManyUsers,
    /// The user exists but cannot log in.
    Password(String, Unusable),
    /// The uid or gid is not a number from 1; the configured account is used.
    Id(String, &'static str),
    /// The home directory is not absolute, or has `..`; it is ignored.
    Home(String),
    /// What is said of where the mail is cannot be followed: nothing is delivered, and nobody logs in.
    Mail(String, OwnMailFault),
    /// An extra field restricts logins in a way not supported here, so the user cannot log in.
    Restriction(String, String),
    /// An extra field is not used; told for its first user only.
    Unused(String, String),
    /// More faults than are listed.
    More,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fault::NotText => f.write_str("not UTF-8, ignored"),
            Fault::TooLong => f.write_str("too long, ignored"),
            Fault::Name(fault) => write!(f, "{fault}; ignored"),
            Fault::OneField => f.write_str(
                "only one field: is this a line of a passwd-file? Nobody can log in as this user \
                 (`name:` says that this is meant)",
            ),
            Fault::Duplicate(user) => write!(f, "user {user} has an earlier line, ignored"),
            Fault::TooManyUsers => f.write_str("too many users, the rest is ignored"),
            Fault::Password(user, why) => write!(f, "user {user} cannot log in: {why}"),
            Fault::Id(user, field) => write!(
                f,
                "{field} of user {user} is not a number above 0; the configured account is used"
            ),
            Fault::Home(user) => write!(
                f,
                "home of user {user} is not an absolute path without \"..\", ignored"
            ),
            Fault::Mail(user, why) => {
                write!(f, "the mail of user {user} cannot be found: {why}")
            }
            Fault::Restriction(user, key) => write!(
                f,
                "user {user} cannot log in: extra field {key:?} restricts logins and is not supported"
            ),
            Fault::Unused(user, key) => {
                write!(
                    f,
                    "extra field {key:?} of user {user} is not used (told once)"
                )
            }
            Fault::More => f.write_str("more faults follow"),
        }
    }
}

/// Complaints so far, at most [`MAX_COMPLAINTS`].
#[derive(Default)]
pub(super) struct Complaints {
    list: Vec<Complaint>,
    /// Extra fields already told of.
    unused: HashSet<String>,
    more: Option<usize>,
}

impl Complaints {
    pub(super) fn add(&mut self, line: usize, what: Fault) {
        if self.list.len() >= MAX_COMPLAINTS {
            self.more.get_or_insert(line);
            return;
        }
        if let Fault::Unused(_, key) = &what
            && !self.unused.insert(key.clone())
        {
            return;
        }
        self.list.push(Complaint { line, what });
    }

    pub(super) fn listed(mut self) -> Vec<Complaint> {
        crate::mail::sort_by(&mut self.list, |a, b| a.line.cmp(&b.line));
        let more = self.more.map(|line| Complaint {
            line,
            what: Fault::More,
        });
        self.list.extend(more);
        self.list
    }
}
