//! The table `[auth]`.

use super::document::{Value, quoted};
use super::manual::AUTH;
use super::mechanism::{Mechanism, Mechanisms};
use super::reader::{Part, Reader, no_choice};

/// How clients log in, and how passwords are stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Auth {
    /// Those that are offered if anybody can use them, without those with channel binding, which come with
    /// the others. `None`: PLAIN and LOGIN, and SCRAM if everybody can use it.
    pub(crate) mechanisms: Option<Mechanisms>,
    pub(crate) scheme: Scheme,
    /// Passwords stored otherwise are stored so when their user logs in. Off unless it is asked for: who wrote
    /// {PLAIN} may need it, and each login costs what the scheme does from then on.
    pub(crate) rehash: bool,
    /// Users who may log in as others.
    pub(crate) master_users: Vec<String>,
    /// Stands between the user and the master user in a name; no user's name has it.
    pub(crate) master_separator: char,
    /// Whose mail may be read by whoever logs in by ANONYMOUS.
    pub(crate) anonymous_user: Option<String>,
}

impl Default for Auth {
    fn default() -> Auth {
        Auth {
            mechanisms: None,
            scheme: Scheme::default(),
            rehash: false,
            master_users: Vec::new(),
            master_separator: '*',
            anonymous_user: None,
        }
    }
}

/// How a new password is stored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Scheme {
    #[default]
    Argon2id,
    ScramSha256,
}

const SCHEMES: [(&str, Scheme); 2] = [
    ("argon2id", Scheme::Argon2id),
    ("scram-sha-256", Scheme::ScramSha256),
];

const SEPARATORS: [(&str, char); 3] = [("*", '*'), ("%", '%'), ("/", '/')];

/// For messages.
const MECHANISMS: [&str; 7] = [
    "plain",
    "login",
    "scram-sha-256",
    "scram-sha-1",
    "cram-md5",
    "external",
    "anonymous",
];

/// What stands for `None`.
const AUTO: &str = "auto";

impl Scheme {
    /// The word of the configuration file.
    pub(super) fn as_str(self) -> &'static str {
        let named = SCHEMES.into_iter().find(|(_, scheme)| *scheme == self);
        named.map_or("", |(name, _)| name)
    }
}

impl Auth {
    /// As in the configuration file.
    pub(super) fn masters(&self) -> String {
        let names: Vec<String> = self.master_users.iter().map(|name| quoted(name)).collect();
        format!("[{}]", names.join(", "))
    }

    /// As in the configuration file.
    pub(super) fn mechanisms(&self) -> String {
        match self.mechanisms {
            None => quoted(AUTO),
            Some(set) => {
                let names = set.iter().map(|m| quoted(&m.name().to_ascii_lowercase()));
                format!("[{}]", names.collect::<Vec<_>>().join(", "))
            }
        }
    }
}

/// `certificates`: clients can show some.
pub(super) fn read(reader: &mut Reader<'_>, top: &Part<'_>, certificates: bool) -> Option<Auth> {
    let part = reader.table(top, AUTH)?;
    let anonymous_user = reader.text(&part, "anonymous_user");
    let anonymous_user = anonymous_user.map(|(_, name)| name.to_ascii_lowercase());
    let anonymous_user = anonymous_user.filter(|name| !name.is_empty());
    let usable = |mechanism| match mechanism {
        Mechanism::External if !certificates => {
            Err("\"external\" needs `client_ca` in [tls]: who may vouch for users")
        }
        Mechanism::Anonymous if anonymous_user.is_none() => {
            Err("\"anonymous\" needs `anonymous_user`: whose mail may be read")
        }
        _ => Ok(mechanism),
    };
    Some(Auth {
        mechanisms: mechanisms(reader, &part, &usable),
        scheme: reader.word(&part, "scheme", &SCHEMES).unwrap_or_default(),
        rehash: reader.flag(&part, "rehash").unwrap_or_default(),
        master_users: masters(reader, &part),
        master_separator: (reader.word(&part, "master_separator", &SEPARATORS)).unwrap_or('*'),
        anonymous_user,
    })
}

