//! `dovelet convert`: the mail of users gets another format, and stays what it is to every client.
//!
//! No server may run meanwhile: its engines have the format of the settings, which is to be changed then.
//! For each user a tree of the new format is made beside the old one (`.NAME.to-FORMAT`, by
//! [`super::replica`]), with UIDVALIDITY, UIDs, GUIDs, flags, keywords, dates and unique-ids of POP3. It is
//! durable mailbox by mailbox; a conversion that was broken off finds what is there and goes on. Then
//! every message is read in both trees and compared (`check`). Only then the old tree is renamed
//! (`.NAME.was-FORMAT`), and the new one takes its name; if only the first of the two happened, the next run does
//! the second. The index stays: its rows get other names and keep mod-sequences and keywords beyond
//! z. It is compared with what it said before, and if anything is different, both trees get their names
//! back. What is left is the old tree, which nobody reads any more; the last line says how to remove it.

mod check;
mod command;
mod places;

pub(crate) use command::{Convert, run};
