//! What all formats have beside the messages: the side files of an account, the locks they are written
//! under, names that nobody else gives, and every change of names on the disk.

pub(crate) mod base;
pub(crate) mod beyond;
pub(crate) mod checked;
pub(crate) mod disk;
pub(crate) mod dotted;
#[cfg(test)]
pub(crate) mod faults;
pub(crate) mod furnish;
pub(in crate::store) mod gathering;
#[cfg(test)]
pub(crate) mod journal;
pub(crate) mod lock;
pub(crate) mod metadata;
pub(in crate::store) mod room;
pub(in crate::store) mod scratch;
pub(crate) mod special_use;
pub(in crate::store) mod strange;
pub(crate) mod subscriptions;
pub(crate) mod uid_validity;
pub(crate) mod unique;
