//! Where a user's mail is.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use super::layout::{InfoSeparator, Layout};
use super::namespace::{Namespace, NamespaceTemplate};
use super::own_mail::OwnMailFault;
use super::template::Template;
use crate::codec::packed::Method;

/// The format of mailboxes and the place of a user's mail.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Storage {
    pub(crate) format: Format,
    /// How new messages are compressed.
    pub(crate) compression: Option<Method>,
    /// Of a Maildir.
    pub(crate) layout: Layout,
    pub(crate) info_separator: InfoSeparator,
    /// `{data_dir}/mail/{user}` if not set.
    pub(crate) path: Option<Template>,
    /// Where Dovecot keeps attachments apart from messages.
    pub(crate) attachments: Option<PathBuf>,
    /// mbox: the file of INBOX, if it is not `inbox` among the others.
    pub(crate) inbox: Option<Template>,
    /// mdbox: the directory of messages that were put aside.
    pub(crate) alternate: Option<Template>,
    pub(crate) unfit: Unfit,
    /// Mailboxes that are elsewhere, in other forms.
    pub(crate) namespaces: Vec<NamespaceTemplate>,
}

/// What follows where data lie on a file system that mail must not be on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Unfit {
    /// It is told at the start.
    #[default]
    Warn,
    /// The server does not start.
    Refuse,
    Ignore,
}

/// In what form messages are kept, and what of that is not where the others are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Form {
    pub(crate) format: Format,
    /// How new messages are compressed.
    pub(crate) compression: Option<Method>,
    /// Of a Maildir.
    pub(crate) layout: Layout,
    pub(crate) info_separator: InfoSeparator,
    /// Where attachments are that Dovecot kept apart.
    pub(crate) attachments: Option<PathBuf>,
    /// mbox: the file of INBOX, if it is not `inbox` below the root.
    pub(crate) inbox: Option<PathBuf>,
    /// mdbox: the directory of messages that were put aside.
    pub(crate) alternate: Option<PathBuf>,
    /// Mailboxes whose names begin so are elsewhere, in other forms.
    pub(crate) namespaces: Vec<Namespace>,
}

/// Where the mail of one user is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Location {
    /// The directory below which all is that `form` does not name.
    pub(crate) root: PathBuf,
    pub(crate) form: Form,
}

impl Location {
    /// Directories that hold mail of this user: the root, and others that may be there or not.
    pub(crate) fn directories(&self) -> impl Iterator<Item = &Path> {
        self.parts().flat_map(Location::own_directories)
    }

    /// This one, and those of the namespaces.
    pub(crate) fn parts(&self) -> impl Iterator<Item = &Location> {
        let namespaces = self.form.namespaces.iter();
        std::iter::once(self).chain(namespaces.map(|namespace| &namespace.location))
    }

    /// As `directories`, without those of namespaces.
    pub(crate) fn own_directories(&self) -> impl Iterator<Item = &Path> {
        let inbox = self.form.inbox.as_deref().and_then(Path::parent);
        let others = inbox.into_iter().chain(self.form.alternate.as_deref());
        std::iter::once(self.root.as_path()).chain(others)
    }
}

impl From<Format> for Form {
    fn from(format: Format) -> Form {
        Form {
            format,
            ..Form::default()
        }
    }
}

/// The word of the configuration file for a compression.
pub(crate) fn compression_word(method: Option<Method>) -> &'static str {
    method.map_or("none", Method::as_str)
}

/// How mailboxes are kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Format {
    #[default]
    Maildir,
    Mbox,
    Sdbox,
    Mdbox,
}

impl Format {
    pub(crate) const ALL: [Format; 4] =
        [Format::Maildir, Format::Mbox, Format::Sdbox, Format::Mdbox];

    /// The word of the configuration file.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Format::Maildir => "maildir",
            Format::Mbox => "mbox",
            Format::Sdbox => "sdbox",
            Format::Mdbox => "mdbox",
        }
    }
}

