//! What whoever cares for mail tells of it, a line each.

use std::fmt;

/// A thing that was done or looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Report {
    /// A mailbox was compared with its files.
    Mailbox {
        mailbox: String,
        /// `ok`, `mended`, `rebuilt` or `indexed for the first time`.
        verdict: String,
        messages: u32,
        uid_validity: u32,
        uid_next: u32,
        /// UIDs whose messages were known and are not there any more, as IMAP writes sets.
        gone: String,
        /// Messages that nobody knew of.
        new: u32,
    },
    /// A mailbox is there that nobody sees, because its name is one of a namespace.
    Hidden {
        mailbox: String,
        /// What its name begins with.
        prefix: String,
    },
    /// A namespace cannot be used now, and nobody looked at what is in it.
    Absent {
        /// What names of its mailboxes begin with.
        prefix: String,
    },
    /// A mailbox cannot be looked at.
    Unusable {
        mailbox: String,
        why: String,
    },
    /// Messages of a mailbox are lost, because somebody took their files away.
    Lost {
        mailbox: String,
        /// As IMAP writes sets.
        uids: String,
    },
    /// So many messages of a mailbox are in a directory that is not there.
    Away {
        mailbox: String,
        messages: u32,
        directory: String,
    },
    /// Something is wrong with a message.
    Message {
        mailbox: String,
        uid: u32,
        /// `damaged`, `unreadable`, `misnamed`, or `repaired` where nothing is wrong any more.
        verdict: String,
        why: String,
        /// Where its octets are.
        file: String,
    },
    /// So many messages were read since the last such line.
    Scrubbed {
        messages: u32,
        octets: u64,
        /// All were read; the next scrub begins anew.
        ended: bool,
    },
    Purged {
        files: u32,
        octets: u64,
    },
    /// So many messages went to the alternate directory, or came back, so far.
    Moved {
        messages: u32,
        octets: u64,
        /// No others are to go.
        ended: bool,
    },
    /// What the index has of a mailbox.
    Room {
        mailbox: String,
        messages: u32,
        /// Messages of which fields are cached, and octets of that.
        cached: u32,
        cached_octets: u64,
        /// Of everything.
        octets: u64,
    },
    /// Which fields of a mailbox's messages the index keeps.
    Kept {
        mailbox: String,
        octets: u64,
        /// So many it may be.
        most: u64,
        /// Fields with the days on which they were last asked for.
        kept: String,
        /// Those that nobody asked for in the time for which they are kept.
        unused: String,
    },
}

/// Why messages are lost.
pub(crate) const TAKEN: &str = "somebody removed the files that they were in";

impl Report {
    /// True of messages, a mailbox or a namespace that need somebody to look at it.
    pub(crate) fn is_damage(&self) -> bool {
        match self {
            Report::Message { verdict, .. } => verdict != "repaired",
            Report::Absent { .. }
            | Report::Unusable { .. }
            | Report::Lost { .. }
            | Report::Away { .. } => true,
            _ => false,
        }
    }

    /// One line, without its end; words with tabs between them.
    pub(crate) fn encode(&self) -> String {
        let words: Vec<String> = match self {
            Report::Mailbox {
                mailbox,
                verdict,
                messages,
                uid_validity,
                uid_next,
                gone,
                new,
            } => vec![
                "mailbox".into(),
                mailbox.clone(),
                verdict.clone(),
                messages.to_string(),
                uid_validity.to_string(),
                uid_next.to_string(),
                gone.clone(),
                new.to_string(),
            ],
            Report::Hidden { mailbox, prefix } => {
                vec!["hidden".into(), mailbox.clone(), prefix.clone()]
            }
            Report::Absent { prefix } => vec!["absent".into(), prefix.clone()],
            Report::Unusable { mailbox, why } => {
                vec!["unusable".into(), mailbox.clone(), why.clone()]
            }
            Report::Lost { mailbox, uids } => vec!["lost".into(), mailbox.clone(), uids.clone()],
            Report::Away {
                mailbox,
                messages,
                directory,
            } => vec![
                "away".into(),
                mailbox.clone(),
                messages.to_string(),
                directory.clone(),
            ],
            Report::Message {
                mailbox,
                uid,
                verdict,
                why,
                file,
            } => vec![
                "message".into(),
                mailbox.clone(),
                uid.to_string(),
                verdict.clone(),
                why.clone(),
                file.clone(),
            ],
            Report::Scrubbed {
                messages,
                octets,
                ended,
            } => vec![
                "scrubbed".into(),
                messages.to_string(),
                octets.to_string(),
                ended.to_string(),
            ],
            Report::Purged { files, octets } => {
                vec!["purged".into(), files.to_string(), octets.to_string()]
            }
            Report::Moved {
                messages,
                octets,
                ended,
            } => vec![
                "moved".into(),
                messages.to_string(),
                octets.to_string(),
                ended.to_string(),
            ],
            Report::Room {
                mailbox,
                messages,
                cached,
                cached_octets,
                octets,
            } => vec![
                "room".into(),
                mailbox.clone(),
                messages.to_string(),
                cached.to_string(),
                cached_octets.to_string(),
                octets.to_string(),
            ],
            Report::Kept {
                mailbox,
                octets,
                most,
                kept,
                unused,
            } => vec![
                "kept".into(),
                mailbox.clone(),
                octets.to_string(),
                most.to_string(),
                kept.clone(),
                unused.clone(),
            ],
        };
        // Names of files may hold anything.
        let shown = |word: &String| word.replace(char::is_control, "\u{fffd}");
        words.iter().map(shown).collect::<Vec<_>>().join("\t")
    }

