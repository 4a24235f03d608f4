//! What the tests of the whole server share: a server of its own for each test, small blocking
//! clients, and a way to run other programs.
//!
//! Every wait is bounded, every process ends with the test that started it.
#![allow(dead_code, unused_imports)] // no test uses all of it

mod account;
mod binary;
mod deflated;
mod dovecot;
mod flood;
mod imap;
mod lmtp;
mod packages;
mod pop3;
mod processes;
mod program;
mod random;
mod server;
mod tls;

pub(crate) use account::{Account, account, change};
pub(crate) use binary::{dovelet, dovelet_words, executable, is_emulated};
pub(crate) use deflated::Deflated;
pub(crate) use dovecot::{Dovecot, DovecotLog};
pub(crate) use flood::flood;
pub(crate) use imap::{Answer, Imap, Message};
pub(crate) use lmtp::{Lmtp, Stream};
pub(crate) use packages::unpacked;
pub(crate) use pop3::Pop3;
pub(crate) use processes::{Process, of_group};
pub(crate) use program::{Finished, Guard, can, is_root, python, run, skip, wait_until};
pub(crate) use random::Random;
pub(crate) use server::{Server, Start, free_port, line};
pub(crate) use tls::{Tls, fingerprint, implicit, secure, secure_with};

/// The password of every user of a test server.
pub(crate) const PASSWORD: &str = "secret";

/// A small message with that Message-ID, lines ended by CRLF.
pub(crate) fn message(id: &str, subject: &str, body: &str) -> String {
    format!(
        "From: Sender <sender@example.net>\r\nTo: Ann <ann@example.org>\r\n\
         Date: Mon, 02 Nov 2026 10:00:00 +0000\r\nMessage-ID: <{id}>\r\n\
         Subject: {subject}\r\nMIME-Version: 1.0\r\nContent-Type: text/plain\r\n\r\n{body}\r\n"
    )
}
