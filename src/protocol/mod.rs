//! Sessions as state machines: bytes in, bytes out, no socket and no thread.

pub(crate) mod imap;
mod machine;

pub(crate) use machine::{Event, Machine, Output, Progress, Turn};
