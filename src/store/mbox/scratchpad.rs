//! Files without names, for what does not fit in memory.

use crate::store::Error;
use crate::store::side::{disk, unique};
use std::fs::{File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// Makes them in a directory, from which is swept what a process left that was killed in between.
#[derive(Clone, Debug)]
pub(super) struct Scratchpad {
    directory: PathBuf,
    host: String,
}

impl Scratchpad {
    pub(super) fn new(directory: &Path) -> Scratchpad {
        Scratchpad {
            directory: directory.to_owned(),
            host: unique::host(),
        }
    }

    pub(super) fn file(&self) -> Result<File, Error> {
        let name = format!(".temp.{}", unique::unique(&self.host));
        let path = self.directory.join(name);
        let mut options = OpenOptions::new();
        options.read(true).write(true).create_new(true).mode(0o600);
        let file = disk::create(&path, &options)?;
        disk::remove(&path)?;
        Ok(file)
    }
}
