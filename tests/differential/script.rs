//! Random commands that both servers understand.

use crate::mails::mail;
use crate::support::Random;

/// Mailboxes of the script, as they stand in a command.
const NAMES: [&str; 7] = [
    "INBOX",
    "work",
    "work/plans",
    "old",
    "a/b",
    "&APw-bung",
    "\"two words\"",
];

/// Those that come and go; below `old` there can be more.
const LEAVES: [&str; 3] = ["a/b", "&APw-bung", "\"two words\""];

const FLAGS: [&str; 6] = [
    "\\Seen",
    "\\Flagged",
    "\\Answered \\Draft",
    "red",
    "$Forwarded",
    "\\Deleted",
];

const ITEMS: [&str; 24] = [
    "FLAGS",
    "UID",
    "INTERNALDATE",
    "RFC822.SIZE",
    "ENVELOPE",
    "BODYSTRUCTURE",
    "BODY",
    "BODY.PEEK[]",
    "BODY.PEEK[HEADER]",
    "BODY.PEEK[TEXT]",
    "BODY.PEEK[HEADER.FIELDS (SUBJECT X-COLOUR)]",
    "BODY.PEEK[HEADER.FIELDS.NOT (SUBJECT TO)]",
    "BODY.PEEK[1]",
    "BODY.PEEK[1.MIME]",
    "BODY.PEEK[2.1]",
    "BODY.PEEK[]<10.100>",
    "BODY[TEXT]<0.20>",
    "RFC822.HEADER",
    "BINARY.PEEK[1]",
    "BINARY.PEEK[1]<2.9>",
    "BINARY[2]",
    "PREVIEW",
    "PREVIEW (FUZZY)",
    "SNIPPET",
];

const KEYS: [&str; 35] = [
    "ALL",
    "SEEN",
    "UNSEEN",
    "FLAGGED",
    "UNANSWERED",
    "DELETED",
    "DRAFT",
    "KEYWORD red",
    "UNKEYWORD $Forwarded",
    "SUBJECT apple",
    "SUBJECT \"gr\u{fc}n\"",
    "FROM zoe",
    "TO ann@example.org",
    "CC carl",
    "BODY banana",
    "TEXT inner",
    "HEADER X-Colour red",
    "HEADER Message-ID \"\"",
    "LARGER 600",
    "SMALLER 900",
    "SINCE 5-Feb-2026",
    "BEFORE 5-Feb-2026",
    "ON 3-Feb-2026",
    "SENTSINCE 10-Feb-2026",
    "SENTBEFORE 20-Feb-2026",
    "SENTON 7-Feb-2026",
    "1:3",
    "2:*",
    "UID 4:9",
    "UID 1:*",
    "OLDER 86400",
    "YOUNGER 86400",
    "MODSEQ 1",
    "NOT 1",
    "$",
];

/// What is done at both servers.
pub(crate) enum Step {
    /// A command as it is.
    Send(String),
    /// SELECT with what was known of the mailbox when it was left, if that is so.
    Resume(&'static str),
    /// FETCH of what changed since the mailbox was selected.
    Changed(String),
    /// A search of whose results the client is kept informed.
    Update(String),
    /// No longer of the last one.
    Cancel,
}

/// Makes commands that suit what was done before.
pub(crate) struct Script {
    pub(crate) random: Random,
    selected: Option<&'static str>,
    read_only: bool,
    mails: u64,
    enabled: bool,
    /// What another connection has selected.
    pub(crate) others: Option<&'static str>,
}

impl Script {
    pub(crate) fn new(seed: u64) -> Script {
        Script {
            random: Random::new(seed),
            selected: None,
            read_only: false,
            mails: 0,
            enabled: false,
            others: None,
        }
    }

