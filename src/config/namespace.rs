//! Namespaces: mailboxes whose names begin alike and that are kept elsewhere.

use std::fmt;
use std::path::{Component, Path, PathBuf};

use super::layout::{InfoSeparator, Layout};
use super::manual::NAMESPACE;
use super::model::{Config, Isolation};
use super::parse::{COMPRESSIONS, FORMATS, misplaced, shared, template};
use super::reader::{Part, Reader};
use super::storage::{Format, Location, Storage, component};
use super::template::Template;
use crate::codec::packed::Method;
use crate::mail::{DELIMITER, MailboxName};

/// Namespaces of an account, each of which is a store that is open with it.
pub(super) const MAX_NAMESPACES: usize = 16;
/// Octets of a prefix with its delimiter: much is left of what a name may have.
pub(super) const MAX_PREFIX_OCTETS: usize = 255;

/// What is set of a namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NamespaceTemplate {
    /// The prefix without the delimiter at its end.
    pub(crate) prefix: MailboxName,
    pub(crate) format: Format,
    pub(crate) compression: Option<Method>,
    pub(crate) layout: Layout,
    pub(crate) info_separator: InfoSeparator,
    pub(crate) path: Template,
    /// mbox: the file of the mailbox that has the name of the prefix, if it is not `inbox` among the others.
    pub(crate) inbox: Option<Template>,
    /// mdbox: the directory of messages that were put aside.
    pub(crate) alternate: Option<Template>,
}

/// A namespace of one user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Namespace {
    /// The prefix without the delimiter at its end.
    pub(crate) prefix: MailboxName,
    /// Where its mailboxes are, which have no namespaces of their own.
    pub(crate) location: Location,
}

impl NamespaceTemplate {
    /// As a storage of its own, for what is the same there; `own`: that of the account.
    fn storage(&self, own: &Storage) -> Storage {
        Storage {
            format: self.format,
            compression: self.compression,
            layout: self.layout,
            info_separator: self.info_separator,
            path: Some(self.path.clone()),
            attachments: own.attachments.clone(),
            inbox: self.inbox.clone(),
            alternate: self.alternate.clone(),
            unfit: own.unfit,
            namespaces: Vec::new(),
        }
    }

    /// That of a user. In the home of one who has none, which is the directory of the own mail, it would be among that:
    /// it is below `{data_dir}/home/{user}` then.
    pub(super) fn of(
        &self,
        own: &Storage,
        data_dir: &Path,
        user: &str,
        home: Option<&Path>,
    ) -> Namespace {
        let instead = data_dir.join("home").join(component(Some(user)));
        let home = home.unwrap_or(&instead);
        Namespace {
            prefix: self.prefix.clone(),
            location: self.storage(own).location(data_dir, user, Some(home)),
        }
    }

    /// The prefix as it is set.
    pub(crate) fn set_prefix(&self) -> String {
        format!("{}{DELIMITER}", self.prefix)
    }

    /// Its places that are told by templates.
    pub(super) fn templates(&self) -> impl Iterator<Item = &Template> {
        let others = self.inbox.iter().chain(&self.alternate);
        std::iter::once(&self.path).chain(others)
    }
}

/// Two places of one account that are the same, or of which one is in the other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Clash {
    /// Which namespace has the place, counted from zero.
    pub(crate) number: usize,
    pub(crate) place: PathBuf,
    pub(crate) other: PathBuf,
}

impl fmt::Display for Clash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (place, other) = (self.place.display(), self.other.display());
        write!(
            f,
            "the places of [storage] and of namespaces must be apart: {place} and {other} are the same, or one \
             is in the other"
        )
    }
}

