//! Whose the directories of mail and indexes are, and how that is put right when the settings name
//! another one than before.
//!
//! As root the server gives each directory that it makes to the account that will use it. When
//! `isolation`, an account or a user's uid changes, the directories below the data directory follow:
//! those of indexes always, those of mail if an account has them that this server gave them to. What
//! is elsewhere, or is somebody else's, stays as it is; the engine that cannot use it says so.

use super::error::Error;
use super::layout::{self, Identities};
use super::request::Patient;
use crate::config::{Config, Isolation, Location};
use crate::sys::accounts::Identity;
use crate::sys::ownership::{Rule, Settled, settle};
use rustix::fs::{AtFlags, CWD, Dir, Mode, OFlags, openat, unlinkat};
use rustix::io::Errno;
use std::collections::HashSet;
use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::rc::Rc;

/// Which uids engines had so far, below the data directory, a line for each.
const FORMER: &str = "run/engine-uids";
/// So many are remembered.
const MAX_FORMER: usize = 16;
/// What leads to directories of users, who shall not see each other's names.
const PASSAGE: u32 = 0o711;
const ROOT: Identity = Identity { uid: 0, gid: 0 };

/// Knows whose what is to be.
pub(crate) struct Owners {
    config: Rc<Config>,
    /// Whom an engine becomes whose user has no account; `None`: whoever runs this.
    engine: Option<Identity>,
    /// Uids that engines without a user's own have or had.
    former: Vec<u32>,
    /// What could not be put right, which is not tried again and again.
    refused: HashSet<PathBuf>,
}

impl Owners {
    /// Puts right what all users have in common: to be called while no engine runs, with the lock held.
    /// Errors: what is the server's own cannot be read or changed.
    pub(super) fn begin(config: &Rc<Config>, identities: &Identities) -> Result<Owners, Error> {
        let mut owners = Owners {
            config: config.clone(),
            engine: identities.engine,
            former: Vec::new(),
            refused: HashSet::new(),
        };
        owners.remember()?;
        owners.forget_other_indexes()?;
        owners.settle_common()?;
        Ok(owners)
    }

    /// For the command line, which holds the lock in place of a server, perhaps before one ever ran.
    pub(crate) fn alone(config: &Config) -> Result<Owners, Error> {
        let identities = Identities::find(config)?;
        layout::prepare(config, &identities)?;
        Owners::begin(&Rc::new(config.clone()), &identities)
    }

    /// Whom the engine of a user with these numbers runs as; `None`: as whoever runs this.
    pub(super) fn identity(&self, uid: Option<u32>, gid: Option<u32>) -> Option<Identity> {
        let default = self.engine?;
        let single = self.config.isolation == Isolation::User;
        let uid = uid.filter(|uid| single && *uid != 0);
        Some(match uid {
            Some(uid) => Identity {
                uid,
                gid: gid.unwrap_or(default.gid),
            },
            None => default,
        })
    }

    /// What was refused may have been mended meanwhile.
    pub(super) fn look_again(&mut self) {
        self.refused.clear();
    }

    /// Makes what holds a user's mail, or sees to it that its engine owns that. Where that cannot be done for a
    /// namespace, the rest is served all the same.
    pub(super) fn mail(
        &mut self,
        location: &Location,
        uid: Option<u32>,
        gid: Option<u32>,
    ) -> Result<(), Error> {
        let identity = self.identity(uid, gid);
        let former = std::mem::take(&mut self.former);
        let had = |other| former.contains(&other) || uid == Some(other);
        let done = self.part(location, identity, &had);
        for namespace in &location.form.namespaces {
            if let Err(error) = self.part(&namespace.location, identity, &had) {
                log::error!(
                    "the namespace {}/ cannot be used: {error}",
                    namespace.prefix
                );
            }
        }
        self.former = former;
        done
    }

