//! When app passwords were used, as the parent notes it: seldom, and never in anybody's way.

use super::users_file::edit_now;
use crate::auth;
use crate::mail::{Date, DateTime};
use crate::sys::clock;
use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// How long uses wait for others, to be written with them.
const PATIENCE: Duration = Duration::from_secs(60);
/// Uses that wait at once; more are not noted that day.
const MAX_WAITING: usize = 10_000;

/// The file of app passwords in this directory.
pub(crate) fn app_passwords(data_dir: &Path) -> PathBuf {
    data_dir.join("app-passwords")
}

/// Uses that are still to be written, by user and id, and when.
#[derive(Debug, Default)]
pub(super) struct Uses {
    waiting: BTreeMap<(String, String), Date>,
    due: Option<Instant>,
}

impl Uses {
    /// One of today.
    pub(super) fn add(&mut self, user: String, id: String, now: Instant) {
        if self.waiting.len() < MAX_WAITING {
            let today = DateTime::utc(clock::now_seconds()).date();
            self.waiting.insert((user, id), today);
            self.due.get_or_insert(now + PATIENCE);
        }
    }

    /// How long until some are to be written, if there are any.
    pub(super) fn wait(&self, now: Instant) -> Option<Duration> {
        Some(self.due?.saturating_duration_since(now))
    }

    /// Writes them; those of a file that others change now wait again, and what cannot be written is not noted.
    pub(super) fn write(&mut self, path: &Path, now: Instant) {
        if self.waiting.is_empty() {
            return;
        }
        let noted = edit_now(path, |text| {
            auth::used(text, |user, id| {
                self.waiting.get(&(user.to_owned(), id.to_owned()))
            })
        });
        self.due = None;
        match noted {
            Err(error) if error.kind() == ErrorKind::WouldBlock => self.due = Some(now + PATIENCE),
            Err(error) => {
                let path = path.display();
                log::warn!("{path}: when app passwords were used is not noted: {error}");
                self.waiting.clear();
            }
            Ok(_) => self.waiting.clear(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::AppPasswords;
    use crate::sys::exclusive::lock_now;

    const LINE: &str =
        "ann:abcd:{SSHA256}AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA==:imap:2026-11-26:-:-:\n";

    #[test]
    fn they_wait_for_each_other_and_for_whoever_changes_the_file() {
        let directory = tempfile::tempdir().unwrap();
        let path = app_passwords(directory.path());
        std::fs::write(&path, LINE).unwrap();
        let used = || {
            let (all, bad) = AppPasswords::parse(&std::fs::read(&path).unwrap());
            assert!(bad.is_empty());
            all.of("ann").first().unwrap().used
        };
        let (mut uses, now) = (Uses::default(), Instant::now());
        assert_eq!(uses.wait(now), None);
        uses.write(&path, now);
        uses.add("ann".into(), "abcd".into(), now);
        uses.add("eve".into(), "abcd".into(), now + PATIENCE / 2);
        assert_eq!(uses.wait(now), Some(PATIENCE));
        let held = lock_now(&path).unwrap();
        uses.write(&path, now + PATIENCE);
        assert_eq!((uses.wait(now + PATIENCE), used()), (Some(PATIENCE), None));
        drop(held);
        uses.write(&path, now + PATIENCE * 2);
        let today = DateTime::utc(clock::now_seconds()).date();
        assert_eq!((uses.wait(now), used()), (None, Some(today)));
        // Gone is gone.
        std::fs::remove_file(&path).unwrap();
        uses.add("ann".into(), "abcd".into(), now);
        uses.write(&path, now);
        assert_eq!(uses.wait(now), None);
        assert!(!path.exists());
    }

    #[test]
    fn they_are_bounded() {
        let (mut uses, now) = (Uses::default(), Instant::now());
        (0..=MAX_WAITING).for_each(|n| uses.add(n.to_string(), String::new(), now));
        assert_eq!(uses.waiting.len(), MAX_WAITING);
    }
}
