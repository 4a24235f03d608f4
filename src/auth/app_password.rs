//! App passwords: made by the server, each for one program of a user, which logs in with it instead of the user's own.
//!
//! They have a file of their own, one a line: `user:id:{SSHA256}hash:scope:made:until:used:label`. As they are
//! random (100 bits), a salted digest keeps them as safe as a slow hash would, and each costs a microsecond.

mod edit;

pub(crate) use edit::{added, used, without, without_user};

use super::credentials::{Credentials, Proof, Verdict};
use super::password::Password;
use super::scheme::{Kind, Salted};
use super::user::check_name;
use crate::config::Protocol;
use crate::mail::Date;
use data_encoding::BASE64;
use std::fmt;

/// Octets of the file of app passwords.
pub(crate) const MAX_APP_PASSWORDS_OCTETS: u64 = 4 << 20;
/// App passwords of one user; more in the file are not looked at.
pub(crate) const MAX_PER_USER: usize = 50;
/// Longest label, in octets.
pub(crate) const MAX_LABEL: usize = 64;

/// Of 32, without those that look like others; what is typed may have capitals.
const ALPHABET: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";
/// Characters of a password, of five bits each.
const LENGTH: usize = 20;
/// They are shown in groups of so many.
const GROUP: usize = 5;
/// Characters of an id.
const ID: usize = 4;

/// Octets that a new one is made of: its letters, those of its id, and the salt.
pub(crate) const RANDOM_OCTETS: usize = LENGTH + ID + 8;

/// What an app password is good for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Scope {
    imap: bool,
    pop3: bool,
    /// Whatever asks by dovecot-auth, which is mostly submission.
    smtp: bool,
}

impl Scope {
    pub(crate) const ALL: Scope = Scope {
        imap: true,
        pop3: true,
        smtp: true,
    };

    /// Words with commas between them: `imap`, `pop3` and `smtp`. `None` for others, and for none.
    pub(crate) fn parse(text: &str) -> Option<Scope> {
        let mut scope = Scope {
            imap: false,
            pop3: false,
            smtp: false,
        };
        for word in text.split(',') {
            match word {
                "imap" => scope.imap = true,
                "pop3" => scope.pop3 = true,
                "smtp" => scope.smtp = true,
                _ => return None,
            }
        }
        Some(scope)
    }

    fn covers(self, protocol: Protocol) -> bool {
        match protocol {
            Protocol::Imap => self.imap,
            Protocol::Pop3 => self.pop3,
            Protocol::DovecotAuth => self.smtp,
            _ => false,
        }
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words = [
            ("imap", self.imap),
            ("pop3", self.pop3),
            ("smtp", self.smtp),
        ];
        let words = words.iter().filter(|(_, on)| *on);
        let words: Vec<&str> = words.map(|(word, _)| *word).collect();
        f.write_str(&words.join(","))
    }
}

/// One app password, without the secret. Days are in UTC.
#[derive(Debug)]
pub(crate) struct AppPassword {
    pub(crate) user: String,
    /// Tells it from others of the user.
    pub(crate) id: String,
    pub(crate) scope: Scope,
    pub(crate) made: Date,
    /// The last day on which it can be used.
    pub(crate) until: Option<Date>,
    /// The last day on which it was used.
    pub(crate) used: Option<Date>,
    /// Printable, without a colon.
    pub(crate) label: String,
    password: Password,
}

impl AppPassword {
    /// `None` for a line that cannot be read.
    fn parse(line: &str) -> Option<AppPassword> {
        let mut fields = line.trim_end_matches('\r').splitn(8, ':');
        let mut next = || fields.next();
        let user = next()?.to_ascii_lowercase();
        check_name(&user).ok()?;
        let id = next()?.to_owned();
        let password = Password::parse(next()?).ok()?;
        let read = AppPassword {
            user,
            id,
            password,
            scope: Scope::parse(next()?)?,
            made: Date::parse(next()?)?,
            until: optional(next()?)?,
            used: optional(next()?)?,
            label: next()?.to_owned(),
        };
        let good = !read.id.is_empty() && read.id.bytes().all(|b| ALPHABET.contains(&b));
        (good && !read.password.is_slow()).then_some(read)
    }
}

/// A day, or `-`.
fn optional(text: &str) -> Option<Option<Date>> {
    match text {
        "-" => Some(None),
        text => Date::parse(text).map(Some),
    }
}

