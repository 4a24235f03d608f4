//! The users of a passwd-file: who exists, and whose claim is true.

use std::collections::HashSet;

use super::address;
use super::complaint::{Complaint, Costly, Fault};
use super::credentials::{Credentials, Proof, Verdict};
use super::current::Current;
use super::passwd_line::{self, Entry};
use super::password::{Ability, Password};
use super::scheme::Hash;
use super::scram::{Offer, Situation};
use super::user::User;
use crate::config::Mechanism;

/// Octets of all passwd-files together.
pub(crate) const MAX_USERS_OCTETS: u64 = 16 << 20;

/// Most users of one file.
const MAX_USERS: usize = 100_000;
/// What a process needs that checks passwords, beside the memory for the hash of one.
const BESIDE_A_HASH_OCTETS: usize = 512 << 10;
/// Most complaints about one file.
const MAX_COMPLAINTS: usize = 100;
/// Octets of a salt for SCRAM that is not stored.
const SALT_OCTETS: usize = 16;

/// An immutable table; a changed file is parsed anew.
#[derive(Debug, Default)]
pub(crate) struct Users {
    /// By name.
    entries: Vec<Entry>,
    /// Which entries have a password.
    open: Vec<usize>,
}

impl Users {
    /// Reads the whole file. A bad line costs its own user only. Of several lines for one user
    /// the first counts.
    pub(crate) fn parse(text: &[u8]) -> (Users, Vec<Complaint>) {
        let mut complaints = Complaints::default();
        let mut found = Vec::new();
        for (number, line) in (1..).zip(text.split(|&b| b == b'\n')) {
            match passwd_line::parse(line, &mut |fault| complaints.add(number, fault)) {
                Ok(None) => {}
                Ok(Some(_)) if found.len() == MAX_USERS => {
                    complaints.add(number, Fault::TooManyUsers);
                    break;
                }
                Ok(Some(entry)) => found.push((number, entry)),
                Err(fault) => complaints.add(number, fault),
            }
        }
        // Stable, so that of equal names the first line comes first.
        crate::mail::sort_by(&mut found, |(_, a), (_, b)| a.user.name.cmp(&b.user.name));
        found.dedup_by(|(number, later), (_, first)| {
            let same = later.user.name == first.user.name;
            if same {
                complaints.add(*number, Fault::Duplicate(later.user.name.clone()));
            }
            same
        });
        let entries: Vec<Entry> = found.into_iter().map(|(_, entry)| entry).collect();
        let open = (0..).zip(&entries).filter(|(_, e)| e.password.is_some());
        let open = open.map(|(at, _)| at).collect();
        (Users { entries, open }, complaints.listed())
    }

    /// The user of this name, whatever the case of its ASCII letters.
    pub(crate) fn find(&self, name: &str) -> Option<&User> {
        self.entry(name).map(|entry| &entry.user)
    }