    fn part(
        &mut self,
        part: &Location,
        identity: Option<Identity>,
        had: &dyn Fn(u32) -> bool,
    ) -> Result<(), Error> {
        let alternate = part.form.alternate.iter();
        for path in std::iter::once(&part.root).chain(alternate) {
            self.directory(path, 0o700, identity, had)?;
        }
        let mut inbox = part.form.inbox.iter();
        inbox.try_for_each(|inbox| layout::file(inbox, identity))
    }

    /// As `mail`, for the directory of an index, which the server alone has made.
    pub(super) fn index(&mut self, path: &Path, identity: Option<Identity>) -> Result<(), Error> {
        self.directory(path, 0o700, identity, &|_| true)
    }

    /// As a server would before it serves this user: makes and puts right the directories. Returns whom
    /// its engine would run as.
    pub(crate) fn serve(
        &mut self,
        user: Patient<'_>,
        location: &Location,
    ) -> Result<Option<Identity>, Error> {
        self.mail(location, user.uid, user.gid)?;
        let identity = self.identity(user.uid, user.gid);
        let index = self.config.index_directory(user.name);
        self.index(&index, identity)?;
        Ok(identity)
    }

    fn directory(
        &mut self,
        path: &Path,
        mode: u32,
        identity: Option<Identity>,
        former: &dyn Fn(u32) -> bool,
    ) -> Result<(), Error> {
        let found = fs::symlink_metadata(path);
        let (Some(identity), Ok(found)) = (identity, found) else {
            return layout::directory(&self.config, path, mode, identity);
        };
        if found.is_dir() && (found.uid() == identity.uid || !former(found.uid())) {
            return Ok(());
        }
        if self.refused.contains(path) {
            let why = "it could not be given to its owner; mend that and send SIGHUP";
            return Err(Error::file("using", path, std::io::Error::other(why)));
        }
        let way = match self.config.isolation {
            Isolation::User => (ROOT, PASSAGE),
            Isolation::Shared => (identity, 0o700),
        };
        let rule = Rule {
            trusted: &self.config.data_dir,
            owner: identity,
            mode,
            whole: true,
            way,
            former,
        };
        self.settle(path, &rule).inspect_err(|_| {
            self.refused.insert(path.to_owned());
        })?;
        layout::directory(&self.config, path, mode, Some(identity))
    }

    fn settle(&self, path: &Path, rule: &Rule<'_>) -> Result<(), Error> {
        let settled = settle(path, rule);
        let settled = settled.map_err(|error| Error::file("giving to its owner", path, error))?;
        if let Settled::Given {
            from,
            entries,
            left,
        } = settled
        {
            let (path, to) = (path.display(), rule.owner.uid);
            log::info!(
                "{path} was of uid {from} and is of uid {to} now, with {entries} files and \
                 directories in it; {left} others stay as they are"
            );
        }
        Ok(())
    }

    /// Notes whom engines run as, for the time when they run as somebody else.
    fn remember(&mut self) -> Result<(), Error> {
        let Some(engine) = self.engine else {
            return Ok(());
        };
        let path = self.config.data_dir.join(FORMER);
        let text = fs::read_to_string(&path).unwrap_or_default();
        let noted: Vec<u32> = text.lines().filter_map(|line| line.parse().ok()).collect();
        self.former = vec![engine.uid];
        self.former
            .extend(noted.iter().filter(|uid| **uid != engine.uid));
        self.former.truncate(MAX_FORMER);
        if self.former != noted && self.config.data_dir.join("run").is_dir() {
            let lines: String = self.former.iter().map(|uid| format!("{uid}\n")).collect();
            layout::write_secret(&path, lines.as_bytes())?;
        }
        self.former.push(layout::RESERVED[0]);
        self.former.retain(|uid| *uid != 0);
        Ok(())
    }

