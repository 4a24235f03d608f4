//! Settings: text to values, every fault with its place.
//!
//! One TOML file, and every setting has a default; a board profile supplies the limits. Reading
//! files is not done here: `parse` takes text.

mod limits;
mod model;
mod network;
mod storage;

pub(crate) use limits::Limits;
pub(crate) use model::{
    Address, Config, Isolation, Listener, ListenerTls, Log, Process, Protocol, ServerName, Tls,
    UserSource,
};
pub(crate) use network::Network;
pub(crate) use storage::{Format, Storage, Template, TemplateFault};
