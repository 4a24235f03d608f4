//! The users and the addresses, from files that the parent has opened.

use super::Auth;
use crate::auth::{
    Aliases, AppPasswords, Complaint, MAX_ALIASES_OCTETS, MAX_APP_PASSWORDS_OCTETS,
    MAX_USERS_OCTETS, Masters, Postal, Users,
};
use crate::sys::memory;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Octets that a line of the users file takes besides its text, while it is read.
const PER_USER: usize = 600;

impl Auth {
    /// Reads the users anew from these files, whose names are told.
    pub(super) fn load(&self, names: &[PathBuf], files: Vec<OwnedFd>) {
        let mut text = Vec::new();
        let mut places = Places::default();
        for (name, file) in names.iter().zip(files) {
            places.begin(name, &text);
            if let Err(error) = read(File::from(file), &mut text, MAX_USERS_OCTETS) {
                let name = name.display();
                log::error!("users file {name}: {error}; the users stay as they were");
                return;
            }
            text.push(b'\n');
        }
        let lines = text.iter().filter(|octet| **octet == b'\n').count();
        if !memory::can_allocate(lines.saturating_mul(PER_USER).saturating_add(text.len())) {
            log::error!(
                "the users file is too large for `auth_memory_octets`; the users stay as they were"
            );
            return;
        }
        let (users, complaints) = Users::parse(&text);
        for complaint in complaints {
            log::warn!("users file {}", places.name(complaint));
        }
        let setup = &self.setup;
        for master in &setup.masters {
            if users.find(master).is_none() {
                log::warn!("{master} is to be a master user, but is no user");
            }
        }
        if let Some(name) = &setup.anonymous_user
            && users.find(name).is_none()
        {
            log::warn!("{name} is to be whose mail anybody may read, but is no user");
        }
        let separator = setup.master_separator.chars().next().unwrap_or('*');
        let users = users.with_masters(Masters::new(&setup.masters, separator));
        let users = users.with_anonymous(setup.anonymous_user.clone());
        for costly in users.costly(self.setup.limits.auth_memory_octets) {
            log::warn!("{costly}");
        }
        log::debug!("{} users", users.iter().count());
        *self.users.borrow_mut() = Some(Arc::new(users));
        self.renewed.borrow_mut().clear();
    }

    /// Reads the app passwords anew; without a file there are none.
    pub(super) fn load_app_passwords(&self, file: Option<OwnedFd>) {
        let mut text = Vec::new();
        let read = file.map(|file| read(File::from(file), &mut text, MAX_APP_PASSWORDS_OCTETS));
        let lines = text.iter().filter(|octet| **octet == b'\n').count();
        let room = lines.saturating_mul(PER_USER).saturating_add(text.len());
        if let Some(Err(error)) = read {
            log::error!("app passwords: {error}; they stay as they were");
        } else if memory::can_allocate(room) {
            let (all, bad) = AppPasswords::parse(&text);
            for line in bad {
                log::warn!("app passwords, line {line}: it cannot be read");
            }
            *self.app_passwords.borrow_mut() = all;
        } else {
            log::error!("app passwords: no memory; they stay as they were");
        }
    }

    /// Makes what others are told of addresses anew. Without a file the aliases stay as they were: whoever
    /// could not be found would have its mail sent back.
    pub(super) fn load_addresses(&self, file: Option<OwnedFd>) {
        let users = self.users.borrow().clone();
        let (true, Some(users)) = (self.setup.socketmap, users) else {
            return;
        };
        let mut aliases = match self.setup.aliases {
            true => self.postal.take().into_aliases(),
            false => Some(Aliases::default()),
        };
        if let Some(file) = file {
            let mut text = Vec::new();
            match read(File::from(file), &mut text, MAX_ALIASES_OCTETS) {
                Ok(()) => {
                    let (parsed, faults) = Aliases::parse(&text);
                    for fault in faults {
                        log::warn!("aliases, {fault}");
                    }
                    aliases = Some(parsed);
                }
                Err(error) => log::error!("aliases: {error}; they stay as they were"),
            }
        }
        *self.postal.borrow_mut() = Postal::new(&users, &self.setup.domains, aliases);
    }
}

/// Where in one text the lines of each file begin.
#[derive(Default)]
struct Places<'a> {
    /// Lines before the file, and its name.
    files: Vec<(usize, &'a Path)>,
}

impl<'a> Places<'a> {
    /// What comes behind `text` is of that file.
    fn begin(&mut self, name: &'a Path, text: &[u8]) {
        let before = text.iter().filter(|octet| **octet == b'\n').count();
        self.files.push((before, name));
    }

    /// The complaint with its file, whose line it names.
    fn name(&self, complaint: Complaint) -> String {
        let at = self
            .files
            .partition_point(|(before, _)| *before < complaint.line);
        let file = at.checked_sub(1).and_then(|at| self.files.get(at));
        let (before, name) = file.copied().unwrap_or((0, Path::new("")));
        let own = Complaint {
            line: complaint.line - before,
            ..complaint
        };
        format!("{}, {own}", name.display())
    }
}

/// Appends the file. Errors: also `FileTooLarge` if the text would have more octets; a part of the users would be
/// as if the others had never been.
fn read(file: File, text: &mut Vec<u8>, at_most: u64) -> io::Result<()> {
    let before = u64::try_from(text.len()).unwrap_or(u64::MAX);
    let room = at_most.saturating_sub(before);
    let count = file.take(room + 1).read_to_end(text)?;
    match u64::try_from(count) {
        Ok(count) if count <= room => Ok(()),
        _ => Err(io::ErrorKind::FileTooLarge.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn complaints_name_the_line_of_their_file() {
        // A line of the second file was counted on from the first one.
        let mut text = Vec::new();
        let mut places = Places::default();
        for (name, lines) in [("/a", "x\n\ny"), ("/b", ""), ("/c", "z\n")] {
            places.begin(Path::new(name), &text);
            text.extend_from_slice(lines.as_bytes());
            text.push(b'\n');
        }
        let (_, complaints) = Users::parse(&b"a b\n".repeat(6));
        let named: Vec<String> = complaints.into_iter().map(|c| places.name(c)).collect();
        let expected = [
            "/a, line 1",
            "/a, line 2",
            "/a, line 3",
            "/b, line 1",
            "/c, line 1",
            "/c, line 2",
        ];
        for (named, expected) in named.iter().zip(expected) {
            assert!(
                named.starts_with(&format!("{expected}: ")),
                "{named} {expected}"
            );
        }
        assert_eq!(named.len(), expected.len());
    }

    #[test]
    fn too_many_users_are_not_cut_short() {
        // Who stood behind the limit was unknown, and mail for them went back.
        let file = tempfile::NamedTempFile::new().unwrap();
        let open = || File::open(file.path()).unwrap();
        file.as_file().set_len(MAX_USERS_OCTETS).unwrap();
        let mut text = Vec::new();
        read(open(), &mut text, MAX_USERS_OCTETS).unwrap();
        let error = read(open(), &mut vec![0; 1], MAX_USERS_OCTETS).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::FileTooLarge);
        text.push(b'\n');
        let error = read(open(), &mut text, MAX_USERS_OCTETS).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::FileTooLarge);
        file.as_file().set_len(MAX_USERS_OCTETS + 1).unwrap();
        let error = read(open(), &mut Vec::new(), MAX_USERS_OCTETS).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::FileTooLarge);
    }
}
