//! Whole settings files.

use super::limits::LIMITS;
use super::model::Listener;
use super::profile::BOARDS;
use super::*;

const GOOD: &str = r#"# A settings file that says everything once.
data_dir = "/srv/mail"
hostname = "mail.example.org"
board = "nas"
isolation = "user"

[[listener]]
protocol = "imap"
address = "[::]:143"
tls = "starttls"

[[listener]]
protocol = "imap"
address = "127.0.0.1:1993"
tls = "implicit"
proxy_protocol = true

[[listener]]
protocol = "lmtp"
address = "unix:run/lmtp \"x\""

[tls]
certificate = "mail.pem"
key = '/etc/ssl/mail.key'

[[tls.name]]
name = "IMAP.example.org"
certificate = "imap.pem"
key = "imap.key"

[storage]
format = "maildir"
path = "{home}/Maildir"

[[users]]
source = "file"
path = "users"

[[users]]

[limits]
max_connections = 77
message_octets = "25MB"
literal_octets = 4_096
login_timeout = "90s"
trusted_networks = [
    "192.168.0.0/16",
    "2001:db8::1",
]

[log]
level = "debug"

[process]
user = "vmail"
"#;

pub(super) fn settings() -> ParseSettings {
    ParseSettings {
        directory: "/etc/dovelet".into(),
        data_dir: "/var/lib/dovelet".into(),
        hostname: "host".to_owned(),
        ..ParseSettings::default()
    }
}

fn good(text: &str) -> Config {
    parse(text, settings()).unwrap()
}

fn faults(text: &str) -> Vec<String> {
    match parse(text, settings()) {
        Ok(_) => Vec::new(),
        Err(faults) => faults.iter().map(ToString::to_string).collect(),
    }
}

#[test]
fn nothing_said_is_the_default() {
    let expected = Config::with_defaults("/var/lib/dovelet".into(), "host".to_owned());
    assert_eq!(good(""), expected);
    assert_eq!(good("\u{feff}# only a comment"), expected);
}

#[test]
fn everything_said_is_heard() {
    let config = good(GOOD);
    assert_eq!(config.data_dir.to_str(), Some("/srv/mail"));
    assert_eq!(config.hostname, "mail.example.org");
    assert_eq!(
        (config.board.as_str(), config.isolation),
        ("nas", Isolation::User)
    );
    let listener = |protocol, address: &str, tls, proxy_protocol| Listener {
        protocol,
        address: match address.strip_prefix("unix:") {
            Some(path) => Address::Unix(path.into()),
            None => Address::Tcp(address.parse().unwrap()),
        },
        tls,
        proxy_protocol,
        mode: 0o666,
        group: None,
    };
    let expected = [
        listener(Protocol::Imap, "[::]:143", ListenerTls::Starttls, false),
        listener(
            Protocol::Imap,
            "127.0.0.1:1993",
            ListenerTls::Implicit,
            true,
        ),
        listener(
            Protocol::Lmtp,
            "unix:/etc/dovelet/run/lmtp \"x\"",
            ListenerTls::None,
            false,
        ),
    ];
    assert_eq!(config.listeners, expected);
    assert_eq!(config.tls.certificate, Some("/etc/dovelet/mail.pem".into()));
    assert_eq!(config.tls.key, Some("/etc/ssl/mail.key".into()));
    assert_eq!(config.tls.names.len(), 1);
    assert_eq!(config.tls.names[0].name, "imap.example.org");
    assert_eq!(
        config.tls.names[0].key,
        std::path::Path::new("/etc/dovelet/imap.key")
    );
    let home = Some(std::path::Path::new("/home/ann"));
    let root = config.storage.root(&config.data_dir, "ann", home);
    assert_eq!(root.to_str(), Some("/home/ann/Maildir"));
    let sources = ["/etc/dovelet/users", "/srv/mail/users"].map(|p| UserSource::File(p.into()));
    assert_eq!(config.users, sources);
    assert_eq!(config.limits.max_connections, 77);
    assert_eq!(config.limits.message_octets, 25_000_000);
    assert_eq!(config.limits.literal_octets, 4096);
    assert_eq!(
        config.limits.login_timeout,
        std::time::Duration::from_secs(90)
    );
    // Of the board.
    assert_eq!(config.limits.max_connections_per_user, 200);
    assert!(config.limits.trusts("192.168.7.7".parse().unwrap()));
    assert_eq!(config.log.level, log::LevelFilter::Debug);
    assert_eq!(config.process.user, "vmail");
    assert_eq!(config.process.auth_user, "dovelet-auth");
}

