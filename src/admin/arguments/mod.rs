//! From the words of a command line to a command.

mod command;
mod given;
mod option;
#[cfg(test)]
mod tests;
mod words;

#[cfg(test)]
pub(crate) use command::{COMMANDS, FORMS};
pub(crate) use command::{Command, Settings, User};
pub(crate) use given::parse;
pub(crate) use words::Misuse;
