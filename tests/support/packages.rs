//! Programs of Debian that cannot be installed beside others, or need not be: unpacked below `target/`.

use super::{can, run, skip};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

/// The directory where all of these packages are unpacked together; `None`, with a word about it, if they cannot
/// be had.
pub(crate) fn unpacked(packages: &[&str]) -> Option<PathBuf> {
    if !can(&["apt-get", "dpkg"]) {
        return None;
    }
    let all = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/packages");
    fs::create_dir_all(&all).unwrap();
    // Tests run side by side.
    let lock = File::create(all.join("lock")).unwrap();
    lock.lock().unwrap();
    let root = all.join(packages.join("+"));
    let complete = root.join("complete");
    if complete.exists() {
        return Some(root);
    }
    fs::create_dir_all(&root).unwrap();
    for package in packages {
        let had = || Some(deb(&all, package)?.display().to_string());
        let deb = had().or_else(|| {
            run(Command::new("apt-get")
                .args(["download", package])
                .current_dir(&all));
            had()
        });
        let unpacks = |deb: &String| {
            let mut command = Command::new("dpkg");
            let unpack = command.args(["-x", deb]).arg(&root);
            run(unpack).status.success()
        };
        if !deb.as_ref().is_some_and(unpacks) {
            skip(&format!("the package {package} cannot be had"));
            return None;
        }
    }
    fs::write(complete, "").unwrap();
    Some(root)
}

fn deb(directory: &Path, package: &str) -> Option<PathBuf> {
    let mut files = fs::read_dir(directory).ok()?.flatten();
    let begins = format!("{package}_");
    let found = files.find(|file| {
        let name = file.file_name().to_string_lossy().into_owned();
        name.starts_with(&begins) && name.ends_with(".deb")
    });
    found.map(|file| file.path())
}
