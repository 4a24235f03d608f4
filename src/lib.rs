//! dovelet: a mail server for small machines.
#![allow(dead_code)]

pub(crate) mod codec;
pub(crate) mod sys;

pub(crate) mod mail;

pub(crate) mod config;
pub(crate) mod mime;

pub(crate) mod auth;
pub(crate) mod index;
pub(crate) mod store;
pub(crate) mod wire;

pub(crate) mod mailbox;

pub(crate) mod deliver;

pub(crate) mod protocol;

pub(crate) mod server;

pub(crate) mod admin;

/// Runs the command line of this process and returns its exit code (see `dovelet help exit`).
pub fn main() -> std::process::ExitCode {
    admin::main()
}
