//! Grammar of the protocols: bytes to commands and responses to bytes, nothing else.

pub(crate) mod dovecot_auth;
pub(crate) mod imap;
pub(crate) mod lines;
pub(crate) mod lmtp;
pub(crate) mod pop3;
mod reader;
pub(crate) mod socketmap;