fn shown(day: Option<Date>) -> String {
    day.map_or_else(|| "-".to_owned(), |day| day.to_string())
}

/// All app passwords of a file.
#[derive(Debug, Default)]
pub(crate) struct AppPasswords {
    /// By user.
    all: Vec<AppPassword>,
}

impl AppPasswords {
    /// Reads the whole file; with the numbers of the lines that cannot be read, counted from 1.
    pub(crate) fn parse(text: &[u8]) -> (AppPasswords, Vec<usize>) {
        let (mut all, mut bad) = (Vec::new(), Vec::new());
        for (number, line) in (1..).zip(text.split(|b| *b == b'\n')) {
            if line.trim_ascii().is_empty() || line.starts_with(b"#") {
                continue;
            }
            let parsed = std::str::from_utf8(line).ok().and_then(AppPassword::parse);
            match parsed {
                Some(password) => all.push(password),
                None => bad.push(number),
            }
        }
        crate::mail::sort_by(&mut all, |a: &AppPassword, b: &AppPassword| {
            a.user.cmp(&b.user)
        });
        (AppPasswords { all }, bad)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &AppPassword> {
        self.all.iter()
    }

    /// Those of this user, whatever the case of ASCII letters.
    pub(crate) fn of(&self, user: &str) -> &[AppPassword] {
        self.all.get(self.place(user)).unwrap_or_default()
    }

    fn place(&self, user: &str) -> std::ops::Range<usize> {
        let user = user.to_ascii_lowercase();
        let first = self.all.partition_point(|own| own.user < user);
        let behind = self.all.partition_point(|own| own.user <= user);
        first..behind
    }

    /// The one that these credentials are made with, if it may be used so today. Nobody acts as another by it.
    pub(crate) fn find(
        &self,
        credentials: &Credentials,
        protocol: Protocol,
        today: Date,
    ) -> Option<&AppPassword> {
        let Proof::Password(password) = &credentials.proof else {
            return None;
        };
        let typed = typed(password.bytes()).filter(|_| credentials.is_own())?;
        let usable = |own: &&AppPassword| {
            own.scope.covers(protocol) && own.until.is_none_or(|until| today <= until)
        };
        let own = self.of(&credentials.authcid).iter().take(MAX_PER_USER);
        own.filter(usable)
            .find(|own| own.password.check(&typed) == Verdict::Accepted)
    }

    /// Notes that it is used today; false if that was known.
    pub(crate) fn note(&mut self, user: &str, id: &str, today: Date) -> bool {
        let place = self.place(user);
        let own = self.all.get_mut(place).unwrap_or_default();
        let noted = own.iter_mut().find(|own| own.id == id);
        noted.is_some_and(|own| own.used.replace(today) != Some(today))
    }
}

/// What is compared of a password as it is typed: neither case, spaces nor hyphens matter. `None` for what is no app
/// password.
fn typed(password: &[u8]) -> Option<[u8; LENGTH]> {
    let mut own = [0; LENGTH];
    let mut places = own.iter_mut();
    for octet in password.iter().filter(|b| !matches!(b, b' ' | b'-')) {
        let octet = octet.to_ascii_lowercase();
        *places.next()? = ALPHABET.contains(&octet).then_some(octet)?;
    }
    places.next().is_none().then_some(own)
}

/// A new app password as it is shown to its user once, an id, and what is stored.
pub(crate) struct Made {
    pub(crate) shown: String,
    pub(crate) id: String,
    pub(crate) hash: String,
}

/// `random`: as many octets as it has, unpredictable.
pub(crate) fn make(random: &[u8; RANDOM_OCTETS]) -> Made {
    let (secret, rest) = random.split_at(LENGTH);
    let (id, salt) = rest.split_at(ID);
    let letter = |octet: &u8| {
        let letter = ALPHABET.get(usize::from(octet % 32));
        letter.copied().unwrap_or_default()
    };
    let secret: Vec<u8> = secret.iter().map(letter).collect();
    let groups = secret.chunks(GROUP).map(String::from_utf8_lossy);
    let stored = Salted::make(Kind::Sha256, &secret, salt);
    Made {
        shown: groups.collect::<Vec<_>>().join("-"),
        id: id.iter().map(|octet| char::from(letter(octet))).collect(),
        hash: format!("{{SSHA256}}{}", BASE64.encode(&stored)),
    }
}

#[cfg(test)]
mod tests;