impl Storage {
    /// In what form messages are kept, but for places of one user. mbox has them as other programs expect it.
    pub(crate) fn form(&self) -> Form {
        Form {
            format: self.format,
            compression: self.compression.filter(|_| self.format != Format::Mbox),
            layout: self.layout,
            info_separator: self.info_separator,
            attachments: self.attachments.clone(),
            ..Form::default()
        }
    }

    /// Returns where `user`'s mail is; see [`Storage::root`].
    pub(crate) fn location(&self, data_dir: &Path, user: &str, home: Option<&Path>) -> Location {
        let expand = |template: &Template| template.expand(data_dir, user, home);
        let mdbox = self.format == Format::Mdbox;
        let inbox = self.inbox.as_ref().filter(|_| self.format == Format::Mbox);
        Location {
            root: self.root(data_dir, user, home),
            form: Form {
                inbox: inbox.map(expand),
                alternate: self.alternate.as_ref().filter(|_| mdbox).map(expand),
                namespaces: self.namespaces_of(data_dir, user, home),
                ..self.form()
            },
        }
    }

    /// The same, with the words of a user's own that [`super::own_words`] found, if there are any.
    pub(crate) fn location_of(
        &self,
        data_dir: &Path,
        user: &str,
        home: Option<&Path>,
        words: Option<&str>,
    ) -> Result<Location, OwnMailFault> {
        let location = match words {
            None => self.location(data_dir, user, home),
            Some(words) => self.with_own(words)?.location(data_dir, user, home),
        };
        match location.clash() {
            None => Ok(location),
            Some(clash) => Err(OwnMailFault::Clash(clash)),
        }
    }

    fn namespaces_of(&self, data_dir: &Path, user: &str, home: Option<&Path>) -> Vec<Namespace> {
        let all = self.namespaces.iter();
        all.map(|one| one.of(self, data_dir, user, home)).collect()
    }

    /// Returns the directory of `user`'s mail. Different users get different directories if the
    /// template names the whole user, and no user name leads out of the place that the template
    /// leaves for it. The home of a user who has none is `{data_dir}/mail/{user}`.
    pub(crate) fn root(&self, data_dir: &Path, user: &str, home: Option<&Path>) -> PathBuf {
        match &self.path {
            Some(template) => template.expand(data_dir, user, home),
            None => own_directory(data_dir, user),
        }
    }

    /// Returns the directory that holds the roots of all users, as far as it is the same for all
    /// and is not a part of their homes.
    pub(crate) fn common_root(&self, data_dir: &Path) -> PathBuf {
        match &self.path {
            Some(template) => template.common_root(data_dir),
            None => data_dir.join("mail"),
        }
    }

    /// Returns the directories that hold what users have elsewhere, in the same way.
    pub(crate) fn common_places(&self, data_dir: &Path) -> impl Iterator<Item = PathBuf> {
        let templates = self.inbox.iter().chain(&self.alternate);
        let namespaces = self.namespaces.iter();
        let templates = templates.chain(namespaces.flat_map(NamespaceTemplate::templates));
        templates.map(|template| template.common_root(data_dir))
    }
}

/// Where the mail of a user is unless told otherwise.
pub(super) fn own_directory(data_dir: &Path, user: &str) -> PathBuf {
    data_dir.join("mail").join(component(Some(user)))
}

