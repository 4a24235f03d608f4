//! A settings file of OpenWrt (UCI) as the document that the same settings in TOML would be.
//!
//! `config TYPE ['NAME']` begins a section: `dovelet` for what stands at the top of a file of TOML, else the name of
//! its table, with `_` for the point of `tls.name`. `option NAME VALUE` sets a value, `list NAME VALUE` adds one to
//! a list. All values are text: what they become is decided by the manual of the settings.

use std::collections::BTreeMap;

use super::document::{Entry, Node, Origin, Table, Value, quoted};
use super::fault::Faults;
use super::manual::{SECTIONS, Section, Shape, TOP};
use super::suggest::nearest;

/// The section of what stands at the top of a file of TOML.
const MAIN: &str = "dovelet";
/// What is for the script that starts the server.
const OF_THE_SCRIPT: [&str; 1] = ["enabled"];

/// A word and the byte where it begins.
#[derive(Debug, PartialEq, Eq)]
struct Word {
    at: usize,
    text: String,
}

/// Returns the document; what cannot be understood is noted in `faults` and left out.
pub(super) fn read(text: &str, faults: &mut Faults) -> Table {
    let mut reading = Reading {
        root: Table::new(Origin::Header),
        current: None,
        begun: BTreeMap::new(),
        faults,
    };
    let mut rest = Words { text, at: 0 };
    while let Some(line) = rest.line(reading.faults) {
        reading.line(line);
    }
    reading.root
}

struct Reading<'f> {
    root: Table,
    /// Which section the lines belong to; none if its line was wrong.
    current: Option<&'static Section>,
    /// Where each section began that there can be only one of.
    begun: BTreeMap<&'static str, usize>,
    faults: &'f mut Faults,
}

impl Reading<'_> {
    fn line(&mut self, words: Vec<Word>) {
        let mut words = words.into_iter();
        let Some(first) = words.next() else {
            return;
        };
        let (second, third, more) = (words.next(), words.next(), words.next());
        if let Some(more) = &more {
            let message = "the line ends too late: put text with spaces into quotes";
            return self.faults.add(more.at, message);
        }
        match (first.text.as_str(), second, third) {
            ("package", Some(_), None) => {}
            ("config", Some(kind), _) => self.begin(&kind),
            ("option", Some(name), Some(value)) => self.option(name, value),
            ("list", Some(name), Some(value)) => self.item(name, value),
            ("config", None, _) => self.faults.add(first.at, "write config TYPE"),
            (word @ ("option" | "list"), ..) => {
                let message = format!("write {word} NAME 'VALUE'");
                self.faults.add(first.at, message);
            }
            (word, ..) => {
                let message = format!(
                    "{} begins no line; write config, option or list",
                    quoted(word)
                );
                self.faults.add(first.at, message);
            }
        }
    }

    fn begin(&mut self, kind: &Word) {
        self.current = None;
        let named = |section: &&Section| name_of(section) == kind.text;
        let Some(section) = SECTIONS.into_iter().find(named) else {
            let names: Vec<String> = SECTIONS.into_iter().map(name_of).collect();
            let near = nearest(&kind.text, names.iter().map(String::as_str));
            let hint = near.map_or(String::new(), |near| format!("; did you mean `{near}`?"));
            let message = format!("there is no section {}{hint}", quoted(&kind.text));
            return self.faults.add(kind.at, message);
        };
        self.current = Some(section);
        if section.list {
            let (above, name) = section.name.rsplit_once('.').unwrap_or(("", section.name));
            let made = || Value::Tables(Vec::new());
            if let Some(above) = table(&mut self.root, above, kind.at)
                && let Value::Tables(items) = entry(above, name, kind.at, made)
            {
                let value = Value::Table(Table::new(Origin::Header));
                items.push(Node { at: kind.at, value });
            }
        } else if let Some(first) = self.begun.insert(section.name, kind.at) {
            let line = self.faults.line(first);
            let message = format!("there is such a section already on line {line}");
            self.faults.add(kind.at, message);
        } else {
            table(&mut self.root, section.name, kind.at);
        }
    }

    /// The section that a line belongs to, and its table.
    fn place(&mut self, name: &Word) -> Option<(&'static Section, &mut Table)> {
        let Some(section) = self.current else {
            if self.begun.is_empty() && self.root.entries.is_empty() {
                self.faults.add(name.at, "write config TYPE before it");
            }
            return None;
        };
        let (above, last) = section.name.rsplit_once('.').unwrap_or(("", section.name));
        if !section.list {
            return Some((section, table(&mut self.root, section.name, name.at)?));
        }
        let above = table(&mut self.root, above, name.at)?;
        match &mut above.entries.get_mut(last)?.node.value {
            Value::Tables(items) => match &mut items.last_mut()?.value {
                Value::Table(table) => Some((section, table)),
                _ => None,
            },
            _ => None,
        }
    }

    fn option(&mut self, name: Word, value: Word) {
        let Some((section, table)) = self.place(&name) else {
            return;
        };
        if section.name.is_empty() && OF_THE_SCRIPT.contains(&name.text.as_str()) {
            return;
        }
        if let Some(first) = table.entries.get(&name.text).map(|entry| entry.key_at) {
            let line = self.faults.line(first);
            let message = format!("`{}` is set already on line {line}", name.text);
            return self.faults.add(name.at, message);
        }
        let node = Node {
            at: value.at,
            value: typed(section.shape(&name.text), value),
        };
        let key_at = name.at;
        table.entries.insert(name.text, Entry { key_at, node });
    }

    fn item(&mut self, name: Word, value: Word) {
        let Some((_, table)) = self.place(&name) else {
            return;
        };
        let at = name.at;
        let values = entry(table, &name.text, at, || Value::Array(Vec::new()));
        if let Value::Array(items) = values {
            items.push(Node {
                at: value.at,
                value: Value::Text(value.text),
            });
        } else {
            let message = format!("`{}` is an option already, no list", name.text);
            self.faults.add(at, message);
        }
    }
}

