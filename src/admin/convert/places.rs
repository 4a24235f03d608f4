//! Where the trees of a user are, and which of them counts.

use crate::admin::console::Exit;
use crate::admin::visit::End;
use crate::config::Format;
use crate::store;
use std::collections::HashSet;
use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// The trees of one user.
#[derive(Clone, Debug)]
pub(super) struct Places {
    pub(super) root: PathBuf,
    /// The one that is made.
    pub(super) new: PathBuf,
    /// The old one once it does not count any more.
    pub(super) old: PathBuf,
}

/// How far a conversion is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// There is no mail.
    Nothing,
    ToConvert,
    /// The mail has the new format.
    Converted,
}

impl Places {
    pub(super) fn of(root: &Path, from: Format, to: Format) -> Places {
        // No user's own directory is called like this: names of users do not begin with a dot there.
        let beside = |what: &str, format: Format| {
            let mut name = OsString::from(".");
            name.push(root.file_name().unwrap_or_default());
            name.push(format!(".{what}-{}", format.as_str()));
            root.with_file_name(name)
        };
        Places {
            root: root.to_owned(),
            new: beside("to", to),
            old: beside("was", from),
        }
    }

    /// Ends what was begun of the exchange, and looks what there is. Errors: it is neither of the two formats.
    pub(super) fn look(&self, from: Format, to: Format) -> Result<Found, End> {
        if !self.root.exists() && self.old.exists() && self.new.exists() {
            self.rename(&self.new, &self.root)?;
        }
        if !self.root.is_dir() {
            return Ok(Found::Nothing);
        }
        let shown = self.root.display();
        let format = store::format_of(&self.root);
        if self.old.exists() && self.is_done(to, format) {
            return Ok(Found::Converted);
        }
        if self.old.exists() && format == Some(from) {
            let what = format!(
                "{} is there from a conversion before: remove it first",
                self.old.display()
            );
            return Err(End::new(Exit::Failure, what));
        }
        match format {
            Some(format) if format == from => Ok(Found::ToConvert),
            Some(format) if format == to => Ok(Found::Converted),
            // Without messages it looks like one.
            Some(Format::Sdbox) if from == Format::Mdbox => Ok(Found::ToConvert),
            Some(format) => {
                let format = format.as_str();
                let what = format!("{shown} is {format}, neither of the two");
                Err(End::new(Exit::Failure, what))
            }
            None if is_empty(&self.root) => Ok(Found::Nothing),
            // An INBOX without messages tells nothing.
            None if from == Format::Mbox => Ok(Found::ToConvert),
            None => {
                let what = format!("{shown} is no {}", from.as_str());
                Err(End::new(Exit::Failure, what))
            }
        }
    }

    /// Whether what took the place of the old tree is of the new format; `format`: what it shows.
    fn is_done(&self, to: Format, format: Option<Format>) -> bool {
        match (to, format) {
            // Without messages both kinds of dbox look alike, and an mbox like nothing.
            (Format::Mdbox, Some(Format::Sdbox)) => !store::has_single_files(&self.root),
            (Format::Mbox, None) => true,
            (to, format) => format == Some(to),
        }
    }

    /// The new tree takes the place of the old one. Durable.
    pub(super) fn exchange(&self) -> Result<(), End> {
        self.rename(&self.root, &self.old)?;
        self.rename(&self.new, &self.root)
    }

    /// As `exchange`, back.
    pub(super) fn take_back(&self) -> Result<(), End> {
        self.rename(&self.root, &self.new)?;
        self.rename(&self.old, &self.root)
    }

    fn rename(&self, from: &Path, to: &Path) -> Result<(), End> {
        let renamed = fs::rename(from, to).and_then(|()| {
            let above = to.parent().unwrap_or(Path::new("/"));
            fs::File::open(above)?.sync_all()
        });
        renamed.map_err(|error| {
            let what = format!("renaming {} to {}: {error}", from.display(), to.display());
            End::new(Exit::Failure, what)
        })
    }

    /// Fails unless the file system has room for so many octets more than the new tree has already.
    pub(super) fn admit(&self, octets: u64) -> Result<(), End> {
        let above = self.root.parent().unwrap_or(Path::new("/"));
        let has = tree_octets(&self.new, &mut HashSet::new()).unwrap_or(0);
        let needed = octets.saturating_sub(has);
        let stat = rustix::fs::statvfs(above).map_err(|error| {
            let what = format!("{}: {error}", above.display());
            End::new(Exit::Failure, what)
        })?;
        let free = stat.f_bavail.saturating_mul(stat.f_frsize);
        match needed <= free {
            true => Ok(()),
            false => {
                let what = format!(
                    "{} MB are needed beside {} and {} are free",
                    needed.div_ceil(1 << 20),
                    self.root.display(),
                    free >> 20
                );
                Err(End::new(Exit::TryAgain, what))
            }
        }
    }
}

