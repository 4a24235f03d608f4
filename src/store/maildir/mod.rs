//! Maildir++ with the side files of Dovecot: `dovecot-uidlist`, `dovecot-keywords`, `subscriptions`.
//!
//! A message is one file `<seconds>.M<microseconds>P<pid>Q<count>.<host>,S=<octets>,W=<octets with
//! CRLF>,U=<uid>` in `new/`, or with `:2,<flags>` behind it in `cur/`. Because the UID is in the
//! name, the side file may lag behind for such messages; for files that others put there it is
//! the only place of the UID. Copies keep the part before the first comma, by which they are known as
//! the same message (EMAILID); where that is too long, `,G=<128 bits in hex>` stands for it. `,D=<seconds>` says
//! since when such a copy is where it is (SAVEDATE).

mod census;
#[cfg(test)]
mod census_tests;
mod contents;
mod courier;
mod directory;
mod draft;
mod filing;
mod folders;
mod going;
mod handback;
mod keywords;
mod layout;
mod listing;
mod mailboxes;
pub(super) mod name;
mod nested;
mod own_files;
mod promise;
mod scan;
mod store;
mod takeover;
#[cfg(test)]
mod takeover_tests;
#[cfg(test)]
mod tests;
mod uidlist;

pub(crate) use folders::{folders, maildir_files, maildir_subscriptions};
pub(super) use handback::hand_back;
pub(crate) use keywords::UNKNOWN;
pub(crate) use own_files::put_strange_aside;
pub(crate) use store::Maildir;
pub(super) use takeover::{COURIER_SUBSCRIBED, adopt};

/// The directories of a mailbox.
pub(crate) const MAILDIR_PARTS: [&str; 3] = ["cur", "new", "tmp"];
