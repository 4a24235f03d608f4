//! dovelet: a mail server for small machines. This page is the architecture.
//!
//! # Processes
//!
//! One executable, started again by itself in four roles with inherited descriptors (never a fork
//! of a process with threads). Every child has `no_new_privs`, no core dumps, a limit on its memory, a
//! seccomp filter and, where the kernel has it, Landlock; what is missing is logged once at start. Near
//! its limit a child refuses new work; an allocation that fails ends it, and the parent starts it again.
//!
//! | role | runs as | holds | does |
//! |---|---|---|---|
//! | `parent` | root if it must bind low ports or change uid, else the caller | listeners until handed over, configuration, the children | starts and restarts roles, opens what they may not, matches verdicts with connections; parses nothing from the network |
//! | `front` | its own uid, empty root | client sockets, TLS keys (in memory) | TLS, everything before login, the LMTP dialogue, relaying of decrypted bytes |
//! | `auth` | its own uid, empty root | descriptors of the password files | verdicts on credentials, lookups of recipients, penalties |
//! | `engine` | the user's uid, or the mail uid | that user's (or, with `isolation = "shared"`, all users') mail and index | sessions after login, deliveries |
//!
//! `front` cannot name a user: it knows connection numbers. `auth` tells `parent` which user a
//! number stands for, `parent` matches that once with the descriptor which `front` hands over and
//! gives both to the engine of the user.
//! Before that `parent` sees to it that the engine owns the directories that the server made for it, also
//! when isolation, accounts or uids are others than they were (`server::owners`); an engine that cannot
//! begin answers for all that was sent to it. One in whose places other directories are by now, as when a disk is
//! mounted, may not touch those: it ends when somebody asks for it, and the next one begins (`server::standing`).
//!
//! # Rooms
//!
//! One package, one direction: a room may use rooms of strictly lower rank. `tests/tidy.rs` checks
//! that, and where `unsafe`, `async`, files and clocks may stand.
//!
//! | rank | rooms |
//! |---|---|
//! | 0 | [`sys`] what only the kernel can do (the only `unsafe`); [`codec`] bytes to bytes |
//! | 1 | [`mail`] the nouns of mail as values |
//! | 2 | [`mime`] the structure of a message; [`config`] settings |
//! | 3 | [`wire`] grammar; [`store`] message bytes on disk; [`index`] what is known about them; [`auth`] who is it |
//! | 5 | [`mailbox`] the account: store and index together |
//! | 6 | [`deliver`] one message to one recipient |
//! | 7 | [`protocol`] sessions as state machines |
//! | 8 | [`server`] sockets, TLS, roles: the only place that waits |
//! | 9 | [`admin`] the command line |
//!
//! Each grammar has one home: byte codecs in `codec`, RFC 5322 and MIME in `mime` (ENVELOPE and
//! BODYSTRUCTURE texts too, because the index keeps them ready), IMAP, POP3 and LMTP in `wire`, passwd-file
//! lines and password schemes in `auth`, TOML in `config`, Maildir side files in `store`.
//!
//! A store keeps all that a client may rely on in files of its own, whatever the format: Maildir in names
//! and side files, mdbox and sdbox in a log for each mailbox (see `store::dbox`), mbox in header fields (see `store::mbox`). So nothing above it knows formats. An account
//! with namespaces has a store for each, behind one that leads names to their places (see `store::spread`).
//!
//! A role has one thread of tasks (smol's) over one epoll of its own (see [`server`]), and a pool of
//! threads that may block. Nothing else runs: no helper threads, no timers but the next deadline.
//!
//! # The way of a command
//!
//! A client's bytes reach a [`protocol::Machine`]: it never reads, writes or waits; it takes
//! input, is advanced, and says what has to happen next (more input, a flush, a turn on a thread that
//! may block, a question to another process). Before login the machine is `imap::Login` in `front`;
//! it ends in a handover that becomes an `imap::Session` in the engine. The framer finds the end of
//! a command, the parser makes a value of it, the command table says in which state it may come,
//! whether it touches files and whether EXPUNGE may be told. `mailbox` answers from the index and
//! opens a message only when the index does not know; what it learned then goes into the index. A
//! FETCH or SEARCH is parked whenever its output reaches its mark, so memory is bounded by constants.
//!
//! POP3 goes the same way: `pop3::Login` in `front`, `pop3::Session` over a view of INBOX in the engine (see
//! `protocol::pop3`). Both sessions are a [`protocol::Resident`] to the loop of the engine.
//!
//! Other servers on the machine ask `front` by unix sockets who somebody is and where users are
//! (`protocol::dovecot_auth`); `auth` answers, with verdicts and names and no secrets, and grants nothing for it.
//!
//! # The way of a message
//!
//! `front` looks up each LMTP recipient in `auth`; with the first piece of the message (mostly all of
//! it) it asks `parent` to connect it with the engines of the recipients, and the bytes go there as
//! they arrive, into a draft below `tmp/`. Who is named again a moment later is not looked up again, and
//! the next message goes to the same engine by the same stream, unless users changed. One thread of the engine's pool brings a delivery to
//! its end and answers. At the end of data: the draft is synced, renamed to a name that holds its UID, the directory is synced,
//! the index gets a row (not durable: names can rebuild it), sessions are woken, and only
//! then the recipient is answered. See [`mailbox`] for every state a message can have on disk.
//!
//! # The way of a command line
//!
//! What an administrator's command does to mail is done in the engine that has the index open: `doctor`,
//! `deliver`, `import`, `backup` and `restore` ask `parent` over a socket that only the server's owner may
//! connect to, and it hands the stream to the engine of the user (see [`server`]'s visits). Where no server runs
//! the command takes its lock and does the same in a thread of its own, as whoever owns the mail.
//!
//! # Invariants
//!
//! * The store is the truth. Deleting the index, as a change of isolation does, loses no message, UID,
//!   UIDVALIDITY, flag or keyword,
//!   nor what messages and mailboxes are called for ever (OBJECTID) and since when they are where they are (SAVEDATE).
//! * Acknowledged means durable: 250 of LMTP, OK of APPEND, COPY, MOVE, STORE and EXPUNGE and +OK of QUIT in POP3 come after fsync.
//!   But flags in mdbox and sdbox: STORE has them in the log before its OK, so that no process takes them with it, and they are
//!   synced with what is durable next in the mailbox or by the flush, a second later. A power cut
//!   may take those of that second: then they are as they were before, and whoever was told otherwise is told again.
//! * In mdbox the frame of a message that comes alone says under which UID, so that its line in the log may lag, too.
//! * A UID or mod-sequence that a client may have seen never names anything else, whatever crashes.
//! * Nothing is proportional to the mailbox that can be proportional to the change; a session's
//!   numbering is runs of UIDs.
//! * An idle session holds no buffer; an idle server has no timer shorter than a minute.
//! * Every buffer, queue, literal, nesting and count has a named limit in [`config::Limits`].
//! * A full disk takes no new mail and lets users read, mark and delete: a file beside the index gives its room
//!   up then (`index::Reserve`), and logs have a block to spare.
//! * Small changes of the index are durable in notes beside its file (`index::journal`), until there are enough of
//!   them for a commit of redb that writes pages; while many come, that waits for some seconds.
//! * A woken session asks the index for the changes since what it knows; nobody queues events.
//!
//! # What is deliberately absent
//!
//! No plugin interface, no feature flags, no second configuration language, no cache beside the
//! index, no lock in a session, no `async` below `server`, no dependency under the GPL. No MESSAGELIMIT of
//! IMAP (RFC 9738): commands go in steps, so none needs a limit, which would cut short what clients get that
//! do not know of it.
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

#[cfg(test)]
#[path = "../tests/support/corpus.rs"]
mod corpus;
#[cfg(test)]
#[path = "../tests/support/fuzz.rs"]
mod fuzz;
#[cfg(test)]
#[path = "../tests/support/pattern.rs"]
mod pattern;
#[cfg(test)]
#[path = "../tests/support/transcript.rs"]
mod transcript;

pub(crate) mod codec;
pub(crate) mod sys;

pub(crate) mod mail;

pub(crate) mod config;
pub(crate) mod mime;

pub(crate) mod auth;
pub(crate) mod index;
pub(crate) mod store;
pub(crate) mod wire;

pub(crate) mod mailbox;

pub(crate) mod deliver;

pub(crate) mod protocol;

pub(crate) mod server;

pub(crate) mod admin;

/// Runs the command line of this process and returns its exit code (see `dovelet help exit`).
pub fn main() -> std::process::ExitCode {
    admin::main()
}
