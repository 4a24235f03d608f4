//! `dovelet check-data`: whether mail can be kept in a directory.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::path::Path;

use super::console::{Console, Exit, Failure};
use super::file_system::FileSystem;
use miniserde::Serialize;

/// Less is no room for mail, its index and the reserve beside it.
const MIN_OCTETS: u64 = 16_000_000;
const MIN_FILES: u64 = 1000;

/// What was found.
#[derive(Debug, Serialize)]
struct Row {
    directory: String,
    file_system: String,
    /// Octets that are free.
    octets: u64,
    /// How many more files there can be; none where they are not counted beforehand.
    files: Option<u64>,
    fit: bool,
    faults: Vec<String>,
}

/// Tells what is wrong with `directory`, and how much room it has. Errors: it cannot be looked at.
pub(super) fn run(
    directory: &Path,
    json: bool,
    console: &mut Console<'_>,
) -> Result<Exit, Failure> {
    let row = look(directory)?;
    match json {
        true => console.say(miniserde::json::to_string(&row)),
        false => tell(&row, console),
    }
    Ok(match row.fit {
        true => Exit::Success,
        false => Exit::Failure,
    })
}

fn look(directory: &Path) -> Result<Row, Failure> {
    let shown = directory.display();
    if !directory.is_dir() {
        return Err(Failure(format!("{shown}: there is no such directory")));
    }
    let kind = FileSystem::of(directory).map_err(Failure::because(shown))?;
    let room = rustix::fs::statvfs(directory)
        .map_err(|error| Failure::because(directory.display())(error.into()))?;
    let octets = room.f_bavail.saturating_mul(room.f_frsize);
    // Where files are not counted beforehand there is no number of them.
    let files = (room.f_files > 0).then_some(room.f_favail);
    let mut faults: Vec<String> = kind.unfit.map(str::to_owned).into_iter().collect();
    faults.extend(want(octets, files));
    // What is known to be unfit is not tried.
    if kind.unfit.is_none() {
        faults.extend(probe(directory).err());
    }
    Ok(Row {
        directory: directory.display().to_string(),
        file_system: kind.name.to_owned(),
        octets,
        files,
        fit: faults.is_empty(),
        faults,
    })
}

fn tell(row: &Row, console: &mut Console<'_>) {
    let Row {
        directory,
        file_system,
        ..
    } = row;
    let left = match row.files {
        Some(files) => format!(", {files} more files"),
        None => String::new(),
    };
    let room = row.octets / 1_000_000;
    console.say(format_args!(
        "{directory}: {file_system}, {room} MB free{left}"
    ));
    for fault in &row.faults {
        console.complain(format_args!("{directory}: {fault}"));
    }
    if row.fit {
        console.say("mail can be kept there");
    }
}

/// What there is too little of.
fn want(octets: u64, files: Option<u64>) -> Vec<String> {
    let mut faults = Vec::new();
    if octets < MIN_OCTETS {
        let least = MIN_OCTETS / 1_000_000;
        faults.push(format!("{octets} octets are free, less than {least} MB"));
    }
    if let Some(files) = files.filter(|files| *files < MIN_FILES) {
        faults.push(format!(
            "room for {files} more files, less than {MIN_FILES}"
        ));
    }
    faults
}

/// Does there, in a directory of its own, what the server does with mail. Returns what failed.
fn probe(directory: &Path) -> Result<(), String> {
    let own = directory.join(format!(".dovelet-check-{}", std::process::id()));
    fs::create_dir(&own).map_err(|error| format!("no directory can be made: {error}"))?;
    let tried = attempts(&own);
    let removed = fs::remove_dir_all(&own);
    tried?;
    removed.map_err(|error| format!("what was made cannot be removed: {error}"))
}

