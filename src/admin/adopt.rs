//! `dovelet adopt`: mail of another server's taken over where it lies; and `dovelet export`, the way back.

use miniserde::Serialize;
use std::path::{Path, PathBuf};

use super::console::{Console, Exit, Failure, Outputs};
use super::patient::{
    Lock, Patient, keep_server_away, log_faults, other_owner, patients, with_rights_of,
};
use crate::config::{Config, Form, Format, Location};
use crate::mail::MailboxName;
use crate::mailbox::{Error, Host, Limits};
use crate::server::Owners;
use crate::store::{self, Adopted, Adoption};

/// Who is to have the mail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    Here,
    Dovecot,
}

/// What is to be taken or handed over, and how it is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Wish {
    pub(crate) way: Way,
    pub(crate) path: PathBuf,
    pub(crate) dry_run: bool,
    pub(crate) json: bool,
}

/// A mailbox as it is told.
#[derive(Serialize)]
struct Mailbox {
    name: String,
    messages: u64,
    uid_validity: u32,
    uid_next: u32,
    keywords: u64,
    pop3_uidls: u64,
    was_taken_over: bool,
    lost: Vec<String>,
}

/// All of it.
#[derive(Serialize)]
struct Report {
    path: String,
    format: String,
    /// Or handed over.
    taken_over: bool,
    mailboxes: Vec<Mailbox>,
    notes: Vec<String>,
    obstacles: Vec<String>,
}

/// Takes over what lies at the path. Errors: there is no mail, or a server runs.
pub(super) fn run(
    wish: &Wish,
    config: &Config,
    console: &mut Console<'_>,
) -> Result<Exit, Failure> {
    log_faults(config);
    let path = std::path::absolute(&wish.path).map_err(Failure::because(wish.path.display()))?;
    let owner = other_owner(&path).map_err(Failure::because(path.display()))?;
    let lock = keep_server_away(config)?;
    if let Lock::Held(by) = &lock
        && !wish.dry_run
    {
        return Err(Failure(format!(
            "{by} works in {}: stop it first, then try again",
            config.data_dir.display()
        )));
    }
    // Of a user's mail it is known what lies elsewhere.
    let patient = patient(&path, config)?;
    let own = patient.as_ref().map(|patient| patient.at(&path));
    // With an INBOX that is elsewhere or empty, an mbox looks like nothing at all.
    let said = own.map(|own| own.form.format);
    let said = said.filter(|format| *format == Format::Mbox && path.is_dir());
    let form = match own {
        Some(own) => own.form.clone(),
        None => config.storage.form(),
    };
    let mut outputs = console.outputs();
    let (found, notes) = with_rights_of(owner, || {
        let format = store::format_of(&path)
            .or(said)
            .ok_or_else(|| unknown(&path))?;
        let form = Form { format, ..form };
        look(wish, &path, &form, &mut outputs)
    })?;
    let done = found.obstacles.is_empty() && !wish.dry_run;
    let mut report = report(&path, &found, notes, done);
    if wish.way == Way::Dovecot {
        report.notes = lost_there(&found);
    } else if done {
        report
            .notes
            .extend(keep_keywords(&path, &found, config, console)?);
    }
    if wish.json {
        console.say(miniserde::json::to_string(&report));
    } else {
        tell(wish, &report, console);
    }
    Ok(match report.obstacles.as_slice() {
        [] => Exit::Success,
        _ => Exit::Failure,
    })
}

fn unknown(path: &Path) -> Failure {
    Failure(format!(
        "{}: neither a Maildir nor an mbox, sdbox or mdbox; name the directory that Dovecot's \
         mail_location names, or [storage] path",
        path.display()
    ))
}

/// Looks at the mail, telling of each mailbox when it was looked at, and takes it over if it may.
fn look(
    wish: &Wish,
    path: &Path,
    form: &Form,
    outputs: &mut Outputs<'_>,
) -> Result<(Adoption, Vec<String>), Failure> {
    let mut each = |mailbox: &Adopted| {
        if !wish.json {
            outputs.say(line(mailbox));
        }
    };
    let found = match wish.way {
        Way::Here => store::adopt(path, form, wish.dry_run, &mut each),
        Way::Dovecot => store::hand_back(path, form, wish.dry_run, &mut each),
    };
    let found = found.map_err(|error| Failure(format!("{}: {error}", path.display())))?;
    let unused = store::unused(path, &found);
    Ok((found, unused))
}

fn line(mailbox: &Adopted) -> String {
    let Adopted {
        name,
        messages,
        uid_validity,
        uid_next,
        ..
    } = mailbox;
    let mut line = format!("{name}: {messages} messages, ");
    line.push_str(&match uid_validity {
        0 => "a new UIDVALIDITY".to_owned(),
        number => format!("UIDVALIDITY {number}"),
    });
    line.push_str(&format!(", UIDNEXT {uid_next}"));
    for (count, what) in [
        (mailbox.keywords, "keywords"),
        (mailbox.uidls, "unique-ids of POP3"),
    ] {
        if count > 0 {
            line.push_str(&format!(", {count} {what}"));
        }
    }
    if mailbox.known {
        line.push_str(", taken over before");
    }
    line
}

fn count(number: usize) -> u64 {
    number as u64
}

