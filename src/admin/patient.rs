//! Users whose mail a command works on, without a server or beside one.

use std::collections::HashSet;
use std::fs::File;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::console::Failure;
use super::user;
use crate::auth::User;
use crate::config::{Config, Location};
use crate::server::{self, Patient as Asked};
use crate::sys::accounts::Identity;

/// A user whose mail is looked at.
#[derive(Clone, Debug)]
pub(super) struct Patient {
    pub(super) name: String,
    pub(super) location: Location,
    pub(super) index: PathBuf,
    pub(super) uid: Option<u32>,
    pub(super) gid: Option<u32>,
    pub(super) home: Option<PathBuf>,
    pub(super) mail: Option<Box<str>>,
}

impl Patient {
    /// Errors: what is said of where the mail is cannot be followed.
    pub(super) fn of(user: &User, config: &Config) -> Result<Patient, Failure> {
        let (home, own) = (user.home.as_deref(), user.mail.as_deref());
        let data_dir = &config.data_dir;
        let located = config.storage.location_of(data_dir, &user.name, home, own);
        let location = located
            .map_err(|why| Failure(format!("the mail of {} cannot be found: {why}", user.name)))?;
        Ok(Patient {
            name: user.name.clone(),
            location,
            index: config.index_file(&user.name),
            uid: user.uid,
            gid: user.gid,
            home: user.home.clone(),
            mail: user.mail.clone(),
        })
    }

    /// As a running server is told.
    pub(super) fn asked(&self) -> Asked<'_> {
        Asked {
            name: &self.name,
            uid: self.uid,
            gid: self.gid,
            home: self.home.as_deref(),
            mail: self.mail.as_deref(),
        }
    }
}

/// All users, or the one who is named, and where their mail is. Those whose mail cannot be found are told to
/// `complain`: that of others has nothing to do with it. Errors: a users file cannot be read.
pub(super) fn patients(
    named: Option<&str>,
    config: &Config,
    complain: &mut dyn FnMut(Failure),
) -> Result<Vec<Patient>, Failure> {
    let is_meant = |user: &User| named.is_none_or(|name| user.name.eq_ignore_ascii_case(name));
    let (mut found, mut seen) = (Vec::new(), HashSet::new());
    for (_, users) in user::all(config)? {
        for user in users.iter().filter(|user| is_meant(user)) {
            // The first file that has a user counts.
            if !seen.insert(user.name.clone()) {
                continue;
            }
            match Patient::of(user, config) {
                Ok(patient) => found.push(patient),
                Err(failure) => complain(failure),
            }
        }
    }
    Ok(found)
}

/// Who may open the index files now.
pub(super) enum Lock {
    /// A server that runs, or another command: what it is called.
    Held(String),
    /// This process: no server runs until the lock is dropped. `None` where none has ever run.
    Ours(Option<File>),
}

/// Takes the lock of the server.
pub(super) fn keep_server_away(config: &Config) -> Result<Lock, Failure> {
    let data = &config.data_dir;
    let taken = server::keep_away(config).map_err(Failure::because(data.display()))?;
    Ok(match taken {
        Some(file) => Lock::Ours(file),
        None => Lock::Held(server::holder(data)),
    })
}

/// What rooms below find worth telling goes to the standard error.
pub(super) fn log_faults(config: &Config) {
    let level = config.log.level.min(log::LevelFilter::Warn);
    crate::server::start_log(level);
}

/// Runs `work` as whom an engine runs, so that it can do no more and no less than that, and leaves
/// nothing behind that an engine cannot read.
pub(super) fn with_rights_of<T: Send, E: From<Failure> + Send>(
    identity: Option<Identity>,
    work: impl FnOnce() -> Result<T, E> + Send,
) -> Result<T, E> {
    let Some(identity) = identity else {
        return work();
    };
    let examined = std::thread::scope(|scope| {
        let worker = scope.spawn(|| {
            give_up_rights(identity).map_err(Failure::because("giving up rights"))?;
            work()
        });
        worker.join()
    });
    examined.unwrap_or_else(|_| Err(Failure("the examination broke off".to_owned()).into()))
}

/// Makes this thread, and no other, one of the owner's, for good.
fn give_up_rights(owner: Identity) -> std::io::Result<()> {
    use rustix::thread::{set_thread_groups, set_thread_res_gid, set_thread_res_uid};
    let gid = rustix::process::Gid::from_raw(owner.gid);
    let uid = rustix::process::Uid::from_raw(owner.uid);
    set_thread_groups(&[])?;
    set_thread_res_gid(gid, gid, gid)?;
    set_thread_res_uid(uid, uid, uid)?;
    Ok(())
}

/// Who owns that, if this is root and the owner is another.
pub(super) fn other_owner(path: &Path) -> std::io::Result<Option<Identity>> {
    let metadata = path.metadata()?;
    let owner = Identity {
        uid: metadata.uid(),
        gid: metadata.gid(),
    };
    Ok(Some(owner).filter(|owner| Identity::own().is_root() && !owner.is_root()))
}