fn name_of(section: &Section) -> String {
    match section.name {
        name if name == TOP.name => MAIN.to_owned(),
        name => name.replace('.', "_"),
    }
}

/// What `name` stands for in `table`; it is made if it is not there.
fn entry<'t>(
    table: &'t mut Table,
    name: &str,
    at: usize,
    make: impl FnOnce() -> Value,
) -> &'t mut Value {
    let entry = table.entries.entry(name.to_owned());
    let made = entry.or_insert_with(|| Entry {
        key_at: at,
        node: Node { at, value: make() },
    });
    &mut made.node.value
}

/// The table of that name, which has no point in it, or the root.
fn table<'t>(root: &'t mut Table, name: &str, at: usize) -> Option<&'t mut Table> {
    if name.is_empty() {
        return Some(root);
    }
    let made = || Value::Table(Table::new(Origin::Header));
    match entry(root, name, at, made) {
        Value::Table(table) => Some(table),
        _ => None,
    }
}

/// A value as the setting wants it, if it can be that; else as text, of which the fault is told.
fn typed(shape: Option<Shape>, word: Word) -> Value {
    let text = word.text;
    match shape {
        Some(Shape::Flag) => match text.as_str() {
            "1" | "on" | "true" | "yes" | "enabled" => Value::Boolean(true),
            "0" | "off" | "false" | "no" | "disabled" => Value::Boolean(false),
            _ => Value::Text(text),
        },
        // "25MB" stays text.
        Some(Shape::Number) => match text.parse() {
            Ok(number) => Value::Integer(number),
            Err(_) => Value::Text(text),
        },
        Some(Shape::List) => {
            let words = text.split_ascii_whitespace().map(|item| Node {
                at: word.at,
                value: Value::Text(item.to_owned()),
            });
            Value::Array(words.collect())
        }
        Some(Shape::Text) | None => Value::Text(text),
    }
}

