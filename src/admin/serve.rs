//! `dovelet serve`: the server, and what a person is told when it starts.

use super::console::{Console, Exit, Failure};
use super::demo::{Demo, USER, lmtp_address};
use super::options::{Options, load};
use super::sample;
use crate::config::{Address, Config, ListenerTls, Protocol, UserSource};
use crate::server::{Started, run};
use std::io::Write;

/// Serves until the process is told to stop.
pub(super) fn serve(
    demo: bool,
    options: &Options,
    console: &mut Console<'_>,
) -> Result<Exit, Failure> {
    if !demo {
        let config = load(options)?;
        let told = config.clone();
        let served = run(config, |started| announce(started, &told, options, console));
        return served.map(|()| Exit::Success).map_err(failure);
    }
    let (demo, config) = Demo::begin(options)?;
    let told = config.clone();
    let invitation = demo.invitation(&config);
    let served = run(config, |started| {
        announce(started, &told, options, console);
        // Beside the server, which takes part in every delivery.
        std::thread::spawn(move || match deliver(&told) {
            Ok(()) => drop(write!(std::io::stdout(), "{invitation}")),
            Err(why) => drop(writeln!(
                std::io::stderr(),
                "dovelet: no sample messages: {why}"
            )),
        });
    });
    drop(demo);
    served.map(|()| Exit::Success).map_err(failure)
}

fn failure(error: crate::server::Error) -> Failure {
    Failure(error.to_string())
}

fn deliver(config: &Config) -> Result<(), String> {
    let address = lmtp_address(config).ok_or("no listener for LMTP without TLS")?;
    sample::deliver(address, USER).map_err(|error| error.to_string())
}

/// Where it listens, what the certificate is, how to add a user.
fn announce(started: &Started, config: &Config, options: &Options, console: &mut Console<'_>) {
    for listener in &config.listeners {
        let protocol = match listener.protocol {
            Protocol::Imap => "IMAP",
            Protocol::Lmtp => "LMTP",
            Protocol::Pop3 => "POP3",
        };
        let tls = match listener.tls {
            ListenerTls::None => "",
            ListenerTls::Starttls => " (STARTTLS)",
            ListenerTls::Implicit => " (TLS)",
        };
        match &listener.address {
            Address::Tcp(address) => console.say(format_args!("{protocol} on {address}{tls}")),
            Address::Unix(path) => {
                console.say(format_args!("{protocol} on unix:{}{tls}", path.display()));
            }
        }
    }
    let made = if started.new_certificate {
        "self-signed certificate made, "
    } else {
        "certificate "
    };
    console.say(format_args!("{made}SHA-256 {}", started.fingerprint));
    let UserSource::File(users) = match config.users.first() {
        Some(source) => source,
        None => return,
    };
    let mut with = String::new();
    for (name, value) in [("config", &options.config), ("data", &options.data)] {
        if let Some(value) = value {
            with.push_str(&format!(" --{name} {}", value.display()));
        }
    }
    console.say(format_args!(
        "users in {}; add one with: dovelet user add NAME{with}",
        users.display()
    ));
}
