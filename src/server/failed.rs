//! The line in the log about a failed login: as Dovecot's `auth` writes it, so that what watches logs for guesses,
//! such as fail2ban, knows it.

use std::net::IpAddr;

/// Why a login failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Why {
    Password,
    User,
    /// The address has failed too often.
    NotChecked,
}

/// Longest name that is written, in characters.
const MAX_NAME: usize = 64;

/// `auth: passwd-file(NAME,ADDRESS): REASON`. What a name has that could look like the rest of the line, or like
/// another address, is written as `?`.
pub(super) fn line(name: &str, address: IpAddr, why: Why) -> String {
    let plain = |c: char| c.is_alphanumeric() || "@.+-_=".contains(c);
    let name = name.chars().take(MAX_NAME);
    let name: String = name.map(|c| if plain(c) { c } else { '?' }).collect();
    let reason = match why {
        Why::Password => "Password mismatch",
        Why::User => "unknown user",
        Why::NotChecked => "Invalid credentials: not checked",
    };
    format!("auth: passwd-file({name},{address}): {reason}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_cannot_write_lines() {
        let address: IpAddr = "192.0.2.7".parse().unwrap();
        for (name, expected) in [
            ("ann@example.org", "ann@example.org"),
            ("zo\u{eb}", "zo\u{eb}"),
            (
                "x,203.0.113.5): Password mismatch\nauth: y(",
                "x?203.0.113.5???Password?mismatch?auth??y?",
            ),
            ("", ""),
        ] {
            let line = line(name, address, Why::Password);
            let expected = format!("auth: passwd-file({expected},192.0.2.7): Password mismatch");
            assert_eq!(line, expected);
        }
        assert!(line(&"x".repeat(1000), address, Why::User).len() < 120);
    }
}
