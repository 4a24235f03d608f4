//! The table `[limits]`: its reader and its part of the manual.

use super::amount::{AmountFault, duration_text, parse_duration, parse_size, size_text};
use super::document::{Node, Value, quoted};
use super::limits::{
    Kind, LIMITS, Limit, Limits, MAX_ARGON2_MEMORY_KIB, MAX_ARGON2_PARALLEL, MAX_ARGON2_WORK_KIB,
    MAX_MIME_DEPTH,
};
use super::manual::prose;
use super::network::{Network, NetworkFault};
use super::reader::{Part, Reader};

/// Sets in `limits` what `part` names.
pub(super) fn read(reader: &mut Reader<'_>, part: &Part<'_>, limits: &mut Limits) {
    for limit in LIMITS {
        if let Some(node) = part.table.node(limit.name) {
            set(reader, limit, node, limits);
        }
    }
    if let Some(networks) = networks(reader, part) {
        limits.trusted_networks = networks;
    }
    for (holds, names, message) in together(limits) {
        // Where the file says so; a profile is consistent.
        let named = names.iter().find_map(|name| part.table.node(name));
        if let Some(node) = named.filter(|_| !holds) {
            reader.faults.add(node.at, message);
        }
    }
}

/// What holds of several limits together, or of one that has a most: whether it does, which they
/// are, and what is said if it does not.
fn together(limits: &Limits) -> [(bool, &'static [&'static str], &'static str); 5] {
    let memory = u64::from(limits.argon2_memory_kib);
    let work = memory * u64::from(limits.argon2_passes);
    let stacks = u64::from(limits.blocking_threads).saturating_mul(limits.stack_octets as u64);
    [
        (
            limits.login_failure_delay <= limits.login_failure_delay_max,
            &["login_failure_delay", "login_failure_delay_max"],
            "`login_failure_delay` must not be longer than `login_failure_delay_max`",
        ),
        (
            limits.argon2_memory_kib <= MAX_ARGON2_MEMORY_KIB && work <= MAX_ARGON2_WORK_KIB,
            &["argon2_memory_kib", "argon2_passes"],
            "no password is verified that takes more than 262144 KiB, or 4194304 KiB over all passes",
        ),
        (
            limits.argon2_parallel <= MAX_ARGON2_PARALLEL,
            &["argon2_parallel"],
            "`argon2_parallel` must be at most 64: the processors there are, or fewer",
        ),
        (
            limits.mime_depth <= MAX_MIME_DEPTH,
            &["mime_depth"],
            "`mime_depth` must be at most 1000; mail that is real stays below 100",
        ),
        (
            stacks <= limits.engine_memory_octets as u64 / 2,
            &["blocking_threads", "stack_octets", "engine_memory_octets"],
            "the stacks of `blocking_threads`, each of `stack_octets`, take more than half of \
             `engine_memory_octets`",
        ),
    ]
}

fn set(reader: &mut Reader<'_>, limit: &Limit, node: &Node, limits: &mut Limits) {
    let Some(amount) = amount(reader, limit, node) else {
        return;
    };
    let name = limit.name;
    if amount < limit.least {
        let least = text(limit.kind, limit.least);
        reader
            .faults
            .add(node.at, format!("`{name}` must be at least {least}"));
    } else if !(limit.set)(limits, amount) {
        reader
            .faults
            .add(node.at, format!("`{name}` is too large for this machine"));
    }
}

/// The amount in `node`, in the unit of the limit's kind.
fn amount(reader: &mut Reader<'_>, limit: &Limit, node: &Node) -> Option<u64> {
    let read = match (&node.value, limit.kind) {
        (Value::Invalid, _) => return None,
        (Value::Integer(number), Kind::Count | Kind::Size) => {
            return Some(u64::try_from(*number).unwrap_or(0));
        }
        (Value::Text(text) | Value::Bare(text), Kind::Size) => parse_size(text),
        (Value::Text(text) | Value::Bare(text), Kind::Duration) => parse_duration(text),
        _ => Err(AmountFault::Syntax),
    };
    let name = limit.name;
    match (read, &node.value) {
        (Ok(amount), Value::Bare(text)) => {
            let quoted = quoted(text);
            reader
                .faults
                .add(node.at, format!("write `{name}` with quotes: {quoted}"));
            return Some(amount);
        }
        (Ok(amount), _) => return Some(amount),
        (Err(AmountFault::Syntax), value) => {
            let wanted = wanted(limit);
            let message = format!("`{name}` must be {wanted}, not {}", described(value));
            reader.faults.add(node.at, message);
        }
        (Err(AmountFault::Overflow), _) => {
            reader
                .faults
                .add(node.at, format!("`{name}` is too large for any machine"));
        }
    }
    None
}

fn described(value: &Value) -> String {
    match value {
        Value::Text(text) => quoted(text),
        Value::Bare(text) if text.is_empty() => "nothing".to_owned(),
        Value::Bare(text) => format!("`{text}`"),
        Value::Integer(number) => number.to_string(),
        other => other.kind().to_owned(),
    }
}

fn wanted(limit: &Limit) -> &'static str {
    match limit.kind {
        Kind::Count => "a whole number without quotes",
        Kind::Size => "octets or a size such as \"64KiB\" or \"25MB\"",
        Kind::Duration => "a span of time such as \"30s\", \"5m\" or \"1h\"",
    }
}

fn networks(reader: &mut Reader<'_>, part: &Part<'_>) -> Option<Vec<Network>> {
    let texts = reader.texts(part, "trusted_networks")?;
    let mut networks = Vec::new();
    for (at, text) in texts {
        let message = match text.parse() {
            Ok(network) => {
                networks.push(network);
                continue;
            }
            Err(NetworkFault::Syntax) => format!(
                "{} is no network: write \"192.0.2.0/24\", \"2001:db8::/32\" or one address",
                quoted(text)
            ),
            Err(NetworkFault::Prefix) => format!(
                "{} has a prefix longer than its address: at most /32, or /128 for IPv6",
                quoted(text)
            ),
        };
        reader.faults.add(at, message);
    }
    Some(networks)
}

/// `amount` as it is written for a limit of that kind, without quotes.
fn text(kind: Kind, amount: u64) -> String {
    match kind {
        Kind::Count => amount.to_string(),
        Kind::Size => size_text(amount),
        Kind::Duration => duration_text(amount),
    }
}

/// The value of `limit` as TOML.
pub(super) fn toml(limit: &Limit, limits: &Limits) -> String {
    let text = text(limit.kind, (limit.value)(limits));
    if text.bytes().all(|b| b.is_ascii_digit()) {
        text
    } else {
        quoted(&text)
    }
}

/// Adds the limits to the manual.
pub(super) fn reference(manual: &mut String) {
    let defaults = Limits::default();
    for limit in LIMITS {
        manual.push('\n');
        prose(limit.doc, manual);
        manual.push_str(&format!("{} = {}\n", limit.name, toml(limit, &defaults)));
    }
}
