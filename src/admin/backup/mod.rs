//! `dovelet backup` and `dovelet restore`: the mail of a user copied elsewhere and brought back.
//!
//! A backup is a Maildir++ with the side files of this server's own: each message is a file with its INTERNALDATE, and
//! UID, GUID, save date, a checksum of its octets and flags in its name; `dovecot-uidlist` has UIDVALIDITY, UIDNEXT and the GUID of
//! the mailbox, `dovecot-keywords` the keywords, `subscriptions`, `dovelet-special-use` and
//! `dovelet-metadata` the rest; keywords beyond z are in `dovelet-keywords`. It is that whatever format
//! the mail is kept in: any program that knows Maildirs reads it, Dovecot serves it as it is, and
//! so does this server: the way back needs no program that may be gone by then. The file `dovelet-backup` in its root says
//! whose it is. Without that file nothing is written into a directory that is not empty, and nothing is restored.
//!
//! A backup is made while the server runs and mail comes in ([`super::replica`]): each mailbox is as
//! it was at one moment. It mirrors the account: what is there already is not copied again, and what was
//! expunged goes. What is there and not as long as its name tells, or no file, is copied again; with `--verify` all is
//! read, and so is what has another checksum ([`super::intact`]). When it says that a mailbox is saved, that is durable.
//!
//! A restore gives mailboxes that are not there, or have no messages, UIDVALIDITY, GUIDs and UIDs of the backup; nothing
//! else can come to such a mailbox until it is done. One that was broken off goes on behind the last
//! message. A mailbox with messages of its own is left as it is and told of, unless `--merge` adds what it
//! lacks under new UIDs, or `--into` restores all below a mailbox of its own. Nothing that is there is ever changed.

mod place;
mod restore;
mod save;

pub(crate) use restore::{Restore, run as restore};
pub(crate) use save::{Backup, run as backup};
