//! What a user source says of where one user's mail is, in Dovecot's words.

use std::fmt;
use std::path::{Component, Path};

use super::layout::Layout;
use super::namespace::Clash;
use super::storage::{Format, Storage};
use super::template::Template;

/// The words that say it; in Dovecot they have `userdb_` in front where passwords are in the same file.
const LOCATION: &str = "mail";
const WORDS: [&str; 6] = [
    LOCATION,
    "mail_driver",
    "mail_path",
    "mail_inbox_path",
    "mail_alt_path",
    "mailbox_list_layout",
];

/// Why a user's words cannot be followed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum OwnMailFault {
    /// No format is called that.
    Format(String),
    /// A place that is not absolute, or leads upward.
    Path(String),
    /// A variable that is not known.
    Variable(String),
    /// Mailboxes cannot lie like that in that format.
    Layout(String, Format),
    /// A part of a location that is not known, such as `INDEX`.
    Key(String),
    /// It touches the place of a namespace.
    Clash(Clash),
}

impl fmt::Display for OwnMailFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            OwnMailFault::Format(name) => {
                let nearest = super::nearest(name, Format::ALL.map(Format::as_str));
                write!(f, "{name:?} is no format of mailboxes")?;
                match nearest {
                    Some(nearest) => write!(f, "; did you mean {nearest:?}?"),
                    None => f.write_str("; write \"maildir\", \"mbox\", \"sdbox\" or \"mdbox\""),
                }
            }
            OwnMailFault::Path(path) => write!(
                f,
                "{path:?} is no absolute path without \"..\"; \"~/\" stands for the home directory"
            ),
            OwnMailFault::Variable(text) => write!(
                f,
                "{text:?} has a variable that is not known; known are %u, %n, %d, %h and their long names"
            ),
            OwnMailFault::Clash(clash) => clash.fmt(f),
            OwnMailFault::Key(key) => write!(
                f,
                "{key:?} of a location is not known; known are INBOX, LAYOUT, and ALT of an mdbox"
            ),
            OwnMailFault::Layout(layout, format) => {
                let known = match format {
                    Format::Maildir => "\"maildir++\" and \"fs\"",
                    _ => "\"fs\"",
                };
                let format = format.as_str();
                write!(
                    f,
                    "{layout:?} is no layout of mailboxes in {format} here; known there: {known}"
                )
            }
        }
    }
}

/// Of the extra field of a user's line, which has `key=value` words, those about where the mail is; `None` if
/// there are none.
pub(crate) fn own_words(extra: &str) -> Option<String> {
    let words: Vec<&str> = extra
        .split_ascii_whitespace()
        .map(|word| word.strip_prefix("userdb_").unwrap_or(word))
        .filter(|word| is_own_word(word.split('=').next().unwrap_or_default()))
        .collect();
    (!words.is_empty()).then(|| words.join(" "))
}

/// True of the key of a word about where the mail is.
pub(crate) fn is_own_word(key: &str) -> bool {
    WORDS.contains(&key.strip_prefix("userdb_").unwrap_or(key))
}

impl Storage {
    /// As this, but where `words`, which [`own_words`] found, say something else. A `mail` replaces all
    /// that was said of places before.
    pub(crate) fn with_own(&self, words: &str) -> Result<Storage, OwnMailFault> {
        let mut own = self.clone();
        let mut layout = None;
        for word in words.split(' ') {
            let (key, value) = word.split_once('=').unwrap_or((word, ""));
            match key {
                "mail_driver" => own.format = format(value)?,
                "mail_path" => own.path = place(value)?,
                "mail_inbox_path" => own.inbox = place(value)?,
                "mail_alt_path" => own.alternate = place(value)?,
                "mailbox_list_layout" => layout = Some(value),
                LOCATION => layout = Some(own.located(value)?.unwrap_or_default()),
                _ => {}
            }
        }
        match layout {
            Some("") => own.layout = Layout::default(),
            Some(named) => own.layout = layout_of(named, own.format)?,
            None => {}
        }
        Ok(own)
    }

