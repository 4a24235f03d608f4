//! The LMTP dialogue (RFC 2033): no mail access, no user names, only questions.

mod message;
mod session;
#[cfg(test)]
mod tests;
mod transaction;

pub(crate) use session::{Answer, Lookup, Question, Session, Settings};
