//! Who is it: SASL exchanges, password schemes, sources of users. Nothing here does I/O: text,
//! addresses and times are arguments, verdicts are results.
//!
//! # Who knows what
//!
//! Only the role `auth` has what is stored. `front`, which talks with clients in all protocols, has an
//! [`Exchange`] for each login: PLAIN and LOGIN end in [`Credentials`], a question that `auth` answers with a
//! [`Verdict`]. Of SCRAM and CRAM-MD5 the server's side is a [`Dialogue`] in `auth`, and `front` passes
//! messages on: nonces and challenges are made where they are compared, so that what a client once said is no
//! use to whoever has `front` later. What a mechanism is bound to (the TLS connection) is `front`'s to tell,
//! as TLS ends there. Penalties ([`Throttle`]) are kept by `auth`, by address, whatever the protocol.
//!
//! Nobody is told from the unknown: a name that is not there is compared with what another has (see
//! [`Users::check`]), and SCRAM gives it a salt that stays the same, made with a key that only `auth` has.
//!
//! A program of a user's can have a password of its own ([`AppPasswords`]), for some protocols and until some day;
//! a master user ([`Masters`]) logs in as another with the own password.
//!
//! A password that is stored otherwise than the settings have it now is hashed anew when its user sends it.
//! `auth` has nothing to write to: the parent puts the new hash in the place of the old one, of which it is told a
//! mark, under the same lock as `dovelet user passwd`, unless somebody else has changed it.
//!
//! Mechanisms are offered if users can use them, as the settings and what is stored have it; `auth` tells
//! `front` whenever that changes.

mod address;
mod app_password;
mod closed;
mod complaint;
mod credentials;
mod current;
mod dialogue;
mod directory;
mod exchange;
mod masters;
mod passwd_file;
mod passwd_line;
mod password;
mod postal;
mod saslprep;
mod scheme;
mod scram;
mod secret;
mod shown;
mod throttle;
mod user;
mod users;
#[cfg(test)]
mod witness;

pub(crate) use app_password::{
    AppPasswords, MAX_APP_PASSWORDS_OCTETS, RANDOM_OCTETS, Scope, added, make, used, without,
    without_user,
};
pub(crate) use closed::Closed;
pub(crate) use complaint::Complaint;
pub(crate) use credentials::{Credentials, MAX_PASSWORD, Proof, Verdict};
pub(crate) use current::Current;
pub(crate) use dialogue::{Dialogue, Opening};
pub(crate) use directory::{Found, Wanted};
pub(crate) use exchange::{Answer, Exchange, Judgement, Question, Step};
pub(crate) use masters::Masters;
pub(crate) use passwd_file::{EditFault, add, change, remove, renew};
#[cfg(test)]
pub(crate) use password::Password;
pub(crate) use postal::{Aliases, MAX_ALIASES_OCTETS, Postal};
pub(crate) use scram::Binding;
pub(crate) use secret::Secret;
pub(crate) use shown::Shown;
pub(crate) use throttle::{Throttle, network};
pub(crate) use user::{User, check_name};
pub(crate) use users::{MAX_USERS_OCTETS, Users};
#[cfg(test)]
pub(crate) use witness::Witness;