/// What is left to be read.
struct Words<'t> {
    text: &'t str,
    at: usize,
}

impl Words<'_> {
    fn peek(&self) -> Option<char> {
        self.text.get(self.at..)?.chars().next()
    }

    fn next(&mut self) -> Option<char> {
        let next = self.peek()?;
        self.at += next.len_utf8();
        Some(next)
    }

    /// The words of the next line, none of an empty one; `None` at the end.
    fn line(&mut self, faults: &mut Faults) -> Option<Vec<Word>> {
        self.peek()?;
        let mut words = Vec::new();
        loop {
            match self.peek() {
                None => return Some(words),
                Some('\n') => {
                    self.next();
                    return Some(words);
                }
                Some('#') => {
                    while !matches!(self.peek(), None | Some('\n')) {
                        self.next();
                    }
                }
                Some(c) if c.is_whitespace() => {
                    self.next();
                }
                Some(_) => words.push(self.word(faults)),
            }
        }
    }

    /// Pieces with and without quotes, with nothing between them.
    fn word(&mut self, faults: &mut Faults) -> Word {
        let at = self.at;
        let mut text = String::new();
        while let Some(c) = self.peek().filter(|c| !c.is_whitespace()) {
            let begin = self.at;
            self.next();
            match c {
                '\'' | '"' => self.quoted(c, begin, &mut text, faults),
                '\\' => text.extend(self.next()),
                c => text.push(c),
            }
        }
        Word { at, text }
    }

    fn quoted(&mut self, quote: char, begin: usize, text: &mut String, faults: &mut Faults) {
        while let Some(c) = self.next() {
            match c {
                c if c == quote => return,
                '\\' if quote == '"' => text.extend(self.next()),
                c => text.push(c),
            }
        }
        faults.add(begin, format!("this {quote} has no second one"));
    }
}

#[cfg(test)]
mod tests {
    use super::super::model::{Address, Protocol};
    use super::super::tests::settings;
    use super::super::{Config, ParseSettings, Syntax, Unfit, parse, show};

    fn uci(text: &str) -> Result<Config, Vec<String>> {
        let settings = ParseSettings {
            syntax: Syntax::Uci,
            ..settings()
        };
        parse(text, settings).map_err(|faults| faults.iter().map(ToString::to_string).collect())
    }

    const GOOD: &str = r#"
package dovelet
# A comment.
config dovelet 'main'
	option enabled '1'
	option data_dir '/mnt/sda1/dovelet'   # another
	option hostname mail.example.org
	option board "openwrt-128"

config listener
	option protocol 'imap'
	option address '[::]:143'
	option proxy_protocol '1'

config listener 'lmtp'
	option protocol 'lmtp'
	option address 'unix:/var/run/it'\''s here'

config tls_name
	option name 'imap.example.org'
	option certificate '/etc/a.pem'
	option key '/etc/a.key'

config tls
	option certificate '/etc/b.pem'
	option key '/etc/b.key'

config limits
	option max_connections '77'
	option message_octets '25MB'
	option literal_octets '4096'
	option login_timeout '90s'
	list trusted_networks '192.168.0.0/16'
	list trusted_networks '2001:db8::1'

config postfix
	option domains 'a.test b.test'
"#;

