//! POP3 sessions: before login ([`Login`], without any account) and after it ([`Session`]).
//!
//! The way of a maildrop: `Login` speaks the AUTHORIZATION state (RFC 1939 section 4) in `front` and ends in
//! a [`Handover`]. `Session` opens INBOX as a view, which is its numbering until it ends; STAT comes from the
//! mailbox's summary, LIST and UIDL from names and cached rows by way of `mailbox::Entries`, RETR and TOP
//! from the file, all of them piece by piece as the output drains. DELE and RETR are noted as sets of UIDs;
//! QUIT, and nothing else, removes what DELE marked. `\Seen` is set when the session ends, however it does.

mod ahead;
mod capability;
mod handover;
mod language;
mod listing;
mod login;
mod maildrop;
mod refusal;
mod sending;
mod session;
#[cfg(test)]
mod tests;
mod uidl;

pub(crate) use capability::CAPABILITIES;
pub(crate) use handover::Handover;
pub(crate) use login::{Login, LoginSettings};
pub(crate) use refusal::{BUSY, NO_MEMORY, UNAVAILABLE};
pub(crate) use session::{Session, SessionSettings};
