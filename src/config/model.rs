//! Settings as values.

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Everything that can be set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Config {
    pub(crate) data_dir: PathBuf,
    /// What this server calls itself in greetings and in Received.
    pub(crate) hostname: String,
    /// The profile the limits came from.
    pub(crate) board: String,
    pub(crate) isolation: Isolation,
    pub(crate) listeners: Vec<Listener>,
    pub(crate) tls: Tls,
    pub(crate) storage: Storage,
    pub(crate) users: Vec<UserSource>,
    pub(crate) limits: Limits,
    pub(crate) log: Log,
    pub(crate) process: Process,
}

/// How many users share an engine process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Isolation {
    /// One engine a user, under the user's uid.
    User,
    /// One engine for all.
    Shared,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Protocol {
    Imap,
    Lmtp,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Address {
    Tcp(SocketAddr),
    Unix(PathBuf),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ListenerTls {
    None,
    Starttls,
    Implicit,
}

/// Where clients connect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Listener {
    pub(crate) protocol: Protocol,
    pub(crate) address: Address,
    pub(crate) tls: ListenerTls,
    /// A proxy of a trusted network says before the first byte who the client is.
    pub(crate) proxy_protocol: bool,
}

/// Certificates. Without any, one is made below `data_dir`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tls {
    pub(crate) certificate: Option<PathBuf>,
    pub(crate) key: Option<PathBuf>,
    /// For clients that ask for another server name.
    pub(crate) names: Vec<ServerName>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ServerName {
    pub(crate) name: String,
    pub(crate) certificate: PathBuf,
    pub(crate) key: PathBuf,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Format {
    #[default]
    Maildir,
}

/// Where mail lies.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Storage {
    pub(crate) format: Format,
    pub(crate) path: Option<Template>,
}

/// A path with `{user}`, `{local_part}`, `{domain}`, `{home}` and `{data_dir}` in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Template(pub(crate) String);

impl Template {
    pub(crate) const VARIABLES: [&'static str; 5] =
        ["user", "local_part", "domain", "home", "data_dir"];
}

/// A name as one part of a path: never a separator, never hidden, never `..`.
fn part(name: &str) -> String {
    let safe = |c: char| if c == '/' || c.is_control() { '_' } else { c };
    let part: String = name.chars().map(safe).collect();
    match part.strip_prefix('.') {
        Some(rest) => format!("_{rest}"),
        None => part,
    }
}

impl Storage {
    /// The directory of a user's mail. `home` stands for `{home}`; a user without one has
    /// `{data_dir}/mail/{user}` for it.
    pub(crate) fn root(&self, data_dir: &Path, user: &str, home: Option<&Path>) -> PathBuf {
        let own = data_dir.join("mail").join(part(user));
        let Some(Template(template)) = &self.path else {
            return own;
        };
        let (local_part, domain) = user.rsplit_once('@').unwrap_or((user, ""));
        let home = home.unwrap_or(&own).to_string_lossy().into_owned();
        let path = template
            .replace("{data_dir}", &data_dir.to_string_lossy())
            .replace("{home}", &home)
            .replace("{user}", &part(user))
            .replace("{local_part}", &part(local_part))
            .replace("{domain}", &part(domain));
        let path = PathBuf::from(path);
        if path.is_absolute() {
            path
        } else {
            data_dir.join(path)
        }
    }

    /// The directory that holds the roots of all users, as far as it is the same for all.
    pub(crate) fn common_root(&self, data_dir: &Path) -> PathBuf {
        let Some(Template(template)) = &self.path else {
            return data_dir.join("mail");
        };
        let path = template.replace("{data_dir}", &data_dir.to_string_lossy());
        let fixed = path.split('{').next().unwrap_or_default();
        let end = fixed.rfind('/').map_or(0, |at| at + 1);
        data_dir.join(fixed.get(..end).unwrap_or_default())
    }
}

impl Config {
    /// The directory of the index of a user (or of all).
    pub(crate) fn index_directory(&self, user: &str) -> PathBuf {
        let index = self.data_dir.join("index");
        match self.isolation {
            Isolation::User => index.join(part(user)),
            Isolation::Shared => index,
        }
    }

    /// The index file of a user (or of all).
    pub(crate) fn index_file(&self, user: &str) -> PathBuf {
        self.index_directory(user).join(match self.isolation {
            Isolation::User => "index.redb",
            Isolation::Shared => "shared.redb",
        })
    }

    /// What holds without any file of settings: loopback listeners on high ports.
    pub(crate) fn with_defaults(data_dir: PathBuf, hostname: String) -> Config {
        let listener = |protocol, port, tls| Listener {
            protocol,
            address: Address::Tcp(SocketAddr::from(([127, 0, 0, 1], port))),
            tls,
            proxy_protocol: false,
        };
        Config {
            users: vec![UserSource::File(data_dir.join("users"))],
            data_dir,
            hostname,
            board: "generic".to_owned(),
            isolation: Isolation::User,
            listeners: vec![
                listener(Protocol::Imap, 1143, ListenerTls::Starttls),
                listener(Protocol::Imap, 1993, ListenerTls::Implicit),
                listener(Protocol::Lmtp, 1024, ListenerTls::None),
            ],
            tls: Tls::default(),
            storage: Storage::default(),
            limits: Limits::default(),
            log: Log::default(),
            process: Process::default(),
        }
    }
}

/// Where users come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum UserSource {
    /// A passwd-file.
    File(PathBuf),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Log {
    pub(crate) level: log::LevelFilter,
}

impl Default for Log {
    fn default() -> Log {
        Log {
            level: log::LevelFilter::Info,
        }
    }
}

/// Accounts of this machine under which the roles run when started as root.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Process {
    /// Owns the mail of users who have no uid of their own.
    pub(crate) user: String,
    /// For `front`.
    pub(crate) network_user: String,
    /// For `auth`.
    pub(crate) auth_user: String,
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

/// A network: addresses that begin with the same bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Network {
    pub(crate) address: IpAddr,
    pub(crate) prefix: u8,
}

impl Network {
    /// An IPv4 address inside an IPv6 one counts as IPv4.
    pub(crate) fn contains(&self, address: IpAddr) -> bool {
        match (self.address, address.to_canonical()) {
            (IpAddr::V4(a), IpAddr::V4(b)) => {
                let shift = 32u32.saturating_sub(u32::from(self.prefix));
                (u32::from(a) ^ u32::from(b))
                    .checked_shr(shift)
                    .unwrap_or(0)
                    == 0
            }
            (IpAddr::V6(a), IpAddr::V6(b)) => {
                let shift = 128u32.saturating_sub(u32::from(self.prefix));
                (u128::from(a) ^ u128::from(b))
                    .checked_shr(shift)
                    .unwrap_or(0)
                    == 0
            }
            _ => false,
        }
    }
}

/// Every bound that can be set. The defaults are those of the board `generic`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Limits {
    pub(crate) max_connections: u32,
    pub(crate) max_connections_per_address: u32,
    pub(crate) max_connections_per_user: u32,
    /// Connections that are not logged in yet.
    pub(crate) max_login_connections: u32,
    /// From connecting to being logged in.
    pub(crate) login_timeout: Duration,
    pub(crate) login_bad_commands: u32,
    pub(crate) login_line_octets: usize,
    pub(crate) login_literal_octets: usize,
    pub(crate) command_line_octets: usize,
    pub(crate) literal_octets: usize,
    pub(crate) message_octets: u64,
    pub(crate) bad_commands: u32,
    pub(crate) imap_idle_timeout: Duration,
    pub(crate) lmtp_idle_timeout: Duration,
    pub(crate) header_octets: usize,
    pub(crate) mime_parts: usize,
    pub(crate) mime_depth: usize,
    pub(crate) max_recipients: u32,
    pub(crate) max_transactions: u32,
    pub(crate) max_mailboxes: usize,
    pub(crate) max_keywords: usize,
    pub(crate) argon2_memory_kib: u32,
    pub(crate) argon2_passes: u32,
    /// Slow hashes at once.
    pub(crate) argon2_parallel: u32,
    /// Logins that wait for one.
    pub(crate) argon2_queue: u32,
    pub(crate) login_failure_delay: Duration,
    pub(crate) login_failure_delay_max: Duration,
    pub(crate) index_cache_octets: usize,
    pub(crate) blocking_threads: u32,
    pub(crate) stack_octets: usize,
    /// An engine of one user without a session ends after this.
    pub(crate) engine_idle_timeout: Duration,
    /// Networks whose word about the client is taken; loopback always.
    pub(crate) trusted_networks: Vec<Network>,
}

