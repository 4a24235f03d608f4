//! The users of a passwd-file: who exists, and whose claim is true.

use super::address;
use super::complaint::{Complaint, Complaints, Costly, Fault};
use super::credentials::{Credentials, Proof, Verdict};
use super::current::Current;
use super::masters::Masters;
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
/// Octets of a salt for SCRAM that is not stored.
const SALT_OCTETS: usize = 16;

/// An immutable table; a changed file is parsed anew.
#[derive(Debug, Default)]
pub(crate) struct Users {
    /// By name.
    entries: Vec<Entry>,
    /// Which entries have a password.
    open: Vec<usize>,
    masters: Masters,
    /// Whose mail is public.
    anonymous: Option<String>,
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
        let users = Users {
            entries,
            open,
            masters: Masters::default(),
            anonymous: None,
        };
        (users, complaints.listed())
    }

    /// The same users, some of whom may log in as others.
    #[must_use]
    pub(crate) fn with_masters(self, masters: Masters) -> Users {
        Users { masters, ..self }
    }

    /// The same users, the mail of one of whom may be read by anybody.
    #[must_use]
    pub(crate) fn with_anonymous(self, anonymous: Option<String>) -> Users {
        Users { anonymous, ..self }
    }

    /// The credentials with `user*master` divided into both.
    pub(crate) fn divide(&self, credentials: Credentials) -> Credentials {
        self.masters.divide(credentials)
    }

    /// As [`Users::divide`], of a name alone.
    pub(super) fn divided<'a>(&self, name: &'a str) -> Option<(&'a str, &'a str)> {
        self.masters.divided(name)
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
    /// A claim that must fail (unknown user, no password, somebody else's name and no master's) costs
    /// a verification all the same: without a password of its own, a name is verified against
    /// that of some user of this table, always the same for one name. So an unknown name takes
    /// the time of one of the schemes and costs in use here, as a known one does, and keeps it
    /// from attempt to attempt; which name has which tells nothing.
    pub(crate) fn check(&self, credentials: &Credentials) -> (Verdict, Option<&User>) {
        match self.verdict(&credentials.authcid, &credentials.proof) {
            Verdict::Accepted => self.admit(credentials),
            verdict => (verdict, None),
        }
    }

    /// As [`Users::check`], of credentials whose proof is right, by whatever it was found out.
    pub(crate) fn admit(&self, credentials: &Credentials) -> (Verdict, Option<&User>) {
        let own = self.entry(&credentials.authcid);
        let Some(own) = own.filter(|own| own.password.is_some()) else {
            return (Verdict::Rejected, None);
        };
        let entry = match credentials.is_own() {
            true => Some(own),
            // A master's own account has to be open, too. Another's may have no password.
            false if self.masters.has(&credentials.authcid) && own.closed.is_none() => {
                self.entry(&credentials.authzid)
            }
            false => None,
        };
        admitted(entry)
    }

    /// The verdict on who proves nothing, and whose mail may be read then; that user needs no password.
    pub(crate) fn admit_anonymous(&self) -> (Verdict, Option<&User>) {
        let name = self.anonymous.as_deref();
        admitted(name.and_then(|name| self.entry(name)))
    }

    /// The mark of what is stored for this user's password, if that is to be stored anew.
    pub(crate) fn outdated(&self, name: &str, current: &Current) -> Option<u64> {
        let entry = self.entry(name)?;
        let outdated = entry.password.as_ref()?.is_outdated(current);
        outdated.then_some(entry.mark)
    }

    /// What becomes of a proof for that name, or for the one that stands for it.
    fn verdict(&self, name: &str, proof: &Proof) -> Verdict {
        let right = match proof {
            Proof::Scram(proved) => Some(proved.is_right()),
            Proof::Certified => Some(true),
            _ => None,
        };
        if let Some(right) = right {
            return match right {
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
            Proof::Scram(_) | Proof::Certificate(_) | Proof::Certified | Proof::Anonymous(_) => {
                Verdict::Rejected
            }
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
        if mechanism == Mechanism::Anonymous {
            let served = self.admit_anonymous().0 == Verdict::Accepted;
            return (served, served);
        }
        let open = self.open.iter().filter_map(|at| self.entries.get(*at));
        let able = open
            .filter_map(|entry| entry.password.as_ref())
            .map(|p| match mechanism {
                Mechanism::Plain | Mechanism::Login | Mechanism::External => true,
                Mechanism::Anonymous => false,
                Mechanism::CramMd5 => p.serves_cram_md5(),
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
            Proof::Apop { .. }
            | Proof::CramMd5 { .. }
            | Proof::Anonymous(_)
            | Proof::Certificate(_)
            | Proof::Certified => false,
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

/// The verdict on who showed to be of that entry, or may be.
fn admitted(entry: Option<&Entry>) -> (Verdict, Option<&User>) {
    match entry.map(|entry| (&entry.closed, &entry.user)) {
        Some((None, user)) => (Verdict::Accepted, Some(user)),
        Some((Some(closed), _)) => (Verdict::Closed(closed.clone()), None),
        None => (Verdict::Rejected, None),
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

#[cfg(test)]
mod tests;
