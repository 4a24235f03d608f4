//! Settings: text to values, every fault with its place.
//!
//! One TOML file (or, on OpenWrt, one of UCI), and every setting has a default; a board profile supplies the limits. Reading
//! files is not done here: [`parse`] takes text. The way of a text: `builder` makes a `document`
//! of it, whose values know their place; `parse` and its neighbours take settings out with their
//! `reader`; `manual` and `limits` are the tables that say which settings there are.

mod amount;
mod auth;
mod bounds;
mod builder;
mod certificates;
mod document;
mod fault;
mod imap;
mod layout;
mod limits;
mod listener;
mod lmtp;
mod manual;
mod mechanism;
mod model;
mod namespace;
mod network;
mod own_mail;
mod parse;
mod pop3;
mod postfix;
mod profile;
mod reader;
mod show;
mod storage;
mod suggest;
mod tables;
mod template;
#[cfg(test)]
mod tests;
mod uci;

pub(crate) use amount::size;
pub(crate) use auth::Scheme;
pub(crate) use fault::Fault;
pub(crate) use imap::{FetchFailure, Imap, Workarounds};
pub(crate) use layout::{InfoSeparator, Layout};
pub(crate) use limits::{Limits, MAX_ARGON2_MEMORY_KIB, MAX_ARGON2_WORK_KIB};
pub(crate) use lmtp::{DeliveryAddress, Lmtp};
pub(crate) use manual::reference;
pub(crate) use mechanism::{Mechanism, Mechanisms};
pub(crate) use model::{
    Address, ClientName, Config, Isolation, Listener, ListenerTls, Protocol, UserSource,
};
pub(crate) use namespace::Namespace;
pub(crate) use network::Network;
pub(crate) use own_mail::{OwnMailFault, is_own_word, own_words};
pub(crate) use parse::{Inspect, ParseSettings, Syntax, Unusable, parse};
pub(crate) use pop3::{Delete, Pop3};
pub(crate) use profile::BOARDS;
pub(crate) use show::{show, show_json};
pub(crate) use storage::{Form, Format, Location, Storage, Unfit};
pub(crate) use suggest::nearest;
pub(crate) use template::Template;