fn attempts(own: &Path) -> Result<(), String> {
    let told = |what: &'static str| move |error: io::Error| format!("{what}: {error}");
    // As names in a Maildir are.
    let [first, second] = ["1.M1.host,U=1:2,S", "2.M2.host,U=2:2,"].map(|name| own.join(name));
    let write = |path: &Path, text: &[u8]| {
        let mut file = File::create_new(path)?;
        file.write_all(text)?;
        Ok(file)
    };
    let file = write(&first, b"first").map_err(told("no file can be written"))?;
    file.sync_all().map_err(told("a file cannot be synced"))?;
    let other = write(&second, b"second").map_err(told("no second file can be written"))?;
    fs::rename(&second, &first).map_err(told("a file cannot be renamed over another"))?;
    if fs::read(&first).ok().as_deref() != Some(b"second") || second.exists() {
        return Err("a rename does not put one file in the place of another".to_owned());
    }
    File::open(own)
        .and_then(|directory| directory.sync_all())
        .map_err(told("a directory cannot be synced"))?;
    other
        .try_lock()
        .map_err(|error| format!("a file cannot be locked: {error}"))?;
    let again = OpenOptions::new().write(true).open(&first);
    match again
        .map_err(told("a file cannot be opened again"))?
        .try_lock()
    {
        Err(TryLockError::WouldBlock) => Ok(()),
        Err(TryLockError::Error(error)) => Err(format!("a lock cannot be asked for: {error}")),
        Ok(()) => Err("a lock does not keep others out".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admin::tests::{Machine, Told};

    #[test]
    fn a_directory_of_a_disk_is_fit_and_left_as_it_was() {
        let machine = Machine::new();
        let data = machine.data();
        assert_eq!(probe(&data), Ok(()));
        assert_eq!(fs::read_dir(&data).unwrap().count(), 0);
        let told = machine.run(&format!("check-data {}", data.display()), "");
        // Where tests run in memory or in a container it is told.
        let kind = FileSystem::of(&data).unwrap();
        assert_eq!(told.exit == Exit::Success, kind.unfit.is_none(), "{told:?}");
        assert!(told.out.contains(&format!(": {}, ", kind.name)), "{told:?}");
        let line = machine.run(&format!("check-data --json {}", data.display()), "");
        assert_eq!((line.exit, line.err.as_str()), (told.exit, ""));
        let start = format!(
            "{{\"directory\":\"{}\",\"file_system\":\"{}\",\"octets\":",
            data.display(),
            kind.name
        );
        let fit = format!(",\"fit\":{},\"faults\":[", told.exit == Exit::Success);
        assert!(
            line.out.starts_with(&start) && line.out.contains(&fit),
            "{line:?}"
        );
        assert_eq!(fs::read_dir(&data).unwrap().count(), 0);
    }

    #[test]
    fn memory_and_what_does_not_exist_are_not() {
        let machine = Machine::new();
        let told = machine.run("check-data /dev/shm", "");
        let fault = "dovelet: /dev/shm: it is memory: all mail would be gone at the next start\n";
        assert_eq!((told.exit, told.err.contains(fault)), (Exit::Failure, true));
        let told = machine.run("check-data /dev/shm --json", "");
        let end = ",\"fit\":false,\"faults\":[\"it is memory: all mail would be gone at the next start\"]}\n";
        assert!(told.out.ends_with(end), "{told:?}");
        assert_eq!((told.exit, told.err.as_str()), (Exit::Failure, ""));
        let told = machine.run("check-data /nonexistent", "");
        let expected = "dovelet: /nonexistent: there is no such directory\n";
        assert_eq!(told, Told::failure(expected));
        // Nothing can be made in /proc.
        assert!(probe(Path::new("/proc")).is_err());
    }

    #[test]
    fn too_little_room_is_told() {
        assert_eq!(want(MIN_OCTETS, None).len(), 0);
        assert_eq!(want(MIN_OCTETS, Some(MIN_FILES)).len(), 0);
        assert_eq!(want(MIN_OCTETS - 1, Some(MIN_FILES - 1)).len(), 2);
    }
}
