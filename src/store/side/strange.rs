//! What is no file where this server keeps one of its own.

use super::{disk, unique};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// Gives a directory, a FIFO or whatever else has the name of a file another name, which the log tells: the file is gone
/// then, and is made anew as one that is. Where a file is, or nothing, all stays. Durable.
pub(crate) fn put_aside(path: &Path) -> io::Result<()> {
    if let Some(told) = move_aside(path)? {
        log::error!("{told}");
    }
    Ok(())
}

/// As `put_aside`, and returns what is to be told.
pub(crate) fn move_aside(path: &Path) -> io::Result<Option<String>> {
    match fs::metadata(path) {
        Ok(found) if !found.is_file() => {}
        _ => return Ok(None),
    }
    let mut aside = path.as_os_str().to_owned();
    aside.push(format!(".aside-{}", unique::unique(&unique::host())));
    let aside = PathBuf::from(aside);
    disk::rename_over(path, &aside)?;
    let (path, aside) = (path.display(), aside.display());
    let told = format!("{path} is no file: what is there is kept as {aside}");
    Ok(Some(told))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::fs::{CWD, FileType, Mode, mknodat};

    #[test]
    fn what_is_no_file_gets_another_name() {
        let directory = tempfile::tempdir().unwrap();
        let [file, fifo, other, nothing] =
            ["file", "fifo", "other", "nothing"].map(|name| directory.path().join(name));
        fs::write(&file, "text").unwrap();
        mknodat(CWD, &fifo, FileType::Fifo, Mode::RWXU, 0).unwrap();
        fs::create_dir(&other).unwrap();
        fs::write(other.join("in it"), "kept").unwrap();
        for path in [&file, &fifo, &other, &nothing] {
            put_aside(path).unwrap();
        }
        let names = fs::read_dir(directory.path()).unwrap().flatten();
        let mut names: Vec<String> = names
            .map(|entry| entry.file_name().into_string().unwrap())
            .collect();
        names.sort_unstable();
        let [fifo, file, other] = &names[..] else {
            panic!("{names:?}");
        };
        assert!(fifo.starts_with("fifo.aside-") && other.starts_with("other.aside-"));
        assert_eq!(file, "file");
        assert!(directory.path().join(other).join("in it").is_file());
    }
}
