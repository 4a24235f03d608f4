//! IMAP4rev1 (RFC 3501) and its extensions as bytes.

mod append;
mod command;
mod esearch;
mod fetch;
mod framer;
mod list;
mod metadata;
mod modseq;
mod notify;
mod response;
mod returns;
mod search;
mod sort;
mod status;
mod token;
mod url;

pub(crate) use super::reader::Bounds;
pub(crate) use append::{AppendStart, AppendText, Ends, Piece, Replaced, append_start};
pub(crate) use command::{Command, parse};
pub(crate) use esearch::Esearch;
pub(crate) use fetch::{FetchItem, PreviewForm, PreviewItem, SectionItem};
pub(crate) use framer::{Frame, Framer, Refusal, tag_of};
pub(crate) use list::{Form, List, Select};
pub(crate) use metadata::{Annotated, GetMetadata, SetMetadata};
pub(crate) use modseq::{FetchModifiers, Resync, SelectParams};
pub(crate) use notify::{EVENTS, EventGroup, Events, Filter, Notify};
pub(crate) use response::{
    binary, date_time, flag_list, mailbox, mailbox_utf8, number, prefix, string,
};
pub(crate) use returns::Returns;
pub(crate) use status::StatusItem;
pub(crate) use token::{Given, Syntax};
pub(crate) use url::{MessageUrl, OctetRange, message_url, url_encoded};
