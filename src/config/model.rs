//! What the server is told: the values of the configuration.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use super::auth::Auth;
use super::imap::Imap;
use super::limits::Limits;
use super::lmtp::Lmtp;
use super::pop3::Pop3;
use super::postfix::Postfix;
use super::storage::{Storage, component};

/// Everything that can be set. Paths are as the process shall use them: those of a file were
/// joined to the directory of that file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Config {
    /// Where mail, index and side files live unless told otherwise.
    pub(crate) data_dir: PathBuf,
    /// The name this server gives itself in greetings, `Received` fields and certificates.
    pub(crate) hostname: String,
    /// The profile that supplied limits and isolation.
    pub(crate) board: String,
    pub(crate) isolation: Isolation,
    pub(crate) listeners: Vec<Listener>,
    pub(crate) tls: Tls,
    pub(crate) storage: Storage,
    /// Asked in this order.
    pub(crate) users: Vec<UserSource>,
    pub(crate) auth: Auth,
    pub(crate) imap: Imap,
    pub(crate) pop3: Pop3,
    pub(crate) lmtp: Lmtp,
    pub(crate) postfix: Postfix,
    pub(crate) limits: Limits,
    pub(crate) log: Log,
    pub(crate) process: Process,
}

/// How many users one engine process serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Isolation {
    /// A process for each active user.
    User,
    /// One process for all users.
    Shared,
}

/// A place where clients or mail servers connect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Listener {
    pub(crate) protocol: Protocol,
    pub(crate) address: Address,
    pub(crate) tls: ListenerTls,
    /// Every connection begins with a PROXY protocol header.
    pub(crate) proxy_protocol: bool,
    /// Who may connect to a unix socket: its permissions.
    pub(crate) mode: u32,
    /// The group of a unix socket, by its name.
    pub(crate) group: Option<String>,
}

/// What is spoken on a listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Protocol {
    Imap,
    Lmtp,
    Pop3,
    /// Other servers ask who somebody is.
    DovecotAuth,
    /// They ask where users are.
    DovecotUserdb,
    /// Postfix asks which addresses there are.
    Socketmap,
}

/// Where a listener is bound.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Address {
    Tcp(SocketAddr),
    Unix(PathBuf),
    /// Bound by systemd, which gives it under this name.
    Activated(String),
}

/// When a listener's connections become encrypted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ListenerTls {
    None,
    /// When the client asks for it.
    Starttls,
    /// From the first byte.
    Implicit,
}

/// Certificates; without one the server makes its own.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tls {
    /// PEM file with the chain, leaf first. Set if and only if `key` is.
    pub(crate) certificate: Option<PathBuf>,
    pub(crate) key: Option<PathBuf>,
    /// Certificates for clients that name a server (SNI).
    pub(crate) names: Vec<ServerName>,
    /// PEM file with the certificates of those who vouch for users.
    pub(crate) client_ca: Option<PathBuf>,
    pub(crate) client_name: ClientName,
}

/// Where in a client's certificate the name of the user is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum ClientName {
    #[default]
    CommonName,
    /// The mail address among the alternative names.
    Email,
}

/// The certificate for one server name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ServerName {
    /// Lower-case DNS name; `*.example.org` stands for one label.
    pub(crate) name: String,
    pub(crate) certificate: PathBuf,
    pub(crate) key: PathBuf,
}

/// Where users are looked up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum UserSource {
    /// A file of passwd lines.
    File(PathBuf),
}

/// What is logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Log {
    pub(crate) level: log::LevelFilter,
}

/// The accounts that roles run as when the server is started by root.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Process {
    /// Owns mail of users who have no account of their own.
    pub(crate) user: String,
    /// Holds the connections before login.
    pub(crate) network_user: String,
    /// Reads the password sources.
    pub(crate) auth_user: String,
}

impl Config {
    /// What holds without a configuration file: listeners on loopback, a self-made certificate,
    /// users in `{data_dir}/users`, limits of the generic board.
    pub(crate) fn with_defaults(data_dir: PathBuf, hostname: String) -> Config {
        Config {
            users: vec![UserSource::default_in(&data_dir)],
            data_dir,
            hostname,
            board: "generic".to_owned(),
            isolation: Isolation::User,
            listeners: Listener::defaults(),
            tls: Tls::default(),
            storage: Storage::default(),
            auth: Auth::default(),
            imap: Imap::default(),
            pop3: Pop3::default(),
            lmtp: Lmtp::default(),
            postfix: Postfix::default(),
            limits: Limits::default(),
            log: Log::default(),
            process: Process::default(),
        }
    }

    /// Returns the directory of the index of a user (or of all).
    pub(crate) fn index_directory(&self, user: &str) -> PathBuf {
        let index = self.data_dir.join("index");
        match self.isolation {
            Isolation::User => index.join(component(Some(user))),
            Isolation::Shared => index,
        }
    }

    /// Returns the index file of a user (or of all).
    pub(crate) fn index_file(&self, user: &str) -> PathBuf {
        self.index_directory(user).join(match self.isolation {
            Isolation::User => "index.redb",
            Isolation::Shared => "shared.redb",
        })
    }
}

impl Config {
    /// True for a directory that belongs to the server itself, lies in one or holds one: no user's mail
    /// may be there.
    pub(crate) fn is_own(&self, directory: &Path) -> bool {
        let own = ["tls", "run", "index"].map(|name| self.data_dir.join(name));
        let users = self.users.iter().map(|UserSource::File(path)| path);
        let mut own = own.iter().chain(users);
        own.any(|own| own.starts_with(directory) || directory.starts_with(own))
    }
}

