//! The table `[pop3]`.

use super::amount::{duration_text, parse_duration};
use super::document::quoted;
use super::manual::POP3;
use super::reader::{Part, Reader};
use crate::mail::{Keyword, UidlFormat};
use std::time::Duration;

/// How POP3 is spoken.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Pop3 {
    pub(crate) uidl_format: UidlFormat,
    /// Of two messages with the same unique-id the second gets another one.
    pub(crate) rename_duplicates: bool,
    /// What stands in the header field X-UIDL is the unique-id.
    pub(crate) reuse_xuidl: bool,
    /// What a client was told is the unique-id for ever.
    pub(crate) save_uidl: bool,
    /// One session at a time.
    pub(crate) lock_session: bool,
    /// RETR sets no `\Seen`.
    pub(crate) no_flag_updates: bool,
    pub(crate) delete: Delete,
    /// Messages that have it are not there for POP3.
    pub(crate) deleted_flag: Option<Keyword>,
    /// Who stored a password as it is may log in without sending it (RFC 1939 section 7, APOP).
    pub(crate) apop: bool,
    /// LAST is served (RFC 1081).
    pub(crate) enable_last: bool,
    /// From a login of a user to the next one, at least; zero: any time.
    pub(crate) login_delay: Duration,
    /// NUL goes out as 0x80.
    pub(crate) no_nuls: bool,
    /// A header without a body gets its empty line.
    pub(crate) end_of_header: bool,
}

/// What QUIT does to messages that DELE marked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Delete {
    #[default]
    Expunge,
    /// They get `deleted_flag`.
    Flag,
}

const MAX_DELAY: Duration = Duration::from_secs(24 * 60 * 60);

const DUPLICATES: [(&str, bool); 2] = [("allow", false), ("rename", true)];

const DELETES: [(&str, Option<Delete>); 3] = [
    ("default", None),
    ("expunge", Some(Delete::Expunge)),
    ("flag", Some(Delete::Flag)),
];

const WORKAROUNDS: [&str; 2] = ["outlook-no-nuls", "oe-ns-eoh"];

impl Pop3 {
    /// Settings that are on or off, by their names.
    pub(super) fn flags(&self) -> [(&'static str, bool); 6] {
        [
            ("reuse_xuidl", self.reuse_xuidl),
            ("save_uidl", self.save_uidl),
            ("lock_session", self.lock_session),
            ("no_flag_updates", self.no_flag_updates),
            ("apop", self.apop),
            ("enable_last", self.enable_last),
        ]
    }

    /// As in the configuration file.
    pub(super) fn login_delay(&self) -> String {
        let milliseconds = u64::try_from(self.login_delay.as_millis());
        duration_text(milliseconds.unwrap_or(u64::MAX))
    }

    /// The word of the configuration file, as the next two.
    pub(super) fn duplicates(&self) -> &'static str {
        match self.rename_duplicates {
            true => "rename",
            false => "allow",
        }
    }

    pub(super) fn delete_type(&self) -> &'static str {
        match self.delete {
            Delete::Expunge => "expunge",
            Delete::Flag => "flag",
        }
    }

    pub(super) fn workarounds(&self) -> impl Iterator<Item = &'static str> {
        let on = [self.no_nuls, self.end_of_header];
        WORKAROUNDS
            .into_iter()
            .zip(on)
            .filter(|(_, on)| *on)
            .map(|(name, _)| name)
    }
}

pub(super) fn read(reader: &mut Reader<'_>, top: &Part<'_>) -> Option<Pop3> {
    let part = reader.table(top, POP3)?;
    let deleted_flag = keyword(reader, &part);
    let wanted = reader.word(&part, "delete_type", &DELETES).flatten();
    if wanted == Some(Delete::Flag)
        && deleted_flag.is_none()
        && let Some(node) = part.table.node("delete_type")
    {
        let message = "`delete_type` = \"flag\" needs a `deleted_flag`";
        reader.faults.add(node.at, message);
    }
    let given = match deleted_flag {
        Some(_) => Delete::Flag,
        None => Delete::Expunge,
    };
    let mut flag = |key| reader.flag(&part, key).unwrap_or(false);
    let mut pop3 = Pop3 {
        reuse_xuidl: flag("reuse_xuidl"),
        save_uidl: flag("save_uidl"),
        lock_session: flag("lock_session"),
        no_flag_updates: flag("no_flag_updates"),
        apop: flag("apop"),
        enable_last: flag("enable_last"),
        delete: wanted.unwrap_or(given),
        deleted_flag,
        ..Pop3::default()
    };
    let duplicates = reader.word(&part, "uidl_duplicates", &DUPLICATES);
    pop3.rename_duplicates = duplicates.unwrap_or(false);
    if let Some((at, text)) = reader.text(&part, "uidl_format") {
        match UidlFormat::parse(text) {
            Some(format) => pop3.uidl_format = format,
            None => {
                let message = format!(
                    "{} is no format of unique-ids; known are %{{uid}}, %{{uidvalidity}}, %{{md5}}, %{{filename}} and %{{guid}}, the first two also as %{{uid | hex(8)}}, the others as %{{filename | md5}}, lower or upper",
                    quoted(text)
                );
                reader.faults.add(at, message);
            }
        }
    }
    pop3.login_delay = delay(reader, &part).unwrap_or_default();
    workarounds(reader, &part, &mut pop3);
    Some(pop3)
}