#[test]
fn what_is_shown_reads_back() {
    let mut odd = good(GOOD);
    odd.data_dir = "/a \"b\"\\c\n\u{7f}ü".into();
    odd.listeners.truncate(1);
    odd.limits.literal_octets = 12_345;
    odd.limits.login_failure_delay = std::time::Duration::ZERO;
    odd.limits.argon2_queue = 0;
    let mut configs = vec![good(""), good(GOOD), odd];
    configs.extend(
        BOARDS
            .iter()
            .map(|board| good(&format!("board = \"{board}\""))),
    );
    for config in configs {
        assert_eq!(good(&show(&config)), config);
    }
}

#[test]
fn the_manual_is_a_settings_file() {
    let manual = reference();
    assert_eq!(good(&manual).limits, good("").limits);
    assert_eq!(good(&manual).listeners, good("").listeners);
    // With every example: nothing in it is unknown or refused.
    let all: Vec<&str> = manual
        .lines()
        .map(|line| match line.strip_prefix('#') {
            Some(code) if !code.starts_with(' ') => code,
            _ => line,
        })
        .collect();
    // Permissions are those of a unix socket, and the example is none.
    let all = all.join("\n");
    let all = all.replace("address = \"[::]:143\"", "address = \"unix:/run/imap\"");
    // And messages are put aside in a format that is not that of the manual.
    let aside = "alternate = \"/slow/{user}\"\n";
    assert!(all.contains(aside));
    good(&format!("[storage]\nformat = \"mdbox\"\n{aside}"));
    let all = all.replace(aside, "");
    // Nor are those of a namespace all for one format.
    let namespace = ["layout = \"fs\"\n", "inbox = \"/var/archive/{user}\"\n"];
    let all = namespace.iter().fold(all, |all, line| {
        assert!(all.contains(line), "{line}");
        all.replace(line, "")
    });
    let config = good(&all.replace("tls = \"starttls\"", "tls = \"none\""));
    assert_eq!(config.listeners.len(), 1);
    assert_eq!(config.tls.names.len(), 1);
    for limit in LIMITS {
        assert!(
            manual.contains(&format!("\n{} = ", limit.name)),
            "{}",
            limit.name
        );
    }
    for line in manual.lines() {
        assert!(line.len() <= 110, "{line}");
    }
}

#[test]
fn boards_supply_and_the_file_overrides() {
    let config = good("board = \"openwrt-64\"\n[limits]\nmax_recipients = 60");
    assert_eq!(config.isolation, Isolation::Shared);
    assert_eq!(config.limits.max_connections, 50);
    assert_eq!(config.limits.max_recipients, 60);
    let mut settings = settings();
    settings.board_override = Some("openwrt-128".to_owned());
    settings.data_dir_override = Some("/other".into());
    let text = "board = \"nas\"\nisolation = \"user\"\ndata_dir = \"/x\"";
    let config = parse(text, settings.clone()).unwrap();
    assert_eq!(config.board, "openwrt-128");
    assert_eq!(config.isolation, Isolation::User);
    assert_eq!(config.limits.max_connections, 100);
    assert_eq!(config.users, [UserSource::File("/other/users".into())]);
    settings.board_override = Some("nass".to_owned());
    let faults = parse("", settings).unwrap_err();
    assert_eq!(
        faults[0].to_string(),
        "1:1: `--board` cannot be \"nass\"; did you mean \"nas\"?"
    );
}