    /// Takes Dovecot's `mail_location`, as `mdbox:~/mdbox:ALT=/slow/%u`, but for the layout, which it returns.
    fn located<'w>(&mut self, location: &'w str) -> Result<Option<&'w str>, OwnMailFault> {
        let mut layout = None;
        let mut parts = location.split(':');
        self.format = format(parts.next().unwrap_or_default())?;
        self.path = place(parts.next().unwrap_or_default())?;
        (self.inbox, self.alternate) = (None, None);
        for part in parts.filter(|part| !part.is_empty()) {
            match part.split_once('=') {
                Some(("LAYOUT", named)) => layout = Some(named),
                Some(("INBOX", path)) => self.inbox = place(path)?,
                Some(("ALT", path)) if self.format != Format::Sdbox => {
                    self.alternate = place(path)?
                }
                // Where Dovecot keeps what is this server's own to know.
                Some(("INDEX" | "INDEXPVT" | "CONTROL" | "INDEXCACHE", _)) => {}
                _ => return Err(OwnMailFault::Key(part.to_owned())),
            }
        }
        Ok(layout)
    }
}

/// Of dbox and mbox, all that they have here.
fn layout_of(name: &str, format: Format) -> Result<Layout, OwnMailFault> {
    let unknown = || OwnMailFault::Layout(name.to_owned(), format);
    match (format, Layout::named(name)) {
        (Format::Maildir, Some(layout)) => Ok(layout),
        (Format::Mbox | Format::Sdbox | Format::Mdbox, Some(Layout::Nested)) => {
            Ok(Layout::default())
        }
        _ => Err(unknown()),
    }
}

fn format(name: &str) -> Result<Format, OwnMailFault> {
    let mut all = Format::ALL.into_iter();
    all.find(|format| format.as_str() == name)
        .ok_or_else(|| OwnMailFault::Format(name.to_owned()))
}

/// A path in Dovecot's words; `None` for an empty one.
fn place(text: &str) -> Result<Option<Template>, OwnMailFault> {
    if text.is_empty() {
        return Ok(None);
    }
    let variable = || OwnMailFault::Variable(text.to_owned());
    let path = || OwnMailFault::Path(text.to_owned());
    let ours = ours(text).ok_or_else(variable)?;
    let plain = Path::new(ours.strip_prefix("{home}").unwrap_or(&ours));
    let upward = plain.components().any(|part| part == Component::ParentDir);
    if upward || !(plain.is_absolute() || ours == "{home}") || text.chars().any(char::is_control) {
        return Err(path());
    }
    Template::parse(&ours).map(Some).map_err(|_| variable())
}