/// Whole seconds, which clients are told, and a day at most.
fn delay(reader: &mut Reader<'_>, part: &Part<'_>) -> Option<Duration> {
    let (at, text) = reader.text(part, "login_delay")?;
    let read = parse_duration(text).ok().map(Duration::from_millis);
    let whole = |delay: &Duration| delay.subsec_millis() == 0 && *delay <= MAX_DELAY;
    let read = read.filter(whole);
    if read.is_none() {
        let message = format!(
            "{} is no time such as \"10m\", of a day at most",
            quoted(text)
        );
        reader.faults.add(at, message);
    }
    read
}

fn keyword(reader: &mut Reader<'_>, part: &Part<'_>) -> Option<Keyword> {
    let (at, text) = reader.text(part, "deleted_flag")?;
    let keyword = Keyword::new(text);
    if keyword.is_none() {
        let message = format!("{} is no keyword; write \"$POP3Deleted\"", quoted(text));
        reader.faults.add(at, message);
    }
    keyword
}

fn workarounds(reader: &mut Reader<'_>, part: &Part<'_>, pop3: &mut Pop3) {
    let names = reader.texts(part, "client_workarounds");
    for (at, name) in names.unwrap_or_default() {
        match name {
            "outlook-no-nuls" => pop3.no_nuls = true,
            "oe-ns-eoh" => pop3.end_of_header = true,
            other => {
                let message = super::reader::no_choice("client_workarounds", other, &WORKAROUNDS);
                reader.faults.add(at, message);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::settings;
    use super::super::{parse, show};
    use super::*;

    fn read(text: &str) -> Result<Pop3, String> {
        let config = parse(text, settings());
        config.map(|c| c.pop3).map_err(|f| f[0].to_string())
    }

    #[test]
    fn all_of_it_is_read_and_shown() {
        let text = "[pop3]\nuidl_format = \"%08Xv%08Xu\"\nuidl_duplicates = \"rename\"\nreuse_xuidl = true\n\
                    save_uidl = true\nlock_session = true\nno_flag_updates = true\ndeleted_flag = \"$x\"\n\
                    apop = true\nenable_last = true\nlogin_delay = \"15m\"\nclient_workarounds = [\"oe-ns-eoh\", \"outlook-no-nuls\"]\n";
        let all = Pop3 {
            uidl_format: UidlFormat::parse("%08Xv%08Xu").unwrap(),
            rename_duplicates: true,
            reuse_xuidl: true,
            save_uidl: true,
            lock_session: true,
            no_flag_updates: true,
            delete: Delete::Flag,
            deleted_flag: Keyword::new("$x"),
            apop: true,
            enable_last: true,
            login_delay: Duration::from_secs(900),
            no_nuls: true,
            end_of_header: true,
        };
        assert_eq!(read(text), Ok(all.clone()));
        let config = parse(text, settings()).unwrap();
        assert_eq!(read(&show(&config)), Ok(all));
        assert_eq!(read(""), Ok(Pop3::default()));
        let expunged = read("[pop3]\ndeleted_flag = \"$x\"\ndelete_type = \"expunge\"\n");
        assert_eq!(expunged.unwrap().delete, Delete::Expunge);
    }

    #[test]
    fn what_is_wrong_is_told() {
        for (text, fault) in [
            (
                "[pop3]\nuidl_format = \"%q\"",
                "2:15: \"%q\" is no format of unique-ids; known are %{uid}, %{uidvalidity}, %{md5}, %{filename} and %{guid}, the first two also as %{uid | hex(8)}, the others as %{filename | md5}, lower or upper",
            ),
            (
                "[pop3]\ndelete_type = \"flag\"",
                "2:15: `delete_type` = \"flag\" needs a `deleted_flag`",
            ),
            (
                "[pop3]\ndeleted_flag = \"a b\"",
                "2:16: \"a b\" is no keyword; write \"$POP3Deleted\"",
            ),
            (
                "[pop3]\nlogin_delay = \"1500ms\"",
                "2:15: \"1500ms\" is no time such as \"10m\", of a day at most",
            ),
            (
                "[pop3]\nclient_workarounds = [\"oe-ns-eoj\"]",
                "2:23: `client_workarounds` cannot be \"oe-ns-eoj\"; did you mean \"oe-ns-eoh\"?",
            ),
            (
                "[pop3]\nuidl_duplicates = \"x\"",
                "2:19: `uidl_duplicates` cannot be \"x\"; write \"allow\" or \"rename\"",
            ),
        ] {
            assert_eq!(read(text), Err(fault.to_owned()));
        }
    }
}
