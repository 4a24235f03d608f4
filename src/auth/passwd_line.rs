//! One line of a passwd-file: `user:{SCHEME}hash:uid:gid:gecos:home:shell:extra`. All but the
//! name may be missing; the extra field holds `key=value` words.

use std::path::{Component, Path, PathBuf};

use sha2::{Digest, Sha256};

use super::closed::Closed;
use super::complaint::Fault;
use super::password::{Password, Unusable};
use super::user::{User, check_name};
use crate::config::{Storage, is_own_word, own_words};

/// Longest line, in octets.
const MAX_LINE: usize = 4096;

/// A user and, unless locked, the password to log in with.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) user: User,
    pub(super) password: Option<Password>,
    /// Tells what is stored for the password from whatever else may be.
    pub(super) mark: u64,
    /// The password is good for nothing but to be told this.
    pub(super) closed: Option<Box<Closed>>,
}

/// The user name of a line in lower case, not checked; `None` for a comment or a blank line.
pub(super) fn name_of(line: &[u8]) -> Option<String> {
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let name = line.split(|&b| b == b':').next().unwrap_or_default();
    let comment = name.starts_with(b"#") || line.trim_ascii().is_empty();
    (!comment).then(|| String::from_utf8_lossy(name).to_ascii_lowercase())
}

/// Reads a line without its end. Faults that leave a usable user go to `complain`, the others
/// are the error; `None` for a comment or a blank line.
pub(super) fn parse(line: &[u8], complain: &mut dyn FnMut(Fault)) -> Result<Option<Entry>, Fault> {
    let Some(name) = name_of(line) else {
        return Ok(None);
    };
    if line.len() > MAX_LINE {
        return Err(Fault::TooLong);
    }
    let line = std::str::from_utf8(line).map_err(|_| Fault::NotText)?;
    check_name(&name).map_err(Fault::Name)?;
    if !line.contains(':') {
        complain(Fault::OneField);
    }
    let mut fields = line.trim_end_matches('\r').splitn(8, ':').skip(1);
    let mut next = || fields.next().unwrap_or_default();
    let stored = next();
    let mark = mark(stored.as_bytes());
    let password = password(&name, stored, complain);
    let uid = id(&name, "uid", next(), complain);
    let gid = id(&name, "gid", next(), complain);
    let (_gecos, home, _shell, extra) = (next(), next(), next(), next());
    let home = directory(&name, home, complain);
    let restricted = restricted(&name, extra, complain);
    let mail = mail(&name, extra, complain);
    let closed = Closed::new(&name, extra).map(Box::new);
    let user = User {
        name,
        uid,
        gid,
        home,
        mail,
    };
    Ok(Some(Entry {
        user,
        password: password.filter(|_| !restricted),
        mark,
        closed,
    }))
}

/// Of what is stored for a password: not the same for two of them.
pub(super) fn mark(stored: &[u8]) -> u64 {
    let digest = Sha256::digest(stored);
    let first = digest.iter().take(8);
    first.fold(0, |mark, octet| mark << 8 | u64::from(*octet))
}

fn password(name: &str, text: &str, complain: &mut dyn FnMut(Fault)) -> Option<Password> {
    match Password::parse(text) {
        Ok(password) => Some(password),
        Err(Unusable::Locked) => None,
        Err(why) => {
            complain(Fault::Password(name.to_owned(), why));
            None
        }
    }
}

/// Not 0: nobody's mail is handled as root; not the number that means "no change" to chown(2).
fn id(name: &str, field: &'static str, text: &str, complain: &mut dyn FnMut(Fault)) -> Option<u32> {
    let id = text.parse().ok().filter(|id| (1..u32::MAX).contains(id));
    if id.is_none() && !text.is_empty() {
        complain(Fault::Id(name.to_owned(), field));
    }
    id
}

fn directory(name: &str, text: &str, complain: &mut dyn FnMut(Fault)) -> Option<PathBuf> {
    if text.is_empty() {
        return None;
    }
    let path = Path::new(text);
    let upward = path.components().any(|c| c == Component::ParentDir);
    if upward || !path.is_absolute() || text.chars().any(char::is_control) {
        complain(Fault::Home(name.to_owned()));
        return None;
    }
    Some(path.to_owned())
}

/// What an extra field says of where the mail is. Words that cannot be followed are kept, so that nobody looks
/// for the mail, or puts it, where that of others is.
fn mail(name: &str, extra: &str, complain: &mut dyn FnMut(Fault)) -> Option<Box<str>> {
    let words = own_words(extra)?;
    if let Err(why) = Storage::default().with_own(&words) {
        complain(Fault::Mail(name.to_owned(), why));
    }
    Some(words.into())
}

