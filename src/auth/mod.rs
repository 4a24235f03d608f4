//! Who is it: SASL exchanges, password schemes, sources of users. Nothing here does I/O: text,
//! addresses and times are arguments, verdicts are results.

mod credentials;
mod exchange;
mod secret;
mod user;

pub(crate) use credentials::{Credentials, Verdict};
pub(crate) use exchange::{Exchange, MECHANISMS, Step};
pub(crate) use secret::Secret;
pub(crate) use user::{NameFault, User, check_name};
