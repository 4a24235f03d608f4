//! Sockets, TLS, roles, limits, logging: the only room that waits.

mod auth;
mod certificate;
mod channel;
mod children;
#[cfg(debug_assertions)]
mod compromised;
mod concurrency;
mod control;
mod deadline;
mod delivery;
mod drive;
mod engine;
mod engines;
mod error;
mod failed;
mod front;
mod grants;
mod layout;
mod listeners;
mod lmtp;
mod owners;
mod pack;
mod parent;
mod permit;
mod pool;
mod proxy;
mod quiet;
mod reactor;
mod recipients;
mod refusal;
mod relay;
mod request;
mod role;
mod sessions;
mod setup;
mod stop;
mod tasks;
mod tls;
mod transport;
mod turn;

pub(crate) use certificate::certificate_faults;
pub(crate) use error::Error;
pub(crate) use owners::Owners;
pub(crate) use parent::{Started, run};
pub(crate) use request::{Patient, care_for, deliver, reload};
pub(crate) use role::role_main;
