//! The text of a settings file as a configuration.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::auth;
use super::bounds;
use super::builder;
use super::certificates::{self, is_host_name};
use super::fault::{Fault, Faults};
use super::imap;
use super::layout::{InfoSeparator, Layout};
use super::listener;
use super::lmtp;
use super::manual::{LIMIT, LOG, PROCESS, STORAGE, TLS, TOP, USERS};
use super::model::{ClientName, Config, Isolation, Log, Process, UserSource};
use super::namespace;
use super::pop3;
use super::postfix;
use super::profile::{BOARDS, Profile, profile};
use super::reader::{Part, Reader, no_choice};
use super::storage::{Format, Storage, Unfit};
use super::template::{Template, TemplateFault, VARIABLES};
use super::uci;
use crate::codec::packed::Method;

/// More is not read.
const MAX_OCTETS: usize = 1 << 20;

pub(super) const ISOLATIONS: [(&str, Isolation); 2] =
    [("user", Isolation::User), ("shared", Isolation::Shared)];

pub(super) const FORMATS: [(&str, Format); 4] = [
    ("maildir", Format::Maildir),
    ("mbox", Format::Mbox),
    ("sdbox", Format::Sdbox),
    ("mdbox", Format::Mdbox),
];

pub(super) const COMPRESSIONS: [(&str, Option<Method>); 4] = [
    ("none", None),
    ("gzip", Some(Method::Gzip)),
    ("zstd", Some(Method::Zstd)),
    ("lz4", Some(Method::Lz4)),
];

pub(super) const UNFIT: [(&str, Unfit); 3] = [
    ("warn", Unfit::Warn),
    ("refuse", Unfit::Refuse),
    ("ignore", Unfit::Ignore),
];

const SOURCES: [(&str, ()); 1] = [("file", ())];

const LEVELS: [(&str, log::LevelFilter); 6] = [
    ("off", log::LevelFilter::Off),
    ("error", log::LevelFilter::Error),
    ("warn", log::LevelFilter::Warn),
    ("info", log::LevelFilter::Info),
    ("debug", log::LevelFilter::Debug),
    ("trace", log::LevelFilter::Trace),
];

/// Looks at what settings name on this machine.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Inspect {
    /// At the files of a certificate and its key; returns what keeps a server from using them.
    pub(crate) certificate: fn(certificate: &Path, key: &Path) -> Result<(), Unusable>,
    /// At the file of those who vouch for users; returns what keeps a server from using it.
    pub(crate) authorities: fn(path: &Path, name: ClientName) -> Result<(), String>,
    /// Whether there is a group of that name.
    pub(crate) group: fn(name: &str) -> bool,
}

/// Which of a certificate and its key is to blame, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Unusable {
    Certificate(String),
    Key(String),
}

/// How settings are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Syntax {
    #[default]
    Toml,
    /// That of OpenWrt.
    Uci,
}

/// What a settings file does not say itself.
#[derive(Clone, Debug, Default)]
pub(crate) struct ParseSettings {
    /// Where relative paths in the file start: the directory of the file.
    pub(crate) directory: PathBuf,
    /// For a file without `data_dir`.
    pub(crate) data_dir: PathBuf,
    /// For a file without `hostname`.
    pub(crate) hostname: String,
    /// Holds whatever the file says: `--data`.
    pub(crate) data_dir_override: Option<PathBuf>,
    /// Holds whatever the file says: `--board`.
    pub(crate) board_override: Option<String>,
    pub(crate) syntax: Syntax,
    /// What cannot be used is a fault as others are.
    pub(crate) inspect: Option<Inspect>,
}

/// Returns what `text` says, with defaults for the rest, or everything that is wrong with it in
/// the order of the text. Reads no files itself: whether paths exist is not looked at.
pub(crate) fn parse(text: &str, settings: ParseSettings) -> Result<Config, Vec<Fault>> {
    let mut faults = Faults::new(text);
    if text.len() > MAX_OCTETS {
        faults.add(0, "a settings file has at most 1 MiB");
        return Err(faults.located(text));
    }
    let root = match settings.syntax {
        Syntax::Toml => builder::read(text, &mut faults),
        Syntax::Uci => uci::read(text, &mut faults),
    };
    let mut reader = Reader {
        faults: &mut faults,
        directory: &settings.directory,
    };
    let top = reader.part(TOP, &root, 0);
    let config = config(&mut reader, &top, &settings);
    if faults.is_empty() {
        Ok(config)
    } else {
        Err(faults.located(text))
    }
}

