//! The LMTP dialogue (RFC 2033): no mail access, no user names, only questions.

mod session;
#[cfg(test)]
mod tests;

pub(crate) use session::{Answer, Lookup, Question, Session, Settings};
