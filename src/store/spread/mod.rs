//! The mail of an account with namespaces: a store of its own, and one for each of them, behind one face.
//!
//! A mailbox is in the namespace whose prefix its name begins with, under the rest of the name (`places`); the
//! prefix itself is INBOX there, which is always there. What is written goes where its mailbox is; a draft that is filed in several
//! places is written in each (`draft`). What is copied or moved to another place is read here and written there,
//! is known by the same GUID where the format keeps one, and goes only when it is durable where it came.
//!
//! The own store is opened at once, the others when something is asked of them: where the disk of a namespace
//! fails, or is not there (`founded`), the rest is served. Names that are hidden by a prefix stay on the disk.
//!
//! Subscriptions to mailboxes of a namespace are kept there, as Dovecot has them (`subscriptions = yes`); what the
//! account's own file says of them (`subscriptions = no`) counts as well. That to a prefix is always there.

mod draft;
mod founded;
mod places;
mod store;
#[cfg(test)]
mod tests;

pub(crate) use founded::real_path;
pub(super) use store::Spread;
