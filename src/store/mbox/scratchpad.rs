//! Where files without names are made for what does not fit in memory.

use crate::store::Error;
use crate::store::side::{scratch, unique};
use std::fs::File;
use std::path::{Path, PathBuf};

/// Makes them in one directory.
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
        scratch::file_in(&self.directory, &self.host)
    }
}
