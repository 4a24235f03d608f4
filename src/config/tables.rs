//! How headers and dotted keys make and find tables.

use super::document::{Entry, Node, Origin, Table, Value};
use super::fault::Faults;

/// No setting lies deeper.
pub(super) const MAX_DEPTH: usize = 8;

/// One name of a header or dotted key.
pub(super) struct Key {
    pub(super) name: String,
    pub(super) at: usize,
}

/// The beginning of `[NAME]` or, of a list, `[[NAME]]`.
#[derive(Clone, Copy)]
pub(super) struct Header {
    pub(super) at: usize,
    pub(super) of_list: bool,
}

/// The table that `path` leads to; of a list, the last.
pub(super) fn descend<'a>(root: &'a mut Table, path: &[String]) -> Option<&'a mut Table> {
    let mut table = root;
    for key in path {
        table = match &mut table.entries.get_mut(key)?.node.value {
            Value::Table(inner) => inner,
            Value::Tables(items) => last_table(items)?,
            _ => return None,
        };
    }
    Some(table)
}

fn last_table(items: &mut [Node]) -> Option<&mut Table> {
    match items.last_mut() {
        Some(Node {
            value: Value::Table(table),
            ..
        }) => Some(table),
        _ => None,
    }
}

/// The last key and those before it, unless they are too many.
fn split<'k>(keys: &'k [Key], faults: &mut Faults) -> Option<(&'k Key, &'k [Key])> {
    let (last, before) = keys.split_last()?;
    if keys.len() > MAX_DEPTH {
        faults.add(last.at, "no setting lies as deep as this");
        return None;
    }
    Some((last, before))
}

fn set_already(key: &Key, first: usize, faults: &mut Faults) {
    let line = faults.line(first);
    faults.add(
        key.at,
        format!("`{}` is set already on line {line}", key.name),
    );
}

/// Makes the table that a header names; returns false if that cannot be.
pub(super) fn opened(root: &mut Table, keys: &[Key], header: Header, faults: &mut Faults) -> bool {
    let Some((last, before)) = split(keys, faults) else {
        return false;
    };
    let mut table = root;
    for key in before {
        let entry = table
            .entries
            .entry(key.name.clone())
            .or_insert_with(|| Entry {
                key_at: key.at,
                node: Node {
                    at: header.at,
                    value: Value::Table(Table::new(Origin::Implicit)),
                },
            });
        let inner = match &mut entry.node.value {
            Value::Table(inner) if inner.origin != Origin::Inline => Some(inner),
            Value::Tables(items) => last_table(items),
            _ => None,
        };
        let Some(inner) = inner else {
            set_already(key, entry.key_at, faults);
            return false;
        };
        table = inner;
    }
    let node = Node {
        at: header.at,
        value: Value::Table(Table::new(Origin::Header)),
    };
    let Some(entry) = table.entries.get_mut(&last.name) else {
        let node = if header.of_list {
            Node {
                at: header.at,
                value: Value::Tables(vec![node]),
            }
        } else {
            node
        };
        let key_at = last.at;
        table
            .entries
            .insert(last.name.clone(), Entry { key_at, node });
        return true;
    };
    reopen(entry, last, node, header, faults)
}

/// A header whose name is known already.
fn reopen(entry: &mut Entry, key: &Key, node: Node, header: Header, faults: &mut Faults) -> bool {
    match (&mut entry.node.value, header.of_list) {
        (Value::Tables(items), true) => items.push(node),
        (Value::Table(table), false) if table.origin == Origin::Implicit => {
            table.origin = Origin::Header;
            entry.key_at = key.at;
            entry.node.at = header.at;
        }
        // Its settings are still looked at.
        (Value::Table(table), false) if table.origin == Origin::Header => {
            let line = faults.line(entry.key_at);
            let message = format!(
                "[{}] is there already on line {line}: write its settings there",
                key.name
            );
            faults.add(key.at, message);
        }
        _ => {
            set_already(key, entry.key_at, faults);
            return false;
        }
    }
    true
}

/// Sets `keys`, a simple or dotted key, in `table`.
pub(super) fn insert(table: &mut Table, keys: &[Key], node: Node, faults: &mut Faults) {
    let Some((last, before)) = split(keys, faults) else {
        return;
    };
    let mut table = table;
    for key in before {
        let entry = table
            .entries
            .entry(key.name.clone())
            .or_insert_with(|| Entry {
                key_at: key.at,
                node: Node {
                    at: key.at,
                    value: Value::Table(Table::new(Origin::Dotted)),
                },
            });
        table = match &mut entry.node.value {
            Value::Table(inner) if inner.origin == Origin::Dotted => inner,
            _ => return set_already(key, entry.key_at, faults),
        };
    }
    if let Some(entry) = table.entries.get(&last.name) {
        return set_already(last, entry.key_at, faults);
    }
    let key_at = last.at;
    table
        .entries
        .insert(last.name.clone(), Entry { key_at, node });
}