impl Limits {
    /// True for loopback and the trusted networks.
    pub(crate) fn trusts(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        address.is_loopback() || self.trusted_networks.iter().any(|n| n.contains(address))
    }
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            max_connections: 1000,
            max_connections_per_address: 50,
            max_connections_per_user: 50,
            max_login_connections: 200,
            login_timeout: Duration::from_secs(60),
            login_bad_commands: 5,
            login_line_octets: 2048,
            login_literal_octets: 1024,
            command_line_octets: 64 * 1024,
            literal_octets: 64 * 1024,
            message_octets: 50 << 20,
            bad_commands: 20,
            imap_idle_timeout: Duration::from_secs(30 * 60),
            lmtp_idle_timeout: Duration::from_secs(5 * 60),
            header_octets: 256 * 1024,
            mime_parts: 10_000,
            mime_depth: 100,
            max_recipients: 50,
            max_transactions: 1000,
            max_mailboxes: 10_000,
            max_keywords: 200,
            argon2_memory_kib: 19 * 1024,
            argon2_passes: 2,
            argon2_parallel: 2,
            argon2_queue: 50,
            login_failure_delay: Duration::from_secs(2),
            login_failure_delay_max: Duration::from_secs(15),
            index_cache_octets: 4 << 20,
            blocking_threads: 8,
            stack_octets: 512 * 1024,
            engine_idle_timeout: Duration::from_secs(60),
            trusted_networks: Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn user_names_stay_inside() {
        let storage = |path: Option<&str>| Storage {
            format: Format::Maildir,
            path: path.map(|p| Template(p.to_owned())),
        };
        let data = Path::new("/d");
        for (path, user, home, expected) in [
            (None, "ann", None, "/d/mail/ann"),
            (None, "../x/y", None, "/d/mail/_._x_y"),
            (
                Some("/v/{domain}/{local_part}"),
                "ann@x.org",
                None,
                "/v/x.org/ann",
            ),
            (Some("/v/{domain}/{local_part}"), "..@..", None, "/v/_./_."),
            (
                Some("{home}/Maildir"),
                "ann",
                Some("/home/ann"),
                "/home/ann/Maildir",
            ),
            (Some("{home}/Maildir"), "ann", None, "/d/mail/ann/Maildir"),
            (Some("box/{user}"), "ann", None, "/d/box/ann"),
        ] {
            let root = storage(path).root(data, user, home.map(Path::new));
            assert_eq!(root, PathBuf::from(expected), "{path:?} {user}");
        }
        for (path, expected) in [
            (None, "/d/mail"),
            (Some("/v/{domain}/{local_part}"), "/v/"),
            (Some("{data_dir}/box/u-{user}"), "/d/box/"),
            (Some("{home}/Maildir"), "/d"),
        ] {
            assert_eq!(storage(path).common_root(data), PathBuf::from(expected));
        }
    }

    #[test]
    fn networks() {
        let network = |text: &str, prefix| Network {
            address: text.parse().unwrap(),
            prefix,
        };
        let inside = |n: Network, address: &str| n.contains(address.parse().unwrap());
        assert!(inside(network("10.0.0.0", 8), "10.200.3.4"));
        assert!(inside(network("10.0.0.0", 8), "::ffff:10.200.3.4"));
        assert!(!inside(network("10.0.0.0", 8), "11.0.0.0"));
        assert!(inside(network("0.0.0.0", 0), "11.0.0.0"));
        assert!(inside(network("fd00::", 8), "fd12::1"));
        assert!(!inside(network("fd00::", 8), "fe80::1"));
        assert!(Limits::default().trusts("::1".parse().unwrap()));
        assert!(!Limits::default().trusts("192.0.2.1".parse().unwrap()));
    }
}
