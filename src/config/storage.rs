//! Where a user's mail is.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// The format of mailboxes and the place of a user's mail.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Storage {
    pub(crate) format: Format,
    /// `{data_dir}/mail/{user}` if not set.
    pub(crate) path: Option<Template>,
}

/// How mailboxes are kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Format {
    #[default]
    Maildir,
}

/// A path with variables: `{user}`, `{local_part}`, `{domain}`, `{home}`, `{data_dir}`; `{{` and
/// `}}` stand for the braces themselves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Template {
    pieces: Vec<Piece>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Literal(OsString),
    Variable(Variable),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Variable {
    User,
    LocalPart,
    Domain,
    Home,
    DataDir,
}

/// Why a text is no template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum TemplateFault {
    /// A `{` without `}`, or a `}` alone.
    Brace,
    /// A variable of this name is not known.
    Unknown(String),
}

/// The variables, for messages.
pub(crate) const VARIABLES: &str = "{user}, {local_part}, {domain}, {home}, {data_dir}";

impl Format {
    /// The word of the configuration file.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Format::Maildir => "maildir",
        }
    }
}

impl Storage {
    /// Returns the directory of `user`'s mail. Different users get different directories if the
    /// template names the whole user, and no user name leads out of the place that the template
    /// leaves for it. A user without `home` has `{data_dir}/home/{user}`.
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
}

fn own_directory(data_dir: &Path, user: &str) -> PathBuf {
    data_dir.join("mail").join(component(Some(user)))
}

impl Template {
    /// Reads `text`.
    pub(crate) fn parse(text: &str) -> Result<Template, TemplateFault> {
        let mut pieces = Vec::new();
        let mut literal = String::new();
        let mut rest = text;
        while let Some(at) = rest.find(['{', '}']) {
            let (before, brace) = rest.split_at(at);
            literal.push_str(before);
            if let Some(after) = brace.strip_prefix("{{") {
                literal.push('{');
                rest = after;
            } else if let Some(after) = brace.strip_prefix("}}") {
                literal.push('}');
                rest = after;
            } else {
                let (variable, after) = variable(brace)?;
                if !literal.is_empty() {
                    pieces.push(Piece::Literal(std::mem::take(&mut literal).into()));
                }
                pieces.push(Piece::Variable(variable));
                rest = after;
            }
        }
        literal.push_str(rest);
        if !literal.is_empty() {
            pieces.push(Piece::Literal(literal.into()));
        }
        Ok(Template { pieces })
    }

    /// The same template, read from `directory` if it names no absolute path itself.
    pub(crate) fn below(mut self, directory: &Path) -> Template {
        let absolute = match self.pieces.first() {
            Some(Piece::Literal(text)) => Path::new(text).is_absolute(),
            Some(Piece::Variable(variable)) => {
                matches!(variable, Variable::Home | Variable::DataDir)
            }
            None => false,
        };
        if absolute || directory.as_os_str().is_empty() {
            return self;
        }
        // With a separator behind it.
        let mut start = directory.join("").into_os_string();
        if let Some(Piece::Literal(text)) = self.pieces.first_mut() {
            start.push(&*text);
            *text = start;
        } else {
            self.pieces.insert(0, Piece::Literal(start));
        }
        self
    }

    /// Whether two users can have different directories.
    pub(crate) fn tells_users_apart(&self) -> bool {
        self.pieces.iter().any(|piece| {
            matches!(
                piece,
                Piece::Variable(Variable::User | Variable::LocalPart | Variable::Home)
            )
        })
    }

    fn common_root(&self, data_dir: &Path) -> PathBuf {
        let mut path = OsString::new();
        for piece in &self.pieces {
            match piece {
                Piece::Literal(text) => path.push(text),
                Piece::Variable(Variable::DataDir) => path.push(data_dir),
                Piece::Variable(_) => break,
            }
        }
        let mut root = data_dir.join(&path);
        // What stands behind the last separator is the beginning of a name.
        if !path.as_bytes().ends_with(b"/") && !path.is_empty() {
            root.pop();
        }
        root
    }

