//! Takes settings out of a document, each with its type, and says what is wrong with those that
//! are not as they should be.

use std::path::{Path, PathBuf};

use super::document::{Node, Table, Value, quoted};
use super::fault::Faults;
use super::manual::{Section, home_of};
use super::suggest::nearest;

pub(super) struct Reader<'a> {
    pub(super) faults: &'a mut Faults,
    /// Where relative paths start.
    pub(super) directory: &'a Path,
}

/// A table of the document that is the given section.
#[derive(Clone, Copy)]
pub(super) struct Part<'t> {
    section: &'static Section,
    pub(super) table: &'t Table,
    /// Where it begins.
    pub(super) at: usize,
}

impl<'a> Reader<'a> {
    /// `table` as `section`, with a fault for every name that is not known there.
    pub(super) fn part<'t>(
        &mut self,
        section: &'static Section,
        table: &'t Table,
        at: usize,
    ) -> Part<'t> {
        for (name, entry) in &table.entries {
            if !section.names().any(|known| known == name) {
                self.faults.add(entry.key_at, unknown(section, name));
            }
        }
        Part { section, table, at }
    }

    /// The one table `section` below `above`, whose header is `[NAME]`.
    pub(super) fn table<'t>(
        &mut self,
        above: &Part<'t>,
        section: &'static Section,
    ) -> Option<Part<'t>> {
        let name = last_name(section);
        let node = above.table.node(name)?;
        match &node.value {
            Value::Table(table) => Some(self.part(section, table, node.at)),
            other => {
                self.wrong(
                    node,
                    format!(
                        "`{name}` is a table: write {}, not {}",
                        section.header(),
                        other.kind()
                    ),
                );
                None
            }
        }
    }

    /// The tables `section` below `above`, whose headers are `[[NAME]]`; none if it is not there.
    pub(super) fn tables<'t>(
        &mut self,
        above: &Part<'t>,
        section: &'static Section,
    ) -> Option<Vec<Part<'t>>> {
        let name = last_name(section);
        let node = above.table.node(name)?;
        let items = match &node.value {
            Value::Tables(items) | Value::Array(items) => items.as_slice(),
            value => {
                let header = section.header();
                let message = format!("there can be more than one `{name}`: write {header}");
                self.wrong(node, message);
                // One table is looked at as if it were a list of one.
                match value {
                    Value::Table(_) => std::slice::from_ref(node),
                    _ => return None,
                }
            }
        };
        if items.is_empty() {
            self.wrong(
                node,
                format!("write {} or leave `{name}` out", section.header()),
            );
        }
        let mut parts = Vec::new();
        for item in items {
            match &item.value {
                Value::Table(table) => parts.push(self.part(section, table, item.at)),
                other => self.wrong(
                    item,
                    format!("{} must be a table, not {}", section.header(), other.kind()),
                ),
            }
        }
        Some(parts)
    }

    /// The text of `name` and where it begins.
    pub(super) fn text<'t>(&mut self, part: &Part<'t>, name: &str) -> Option<(usize, &'t str)> {
        let node = part.table.node(name)?;
        Some((node.at, self.as_text(node, name)?))
    }

    fn as_text<'t>(&mut self, node: &'t Node, name: &str) -> Option<&'t str> {
        match &node.value {
            Value::Text(text) => return Some(text),
            Value::Bare(text) if text.is_empty() => {
                self.wrong(node, format!("`{name}` has no value"));
            }
            Value::Bare(text) => {
                let text = text.trim_matches(['"', '\'']);
                self.wrong(
                    node,
                    format!("write `{name}` with quotes: {}", quoted(text)),
                );
                return Some(text);
            }
            other => self.wrong(
                node,
                format!("`{name}` must be text in quotes, not {}", other.kind()),
            ),
        }
        None
    }

    /// The list of texts `name`.
    pub(super) fn texts<'t>(
        &mut self,
        part: &Part<'t>,
        name: &str,
    ) -> Option<Vec<(usize, &'t str)>> {
        let node = part.table.node(name)?;
        let Value::Array(items) = &node.value else {
            let kind = node.value.kind();
            self.wrong(
                node,
                format!("`{name}` must be a list such as [\"a\", \"b\"], not {kind}"),
            );
            return None;
        };
        let mut texts = Vec::new();
        for item in items {
            texts.extend(self.as_text(item, name).map(|text| (item.at, text)));
        }
        Some(texts)
    }

    pub(super) fn flag(&mut self, part: &Part<'_>, name: &str) -> Option<bool> {
        let node = part.table.node(name)?;
        if let Value::Boolean(value) = node.value {
            return Some(value);
        }
        self.wrong(
            node,
            format!("`{name}` must be true or false, without quotes"),
        );
        None
    }

    /// One of the words of `choices`.
    pub(super) fn word<T: Copy>(
        &mut self,
        part: &Part<'_>,
        name: &str,
        choices: &[(&'static str, T)],
    ) -> Option<T> {
        let (at, text) = self.text(part, name)?;
        if let Some((_, value)) = choices.iter().find(|(word, _)| *word == text) {
            return Some(*value);
        }
        let words: Vec<&'static str> = choices.iter().map(|(word, _)| *word).collect();
        self.faults.add(at, no_choice(name, text, &words));
        None
    }

    /// The path `name`, from the directory of the settings file if it is relative.
    pub(super) fn path(&mut self, part: &Part<'_>, name: &str) -> Option<PathBuf> {
        let (at, text) = self.text(part, name)?;
        self.checked_path(at, name, text)
    }

    pub(super) fn checked_path(&mut self, at: usize, name: &str, text: &str) -> Option<PathBuf> {
        if text.is_empty() || text.contains('\0') {
            self.faults.add(
                at,
                format!("`{name}` must be a path, such as \"/etc/file\""),
            );
            return None;
        }
        Some(self.directory.join(text))
    }

    fn wrong(&mut self, node: &Node, message: String) {
        if !matches!(node.value, Value::Invalid) {
            self.faults.add(node.at, message);
        }
    }

    /// A fault at the head of `part` unless `value` is there; silent if `name` is, because then
    /// its own fault is noted.
    pub(super) fn required<T>(
        &mut self,
        part: &Part<'_>,
        name: &str,
        value: Option<T>,
    ) -> Option<T> {
        if value.is_none() && part.table.node(name).is_none() {
            let header = part.section.header();
            self.faults.add(part.at, format!("{header} needs `{name}`"));
        }
        value
    }
}

fn last_name(section: &Section) -> &'static str {
    section.name.rsplit('.').next().unwrap_or_default()
}

fn unknown(section: &'static Section, name: &str) -> String {
    let wrong = format!("{} is not known {}", quoted(name), section.place());
    if let Some(home) = home_of(name, section) {
        return format!("{wrong}; it belongs {}", home.place());
    }
    if let Some(near) = nearest(name, section.names()) {
        return format!("{wrong}; did you mean `{near}`?");
    }
    let names: Vec<&str> = section.names().collect();
    format!("{wrong}; known are {}", names.join(", "))
}

/// `text` is none of `words`, which `name` may be.
pub(super) fn no_choice(name: &str, text: &str, words: &[&'static str]) -> String {
    let text_quoted = quoted(text);
    if let Some(near) = nearest(text, words.iter().copied()) {
        return format!("`{name}` cannot be {text_quoted}; did you mean \"{near}\"?");
    }
    let words: Vec<String> = words.iter().map(|word| quoted(word)).collect();
    format!(
        "`{name}` cannot be {text_quoted}; write {}",
        words.join(" or ")
    )
}