#[test]
fn all_faults_are_told_at_once() {
    let text = r#"hostnam = "a"
board = "toaster"
isolation = shared
[[listener]]
protocol = "managesieve"
address = "127.0.0.1"
tls = "ssl"
[limits]
max_connections = "many"
login_timeout = 30
"#;
    assert_eq!(
        faults(text),
        [
            "1:1: \"hostnam\" is not known at the top of the file; did you mean `hostname`?",
            "2:9: `board` cannot be \"toaster\"; write \"generic\" or \"nas\" or \"raspberrypi\" or \"openwrt-128\" or \"openwrt-64\"",
            "3:13: write `isolation` with quotes: \"shared\"",
            "5:12: \"managesieve\" is not served yet; write \"imap\", \"pop3\" or \"lmtp\"",
            "6:11: \"127.0.0.1\" has no port; write \"127.0.0.1:143\" or \"[::1]:143\"",
            "7:7: `tls` cannot be \"ssl\"; write \"none\" or \"starttls\" or \"implicit\"",
            "9:19: `max_connections` must be a whole number without quotes, not \"many\"",
            "10:17: `login_timeout` must be a span of time such as \"30s\", \"5m\" or \"1h\", not 30",
        ]
    );
}

#[test]
fn each_fault_is_told_with_what_would_be_right() {
    let imap = "[[listener]]\nprotocol = \"imap\"\n";
    let cases = [
        (
            "data_dir = 5",
            "1:12: `data_dir` must be text in quotes, not a number",
        ),
        (
            "data_dir = \"\"",
            "1:12: `data_dir` must be a path, such as \"/etc/file\"",
        ),
        ("data_dir =", "1:11: `data_dir` has no value"),
        (
            "hostname = \"a b\"",
            "1:12: `hostname` must be a name of letters, digits, `-` and `.`, such as \"mail.example.org\"",
        ),
        (
            "hostname = \"a\\r\\nb\"",
            "1:12: `hostname` must be a name of letters, digits, `-` and `.`, such as \"mail.example.org\"",
        ),
        (
            "hostname = mail.example.org",
            "1:12: write `hostname` with quotes: \"mail.example.org\"",
        ),
        (
            "isolation = \"shard\"",
            "1:13: `isolation` cannot be \"shard\"; did you mean \"shared\"?",
        ),
        (
            "hostname = \"a\"\nhostname = \"b\"",
            "2:1: `hostname` is set already on line 1",
        ),
        (
            "max_connections = 5",
            "1:1: \"max_connections\" is not known at the top of the file; it belongs in [limits]",
        ),
        (
            "[limits]\nhostname = \"a\"",
            "2:1: \"hostname\" is not known in [limits]; it belongs at the top of the file",
        ),
        (
            "[limit]\nx = 1",
            "1:2: \"limit\" is not known at the top of the file; did you mean `limits`?",
        ),
        (
            "[log]\ncolour = 1",
            "2:1: \"colour\" is not known in [log]; known are level",
        ),
        (
            "[listener]\nprotocol = \"imap\"\naddress = \"[::1]:1\"",
            "1:1: there can be more than one `listener`: write [[listener]]",
        ),
        (
            "[[log]]\nlevel = \"info\"",
            "1:1: `log` is a table: write [log], not a list of tables",
        ),
        (
            "listener = [1]",
            "1:13: [[listener]] must be a table, not a number",
        ),
        (
            "listener = []",
            "1:12: write [[listener]] or leave `listener` out",
        ),
        ("users = []", "1:9: write [[users]] or leave `users` out"),
        (
            "[tls]\ncertificate = \"a\"",
            "2:15: `certificate` without `key`: set both or none",
        ),
        (
            "[tls]\nkey = \"a\"",
            "2:7: `key` without `certificate`: set both or none",
        ),
        (
            "[[tls.name]]\nname = \"a\"\nkey = \"k\"",
            "1:1: [[tls.name]] needs `certificate`",
        ),
        (
            "[[tls.name]]\nname = \"a b\"\ncertificate = \"c\"\nkey = \"k\"",
            "2:8: `name` must be a server name such as \"imap.example.org\" or \"*.example.org\"",
        ),
        (
            "[storage]\nformat = \"mbix\"",
            "2:10: `format` cannot be \"mbix\"; did you mean \"mbox\"?",
        ),
        (
            "[storage]\nformat = \"sdbox\"\nalternate = \"/slow/{user}\"",
            "3:13: `alternate` is for mdbox alone, and `format` is \"sdbox\"",
        ),
        (
            "[storage]\nformat = \"mdbox\"\nlayout = \"fs\"",
            "3:10: `layout` is for maildir alone, and `format` is \"mdbox\"",
        ),
        (
            "[storage]\nlayout = \"index\"",
            "2:10: `layout` cannot be \"index\"; write \"maildir++\" or \"fs\"",
        ),
        (
            "[storage]\npath = \"/mail/{users}\"",
            "2:8: {users} is not known in `path`; known are {user}, {local_part}, {domain}, {home}, {data_dir}",
        ),
        (
            "[storage]\npath = \"/mail/{user\"",
            "2:8: `path` has a brace without its pair; write {{ or }} for the brace itself",
        ),
        (
            "[storage]\npath = \"/mail/{domain}\"",
            "2:8: `path` is the same for every user; write {user}, {local_part} or {home} in it",
        ),
        (
            "[[users]]\nsource = \"ldap\"",
            "2:10: `source` cannot be \"ldap\"; write \"file\"",
        ),
        (
            "[[users]]\n[[users]]",
            "2:1: this file is a source already; take one of the two out",
        ),
        (
            "[log]\nlevel = \"loud\"",
            "2:9: `level` cannot be \"loud\"; write \"off\" or \"error\" or \"warn\" or \"info\" or \"debug\" or \"trace\"",
        ),
        (
            "[process]\nuser = \"a b\"",
            "2:8: `user` must be the name of an account, such as \"dovelet\"",
        ),
        (
            "[process]\nnetwork_user = \"root\"",
            "2:16: `network_user` must not be root: what talks to clients or reads their mail gives root's rights up; name an account without them, such as \"dovelet\"",
        ),
        (
            "[process]\nuser = \"dovelet-net\"",
            "2:8: `network_user` and `user` must be different accounts, so that one cannot reach what the other holds",
        ),
        (
            "[limits]\nmax_connections = 0",
            "2:19: `max_connections` must be at least 1",
        ),
        (
            "[limits]\nmax_connections = -5",
            "2:19: `max_connections` must be at least 1",
        ),
        (
            "[limits]\nmax_connections = 4294967296",
            "2:19: `max_connections` is too large for this machine",
        ),
        (
            "[limits]\nmax_connections = 1.5",
            "2:19: `max_connections` must be a whole number without quotes, not a fraction",
        ),
        (
            "[limits]\nmax_connections = 10x",
            "2:19: `max_connections` must be a whole number without quotes, not `10x`",
        ),
        (
            "[limits]\nmessage_octets = \"25\u{b5}B\"",
            "2:18: `message_octets` must be octets or a size such as \"64KiB\" or \"25MB\", not \"25\u{b5}B\"",
        ),
        (
            "[limits]\nmessage_octets = 25MB",
            "2:18: write `message_octets` with quotes: \"25MB\"",
        ),
        (
            "[limits]\nlogin_line_octets = \"10B\"",
            "2:21: `login_line_octets` must be at least 512",
        ),
        (
            "[limits]\nlogin_timeout = \"99999999999999999d\"",
            "2:17: `login_timeout` is too large for any machine",
        ),
        (
            "[limits]\nlogin_failure_delay = \"1m\"",
            "2:23: `login_failure_delay` must not be longer than `login_failure_delay_max`",
        ),
        (
            "[limits]\nargon2_memory_kib = 600000",
            "2:21: no password is verified that takes more than 262144 KiB, or 4194304 KiB over all passes",
        ),
        (
            "[limits]\nargon2_memory_kib = 262144\nargon2_passes = 17",
            "2:21: no password is verified that takes more than 262144 KiB, or 4194304 KiB over all passes",
        ),
        (
            "[limits]\nargon2_parallel = 65",
            "2:19: `argon2_parallel` must be at most 64: the processors there are, or fewer",
        ),
        (
            "[limits]\nmime_depth = 1001",
            "2:14: `mime_depth` must be at most 1000; mail that is real stays below 100",
        ),
        (
            "[limits]\nblocking_threads = 99999999",
            "2:20: the stacks of `blocking_threads`, each of `stack_octets`, take more than half of `engine_memory_octets`",
        ),
        (
            "[limits]\ntrusted_networks = \"::1\"",
            "2:20: `trusted_networks` must be a list such as [\"a\", \"b\"], not text",
        ),
        (
            "[limits]\ntrusted_networks = [\"::1\", \"home\"]",
            "2:28: \"home\" is no network: write \"192.0.2.0/24\", \"2001:db8::/32\" or one address",
        ),
        (
            "[limits]\ntrusted_networks = [\"10.0.0.0/33\"]",
            "2:21: \"10.0.0.0/33\" has a prefix longer than its address: at most /32, or /128 for IPv6",
        ),
        (
            "[limits]\n[limits]",
            "2:2: [limits] is there already on line 1: write its settings there",
        ),
        (
            "[[listener]]\naddress = \"[::]:1\"",
            "1:1: [[listener]] needs `protocol`",
        ),
        (imap, "1:1: [[listener]] needs `address`"),
        (
            "[[listener]]\nprotocol = \"imap\"\naddress = \"[::]:1\"\ngroup = \"mail\"",
            "4:9: only a unix socket has a `group`",
        ),
        (
            "[[listener]]\nprotocol = \"lmtp\"\naddress = \"unix:/x\"\nmode = \"0888\"",
            "4:8: \"0888\" is no mode; write \"0660\"",
        ),
        (
            "[[listener]]\nprotocol = \"dovecot-auth\"\naddress = \"[::1]:1\"\ntls = \"starttls\"",
            "4:7: \"dovecot-auth\" has no TLS; write \"none\"",
        ),
        (
            &format!("{imap}address = \"localhost:143\""),
            "3:11: \"localhost:143\" is no address; write an IP address with a port, such as \"127.0.0.1:1143\" or \"[::]:143\", or \"unix:PATH\"",
        ),
        (
            &format!("{imap}address = \"*:143\""),
            "3:11: \"*:143\" is no address; write \"[::]:143\" or \"0.0.0.0:143\" for all",
        ),
        (
            &format!("{imap}address = \"/run/x\""),
            "3:11: \"/run/x\" is no address; write \"unix:/run/x\" for a socket in the file system",
        ),
        (
            &format!("{imap}address = \"unix:/{}\"", "x".repeat(107)),
            "3:11: the path of a socket has at most 107 octets",
        ),
        (
            &format!("{imap}address = \"unix:/s\"\ntls = \"implicit\""),
            "4:7: a unix socket has no TLS; write \"none\"",
        ),
        (
            &format!("{imap}address = \"[::]:1\"\nproxy_protocol = \"yes\""),
            "4:18: `proxy_protocol` must be true or false, without quotes",
        ),
        (
            &format!("{imap}address = \"systemd:a:b\""),
            "3:11: the name of a socket of systemd has 1 to 255 characters, none of them \":\"",
        ),
        (
            &format!("{imap}address = \"127.0.0.1:143\"\n{imap}address = \"0.0.0.0:143\""),
            "6:11: the listener of line 3 has this address already",
        ),
        (
            &format!("{imap}address = \"unix:/s\"\n{imap}address = \"unix:/s\""),
            "6:11: the listener of line 3 has this address already",
        ),
    ];
    let mut others = Vec::new();
    for (text, expected) in cases {
        if faults(text) != [expected] {
            others.push((text, faults(text)));
        }
    }
    assert_eq!(others, []);
}