fn masters(reader: &mut Reader<'_>, part: &Part<'_>) -> Vec<String> {
    let texts = reader.texts(part, "master_users").unwrap_or_default();
    let names = texts.into_iter().map(|(_, name)| name.to_ascii_lowercase());
    names.collect()
}

fn mechanisms(
    reader: &mut Reader<'_>,
    part: &Part<'_>,
    usable: &dyn Fn(Mechanism) -> Result<Mechanism, &'static str>,
) -> Option<Mechanisms> {
    if matches!(&part.table.node("mechanisms")?.value, Value::Text(text) if text == AUTO) {
        return None;
    }
    let mut set = Mechanisms::default();
    for (at, name) in reader.texts(part, "mechanisms")? {
        match Mechanism::named(name).filter(|m| !m.binds()).map(usable) {
            Some(Ok(mechanism)) => set = set.with(mechanism),
            Some(Err(what)) => reader.faults.add(at, what),
            None => (reader.faults).add(at, no_choice("mechanisms", name, &MECHANISMS)),
        }
    }
    Some(set)
}

#[cfg(test)]
mod tests {
    use super::super::tests::settings;
    use super::super::{parse, show};
    use super::*;

    fn read(text: &str) -> Result<Auth, String> {
        let config = parse(text, settings());
        config.map(|c| c.auth).map_err(|f| f[0].to_string())
    }

    #[test]
    fn all_of_it_is_read_and_shown() {
        let all = Auth {
            mechanisms: Some(Mechanisms::PASSWORD.with(Mechanism::ScramSha256)),
            scheme: Scheme::ScramSha256,
            rehash: true,
            master_users: vec!["root".to_owned()],
            master_separator: '%',
            anonymous_user: Some("archive".to_owned()),
        };
        let text = "[auth]\nmechanisms = [\"scram-sha-256\", \"PLAIN\", \"login\"]\nscheme = \"scram-sha-256\"\nrehash = true\nmaster_users = [\"Root\"]\nmaster_separator = \"%\"\nanonymous_user = \"Archive\"\n";
        assert_eq!(read(text), Ok(all.clone()));
        let config = parse(text, settings()).unwrap();
        assert_eq!(read(&show(&config)), Ok(all));
        assert_eq!(read(""), Ok(Auth::default()));
        assert_eq!(read("[auth]\nmechanisms = \"auto\"\n"), Ok(Auth::default()));
        let none = read("[auth]\nmechanisms = []\n").unwrap();
        assert_eq!(none.mechanisms, Some(Mechanisms::default()));
    }

    #[test]
    fn every_mechanism_is_named() {
        let all = Mechanism::ALL.into_iter().filter(|m| !m.binds());
        let named = MECHANISMS.iter().filter_map(|name| Mechanism::named(name));
        assert_eq!(all.clone().count(), MECHANISMS.len());
        assert_eq!(all.count(), named.count());
    }

    #[test]
    fn what_is_wrong_is_told() {
        for (text, fault) in [
            (
                "[auth]\nmechanisms = [\"scram-sha-257\"]",
                "2:15: `mechanisms` cannot be \"scram-sha-257\"; did you mean \"scram-sha-256\"?",
            ),
            (
                "[auth]\nmechanisms = [\"external\"]",
                "2:15: \"external\" needs `client_ca` in [tls]: who may vouch for users",
            ),
            (
                "[auth]\nmechanisms = [\"anonymous\"]\nanonymous_user = \"\"",
                "2:15: \"anonymous\" needs `anonymous_user`: whose mail may be read",
            ),
            (
                "[auth]\nscheme = \"argon\"",
                "2:10: `scheme` cannot be \"argon\"; write \"argon2id\" or \"scram-sha-256\"",
            ),
        ] {
            assert_eq!(read(text), Err(fault.to_owned()));
        }
    }
}
