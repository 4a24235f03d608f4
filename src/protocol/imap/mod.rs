//! IMAP sessions: before login ([`Login`], without any account) and after it ([`Session`]).

mod append;
mod batches;
mod capability;
mod catenate;
mod changing;
mod command;
mod context;
mod enable;
mod ending;
mod failure;
mod fetch;
mod found;
mod handover;
mod items;
mod list;
mod login;
mod mailboxes;
mod messages;
mod metadata;
mod multisearch;
mod news;
mod notify;
mod recent;
mod refusal;
mod search;
mod select;
mod selected;
mod session;
mod store;
mod table;
mod tag;
#[cfg(test)]
mod tests;

pub(crate) use crate::wire::imap::Bounds;
pub(crate) use capability::CAPABILITIES;
pub(crate) use handover::Handover;
pub(crate) use login::{Login, LoginSettings};
pub(crate) use session::{Session, SessionSettings};
