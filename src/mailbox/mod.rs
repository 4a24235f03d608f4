//! The account: what one user's mailboxes are, composed of store and index.

mod account;
mod error;
mod rows;
mod search;
mod view;

pub(crate) use account::{Account, Appended, Copied, Draft, Listed, Status};
pub(crate) use error::Error;
pub(crate) use rows::{Content, Rows, Want};
pub(crate) use search::Search;
pub(crate) use view::{Access, By, Changes, Expunges, FlagChange, View};