/// Whether an extra field forbids logins in some way: those not understood forbid all.
fn restricted(name: &str, extra: &str, complain: &mut dyn FnMut(Fault)) -> bool {
    let mut restricted = false;
    let closes = |word: &str| word.split('=').next() == Some("nologin");
    let closed = extra.split_ascii_whitespace().any(closes);
    for word in extra.split_ascii_whitespace() {
        let key = word.split('=').next().unwrap_or_default();
        match key {
            "nologin" => {}
            "host" | "port" | "destuser" | "reason" if closed => {}
            _ if is_own_word(key) => {}
            "allow_nets" | "allow_real_nets" | "proxy" | "proxy_maybe" => {
                restricted = true;
                complain(Fault::Restriction(name.to_owned(), key.to_owned()));
            }
            _ => complain(Fault::Unused(name.to_owned(), key.to_owned())),
        }
    }
    restricted
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::user::NameFault;
    use crate::config::OwnMailFault;

    fn read(line: &[u8]) -> (Result<Option<Entry>, Fault>, Vec<Fault>) {
        let mut faults = Vec::new();
        let entry = parse(line, &mut |f| faults.push(f));
        (entry, faults)
    }

    #[test]
    fn fields() {
        let ann = |uid, gid, home: Option<&str>| User {
            name: "ann".to_owned(),
            uid,
            gid,
            home: home.map(PathBuf::from),
            mail: None,
        };
        let id = |field| Fault::Id("ann".to_owned(), field);
        let home = || Fault::Home("ann".to_owned());
        for (line, user, open, faults) in [
            ("ann", ann(None, None, None), false, vec![Fault::OneField]),
            ("ann:", ann(None, None, None), false, vec![]),
            ("ANN:{PLAIN}x", ann(None, None, None), true, vec![]),
            ("ann:{PLAIN}x\r", ann(None, None, None), true, vec![]),
            (
                "ann:{PLAIN}x:1000:100:Ann, B:/home/ann:/bin/sh:",
                ann(Some(1000), Some(100), Some("/home/ann")),
                true,
                vec![],
            ),
            ("ann:!:1000::::", ann(Some(1000), None, None), false, vec![]),
            (
                "ann:{MD5}abc",
                ann(None, None, None),
                false,
                vec![Fault::Password("ann".to_owned(), Unusable::Scheme)],
            ),
            (
                "ann:{PLAIN}x:0:0",
                ann(None, None, None),
                true,
                vec![id("uid"), id("gid")],
            ),
            (
                "ann:{PLAIN}x:vmail:4294967295",
                ann(None, None, None),
                true,
                vec![id("uid"), id("gid")],
            ),
            (
                "ann:{PLAIN}x::::home/ann",
                ann(None, None, None),
                true,
                vec![home()],
            ),
            (
                "ann:{PLAIN}x::::/home/../etc",
                ann(None, None, None),
                true,
                vec![home()],
            ),
            (
                "ann:{PLAIN}x::::::nologin host=elsewhere",
                ann(None, None, None),
                true,
                vec![],
            ),
            (
                "ann:{PLAIN}x::::::host=elsewhere",
                ann(None, None, None),
                true,
                vec![Fault::Unused("ann".to_owned(), "host".to_owned())],
            ),
            (
                "ann:{PLAIN}x::::::nologin host=elsewhere proxy",
                ann(None, None, None),
                false,
                vec![Fault::Restriction("ann".to_owned(), "proxy".to_owned())],
            ),
            (
                "ann:{PLAIN}x::::::userdb_quota_rule=*:storage=1G allow_nets=fe80::/10",
                ann(None, None, None),
                false,
                vec![
                    Fault::Unused("ann".to_owned(), "userdb_quota_rule".to_owned()),
                    Fault::Restriction("ann".to_owned(), "allow_nets".to_owned()),
                ],
            ),
            (
                "ann:{PLAIN}x::::::nologin userdb_mail=mbox:~/m:INBOX=/var/mail/%u",
                User {
                    mail: Some("mail=mbox:~/m:INBOX=/var/mail/%u".into()),
                    ..ann(None, None, None)
                },
                true,
                vec![],
            ),
            (
                "ann:{PLAIN}x::::::mail=imapc:",
                User {
                    mail: Some("mail=imapc:".into()),
                    ..ann(None, None, None)
                },
                true,
                vec![Fault::Mail(
                    "ann".to_owned(),
                    OwnMailFault::Format("imapc".to_owned()),
                )],
            ),
        ] {
            let (entry, found) = read(line.as_bytes());
            let entry = entry.unwrap().unwrap();
            assert_eq!(entry.user, user, "{line}");
            assert_eq!(entry.password.is_some(), open, "{line}");
            assert_eq!(found, faults, "{line}");
        }
    }

    #[test]
    fn lines_left_out() {
        let long = format!("ann:{}", "x".repeat(MAX_LINE));
        for (line, expected) in [
            (&b""[..], None),
            (b" \t\r", None),
            (b"# ann:{PLAIN}x", None),
            (b":{PLAIN}x", Some(Fault::Name(NameFault::Empty))),
            (b"../ann:x", Some(Fault::Name(NameFault::Character('/')))),
            (b"a\0n:x", Some(Fault::Name(NameFault::Character('\0')))),
            (b" ann:x", Some(Fault::Name(NameFault::Character(' ')))),
            (b"ann:{PLAIN}\xff", Some(Fault::NotText)),
            (b"a\xffn:{PLAIN}x", Some(Fault::NotText)),
            (long.as_bytes(), Some(Fault::TooLong)),
        ] {
            let (entry, _) = read(line);
            assert_eq!(entry.as_ref().err(), expected.as_ref(), "{line:?}");
            assert!(expected.is_some() || matches!(entry, Ok(None)), "{line:?}");
        }
    }
}
