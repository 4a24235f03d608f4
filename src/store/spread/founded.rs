//! Which namespaces of an account were made: where one of them is empty afterwards, its disk is most likely not
//! mounted, and nothing is made in its place. The file `dovelet-namespaces` beside the account's own mail has a
//! prefix in each line.

use crate::config::Namespace;
use crate::store::Error;
use crate::store::side::disk;
use crate::store::side::lock::{DotLock, replace};
use crate::sys::regular;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

const FILE: &str = "dovelet-namespaces";

fn read(file: &Path) -> Result<String, Error> {
    match regular::read_text(file) {
        Ok(text) => Ok(text),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(String::new()),
        Err(error) => Err(error.into()),
    }
}

fn has(text: &str, namespace: &Namespace) -> bool {
    text.lines().any(|line| line == namespace.prefix.as_str())
}

/// To be asked before the place of a namespace is opened. `root`: that of the account's own store. Errors: it was
/// made, and is empty.
pub(super) fn check(root: &Path, namespace: &Namespace) -> Result<(), Error> {
    let file = root.join(FILE);
    let is_empty =
        disk::is_empty(&namespace.location.root).map_err(|error| match error.kind() {
            // Each process may only touch what was there when it began.
            io::ErrorKind::PermissionDenied => {
                let why = "it may not be read (if its disk came just now, who comes next finds it)";
                io::Error::new(error.kind(), why)
            }
            _ => error,
        })?;
    if !is_empty || !has(&read(&file)?, namespace) {
        return Ok(());
    }
    let why = format!(
        "it had mail and is empty: is its disk mounted? (if all is gone for good, remove the line {:?} from {})",
        namespace.prefix.as_str(),
        file.display()
    );
    Err(Error::Io(io::Error::other(why)))
}

/// Where a directory is that links lead to; as much of it as there is.
pub(crate) fn real_path(path: &Path) -> PathBuf {
    for above in path.ancestors() {
        if let (Ok(real), Ok(rest)) = (fs::canonicalize(above), path.strip_prefix(above)) {
            return real.join(rest);
        }
    }
    path.to_owned()
}

/// To be asked before the place of a namespace is opened. `others`: directories of other mail. Errors: links lead to
/// one of them, or into it, or from it here: each of two stores would take the files of the other for its own.
pub(super) fn check_apart<'a>(
    namespace: &Namespace,
    others: impl Iterator<Item = &'a Path>,
) -> Result<(), Error> {
    let root = real_path(&namespace.location.root);
    for other in others {
        let place = real_path(other);
        if root.starts_with(&place) || place.starts_with(&root) {
            let (root, other) = (root.display(), other.display());
            let why = format!("it is {root}, which is the same as {other}, or one is in the other");
            return Err(Error::Io(io::Error::other(why)));
        }
    }
    Ok(())
}

/// To be called when it is open, and what was made is durable. Durable.
pub(super) fn note(root: &Path, namespace: &Namespace) -> Result<(), Error> {
    let file = root.join(FILE);
    if has(&read(&file)?, namespace) {
        return Ok(());
    }
    let _lock = DotLock::take(&file)?;
    let mut text = read(&file)?;
    if has(&text, namespace) {
        return Ok(());
    }
    text.push_str(namespace.prefix.as_str());
    text.push('\n');
    replace(&file, text.as_bytes())
}