#[test]
fn what_only_looks_wrong_is_right() {
    let imap = "[[listener]]\nprotocol = \"imap\"\n";
    let cases = [
        format!("{imap}address = \"127.0.0.1:0\"\n{imap}address = \"127.0.0.1:0\""),
        format!("{imap}address = \"127.0.0.1:143\"\n{imap}address = \"127.0.0.2:143\""),
        format!("{imap}address = \"127.0.0.1:143\"\n{imap}address = \"[::]:143\""),
        "listener = [{protocol = \"imap\", address = \"[::1]:143\"}]".to_owned(),
        "limits.max_connections = 5\ntls = {certificate = \"a\", key = \"b\"}".to_owned(),
        "[tls]\n[[tls.name]]\nname = \"*.a.org\"\ncertificate = \"c\"\nkey = \"k\"".to_owned(),
        "\"hostname\" = 'a'\r\n".to_owned(),
    ];
    for text in cases {
        assert_eq!(faults(&text), Vec::<String>::new(), "{text}");
    }
}

#[test]
fn a_huge_file_is_refused_and_a_large_one_is_quick() {
    assert_eq!(
        faults(&"#".repeat((1 << 20) + 1)),
        ["1:1: a settings file has at most 1 MiB"]
    );
    let unknown: String = (0..5_000).map(|n| format!("k{n} = 1\n")).collect();
    assert_eq!(faults(&unknown).len(), 5_000);
}

