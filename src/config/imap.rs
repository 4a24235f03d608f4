//! The table `[imap]`.

use super::document::quoted;
use super::manual::IMAP;
use super::reader::{Part, Reader};

/// How IMAP is spoken.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Imap {
    /// How to reach who runs the server: a URI (RFC 5464 section 3.2.1.1).
    pub(crate) admin: Option<String>,
    pub(crate) fetch_failure: FetchFailure,
    pub(crate) workarounds: Workarounds,
}

/// What follows when a message that a client fetches cannot be read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum FetchFailure {
    /// The session ends there.
    DisconnectImmediately,
    /// The other messages are told, then the session ends.
    DisconnectAfter,
    /// The other messages are told, then NO says that some are missing.
    #[default]
    NoAfter,
}

impl FetchFailure {
    /// With the words of the configuration file.
    pub(crate) const ALL: [(&str, FetchFailure); 3] = [
        (
            "disconnect-immediately",
            FetchFailure::DisconnectImmediately,
        ),
        ("disconnect-after", FetchFailure::DisconnectAfter),
        ("no-after", FetchFailure::NoAfter),
    ];

    pub(super) fn word(self) -> &'static str {
        let word = |(word, own): &(&'static str, FetchFailure)| (*own == self).then_some(*word);
        FetchFailure::ALL.iter().find_map(word).unwrap_or_default()
    }
}

/// What old clients need that is not quite as the standards have it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Workarounds {
    /// News of the selected mailbox are told by NOOP, CHECK and IDLE only.
    pub(crate) delay_newmail: bool,
    /// A `/` behind the name of a mailbox is no part of it; so it is in any case.
    pub(crate) extra_separator: bool,
    /// LSUB says of subscribed names that they cannot be selected.
    pub(crate) lsub_flags: bool,
}

impl Workarounds {
    #[cfg(test)]
    pub(crate) const NONE: Workarounds = Workarounds {
        delay_newmail: false,
        extra_separator: false,
        lsub_flags: false,
    };
    #[cfg(test)]
    pub(crate) const ALL: Workarounds = Workarounds {
        delay_newmail: true,
        extra_separator: true,
        lsub_flags: true,
    };
}

const WORKAROUNDS: [&str; 3] = ["delay-newmail", "tb-extra-mailbox-sep", "tb-lsub-flags"];

impl Imap {
    /// The words of the configuration file.
    pub(super) fn workarounds(&self) -> impl Iterator<Item = &'static str> {
        let own = self.workarounds;
        let on = [own.delay_newmail, own.extra_separator, own.lsub_flags];
        let named = WORKAROUNDS.into_iter().zip(on);
        named.filter(|(_, on)| *on).map(|(name, _)| name)
    }
}

pub(super) fn read(reader: &mut Reader<'_>, top: &Part<'_>) -> Option<Imap> {
    let part = reader.table(top, IMAP)?;
    let mut imap = Imap::default();
    if let Some((at, text)) = reader.text(&part, "admin") {
        match is_uri(text) {
            true => imap.admin = Some(text.to_owned()),
            false => {
                let message = format!(
                    "{} is no URI; write \"mailto:postmaster@example.org\"",
                    quoted(text)
                );
                reader.faults.add(at, message);
            }
        }
    }
    let failure = reader.word(&part, "fetch_failure", &FetchFailure::ALL);
    imap.fetch_failure = failure.unwrap_or_default();
    let names = reader.texts(&part, "client_workarounds");
    for (at, name) in names.unwrap_or_default() {
        match name {
            "delay-newmail" => imap.workarounds.delay_newmail = true,
            "tb-extra-mailbox-sep" => imap.workarounds.extra_separator = true,
            "tb-lsub-flags" => imap.workarounds.lsub_flags = true,
            other => {
                let message = super::reader::no_choice("client_workarounds", other, &WORKAROUNDS);
                reader.faults.add(at, message);
            }
        }
    }
    Some(imap)
}

/// `scheme ":" ...` without blanks (RFC 3986 section 3).
fn is_uri(text: &str) -> bool {
    let named = |(scheme, rest): &(&str, &str)| {
        let of_scheme = |b: u8| b.is_ascii_alphanumeric() || b"+-.".contains(&b);
        scheme.starts_with(|c: char| c.is_ascii_alphabetic())
            && scheme.bytes().all(of_scheme)
            && !rest.is_empty()
    };
    let shown = text.bytes().all(|b| b.is_ascii_graphic());
    shown && text.split_once(':').as_ref().is_some_and(named)
}

#[cfg(test)]
mod tests {
    use super::super::tests::settings;
    use super::super::{parse, show};
    use super::*;

    fn read(text: &str) -> Result<Imap, String> {
        let config = parse(text, settings());
        config.map(|c| c.imap).map_err(|f| f[0].to_string())
    }

    #[test]
    fn all_of_it_is_read_and_shown() {
        let text = "[imap]\nadmin = \"mailto:a@example.org\"\nfetch_failure = \"disconnect-after\"\n\
                    client_workarounds = [\"tb-lsub-flags\", \"delay-newmail\", \"tb-extra-mailbox-sep\"]\n";
        let all = Imap {
            admin: Some("mailto:a@example.org".to_owned()),
            fetch_failure: FetchFailure::DisconnectAfter,
            workarounds: Workarounds::ALL,
        };
        assert_eq!(read(text), Ok(all.clone()));
        let config = parse(text, settings()).unwrap();
        assert_eq!(read(&show(&config)), Ok(all));
        assert_eq!(read(""), Ok(Imap::default()));
    }

    #[test]
    fn what_is_wrong_is_told() {
        for (text, fault) in [
            (
                "[imap]\nadmin = \"me\"",
                "2:9: \"me\" is no URI; write \"mailto:postmaster@example.org\"",
            ),
            (
                "[imap]\nadmin = \"tel: 1\"",
                "2:9: \"tel: 1\" is no URI; write \"mailto:postmaster@example.org\"",
            ),
            (
                "[imap]\nadmin = \"1x:y\"",
                "2:9: \"1x:y\" is no URI; write \"mailto:postmaster@example.org\"",
            ),
            (
                "[imap]\nfetch_failure = \"no-aftr\"",
                "2:17: `fetch_failure` cannot be \"no-aftr\"; did you mean \"no-after\"?",
            ),
            (
                "[imap]\nclient_workarounds = [\"delay-newmial\"]",
                "2:23: `client_workarounds` cannot be \"delay-newmial\"; did you mean \"delay-newmail\"?",
            ),
        ] {
            assert_eq!(read(text), Err(fault.to_owned()));
        }
    }
}
