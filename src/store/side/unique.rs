//! Names that nobody else gives.

use std::sync::atomic::{AtomicU32, Ordering};

/// A name that no other process on no other host gives.
pub(crate) fn unique(host: &str) -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let now = crate::sys::clock::now();
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    format!(
        "{}.M{}P{}Q{count}.{host}",
        now.as_secs(),
        now.subsec_micros(),
        std::process::id()
    )
}

/// The host's name as it may stand in a file name.
pub(crate) fn host() -> String {
    let name = rustix::system::uname()
        .nodename()
        .to_string_lossy()
        .into_owned();
    let short: String = name
        .chars()
        .filter(|c| c.is_ascii_graphic() && *c != ',')
        .take(64)
        .collect();
    let escaped = short.replace('/', "\\057").replace(':', "\\072");
    if escaped.is_empty() {
        "localhost".to_owned()
    } else {
        escaped
    }
}
