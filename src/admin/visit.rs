//! Work in the mail of one user, through the running server or without one.

use super::console::{Console, Exit, Failure};
use super::patient::{Lock, Patient, keep_server_away, log_faults, patients, with_rights_of};
use crate::config::Config;
use crate::mailbox::{Account, Care, Error, Host, Limits};
use crate::server::{self, Owners, Reason, Refused, Visit, attend, care_for};
use crate::store::is_empty;
use crate::sys::accounts::Identity;
use std::os::unix::net::UnixStream;
use std::path::Path;

/// Why a command ends early, and with what.
#[derive(Debug)]
pub(super) struct End {
    pub(super) exit: Exit,
    pub(super) text: String,
}

impl End {
    pub(super) fn new(exit: Exit, text: impl Into<String>) -> End {
        let text = text.into();
        End { exit, text }
    }

    /// It is told, and is what the command ends with.
    pub(super) fn tell(self, console: &mut Console<'_>) -> Exit {
        console.complain(self.text);
        self.exit
    }
}

impl From<Failure> for End {
    fn from(failure: Failure) -> End {
        End::new(Exit::Failure, failure.0)
    }
}

impl From<Refused> for End {
    fn from(refused: Refused) -> End {
        match refused.reason {
            Reason::Later => End::new(
                Exit::TryAgain,
                format!("{}; the same command goes on from there", refused.text),
            ),
            _ => End::new(Exit::Failure, refused.text),
        }
    }
}

/// The user of that name. Errors: there is none, or the mail cannot be found.
pub(super) fn patient(name: &str, config: &Config) -> Result<Patient, End> {
    let mut lost = None;
    let mut named = patients(Some(name), config, &mut |failure| lost = Some(failure))?;
    named.pop().ok_or_else(|| match lost {
        Some(failure) => failure.into(),
        None => End::new(Exit::NoUser, format!("user {name:?}: no such user")),
    })
}

/// Does something in the mail of a user, which the engine of a running server or, without one, a thread of this
/// process has open.
pub(super) fn visiting<T>(
    patient: &Patient,
    config: &Config,
    work: impl FnOnce(&mut Visit) -> Result<T, End>,
) -> Result<T, End> {
    let later = |text: String| End::new(Exit::TryAgain, text);
    match server::visit(&config.data_dir, patient.asked()) {
        Ok(Some(mut visit)) => return work(&mut visit),
        Ok(None) => {}
        Err(error) => {
            let what = format!("the server cannot be asked: {error}");
            return Err(later(what));
        }
    }
    match keep_server_away(config)? {
        Lock::Ours(_lock) => alone(patient, config, work),
        Lock::Held(by) => Err(later(format!(
            "{by} works with the mail and cannot be asked"
        ))),
    }
}

/// Has mail begin anew that is gone altogether, as what the index knows of it would be in the way of what comes back.
pub(super) fn forget_gone(patient: &Patient, config: &Config) -> Result<(), End> {
    // What may not be read is refused by who opens it.
    if !is_empty(&patient.location.root).unwrap_or(false) {
        return Ok(());
    }
    let asked = care_for(
        &config.data_dir,
        patient.asked(),
        Care::Rebuild,
        &mut |_| {},
    );
    match asked {
        Ok(true) => return Ok(()),
        Ok(false) => {}
        Err(error) => return Err(End::new(Exit::TryAgain, error.to_string())),
    }
    let Lock::Ours(_lock) = keep_server_away(config)? else {
        // It says so itself when it is asked next.
        return Ok(());
    };
    let identity = rights(patient, config)?;
    let forget = || {
        let (host, account) = open(patient, config)?;
        let forgotten = account.care(Care::Rebuild, &mut |_| {});
        drop(account);
        host.close().map_err(told(&patient.index))?;
        forgotten.map_err(told(&patient.location.root))
    };
    with_rights_of(identity, forget)
}

/// As `visiting`, where no server runs.
pub(super) fn alone<T>(
    patient: &Patient,
    config: &Config,
    work: impl FnOnce(&mut Visit) -> Result<T, End>,
) -> Result<T, End> {
    log_faults(config);
    let identity = rights(patient, config)?;
    let failed = Failure::because("making a pair of sockets");
    let (near, far) = UnixStream::pair().map_err(failed)?;
    std::thread::scope(|scope| {
        let host = scope.spawn(|| with_rights_of(identity, || serve(patient, config, far)));
        let worked = Visit::new(near)
            .map_err(|error| Refused::from(error).into())
            .and_then(|mut visit| work(&mut visit));
        let served = host.join();
        // Why it could not be opened, rather than that it ended.
        served.unwrap_or_else(|_| Err(Failure("the work broke off".to_owned()).into()))?;
        worked
    })
}

/// Whose rights a server has at the mail.
fn rights(patient: &Patient, config: &Config) -> Result<Option<Identity>, Failure> {
    let mut owners = Owners::alone(config).map_err(|error| Failure(error.to_string()))?;
    let served = owners.serve(patient.asked(), &patient.location);
    served.map_err(|error| Failure(error.to_string()))
}

/// Why what lies at `path` cannot be worked with.
fn told(path: &Path) -> impl Fn(Error) -> End {
    move |error| {
        let exit = match error {
            // As while a server that was killed is about to end.
            Error::Busy | Error::Full => Exit::TryAgain,
            _ => Exit::Failure,
        };
        End::new(exit, error.told_at(path))
    }
}

fn open(patient: &Patient, config: &Config) -> Result<(Host, Account), End> {
    let limits = Limits::from(&config.limits);
    let host = Host::open(&patient.index, limits).map_err(told(&patient.index))?;
    let account = host.account_at(&patient.name, &patient.location);
    Ok((host, account.map_err(told(&patient.location.root))?))
}

fn serve(patient: &Patient, config: &Config, stream: UnixStream) -> Result<(), End> {
    let (host, account) = open(patient, config)?;
    let prepared = account.prepare();
    prepared.map_err(told(&patient.location.root))?;
    // Who leaves early knows why.
    let _ = attend(&account, stream);
    drop(account);
    host.close().map_err(told(&patient.index))
}