impl Location {
    /// Of the places of namespaces, the first that is not apart from all before it.
    pub(super) fn clash(&self) -> Option<Clash> {
        let mut before: Vec<PathBuf> = self.places().map(straight).collect();
        for (number, namespace) in self.form.namespaces.iter().enumerate() {
            let own: Vec<PathBuf> = namespace.location.places().map(straight).collect();
            for place in &own {
                let touches =
                    |other: &&PathBuf| place.starts_with(other) || other.starts_with(place);
                if let Some(other) = before.iter().find(touches) {
                    let (place, other) = (place.clone(), other.clone());
                    return Some(Clash {
                        number,
                        place,
                        other,
                    });
                }
            }
            before.extend(own);
        }
        None
    }

    /// What is this one's alone: its directories, and the file of INBOX.
    fn places(&self) -> impl Iterator<Item = &Path> {
        let others = self.form.inbox.iter().chain(&self.form.alternate);
        std::iter::once(self.root.as_path()).chain(others.map(PathBuf::as_path))
    }
}

/// The path without `..`, as far as names alone tell: links are looked at when a place is opened.
fn straight(path: &Path) -> PathBuf {
    let mut straight = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => drop(straight.pop()),
            Component::CurDir => {}
            part => straight.push(part),
        }
    }
    straight
}

/// The namespaces of the file; `config`: what was read before them.
pub(super) fn read(
    reader: &mut Reader<'_>,
    top: &Part<'_>,
    config: &Config,
) -> Vec<NamespaceTemplate> {
    let (mut all, mut parts) = (Vec::<NamespaceTemplate>::new(), Vec::new());
    for part in reader.tables(top, NAMESPACE).unwrap_or_default() {
        if parts.len() == MAX_NAMESPACES {
            let message = format!("there can be {MAX_NAMESPACES} namespaces, and this is one more");
            reader.faults.add(part.at, message);
            break;
        }
        let before: Vec<MailboxName> = all.iter().map(|one| one.prefix.clone()).collect();
        let read = one(reader, &part, config, &before);
        let read = read.map(|one| {
            all.push(one);
            all.len() - 1
        });
        parts.push((part, read));
    }
    // Of what has a fault already nothing more is said.
    if parts.iter().all(|(_, read)| read.is_some()) {
        apart(reader, &parts, &all, config);
    }
    all
}

fn one(
    reader: &mut Reader<'_>,
    part: &Part<'_>,
    config: &Config,
    before: &[MailboxName],
) -> Option<NamespaceTemplate> {
    let own = &config.storage;
    let prefix = prefix(reader, part, before);
    let prefix = reader.required(part, "prefix", prefix);
    let format = reader.word(part, "format", &FORMATS).unwrap_or(own.format);
    let compression = reader.word(part, "compression", &COMPRESSIONS);
    let layouts = Layout::ALL.map(|layout| (layout.as_str(), layout));
    let layout = reader.word(part, "layout", &layouts);
    let separators = InfoSeparator::ALL.map(|separator| (separator.as_str(), separator));
    let info_separator = reader.word(part, "info_separator", &separators);
    let mut place = |key| {
        let (at, text) = reader.text(part, key)?;
        let path = template(reader, at, key, text)?;
        if config.isolation == Isolation::Shared {
            shared(reader, at, &path, &config.data_dir);
        }
        Some(path)
    };
    let (path, inbox, alternate) = (place("path"), place("inbox"), place("alternate"));
    let path = reader.required(part, "path", path);
    let keys = [
        ("alternate", Format::Mdbox),
        ("layout", Format::Maildir),
        ("inbox", Format::Mbox),
    ];
    misplaced(reader, part, format, &keys);
    let own_layout = || match format {
        Format::Maildir => own.layout,
        _ => Layout::default(),
    };
    Some(NamespaceTemplate {
        prefix: prefix?,
        format,
        compression: compression.unwrap_or(own.compression),
        layout: layout.unwrap_or_else(own_layout),
        info_separator: info_separator.unwrap_or(own.info_separator),
        path: path?,
        inbox,
        alternate,
    })
}