/// A small generator of numbers that are the same in every run (xorshift).
struct Chance(u64);

impl Chance {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % bound as u64) as usize
    }
}

const BITS: [&str; 24] = [
    "[",
    "]",
    "[[",
    "]]",
    "{",
    "}",
    "=",
    ".",
    ",",
    "\"",
    "'",
    "\"\"\"",
    "#",
    "\n",
    "\r",
    "\0",
    "\\",
    "\u{1f600}",
    "1e9",
    "0x",
    "-",
    "true",
    "[limits]",
    "unix:",
];

fn mutated(chance: &mut Chance) -> String {
    let mut characters: Vec<char> = GOOD.chars().collect();
    for _ in 0..=chance.below(3) {
        let at = chance.below(characters.len());
        match chance.below(4) {
            0 => {
                let end = characters.len().min(at + 1 + chance.below(20));
                characters.drain(at..end);
            }
            1 => {
                let bit = BITS[chance.below(BITS.len())];
                characters.splice(at..at, bit.chars());
            }
            2 => {
                let end = characters.len().min(at + chance.below(60));
                let copy: Vec<char> = characters[at..end].to_vec();
                let to = chance.below(characters.len());
                characters.splice(to..to, copy);
            }
            _ => characters[at] = char::from(b' ' + chance.below(95) as u8),
        }
        if characters.is_empty() {
            characters.push('#');
        }
    }
    characters.into_iter().collect()
}