    /// The directories that hold those of all users: root's, through which everybody finds the own one, or
    /// the engine's.
    fn settle_common(&self) -> Result<(), Error> {
        let Some(engine) = self.engine else {
            return Ok(());
        };
        let shared = self.config.isolation == Isolation::Shared;
        let (owner, mode) = match shared {
            true => (engine, 0o700),
            false => (ROOT, PASSAGE),
        };
        let data = &self.config.data_dir;
        let was_own = |uid| uid == 0 || self.former.contains(&uid);
        let mail = self.config.storage.common_root(data);
        let places: Vec<PathBuf> = self.config.storage.common_places(data).collect();
        let index = data.join("index");
        let places = std::iter::once(&mail).chain(&places);
        let places = places.map(|path| (path, &was_own as &dyn Fn(u32) -> bool));
        for (path, former) in std::iter::once((&index, &(|_| true) as _)).chain(places) {
            let rule = Rule {
                trusted: data,
                owner,
                mode,
                // The file of all is in the directory itself.
                whole: shared && *path == index,
                way: (ROOT, PASSAGE),
                former,
            };
            self.settle(path, &rule)?;
        }
        // Made like that by earlier versions where mail has a path of its own.
        if !shared && mail.starts_with(data) && is_listed(&mail) {
            let changed = fs::set_permissions(&mail, Permissions::from_mode(PASSAGE));
            changed.map_err(|error| Error::file("closing", &mail, error))?;
        }
        Ok(())
    }

    /// An index that was not kept up while the other kind of isolation held knows less than clients: it is
    /// made anew from the mail.
    fn forget_other_indexes(&self) -> Result<(), Error> {
        let shared = self.config.isolation == Isolation::Shared;
        let path = self.config.data_dir.join("index");
        let forgotten = forget(&path, shared);
        let count = forgotten.map_err(|error| Error::file("clearing", &path, error))?;
        if count > 0 {
            let isolation = self.config.isolation.as_str();
            log::info!(
                "isolation is {isolation:?} now: {count} index files of before are removed, and \
                 indexes are made anew from the mail"
            );
        }
        Ok(())
    }
}

/// Whether anybody can read who has mail in that directory of root's.
fn is_listed(path: &Path) -> bool {
    let found = fs::symlink_metadata(path);
    found.is_ok_and(|found| found.is_dir() && found.uid() == 0 && found.mode() & 0o7777 == 0o755)
}

/// Removes the index files of users and of all, if one is there that is not in use any more. How many.
fn forget(index: &Path, shared: bool) -> std::io::Result<u32> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let index = match openat(CWD, index, flags, Mode::empty()) {
        Err(Errno::NOENT) => return Ok(0),
        opened => opened?,
    };
    let remove = |at: &std::os::fd::OwnedFd, name: &str| match unlinkat(at, name, AtFlags::empty())
    {
        Ok(()) => Ok(1),
        Err(Errno::NOENT | Errno::ISDIR) => Ok(0),
        Err(error) => Err(error),
    };
    let mut count = 0;
    if !shared {
        count += remove(&index, "shared.redb")?;
        remove(&index, "shared.reserve")?;
        remove(&index, "shared.journal")?;
        if count == 0 {
            return Ok(0);
        }
    }
    for entry in Dir::read_from(&index)? {
        let entry = entry?;
        let name = entry.file_name();
        if matches!(name.to_bytes(), b"." | b"..") {
            continue;
        }
        // An engine that owned this directory may have put anything there.
        let Ok(user) = openat(&index, name, flags | OFlags::NOFOLLOW, Mode::empty()) else {
            continue;
        };
        count += remove(&user, "index.redb")?;
        remove(&user, "index.reserve")?;
        remove(&user, "index.journal")?;
        // Others may be in it that somebody wants to look at.
        unlinkat(&index, name, AtFlags::REMOVEDIR).ok();
    }
    if shared && count > 0 {
        count += remove(&index, "shared.redb")?;
        remove(&index, "shared.reserve")?;
        remove(&index, "shared.journal")?;
    }
    Ok(count)
}