/// A path with variables as this server has them: `~/x/%u` is `{home}/x/{user}`.
fn ours(text: &str) -> Option<String> {
    let (mut ours, mut rest) = match text.strip_prefix('~') {
        Some(rest) => ("{home}".to_owned(), rest),
        None => (String::new(), text),
    };
    while let Some((before, after)) = rest.split_once('%') {
        ours.push_str(&before.replace('{', "{{").replace('}', "}}"));
        let (name, behind) = match after.strip_prefix('{') {
            Some(long) => long.split_once('}')?,
            None => after.split_at_checked(1)?,
        };
        ours.push_str(match name {
            "%" => "%",
            "u" | "user" => "{user}",
            "n" | "username" | "user|username" => "{local_part}",
            "d" | "domain" | "user|domain" => "{domain}",
            "h" | "home" => "{home}",
            _ => return None,
        });
        rest = behind;
    }
    ours.push_str(&rest.replace('{', "{{").replace('}', "}}"));
    Some(ours)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn locations_of_dovecot() {
        let home = Some(Path::new("/home/ann"));
        for (words, format, root, inbox, alternate) in [
            (
                "userdb_mail=mbox:~/mail:INBOX=/var/mail/%u",
                Format::Mbox,
                "/home/ann/mail",
                Some("/var/mail/ann@x.org"),
                None,
            ),
            (
                "nologin mail=mdbox:/v/%d/%n:ALT=/slow/%{user}:INDEX=/i/%u",
                Format::Mdbox,
                "/v/x.org/ann",
                None,
                Some("/slow/ann@x.org"),
            ),
            (
                "userdb_mail_driver=sdbox userdb_mail_path=%h/s",
                Format::Sdbox,
                "/home/ann/s",
                Some("/in/ann@x.org"),
                None,
            ),
            (
                "mail_alt_path=/a{b}/%%/%{domain}",
                Format::Maildir,
                "/data/mail/ann@x.org",
                Some("/in/ann@x.org"),
                Some("/a{b}/%/x.org"),
            ),
        ] {
            let storage = Storage {
                inbox: Some(Template::parse("/in/{user}").unwrap()),
                ..Storage::default()
            };
            let own = own_words(words).unwrap();
            let own = storage.with_own(&own).unwrap();
            let located = own.location(Path::new("/data"), "ann@x.org", home);
            assert_eq!(located.form.format, format, "{words}");
            assert_eq!(located.root, Path::new(root), "{words}");
            let expand = |template: &Option<Template>| {
                let template = template.as_ref()?;
                Some(template.expand(Path::new("/data"), "ann@x.org", home))
            };
            assert_eq!(
                expand(&own.inbox).as_deref(),
                inbox.map(Path::new),
                "{words}"
            );
            assert_eq!(
                expand(&own.alternate).as_deref(),
                alternate.map(Path::new),
                "{words}"
            );
        }
        assert_eq!(own_words("nologin host=x"), None);
        assert!(is_own_word("userdb_mail") && !is_own_word("userdb_quota"));
    }

    #[test]
    fn layouts_of_dovecot() {
        let storage = Storage {
            layout: Layout::Nested,
            ..Storage::default()
        };
        for (words, layout) in [
            ("mail=maildir:~/m:LAYOUT=fs", Layout::Nested),
            ("userdb_mail=maildir:~/m", Layout::Dotted),
            ("mail_path=/m", Layout::Nested),
            (
                "mailbox_list_layout=maildir++ mail_driver=maildir",
                Layout::Dotted,
            ),
            ("mail=mdbox:~/m:LAYOUT=fs", Layout::Dotted),
        ] {
            let own = own_words(words).unwrap();
            assert_eq!(storage.with_own(&own).unwrap().layout, layout, "{words}");
        }
    }

    #[test]
    fn what_cannot_be_followed_is_told() {
        let fault = |words: &str| {
            let refused = Storage::default().with_own(words).unwrap_err();
            refused.to_string()
        };
        assert_eq!(
            fault("mail=mdbix:~/x"),
            "\"mdbix\" is no format of mailboxes; did you mean \"mdbox\"?"
        );
        assert!(fault("mail_driver=imapc").contains("\"maildir\", \"mbox\""));
        for path in ["mail_path=x/y", "mail=mbox:~/../etc", "mail=mbox:~ann/x"] {
            assert!(fault(path).contains("no absolute path"), "{path}");
        }
        for variable in ["mail_path=/x/%r", "mail_path=/x/%{ip", "mail_path=/x/%"] {
            assert!(fault(variable).contains("variable"), "{variable}");
        }
        assert!(fault("mail=sdbox:~/m:ALT=/slow").contains("ALT of an mdbox"));
        assert!(fault("mail=maildir:~/m:UTF-8").contains("INBOX, LAYOUT, and ALT"));
        assert!(fault("mail=maildir:~/m:LAYOUT=index").contains("\"maildir++\" and \"fs\""));
        assert!(fault("mail_driver=mdbox mailbox_list_layout=maildir++").contains("there: \"fs\""));
    }
}