/// `before`: prefixes that there are already.
fn prefix(reader: &mut Reader<'_>, part: &Part<'_>, before: &[MailboxName]) -> Option<MailboxName> {
    let (at, text) = reader.text(part, "prefix")?;
    let said = match text.strip_suffix(DELIMITER) {
        _ if text.is_empty() || text == "/" => {
            Err("`prefix` must not be empty: mailboxes without one are those of [storage]".into())
        }
        None => Err(format!(
            "`prefix` must end with /, which is between the parts of names: write \"{text}/\""
        )),
        Some(_) if text.len() > MAX_PREFIX_OCTETS => {
            Err(format!("`prefix` can have {MAX_PREFIX_OCTETS} octets"))
        }
        Some(name) => match MailboxName::new(name) {
            Ok(_) if name.ends_with(DELIMITER) => {
                Err("`prefix` has an empty part between two /".into())
            }
            Err(why) => Err(format!("`prefix` is no name of mailboxes: {why}")),
            Ok(name) if name.is_inbox() => {
                Err("`prefix` must not be INBOX/: INBOX is where [storage] says".into())
            }
            Ok(name) => Ok(name),
        },
    };
    let name = said.map_err(|message: String| reader.faults.add(at, message));
    let name = name.ok()?;
    let within =
        |other: &&MailboxName| *other == &name || name.is_below(other) || other.is_below(&name);
    if let Some(other) = before.iter().find(within) {
        let message = format!(
            "`prefix` \"{text}\" and \"{other}/\" would both have the same names: let none begin with the other"
        );
        reader.faults.add(at, message);
        return None;
    }
    Some(name)
}

/// Users like any others, whose homes are nobody else's.
const PROBES: [(&str, &str); 2] = [
    ("user@example.org", "/home/user@example.org"),
    ("user", "/home/user"),
];

