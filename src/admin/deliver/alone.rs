//! A delivery where no server runs.

use super::letter::Letter;
use crate::admin::console::Failure;
use crate::admin::patient::{Patient, log_faults, with_rights_of};
use crate::config::Config;
use crate::deliver::{Delivery, Envelope, Outcome, Recipient, Stamp};
use crate::mailbox::{Error, Host, Limits, Prepare};
use crate::server::Owners;
use std::io::Read;
use std::path::Path;
use std::time::{Duration, Instant};

/// From one look at what somebody else has to the next.
pub(super) const PAUSE: Duration = Duration::from_millis(50);

/// Files the message, as whoever owns the mail. Waits for who has the index open. Errors: it cannot be opened,
/// or the message not read.
pub(super) fn deliver(
    patient: &Patient,
    address: &str,
    mailbox: Option<&str>,
    letter: &mut Letter<'_>,
    config: &Config,
    until: Instant,
) -> Result<Outcome, Failure> {
    log_faults(config);
    let identity = Owners::alone(config)
        .and_then(|mut owners| owners.serve(patient.asked(), &patient.location))
        .map_err(|error| Failure(error.to_string()))?;
    with_rights_of(identity, || {
        let host = open(patient, config, until)?;
        file(&host, patient, address, mailbox, letter, config)
    })
}

/// Why what lies at `path` cannot be worked with.
fn told(path: &Path) -> impl Fn(Error) -> Failure {
    move |error| Failure(error.told_at(path))
}

fn open(patient: &Patient, config: &Config, until: Instant) -> Result<Host, Failure> {
    loop {
        match Host::open(&patient.index, Limits::from(&config.limits)) {
            Err(Error::Busy) if Instant::now() < until => std::thread::sleep(PAUSE),
            opened => return opened.map_err(told(&patient.index)),
        }
    }
}

fn file(
    host: &Host,
    patient: &Patient,
    address: &str,
    mailbox: Option<&str>,
    letter: &mut Letter<'_>,
    config: &Config,
) -> Result<Outcome, Failure> {
    let account = host.account_at(&patient.name, &patient.location);
    let account = account.and_then(|account| {
        let wanted = Prepare::of_delivery(mailbox);
        account.prepare_for(wanted).map(|()| account)
    });
    let recipient = Recipient {
        account: Ok(account.map_err(told(&patient.location.root))?),
        address: address.as_bytes().to_vec(),
        detail: mailbox.map(str::to_owned),
    };
    let envelope = Envelope {
        complete: true,
        ..Envelope::default()
    };
    let stamp = Stamp {
        hostname: &config.hostname,
        now: crate::sys::clock::now_seconds(),
    };
    let named = config.lmtp.delivery_address;
    let mut delivery = Delivery::new(vec![recipient], &envelope, named, stamp);
    let mut piece = vec![0; 32 * 1024];
    loop {
        let read = letter.read(&mut piece);
        let count = read.map_err(Failure::because("reading the message"))?;
        if count == 0 {
            break;
        }
        delivery.write(piece.get(..count).unwrap_or_default());
    }
    let outcome = delivery.finish().pop().unwrap_or(Outcome::Unavailable);
    host.close().map_err(told(&patient.index))?;
    Ok(outcome)
}
