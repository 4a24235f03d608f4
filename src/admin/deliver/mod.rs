//! `dovelet deliver`: one message from a mail server or a filter to one user, through the running server or
//! without one.

mod alone;
mod command;
mod letter;
mod relay;

pub(crate) use command::{Deliver, run};