    /// All users, by name.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &User> {
        self.entries.iter().map(|entry| &entry.user)
    }

    /// Those whose names come behind this one, by name.
    pub(super) fn behind(&self, name: &str) -> impl Iterator<Item = &User> {
        let first = self
            .entries
            .partition_point(|e| e.user.name.as_str() <= name);
        let behind = self.entries.get(first..).unwrap_or_default();
        behind.iter().map(|entry| &entry.user)
    }

    /// `None` for an unknown user and for one that cannot log in.
    pub(crate) fn password(&self, name: &str) -> Option<&Password> {
        let entry = self.entry(name).filter(|entry| entry.closed.is_none());
        entry?.password.as_ref()
    }

    /// The user whose mail an SMTP address (without angle brackets) is, and the detail behind
    /// the first of `delimiters` in its local part; see [`address::candidates`] for what is tried.
    pub(crate) fn recipient(
        &self,
        address: &[u8],
        delimiters: &str,
    ) -> Option<(&User, Option<String>)> {
        let address = std::str::from_utf8(address).ok()?;
        let mut candidates = address::candidates(address, delimiters).into_iter();
        candidates.find_map(|c| Some((self.find(&c.name)?, c.detail)))
    }

    /// The user of true credentials; `None` where [`Users::check`] does not accept.
    #[cfg(test)]
    pub(crate) fn verify(&self, credentials: &Credentials) -> Option<User> {
        self.check(credentials).1.cloned()
    }

    /// The verdict, and the user if it is `Accepted`.
    ///
    /// A claim that must fail (unknown user, no password, foreign authorization identity) costs
    /// a verification all the same: without a password of its own, a name is verified against
    /// that of some user of this table, always the same for one name. So an unknown name takes
    /// the time of one of the schemes and costs in use here, as a known one does, and keeps it
    /// from attempt to attempt; which name has which tells nothing.
    pub(crate) fn check(&self, credentials: &Credentials) -> (Verdict, Option<&User>) {
        let entry = self.entry(&credentials.authcid);
        let real = entry.is_some_and(|entry| entry.password.is_some()) && credentials.is_own();
        let verdict = self.verdict(&credentials.authcid, &credentials.proof);
        match (verdict, entry.filter(|_| real)) {
            (Verdict::Accepted, Some(entry)) => match &entry.closed {
                None => (Verdict::Accepted, Some(&entry.user)),
                Some(closed) => (Verdict::Closed(closed.clone()), None),
            },
            (Verdict::Accepted, None) => (Verdict::Rejected, None),
            (verdict, _) => (verdict, None),
        }
    }

    /// The mark of what is stored for this user's password, if that is to be stored anew.
    pub(crate) fn outdated(&self, name: &str, current: &Current) -> Option<u64> {
        let entry = self.entry(name)?;
        let outdated = entry.password.as_ref()?.is_outdated(current);
        outdated.then_some(entry.mark)
    }

    /// What becomes of a proof for that name, or for the one that stands for it.
    fn verdict(&self, name: &str, proof: &Proof) -> Verdict {
        if let Proof::Scram(proved) = proof {
            return match proved.is_right() {
                true => Verdict::Accepted,
                false => Verdict::Rejected,
            };
        }
        // Without anyone who could log in there is nobody to be told from the unknown.
        let Some(stored) = self.compared(name) else {
            return Verdict::Rejected;
        };
        match proof {
            Proof::Password(password) => stored.check(password.bytes()),
            Proof::Apop { stamp, digest } => stored.check_apop(stamp, digest),
            Proof::CramMd5 { challenge, digest } => stored.check_cram_md5(challenge, digest),
            Proof::Scram(_) => Verdict::Rejected,
        }
    }

    /// What a client is to make its proof with, for SCRAM. Whoever cannot use it, or is not there, gets a
    /// salt that is always the same for that name, and what a user has who can. `None` if nobody can.
    pub(super) fn offer(&self, name: &str, situation: &Situation<'_>) -> Option<Offer> {
        let hash = situation.hash;
        let own = self.entry(name).and_then(|entry| entry.password.as_ref());
        let own = own.and_then(|password| password.scram(hash));
        let real = own.is_some();
        let Ability { known, fixed } = own.or_else(|| {
            let able = |at: &usize| {
                let password = self.entries.get(*at)?.password.as_ref();
                password?.scram(hash)
            };
            // The one whose place is next, so that who joins or leaves changes the answer for few names.
            let first = self.decoy_place(name)?;
            let (before, after) = self.open.split_at_checked(first)?;
            after.iter().chain(before).find_map(able)
        })?;
        let (length, iterations) = match fixed {
            Some((salt, iterations)) => (salt.len(), iterations),
            None => (SALT_OCTETS, situation.iterations),
        };
        let salt = match fixed {
            Some((salt, _)) if real => salt.to_vec(),
            _ => made_salt(situation, name, length),
        };
        Some(Offer {
            salt,
            iterations,
            known,
            real,
        })
    }

    /// Whether somebody, and whether everybody, who can log in could do it with this mechanism.
    pub(crate) fn serve(&self, mechanism: Mechanism) -> (bool, bool) {
        let open = self.open.iter().filter_map(|at| self.entries.get(*at));
        let able = open
            .filter_map(|entry| entry.password.as_ref())
            .map(|p| match mechanism {
                Mechanism::Plain | Mechanism::Login => true,
                Mechanism::CramMd5 => p.is_plain(),
                Mechanism::ScramSha1 | Mechanism::ScramSha1Plus => p.scram(Hash::Sha1).is_some(),
                Mechanism::ScramSha256 | Mechanism::ScramSha256Plus => {
                    p.scram(Hash::Sha256).is_some()
                }
            });
        able.fold((false, !self.open.is_empty()), |(some, all), able| {
            (some || able, all && able)
        })
    }

    /// Whether somebody's password is stored as it is, so that APOP can be used.
    pub(crate) fn has_plain(&self) -> bool {
        let mut passwords = self.entries.iter().filter_map(|e| e.password.as_ref());
        passwords.any(Password::is_plain)
    }

    /// Users whose passwords cannot be checked by a process that may have so many octets of memory.
    pub(crate) fn costly(&self, limit_octets: usize) -> impl Iterator<Item = Costly<'_>> {
        let room = limit_octets.saturating_sub(BESIDE_A_HASH_OCTETS) / 1024;
        self.entries.iter().filter_map(move |entry| {
            let kib = entry.password.as_ref()?.memory_kib();
            let fits = usize::try_from(kib).is_ok_and(|kib| kib <= room);
            (!fits).then_some(Costly {
                user: &entry.user.name,
                kib,
                limit_octets,
            })
        })
    }

    /// Whether [`Users::check`] takes milliseconds and more for this, whether the name is known or not.
    pub(crate) fn is_slow(&self, credentials: &Credentials) -> bool {
        match &credentials.proof {
            Proof::Password(_) => {
                let compared = self.compared(&credentials.authcid);
                compared.is_some_and(Password::is_slow)
            }
            Proof::Scram(proved) => proved.is_slow(),
            Proof::Apop { .. } | Proof::CramMd5 { .. } => false,
        }
    }

    /// What a password for `name` is compared with: its own, or another's whose verdict does
    /// not count.
    fn compared(&self, name: &str) -> Option<&Password> {
        let own = self.entry(name).and_then(|entry| entry.password.as_ref());
        own.or_else(|| self.decoy(name))
    }

    fn decoy(&self, name: &str) -> Option<&Password> {
        let at = self.open.get(self.decoy_place(name)?)?;
        self.entries.get(*at)?.password.as_ref()
    }

    /// Which of those who can log in stands for that name.
    fn decoy_place(&self, name: &str) -> Option<usize> {
        // FNV-1a: must be the same after a restart.
        let hash = name.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, octet| {
            (hash ^ u64::from(octet.to_ascii_lowercase())).wrapping_mul(0x100_0000_01b3)
        });
        let count = u64::try_from(self.open.len()).ok()?;
        usize::try_from((hash >> 32).checked_rem(count)?).ok()
    }

    fn entry(&self, name: &str) -> Option<&Entry> {
        let name = name.to_ascii_lowercase();
        let at = self.entries.binary_search_by(|e| e.user.name.cmp(&name));
        self.entries.get(at.ok()?)
    }
}