fn report(path: &Path, found: &Adoption, mut notes: Vec<String>, taken_over: bool) -> Report {
    let mailbox = |mailbox: &Adopted| Mailbox {
        name: mailbox.name.to_string(),
        messages: count(mailbox.messages),
        uid_validity: mailbox.uid_validity,
        uid_next: mailbox.uid_next,
        keywords: count(mailbox.keywords),
        pop3_uidls: count(mailbox.uidls),
        was_taken_over: mailbox.known,
        lost: mailbox.lost.clone(),
    };
    if found.mailboxes.iter().any(|mailbox| !mailbox.known) {
        notes.push(
            "mod-sequences begin anew, above all that there were: clients that compare them ask for \
             all flags once"
                .to_owned(),
        );
    }
    Report {
        path: path.display().to_string(),
        format: found.format.as_str().to_owned(),
        taken_over,
        mailboxes: found.mailboxes.iter().map(mailbox).collect(),
        notes,
        obstacles: found.obstacles.clone(),
    }
}

/// What Dovecot does not learn.
fn lost_there(found: &Adoption) -> Vec<String> {
    let mut lost = Vec::new();
    if found.format == Format::Sdbox {
        lost.push("save dates, for which Dovecot takes the times of the files".to_owned());
    }
    if found.format != Format::Maildir {
        lost.push("unique-ids of POP3 that are not in the messages themselves".to_owned());
    }
    lost
}

fn tell(wish: &Wish, report: &Report, console: &mut Console<'_>) {
    for mailbox in &report.mailboxes {
        for lost in &mailbox.lost {
            console.say(format_args!("{}: not kept: {lost}", mailbox.name));
        }
    }
    for note in &report.notes {
        console.say(format_args!("not kept: {note}"));
    }
    for obstacle in &report.obstacles {
        console.complain(obstacle);
    }
    let messages: u64 = report.mailboxes.iter().map(|m| m.messages).sum();
    let mailboxes = report.mailboxes.len();
    let (format, path) = (&report.format, &report.path);
    let all = format!("{mailboxes} mailboxes with {messages} messages");
    let over = match wish.way {
        Way::Here => "taken over",
        Way::Dovecot => "handed over",
    };
    match (report.taken_over, report.obstacles.is_empty(), wish.way) {
        (true, _, Way::Here) => console.say(format_args!(
            "{over}: {all}; [storage] format = {format:?} serves them from {path}"
        )),
        (true, _, Way::Dovecot) => console.say(format_args!(
            "{over}: {all}; mail_location = {format}:{path} has Dovecot serve them"
        )),
        (false, true, _) => console.say(format_args!("could be {over}: {all}")),
        (false, false, _) => console.complain(format_args!("nothing was {over}")),
    }
}

/// True if both lead to the same directory.
fn same(root: &Path, path: &Path) -> bool {
    let real = |path: &Path| path.canonicalize().ok();
    root == path || real(root).is_some_and(|root| Some(root) == real(path))
}

/// The user whose mail it is, or that of a namespace, if this server knows one.
fn patient(path: &Path, config: &Config) -> Result<Option<Patient>, Failure> {
    let all = patients(None, config, &mut |_| ())?;
    let has = |patient: &Patient| patient.location.parts().any(|part| same(&part.root, path));
    Ok(all.into_iter().find(has))
}

impl Patient {
    /// What lies at a path that is the user's; all of the mail if none is.
    fn at(&self, path: &Path) -> &Location {
        let mut parts = self.location.parts();
        parts
            .find(|part| same(&part.root, path))
            .unwrap_or(&self.location)
    }

    /// What a mailbox of that place is called; `None`: names there are not of this account.
    fn named(&self, path: &Path, name: &MailboxName) -> Option<MailboxName> {
        let mut namespaces = self.location.form.namespaces.iter();
        match namespaces.find(|namespace| same(&namespace.location.root, path)) {
            None => Some(name.clone()),
            Some(namespace) if name.is_inbox() => Some(namespace.prefix.clone()),
            Some(namespace) => MailboxName::new(&format!("{}/{name}", namespace.prefix)).ok(),
        }
    }
}

/// Has an index that there is know which messages have keywords without letters; one that is made later finds that
/// where it lies.
fn keep_keywords(
    path: &Path,
    found: &Adoption,
    config: &Config,
    console: &mut Console<'_>,
) -> Result<Option<String>, Failure> {
    let mut some = found.mailboxes.iter().filter(|m| m.tells_beyond).peekable();
    let patient = match some.peek() {
        Some(_) => patient(path, config)?,
        None => None,
    };
    let served = patient.filter(|patient| patient.at(path).form.format == found.format);
    let Some(patient) = served else {
        return Ok(None);
    };
    let mut owners = Owners::alone(config).map_err(|error| Failure(error.to_string()))?;
    let identity = owners.serve(patient.asked(), &patient.location);
    let identity = identity.map_err(|error| Failure(format!("{}: {error}", patient.name)))?;
    let kept = with_rights_of(identity, || {
        let told =
            |error: Error| Failure(format!("{}: {}", patient.index.display(), error.reason()));
        let limits = Limits::from(&config.limits);
        let host = Host::open(&patient.index, limits).map_err(told)?;
        let kept = relearn(&host, &patient, path, &mut some);
        host.close().map_err(told)?;
        Ok(kept)
    })?;
    if let Err(error) = kept {
        console.complain(format_args!("{}: {}", patient.name, error.reason()));
        return Ok(Some(
            "some keywords beyond the first 26 of a mailbox".to_owned(),
        ));
    }
    Ok(None)
}

fn relearn(
    host: &Host,
    patient: &Patient,
    path: &Path,
    mailboxes: &mut dyn Iterator<Item = &Adopted>,
) -> Result<(), Error> {
    let account = host.account_at(&patient.name, &patient.location)?;
    for mailbox in mailboxes {
        let name = patient.named(path, &mailbox.name);
        account.relearn_keywords(&name.ok_or(Error::NoSuchMailbox)?)?;
    }
    Ok(())
}