fn config(reader: &mut Reader<'_>, top: &Part<'_>, settings: &ParseSettings) -> Config {
    let named = reader.path(top, "data_dir");
    let data_dir = settings.data_dir_override.clone().or(named);
    let data_dir = data_dir.unwrap_or_else(|| settings.data_dir.clone());
    let hostname = hostname(reader, top).unwrap_or_else(|| settings.hostname.clone());
    let mut config = Config::with_defaults(data_dir, hostname);
    if settings.syntax == Syntax::Uci {
        // What a router has is mostly memory and flash memory.
        config.storage.unfit = Unfit::Refuse;
    }
    if let Some((name, profile)) = board(reader, top, settings) {
        config.board = name;
        config.isolation = profile.isolation;
        config.limits = profile.limits;
    }
    if let Some(isolation) = reader.word(top, "isolation", &ISOLATIONS) {
        config.isolation = isolation;
    }
    if let Some(listeners) = listener::read(reader, top, settings.inspect) {
        config.listeners = listeners;
    }
    if let Some(part) = reader.table(top, TLS) {
        config.tls = certificates::read(reader, &part, settings.inspect);
    }
    if let Some(part) = reader.table(top, STORAGE) {
        config.storage = storage(reader, &part, &config);
    }
    config.storage.namespaces = namespace::read(reader, top, &config);
    if let Some(users) = users(reader, top, &config) {
        config.users = users;
    }
    if let Some(auth) = auth::read(reader, top, config.tls.client_ca.is_some()) {
        config.auth = auth;
    }
    if let Some(imap) = imap::read(reader, top) {
        config.imap = imap;
    }
    if let Some(pop3) = pop3::read(reader, top) {
        config.pop3 = pop3;
    }
    if let Some(postfix) = postfix::read(reader, top) {
        config.postfix = postfix;
    }
    if let Some(lmtp) = lmtp::read(reader, top) {
        config.lmtp = lmtp;
    }
    if let Some(part) = reader.table(top, LIMIT) {
        bounds::read(reader, &part, &mut config.limits);
    }
    if let Some(part) = reader.table(top, LOG) {
        config.log = level(reader, &part);
    }
    if let Some(part) = reader.table(top, PROCESS) {
        config.process = process(reader, &part);
    }
    config
}

/// The name goes into greetings and header fields, so it must not end a line or a word there.
fn hostname(reader: &mut Reader<'_>, top: &Part<'_>) -> Option<String> {
    let (at, name) = reader.text(top, "hostname")?;
    if is_host_name(name) {
        return Some(name.to_owned());
    }
    reader.faults.add(
        at,
        "`hostname` must be a name of letters, digits, `-` and `.`, such as \"mail.example.org\"",
    );
    None
}

fn board(
    reader: &mut Reader<'_>,
    top: &Part<'_>,
    settings: &ParseSettings,
) -> Option<(String, Profile)> {
    let named = reader.text(top, "board");
    let known = named.and_then(|(at, name)| {
        let found = profile(name).map(|profile| (name.to_owned(), profile));
        if found.is_none() {
            reader.faults.add(at, no_choice("board", name, BOARDS));
        }
        found
    });
    let Some(name) = &settings.board_override else {
        return known;
    };
    let found = profile(name).map(|profile| (name.clone(), profile));
    if found.is_none() {
        reader.faults.add(0, no_choice("--board", name, BOARDS));
    }
    found
}

fn storage(reader: &mut Reader<'_>, part: &Part<'_>, config: &Config) -> Storage {
    let format = reader.word(part, "format", &FORMATS).unwrap_or_default();
    let compression = reader.word(part, "compression", &COMPRESSIONS);
    let mut place = |key| {
        let (at, text) = reader.text(part, key)?;
        let path = template(reader, at, key, text)?;
        if config.isolation == Isolation::Shared {
            shared(reader, at, &path, &config.data_dir);
        }
        Some(path)
    };
    let (path, inbox, alternate) = (place("path"), place("inbox"), place("alternate"));
    let attachments = reader.path(part, "attachments");
    let layouts = Layout::ALL.map(|layout| (layout.as_str(), layout));
    let layout = reader.word(part, "layout", &layouts);
    let separators = InfoSeparator::ALL.map(|separator| (separator.as_str(), separator));
    let info_separator = reader.word(part, "info_separator", &separators);
    let unfit = reader.word(part, "unfit_file_system", &UNFIT);
    let keys = [("alternate", Format::Mdbox), ("layout", Format::Maildir)];
    misplaced(reader, part, format, &keys);
    Storage {
        format,
        compression: compression.flatten(),
        layout: layout.unwrap_or_default(),
        info_separator: info_separator.unwrap_or_default(),
        path,
        attachments,
        inbox,
        alternate,
        unfit: unfit.unwrap_or(config.storage.unfit),
        namespaces: Vec::new(),
    }
}

