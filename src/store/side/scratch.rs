//! Files without names, for what does not fit in memory.

use super::{disk, unique};
use crate::store::Error;
use std::fs::{File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// Makes one in a directory, from which is swept what a process left that was killed in between. `host`: as
/// [`unique::host`] has it.
pub(in crate::store) fn file_in(directory: &Path, host: &str) -> Result<File, Error> {
    let path = directory.join(format!(".temp.{}", unique::unique(host)));
    let mut options = OpenOptions::new();
    options.read(true).write(true).create_new(true).mode(0o600);
    let file = disk::create(&path, &options)?;
    disk::remove(&path)?;
    Ok(file)
}
