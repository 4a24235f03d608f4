//! Who is it: SASL exchanges, password schemes, sources of users. Nothing here does I/O: text,
//! addresses and times are arguments, verdicts are results.

mod address;
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

pub(crate) use address::{Candidate, candidates};
pub(crate) use complaint::{Complaint, Fault};
pub(crate) use credentials::{Credentials, MAX_PASSWORD, Verdict};
pub(crate) use exchange::{Exchange, MECHANISMS, Step};
pub(crate) use passwd_file::{EditFault, add, change, remove};
pub(crate) use password::{Password, Unusable};
pub(crate) use scheme::hash;
pub(crate) use secret::Secret;
pub(crate) use throttle::Throttle;
pub(crate) use user::{NameFault, User, check_name};
pub(crate) use users::Users;