/// A salt that nobody can guess and that is always the same for that name.
fn made_salt(situation: &Situation<'_>, name: &str, length: usize) -> Vec<u8> {
    let mut salt = Vec::new();
    for block in 0u8..=2 {
        let hash = situation.hash as u8;
        let of = [&[hash, block], name.to_ascii_lowercase().as_bytes()].concat();
        salt.extend(Hash::Sha256.mac(situation.seed, &of));
    }
    salt.truncate(length);
    salt
}

/// Complaints so far, at most [`MAX_COMPLAINTS`].
#[derive(Default)]
struct Complaints {
    list: Vec<Complaint>,
    /// Extra fields already told of.
    unused: HashSet<String>,
    more: Option<usize>,
}

impl Complaints {
    fn add(&mut self, line: usize, what: Fault) {
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

    fn listed(mut self) -> Vec<Complaint> {
        crate::mail::sort_by(&mut self.list, |a, b| a.line.cmp(&b.line));
        let more = self.more.map(|line| Complaint {
            line,
            what: Fault::More,
        });
        self.list.extend(more);
        self.list
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::Secret;
    use crate::auth::password::Unusable;
    use crate::config::Scheme;

    const FILE: &[u8] = b"# users\n\nann:{PLAIN}tiger:1000:1000::/home/ann\nBob@Example.ORG:{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=\nlocked:!\nann:{PLAIN}lion\nbad name:x\nodd:{ROT13}x::::::a=1\neve:{PLAIN}x::::::a=1 b=2";

    fn claim(name: &str, password: &str) -> Credentials {
        Credentials::new(name.to_owned(), Secret::from(password.as_bytes()))
    }

    #[test]
    fn the_first_line_of_a_user_counts_and_faults_are_told() {
        let (users, complaints) = Users::parse(FILE);
        let names: Vec<&str> = users.iter().map(|u| u.name.as_str()).collect();
        assert_eq!(names, ["ann", "bob@example.org", "eve", "locked", "odd"]);
        let told: Vec<(usize, Fault)> = complaints.into_iter().map(|c| (c.line, c.what)).collect();
        assert_eq!(
            told,
            [
                (6, Fault::Duplicate("ann".to_owned())),
                (7, Fault::Name(crate::auth::user::NameFault::Character(' '))),
                (8, Fault::Password("odd".to_owned(), Unusable::Scheme)),
                (8, Fault::Unused("odd".to_owned(), "a".to_owned())),
                (9, Fault::Unused("eve".to_owned(), "b".to_owned())),
            ]
        );
        assert_eq!(users.find("ANN").unwrap().uid, Some(1000));
        assert!(users.find("an").is_none() && users.find("").is_none());
        assert!(users.password("Ann").is_some() && users.password("locked").is_none());
    }

    #[test]
    fn claims() {
        let (users, _) = Users::parse(FILE);
        for (name, password, expected) in [
            ("ann", "tiger", Some("ann")),
            ("ANN", "tiger", Some("ann")),
            ("ann", "lion", None),
            ("ann", "Tiger", None),
            ("ann", "", None),
            ("bob@example.org", "secret", Some("bob@example.org")),
            ("bob", "secret", None),
            ("locked", "!", None),
            ("locked", "", None),
            ("odd", "x", None),
        ] {
            let user = users.verify(&claim(name, password));
            assert_eq!(
                user.map(|u| u.name).as_deref(),
                expected,
                "{name} {password}"
            );
        }
    }

    #[test]
    fn a_foreign_authorization_identity_is_rejected() {
        let (users, _) = Users::parse(FILE);
        for (authzid, expected) in [
            ("", Verdict::Accepted),
            ("Ann", Verdict::Accepted),
            ("eve", Verdict::Rejected),
        ] {
            let mut credentials = claim("ann", "tiger");
            credentials.authzid = authzid.to_owned();
            assert_eq!(users.check(&credentials).0, expected, "{authzid:?}");
        }
    }

    /// The decoy's own password must open nothing.
    #[test]
    fn an_unknown_name_is_compared_but_never_accepted() {
        let (users, _) = Users::parse(b"ann:{PLAIN}tiger\nlocked:*\n");
        for name in ["nobody", "locked", "other@example.org"] {
            assert!(users.compared(name).unwrap().verify(b"tiger"), "{name}");
            let (verdict, user) = users.check(&claim(name, "tiger"));
            assert_eq!((verdict, user), (Verdict::Rejected, None), "{name}");
        }
    }

    #[test]
    fn unknown_names_cost_what_known_ones_do() {
        let slow = "$5$zL.twC97azC8xX2O$OyWalln7/8ZyVyoM1HJsSrgX0sn.UVieh/z.1vZWur0";
        let share = |file: String| {
            let (users, complaints) = Users::parse(file.as_bytes());
            assert_eq!(complaints, []);
            let names = (0..400).map(|n| format!("user{n}@example.org"));
            let slow = names.filter(|n| users.is_slow(&claim(n, "x"))).count();
            assert_eq!(
                users.is_slow(&claim("USER7@x", "x")),
                users.is_slow(&claim("user7@x", "x"))
            );
            slow
        };
        assert_eq!(share(format!("a:{slow}\nb:{slow}\nc:!\n")), 400);
        assert_eq!(share("a:{PLAIN}x\n".to_owned()), 0);
        let mixed = share(format!("a:{slow}\nb:{{PLAIN}}x\n"));
        assert!((100..300).contains(&mixed), "{mixed}");
        assert_eq!(share(String::new()), 0);
    }

    #[test]
    fn passwords_that_take_too_much_memory_are_told() {
        // They could not be checked after a change to a smaller board, and nobody was told whose.
        let tail = "BwcHBwcHBwcHBwcHBwcHBw$BwcHBwcHBwcHBwcHBwcHBw";
        let line = |user: &str, kib: u32| {
            format!("{user}:{{ARGON2ID}}$argon2id$v=19$m={kib},t=1,p=1${tail}\n")
        };
        let file = line("ann", 19_456) + &line("bob", 4096) + "eve:{PLAIN}x\nold:!\n";
        let (users, complaints) = Users::parse(file.as_bytes());
        assert_eq!(complaints, []);
        let told = |mib: usize| -> Vec<String> {
            users
                .costly(mib << 20)
                .map(|costly| costly.to_string())
                .collect()
        };
        assert_eq!(
            told(8),
            [
                "user ann cannot log in: to check the password takes 19456 KiB of memory, and \
              `auth_memory_octets` is 8192 KiB; raise that limit, or have the password hashed for \
              this board: dovelet user passwd ann"
            ]
        );
        assert_eq!([told(24).len(), told(4).len()], [0, 2]);
    }

    #[test]
    fn counts_are_bounded() {
        let lines: String = (0..=MAX_USERS).map(|n| format!("u{n}\n")).collect();
        let (users, complaints) = Users::parse(lines.as_bytes());
        assert_eq!(users.iter().count(), MAX_USERS);
        assert_eq!(complaints.len(), 1);
        assert_eq!(complaints[0].what, Fault::TooManyUsers);

        let (users, complaints) = Users::parse(&b"a b\n".repeat(MAX_COMPLAINTS + 5));
        assert_eq!(users.iter().count(), 0);
        assert_eq!(complaints.len(), MAX_COMPLAINTS + 1);
        assert_eq!(complaints[MAX_COMPLAINTS].what, Fault::More);
    }

    #[test]
    fn apop_needs_a_password_that_is_stored_as_it_is() {
        // The example of RFC 1939 section 7.
        let file =
            b"mrose:{PLAIN}tanstaaf\nhashed:{SHA256}n4bQgYhMfWWaL+qgxVrQFaO/TxsrC4Is0V1sFbDwCgg=\n";
        let (users, complaints) = Users::parse(file);
        assert_eq!(complaints, []);
        let claim = |name: &str, digest: &str| Credentials {
            proof: Proof::Apop {
                stamp: "<1896.697170952@dbc.mtview.ca.us>".into(),
                digest: digest.as_bytes().to_vec(),
            },
            ..Credentials::new(name.into(), Secret::default())
        };
        let right = "c4c9334bac560ecc979e58001b3e22fb";
        assert!(users.verify(&claim("MRose", right)).is_some());
        for (name, digest) in [
            ("mrose", "c4c9334bac560ecc979e58001b3e22fc"),
            ("mrose", "tanstaaf"),
            ("mrose", ""),
            ("hashed", right),
            ("nobody", right),
        ] {
            assert!(
                users.verify(&claim(name, digest)).is_none(),
                "{name} {digest}"
            );
        }
        assert!(users.has_plain());
        let (users, _) = Users::parse(b"a:{SHA256}n4bQgYhMfWWaL+qgxVrQFaO/TxsrC4Is0V1sFbDwCgg=\n");
        assert!(!users.has_plain());
    }

    #[test]
    fn what_is_stored_otherwise_is_outdated() {
        let limits = crate::config::Limits::default();
        let scram = "{SCRAM-SHA-256}10000,8fvsUbnhSO9ltREMIDaGdg==,fbOMO2OSNdWPq1QqD0kKmAH2nvd8fbpHOMprgDjBQuY=,oLXwfxJ1q3ozJKVW8ayuuEG6nntR8ciELVMHawvyeFQ=";
        let argon = |kib: u32| {
            format!(
                "{{ARGON2ID}}$argon2id$v=19$m={kib},t=2,p=1$BwcHBwcHBwcHBwcHBwcHBw$BwcHBwcHBwcHBwcHBwcHBw"
            )
        };
        for (stored, argon2id, scram_sha_256) in [
            ("{PLAIN}x".to_owned(), true, true),
            ("{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=".to_owned(), true, true),
            (argon(19_456), false, true),
            (argon(4096), true, true),
            (scram.to_owned(), false, false),
            (scram.replace("10000", "4096"), false, true),
            ("!".to_owned(), false, false),
        ] {
            let (users, complaints) = Users::parse(format!("ann:{stored}\n").as_bytes());
            assert_eq!(complaints, []);
            let outdated = |scheme| {
                let current = Current::new(scheme, &limits);
                users.outdated("ANN", &current).is_some()
            };
            let found = [Scheme::Argon2id, Scheme::ScramSha256].map(outdated);
            assert_eq!(found, [argon2id, scram_sha_256], "{stored}");
            assert_eq!(
                users.outdated("eve", &Current::new(Scheme::Argon2id, &limits)),
                None
            );
        }
    }

    #[test]
    fn mechanisms_that_somebody_or_everybody_can_use() {
        let scram = "{SCRAM-SHA-1}4096,aUFO5BV6TlKrulYXVcHV7g==,wXV76EFie8hl/Cgv0Pao5rqzj3A=,LIneUco2ZS9gi5S6lw9QyMV4PRs=";
        let sha = "{SHA256}n4bQgYhMfWWaL+qgxVrQFaO/TxsrC4Is0V1sFbDwCgg=";
        for (file, mechanism, expected) in [
            (
                "a:{PLAIN}x\nb:!\n".to_owned(),
                Mechanism::ScramSha256,
                (true, true),
            ),
            ("a:{PLAIN}x\n".to_owned(), Mechanism::CramMd5, (true, true)),
            (
                format!("a:{{PLAIN}}x\nb:{sha}\n"),
                Mechanism::ScramSha256Plus,
                (true, false),
            ),
            (
                format!("a:{{PLAIN}}x\nb:{scram}\n"),
                Mechanism::ScramSha1Plus,
                (true, true),
            ),
            (
                format!("a:{{PLAIN}}x\nb:{scram}\n"),
                Mechanism::ScramSha256,
                (true, false),
            ),
            (format!("a:{scram}\n"), Mechanism::CramMd5, (false, false)),
            (format!("a:{sha}\n"), Mechanism::ScramSha1, (false, false)),
            (format!("a:{sha}\n"), Mechanism::Plain, (true, true)),
            ("a:!\n".to_owned(), Mechanism::ScramSha1, (false, false)),
        ] {
            let (users, complaints) = Users::parse(file.as_bytes());
            assert_eq!(complaints, []);
            assert_eq!(users.serve(mechanism), expected, "{file} {mechanism:?}");
        }
    }

    #[test]
    fn recipients() {
        let (users, _) = Users::parse(b"ann\nbob@example.org\nc+d\nann@other.org\n");
        for (address, expected) in [
            ("ann@example.org", Some(("ann", None))),
            (
                "Ann+Lists.Rust@example.org",
                Some(("ann", Some("Lists.Rust"))),
            ),
            ("ann@OTHER.org", Some(("ann@other.org", None))),
            ("ann+x@other.org", Some(("ann@other.org", Some("x")))),
            ("bob@example.org", Some(("bob@example.org", None))),
            (
                "BOB+a+b@Example.Org",
                Some(("bob@example.org", Some("a+b"))),
            ),
            ("bob@elsewhere.org", None),
            ("bob", None),
            ("ann", Some(("ann", None))),
            ("ann+x", Some(("ann", Some("x")))),
            ("ann+@example.org", Some(("ann", None))),
            ("c+d@example.org", Some(("c+d", None))),
            ("+ann@example.org", None),
            ("@example.org", None),
            ("", None),
        ] {
            let found = users.recipient(address.as_bytes(), "+");
            let found = found.as_ref().map(|(u, d)| (u.name.as_str(), d.as_deref()));
            assert_eq!(found, expected, "{address}");
        }
        assert!(users.recipient(b"ann\xff", "+").is_none());
    }
}
