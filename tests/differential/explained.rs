//! Differences that are right, each with the sentence that says so.

use crate::pattern::matches;
use std::fs;
use std::path::Path;

const LIST: &str = "tests/differential/differences.tsv";

/// A line of the list: what the command looks like, what only this server and only Dovecot may say to
/// it. `<>` stands for anything.
struct Line {
    command: String,
    ours: String,
    theirs: String,
}

/// The list, and what it does not explain.
pub(crate) struct Explained {
    lines: Vec<Line>,
    faults: Vec<String>,
}

impl Explained {
    pub(crate) fn read() -> Explained {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(LIST);
        let text = fs::read_to_string(path).unwrap();
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        let lines = lines.map(|line| {
            let fields: Vec<&str> = line.split('\t').collect();
            let [command, ours, theirs, reason] = fields.as_slice() else {
                panic!("{LIST}: not four fields: {line}");
            };
            assert!(reason.contains("RFC "), "{LIST}: no reason: {line}");
            let [command, ours, theirs] = [command, ours, theirs].map(|field| (*field).to_owned());
            Line {
                command,
                ours,
                theirs,
            }
        });
        Explained {
            lines: lines.collect(),
            faults: Vec::new(),
        }
    }

    /// Whether a difference is explained; remembers it if not.
    pub(crate) fn compare(
        &mut self,
        step: u64,
        command: &str,
        ours: Vec<String>,
        theirs: Vec<String>,
    ) -> bool {
        let right = |fact: &String, of: fn(&Line) -> &String| {
            let line = |line: &Line| {
                matches(&line.command, command) && !of(line).is_empty() && matches(of(line), fact)
            };
            self.lines.iter().any(line)
        };
        let left = |facts: Vec<String>, of: fn(&Line) -> &String| -> Vec<String> {
            facts.into_iter().filter(|fact| !right(fact, of)).collect()
        };
        let ours = left(ours, |line| &line.ours);
        let theirs = left(theirs, |line| &line.theirs);
        let explained = ours.is_empty() && theirs.is_empty();
        if !explained {
            let short: String = command.chars().take(300).collect();
            self.faults.push(format!(
                "step {step}: {short:?}\n  only ours:   {ours:?}\n  only theirs: {theirs:?}"
            ));
        }
        explained
    }

    /// Fails if something is not explained.
    pub(crate) fn finish(&self) {
        let shown: Vec<&str> = self.faults.iter().take(60).map(String::as_str).collect();
        assert!(
            self.faults.is_empty(),
            "{} differences that {LIST} does not explain:\n{}",
            self.faults.len(),
            shown.join("\n")
        );
    }
}
