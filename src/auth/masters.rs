//! Master users: those who may log in as others, with their own passwords.

use super::credentials::Credentials;

/// Who is one, and how others are named: Dovecot's `auth_master_user_separator`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Masters {
    /// In lower case.
    names: Vec<String>,
    /// No user name has it.
    separator: char,
}

impl Default for Masters {
    fn default() -> Masters {
        Masters::new(&[], '*')
    }
}

impl Masters {
    pub(crate) fn new(names: &[String], separator: char) -> Masters {
        Masters {
            names: names.iter().map(|name| name.to_ascii_lowercase()).collect(),
            separator,
        }
    }

    /// Whether this user may log in as others.
    pub(super) fn has(&self, name: &str) -> bool {
        self.names.iter().any(|own| own.eq_ignore_ascii_case(name))
    }

    /// `user*master` as whom to act as and who does it; `None` for other names, and if nobody may.
    pub(super) fn divided<'a>(&self, name: &'a str) -> Option<(&'a str, &'a str)> {
        let parts = name.rsplit_once(self.separator)?;
        (!self.names.is_empty() && !parts.0.is_empty()).then_some(parts)
    }

    /// The credentials with `user*master` divided. Who asks for somebody else besides is left as it is: nobody has
    /// such a name.
    pub(super) fn divide(&self, mut credentials: Credentials) -> Credentials {
        if let Some((user, master)) = self.divided(&credentials.authcid)
            && (credentials.is_own() || credentials.authzid.eq_ignore_ascii_case(user))
        {
            (credentials.authzid, credentials.authcid) = (user.to_owned(), master.to_owned());
        }
        credentials
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::Secret;

    #[test]
    fn names_are_divided_at_the_last_separator() {
        let masters = Masters::new(&["Root".to_owned()], '*');
        for (authzid, authcid, expected) in [
            ("", "ann*root", ("ann", "root")),
            ("ANN", "ann*root", ("ann", "root")),
            ("ann*root", "ann*root", ("ann", "root")),
            ("", "a*b*root", ("a*b", "root")),
            ("", "ann*eve", ("ann", "eve")),
            ("bob", "ann*root", ("bob", "ann*root")),
            ("", "*root", ("", "*root")),
            ("ann", "root", ("ann", "root")),
            ("", "ann", ("", "ann")),
        ] {
            let credentials = Credentials {
                authzid: authzid.to_owned(),
                ..Credentials::new(authcid.to_owned(), Secret::default())
            };
            let divided = masters.divide(credentials.clone());
            let divided = (divided.authzid.as_str(), divided.authcid.as_str());
            assert_eq!(divided, expected, "{authzid} {authcid}");
            let nobody = Masters::default().divide(credentials);
            assert_eq!(
                (nobody.authzid.as_str(), nobody.authcid.as_str()),
                (authzid, authcid)
            );
        }
        assert!(masters.has("ROOT") && !masters.has("ann"));
    }
}
