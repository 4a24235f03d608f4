//! Which addresses are whose, for mail servers that ask: domains, mailboxes, and aliases in the format of
//! `aliases(5)`.

use std::collections::{HashMap, HashSet};
use std::fmt;

use super::directory::{Found, Wanted};
use super::users::Users;

/// Octets of a file of aliases.
pub(crate) const MAX_ALIASES_OCTETS: u64 = 1 << 20;
/// Faults of one file that are told.
const MAX_FAULTS: usize = 20;

/// An immutable table; a changed file is parsed anew.
#[derive(Debug, Default)]
pub(crate) struct Aliases {
    /// By name in lower case, with or without a domain.
    targets: HashMap<String, Vec<String>>,
}

/// What is not taken from a file of aliases, in which line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct AliasFault {
    pub(crate) line: usize,
    what: &'static str,
}

impl fmt::Display for AliasFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.what)
    }
}

impl Aliases {
    /// Reads the whole file: `name: target, target`, gone on with in lines that begin with a space. A bad line
    /// costs itself only; of several for one name the first counts.
    pub(crate) fn parse(text: &[u8]) -> (Aliases, Vec<AliasFault>) {
        let (mut aliases, mut faults) = (Aliases::default(), Vec::new());
        let text = String::from_utf8_lossy(text);
        let mut entry: Option<(usize, String)> = None;
        for (line, text) in (1..).zip(text.lines()) {
            if text.trim().is_empty() || text.trim_start().starts_with('#') {
                continue;
            }
            match (&mut entry, text.starts_with([' ', '\t'])) {
                (Some((_, whole)), true) => whole.push_str(text),
                (_, goes_on) => {
                    aliases.add(entry.take(), &mut faults);
                    entry = (!goes_on).then(|| (line, text.to_owned()));
                }
            }
        }
        aliases.add(entry, &mut faults);
        faults.truncate(MAX_FAULTS);
        (aliases, faults)
    }

    fn add(&mut self, entry: Option<(usize, String)>, faults: &mut Vec<AliasFault>) {
        let Some((line, text)) = entry else {
            return;
        };
        let mut fault = |what| faults.push(AliasFault { line, what });
        let Some((name, list)) = text.split_once(':') else {
            return fault("no colon behind a name");
        };
        let name = name.trim().trim_matches('"').to_ascii_lowercase();
        let mut targets = Vec::new();
        for target in list.split(',').map(|t| t.trim().trim_matches('"')) {
            match target.chars().next() {
                None => {}
                Some('|' | '/' | ':') => {
                    fault("programs, files and :include: are nothing for a mailbox elsewhere");
                }
                Some(_) if target.contains(char::is_whitespace) => {
                    fault("an address has no spaces");
                }
                Some(_) => targets.push(target.trim_start_matches('\\').to_owned()),
            }
        }
        if !name.is_empty() && !targets.is_empty() {
            self.targets.entry(name).or_insert(targets);
        }
    }
}

/// What is known of addresses.
#[derive(Debug, Default)]
pub(crate) struct Postal {
    /// In lower case.
    domains: HashSet<String>,
    /// `None`: they could not be read yet.
    aliases: Option<Aliases>,
}

impl Postal {
    /// `domains`: besides those that names of users and aliases have.
    pub(crate) fn new(users: &Users, domains: &[String], aliases: Option<Aliases>) -> Postal {
        let names = users.iter().map(|user| user.name.as_str());
        let keys = aliases.iter().flat_map(|all| all.targets.keys());
        let of = |name: &str| Some(name.rsplit_once('@')?.1.to_owned());
        let mut all: HashSet<String> = names.filter_map(of).collect();
        all.extend(keys.filter_map(|key| of(key)));
        all.extend(domains.iter().map(|domain| domain.to_ascii_lowercase()));
        Postal {
            domains: all,
            aliases,
        }
    }

    /// The aliases, for another one.
    pub(crate) fn into_aliases(self) -> Option<Aliases> {
        self.aliases
    }

    /// The answer about a domain, a mailbox or an alias; `delimiters`: as in [`Users::recipient`].
    pub(crate) fn look_up(&self, users: &Users, wanted: &Wanted, delimiters: &str) -> Found {
        match wanted {
            Wanted::Domain(name) => match self.domains.contains(&name.to_ascii_lowercase()) {
                true => Found::Text(name.clone()),
                false => Found::Nothing,
            },
            // Where nobody is set up yet, nothing is known of anybody.
            Wanted::Mailbox(_) if users.iter().next().is_none() => Found::Unavailable,
            Wanted::Mailbox(address) => match users.recipient(address.as_bytes(), delimiters) {
                Some((user, _)) => Found::Text(user.name.clone()),
                None => Found::Nothing,
            },
            Wanted::Alias(address) => self.alias(address),
            Wanted::User(_) | Wanted::Names { .. } => Found::Unavailable,
        }
    }