/// `name` as one component of a path: never empty, never `.` or `..`, without a separator, and
/// different for different names. What could do harm becomes `%` and two hexadecimal digits; a
/// name that is missing becomes `%`, an empty one `%-`.
pub(super) fn component(name: Option<&str>) -> OsString {
    let Some(name) = name else {
        return OsString::from("%");
    };
    if name.is_empty() {
        return OsString::from("%-");
    }
    let mut safe = String::with_capacity(name.len());
    for (at, c) in name.char_indices() {
        if matches!(c, '/' | '\\' | '%') || c.is_ascii_control() || (c == '.' && at == 0) {
            safe.push_str(&format!("%{:02X}", u32::from(c)));
        } else {
            safe.push(c);
        }
    }
    safe.into()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Component;

    use super::*;

    fn root(path: Option<&str>, user: &str, home: Option<&str>) -> String {
        let storage = Storage {
            path: path.map(|p| Template::parse(p).unwrap().below(Path::new("/etc"))),
            ..Storage::default()
        };
        let root = storage.root(Path::new("/data"), user, home.map(Path::new));
        root.to_str().unwrap().to_owned()
    }

    #[test]
    fn templates_expand() {
        let cases = [
            (None, "alice", None, "/data/mail/alice"),
            (
                None,
                "alice@example.org",
                None,
                "/data/mail/alice@example.org",
            ),
            (
                Some("/var/{domain}/{local_part}"),
                "a@b@c.org",
                None,
                "/var/c.org/a@b",
            ),
            (
                Some("/var/{domain}/{local_part}"),
                "alice",
                None,
                "/var/%/alice",
            ),
            (
                Some("{home}/Maildir"),
                "alice",
                Some("/home/alice"),
                "/home/alice/Maildir",
            ),
            (
                Some("{home}/Maildir"),
                "alice",
                None,
                "/data/mail/alice/Maildir",
            ),
            (Some("{data_dir}/x/{user}"), "alice", None, "/data/x/alice"),
            (Some("mail/{user}"), "alice", None, "/etc/mail/alice"),
            (Some("{user}"), "alice", None, "/etc/alice"),
            (Some("/{{{user}}}"), "alice", None, "/{alice}"),
        ];
        for (path, user, home, expected) in cases {
            assert_eq!(root(path, user, home), expected, "{path:?} {user}");
        }
    }

    #[test]
    fn no_user_leaves_the_tree() {
        let users = [
            "..",
            ".",
            "",
            "/",
            "../bob",
            "/etc",
            "a/../../b",
            "a\0b",
            "a/b",
            ".ssh",
            "%2E.",
            "%",
            "%-",
            "@",
            "..@..",
            "/@/",
            "a@",
            "a",
            "@a",
            "\\..\\b",
            "a\nb",
        ];
        let mut seen = BTreeSet::new();
        for user in users {
            let plain = root(None, user, None);
            assert!(seen.insert(plain.clone()), "{user:?} shares {plain}");
            for (path, depth) in [
                (None, 4),
                (Some("/v/{domain}/{local_part}"), 4),
                (Some("{home}/m"), 5),
            ] {
                let root = PathBuf::from(root(path, user, None));
                assert!(
                    root.components()
                        .skip(1)
                        .all(|c| matches!(c, Component::Normal(_)))
                );
                assert_eq!(root.components().count(), depth, "{user:?} {root:?}");
                assert!(!root.to_str().unwrap().contains('\0'));
            }
        }
    }

    #[test]
    fn users_of_different_domains_differ() {
        let path = Some("/v/{domain}/{local_part}");
        let users = ["a", "a@", "@a", "a@a", "@", "", "%@%", "a@%"];
        let roots: BTreeSet<String> = users.iter().map(|u| root(path, u, None)).collect();
        assert_eq!(roots.len(), users.len());
    }

    #[test]
    fn the_common_root_holds_every_root() {
        let cases = [
            (None, "/data/mail"),
            (Some("/v/{domain}/{local_part}"), "/v"),
            (Some("{data_dir}/box/u-{user}"), "/data/box"),
            (Some("{home}/Maildir"), "/data/mail"),
            (Some("{user}"), "/etc"),
            (Some("/v/u-{user}"), "/v"),
        ];
        for (path, expected) in cases {
            let path = path.map(|p| Template::parse(p).unwrap().below(Path::new("/etc")));
            let storage = Storage {
                path,
                ..Storage::default()
            };
            let root = storage.common_root(Path::new("/data"));
            assert_eq!(root, Path::new(expected));
        }
    }
}
