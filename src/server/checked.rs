//! What becomes of who claims to be somebody.

use crate::auth::{Credentials, Current, Proof, User, Users, Verdict};

/// What became of a claim.
pub(super) struct Checked {
    pub(super) verdict: Verdict,
    /// If it is accepted.
    pub(super) user: Option<User>,
    /// What the client is told then.
    pub(super) told: Vec<u8>,
    /// The id of the app password by which it is.
    pub(super) app_password: Option<String>,
    /// What is to be stored then in place of what has this mark.
    pub(super) renewed: Option<(u64, String)>,
}

/// How a password is to be stored anew, in place of what has this mark.
#[derive(Clone, Copy)]
pub(super) struct Renewal {
    pub(super) current: Current,
    pub(super) mark: u64,
}

impl Renewal {
    fn of(self, claim: &Credentials) -> Option<(u64, String)> {
        let Proof::Password(password) = &claim.proof else {
            return None;
        };
        let mut salt = [0; 16];
        getrandom::fill(&mut salt).ok()?;
        let hash = self.current.hash(password.bytes(), salt)?;
        Some((self.mark, hash))
    }
}

impl Checked {
    pub(super) const UNAVAILABLE: Checked = Checked {
        verdict: Verdict::Unavailable,
        user: None,
        told: Vec::new(),
        app_password: None,
        renewed: None,
    };
}

/// Checks a claim against what is stored; takes as long as the hash does.
pub(super) fn checked(users: &Users, mut claim: Credentials, renewal: Option<Renewal>) -> Checked {
    claim.derive();
    let (verdict, user) = users.check(&claim);
    let user = user.cloned().filter(|_| verdict == Verdict::Accepted);
    let told = user.as_ref().map(|_| claim.server_final());
    let renewed = renewal.filter(|_| user.is_some());
    let renewed = renewed.and_then(|renewal| renewal.of(&claim));
    Checked {
        verdict,
        user,
        told: told.unwrap_or_default(),
        app_password: None,
        renewed,
    }
}