    fn alias(&self, address: &str) -> Found {
        let Some(aliases) = &self.aliases else {
            return Found::Unavailable;
        };
        let address = address.to_ascii_lowercase();
        // Without a domain it is none of ours.
        let Some((local, domain)) = address.rsplit_once('@') else {
            return Found::Nothing;
        };
        let own = || Some(local).filter(|_| self.domains.contains(domain));
        let found = aliases.targets.get(&address);
        let Some(targets) = found.or_else(|| aliases.targets.get(own()?)) else {
            return Found::Nothing;
        };
        // A bare name would be one of the machine that asks.
        let whole = targets.iter().map(|target| match target.contains('@') {
            true => target.clone(),
            false => format!("{target}@{domain}"),
        });
        Found::Text(whole.collect::<Vec<_>>().join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALIASES: &[u8] = b"# local\npostmaster: root\nroot:\tann,\n  eve@elsewhere.org\n\"Info\": \\ann\n\
        sales@shop.org: bob@example.org\n@old.org: ann@example.org\nlist: :include:/x\npipe: \"|/bin/x\", bob\n\
        nothing\npostmaster: bob\nempty:\n";

    #[test]
    fn faults_cost_their_line() {
        let (aliases, faults) = Aliases::parse(ALIASES);
        let told: Vec<usize> = faults.iter().map(|fault| fault.line).collect();
        assert_eq!(told, [8, 9, 10]);
        assert!(faults[2].to_string().starts_with("line 10: no colon"));
        assert_eq!(aliases.targets.len(), 6);
        let (aliases, faults) = Aliases::parse(b" continued: x\n");
        assert!(aliases.targets.is_empty() && faults.is_empty());
        let (_, faults) = Aliases::parse(&b"x\n".repeat(100));
        assert_eq!(faults.len(), MAX_FAULTS);
    }

    #[test]
    fn addresses() {
        let (users, _) = Users::parse(b"ann\nbob@example.org\n");
        let (aliases, _) = Aliases::parse(ALIASES);
        let postal = Postal::new(&users, &["Home.Example".to_owned()], Some(aliases));
        let ask = |wanted: Wanted| match postal.look_up(&users, &wanted, "+") {
            Found::Text(text) => text,
            Found::Nothing => "-".to_owned(),
            other => panic!("{other:?}"),
        };
        for (domain, known) in [
            ("example.org", true),
            ("EXAMPLE.org", true),
            ("home.example", true),
            ("shop.org", true),
            ("old.org", true),
            ("elsewhere.org", false),
            ("org", false),
            ("", false),
        ] {
            let found = ask(Wanted::Domain(domain.to_owned()));
            assert_eq!(found, if known { domain } else { "-" });
        }
        for (address, expected) in [
            ("ann@home.example", "ann"),
            ("Ann+lists@home.example", "ann"),
            ("bob@example.org", "bob@example.org"),
            ("bob@home.example", "-"),
            ("@home.example", "-"),
            ("", "-"),
        ] {
            assert_eq!(
                ask(Wanted::Mailbox(address.to_owned())),
                expected,
                "{address}"
            );
        }
        for (address, expected) in [
            ("Postmaster@home.example", "root@home.example"),
            ("root@example.org", "ann@example.org, eve@elsewhere.org"),
            ("info@example.org", "ann@example.org"),
            ("pipe@example.org", "bob@example.org"),
            ("list@example.org", "-"),
            ("sales@shop.org", "bob@example.org"),
            ("sales@example.org", "-"),
            ("@old.org", "ann@example.org"),
            ("root@elsewhere.org", "-"),
            ("root", "-"),
            ("ann@example.org", "-"),
        ] {
            assert_eq!(
                ask(Wanted::Alias(address.to_owned())),
                expected,
                "{address}"
            );
        }
    }

    #[test]
    fn what_could_not_be_read_is_not_denied() {
        let (users, _) = Users::parse(b"");
        let postal = Postal::new(&users, &[], None);
        for wanted in [
            Wanted::Alias("root@example.org".to_owned()),
            Wanted::Mailbox("ann@example.org".to_owned()),
        ] {
            assert_eq!(postal.look_up(&users, &wanted, "+"), Found::Unavailable);
        }
    }
}