#[test]
fn damaged_files_never_harm() {
    let mut chance = Chance(0x9e37_79b9_7f4a_7c15);
    let (mut right, mut wrong) = (0, 0);
    for _ in 0..1500 {
        let text = mutated(&mut chance);
        match parse(&text, settings()) {
            Ok(config) => {
                right += 1;
                assert_eq!(good(&show(&config)), config, "{text}");
            }
            Err(faults) => {
                wrong += 1;
                let lines = text.split('\n').count();
                assert!(!faults.is_empty());
                assert!(faults.iter().all(|f| (1..=lines).contains(&f.line)));
                assert!(faults.is_sorted_by_key(|f| (f.line, f.column)), "{text}");
            }
        }
    }
    // The damage is neither harmless nor total.
    assert!(right > 30 && wrong > 500, "{right} {wrong}");
}

#[test]
fn a_shared_engine_gets_a_directory_of_mail_and_nothing_else() {
    // It could reach keys and users in the data directory, and no home at all.
    let text = |path: &str| format!("isolation = \"shared\"\n[storage]\npath = \"{path}\"\n");
    for path in [
        "{home}/Maildir",
        "{data_dir}/{user}",
        "/var/lib/{user}",
        "/{user}",
    ] {
        let faults = parse(&text(path), settings()).unwrap_err();
        assert_eq!((faults.len(), faults[0].line), (1, 3), "{path}");
    }
    for path in [
        "{data_dir}/mail/{user}",
        "/var/mail/{user}",
        "/var/vmail/{domain}/{local_part}",
    ] {
        let config = parse(&text(path), settings()).unwrap();
        assert_eq!(config.isolation, Isolation::Shared, "{path}");
    }
    let user = text("{home}/Maildir").replace("shared", "user");
    assert!(parse(&user, settings()).is_ok());
}
