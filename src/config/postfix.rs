//! The table `[postfix]`.

use std::path::PathBuf;

use super::certificates::is_host_name;
use super::document::quoted;
use super::manual::POSTFIX;
use super::reader::{Part, Reader};

/// What Postfix is told of addresses.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Postfix {
    /// Domains that are served, besides those that users have in their names.
    pub(crate) domains: Vec<String>,
    /// A file in the format of `aliases(5)`.
    pub(crate) aliases: Option<PathBuf>,
}

pub(super) fn read(reader: &mut Reader<'_>, top: &Part<'_>) -> Option<Postfix> {
    let part = reader.table(top, POSTFIX)?;
    let mut domains = Vec::new();
    for (at, name) in reader.texts(&part, "domains").unwrap_or_default() {
        match is_host_name(name) {
            true => domains.push(name.to_ascii_lowercase()),
            false => {
                let message = format!("{} is no domain; write \"example.org\"", quoted(name));
                reader.faults.add(at, message);
            }
        }
    }
    Some(Postfix {
        domains,
        aliases: reader.path(&part, "aliases"),
    })
}

#[cfg(test)]
mod tests {
    use super::super::tests::settings;
    use super::super::{parse, show};
    use super::*;

    fn read(text: &str) -> Result<Postfix, String> {
        let config = parse(text, settings());
        config.map(|c| c.postfix).map_err(|f| f[0].to_string())
    }

    #[test]
    fn all_of_it_is_read_and_shown() {
        let text =
            "[postfix]\ndomains = [\"Example.ORG\", \"b.org\"]\naliases = \"/etc/aliases\"\n";
        let all = Postfix {
            domains: vec!["example.org".to_owned(), "b.org".to_owned()],
            aliases: Some("/etc/aliases".into()),
        };
        assert_eq!(read(text), Ok(all.clone()));
        let config = parse(text, settings()).unwrap();
        assert_eq!(read(&show(&config)), Ok(all));
        assert_eq!(read(""), Ok(Postfix::default()));
        let fault = "2:12: \"@b\" is no domain; write \"example.org\"";
        assert_eq!(read("[postfix]\ndomains = [\"@b\"]"), Err(fault.to_owned()));
    }
}
