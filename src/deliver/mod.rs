//! Delivery: one message to its recipients, each answered for itself.

mod delivery;
mod trace;

pub(crate) use delivery::{Delivery, Outcome, Recipient};
pub(crate) use trace::{Dsn, Envelope, Stamp};
