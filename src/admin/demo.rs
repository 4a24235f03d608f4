//! `dovelet serve --demo`: a server to look at, in a directory that goes away with it.

use std::fs::{self, DirBuilder};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::unix::fs::DirBuilderExt;
use std::path::PathBuf;

use super::console::Failure;
use super::options::{Options, load};
use super::{user, users_file};
use crate::auth::{self, Secret};
use crate::config::{Address, Config, ListenerTls, Protocol, UserSource};

/// The only user.
pub(crate) const USER: &str = "demo";
/// Letters and digits that are not taken for one another; 32 of them, so that five random bits
/// choose one. None means anything to a shell or in a URL.
const LETTERS: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";
const PASSWORD_LETTERS: usize = 16;

/// The directory, removed with all that is in it when this is dropped.
pub(crate) struct Demo {
    directory: PathBuf,
    password: String,
}

impl Demo {
    /// Makes the directory, below that of `--data` if given, and the user; returns the settings
    /// to serve with. Of a file of settings counts what does not touch real users and mail.
    pub(crate) fn begin(options: &Options) -> Result<(Demo, Config), Failure> {
        let above = options.data.clone().unwrap_or_else(std::env::temp_dir);
        fs::create_dir_all(&above).map_err(Failure::because(above.display()))?;
        let directory = above.join(format!("dovelet-demo-{}", random_word()?));
        // Roles with other accounts must get through; what lies inside is closed by itself.
        DirBuilder::new()
            .mode(0o711)
            .create(&directory)
            .map_err(Failure::because(directory.display()))?;
        let demo = Demo {
            directory,
            password: random_word()?,
        };
        let mut config = load(&Options {
            data: Some(demo.directory.clone()),
            ..options.clone()
        })?;
        let users = config.data_dir.join("users");
        config.users = vec![UserSource::File(users.clone())];
        config.storage.path = None;
        let hash = user::hash(&Secret::from(demo.password.as_bytes()), &config)?;
        users_file::edit(&users, |text| {
            auth::add(text, USER, &hash).map_err(|fault| Failure(fault.to_string()))
        })?;
        Ok((demo, config))
    }

    /// What to tell when so many sample messages are there; several lines.
    pub(crate) fn invitation(&self, config: &Config, messages: usize) -> String {
        let password = &self.password;
        let ways = [
            (ListenerTls::Implicit, "-k", "imaps"),
            (ListenerTls::Starttls, "-k --ssl-reqd", "imap"),
            (ListenerTls::None, "", "imap"),
        ];
        let mut ways = ways.into_iter().filter_map(|(tls, options, scheme)| {
            let address = place(config, Protocol::Imap, tls)?;
            let url = format!("{scheme}://{address}/INBOX;MAILINDEX=1");
            let curl = ["curl", options].join(" ");
            let curl = curl.trim_end();
            Some(format!(
                "read a message:  {curl} --user {USER}:{password} \"{url}\"\n"
            ))
        });
        let read = ways.next().filter(|_| messages > 0).unwrap_or_default();
        format!("user {USER}, password {password}, {messages} messages\n{read}")
    }

    /// How more users are added.
    pub(crate) fn options(&self) -> Options {
        Options {
            data: Some(self.directory.clone()),
            ..Options::default()
        }
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.directory) {
            log::warn!("{}: {error}", self.directory.display());
        }
    }
}

/// Where to deliver; `None` if nothing listens for LMTP over TCP.
pub(crate) fn lmtp_address(config: &Config) -> Option<SocketAddr> {
    place(config, Protocol::Lmtp, ListenerTls::None)
}

/// The first such listener, as a program on this machine reaches it.
fn place(config: &Config, protocol: Protocol, tls: ListenerTls) -> Option<SocketAddr> {
    let mut listeners = config.listeners.iter();
    listeners.find_map(|listener| match listener.address {
        Address::Tcp(address)
            if listener.protocol == protocol && listener.tls == tls && !listener.proxy_protocol =>
        {
            Some(reachable(address))
        }
        _ => None,
    })
}

