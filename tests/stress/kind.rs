//! Kinds of clients.

/// What a client asked for, which decides what it is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Kind {
    pub(crate) name: &'static str,
    /// Of ENABLE; empty: nothing.
    pub(crate) enable: &'static str,
    /// MODSEQ is told (RFC 7162 section 3.1).
    pub(crate) condstore: bool,
    /// Leaves and comes back with what it knows (RFC 7162 section 3.2.5).
    pub(crate) qresync: bool,
    /// RFC 9586.
    pub(crate) uid_only: bool,
    pub(crate) compress: bool,
    /// Of NOTIFY; empty: nothing.
    pub(crate) notify: &'static str,
    /// Is told of expunges at any time (RFC 5465 section 5.3).
    pub(crate) expunges_unasked: bool,
    /// Waits in IDLE more often than others.
    pub(crate) idles: bool,
}

const PLAIN: Kind = Kind {
    name: "plain",
    enable: "",
    condstore: false,
    qresync: false,
    uid_only: false,
    compress: false,
    notify: "",
    expunges_unasked: false,
    idles: false,
};

const QRESYNC: Kind = Kind {
    name: "qresync",
    enable: "QRESYNC",
    condstore: true,
    qresync: true,
    ..PLAIN
};

const NEW: &str = "MessageNew (UID FLAGS BODY.PEEK[HEADER.FIELDS (MESSAGE-ID)])";

/// One connection of each.
pub(crate) const KINDS: [Kind; 9] = [
    PLAIN,
    Kind {
        name: "condstore",
        enable: "CONDSTORE",
        condstore: true,
        ..PLAIN
    },
    QRESYNC,
    Kind {
        name: "compress",
        compress: true,
        ..QRESYNC
    },
    Kind {
        name: "uidonly",
        enable: "UIDONLY",
        uid_only: true,
        ..PLAIN
    },
    Kind {
        name: "uidonly-qresync",
        enable: "UIDONLY QRESYNC",
        uid_only: true,
        ..QRESYNC
    },
    Kind {
        name: "idle",
        idles: true,
        ..PLAIN
    },
    Kind {
        name: "notify",
        enable: "CONDSTORE",
        condstore: true,
        notify: "selected",
        expunges_unasked: true,
        ..PLAIN
    },
    Kind {
        name: "notify-delayed",
        notify: "selected-delayed",
        idles: true,
        ..PLAIN
    },
];

impl Kind {
    pub(crate) fn named(name: &str) -> &'static Kind {
        let kind = KINDS.iter().find(|kind| kind.name == name);
        kind.unwrap_or(&KINDS[0])
    }

    /// VANISHED is told instead of EXPUNGE.
    pub(crate) fn vanished(&self) -> bool {
        self.qresync || self.uid_only
    }

    /// Messages may be called by their numbers.
    pub(crate) fn numbers(&self) -> bool {
        !self.uid_only && !self.expunges_unasked
    }

    /// What it says after login.
    pub(crate) fn begins(&self) -> Vec<String> {
        let mut commands = Vec::new();
        if !self.enable.is_empty() {
            commands.push(format!("ENABLE {}", self.enable));
        }
        if !self.notify.is_empty() {
            let selected = format!("({} ({NEW} MessageExpunge FlagChange))", self.notify);
            let others = "(personal (MessageNew MessageExpunge FlagChange))";
            commands.push(format!("NOTIFY SET {selected} {others}"));
        }
        commands
    }
}