    pub(crate) fn pick<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.random.below(all.len() as u64) as usize]
    }

    pub(crate) fn chance(&mut self, in_a_hundred: u64) -> bool {
        self.random.below(100) < in_a_hundred
    }

    pub(crate) fn name(&mut self) -> &'static str {
        match self.chance(40) {
            true => "INBOX",
            false => self.pick(&NAMES),
        }
    }

    /// The mailbox that is selected, if any.
    pub(crate) fn selected(&self) -> Option<&'static str> {
        self.selected
    }

    /// What was selected is not.
    pub(crate) fn failed_to_select(&mut self) {
        self.selected = None;
    }

    /// The next thing to do; `count` messages are in the selected mailbox.
    pub(crate) fn step(&mut self, count: usize) -> Step {
        if self.selected.is_none() || self.chance(6) {
            return self.between();
        }
        if self.chance(35) {
            return Step::Send(self.append());
        }
        if count == 0 {
            return Step::Send("NOOP".to_owned());
        }
        self.inside(count)
    }

    /// Commands of the authenticated state.
    fn between(&mut self) -> Step {
        let name = self.name();
        let other = self.pick(&NAMES[1..]);
        // Who deletes or renames what is selected is told in different ways; so is who makes a mailbox
        // below one that is not there.
        let aside = ![self.selected, self.others].contains(&Some(name)) && LEAVES.contains(&name);
        let command = match self.random.below(28) {
            0 => format!("CREATE {other}"),
            1 if aside => format!("DELETE {name}"),
            2 if aside => format!("RENAME {name} old/{}", self.random.below(5)),
            3 => format!("SUBSCRIBE {name}"),
            4 => format!("UNSUBSCRIBE {name}"),
            5 => "LIST \"\" *".to_owned(),
            6 => "LIST \"\" %".to_owned(),
            7 => "LIST \"\" work/%".to_owned(),
            8 => "LSUB \"\" *".to_owned(),
            9 => "LIST (SUBSCRIBED) \"\" * RETURN (CHILDREN)".to_owned(),
            10 => "LIST \"\" * RETURN (CHILDREN SUBSCRIBED)".to_owned(),
            11 if self.selected.is_none() => {
                "LIST \"\" * RETURN (CHILDREN STATUS (MESSAGES UNSEEN UIDNEXT SIZE))".to_owned()
            }
            12 | 13 if Some(name) != self.selected => {
                format!("STATUS {name} (MESSAGES UIDNEXT UIDVALIDITY UNSEEN SIZE)")
            }
            14 => "NAMESPACE".to_owned(),
            15 if !self.enabled => {
                self.enabled = true;
                "ENABLE QRESYNC".to_owned()
            }
            16 | 17 => return Step::Send(self.append()),
            18 if self.enabled => {
                self.select(name, false);
                return Step::Resume(name);
            }
            19 => self.metadata(),
            20 => self.metadata(),
            21 => self.notify(),
            22 => {
                self.select(name, true);
                format!("EXAMINE {name}")
            }
            _ => {
                self.select(name, false);
                format!("SELECT {name}")
            }
        };
        Step::Send(command)
    }

    fn select(&mut self, name: &'static str, read_only: bool) {
        self.selected = Some(name);
        self.read_only = read_only;
    }

    fn append(&mut self) -> String {
        let name = self.name();
        let messages = if self.chance(10) { 2 } else { 1 };
        let mut command = format!("APPEND {name}");
        for _ in 0..messages {
            let text = match self.chance(10) {
                true => self.catenate(),
                false => {
                    self.mails += 1;
                    let text = mail(&mut self.random, self.mails);
                    format!("{{{}+}}\r\n{text}", text.len())
                }
            };
            let flags = self.pick(&FLAGS);
            let day = 1 + self.random.below(9);
            command.push_str(&format!(
                " ({flags}) \" {day}-Feb-2026 10:00:00 +0000\" {text}"
            ));
        }
        command
    }

    fn set(&mut self, count: usize) -> String {
        if self.chance(5) {
            return "$".to_owned();
        }
        let count = count as u64;
        let first = 1 + self.random.below(count);
        match self.random.below(4) {
            0 => first.to_string(),
            1 => format!("{first}:{}", (first + self.random.below(4)).min(count)),
            2 => format!("{first},{}", 1 + self.random.below(count)),
            _ => "*".to_owned(),
        }
    }

    /// A set with its form of the command; UIDs may name nothing.
    fn by(&mut self, count: usize) -> (&'static str, String) {
        match self.chance(50) {
            true => ("", self.set(count)),
            false => ("UID ", self.set(count + 5)),
        }
    }

    /// Commands of the selected state.
    fn inside(&mut self, count: usize) -> Step {
        let (uid, set) = self.by(count);
        let command = match self.random.below(23) {
            0..=2 if !self.read_only => {
                let how = self.pick(&["+FLAGS", "-FLAGS", "FLAGS", "+FLAGS.SILENT"]);
                format!("{uid}STORE {set} {how} ({})", self.pick(&FLAGS))
            }
            3 if !self.read_only => "EXPUNGE".to_owned(),
            4 if !self.read_only => format!("UID EXPUNGE {}", self.set(count + 5)),
            5 => format!("{uid}COPY {set} {}", self.name()),
            6 if !self.read_only => {
                let name = self.name();
                match Some(name) == self.selected {
                    true => "CHECK".to_owned(),
                    false => format!("{uid}MOVE {set} {name}"),
                }
            }
            7..=11 => {
                let items: Vec<&str> = (0..1 + self.random.below(4))
                    .map(|_| self.pick(&ITEMS))
                    .collect();
                format!("{uid}FETCH {set} ({})", items.join(" "))
            }
            12 | 13 => format!(
                "{uid}SEARCH {}{}",
                self.returns("MIN MAX COUNT ALL"),
                self.searched()
            ),
            14 => {
                // Not by texts, and below no ORDEREDSUBJECT: Dovecot 2.3 does not sort texts that are equal
                // by what comes next (RFC 5256 section 3), and with RETURN (COUNT) it misses some.
                let keys = ["ARRIVAL", "DATE", "SIZE", "REVERSE DATE", "REVERSE SIZE"];
                format!(
                    "{uid}SORT {}({} ARRIVAL) UTF-8 {}",
                    self.returns("MIN MAX COUNT ALL"),
                    self.pick(&keys),
                    self.criteria()
                )
            }
            15 => {
                let how = self.pick(&["REFERENCES", "REFS"]);
                format!("{uid}THREAD {how} UTF-8 {}", self.criteria())
            }
            16 if self.enabled => {
                return Step::Changed(if self.chance(50) { " VANISHED" } else { "" }.to_owned());
            }
            17 => self.save(uid),
            18 | 19 => return self.update(uid),
            20 => {
                self.selected = None;
                if self.chance(50) { "CLOSE" } else { "UNSELECT" }.to_owned()
            }
            _ => "NOOP".to_owned(),
        };
        Step::Send(command)
    }

    fn returns(&mut self, options: &str) -> String {
        let options: Vec<&str> = options.split(' ').collect();
        match self.chance(40) {
            true => format!("RETURN ({}) ", self.pick(&options)),
            false => String::new(),
        }
    }

    fn searched(&mut self) -> String {
        // Dovecot 2.3 ends the session where INTHREAD stands below NOT in a SORT.
        let thread = match self.random.below(8) {
            0 => "INTHREAD REFS ",
            1 => "INTHREAD REFERENCES ",
            _ => return format!("CHARSET UTF-8 {}", self.criteria()),
        };
        // Nor does it tell the mod-sequence of a search that asks for one below INTHREAD (RFC 7162 section
        // 3.1.5).
        let inner = match self.key() {
            key if key.starts_with("MODSEQ") => "SEEN".to_owned(),
            key => key,
        };
        format!("CHARSET UTF-8 {thread}{inner} {}", self.key())
    }

    pub(crate) fn criteria(&mut self) -> String {
        let one = self.key();
        match self.random.below(5) {
            0 => format!("{one} {}", self.key()),
            1 => format!("OR {one} {}", self.key()),
            2 => format!("NOT {one}"),
            3 => format!("({one} NOT {})", self.key()),
            _ => one,
        }
    }

    /// A key; what is no ASCII as a literal, which alone may hold it (RFC 3501 section 9).
    fn key(&mut self) -> String {
        let key = self.pick(&KEYS);
        match key.split_once('"').filter(|_| !key.is_ascii()) {
            Some((before, text)) => {
                let text = text.trim_end_matches('"');
                format!("{before}{{{}+}}\r\n{text}", text.len())
            }
            None => key.to_owned(),
        }
    }
}
