//! From the words of a command line to a command.

mod command;
mod given;
mod option;
#[cfg(test)]
mod tests;
mod user;
mod words;

pub(crate) use command::{AppPassword, Command, Settings, User};
#[cfg(test)]
pub(crate) use command::{COMMANDS, FORMS};
pub(crate) use given::parse;
pub(crate) use words::Misuse;
