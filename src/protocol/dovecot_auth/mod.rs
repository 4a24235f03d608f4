//! Dovecot's authentication protocol, from the side of the server: other mail servers on this machine let it
//! say who somebody is (Postfix with `smtpd_sasl_type = dovecot`, Exim with `driver = dovecot`), and where the users
//! are.
//!
//! `front` speaks it, as it does all that comes by a socket; `auth` answers. Whoever asks learns verdicts and names,
//! no secrets, and nobody is logged in by it: `auth` grants nothing to the parent for these questions. Penalties are
//! those of all protocols, for the address from which the other server's client comes (`rip=`).

mod client;
mod userdb;

pub(crate) use client::{Asked, Client, ClientSettings};
pub(crate) use userdb::Userdb;

/// The version of the protocol whose features are here: without channel binding, which comes with 1.3.
const VERSION: [&str; 3] = ["VERSION", "1", "2"];
