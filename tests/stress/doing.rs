//! What connections do.

use crate::flags::{Change, Flags};
use crate::response::set_text;
use crate::search::Key;
use crate::view::View;

#[derive(Clone, Debug)]
pub(crate) enum Doing {
    Noop,
    Idle,
    Select {
        mailbox: &'static str,
        resync: Option<Resync>,
    },
    /// Expunges without a word.
    Close,
    Fetch(Fetch),
    Store(Store),
    Expunge {
        only: Option<Vec<u32>>,
    },
    Carry(Carry),
    Append(Append),
    Search(Search),
    Status {
        mailbox: &'static str,
        /// HIGHESTMODSEQ too, which enables CONDSTORE (RFC 7162 section 3.1).
        mod_seq: bool,
    },
}

/// `QRESYNC (...)`: what the client knows (RFC 7162 section 3.2.5).
#[derive(Clone, Debug)]
pub(crate) struct Resync {
    pub(crate) validity: u32,
    pub(crate) mod_seq: u64,
    pub(crate) uids: Option<Vec<u32>>,
    /// A number and its UID.
    pub(crate) matched: Option<(u32, u32)>,
}

#[derive(Clone, Debug)]
pub(crate) struct Fetch {
    /// Else by the number that it has now.
    pub(crate) by_uid: bool,
    /// `None`: all.
    pub(crate) uids: Option<Vec<u32>>,
    pub(crate) items: Vec<&'static str>,
    pub(crate) since: Option<u64>,
    pub(crate) vanished: bool,
}

#[derive(Clone, Debug)]
pub(crate) struct Store {
    pub(crate) by_uid: bool,
    pub(crate) uids: Vec<u32>,
    pub(crate) change: Change,
    pub(crate) flags: Flags,
    pub(crate) silent: bool,
    pub(crate) unchanged: Option<u64>,
}

#[derive(Clone, Debug)]
pub(crate) struct Carry {
    pub(crate) moves: bool,
    pub(crate) by_uid: bool,
    pub(crate) uids: Vec<u32>,
    pub(crate) to: &'static str,
}

#[derive(Clone, Debug)]
pub(crate) struct Append {
    pub(crate) to: &'static str,
    pub(crate) id: String,
    pub(crate) flags: Flags,
    pub(crate) date: String,
    pub(crate) text: String,
}

#[derive(Clone, Debug)]
pub(crate) struct Search {
    pub(crate) by_uid: bool,
    pub(crate) key: Key,
    /// By a field that is the same in all messages: in the order of their numbers (RFC 5256 section 3).
    pub(crate) sorted: bool,
    /// `RETURN (MIN MAX COUNT ALL)`.
    pub(crate) extended: bool,
}

impl Doing {
    /// Whether EXPUNGE may be told before its end (RFC 3501 section 7.4.1).
    pub(crate) fn may_expunge(&self) -> bool {
        match self {
            Doing::Fetch(fetch) => fetch.by_uid,
            Doing::Store(store) => store.by_uid,
            Doing::Search(search) => search.by_uid,
            _ => true,
        }
    }

    /// The command.
    pub(crate) fn text(&self, view: &View) -> String {
        match self {
            Doing::Noop => "NOOP".to_owned(),
            Doing::Idle => "IDLE".to_owned(),
            Doing::Select { mailbox, resync } => {
                let resync = resync.as_ref().map(Resync::text).unwrap_or_default();
                format!("SELECT {mailbox}{resync}")
            }
            Doing::Close => "CLOSE".to_owned(),
            Doing::Fetch(fetch) => fetch.text(view),
            Doing::Store(store) => store.text(view),
            Doing::Expunge { only: None } => "EXPUNGE".to_owned(),
            Doing::Expunge { only: Some(uids) } => format!("UID EXPUNGE {}", set_text(uids)),
            Doing::Carry(carry) => {
                let word = if carry.moves { "MOVE" } else { "COPY" };
                let (uid, set) = messages(carry.by_uid, &carry.uids, view);
                format!("{uid}{word} {set} {}", carry.to)
            }
            Doing::Append(append) => append.command(),
            Doing::Search(search) => search.text(),
            Doing::Status { mailbox, mod_seq } => {
                let more = if *mod_seq { " HIGHESTMODSEQ" } else { "" };
                format!("STATUS {mailbox} (MESSAGES UIDNEXT UIDVALIDITY{more})")
            }
        }
    }
}

/// `UID ` if need be, and the set.
fn messages(by_uid: bool, uids: &[u32], view: &View) -> (&'static str, String) {
    if by_uid {
        return ("UID ", set_text(uids));
    }
    let places = uids.iter().filter_map(|uid| view.place(*uid));
    let numbers: Vec<u32> = places.map(|place| place as u32 + 1).collect();
    ("", set_text(&numbers))
}

impl Resync {
    fn text(&self) -> String {
        let uids = self
            .uids
            .as_ref()
            .map(|uids| format!(" {}", set_text(uids)));
        let matched = self.matched.map(|(seq, uid)| format!(" ({seq} {uid})"));
        format!(
            " (QRESYNC ({} {}{}{}))",
            self.validity,
            self.mod_seq,
            uids.unwrap_or_default(),
            matched.unwrap_or_default()
        )
    }
}

impl Fetch {
    /// Everything that tells one message from another.
    pub(crate) fn everything(condstore: bool) -> Fetch {
        let mut items = vec!["UID", "FLAGS", "BODY.PEEK[HEADER.FIELDS (MESSAGE-ID)]"];
        if condstore {
            items.push("MODSEQ");
        }
        Fetch {
            by_uid: true,
            uids: None,
            items,
            since: None,
            vanished: false,
        }
    }

    fn text(&self, view: &View) -> String {
        let (uid, set) = match &self.uids {
            Some(uids) => messages(self.by_uid, uids, view),
            None => ("UID ", "1:*".to_owned()),
        };
        let vanished = if self.vanished { " VANISHED" } else { "" };
        let since = self
            .since
            .map(|since| format!(" (CHANGEDSINCE {since}{vanished})"));
        let items = self.items.join(" ");
        format!("{uid}FETCH {set} ({items}){}", since.unwrap_or_default())
    }

    /// True if it sets `\Seen`.
    pub(crate) fn is_reading(&self) -> bool {
        self.items.iter().any(|item| item.starts_with("BODY["))
    }
}

impl Store {
    fn text(&self, view: &View) -> String {
        let (uid, set) = messages(self.by_uid, &self.uids, view);
        let unchanged = self.unchanged.map(|n| format!(" (UNCHANGEDSINCE {n})"));
        let silent = if self.silent { ".SILENT" } else { "" };
        let (sign, flags) = (self.change.sign(), self.flags.words());
        let unchanged = unchanged.unwrap_or_default();
        format!("{uid}STORE {set}{unchanged} {sign}FLAGS{silent} ({flags})")
    }
}

impl Append {
    fn command(&self) -> String {
        let (to, date, text) = (self.to, &self.date, &self.text);
        let (flags, octets) = (self.flags.words(), text.len());
        format!("APPEND {to} ({flags}) \"{date}\" {{{octets}+}}\r\n{text}")
    }
}

impl Search {
    fn text(&self) -> String {
        let uid = if self.by_uid { "UID " } else { "" };
        let extended = if self.extended {
            "RETURN (MIN MAX COUNT ALL) "
        } else {
            ""
        };
        let (word, order) = match self.sorted {
            true => ("SORT", "(REVERSE TO) UTF-8 "),
            false => ("SEARCH", ""),
        };
        format!("{uid}{word} {extended}{order}{}", self.key.text())
    }
}
