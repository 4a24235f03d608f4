//! `dovelet serve`: the server, and what a person is told when it starts.

use super::console::{Console, Exit, Failure};
use super::demo::{Demo, USER, lmtp_address};
use super::file_system::unfit;
use super::options::{Options, load};
use super::sample::{self, SAMPLES};
use crate::config::{Address, Config, ListenerTls, Unfit, UserSource};
use crate::server::{Started, run};
use std::io::Write;
use std::path::Path;

/// Serves until the process is told to stop.
pub(super) fn serve(
    demo: bool,
    options: &Options,
    console: &mut Console<'_>,
) -> Result<Exit, Failure> {
    if !demo {
        let config = load(options)?;
        look_at_places(&config, console)?;
        let told = config.clone();
        let served = run(config, |started| announce(started, &told, options, console));
        return served.map(|()| Exit::Success).map_err(failure);
    }
    let (demo, config) = Demo::begin(options)?;
    let told = config.clone();
    let invitations = [SAMPLES.len(), 0].map(|messages| demo.invitation(&config, messages));
    let served = run(config, |started| {
        announce(started, &told, &demo.options(), console);
        // Beside the server, which takes part in every delivery.
        std::thread::spawn(move || {
            let [full, empty] = invitations;
            let told = deliver(&told).map(|()| full).unwrap_or_else(|why| {
                let _ = writeln!(std::io::stderr(), "dovelet: no sample messages: {why}");
                empty
            });
            let _ = write!(std::io::stdout(), "{told}");
        });
    });
    drop(demo);
    served.map(|()| Exit::Success).map_err(failure)
}

/// Tells of file systems that mail must not be on. Errors: the settings say that the server does not start then.
fn look_at_places(config: &Config, console: &mut Console<'_>) -> Result<(), Failure> {
    let mail = config.storage.common_root(&config.data_dir);
    let others = config.storage.common_places(&config.data_dir);
    let elsewhere = std::iter::once(mail).chain(others);
    let elsewhere: Vec<_> = elsewhere
        .filter(|place| !place.starts_with(&config.data_dir))
        .collect();
    let mut places = vec![&config.data_dir];
    for place in &elsewhere {
        if !places.contains(&place) {
            places.push(place);
        }
    }
    let found: Vec<String> = places.into_iter().filter_map(|path| unfit(path)).collect();
    match config.storage.unfit {
        Unfit::Refuse if !found.is_empty() => Err(Failure(format!(
            "{}\nName another place, or set unfit_file_system; see \"dovelet help check-data\".",
            found.join("\n")
        ))),
        Unfit::Ignore => Ok(()),
        Unfit::Warn | Unfit::Refuse => {
            for place in found {
                console.complain(place);
            }
            Ok(())
        }
    }
}

fn failure(error: crate::server::Error) -> Failure {
    Failure(error.to_string())
}

fn deliver(config: &Config) -> Result<(), String> {
    let address = lmtp_address(config).ok_or("no listener for LMTP over TCP without TLS")?;
    sample::deliver(address, USER).map_err(|error| error.to_string())
}

/// Where it listens, what the certificate is, how to add a user.
fn announce(started: &Started, config: &Config, options: &Options, console: &mut Console<'_>) {
    for listener in &config.listeners {
        let protocol = listener.protocol.title();
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
            Address::Activated(name) => {
                console.say(format_args!("{protocol} on systemd:{name}{tls}"));
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
            let path = std::path::absolute(value).unwrap_or_else(|_| value.clone());
            with.push_str(&format!(" --{name} {}", word(&path)));
        }
    }
    if options.uci {
        with.push_str(" --uci");
    }
    console.say(format_args!(
        "users in {}; add one with: dovelet user add NAME{with}",
        users.display()
    ));
}

/// As one word of a shell.
fn word(path: &Path) -> String {
    let text = path.display().to_string();
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+:@%,=".contains(c);
    match text.chars().all(plain) {
        true => text,
        false => format!("'{}'", text.replace('\'', "'\\''")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_words_of_a_shell() {
        for path in ["/srv/mail-1/x.toml", "/a b", "/it's", "/$HOME;x", "/ä"] {
            let echo = format!("printf %s {}", word(Path::new(path)));
            let output = std::process::Command::new("sh")
                .args(["-c", &echo])
                .output();
            assert_eq!(output.unwrap().stdout, path.as_bytes());
        }
        assert_eq!(word(Path::new("/srv/mail-1")), "/srv/mail-1");
    }
}
