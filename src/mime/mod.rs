//! The structure of a message: header fields, addresses, parts, envelope, bodystructure.

mod address;
mod bodystructure;
#[cfg(test)]
mod corpus_tests;
mod date;
mod encoded;
mod envelope;
mod field;
mod header;
pub(crate) use imap_text::{number, string};
mod imap_text;
mod parse;
mod part;
mod section;
mod text;
mod token;

pub(crate) use bodystructure::{body, bodystructure};
pub(crate) use date::sent_date;
pub(crate) use encoded::{decode_header, fold};
pub(crate) use envelope::envelope;
pub(crate) use header::{fields, header_fields};
pub(crate) use parse::{Limits, parse, parse_bytes};
pub(crate) use part::{Kind, Message};
pub(crate) use section::{Section, SectionText};
pub(crate) use text::{Text, from_charset};
