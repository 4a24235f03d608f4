//! Random commands of extensions that both servers have: METADATA, CATENATE, SEARCHRES, CONTEXT=SEARCH and
//! NOTIFY of the selected mailbox.

use crate::script::{Script, Step};

const ENTRIES: [&str; 4] = [
    "/private/comment",
    "/shared/comment",
    "/private/vendor/x/y",
    "/shared/vendor/x/y/z",
];

/// Searches whose results change with flags, and such that stay. Not by keywords: Dovecot 2.3 ends the
/// session when something comes then.
const LASTING: [&str; 6] = [
    "ALL",
    "SEEN",
    "UNFLAGGED",
    "SUBJECT apple",
    "NOT DELETED",
    "OR DRAFT SEEN",
];

/// Mailboxes as URLs and as commands have them.
const IN_URLS: [(&str, &str); 6] = [
    ("INBOX", "INBOX"),
    ("work", "work"),
    ("a/b", "a/b"),
    ("%C3%BCbung", "&APw-bung"),
    ("two%20words", "\"two words\""),
    ("nowhere", "nowhere"),
];

/// The mailboxes that the URLs of a command name, as commands have them.
pub(crate) fn mailboxes(command: &str) -> impl Iterator<Item = &'static str> {
    let named = |(url, _): &&(&str, &str)| command.contains(&format!("URL \"/{url}/;"));
    IN_URLS.iter().filter(named).map(|(_, name)| *name)
}

impl Script {
    /// RFC 5464.
    pub(crate) fn metadata(&mut self) -> String {
        // A comment on the server is there a setting of Dovecot.
        let (name, entries) = match self.chance(20) {
            true => ("\"\"", &ENTRIES[2..]),
            false => (self.name(), &ENTRIES[..]),
        };
        let (entry, other) = (self.pick(entries), self.pick(entries));
        match self.random.below(9) {
            0..=2 => {
                // No literal: of a mailbox that is not there Dovecot 2.3 reads it as commands.
                let value = self.pick(&["NIL", "\"one\"", "\"a\\\"\\\\b\"", "\"two words\""]);
                format!("SETMETADATA {name} ({entry} {value})")
            }
            3 if entry != other => format!("SETMETADATA {name} ({entry} NIL {other} \"both\")"),
            4 => format!("GETMETADATA {name} {entry}"),
            5 => format!("GETMETADATA (DEPTH 1) {name} (/private/vendor /shared)"),
            6 => format!("GETMETADATA (MAXSIZE 3) {name} {entry}"),
            7 => format!("GETMETADATA (DEPTH infinity) {name} /shared"),
            _ => format!("GETMETADATA {name} ({entry} /private/nothing)"),
        }
    }

    /// RFC 4469: what goes into a message that is put together.
    pub(crate) fn catenate(&mut self) -> String {
        let text = |text: &str| format!("TEXT {{{}+}}\r\n{text}", text.len());
        let head =
            "Date: 08 Feb 2026 10:00:00 +0000\r\nSubject: put together\r\nX-Colour: red\r\n\r\n";
        let first = text(head);
        let mut parts = vec![first];
        for _ in 0..1 + self.random.below(2) {
            let part = match self.chance(70) {
                true => self.url(),
                false => text("a banana\r\n"),
            };
            parts.push(part);
        }
        format!("CATENATE ({})", parts.join(" "))
    }

    fn url(&mut self) -> String {
        let (name, _) = self.pick(&IN_URLS);
        let uid = 1 + self.random.below(9);
        // Not part 1, which may end otherwise there (`differences.tsv`).
        let section = self.pick(&[
            "",
            "/;SECTION=TEXT",
            "/;SECTION=1.MIME",
            "/;SECTION=HEADER",
            "/;SECTION=TEXT/;PARTIAL=3.20",
            "/;PARTIAL=10",
        ]);
        format!("URL \"/{name}/;UID={uid}{section}\"")
    }

    /// RFC 5182.
    pub(crate) fn save(&mut self, uid: &str) -> String {
        let options = self.pick(&[
            "SAVE",
            "SAVE MIN",
            "SAVE MIN MAX",
            "SAVE ALL",
            "SAVE COUNT MAX",
        ]);
        let criteria = self.criteria();
        format!("{uid}SEARCH RETURN ({options}) CHARSET UTF-8 {criteria}")
    }

    /// RFC 5267, which also ends what it began.
    pub(crate) fn update(&mut self, uid: &str) -> Step {
        if self.chance(50) {
            return Step::Cancel;
        }
        let options = self.pick(&["UPDATE", "UPDATE ALL", "UPDATE COUNT", "UPDATE MIN"]);
        let key = self.pick(&LASTING);
        Step::Update(format!("{uid}SEARCH RETURN ({options}) {key}"))
    }

    /// RFC 5465.
    pub(crate) fn notify(&mut self) -> String {
        let filter = self.pick(&["selected", "selected-delayed"]);
        // No header: Dovecot 2.3 ends the session when another mailbox is selected then.
        let items = self.pick(&["", " (UID FLAGS)", " (UID BODY.PEEK[TEXT])"]);
        let flags = self.pick(&["", " FlagChange"]);
        format!("NOTIFY SET ({filter} (MessageNew{items} MessageExpunge{flags}))")
    }
}