    /// `None` for what no version of [`Report::encode`] wrote.
    pub(crate) fn decode(line: &str) -> Option<Report> {
        let words: Vec<&str> = line.split('\t').collect();
        Some(match words.as_slice() {
            [
                "mailbox",
                mailbox,
                verdict,
                messages,
                validity,
                next,
                gone,
                new,
            ] => Report::Mailbox {
                mailbox: (*mailbox).to_owned(),
                verdict: (*verdict).to_owned(),
                messages: messages.parse().ok()?,
                uid_validity: validity.parse().ok()?,
                uid_next: next.parse().ok()?,
                gone: (*gone).to_owned(),
                new: new.parse().ok()?,
            },
            ["hidden", mailbox, prefix] => Report::Hidden {
                mailbox: (*mailbox).to_owned(),
                prefix: (*prefix).to_owned(),
            },
            ["absent", prefix] => Report::Absent {
                prefix: (*prefix).to_owned(),
            },
            ["unusable", mailbox, why] => Report::Unusable {
                mailbox: (*mailbox).to_owned(),
                why: (*why).to_owned(),
            },
            ["lost", mailbox, uids] => Report::Lost {
                mailbox: (*mailbox).to_owned(),
                uids: (*uids).to_owned(),
            },
            ["away", mailbox, messages, directory] => Report::Away {
                mailbox: (*mailbox).to_owned(),
                messages: messages.parse().ok()?,
                directory: (*directory).to_owned(),
            },
            ["message", mailbox, uid, verdict, why, file] => Report::Message {
                mailbox: (*mailbox).to_owned(),
                uid: uid.parse().ok()?,
                verdict: (*verdict).to_owned(),
                why: (*why).to_owned(),
                file: (*file).to_owned(),
            },
            ["scrubbed", messages, octets, ended] => Report::Scrubbed {
                messages: messages.parse().ok()?,
                octets: octets.parse().ok()?,
                ended: ended.parse().ok()?,
            },
            ["moved", messages, octets, ended] => Report::Moved {
                messages: messages.parse().ok()?,
                octets: octets.parse().ok()?,
                ended: ended.parse().ok()?,
            },
            ["purged", files, octets] => Report::Purged {
                files: files.parse().ok()?,
                octets: octets.parse().ok()?,
            },
            ["room", mailbox, messages, cached, cached_octets, octets] => Report::Room {
                mailbox: (*mailbox).to_owned(),
                messages: messages.parse().ok()?,
                cached: cached.parse().ok()?,
                cached_octets: cached_octets.parse().ok()?,
                octets: octets.parse().ok()?,
            },
            ["kept", mailbox, octets, most, kept, unused] => Report::Kept {
                mailbox: (*mailbox).to_owned(),
                octets: octets.parse().ok()?,
                most: most.parse().ok()?,
                kept: (*kept).to_owned(),
                unused: (*unused).to_owned(),
            },
            _ => return None,
        })
    }
}

