//! Dot locks, as every program that writes Dovecot's side files takes them.

use crate::store::Error;
use std::fs::{self, OpenOptions};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// A lock this old was left behind by a program that died.
const STALE: Duration = Duration::from_secs(120);
/// How long to wait for a program that holds it.
const PATIENCE: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_millis(20);

/// Holds `<file>.lock` until dropped.
pub(crate) struct DotLock {
    path: PathBuf,
}

impl DotLock {
    /// Waits up to ten seconds; `Error::Locked` after that.
    pub(crate) fn take(file: &Path) -> Result<DotLock, Error> {
        let mut path = file.as_os_str().to_owned();
        path.push(".lock");
        let path = PathBuf::from(path);
        let mut waited = Duration::ZERO;
        loop {
            match OpenOptions::new().write(true).create_new(true).open(&path) {
                Ok(_) => return Ok(DotLock { path }),
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error.into()),
            }
            let age = fs::symlink_metadata(&path)
                .and_then(|m| m.modified())
                .ok()
                .and_then(|m| m.elapsed().ok());
            if age.is_some_and(|age| age > STALE) {
                log::warn!(
                    "removing the lock {} that nobody touched for two minutes",
                    path.display()
                );
                let _ = fs::remove_file(&path);
                continue;
            }
            if waited >= PATIENCE {
                return Err(Error::Locked);
            }
            std::thread::sleep(PAUSE);
            waited += PAUSE;
        }
    }
}

impl Drop for DotLock {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

/// Replaces `path` by `bytes`: a temporary file, renamed. `durable`: synced before and after.
pub(crate) fn replace(path: &Path, bytes: &[u8], durable: bool) -> Result<(), Error> {
    use std::io::Write;
    let mut temporary = path.as_os_str().to_owned();
    temporary.push(".tmp");
    let temporary = PathBuf::from(temporary);
    let written = fs::File::create(&temporary).and_then(|mut file| {
        file.write_all(bytes)?;
        if durable { file.sync_data() } else { Ok(()) }
    });
    if let Err(error) = written.and_then(|()| fs::rename(&temporary, path)) {
        let _ = fs::remove_file(&temporary);
        return Err(error.into());
    }
    if durable && let Some(parent) = path.parent() {
        fs::File::open(parent)?.sync_all()?;
    }
    Ok(())
}
