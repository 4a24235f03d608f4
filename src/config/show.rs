//! A configuration as the text of a settings file.

use miniserde::json;
use std::path::Path;

use super::bounds;
use super::builder;
use super::document::{Node, Table, Value, quoted};
use super::fault::Faults;
use super::limits::LIMITS;
use super::model::{Address, Config, UserSource};
use super::parse::UNFIT;
use super::storage::{Format, compression_word};

/// Returns a settings file that says everything `config` does, defaults included. Bytes of paths
/// that are not UTF-8, which no settings file can hold, are replaced.
pub(crate) fn show(config: &Config) -> String {
    let mut text = Toml(String::new());
    text.path("data_dir", &config.data_dir);
    text.string("hostname", &config.hostname);
    text.string("board", &config.board);
    text.string("isolation", config.isolation.as_str());
    listeners(config, &mut text);
    tls(config, &mut text);
    text.header("[storage]");
    text.string("format", config.storage.format.as_str());
    let compression = compression_word(config.storage.compression);
    text.string("compression", compression);
    let storage = &config.storage;
    if storage.format == Format::Maildir {
        text.string("layout", storage.layout.as_str());
    }
    text.string("info_separator", storage.info_separator.as_str());
    for (key, template) in [
        ("path", &storage.path),
        ("inbox", &storage.inbox),
        ("alternate", &storage.alternate),
    ] {
        if let Some(template) = template {
            text.string(key, &template.to_string());
        }
    }
    if let Some(path) = &config.storage.attachments {
        text.path("attachments", path);
    }
    let word = UNFIT.iter().find(|(_, own)| *own == config.storage.unfit);
    text.string("unfit_file_system", word.map_or("warn", |(word, _)| word));
    namespaces(config, &mut text);
    for UserSource::File(path) in &config.users {
        text.header("[[users]]");
        text.string("source", "file");
        text.path("path", path);
    }
    text.header("[auth]");
    text.plain("mechanisms", &config.auth.mechanisms());
    text.string("scheme", config.auth.scheme.as_str());
    text.plain("rehash", &config.auth.rehash.to_string());
    text.plain("master_users", &config.auth.masters());
    text.string(
        "master_separator",
        &config.auth.master_separator.to_string(),
    );
    if let Some(user) = &config.auth.anonymous_user {
        text.string("anonymous_user", user);
    }
    imap(config, &mut text);
    pop3(config, &mut text);
    lmtp(config, &mut text);
    postfix(config, &mut text);
    limits(config, &mut text);
    text.header("[log]");
    text.string("level", &config.log.level.as_str().to_ascii_lowercase());
    text.header("[process]");
    text.string("user", &config.process.user);
    text.string("network_user", &config.process.network_user);
    text.string("auth_user", &config.process.auth_user);
    text.0
}

/// Returns the settings of [`show`] as one JSON object with the same names and values.
pub(crate) fn show_json(config: &Config) -> String {
    let text = show(config);
    let root = builder::read(&text, &mut Faults::new(&text));
    json::to_string(&object(&root))
}

/// Its depth is that of what [`show`] writes.
fn object(table: &Table) -> json::Value {
    let entries = table.entries.iter();
    let entries = entries.map(|(name, entry)| (name.clone(), value(&entry.node)));
    json::Value::Object(entries.collect())
}

fn value(node: &Node) -> json::Value {
    match &node.value {
        Value::Text(text) => json::Value::String(text.clone()),
        Value::Integer(number) => json::Value::Number(json::Number::I64(*number)),
        Value::Boolean(on) => json::Value::Bool(*on),
        Value::Array(nodes) | Value::Tables(nodes) => {
            json::Value::Array(nodes.iter().map(value).collect())
        }
        Value::Table(table) => object(table),
        Value::Bare(_) | Value::Float | Value::Date | Value::Invalid => json::Value::Null,
    }
}

fn namespaces(config: &Config, text: &mut Toml) {
    for one in &config.storage.namespaces {
        text.header("[[namespace]]");
        text.string("prefix", &one.set_prefix());
        text.string("format", one.format.as_str());
        text.string("compression", compression_word(one.compression));
        if one.format == Format::Maildir {
            text.string("layout", one.layout.as_str());
        }
        text.string("info_separator", one.info_separator.as_str());
        text.string("path", &one.path.to_string());
        for (key, template) in [("inbox", &one.inbox), ("alternate", &one.alternate)] {
            if let Some(template) = template {
                text.string(key, &template.to_string());
            }
        }
    }
}

