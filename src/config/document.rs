//! A TOML document as values that know their place.

use std::collections::BTreeMap;

/// A value and the byte where it begins.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) at: usize,
    pub(super) value: Value,
}

#[derive(Debug)]
pub(super) enum Value {
    Text(String),
    /// What stands without quotes and is nothing else; empty if nothing stands there.
    Bare(String),
    /// Numbers beyond 64 bits are the nearest that fits.
    Integer(i64),
    Boolean(bool),
    Float,
    Date,
    Array(Vec<Node>),
    Table(Table),
    /// The tables of `[[NAME]]` headers.
    Tables(Vec<Node>),
    /// A fault is noted already.
    Invalid,
}

#[derive(Debug)]
pub(super) struct Table {
    pub(super) origin: Origin,
    pub(super) entries: BTreeMap<String, Entry>,
}

/// How a table came to be, which decides what may add to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    /// By a header of a table below it.
    Implicit,
    Header,
    /// By `a.b = ...`.
    Dotted,
    /// By `{ ... }`.
    Inline,
}

#[derive(Debug)]
pub(super) struct Entry {
    pub(super) key_at: usize,
    pub(super) node: Node,
}

impl Table {
    pub(super) fn new(origin: Origin) -> Table {
        Table {
            origin,
            entries: BTreeMap::new(),
        }
    }

    pub(super) fn node(&self, key: &str) -> Option<&Node> {
        self.entries.get(key).map(|entry| &entry.node)
    }
}

impl Value {
    /// What it is, for messages.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Value::Text(_) => "text",
            Value::Bare(_) => "text without quotes",
            Value::Integer(_) => "a number",
            Value::Boolean(_) => "true or false",
            Value::Float => "a fraction",
            Value::Date => "a date",
            Value::Array(_) => "a list",
            Value::Table(_) => "a table",
            Value::Tables(_) => "a list of tables",
            Value::Invalid => "not readable",
        }
    }
}

/// `text` as a TOML string.
pub(super) fn quoted(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for c in text.chars() {
        match c {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            '\n' => quoted.push_str("\\n"),
            '\r' => quoted.push_str("\\r"),
            '\t' => quoted.push_str("\\t"),
            c if c.is_control() => quoted.push_str(&format!("\\u{:04X}", u32::from(c))),
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}
