//! What is wrong in a settings file, and where.

use std::fmt;

/// One thing that is wrong, with what would be right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    /// From 1.
    pub(crate) line: usize,
    /// From 1, in characters.
    pub(crate) column: usize,
    pub(crate) message: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.line, self.column, self.message)
    }
}

/// Faults as they are found, by their place in the text.
pub(super) struct Faults {
    found: Vec<(usize, String)>,
    /// Where each line begins.
    lines: Vec<usize>,
}

impl Faults {
    pub(super) fn new(text: &str) -> Faults {
        let ends = text.match_indices('\n').map(|(at, _)| at + 1);
        Faults {
            found: Vec::new(),
            lines: std::iter::once(0).chain(ends).collect(),
        }
    }

    /// Notes a fault at the byte `at`.
    pub(super) fn add(&mut self, at: usize, message: impl Into<String>) {
        self.found.push((at, message.into()));
    }

    pub(super) fn is_empty(&self) -> bool {
        self.found.is_empty()
    }

    /// The number of the line that holds the byte `at`, from 1.
    pub(super) fn line(&self, at: usize) -> usize {
        self.lines.partition_point(|start| *start <= at).max(1)
    }

    /// All faults in the order of the text, each once.
    pub(super) fn located(mut self, text: &str) -> Vec<Fault> {
        let mut found = std::mem::take(&mut self.found);
        crate::mail::sort(&mut found);
        found.dedup();
        let located = |(at, message)| {
            let line = self.line(at);
            let start = self.lines.get(line - 1).copied().unwrap_or(0);
            let before = text.get(start..at).unwrap_or_default();
            Fault {
                line,
                column: before.chars().count() + 1,
                message,
            }
        };
        found.into_iter().map(located).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_lines_and_characters() {
        let text = "one\nzwölf x\n\nend";
        let mut faults = Faults::new(text);
        for word in ["end", "one", "x", "one"] {
            faults.add(text.find(word).unwrap(), word);
        }
        faults.add(text.len(), "after");
        let shown: Vec<String> = faults
            .located(text)
            .iter()
            .map(ToString::to_string)
            .collect();
        assert_eq!(shown, ["1:1: one", "2:7: x", "4:1: end", "4:4: after"]);
    }
}