fn is_empty(path: &Path) -> bool {
    fs::read_dir(path).is_ok_and(|mut entries| entries.next().is_none())
}

/// Octets that the files of a tree take, each once.
fn tree_octets(path: &Path, seen: &mut HashSet<(u64, u64)>) -> io::Result<u64> {
    let mut octets = 0u64;
    for entry in fs::read_dir(path)? {
        let entry = entry?;
        let metadata = entry.metadata()?;
        if metadata.is_dir() {
            octets = octets.saturating_add(tree_octets(&entry.path(), seen)?);
        } else if seen.insert((metadata.dev(), metadata.ino())) {
            octets = octets.saturating_add(metadata.blocks().saturating_mul(512));
        }
    }
    Ok(octets)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_state_of_an_exchange_is_known() {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path().join("ann");
        let (from, to) = (Format::Maildir, Format::Mdbox);
        let places = Places::of(&root, from, to);
        let look = || places.look(from, to).unwrap();
        assert_eq!(look(), Found::Nothing);
        fs::create_dir(&root).unwrap();
        assert_eq!(look(), Found::Nothing);
        fs::create_dir(root.join("cur")).unwrap();
        assert_eq!(look(), Found::ToConvert);
        fs::create_dir_all(places.new.join("mailboxes")).unwrap();
        assert_eq!(look(), Found::ToConvert);
        places.exchange().unwrap();
        assert_eq!(look(), Found::Converted);
        places.take_back().unwrap();
        assert_eq!(look(), Found::ToConvert);
        // The second of the two was not done.
        fs::rename(&root, &places.old).unwrap();
        assert_eq!(look(), Found::Converted);
        assert!(root.join("mailboxes").is_dir() && places.old.join("cur").is_dir());
        // Once it was converted back, what was there before is in the way.
        fs::remove_dir_all(&root).unwrap();
        fs::create_dir_all(root.join("cur")).unwrap();
        let end = places.look(from, to).unwrap_err();
        assert!(end.text.ends_with("remove it first"), "{end:?}");
        fs::remove_dir(root.join("cur")).unwrap();
        fs::create_dir(root.join("mailboxes")).unwrap();
        // So it is of two kinds of dbox, and of a third format nothing was converted.
        let places = Places::of(&root, Format::Sdbox, Format::Mdbox);
        fs::create_dir(&places.old).unwrap();
        assert_eq!(
            places.look(Format::Sdbox, Format::Mdbox).unwrap(),
            Found::Converted
        );
        fs::write(root.join("mailboxes/u.1"), "").unwrap();
        for (from, to, expected) in [
            (Format::Sdbox, Format::Mdbox, "remove it first"),
            (Format::Maildir, Format::Mdbox, "neither of the two"),
            (Format::Mbox, Format::Mdbox, "neither of the two"),
        ] {
            let places = Places::of(&root, from, to);
            let _ = fs::create_dir(&places.old);
            let end = places.look(from, to).unwrap_err();
            assert!(end.text.ends_with(expected), "{from:?} {to:?} {end:?}");
        }
        fs::remove_file(root.join("mailboxes/u.1")).unwrap();
        let places = Places::of(&root, Format::Maildir, Format::Mdbox);
        // Removed once all was well; mail of another format is left alone.
        fs::remove_dir_all(&places.old).unwrap();
        let other = places.look(Format::Maildir, Format::Mbox).unwrap_err();
        assert!(
            other.text.ends_with("is sdbox, neither of the two"),
            "{other:?}"
        );
    }

    #[test]
    fn room_is_counted() {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path().join("ann");
        let places = Places::of(&root, Format::Maildir, Format::Mdbox);
        places.admit(1 << 20).unwrap();
        let end = places.admit(u64::MAX / 2).unwrap_err();
        assert_eq!(end.exit, Exit::TryAgain);
        fs::create_dir(&places.new).unwrap();
        fs::write(places.new.join("a"), [1; 100_000]).unwrap();
        fs::hard_link(places.new.join("a"), places.new.join("b")).unwrap();
        let octets = tree_octets(&places.new, &mut HashSet::new()).unwrap();
        assert!((100_000..200_000).contains(&octets), "{octets}");
    }
}
