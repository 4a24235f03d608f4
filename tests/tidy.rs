//! Guards the architecture: which room may use which, where `unsafe`, `async`, files and clocks
//! may stand, that no file is forgotten and that every RFC section named exists.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// Rooms in the order of their ranks; a room uses rooms of lower rank only.
const RANKS: [&[&str]; 10] = [
    &["sys", "codec"],
    &["mail"],
    &["mime", "config"],
    &["wire", "store", "index", "sieve", "auth"],
    &["fts"],
    &["mailbox"],
    &["deliver"],
    &["protocol"],
    &["server"],
    &["admin"],
];

struct Source {
    path: PathBuf,
    room: String,
    /// Code without comments and without what follows the first `#[cfg(test)]` module.
    code: Vec<(usize, String)>,
    text: String,
}

fn rank(room: &str) -> Option<usize> {
    RANKS.iter().position(|rooms| rooms.contains(&room))
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn rust_files(directory: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            rust_files(&path, found);
        } else if path.extension().is_some_and(|e| e == "rs") {
            found.push(path);
        }
    }
}

fn is_test_file(path: &Path) -> bool {
    path.file_stem()
        .and_then(|s| s.to_str())
        .is_some_and(|s| s == "tests" || s.ends_with("_tests"))
        || path.components().any(|c| c.as_os_str() == "tests")
}

/// Lines of code before the test module, with `//` comments and the insides of simple string
/// literals taken out, so that prose cannot trip a check.
fn code_lines(text: &str) -> Vec<(usize, String)> {
    let mut lines = Vec::new();
    for (number, line) in text.lines().enumerate() {
        if line.trim_start().starts_with("#[cfg(test)]") {
            // A test-only item; from here on a file has tests.
            if text
                .lines()
                .nth(number + 1)
                .is_some_and(|l| l.trim_start().starts_with("mod tests"))
            {
                break;
            }
        }
        let mut kept = String::new();
        let mut quoted = false;
        let mut before = ' ';
        for c in line.chars() {
            if c == '"' && before != '\\' && before != '\'' {
                quoted = !quoted;
            } else if !quoted {
                if c == '/' && before == '/' {
                    kept.pop();
                    break;
                }
                kept.push(c);
            }
            before = if before == '\\' { ' ' } else { c };
        }
        lines.push((number + 1, kept));
    }
    lines
}

fn sources() -> Vec<Source> {
    let base = root().join("src");
    let mut paths = Vec::new();
    rust_files(&base, &mut paths);
    paths.sort();
    let source = |path: PathBuf| {
        let relative = path.strip_prefix(&base).unwrap();
        let first = relative
            .components()
            .next()
            .unwrap()
            .as_os_str()
            .to_str()
            .unwrap();
        let room = if relative.components().count() > 1 {
            first.to_owned()
        } else {
            String::new()
        };
        let text = fs::read_to_string(&path).unwrap();
        Source {
            code: code_lines(&text),
            room,
            text,
            path,
        }
    };
    paths.into_iter().map(source).collect()
}

/// The word that starts at `text`, of letters, digits and underscores.
fn word(text: &str) -> &str {
    let end = text
        .find(|c: char| !c.is_alphanumeric() && c != '_')
        .unwrap_or(text.len());
    &text[..end]
}

fn has_word(line: &str, wanted: &str) -> bool {
    line.match_indices(wanted).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        let alone = |c: Option<char>| !c.is_some_and(|c| c.is_alphanumeric() || c == '_');
        alone(before) && alone(line[at + wanted.len()..].chars().next())
    })
}

fn assert_none(faults: &[String], rule: &str) {
    assert!(faults.is_empty(), "{rule}:\n{}", faults.join("\n"));
}

