//! A message file of sdbox before it has its name.

use crate::store::Error;
use crate::store::side::{disk, unique};
use rustix::io::Errno;
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;

/// What the names of such files begin with.
pub(super) const PREFIX: &str = ".temp.";

/// A file with one message in it, which goes with the value unless it got its name.
pub(super) struct Staged {
    directory: Arc<OwnedFd>,
    name: String,
    named: bool,
}

fn failed(error: Errno) -> Error {
    match error {
        Errno::NOENT => Error::NoSuchMailbox,
        error => io::Error::from(error).into(),
    }
}

impl Staged {
    fn new(directory: &Arc<OwnedFd>, host: &str) -> Staged {
        Staged {
            directory: directory.clone(),
            name: format!("{PREFIX}{}", unique::unique(host)),
            named: false,
        }
    }

    /// A new file in that directory.
    pub(super) fn create(directory: &Arc<OwnedFd>, host: &str) -> Result<(Staged, File), Error> {
        let staged = Staged::new(directory, host);
        let file = disk::create_in(directory, &staged.name).map_err(failed)?;
        Ok((staged, file))
    }

    /// A link in that directory to a file that is there already.
    pub(super) fn link(
        (from, name): (&OwnedFd, &str),
        directory: &Arc<OwnedFd>,
        host: &str,
    ) -> Result<Staged, Errno> {
        let staged = Staged::new(directory, host);
        disk::link(from, name, directory, &staged.name).map(|()| staged)
    }

    /// Where a link to it can be made.
    pub(super) fn place(&self) -> (&OwnedFd, &str) {
        (&self.directory, &self.name)
    }

    /// True if it can get its name in that directory.
    pub(super) fn may_be_named(&self, directory: &OwnedFd) -> bool {
        let device = |fd: &OwnedFd| rustix::fs::fstat(fd).map(|stat| stat.st_dev);
        !self.named && device(&self.directory).is_ok_and(|own| device(directory) == Ok(own))
    }

    /// Gives it its name, in a directory of the same file system; durable once that is synced.
    pub(super) fn name(&mut self, directory: &Arc<OwnedFd>, name: &str) -> Result<(), Error> {
        disk::rename(&self.directory, &self.name, directory, name).map_err(failed)?;
        self.directory = directory.clone();
        self.name = name.to_owned();
        self.named = true;
        Ok(())
    }
}

impl Drop for Staged {
    fn drop(&mut self) {
        if !self.named {
            let _ = disk::unlink(&self.directory, &self.name);
        }
    }
}
