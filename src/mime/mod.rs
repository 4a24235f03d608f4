//! The structure of a message: header fields, addresses, parts, envelope, bodystructure.

mod address;
mod bodystructure;
mod casemap;
#[cfg(test)]
mod corpus_tests;
mod date;
mod encoded;
mod envelope;
mod field;
#[cfg(test)]
mod fuzz_tests;
mod header;
mod html;
pub(crate) use imap_text::{number, string};
mod imap_text;
mod message_id;
mod parse;
mod part;
mod preview;
mod section;
mod subject;
mod text;
mod token;
mod transfer;
mod unbinary;
mod utf8_header;

pub(crate) use address::{Names, address_text, display_name, first_address};
pub(crate) use bodystructure::{body, bodystructure};
pub(crate) use casemap::casemap;
pub(crate) use date::sent_date;
pub(crate) use encoded::decode_header;
pub(crate) use envelope::envelope;
pub(crate) use header::{fields, fields_as_they_stand, header_fields, header_lines, values};
pub(crate) use message_id::message_ids;
pub(crate) use parse::{Limits, header, header_bytes, parse, parse_bytes};
pub(crate) use part::{Kind, Message, Part};
pub(crate) use preview::Preview;
pub(crate) use section::{Section, SectionText};
pub(crate) use subject::base_subject;
pub(crate) use text::{Text, from_charset};
pub(crate) use transfer::Transfer;
pub(crate) use unbinary::{Unbinary, UnknownEncoding};
pub(crate) use utf8_header::Utf8Header;