#[test]
fn rooms_use_lower_ranks_only() {
    let mut faults = Vec::new();
    for source in sources().iter().filter(|s| !s.room.is_empty()) {
        let own = rank(&source.room).unwrap_or_else(|| panic!("{} is no room", source.room));
        for (number, line) in &source.code {
            if line.contains("use crate::{") {
                faults.push(format!(
                    "{}:{number}: `use crate::{{`",
                    source.path.display()
                ));
            }
            for (at, _) in line.match_indices("crate::") {
                let other = word(&line[at + "crate::".len()..]);
                if other != source.room && rank(other).is_some_and(|r| r >= own) {
                    faults.push(format!(
                        "{}:{number}: {} uses {other}",
                        source.path.display(),
                        source.room
                    ));
                }
            }
        }
    }
    assert_none(&faults, "a room may use rooms of strictly lower rank only");
}

#[test]
fn mailbox_knows_no_grammar_and_no_login() {
    let mut faults = Vec::new();
    for source in sources().iter().filter(|s| s.room == "mailbox") {
        for (number, line) in &source.code {
            if ["crate::wire", "crate::auth", "crate::sieve"]
                .iter()
                .any(|r| line.contains(r))
            {
                faults.push(format!("{}:{number}", source.path.display()));
            }
        }
    }
    assert_none(&faults, "mailbox uses neither wire nor auth nor sieve");
}

#[test]
fn things_stand_in_their_rooms() {
    let files = ["sys", "store", "index", "auth", "server", "admin"];
    let clocks = ["sys", "server", "admin"];
    let rules: [(&str, &[&str]); 7] = [
        ("unsafe", &["sys"]),
        ("async", &["server", "admin"]),
        ("std::fs", &files),
        ("std::net::Tcp", &["server", "admin"]),
        ("SystemTime::now", &clocks),
        ("Instant::now", &clocks),
        ("thread::sleep", &["sys", "server", "admin", "store"]),
    ];
    let mut faults = Vec::new();
    for source in sources().iter().filter(|s| !is_test_file(&s.path)) {
        for (number, line) in &source.code {
            if line.trim_start().starts_with("#[cfg(test)]") || line.contains("unsafe_code") {
                continue;
            }
            for (what, rooms) in rules {
                // `std::fs::File` is a value that may be handed on; opening one is what is bound to a room.
                let line = line
                    .replace("std::fs::File;", "")
                    .replace("std::fs::File,", "");
                if has_word(&line, what) && !rooms.contains(&source.room.as_str()) {
                    faults.push(format!("{}:{number}: {what}", source.path.display()));
                }
            }
        }
    }
    assert_none(&faults, "stands outside its rooms");
}

#[test]
fn every_file_is_named_by_a_mod() {
    let mut faults = Vec::new();
    for source in sources() {
        let stem = source.path.file_stem().unwrap().to_str().unwrap();
        let directory = source.path.parent().unwrap();
        // What Cargo names.
        if ["main", "lib", "build"].contains(&stem) {
            continue;
        }
        let (name, above) = if stem == "mod" {
            (
                directory.file_name().unwrap().to_str().unwrap(),
                directory.parent().unwrap(),
            )
        } else {
            (stem, directory)
        };
        let sibling = above.with_extension("rs");
        let parents = [above.join("mod.rs"), above.join("lib.rs"), sibling];
        let named = |path: &PathBuf| {
            fs::read_to_string(path).is_ok_and(|text| {
                has_word(&text, &format!("mod {name}")) || text.contains(&format!("{name}.rs\""))
            })
        };
        if !parents.iter().any(named) {
            faults.push(source.path.display().to_string());
        }
    }
    assert_none(&faults, "no `mod` names this file");
}

#[test]
fn mod_files_have_no_bodies() {
    let mut faults = Vec::new();
    for source in sources() {
        if source.path.file_name().is_some_and(|n| n == "mod.rs") {
            for (number, line) in &source.code {
                if has_word(line, "fn") || has_word(line, "impl") || has_word(line, "struct") {
                    faults.push(format!("{}:{number}", source.path.display()));
                }
            }
        }
    }
    // The command line's entry is its room's face.
    faults.retain(|f| !f.contains("admin/mod.rs"));
    assert_none(&faults, "mod.rs holds doc, mod and use lines only");
}

