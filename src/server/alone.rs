//! Only one process at a time works with the mail and the indexes below a data directory: a server, or a command
//! where none runs. It has `run/lock`, and a line there that says which it is.

use super::error::Error;
use super::request;
use crate::config::Config;
use crate::sys::clock;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

const FILE: &str = "run/lock";
/// How long a server that starts waits for a command that works.
const PATIENCE: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_millis(50);
/// Octets of the line that are read.
const MAX_LINE: usize = 100;

/// Takes the lock for a server, for as long as it is held; waits for a command that has it. Errors: another server
/// runs, or the command does not end.
pub(super) fn lock(config: &Config) -> Result<File, Error> {
    let path = config.data_dir.join(FILE);
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(false).mode(0o600);
    let file = options.open(&path);
    let file = file.map_err(|error| Error::file("opening", &path, error))?;
    let until = clock::now() + PATIENCE;
    let mut told = false;
    loop {
        match take(&file) {
            Ok(true) => return Ok(file),
            Ok(false) => {}
            Err(error) => return Err(Error::file("locking", &path, error)),
        }
        let is_server = UnixStream::connect(config.data_dir.join(request::SOCKET)).is_ok();
        if is_server || clock::now() >= until {
            return Err(Error::Running(holder(&config.data_dir)));
        }
        if !told {
            told = true;
            log::info!("waiting for {} to end", holder(&config.data_dir));
        }
        std::thread::sleep(PAUSE);
    }
}

/// Takes the lock for a command. Returns its file, without one where no server ever ran; `None` if somebody else has
/// it.
pub(crate) fn keep_away(config: &Config) -> io::Result<Option<Option<File>>> {
    match OpenOptions::new()
        .write(true)
        .open(config.data_dir.join(FILE))
    {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(Some(None)),
        Err(error) => Err(error),
        Ok(file) => Ok(take(&file)?.then_some(Some(file))),
    }
}

/// False if somebody else has it.
fn take(file: &File) -> io::Result<bool> {
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Ok(false),
        Err(TryLockError::Error(error)) => return Err(error),
    }
    let command = std::env::args().nth(1).unwrap_or_default();
    let line = format!("{} {command}\n", std::process::id());
    // Without it others do not know who works here.
    let _ = file
        .set_len(0)
        .and_then(|()| file.write_all_at(line.as_bytes(), 0));
    Ok(true)
}

/// Who has the lock, for a person.
pub(crate) fn holder(data_dir: &Path) -> String {
    let text = fs::read(data_dir.join(FILE)).unwrap_or_default();
    let line = text.get(..MAX_LINE).unwrap_or(&text);
    let line = String::from_utf8_lossy(line);
    let known = line.trim_end().split_once(' ');
    let known = known.filter(|(process, command)| {
        let plain = |c: char| c.is_ascii_alphanumeric() || c == '-';
        process.parse::<u32>().is_ok() && !command.is_empty() && command.chars().all(plain)
    });
    known.map_or_else(
        || "another process".to_owned(),
        |(process, command)| format!("`dovelet {command}` (process {process})"),
    )
}
