//! Mail programs that others wrote, against the whole server. Each leaves the mailbox as a person would
//! expect, which another connection sees.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#![allow(clippy::indexing_slicing)]

mod curl;
mod left;
mod mutt;
mod near;
mod pop3;
mod roundcube;
mod sasl;
mod scripts;
#[path = "../support/mod.rs"]
mod support;
mod swaks;
mod thunderbird;
