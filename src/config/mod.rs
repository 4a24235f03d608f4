//! Settings: text to values, every fault located.

mod model;

pub(crate) use model::{
    Address, Config, Format, Isolation, Limits, Listener, ListenerTls, Log, Network, Process,
    Protocol, ServerName, Storage, Template, Tls, UserSource,
};