/// For a person.
impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Report::Mailbox {
                mailbox,
                verdict,
                messages,
                uid_validity,
                uid_next,
                gone,
                new,
            } => {
                write!(f, "{mailbox}: {verdict}, {messages} messages, ")?;
                write!(f, "UIDVALIDITY {uid_validity}, UIDNEXT {uid_next}")?;
                if !gone.is_empty() {
                    write!(f, "; gone: UID {gone}")?;
                }
                match new {
                    0 => Ok(()),
                    new => write!(f, "; new: {new}"),
                }
            }
            Report::Hidden { mailbox, prefix } => write!(
                f,
                "{mailbox}: hidden by the namespace {prefix}; its messages are kept: give the namespace another \
                 prefix for as long as it takes to move them elsewhere"
            ),
            Report::Absent { prefix } => write!(
                f,
                "{prefix}: the namespace cannot be used now and was left out; the log says why"
            ),
            Report::Unusable { mailbox, why } => write!(f, "{mailbox}: cannot be used: {why}"),
            Report::Lost { mailbox, uids } => {
                write!(f, "{mailbox}: UID {uids}: lost: {TAKEN}")
            }
            Report::Away {
                mailbox,
                messages,
                directory,
            } => write!(
                f,
                "{mailbox}: {messages} messages are in {directory}, which is not there: is its disk mounted?"
            ),
            Report::Message {
                mailbox,
                uid,
                verdict,
                why,
                file,
            } => write!(f, "{mailbox}: UID {uid}: {verdict}: {why} ({file})"),
            Report::Scrubbed {
                messages, octets, ..
            } => write!(f, "read {messages} messages, {octets} octets"),
            Report::Purged { files, octets } => {
                write!(f, "purged {files} files, {octets} octets are free")
            }
            Report::Moved {
                messages, octets, ..
            } => write!(f, "moved {messages} messages, {octets} octets"),
            Report::Room {
                mailbox,
                messages,
                cached,
                cached_octets,
                octets,
            } => {
                write!(f, "{mailbox}: {messages} messages, {octets} octets, ")?;
                write!(f, "{cached_octets} of them fields of {cached} messages")
            }
            Report::Kept {
                mailbox,
                octets,
                most,
                kept,
                unused,
            } => {
                write!(f, "{mailbox}: {octets} octets of {most}")?;
                for (what, fields) in [("kept", kept), ("not kept", unused)] {
                    if !fields.is_empty() {
                        write!(f, "; {what}: {fields}")?;
                    }
                }
                Ok(())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reports_and_their_lines() {
        let mailbox = Report::Mailbox {
            mailbox: "a b".into(),
            verdict: "mended".into(),
            messages: 3,
            uid_validity: 7,
            uid_next: 9,
            gone: "4:5".into(),
            new: 1,
        };
        let message = Report::Message {
            mailbox: "INBOX".into(),
            uid: 5,
            verdict: "damaged".into(),
            why: "it had 3 octets and has 2".into(),
            file: "/m/x".into(),
        };
        let scrubbed = Report::Scrubbed {
            messages: 2,
            octets: 1 << 40,
            ended: true,
        };
        let purged = Report::Purged {
            files: 1,
            octets: 2,
        };
        let room = Report::Room {
            mailbox: "INBOX".into(),
            messages: 3,
            cached: 2,
            cached_octets: 500,
            octets: 1 << 40,
        };
        for (report, text) in [
            (
                mailbox,
                "a b: mended, 3 messages, UIDVALIDITY 7, UIDNEXT 9; gone: UID 4:5; new: 1",
            ),
            (
                message,
                "INBOX: UID 5: damaged: it had 3 octets and has 2 (/m/x)",
            ),
            (
                Report::Hidden {
                    mailbox: "Archive/a".into(),
                    prefix: "Archive/".into(),
                },
                "Archive/a: hidden by the namespace Archive/; its messages are kept: give the namespace another prefix \
                 for as long as it takes to move them elsewhere",
            ),
            (
                Report::Absent {
                    prefix: "Archive/".into(),
                },
                "Archive/: the namespace cannot be used now and was left out; the log says why",
            ),
            (
                Report::Unusable {
                    mailbox: "INBOX".into(),
                    why: "trouble".into(),
                },
                "INBOX: cannot be used: trouble",
            ),
            (
                Report::Lost {
                    mailbox: "INBOX".into(),
                    uids: "4:5".into(),
                },
                "INBOX: UID 4:5: lost: somebody removed the files that they were in",
            ),
            (
                Report::Away {
                    mailbox: "INBOX".into(),
                    messages: 7,
                    directory: "/cold/ann/storage".into(),
                },
                "INBOX: 7 messages are in /cold/ann/storage, which is not there: is its disk mounted?",
            ),
            (scrubbed, "read 2 messages, 1099511627776 octets"),
            (purged, "purged 1 files, 2 octets are free"),
            (
                Report::Moved {
                    messages: 3,
                    octets: 4,
                    ended: true,
                },
                "moved 3 messages, 4 octets",
            ),
            (
                room,
                "INBOX: 3 messages, 1099511627776 octets, 500 of them fields of 2 messages",
            ),
            (
                Report::Kept {
                    mailbox: "INBOX".into(),
                    octets: 1 << 40,
                    most: 7,
                    kept: "header 3-Dec-2026".into(),
                    unused: "preview 1-Oct-2026".into(),
                },
                "INBOX: 1099511627776 octets of 7; kept: header 3-Dec-2026; not kept: preview 1-Oct-2026",
            ),
        ] {
            assert_eq!(report.to_string(), text);
            assert_eq!(Report::decode(&report.encode()).as_ref(), Some(&report));
        }
        for line in ["", "mailbox", "message\tINBOX\tx\ta\tb\tc", "purged\t1\t-2"] {
            assert_eq!(Report::decode(line), None, "{line}");
        }
    }
}