/// Loopback for an address that stands for all of this machine.
fn reachable(mut address: SocketAddr) -> SocketAddr {
    if address.ip().is_unspecified() {
        address.set_ip(match address.ip() {
            IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::LOCALHOST),
            IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::LOCALHOST),
        });
    }
    address
}

/// Sixteen random letters and digits: 80 bits.
fn random_word() -> Result<String, Failure> {
    let mut random = [0; PASSWORD_LETTERS];
    getrandom::fill(&mut random).map_err(|error| Failure(format!("no random numbers: {error}")))?;
    let letter = |octet: u8| LETTERS.get(usize::from(octet % 32)).copied();
    Ok(random
        .into_iter()
        .filter_map(letter)
        .map(char::from)
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::{Credentials, Users};

    #[test]
    fn a_demo_has_its_user_and_goes_away() {
        let above = tempfile::tempdir().unwrap();
        let options = Options {
            data: Some(above.path().join("new")),
            ..Options::default()
        };
        let above = above.path().join("new");
        let (demo, config) = Demo::begin(&options).unwrap();
        assert_eq!(config.data_dir, demo.directory);
        assert!(demo.directory.starts_with(&above));
        let users = fs::read(config.data_dir.join("users")).unwrap();
        let password = Secret::from(demo.password.as_bytes());
        let claim = Credentials::new(USER.to_owned(), password);
        assert!(Users::parse(&users).0.verify(&claim).is_some());
        let expected = format!(
            "user demo, password {0}, 4 messages\nread a message:  curl -k --user demo:{0} \"imaps://127.0.0.1:1993/INBOX;MAILINDEX=1\"\n",
            demo.password
        );
        assert_eq!(demo.invitation(&config, 4), expected);
        for (tls, way) in [
            (ListenerTls::Starttls, "curl -k --ssl-reqd --user demo:"),
            (ListenerTls::None, "curl --user demo:"),
        ] {
            let mut config = config.clone();
            config.listeners.retain(|l| l.tls != ListenerTls::Implicit);
            for listener in &mut config.listeners {
                listener.tls = tls;
            }
            let told = demo.invitation(&config, 4);
            assert!(
                told.contains(way) && told.contains("\"imap://127.0.0.1:1143/"),
                "{told}"
            );
            assert!(
                !demo.invitation(&config, 0).contains("curl"),
                "nothing to read"
            );
        }
        fs::create_dir_all(demo.directory.join("mail/demo/cur")).unwrap();
        drop(demo);
        assert_eq!(fs::read_dir(above).unwrap().count(), 0);
    }

    #[test]
    fn random_words_differ_and_need_no_quotes() {
        let (one, other) = (random_word().unwrap(), random_word().unwrap());
        assert_ne!(one, other);
        for word in [one, other] {
            assert_eq!(word.len(), PASSWORD_LETTERS);
            assert!(word.bytes().all(|b| LETTERS.contains(&b)), "{word}");
        }
        let mut letters = LETTERS.to_vec();
        letters.dedup();
        assert_eq!(letters.len(), 32);
    }

    #[test]
    fn all_addresses_means_loopback() {
        for (listens, reached) in [
            ("0.0.0.0:1024", "127.0.0.1:1024"),
            ("[::]:1024", "[::1]:1024"),
            ("192.0.2.1:24", "192.0.2.1:24"),
        ] {
            let mut config = Config::with_defaults("/d".into(), "localhost".to_owned());
            for listener in &mut config.listeners {
                listener.address = Address::Tcp(listens.parse().unwrap());
            }
            assert_eq!(lmtp_address(&config), Some(reached.parse().unwrap()));
            config.listeners.retain(|l| l.protocol != Protocol::Lmtp);
            assert_eq!(lmtp_address(&config), None);
        }
    }
}
