//! One user after the other.

use super::check;
use super::places::{Found, Places};
use crate::admin::console::{Console, Exit, Failure};
use crate::admin::intact::Look;
use crate::admin::options::{Options, load};
use crate::admin::patient::{Lock, Patient, keep_server_away, patients, with_rights_of};
use crate::admin::replica::{Letters, OUTRUN, Replica, fault};
use crate::admin::visit::{End, alone};
use crate::config::{Config, Form, Format, Location};
use crate::mail::MailboxName;
use crate::server::{Owners, Visit};
use crate::store;
use miniserde::Serialize;

/// Octets that a message takes beside its own, in a file of its own and among others.
const FILE_OCTETS: u64 = 4096;
const FRAME_OCTETS: u64 = 512;

/// Which formats, and whose mail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Convert {
    pub(crate) from: Format,
    pub(crate) to: Format,
    /// Of all users if `None`.
    pub(crate) user: Option<String>,
    pub(crate) json: bool,
}

/// What came of a user's mail.
#[derive(Debug, Default, Serialize)]
struct Row {
    user: String,
    converted: bool,
    mailboxes: u64,
    messages: u64,
    /// Messages that are known by other GUIDs now.
    renamed: u64,
    /// Messages without fields that the format keeps for itself.
    shortened: u64,
    /// Where the old tree is.
    old: Option<String>,
}

/// Converts. Ends with what the first user ended with whose mail could not be.
pub(crate) fn run(wanted: &Convert, options: &Options, console: &mut Console<'_>) -> Exit {
    let done = load(options)
        .map_err(End::from)
        .and_then(|config| all(wanted, &config, console));
    done.unwrap_or_else(|end| end.tell(console))
}

fn all(wanted: &Convert, config: &Config, console: &mut Console<'_>) -> Result<Exit, End> {
    let mut exit = Exit::Success;
    let users = patients(wanted.user.as_deref(), config, &mut |failure| {
        exit = Exit::Failure;
        console.complain(failure.0);
    })?;
    if let Some(name) = &wanted.user
        && users.is_empty()
        && exit == Exit::Success
    {
        let what = format!("user {name:?}: no such user");
        return Err(End::new(Exit::NoUser, what));
    }
    let lock = keep_server_away(config)?;
    if let Lock::Held(by) = lock {
        let data = config.data_dir.display();
        let what = format!("{by} works in {data}: stop it first, then try again");
        return Err(End::new(Exit::TryAgain, what));
    }
    let (mut any, mut common) = (false, false);
    for user in &users {
        match one(wanted, user, config, console) {
            Ok(row) => {
                any |= row.converted;
                common |= row.converted && user.mail.is_none();
                tell(wanted, &row, console);
                if row.converted && user.mail.is_some() {
                    console.complain(format_args!(
                        "before the server starts again, the line of {} in the users file has to say {}, where it \
                         says {} (userdb_mail)",
                        user.name,
                        wanted.to.as_str(),
                        wanted.from.as_str()
                    ));
                }
            }
            Err(end) => {
                console.complain(format_args!("{}: {}", user.name, end.text));
                if exit == Exit::Success {
                    exit = end.exit;
                }
            }
        }
    }
    if any && !config.storage.namespaces.is_empty() {
        console.complain(
            "mailboxes of namespaces stay in the formats and places that [[namespace]] names",
        );
    }
    if common && config.storage.format != wanted.to {
        let to = wanted.to.as_str();
        console.complain(format_args!(
            "before the server starts again, the settings have to say: [storage] format = {to:?}"
        ));
    }
    Ok(exit)
}

/// A mailbox and the digest of what is known of it.
type Known = Vec<(MailboxName, [u8; 32])>;

fn one(
    wanted: &Convert,
    user: &Patient,
    config: &Config,
    console: &mut Console<'_>,
) -> Result<Row, End> {
    let places = Places::of(&user.location.root, wanted.from, wanted.to);
    let mut row = Row {
        user: user.name.clone(),
        ..Row::default()
    };
    let found = places.look(wanted.from, wanted.to)?;
    if found != Found::ToConvert {
        row.old = places
            .old
            .exists()
            .then(|| places.old.display().to_string());
        return Ok(row);
    }
    // Such a line says how mailboxes lie there, too, which goes with the format.
    if user.mail.is_some() && user.location.form.format != wanted.from {
        let from = wanted.from.as_str();
        let what = format!(
            "the line of this user in the users file has to say {from} until the mail is converted"
        );
        return Err(End::new(Exit::Failure, what));
    }
    if user.location.own_directories().count() > 1 {
        let what = "messages are in a place of their own ([storage] inbox or alternate), and only what is in \
                    one directory is converted: bring them there first, with altmove --back from an alternate";
        return Err(End::new(Exit::Failure, what));
    }
    let owners = |error: crate::server::Error| End::from(Failure(error.to_string()));
    let new = Location {
        root: places.new.clone(),
        form: form(user, config, wanted.to),
    };
    let identity = Owners::alone(config)
        .and_then(|mut owners| owners.serve(user.asked(), &new))
        .map_err(owners)?;
    let before = alone(&of(user, config, wanted.from), config, |visit| {
        let work = Work {
            wanted,
            config,
            places: &places,
            new: &new,
        };
        with_rights_of(identity, || work.build(visit, &mut row, console))
    })?;
    places.exchange()?;
    let after = alone(&of(user, config, wanted.to), config, |visit| {
        before.iter().map(|(name, _)| known(visit, name)).collect()
    });
    match after {
        Ok(after) if Known::eq(&after, &before) => {}
        other => {
            places.take_back()?;
            let what = "the mail was not the same in the new format, and is what it was again";
            return Err(other.err().unwrap_or(End::new(Exit::Failure, what)));
        }
    }
    row.converted = true;
    row.old = Some(places.old.display().to_string());
    Ok(row)
}

