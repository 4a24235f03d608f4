//! A configuration as the text of a settings file.

use std::path::Path;

use super::bounds;
use super::document::quoted;
use super::limits::LIMITS;
use super::model::{Config, UserSource};

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
    if let Some(template) = &config.storage.path {
        text.string("path", &template.to_string());
    }
    for UserSource::File(path) in &config.users {
        text.header("[[users]]");
        text.string("source", "file");
        text.path("path", path);
    }
    limits(config, &mut text);
    text.header("[log]");
    text.string("level", &config.log.level.as_str().to_ascii_lowercase());
    text.header("[process]");
    text.string("user", &config.process.user);
    text.string("network_user", &config.process.network_user);
    text.string("auth_user", &config.process.auth_user);
    text.0
}

fn listeners(config: &Config, text: &mut Toml) {
    for listener in &config.listeners {
        text.header("[[listener]]");
        text.string("protocol", listener.protocol.as_str());
        text.string("address", &listener.address.to_string());
        text.string("tls", listener.tls.as_str());
        text.plain("proxy_protocol", &listener.proxy_protocol.to_string());
    }
}

fn tls(config: &Config, text: &mut Toml) {
    let tls = &config.tls;
    if let (Some(certificate), Some(key)) = (&tls.certificate, &tls.key) {
        text.header("[tls]");
        text.path("certificate", certificate);
        text.path("key", key);
    }
    for name in &tls.names {
        text.header("[[tls.name]]");
        text.string("name", &name.name);
        text.path("certificate", &name.certificate);
        text.path("key", &name.key);
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
