//! What others on this machine may ask about users: no secrets.

use super::user::User;
use super::users::Users;

/// What is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// The user of this name.
    User(String),
    /// Names behind this one, in their order.
    Names { after: String },
    /// Whether a domain is served.
    Domain(String),
    /// Whose mailbox an address is.
    Mailbox(String),
    /// What an address stands for.
    Alias(String),
}

/// What there is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Found {
    Nothing,
    /// Nobody can tell now.
    Unavailable,
    /// With the place of the mail as Dovecot's `mail_location` has it, where that is known.
    User(User, Option<String>),
    /// None: that was all.
    Names(Vec<String>),
    /// Of what it is depends on the question.
    Text(String),
}

impl Users {
    /// The answer about users; of names at most so many.
    pub(crate) fn look_up(&self, wanted: &Wanted, at_most: usize) -> Found {
        match wanted {
            Wanted::User(name) => match self.find(name) {
                Some(user) => Found::User(user.clone(), None),
                None => Found::Nothing,
            },
            Wanted::Names { after } => {
                let names = self.behind(after).map(|user| user.name.clone());
                Found::Names(names.take(at_most).collect())
            }
            Wanted::Domain(_) | Wanted::Mailbox(_) | Wanted::Alias(_) => Found::Unavailable,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_come_in_pieces() {
        let (users, _) = Users::parse(b"c\na\nb@x\n");
        let names = |after: &str, at_most| {
            let after = after.to_owned();
            match users.look_up(&Wanted::Names { after }, at_most) {
                Found::Names(names) => names.join(" "),
                other => panic!("{other:?}"),
            }
        };
        for (after, at_most, expected) in [
            ("", 9, "a b@x c"),
            ("", 2, "a b@x"),
            ("b@x", 2, "c"),
            ("b", 2, "b@x c"),
            ("c", 2, ""),
        ] {
            assert_eq!(names(after, at_most), expected, "{after} {at_most}");
        }
        let user = |name: &str| users.look_up(&Wanted::User(name.to_owned()), 1);
        assert!(matches!(user("B@X"), Found::User(user, None) if user.name == "b@x"));
        assert_eq!(user("b"), Found::Nothing);
    }
}