/// As it lies there, which the user's own line may say, in one directory.
fn form(user: &Patient, config: &Config, format: Format) -> Form {
    let compression = config.storage.compression;
    Form {
        format,
        compression: compression.filter(|_| format != Format::Mbox),
        inbox: None,
        alternate: None,
        namespaces: Vec::new(),
        ..user.location.form.clone()
    }
}

/// A user whose mail has another format.
fn of(user: &Patient, config: &Config, format: Format) -> Patient {
    let mut user = user.clone();
    user.location.form = form(&user, config, format);
    user
}

fn known(visit: &mut Visit, name: &MailboxName) -> Result<(MailboxName, [u8; 32]), End> {
    let (portrait, listings) = visit.look(name)?;
    Ok((name.clone(), check::known(&portrait, &listings)))
}

struct Work<'a> {
    wanted: &'a Convert,
    config: &'a Config,
    places: &'a Places,
    new: &'a Location,
}

impl Work<'_> {
    /// Makes the new tree, whole and durable, and compares it with the old one.
    fn build(
        &self,
        visit: &mut Visit,
        row: &mut Row,
        console: &mut Console<'_>,
    ) -> Result<Known, End> {
        let names = visit.account()?.mailboxes;
        self.places.admit(self.octets(visit, &names)?)?;
        let rotate = self.config.limits.mdbox_rotate_octets;
        let Location { root, form } = self.new;
        let open = || store::open(root, form.clone(), rotate).map_err(fault);
        let mut store = open()?;
        let user = &row.user;
        let mut pass = |name: &MailboxName, at, of| {
            console.pass(format_args!("{user}: {name}: {at} of {of} messages copied"));
        };
        let mut replica = Replica {
            visit: &mut *visit,
            store: &mut *store,
            letters: Letters::OfTheIndex,
            look: Look::Length,
            uidl_format: &self.config.pop3.uidl_format,
            pass: &mut pass,
        };
        for name in &names {
            let copied = replica.mailbox(name)?;
            if copied.outrun {
                let what = format!("{name}: {OUTRUN}");
                return Err(End::new(Exit::TryAgain, what));
            }
            if let Some((uid, why)) = copied.unreadable.first() {
                let what = format!("{name}: UID {uid} cannot be read: {why}");
                return Err(End::new(Exit::BadData, what));
            }
        }
        replica.account()?;
        drop(store);
        // As whoever opens it next finds it.
        let mut store = open()?;
        let mut all = Known::new();
        for name in &names {
            let (portrait, listings) = visit.look(name)?;
            let of = listings.len();
            let mut pass = |at| {
                console.pass(format_args!(
                    "{user}: {name}: {at} of {of} messages compared"
                ));
            };
            let both = (&portrait, &*listings);
            let (renamed, shortened) = check::compare(visit, &mut *store, both, &mut pass)?;
            // The index stays, and must not tell of messages what they were.
            visit.forget(&shortened)?;
            all.push((name.clone(), check::known(&portrait, &listings)));
            row.mailboxes += 1;
            row.messages += of as u64;
            row.renamed += renamed;
            row.shortened += shortened.len() as u64;
        }
        Ok(all)
    }

    /// What the new tree takes, at most.
    fn octets(&self, visit: &mut Visit, names: &[MailboxName]) -> Result<u64, End> {
        let each = match self.wanted.to {
            Format::Maildir | Format::Sdbox => FILE_OCTETS,
            Format::Mbox | Format::Mdbox => FRAME_OCTETS,
        };
        let mut octets = 0u64;
        for name in names {
            let (_, listings) = visit.look(name)?;
            for listing in &listings {
                let own = store::stored_octets(&listing.base).unwrap_or(0);
                octets = octets.saturating_add(own).saturating_add(each);
            }
        }
        Ok(octets)
    }
}

fn tell(wanted: &Convert, row: &Row, console: &mut Console<'_>) {
    if wanted.json {
        console.say(miniserde::json::to_string(row));
        return;
    }
    let (user, to) = (&row.user, wanted.to.as_str());
    match (&row.old, row.converted) {
        (None, _) => console.say(format_args!("{user}: nothing to convert")),
        (Some(old), false) => console.say(format_args!(
            "{user}: converted before; the mail as it was is in {old}"
        )),
        (Some(old), true) => {
            let (mailboxes, messages) = (row.mailboxes, row.messages);
            let mut line =
                format!("{user}: {mailboxes} mailboxes with {messages} messages are {to} now");
            for (count, what) in [
                (row.renamed, "have another EMAILID"),
                (
                    row.shortened,
                    "lack fields that the format keeps for itself",
                ),
            ] {
                if count > 0 {
                    line.push_str(&format!(", {count} {what}"));
                }
            }
            console.say(line);
            console.say(format_args!(
                "{user}: if all is well, remove what was there: rm -r {old}"
            ));
        }
    }
}
