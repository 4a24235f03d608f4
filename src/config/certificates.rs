//! The table `[tls]`.

use super::document::quoted;
use super::manual::TLS_NAME;
use super::model::{ClientName, ServerName, Tls};
use super::parse::{Inspect, Unusable};
use super::reader::{Part, Reader};
use std::path::Path;

const CLIENT_NAMES: [(&str, ClientName); 2] = [
    ("common-name", ClientName::CommonName),
    ("email", ClientName::Email),
];

impl ClientName {
    /// The word of the configuration file.
    pub(super) fn as_str(self) -> &'static str {
        let named = CLIENT_NAMES.into_iter().find(|(_, name)| *name == self);
        named.map_or("", |(word, _)| word)
    }
}

/// The certificates that `part` names.
pub(super) fn read(reader: &mut Reader<'_>, part: &Part<'_>, machine: Option<Inspect>) -> Tls {
    let (certificate, key) = (reader.path(part, "certificate"), reader.path(part, "key"));
    for (name, other) in [("certificate", "key"), ("key", "certificate")] {
        if let (Some(node), None) = (part.table.node(name), part.table.node(other)) {
            let message = format!("`{name}` without `{other}`: set both or none");
            reader.faults.add(node.at, message);
        }
    }
    let inspect = |reader: &mut Reader<'_>, part: &Part<'_>, certificate: &Path, key: &Path| {
        let fault = machine.and_then(|machine| (machine.certificate)(certificate, key).err());
        let (name, why) = match fault {
            Some(Unusable::Certificate(why)) => ("certificate", why),
            Some(Unusable::Key(why)) => ("key", why),
            None => return,
        };
        let at = part.table.node(name).map_or(part.at, |node| node.at);
        reader.faults.add(at, format!("`{name}`: {why}"));
    };
    if let (Some(certificate), Some(key)) = (&certificate, &key) {
        inspect(reader, part, certificate, key);
    }
    let client_ca = reader.path(part, "client_ca");
    let client_name = (reader.word(part, "client_name", &CLIENT_NAMES)).unwrap_or_default();
    if let (Some(path), Some(machine)) = (&client_ca, machine)
        && let Err(why) = (machine.authorities)(path, client_name)
    {
        let at = part.table.node("client_ca").map_or(part.at, |node| node.at);
        reader.faults.add(at, format!("`client_ca`: {why}"));
    }
    let mut names: Vec<ServerName> = Vec::new();
    for part in reader.tables(part, TLS_NAME).unwrap_or_default() {
        let Some(name) = server_name(reader, &part) else {
            continue;
        };
        inspect(reader, &part, &name.certificate, &name.key);
        if names.iter().any(|n| n.name == name.name) {
            let message = format!("there is a certificate for {} already", quoted(&name.name));
            reader.faults.add(part.at, message);
        }
        names.push(name);
    }
    Tls {
        certificate,
        key,
        names,
        client_ca,
        client_name,
    }
}

fn server_name(reader: &mut Reader<'_>, part: &Part<'_>) -> Option<ServerName> {
    let name = reader.text(part, "name");
    let certificate = reader.path(part, "certificate");
    let key = reader.path(part, "key");
    let name = reader.required(part, "name", name);
    let certificate = reader.required(part, "certificate", certificate);
    let key = reader.required(part, "key", key);
    let (at, name) = name?;
    if !is_host_name(name.strip_prefix("*.").unwrap_or(name)) {
        reader.faults.add(
            at,
            "`name` must be a server name such as \"imap.example.org\" or \"*.example.org\"",
        );
    }
    Some(ServerName {
        name: name.to_ascii_lowercase(),
        certificate: certificate?,
        key: key?,
    })
}

/// The syntax of Domain in RFC 5321 section 4.1.2, and `_`, which some have.
pub(super) fn is_host_name(name: &str) -> bool {
    let label = |label: &str| {
        let letters = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        !label.is_empty() && label.len() <= 63 && label.chars().all(letters)
    };
    name.len() <= 253 && name.split('.').all(label)
}
