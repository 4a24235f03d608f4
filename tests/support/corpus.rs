//! The corpus of mails and another server's recorded answers about them, for tests inside the crate.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The corpus, unpacked into a directory that goes away with this value.
pub(crate) struct Corpus {
    directory: tempfile::TempDir,
}

/// What was recorded of one message.
#[derive(miniserde::Deserialize)]
pub(crate) struct Recorded {
    pub(crate) uid: u32,
    pub(crate) path: String,
    /// The answer to FETCH, octets as Latin-1.
    pub(crate) fetch: String,
}

/// Command, its tagged status and its untagged answers.
pub(crate) type Queries = BTreeMap<String, (String, Vec<String>)>;

/// Where the archives are: the directory that DOVELET_CORPUS names, else beside the source.
fn archives() -> Option<PathBuf> {
    let beside = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/corpus");
    let directory = std::env::var_os("DOVELET_CORPUS").map_or_else(beside, PathBuf::from);
    directory.join("README.md").exists().then_some(directory)
}

impl Corpus {
    /// `None`, after saying so, where there is no corpus.
    pub(crate) fn unpack() -> Option<Corpus> {
        let Some(archives) = archives() else {
            println!("skipped: no corpus");
            return None;
        };
        let directory = tempfile::tempdir().unwrap();
        for entry in fs::read_dir(archives).unwrap() {
            let path = entry.unwrap().path();
            if path.to_string_lossy().ends_with(".tar.gz") {
                let mut tar = Command::new("tar");
                tar.arg("-xzf").arg(&path).arg("-C").arg(directory.path());
                assert!(tar.status().unwrap().success(), "{}", path.display());
            }
        }
        Some(Corpus { directory })
    }

    fn named(&self, ending: &str) -> BTreeSet<String> {
        fs::read_dir(self.directory.path())
            .unwrap()
            .filter_map(|e| e.unwrap().file_name().into_string().ok())
            .filter_map(|n| n.strip_suffix(ending).map(str::to_owned))
            .collect()
    }

    /// Groups of messages, by name.
    pub(crate) fn groups(&self) -> BTreeSet<String> {
        self.named(".fetch.jsonl")
    }

    /// Groups that were searched.
    pub(crate) fn searched(&self) -> BTreeSet<String> {
        self.named(".queries.json")
    }

    fn text(&self, name: &str) -> String {
        fs::read_to_string(self.directory.path().join(name)).unwrap()
    }

    /// The messages of a group in the order of their UIDs.
    pub(crate) fn recorded(&self, group: &str) -> Vec<Recorded> {
        self.text(&format!("{group}.fetch.jsonl"))
            .lines()
            .map(|line| miniserde::json::from_str(line).unwrap())
            .collect()
    }

    pub(crate) fn queries(&self, group: &str) -> Queries {
        miniserde::json::from_str(&self.text(&format!("{group}.queries.json"))).unwrap()
    }

    /// The message as its source has it.
    pub(crate) fn message(&self, path: &str) -> Vec<u8> {
        fs::read(self.directory.path().join(path)).unwrap()
    }
}

/// Differences from the recorded answers: what they are about, and what differs.
pub(crate) type Differences = BTreeMap<String, String>;

/// Compares with the lines of `list` (`about`, a tab-separated key, and at the end why ours is
/// right): fails on a difference without a line, and on a line without a difference.
pub(crate) fn assert_justified(found: &Differences, list: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(list);
    let text = fs::read_to_string(&path).unwrap();
    let mut justified = BTreeSet::new();
    for line in text.lines().filter(|l| !l.starts_with('#')) {
        let (about, reason) = line.rsplit_once('\t').unwrap();
        assert!(reason.contains("RFC "), "{list}: no reason: {line}");
        assert!(justified.insert(about), "{list}: twice: {line}");
    }
    let mut faults: Vec<String> = found
        .iter()
        .filter(|(about, _)| !justified.contains(about.as_str()))
        .map(|(about, what)| format!("{about}\n{what}"))
        .collect();
    for about in justified
        .iter()
        .filter(|about| !found.contains_key(**about))
    {
        faults.push(format!("{about}\n  {list} says so, but nothing differs"));
    }
    assert!(
        faults.is_empty(),
        "{} differences, not as {list} has them:\n{}",
        faults.len(),
        faults.join("\n")
    );
}
