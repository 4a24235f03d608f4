//! LMTP (RFC 2033) as bytes: command lines and replies of RFC 5321, with the parameters of its extensions.

mod command;
mod parameter;
mod path;
mod reply;
mod xclient;

pub(crate) use command::{Command, parse};
pub(crate) use parameter::{Body, Mail, Rcpt};
pub(crate) use path::unquoted;
pub(crate) use reply::{Reply, reply};
pub(super) use xclient::xclient;
pub(crate) use xclient::{ATTRIBUTES, Forwarded};