/// Faults for places that are not apart.
fn apart(
    reader: &mut Reader<'_>,
    parts: &[(Part<'_>, Option<usize>)],
    all: &[NamespaceTemplate],
    config: &Config,
) {
    let storage = Storage {
        namespaces: all.to_vec(),
        ..config.storage.clone()
    };
    let clash = |(user, home): (&'static str, &str)| {
        let location = storage.location(&config.data_dir, user, Some(Path::new(home)));
        Some((user, location.clash()?))
    };
    let Some((user, clash)) = PROBES.into_iter().find_map(clash) else {
        return;
    };
    let named = parts.iter().find(|(_, read)| *read == Some(clash.number));
    if let Some((part, _)) = named {
        let at = part.table.node("path").map_or(part.at, |node| node.at);
        reader.faults.add(at, format!("{clash} (of a user {user})"));
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::settings;
    use super::super::{ParseSettings, Syntax, parse, show};
    use super::*;

    fn read(text: &str) -> Result<Config, Vec<String>> {
        let read = parse(text, settings());
        read.map_err(|faults| faults.iter().map(ToString::to_string).collect())
    }

    fn fault(text: &str) -> String {
        let faults = read(text).unwrap_err();
        assert_eq!(faults.len(), 1, "{text}: {faults:?}");
        faults.concat()
    }

    const STORAGE: &str = "[storage]\npath = \"{home}/Maildir\"\ncompression = \"gzip\"\nlayout = \"fs\"\n\
                           info_separator = \"!\"\nattachments = \"/att\"\n";

    fn location(config: &Config) -> Location {
        let home = Some(Path::new("/home/ann"));
        config.storage.location(&config.data_dir, "ann", home)
    }

    #[test]
    fn what_is_left_out_is_as_for_all_mail() {
        let text = format!(
            "{STORAGE}[[namespace]]\nprefix = \"Archive/\"\nformat = \"mdbox\"\npath = \"{{home}}/archive\"\n\
             compression = \"none\"\nalternate = \"/slow/{{user}}\"\n[[namespace]]\nprefix = \"a/\u{fc}/\"\n\
             path = \"old/{{user}}\"\n"
        );
        let config = read(&text).unwrap();
        let location = location(&config);
        let [archive, old] = &location.form.namespaces[..] else {
            panic!("{location:?}");
        };
        assert_eq!(archive.prefix.as_str(), "Archive");
        assert_eq!(archive.location.root, Path::new("/home/ann/archive"));
        let form = &archive.location.form;
        assert_eq!((form.format, form.layout), (Format::Mdbox, Layout::Dotted));
        assert_eq!(form.compression, None);
        assert_eq!(form.alternate.as_deref(), Some(Path::new("/slow/ann")));
        assert_eq!(form.attachments.as_deref(), Some(Path::new("/att")));
        assert_eq!(old.prefix.as_str(), "a/\u{fc}");
        assert_eq!(old.location.root, Path::new("/etc/dovelet/old/ann"));
        let form = &old.location.form;
        assert_eq!(
            (form.format, form.layout),
            (Format::Maildir, Layout::Nested)
        );
        assert_eq!(form.compression, Some(Method::Gzip));
        assert_eq!(form.info_separator, InfoSeparator::Exclamation);
        let places: Vec<&Path> = location.directories().collect();
        let expected = [
            "/home/ann/Maildir",
            "/home/ann/archive",
            "/slow/ann",
            "/etc/dovelet/old/ann",
        ];
        assert_eq!(places, expected.map(Path::new));
        // What is shown is the same.
        let shown = parse(&show(&config), ParseSettings::default()).unwrap();
        assert_eq!(shown.storage, config.storage);
    }

    #[test]
    fn on_a_router_it_is_a_section_like_others() {
        let text = "config namespace\noption prefix 'Archive/'\noption path '/mnt/archive/{user}'\n\
                    option format 'sdbox'\n";
        let settings = ParseSettings {
            syntax: Syntax::Uci,
            ..settings()
        };
        let config = parse(text, settings).unwrap();
        assert_eq!(config.storage.namespaces[0].format, Format::Sdbox);
    }

    #[test]
    fn every_fault_of_a_prefix_has_its_place() {
        let with =
            |prefix: &str| format!("[[namespace]]\npath = \"{{home}}/x\"\nprefix = \"{prefix}\"\n");
        let long = "x".repeat(MAX_PREFIX_OCTETS - 1);
        // That is the most.
        let most = format!("{}/{}/", "x".repeat(127), "y".repeat(126));
        assert_eq!(most.len(), MAX_PREFIX_OCTETS);
        assert!(read(&with(&most)).is_ok());
        for (prefix, expected) in [
            ("", "must not be empty"),
            ("/", "must not be empty"),
            (
                "Archive",
                "must end with /, which is between the parts of names: write \"Archive/\"",
            ),
            ("INBOX/", "must not be INBOX/"),
            ("inbox/", "must not be INBOX/"),
            ("a//", "an empty part between two /"),
            ("a//b/", "is no name of mailboxes"),
            ("../", "is no name of mailboxes"),
            (&format!("{long}x/"), "can have 255 octets"),
        ] {
            let told = fault(&with(prefix));
            assert!(
                told.starts_with("3:10: `prefix` ") && told.contains(expected),
                "{told}"
            );
        }
        assert_eq!(
            fault("[[namespace]]\npath = \"{home}/x\""),
            "1:1: [[namespace]] needs `prefix`"
        );
        assert_eq!(
            fault("[[namespace]]\nprefix = \"x/\""),
            "1:1: [[namespace]] needs `path`"
        );
        for (one, other) in [("a/", "a/b/"), ("a/b/", "a/"), ("a/", "a/")] {
            let text = with(one) + &with(other).replace("/x", "/y");
            let told = fault(&text);
            assert!(told.starts_with("6:10: `prefix` "), "{told}");
            assert!(told.contains("let none begin with the other"), "{told}");
        }
        assert!(read(&(with("a/") + &with("ab/").replace("/x", "/y"))).is_ok());
    }

    #[test]
    fn places_are_apart() {
        for (path, other) in [
            ("{home}/Maildir", "/home/user@example.org/Maildir"),
            ("{home}/Maildir/archive", "/home/user@example.org/Maildir"),
            ("{home}", "/home/user@example.org/Maildir"),
            ("{home}/b/c", "/home/user@example.org/b"),
            ("{home}/x/.././b", "/home/user@example.org/b"),
        ] {
            let text = format!(
                "{STORAGE}[[namespace]]\nprefix = \"B/\"\npath = \"{{home}}/b\"\n\
                 [[namespace]]\nprefix = \"C/\"\npath = \"{path}\"\n"
            );
            let told = fault(&text);
            assert!(told.starts_with("12:8: the places of [storage]"), "{told}");
            assert!(
                told.contains(&format!("and {other} are the same, or one is in")),
                "{told}"
            );
        }
        // Those of a user without a domain.
        let text = "[storage]\npath = \"/m/{user}\"\n[[namespace]]\nprefix = \"B/\"\npath = \"/m/{local_part}\"\n";
        assert!(fault(text).ends_with("(of a user user)"));
        // One who has no home.
        let text = "[[namespace]]\nprefix = \"B/\"\npath = \"{home}/b\"\n";
        let config = read(text).unwrap();
        let location = config
            .storage
            .location_of(&config.data_dir, "ann", None, None);
        let place = location.unwrap().form.namespaces[0].location.root.clone();
        assert_eq!(place, config.data_dir.join("home/ann/b"));
        // What a user's own words say is known when the user is.
        let text = "[[namespace]]\nprefix = \"B/\"\npath = \"{home}/b\"\n";
        let config = read(text).unwrap();
        let home = Some(Path::new("/home/ann"));
        let located = |words: &str| {
            let (data, words) = (&config.data_dir, Some(words));
            config.storage.location_of(data, "ann", home, words)
        };
        assert!(located("mail=mdbox:~/c").is_ok());
        let told = located("mail=mdbox:~/b/mdbox").unwrap_err().to_string();
        assert!(
            told.contains("/home/ann/b and /home/ann/b/mdbox are"),
            "{told}"
        );
    }

    #[test]
    fn other_faults() {
        let text = "[[namespace]]\nprefix = \"B/\"\npath = \"{home}/b\"\nformat = \"sdbox\"\n";
        for (line, format) in [
            ("alternate = \"/slow/{user}\"", "mdbox"),
            ("layout = \"fs\"", "maildir"),
            ("inbox = \"/in/{user}\"", "mbox"),
        ] {
            let told = fault(&format!("{text}{line}"));
            let expected = format!("is for {format} alone, and `format` is \"sdbox\"");
            assert!(
                told.starts_with("5:") && told.ends_with(&expected),
                "{told}"
            );
        }
        let told = fault("[[namespace]]\nprefix = \"B/\"\npath = \"/b\"\n");
        assert!(
            told.starts_with("3:8: `path` is the same for every user"),
            "{told}"
        );
        let shared = format!("isolation = \"shared\"\n{text}");
        assert!(fault(&shared).contains("`{home}` needs isolation = \"user\""));
        let told = fault("[namespace]\nprefix = \"B/\"\npath = \"{home}/b\"\n");
        assert!(told.contains("write [[namespace]]"), "{told}");
        let one =
            |n: usize| format!("[[namespace]]\nprefix = \"n{n}/\"\npath = \"/n{n}/{{user}}\"\n");
        let most: String = (0..MAX_NAMESPACES).map(one).collect();
        assert_eq!(
            read(&most).unwrap().storage.namespaces.len(),
            MAX_NAMESPACES
        );
        let told = fault(&(most + &one(99)));
        assert_eq!(
            told,
            "49:1: there can be 16 namespaces, and this is one more"
        );
    }
}