impl Listener {
    /// IMAP on 1143 and 1993, POP3 on 1110 and 1995, LMTP on 1024, all on loopback.
    pub(crate) fn defaults() -> Vec<Listener> {
        let listener = |protocol: Protocol, port, tls| Listener {
            protocol,
            address: Address::Tcp(SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port)),
            tls,
            proxy_protocol: false,
            mode: protocol.usual_mode(),
            group: None,
        };
        vec![
            listener(Protocol::Imap, 1143, ListenerTls::Starttls),
            listener(Protocol::Imap, 1993, ListenerTls::Implicit),
            listener(Protocol::Pop3, 1110, ListenerTls::Starttls),
            listener(Protocol::Pop3, 1995, ListenerTls::Implicit),
            listener(Protocol::Lmtp, 1024, ListenerTls::None),
        ]
    }
}

impl UserSource {
    /// The file `users` in the data directory.
    pub(crate) fn default_in(data_dir: &Path) -> UserSource {
        UserSource::File(data_dir.join("users"))
    }
}

impl Default for Log {
    fn default() -> Log {
        Log {
            level: log::LevelFilter::Info,
        }
    }
}

impl Default for Process {
    fn default() -> Process {
        Process {
            user: "dovelet".to_owned(),
            network_user: "dovelet-net".to_owned(),
            auth_user: "dovelet-auth".to_owned(),
        }
    }
}

impl Isolation {
    /// The word of the configuration file.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Isolation::User => "user",
            Isolation::Shared => "shared",
        }
    }
}

impl Protocol {
    /// In the order of the manual.
    pub(crate) const ALL: [Protocol; 6] = [
        Protocol::Imap,
        Protocol::Pop3,
        Protocol::Lmtp,
        Protocol::DovecotAuth,
        Protocol::DovecotUserdb,
        Protocol::Socketmap,
    ];

    /// The word of the configuration file.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Protocol::Imap => "imap",
            Protocol::Lmtp => "lmtp",
            Protocol::Pop3 => "pop3",
            Protocol::DovecotAuth => "dovecot-auth",
            Protocol::DovecotUserdb => "dovecot-userdb",
            Protocol::Socketmap => "socketmap",
        }
    }

    /// What people call it.
    pub(crate) fn title(self) -> &'static str {
        match self {
            Protocol::Imap => "IMAP",
            Protocol::Lmtp => "LMTP",
            Protocol::Pop3 => "POP3",
            Protocol::DovecotAuth => "logins of other servers (dovecot-auth)",
            Protocol::DovecotUserdb => "lookups of users (dovecot-userdb)",
            Protocol::Socketmap => "lookups of addresses (socketmap)",
        }
    }

    /// True if it is for programs on this machine, or in networks that are trusted, and for nobody else.
    pub(crate) fn is_inward(self) -> bool {
        matches!(
            self,
            Protocol::DovecotAuth | Protocol::DovecotUserdb | Protocol::Socketmap
        )
    }

    /// Permissions of a unix socket where nothing is said: what tells of users is for its owner.
    pub(crate) fn usual_mode(self) -> u32 {
        match self.is_inward() {
            true => 0o600,
            false => 0o666,
        }
    }
}

impl ListenerTls {
    /// The word of the configuration file.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            ListenerTls::None => "none",
            ListenerTls::Starttls => "starttls",
            ListenerTls::Implicit => "implicit",
        }
    }
}

/// As in the configuration file: `127.0.0.1:143`, `[::1]:143`, `unix:PATH`, `systemd:NAME`.
impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Address::Tcp(address) => address.fmt(f),
            Address::Unix(path) => write!(f, "unix:{}", path.display()),
            Address::Activated(name) => write!(f, "systemd:{name}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_file_everything_is_on_loopback() {
        let config = Config::with_defaults("/data".into(), "host.example".to_owned());
        let shown: Vec<String> = config
            .listeners
            .iter()
            .map(|l| format!("{} {} {}", l.protocol.as_str(), l.address, l.tls.as_str()))
            .collect();
        assert_eq!(
            shown,
            [
                "imap 127.0.0.1:1143 starttls",
                "imap 127.0.0.1:1993 implicit",
                "pop3 127.0.0.1:1110 starttls",
                "pop3 127.0.0.1:1995 implicit",
                "lmtp 127.0.0.1:1024 none"
            ]
        );
        assert_eq!(config.users, [UserSource::File("/data/users".into())]);
        assert_eq!(config.isolation, Isolation::User);
        assert_eq!(config.process.network_user, "dovelet-net");
    }

    #[test]
    fn directories_of_the_server_are_nobodys() {
        // With `{data_dir}/{user}` as the path the mail of `tls` was among the keys.
        let config = Config::with_defaults("/data".into(), "host.example".to_owned());
        for own in [
            "/data",
            "/data/tls",
            "/data/run/x",
            "/data/users",
            "/",
            "/data/index",
        ] {
            assert!(config.is_own(Path::new(own)), "{own}");
        }
        for free in [
            "/data/mail/ann",
            "/data/tls2",
            "/data/ann",
            "/database",
            "/home/ann",
        ] {
            assert!(!config.is_own(Path::new(free)), "{free}");
        }
    }

    #[test]
    fn a_user_has_an_own_index_unless_all_share_one() {
        let mut config = Config::with_defaults("/data".into(), "host.example".to_owned());
        let file = config.index_file("../ann");
        assert_eq!(file, Path::new("/data/index/%2E.%2Fann/index.redb"));
        config.isolation = Isolation::Shared;
        assert_eq!(
            config.index_file("ann"),
            Path::new("/data/index/shared.redb")
        );
    }
}