    #[test]
    fn it_is_the_configuration_that_toml_would_be() {
        let config = uci(GOOD).unwrap();
        let toml = r#"
            data_dir = "/mnt/sda1/dovelet"
            hostname = "mail.example.org"
            board = "openwrt-128"
            [[listener]]
            protocol = "imap"
            address = "[::]:143"
            proxy_protocol = true
            [[listener]]
            protocol = "lmtp"
            address = "unix:/var/run/it's here"
            [tls]
            certificate = "/etc/b.pem"
            key = "/etc/b.key"
            [[tls.name]]
            name = "imap.example.org"
            certificate = "/etc/a.pem"
            key = "/etc/a.key"
            [storage]
            unfit_file_system = "refuse"
            [limits]
            max_connections = 77
            message_octets = "25MB"
            literal_octets = 4096
            login_timeout = "90s"
            trusted_networks = ["192.168.0.0/16", "2001:db8::1"]
            [postfix]
            domains = ["a.test", "b.test"]
        "#;
        let expected = parse(toml, settings()).unwrap();
        assert_eq!(show(&config), show(&expected));
        assert_eq!(config, expected);
        let lmtp = config.listeners.get(1).unwrap();
        assert_eq!(lmtp.protocol, Protocol::Lmtp);
        assert_eq!(lmtp.address, Address::Unix("/var/run/it's here".into()));
    }

    #[test]
    fn what_packages_bring_is_a_configuration() {
        let config = uci(include_str!("../../board/openwrt/dovelet.config")).unwrap();
        assert_eq!(config.listeners.len(), 4);
        for (text, count) in [
            (include_str!("../../board/systemd/dovelet.toml"), 5),
            (include_str!("../../board/oci/dovelet.toml"), 5),
            (include_str!("../../board/synology/dovelet.toml"), 4),
        ] {
            assert_eq!(parse(text, settings()).unwrap().listeners.len(), count);
        }
    }

    #[test]
    fn mail_in_flash_memory_is_refused_unless_told_otherwise() {
        assert_eq!(uci("").unwrap().storage.unfit, Unfit::Refuse);
        let text = "config storage\noption unfit_file_system warn\n";
        assert_eq!(uci(text).unwrap().storage.unfit, Unfit::Warn);
        assert_eq!(parse("", settings()).unwrap().storage.unfit, Unfit::Warn);
    }

    #[test]
    fn every_fault_has_its_place() {
        for (text, expected) in [
            ("config", "1:1: write config TYPE"),
            ("option a b", "1:8: write config TYPE before it"),
            (
                "config dovelet\n\toption a",
                "2:2: write option NAME 'VALUE'",
            ),
            (
                "config dovelet\nfoo bar",
                "2:1: \"foo\" begins no line; write config, option or list",
            ),
            (
                "config listner\n\toption x y",
                "1:8: there is no section \"listner\"; did you mean `listener`?",
            ),
            (
                "config dovelet\n\toption board 'openwrt 64'",
                "2:15: `board` cannot be \"openwrt 64\"; did you mean \"openwrt-64\"?",
            ),
            (
                "config dovelet\n\toption bord 'x'",
                "2:9: \"bord\" is not known at the top of the file; did you mean `board`?",
            ),
            (
                "config dovelet\noption board nas\noption board nas",
                "3:8: `board` is set already on line 2",
            ),
            (
                "config tls\nconfig dovelet\nconfig tls",
                "3:8: there is such a section already on line 1",
            ),
            (
                "config limits\noption max_connections many",
                "2:24: `max_connections` must be a whole number without quotes, not \"many\"",
            ),
            (
                "config dovelet\n\toption hostname a b",
                "2:20: the line ends too late: put text with spaces into quotes",
            ),
            (
                "config dovelet\n\toption hostname 'a",
                "2:18: this ' has no second one",
            ),
        ] {
            let faults = uci(text).expect_err(text);
            assert_eq!(faults.first().map(String::as_str), Some(expected), "{text}");
        }
    }

    #[test]
    fn no_text_is_too_strange() {
        let words = [
            "config", "option", "list", "tls", "name", "'", "\"", "\\", "\n", " ", "#", "ä",
            "tls_name",
        ];
        let mut seed = 1_u64;
        for _ in 0..20_000 {
            let mut text = String::new();
            for _ in 0..12 {
                seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                let at = (seed >> 33) as usize % words.len();
                text.push_str(words[at]);
                if seed >> 62 == 0 {
                    text.push(' ');
                }
            }
            let _ = uci(&text);
        }
    }
}
