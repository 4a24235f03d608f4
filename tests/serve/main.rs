//! The whole server as the machine sees it: its processes and what they may, signals, TLS, logins,
//! limits, the command line.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#![allow(clippy::indexing_slicing)]

#[path = "../support/mod.rs"]
mod support;

mod anonymous;
mod command_line;
mod compromised;
mod deliver;
mod delivery;
mod departure;
mod disk;
mod external;
mod faults;
mod figures;
mod flood;
mod forwarded;
mod healthcheck;
mod identities;
mod idle;
mod limits;
mod lmtp;
mod log;
mod login;
mod lookups;
mod owners;
mod pop3;
mod prompt;
mod roles;
mod survival;
mod systemd;
mod tls;