/// What is of no use in that format is no good sign for the rest. `keys`: with the format that each is for.
pub(super) fn misplaced(
    reader: &mut Reader<'_>,
    part: &Part<'_>,
    format: Format,
    keys: &[(&str, Format)],
) {
    for (key, of) in keys.iter().filter(|(_, of)| *of != format) {
        if let Some(node) = part.table.node(key) {
            let (format, of) = (format.as_str(), of.as_str());
            let message = format!("`{key}` is for {of} alone, and `format` is \"{format}\"");
            reader.faults.add(node.at, message);
        }
    }
}

pub(super) fn template(
    reader: &mut Reader<'_>,
    at: usize,
    key: &str,
    text: &str,
) -> Option<Template> {
    reader.checked_path(at, key, text)?;
    let faults = match Template::parse(text) {
        Ok(template) if template.tells_users_apart() => {
            return Some(template.below(reader.directory));
        }
        Ok(_) => {
            let message = format!(
                "`{key}` is the same for every user; write {{user}}, {{local_part}} or {{home}} in it"
            );
            reader.faults.add(at, message);
            return None;
        }
        Err(faults) => faults,
    };
    for fault in faults {
        let message = match fault {
            TemplateFault::Brace => {
                format!(
                    "`{key}` has a brace without its pair; write {{{{ or }}}} for the brace itself"
                )
            }
            TemplateFault::Unknown(name) => {
                format!("{{{name}}} is not known in `{key}`; known are {VARIABLES}")
            }
        };
        reader.faults.add(at, message);
    }
    None
}

/// An engine of all users gets one directory, which must hold their mail and nothing else.
pub(super) fn shared(reader: &mut Reader<'_>, at: usize, path: &Template, data_dir: &Path) {
    if path.begins_with_home() {
        let message = "`{home}` needs isolation = \"user\": one engine for all users cannot be let into their homes only";
        reader.faults.add(at, message);
    } else if data_dir.starts_with(path.common_root(data_dir)) {
        let message = "with isolation = \"shared\" the mail needs a directory of its own, such as \"{data_dir}/mail/{user}\"";
        reader.faults.add(at, message);
    }
}

fn users(reader: &mut Reader<'_>, top: &Part<'_>, config: &Config) -> Option<Vec<UserSource>> {
    let parts = reader.tables(top, USERS)?;
    let mut sources = Vec::new();
    for part in parts {
        reader.word(&part, "source", &SOURCES);
        let source = match reader.path(&part, "path") {
            Some(path) => UserSource::File(path),
            None => UserSource::default_in(&config.data_dir),
        };
        if sources.contains(&source) {
            let at = part.table.node("path").map_or(part.at, |node| node.at);
            reader
                .faults
                .add(at, "this file is a source already; take one of the two out");
        }
        sources.push(source);
    }
    Some(sources)
}

fn level(reader: &mut Reader<'_>, part: &Part<'_>) -> Log {
    match reader.word(part, "level", &LEVELS) {
        Some(level) => Log { level },
        None => Log::default(),
    }
}

fn process(reader: &mut Reader<'_>, part: &Part<'_>) -> Process {
    let mut process = Process::default();
    account(reader, part, "user", &mut process.user);
    account(reader, part, "network_user", &mut process.network_user);
    account(reader, part, "auth_user", &mut process.auth_user);
    let mut first = BTreeMap::new();
    for (key, name) in [
        ("user", &process.user),
        ("network_user", &process.network_user),
        ("auth_user", &process.auth_user),
    ] {
        if let Some(other) = first.insert(name, key) {
            let node = part.table.node(key).or_else(|| part.table.node(other));
            let message = format!(
                "`{key}` and `{other}` must be different accounts, so that one cannot reach what the other holds"
            );
            reader
                .faults
                .add(node.map_or(part.at, |node| node.at), message);
        }
    }
    process
}

fn account(reader: &mut Reader<'_>, part: &Part<'_>, key: &str, account: &mut String) {
    let Some((at, name)) = reader.text(part, key) else {
        return;
    };
    let letters = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if name.is_empty() || name.len() > 32 || name.starts_with('-') || !name.chars().all(letters) {
        let message = format!("`{key}` must be the name of an account, such as \"dovelet\"");
        reader.faults.add(at, message);
    } else if name == "root" {
        let message = format!(
            "`{key}` must not be root: what talks to clients or reads their mail gives root's rights up; \
             name an account without them, such as \"dovelet\""
        );
        reader.faults.add(at, message);
    } else {
        *account = name.to_owned();
    }
}
