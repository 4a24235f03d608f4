//! The structure of a message: header fields, addresses, parts, envelope, bodystructure.

mod section;

pub(crate) use section::{Section, SectionText};