fn listeners(config: &Config, text: &mut Toml) {
    for listener in &config.listeners {
        text.header("[[listener]]");
        text.string("protocol", listener.protocol.as_str());
        text.string("address", &listener.address.to_string());
        text.string("tls", listener.tls.as_str());
        text.plain("proxy_protocol", &listener.proxy_protocol.to_string());
        if matches!(listener.address, Address::Unix(_)) {
            text.string("mode", &format!("{:04o}", listener.mode));
        }
        if let Some(group) = &listener.group {
            text.string("group", group);
        }
    }
}

fn tls(config: &Config, text: &mut Toml) {
    let tls = &config.tls;
    text.header("[tls]");
    if let (Some(certificate), Some(key)) = (&tls.certificate, &tls.key) {
        text.path("certificate", certificate);
        text.path("key", key);
    }
    if let Some(authorities) = &tls.client_ca {
        text.path("client_ca", authorities);
    }
    text.string("client_name", tls.client_name.as_str());
    for name in &tls.names {
        text.header("[[tls.name]]");
        text.string("name", &name.name);
        text.path("certificate", &name.certificate);
        text.path("key", &name.key);
    }
}

fn imap(config: &Config, text: &mut Toml) {
    text.header("[imap]");
    if let Some(admin) = &config.imap.admin {
        text.string("admin", admin);
    }
    text.string("fetch_failure", config.imap.fetch_failure.word());
    let workarounds: Vec<String> = config.imap.workarounds().map(quoted).collect();
    text.plain(
        "client_workarounds",
        &format!("[{}]", workarounds.join(", ")),
    );
}

fn pop3(config: &Config, text: &mut Toml) {
    let pop3 = &config.pop3;
    text.header("[pop3]");
    text.string("login_delay", &pop3.login_delay());
    text.string("uidl_format", pop3.uidl_format.as_str());
    text.string("uidl_duplicates", pop3.duplicates());
    for (key, on) in pop3.flags() {
        text.plain(key, &on.to_string());
    }
    if let Some(flag) = &pop3.deleted_flag {
        text.string("deleted_flag", flag.as_str());
    }
    text.string("delete_type", pop3.delete_type());
    let workarounds: Vec<String> = pop3.workarounds().map(quoted).collect();
    text.plain(
        "client_workarounds",
        &format!("[{}]", workarounds.join(", ")),
    );
}

fn lmtp(config: &Config, text: &mut Toml) {
    let lmtp = &config.lmtp;
    text.header("[lmtp]");
    text.string("recipient_delimiter", &lmtp.recipient_delimiter);
    text.plain(
        "save_to_detail_mailbox",
        &lmtp.save_to_detail_mailbox.to_string(),
    );
    text.string("delivery_address_header", lmtp.delivery_address.as_str());
}

fn postfix(config: &Config, text: &mut Toml) {
    text.header("[postfix]");
    let domains: Vec<String> = config.postfix.domains.iter().map(|d| quoted(d)).collect();
    text.plain("domains", &format!("[{}]", domains.join(", ")));
    if let Some(aliases) = &config.postfix.aliases {
        text.path("aliases", aliases);
    }
}

fn limits(config: &Config, text: &mut Toml) {
    text.header("[limits]");
    for limit in LIMITS {
        text.plain(limit.name, &bounds::toml(limit, &config.limits));
    }
    let networks = config.limits.trusted_networks.iter();
    let networks: Vec<String> = networks.map(|n| quoted(&n.to_string())).collect();
    text.plain("trusted_networks", &format!("[{}]", networks.join(", ")));
}

struct Toml(String);

impl Toml {
    fn header(&mut self, header: &str) {
        self.0.push_str(&format!("\n{header}\n"));
    }

    fn plain(&mut self, key: &str, value: &str) {
        self.0.push_str(&format!("{key} = {value}\n"));
    }

    fn string(&mut self, key: &str, value: &str) {
        self.plain(key, &quoted(value));
    }

    fn path(&mut self, key: &str, path: &Path) {
        self.string(key, &path.to_string_lossy());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_has_the_names_of_the_file() {
        let config = Config::with_defaults("/data".into(), "mail.example.org".to_owned());
        let shown = json::from_str(&show_json(&config));
        let Ok(json::Value::Object(shown)) = shown else {
            panic!("{shown:?}");
        };
        let text = |value: &json::Value| match value {
            json::Value::String(text) => text.clone(),
            other => json::to_string(other),
        };
        assert_eq!(text(&shown["data_dir"]), "/data");
        let json::Value::Array(listeners) = &shown["listener"] else {
            panic!("{shown:?}");
        };
        assert_eq!(listeners.len(), 5);
        let json::Value::Object(limits) = &shown["limits"] else {
            panic!("{shown:?}");
        };
        assert_eq!(text(&limits["bad_commands"]), "20");
        assert_eq!(text(&limits["login_timeout"]), "1m");
        assert_eq!(limits.len(), LIMITS.len() + 1);
    }
}