    fn expand(&self, data_dir: &Path, user: &str, home: Option<&Path>) -> PathBuf {
        let (local_part, domain) = match user.rsplit_once('@') {
            Some((local_part, domain)) => (local_part, Some(domain)),
            None => (user, None),
        };
        let mut path = OsString::new();
        for piece in &self.pieces {
            match piece {
                Piece::Literal(text) => path.push(text),
                Piece::Variable(Variable::User) => path.push(component(Some(user))),
                Piece::Variable(Variable::LocalPart) => path.push(component(Some(local_part))),
                Piece::Variable(Variable::Domain) => path.push(component(domain)),
                Piece::Variable(Variable::DataDir) => path.push(data_dir),
                Piece::Variable(Variable::Home) => path.push(match home {
                    Some(home) => home.to_owned(),
                    None => own_directory(data_dir, user),
                }),
            }
        }
        data_dir.join(path)
    }
}

/// The variable at the start of `text`, which begins with a brace, and what follows it.
fn variable(text: &str) -> Result<(Variable, &str), TemplateFault> {
    let (name, after) = text
        .strip_prefix('{')
        .and_then(|inner| inner.split_once('}'))
        .ok_or(TemplateFault::Brace)?;
    let variable = match name {
        "user" => Variable::User,
        "local_part" => Variable::LocalPart,
        "domain" => Variable::Domain,
        "home" => Variable::Home,
        "data_dir" => Variable::DataDir,
        _ => return Err(TemplateFault::Unknown(name.to_owned())),
    };
    Ok((variable, after))
}

/// `name` as one component of a path: never empty, never `.` or `..`, without a separator, and
/// different for different names. What could do harm becomes `%` and two hexadecimal digits; a
/// name that is missing becomes `%`, an empty one `%-`.
pub(crate) fn component(name: Option<&str>) -> OsString {
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

fn fmt_literal(text: &OsStr, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let text = text.to_string_lossy();
    f.write_str(&text.replace('{', "{{").replace('}', "}}"))
}

/// As in the configuration file.
impl fmt::Display for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for piece in &self.pieces {
            match piece {
                Piece::Literal(text) => fmt_literal(text, f)?,
                Piece::Variable(Variable::User) => f.write_str("{user}")?,
                Piece::Variable(Variable::LocalPart) => f.write_str("{local_part}")?,
                Piece::Variable(Variable::Domain) => f.write_str("{domain}")?,
                Piece::Variable(Variable::Home) => f.write_str("{home}")?,
                Piece::Variable(Variable::DataDir) => f.write_str("{data_dir}")?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Component;

    use super::*;

    fn root(path: Option<&str>, user: &str, home: Option<&str>) -> String {
        let storage = Storage {
            format: Format::Maildir,
            path: path.map(|p| Template::parse(p).unwrap().below(Path::new("/etc"))),
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
            (Some("{home}/Maildir"), "/data"),
            (Some("{user}"), "/etc"),
            (Some("/v/u-{user}"), "/v"),
        ];
        for (path, expected) in cases {
            let path = path.map(|p| Template::parse(p).unwrap().below(Path::new("/etc")));
            let format = Format::Maildir;
            let root = Storage { format, path }.common_root(Path::new("/data"));
            assert_eq!(root, Path::new(expected));
        }
    }

    #[test]
    fn wrong_templates_are_refused() {
        for text in ["{", "a{user", "}", "a}b", "{user}}", "{{}"] {
            assert_eq!(Template::parse(text), Err(TemplateFault::Brace), "{text}");
        }
        let unknown = Err(TemplateFault::Unknown("username".to_owned()));
        assert_eq!(Template::parse("/m/{username}"), unknown);
    }

    #[test]
    fn text_form_reads_back() {
        for text in [
            "/v/{domain}/{local_part}",
            "{home}/{{x}}",
            "{data_dir}",
            "",
            "{user}",
        ] {
            let template = Template::parse(text).unwrap();
            assert_eq!(template.to_string(), text);
            let below = template.below(Path::new("/a{b"));
            assert_eq!(Template::parse(&below.to_string()), Ok(below));
        }
    }
}
