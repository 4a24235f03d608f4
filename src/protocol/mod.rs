//! Sessions as state machines: bytes in, bytes out, no socket and no thread.

pub(crate) mod dovecot_auth;
pub(crate) mod imap;
pub(crate) mod lmtp;
mod machine;
pub(crate) mod pop3;
pub(crate) mod socketmap;

pub(crate) use machine::{Event, Machine, Output, Progress, Resident, Turn};
