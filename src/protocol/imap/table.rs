//! The command table: when a command may come and what running it takes.

use crate::mail::Criteria;
use crate::mailbox::Expunges;
use crate::wire::imap::{Command, Form};

/// The states of RFC 3501 section 3.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    Any,
    /// Before login.
    NotAuthenticated,
    /// After login, with or without a mailbox.
    Authenticated,
    /// With a mailbox.
    Selected,
}

/// One command.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rule {
    pub(super) name: &'static str,
    pub(super) state: State,
    /// Runs where it may block.
    pub(super) disk: bool,
    /// Whether EXPUNGE may be told before its tagged response (RFC 3501 section 7.4.1).
    pub(super) expunges: Expunges,
}

const fn rule(name: &'static str, state: State, disk: bool, expunges: Expunges) -> Rule {
    Rule {
        name,
        state,
        disk,
        expunges,
    }
}

use Expunges::{Hold, Tell};
use State::{Any, Authenticated, NotAuthenticated, Selected};

/// Every command that is served.
pub(super) const RULES: &[Rule] = &[
    rule("CAPABILITY", Any, false, Tell),
    rule("NOOP", Any, false, Tell),
    rule("LOGOUT", Any, false, Tell),
    rule("ID", Any, false, Tell),
    rule("STARTTLS", NotAuthenticated, false, Tell),
    rule("LOGIN", NotAuthenticated, false, Tell),
    rule("AUTHENTICATE", NotAuthenticated, false, Tell),
    rule("COMPRESS", Authenticated, false, Tell),
    rule("ENABLE", Authenticated, false, Tell),
    rule("SELECT", Authenticated, true, Tell),
    rule("EXAMINE", Authenticated, true, Tell),
    rule("CREATE", Authenticated, true, Tell),
    rule("DELETE", Authenticated, true, Tell),
    rule("RENAME", Authenticated, true, Tell),
    rule("SUBSCRIBE", Authenticated, true, Tell),
    rule("UNSUBSCRIBE", Authenticated, true, Tell),
    rule("LIST", Authenticated, true, Tell),
    rule("LSUB", Authenticated, true, Tell),
    rule("XLIST", Authenticated, true, Tell),
    rule("STATUS", Authenticated, true, Tell),
    rule("APPEND", Authenticated, true, Tell),
    rule("GETMETADATA", Authenticated, true, Tell),
    rule("SETMETADATA", Authenticated, true, Tell),
    rule("NOTIFY", Authenticated, true, Tell),
    rule("ESEARCH", Authenticated, true, Tell),
    rule("CANCELUPDATE", Selected, false, Tell),
    rule("UIDBATCHES", Selected, false, Tell),
    rule("NAMESPACE", Authenticated, false, Tell),
    rule("IDLE", Authenticated, false, Tell),
    rule("CHECK", Selected, false, Tell),
    rule("CLOSE", Selected, true, Tell),
    rule("UNSELECT", Selected, false, Tell),
    rule("EXPUNGE", Selected, true, Tell),
    rule("UID EXPUNGE", Selected, true, Tell),
    rule("SEARCH", Selected, true, Hold),
    rule("UID SEARCH", Selected, true, Tell),
    rule("SORT", Selected, true, Hold),
    rule("UID SORT", Selected, true, Tell),
    rule("THREAD", Selected, true, Hold),
    rule("UID THREAD", Selected, true, Tell),
    rule("FETCH", Selected, true, Hold),
    rule("UID FETCH", Selected, true, Tell),
    rule("STORE", Selected, true, Hold),
    rule("UID STORE", Selected, true, Tell),
    rule("COPY", Selected, true, Tell),
    rule("UID COPY", Selected, true, Tell),
    rule("REPLACE", Selected, true, Tell),
    rule("UID REPLACE", Selected, true, Tell),
    rule("MOVE", Selected, true, Tell),
    rule("UID MOVE", Selected, true, Tell),
];

/// The rule of that name. Every name used in this room is in the table (tested), so the fallback
/// only refuses.
pub(super) fn named(name: &str) -> Rule {
    let found = RULES.iter().find(|rule| rule.name == name).copied();
    found.unwrap_or(rule("", NotAuthenticated, false, Tell))
}

/// The rule of a command.
pub(super) fn rule_of(command: &Command) -> Rule {
    named(match command {
        Command::Capability => "CAPABILITY",
        Command::Noop => "NOOP",
        Command::Logout => "LOGOUT",
        Command::Id { .. } => "ID",
        Command::StartTls => "STARTTLS",
        Command::Login { .. } => "LOGIN",
        Command::Authenticate { .. } => "AUTHENTICATE",
        Command::Compress(_) => "COMPRESS",
        Command::Enable(_) => "ENABLE",
        Command::Select {
            read_only: false, ..
        } => "SELECT",
        Command::Select { .. } => "EXAMINE",
        Command::Create { .. } => "CREATE",
        Command::Delete(_) => "DELETE",
        Command::Rename { .. } => "RENAME",
        Command::Subscribe { on: true, .. } => "SUBSCRIBE",
        Command::Subscribe { .. } => "UNSUBSCRIBE",
        Command::List(list) => match list.form {
            Form::List => "LIST",
            Form::Lsub => "LSUB",
            Form::Xlist => "XLIST",
        },
        Command::Status { .. } => "STATUS",
        Command::GetMetadata(_) => "GETMETADATA",
        Command::SetMetadata(_) => "SETMETADATA",
        Command::Notify(_) => "NOTIFY",
        Command::Esearch(_) => "ESEARCH",
        Command::CancelUpdate(_) => "CANCELUPDATE",
        Command::UidBatches { .. } => "UIDBATCHES",
        Command::Namespace => "NAMESPACE",
        Command::Idle => "IDLE",
        Command::Check => "CHECK",
        Command::Close => "CLOSE",
        Command::Unselect => "UNSELECT",
        Command::Expunge { only: None } => "EXPUNGE",
        Command::Expunge { .. } => "UID EXPUNGE",
        Command::Search { uid: false, .. } => "SEARCH",
        Command::Search { .. } => "UID SEARCH",
        Command::Sort { uid: false, .. } => "SORT",
        Command::Sort { .. } => "UID SORT",
        Command::Thread { uid: false, .. } => "THREAD",
        Command::Thread { .. } => "UID THREAD",
        Command::Fetch { uid: false, .. } => "FETCH",
        Command::Fetch { .. } => "UID FETCH",
        Command::Store { uid: false, .. } => "STORE",
        Command::Store { .. } => "UID STORE",
        Command::Copy { uid: false, .. } => "COPY",
        Command::Copy { .. } => "UID COPY",
        Command::Move { uid: false, .. } => "MOVE",
        Command::Move { .. } => "UID MOVE",
    })
}

/// True if the command names messages by their numbers, or is answered with them.
pub(super) fn numbers_messages(command: &Command) -> bool {
    match command {
        Command::Fetch { uid, .. }
        | Command::Store { uid, .. }
        | Command::Copy { uid, .. }
        | Command::Move { uid, .. } => !uid,
        Command::Search { uid, criteria, .. }
        | Command::Sort { uid, criteria, .. }
        | Command::Thread { uid, criteria, .. } => {
            !uid || criteria.as_ref().is_some_and(Criteria::numbers_messages)
        }
        Command::Esearch(wanted) => wanted
            .criteria
            .as_ref()
            .is_some_and(Criteria::numbers_messages),
        Command::Select { params, .. } => {
            let known = params.qresync.as_ref();
            known.is_some_and(|known| known.matched.is_some())
        }
        _ => false,
    }
}
