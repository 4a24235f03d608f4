//! The last commands of a session, held without heap.

use std::fmt;

/// Enough to see what a client was at when its session ended badly.
const MAX_COMMANDS: usize = 4;

/// Names of the last commands, the newest at the end; `?` for one that was not understood.
#[derive(Default)]
pub(super) struct Recent(heapless::Deque<&'static str, MAX_COMMANDS>);

impl Recent {
    /// Notes a command; the oldest one is forgotten.
    pub(super) fn note(&mut self, name: &'static str) {
        if self.0.is_full() {
            self.0.pop_front();
        }
        self.0.push_back(name).ok();
    }

    /// The last command; empty before the first.
    pub(super) fn last(&self) -> &'static str {
        self.0.back().copied().unwrap_or_default()
    }
}

impl fmt::Display for Recent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("no command");
        }
        for (number, name) in self.0.iter().enumerate() {
            let gap = if number > 0 { ", " } else { "" };
            write!(f, "{gap}{name}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_is_forgotten() {
        let mut recent = Recent::default();
        assert_eq!(
            (recent.last(), recent.to_string().as_str()),
            ("", "no command")
        );
        for name in ["SELECT", "FETCH", "STORE", "NOOP", "IDLE"] {
            recent.note(name);
        }
        assert_eq!(recent.last(), "IDLE");
        assert_eq!(recent.to_string(), "FETCH, STORE, NOOP, IDLE");
    }
}