/// `RFC 3501 section 6.4.5` in `text` as (3501, "6.4.5").
fn references(text: &str) -> Vec<(u32, String)> {
    let mut found = Vec::new();
    for (at, _) in text.match_indices("RFC ") {
        let rest = &text[at + 4..];
        let number = word(rest);
        let Ok(rfc) = number.parse::<u32>() else {
            continue;
        };
        let Some(rest) = rest[number.len()..].strip_prefix(" section ") else {
            continue;
        };
        let end = rest
            .find(|c: char| !c.is_alphanumeric() && c != '.')
            .unwrap_or(rest.len());
        found.push((rfc, rest[..end].trim_end_matches('.').to_owned()));
    }
    found
}

#[test]
fn rfc_sections_exist() {
    let list = fs::read_to_string(root().join("tests/rfc/sections.txt")).unwrap();
    let mut known: BTreeMap<u32, BTreeSet<&str>> = BTreeMap::new();
    for line in list.lines().filter(|l| !l.starts_with('#')) {
        let mut words = line.split_whitespace();
        let rfc = words.next().unwrap().parse().unwrap();
        known.entry(rfc).or_default().extend(words);
    }
    let mut faults = Vec::new();
    for source in sources() {
        for (rfc, section) in references(&source.text) {
            if !known
                .get(&rfc)
                .is_some_and(|sections| sections.contains(section.as_str()))
            {
                faults.push(format!(
                    "{}: RFC {rfc} section {section}",
                    source.path.display()
                ));
            }
        }
    }
    assert_none(
        &faults,
        "no such section in tests/rfc/sections.txt (tests/rfc/update adds RFCs)",
    );
}

/// Names of the functions of one indented block that begins with `head`.
fn functions<'a>(source: &'a Source, head: &str) -> Vec<&'a str> {
    let lines = source.code.iter().map(|(_, line)| line.as_str());
    let block = lines
        .skip_while(|line| !line.starts_with(head))
        .take_while(|line| *line != "}");
    block
        .filter_map(|line| line.strip_prefix("    fn "))
        .map(word)
        .collect()
}

#[test]
fn the_store_over_all_places_asks_each() {
    // What they do by default asks others of them, or the files of the account.
    const BY_OTHERS: [&str; 8] = [
        "subscribed_in",
        "special_uses",
        "set_special_uses",
        "annotations_file",
        "annotations",
        "annotate",
        "make_readable",
        "wire_octets",
    ];
    let all = sources();
    let of = |path: &str, head: &str| {
        let source = all.iter().find(|source| source.path.ends_with(path));
        functions(source.unwrap(), head)
    };
    let asked = of("store/spread/store.rs", "impl Store for ");
    let names = of("store/face.rs", "pub(crate) trait Store");
    assert!(names.len() > 40 && asked.len() > 40);
    let missing = names
        .iter()
        .filter(|name| !asked.contains(name) && !BY_OTHERS.contains(name))
        .map(|name| (*name).to_owned())
        .collect::<Vec<_>>();
    assert_none(
        &missing,
        "a default of a store is not what the store over all places has to say",
    );
}

#[test]
fn the_checks_can_fail() {
    assert!(has_word("    async fn x()", "async") && !has_word("async_io", "async"));
    assert_eq!(
        code_lines("let a = \"unsafe\"; // async")
            .first()
            .unwrap()
            .1,
        "let a = ; "
    );
    assert_eq!(
        references("see RFC 3501 section 6.4.5."),
        [(3501, "6.4.5".to_owned())]
    );
    assert!(rank("store") < rank("mailbox") && rank("wire") == rank("store"));
}
