//! Who is it: SASL exchanges, password schemes, sources of users. Nothing here does I/O: text,
//! addresses and times are arguments, verdicts are results.

mod address;
mod closed;
mod complaint;
mod credentials;
mod exchange;
mod passwd_file;
mod passwd_line;
mod password;
mod scheme;
mod secret;
mod throttle;
mod user;
mod users;

pub(crate) use closed::Closed;
pub(crate) use complaint::Complaint;
pub(crate) use credentials::{Credentials, MAX_PASSWORD, Verdict};
pub(crate) use exchange::{Exchange, Step};
pub(crate) use passwd_file::{EditFault, add, change, remove};
#[cfg(test)]
pub(crate) use password::Password;
pub(crate) use scheme::hash;
pub(crate) use secret::Secret;
pub(crate) use throttle::{Throttle, network};
pub(crate) use user::{User, check_name};
pub(crate) use users::{MAX_USERS_OCTETS, Users};
