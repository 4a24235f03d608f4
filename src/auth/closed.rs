//! Users whose password is right and who may not log in here all the same: Dovecot's extra fields
//! `nologin`, `host`, `port`, `destuser` and `reason`.

/// What such a user is told.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Closed {
    /// The server that has the user's mail: a host, with its port if that is said.
    pub(crate) server: Option<String>,
    /// What the user is called there.
    pub(crate) user: String,
    /// Printable ASCII.
    pub(crate) reason: Option<String>,
}

impl Closed {
    /// Of the words of the extra field; `None` unless `nologin` is one of them.
    pub(super) fn new(user: &str, extra: &str) -> Option<Closed> {
        let words = || extra.split_ascii_whitespace();
        let value = |key: &str| {
            let mut values = words().filter_map(|word| word.split_once('='));
            let found = values.find(|(own, value)| *own == key && !value.is_empty());
            found.map(|(_, value)| value)
        };
        words().find(|word| word.split('=').next() == Some("nologin"))?;
        let host = value("host").filter(|host| is_host(host));
        let port = value("port").and_then(|port| port.parse::<u16>().ok());
        Some(Closed {
            server: host.map(|host| match port {
                Some(port) => format!("{host}:{port}"),
                None => host.to_owned(),
            }),
            user: value("destuser").unwrap_or(user).to_owned(),
            reason: value("reason").map(printable),
        })
    }
}

/// A name, an IPv4 address, or an IPv6 address in brackets (RFC 3986 section 3.2.2).
fn is_host(text: &str) -> bool {
    match text.strip_prefix('[').and_then(|t| t.strip_suffix(']')) {
        Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
        None => text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"-._".contains(&b)),
    }
}

fn printable(text: &str) -> String {
    let shown = |c: char| if c.is_ascii_graphic() { c } else { '?' };
    text.chars().map(shown).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn extra_fields() {
        let closed = |server: Option<&str>, user: &str, reason: Option<&str>| {
            Some(Closed {
                server: server.map(str::to_owned),
                user: user.to_owned(),
                reason: reason.map(str::to_owned),
            })
        };
        for (extra, expected) in [
            ("", None),
            ("host=elsewhere", None),
            ("reason=gone", None),
            ("nologin", closed(None, "ann", None)),
            (
                "nologin=y reason=moved\u{7}",
                closed(None, "ann", Some("moved?")),
            ),
            (
                "host=mail.example.org nologin",
                closed(Some("mail.example.org"), "ann", None),
            ),
            (
                "nologin host=[::1] port=1143 destuser=eve",
                closed(Some("[::1]:1143"), "eve", None),
            ),
            ("nologin host=a/]b", closed(None, "ann", None)),
            ("nologin host= port=x", closed(None, "ann", None)),
        ] {
            assert_eq!(Closed::new("ann", extra), expected, "{extra}");
        }
    }
}
