//! Paths with variables.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::storage::{component, own_directory};

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

impl Template {
    /// Reads `text`; tells all that is wrong with it.
    pub(crate) fn parse(text: &str) -> Result<Template, Vec<TemplateFault>> {
        let (mut pieces, mut faults) = (Vec::new(), Vec::new());
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
                let (variable, after) = variable(brace);
                if !literal.is_empty() {
                    pieces.push(Piece::Literal(std::mem::take(&mut literal).into()));
                }
                match variable {
                    Ok(variable) => pieces.push(Piece::Variable(variable)),
                    Err(fault) => faults.push(fault),
                }
                rest = after;
            }
        }
        literal.push_str(rest);
        if !literal.is_empty() {
            pieces.push(Piece::Literal(literal.into()));
        }
        if faults.is_empty() {
            Ok(Template { pieces })
        } else {
            Err(faults)
        }
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

    /// Whether the directories are below users' homes.
    pub(super) fn begins_with_home(&self) -> bool {
        self.pieces.first() == Some(&Piece::Variable(Variable::Home))
    }

    /// See `Storage::common_root`.
    pub(super) fn common_root(&self, data_dir: &Path) -> PathBuf {
        if self.begins_with_home() {
            // Never the data directory itself, which holds more than mail.
            return data_dir.join("mail");
        }
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

    /// See `Storage::root`.
    pub(super) fn expand(&self, data_dir: &Path, user: &str, home: Option<&Path>) -> PathBuf {
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
fn variable(text: &str) -> (Result<Variable, TemplateFault>, &str) {
    let named = text
        .strip_prefix('{')
        .and_then(|inner| inner.split_once('}'));
    let Some((name, after)) = named else {
        return (Err(TemplateFault::Brace), text.get(1..).unwrap_or_default());
    };
    let variable = match name {
        "user" => Variable::User,
        "local_part" => Variable::LocalPart,
        "domain" => Variable::Domain,
        "home" => Variable::Home,
        "data_dir" => Variable::DataDir,
        _ => return (Err(TemplateFault::Unknown(name.to_owned())), after),
    };
    (Ok(variable), after)
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
    use super::*;

    #[test]
    fn wrong_templates_are_refused() {
        for text in ["{", "a{user", "}", "a}b", "{user}}", "{{}"] {
            assert_eq!(
                Template::parse(text),
                Err(vec![TemplateFault::Brace]),
                "{text}"
            );
        }
        let unknown = TemplateFault::Unknown("username".to_owned());
        let both = Err(vec![unknown, TemplateFault::Brace]);
        assert_eq!(Template::parse("/m/{username}/{domain"), both);
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
