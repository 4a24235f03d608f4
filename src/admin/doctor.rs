//! `dovelet doctor`: the index compared with the mail, mended or made anew; and `dovelet purge`.

use std::io::{Error as IoError, ErrorKind};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::time::Duration;

use super::console::{Console, Exit, Failure, Outputs};
use super::patient::{Lock, Patient, keep_server_away, log_faults, patients, with_rights_of};
use super::teller::Teller;
use crate::config::Config;
use crate::mailbox::{Care, Error, Host, Limits, Report};
use crate::server::{Owners, care_for, holder};
use crate::sys::clock;

/// What is to be done, and how it is told.
#[derive(Clone, Debug)]
pub(crate) struct Treatment {
    pub(crate) care: Care,
    pub(crate) json: bool,
}

/// Cares for the mail of `user`, or of all users.
pub(crate) fn run(
    user: Option<&str>,
    treatment: Treatment,
    config: &Config,
    console: &mut Console<'_>,
) -> Result<Exit, Failure> {
    let mut lost = false;
    let patients = patients(user, config, &mut |failure| {
        lost = true;
        console.complain(failure.0);
    })?;
    if patients.is_empty() && !lost {
        match user {
            Some(name) => return Err(Failure(format!("user {name:?}: no such user"))),
            None => console.complain("there are no users"),
        }
    }
    let (present, absent): (Vec<&Patient>, Vec<&Patient>) = patients.iter().partition(|patient| {
        // Who names somebody may want to have mail begin anew that is gone.
        let anew = treatment.care == Care::Rebuild && user.is_some();
        anew || patient.location.root.is_dir()
    });
    for patient in absent {
        let root = patient.location.root.display();
        if !treatment.json {
            console.say(format_args!("{}: no mail in {root}", patient.name));
        }
    }
    log_faults(config);
    let healthy = match keep_server_away(config)? {
        Lock::Held(_) => online(&present, &treatment, config, console)?,
        Lock::Ours(_lock) => offline(&present, &treatment, config, console)?,
    };
    Ok(if healthy && !lost {
        Exit::Success
    } else {
        Exit::Failure
    })
}

/// Who does it for a user, and tells of it.
type Ask<'a, E> = dyn FnMut(Care, &mut dyn FnMut(Report)) -> Result<(), E> + 'a;

/// Has it done. A scrub goes in slices, with so much time between them that no more than `scrub_octets` are
/// read in a second. Returns whether no message needs to be looked at.
fn treat<E>(
    care: &Care,
    config: &Config,
    teller: &mut Teller<'_, '_>,
    ask: &mut Ask<'_, E>,
) -> Result<bool, E> {
    if *care != Care::Scrub {
        ask(care.clone(), &mut |report| teller.tell(report))?;
        return Ok(!teller.damaged);
    }
    ask(Care::Check, &mut |report| teller.tell(report))?;
    loop {
        let (began, mut read, mut more) = (clock::now(), 0, false);
        ask(Care::Scrub, &mut |report| {
            if let Report::Scrubbed { octets, ended, .. } = report {
                (read, more) = (octets, !ended);
            }
            teller.tell(report);
        })?;
        if !more {
            return Ok(!teller.damaged);
        }
        let rate = u64::from(config.limits.scrub_octets).max(1);
        let due = Duration::from_millis(read.saturating_mul(1000) / rate);
        let took = clock::now().saturating_sub(began);
        std::thread::sleep(due.saturating_sub(took));
    }
}

/// Has the running server do it, which has the index files open. Returns whether all went well.
/// Errors: the server does not answer at all.
fn online(
    patients: &[&Patient],
    treatment: &Treatment,
    config: &Config,
    console: &mut Console<'_>,
) -> Result<bool, Failure> {
    let Treatment { care, json } = treatment;
    let mut outputs = console.outputs();
    let mut healthy = true;
    for patient in patients {
        let mut teller = Teller::new(&mut outputs, &patient.name, *json);
        let done = treat(
            care,
            config,
            &mut teller,
            &mut |care, report| match care_for(&config.data_dir, patient.asked(), care, report) {
                Ok(true) => Ok(()),
                Ok(false) => Err(IoError::from(ErrorKind::NotConnected)),
                Err(error) => Err(error),
            },
        );
        match done {
            Ok(well) => healthy &= well,
            Err(error) if error.kind() == ErrorKind::NotConnected => {
                let data = config.data_dir.display();
                return Err(Failure(format!(
                    "{} works in {data} and cannot be asked: stop it first, then try again",
                    holder(&config.data_dir)
                )));
            }
            Err(error) => {
                outputs.complain(format_args!("{}: {error}", patient.name));
                healthy = false;
            }
        }
    }
    Ok(healthy)
}

/// Opens the index files itself, with directories and rights as a server has them. Returns whether all
/// went well. Errors: the data directory cannot be used.
fn offline(
    present: &[&Patient],
    treatment: &Treatment,
    config: &Config,
    console: &mut Console<'_>,
) -> Result<bool, Failure> {
    if present.is_empty() {
        return Ok(true);
    }
    let mut healthy = true;
    let mut owners = Owners::alone(config).map_err(|error| Failure(error.to_string()))?;
    // Without isolation all have one index file, with it each has its own.
    for group in present.chunk_by(|a, b| a.index == b.index) {
        let (mut identity, mut ready) = (None, Vec::new());
        for patient in group {
            match owners.serve(patient.asked(), &patient.location) {
                Ok(found) => {
                    identity = found;
                    ready.push(*patient);
                }
                Err(error) => {
                    console.complain(format_args!("{}: {error}", patient.name));
                    healthy = false;
                }
            }
        }
        let mut outputs = console.outputs();
        let examined = with_rights_of(identity, || {
            examine(&ready, treatment, config, &mut outputs)
        });
        match examined {
            Ok(well) => healthy &= well,
            Err(failure) => {
                console.complain(failure);
                healthy = false;
            }
        }
    }
    Ok(healthy)
}

/// Whether the mail of all these users, who share an index file, could be looked at. One that is found damaged is put
/// aside, and all is looked at again.
fn examine(
    group: &[&Patient],
    treatment: &Treatment,
    config: &Config,
    outputs: &mut Outputs<'_>,
) -> Result<bool, Failure> {
    Host::look_for_damage();
    let looked = AssertUnwindSafe(|| look_at(group, treatment, config, outputs));
    let looked = catch_unwind(looked);
    match group.first().filter(|_| Host::is_damaged()) {
        None => looked.unwrap_or_else(|panic| resume_unwind(panic)),
        Some(patient) => {
            let begun = Host::begin_anew(&patient.index);
            begun.map_err(|error| Failure(error.reason_at(&patient.index)))?;
            look_at(group, treatment, config, outputs)
        }
    }
}

fn look_at(
    group: &[&Patient],
    treatment: &Treatment,
    config: &Config,
    outputs: &mut Outputs<'_>,
) -> Result<bool, Failure> {
    let Some(index) = group.first().map(|patient| patient.index.as_path()) else {
        return Ok(true);
    };
    let told = |error| {
        Failure(match error {
            Error::Busy => format!(
                "{} is in use: stop the server first, then try again",
                index.display()
            ),
            other => other.told_at(index),
        })
    };
    let host = Host::open(index, Limits::from(&config.limits)).map_err(told)?;
    let mut healthy = true;
    for Patient { name, location, .. } in group {
        let mut teller = Teller::new(outputs, name, treatment.json);
        let done = host.account_at(name, location).and_then(|account| {
            let mut ask = |care, report: &mut dyn FnMut(Report)| account.care(care, report);
            treat(&treatment.care, config, &mut teller, &mut ask)
        });
        match done {
            Ok(well) => healthy &= well,
            Err(error) => {
                outputs.complain(format_args!("{name}: {}", error.reason_at(&location.root)));
                healthy = false;
            }
        }
    }
    host.close().map_err(told)?;
    Ok(healthy)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admin::tests::{Machine, Told};
    use crate::sys::accounts::Identity;
    use std::fs::{self, File};
    use std::path::Path;

    const ANN: Identity = Identity {
        uid: 4711,
        gid: 4712,
    };

    fn owner(path: &Path) -> Identity {
        use std::os::unix::fs::MetadataExt;
        let metadata = path.symlink_metadata().unwrap();
        Identity {
            uid: metadata.uid(),
            gid: metadata.gid(),
        }
    }

    /// Users ann and bob; ann has a message. If root has the machine, ann has a uid.
    fn machine() -> Machine {
        let machine = Machine::new();
        let ids = format!("{}:{}", ANN.uid, ANN.gid);
        let users = format!("ann:!:{ids}\nbob:!\n");
        fs::write(machine.data().join("users"), users).unwrap();
        let root = machine.data().join("mail/ann");
        for directory in ["cur", "new", "tmp"] {
            fs::create_dir_all(root.join(directory)).unwrap();
        }
        let message = "Subject: one\r\n\r\ntext\r\n";
        fs::write(root.join("new/1700000000.M1P1.host"), message).unwrap();
        if Identity::own().is_root() {
            use std::os::unix::fs::{PermissionsExt, lchown};
            for path in [
                machine.path(),
                &machine.data(),
                &machine.data().join("mail"),
            ] {
                fs::set_permissions(path, fs::Permissions::from_mode(0o711)).unwrap();
            }
            for path in ["", "cur", "new", "tmp", "new/1700000000.M1P1.host"] {
                lchown(root.join(path), Some(ANN.uid), Some(ANN.gid)).unwrap();
            }
        }
        machine
    }

    #[test]
    fn mail_is_found_and_then_known() {
        let machine = machine();
        let bob = machine.data().join("mail/bob");
        let told = machine.run("doctor", "");
        let expected = format!("bob: no mail in {}\nann: INBOX: ", bob.display());
        let line = told.out.strip_prefix(&expected).unwrap_or_default();
        assert!(line.contains(", 1 messages, UIDVALIDITY "), "{told:?}");
        assert!(line.ends_with(", UIDNEXT 2\n"), "{told:?}");
        assert_eq!((told.exit, told.err.as_str()), (Exit::Success, ""));

        let numbers = line.split_once(", ").unwrap().1;
        for (command, word) in [
            ("doctor --user ANN", "ok"),
            ("doctor --user ann --rebuild", "rebuilt"),
            ("doctor --user ann", "ok"),
        ] {
            let expected = format!("ann: INBOX: {word}, {numbers}");
            assert_eq!(machine.run(command, ""), Told::success(&expected));
        }
    }

    #[test]
    fn room_in_the_index_is_told() {
        let machine = machine();
        // Of a mailbox that the index does not know there is nothing to tell.
        assert_eq!(machine.run("index stats --user ann", ""), Told::success(""));
        machine.run("doctor --user ann", "");
        let told = machine.run("index stats --user ann --json", "");
        let octets = told.out.split("\"octets\":").nth(1).unwrap_or_default();
        let octets: u64 = octets.split('}').next().unwrap().parse().unwrap();
        assert!((30..500).contains(&octets), "{told:?}");
        for part in [
            "{\"user\":\"ann\",\"about\":\"index\",\"mailbox\":\"INBOX\",",
            "\"messages\":1,",
            "\"cached\":0,\"cached_octets\":0,\"octets\":",
        ] {
            assert!(told.out.contains(part), "{told:?}");
        }
        let expected =
            format!("ann: INBOX: 1 messages, {octets} octets, 0 of them fields of 0 messages\n");
        assert_eq!(
            machine.run("index stats", "").out.lines().last(),
            expected.lines().last()
        );
        let told = machine.run("index cache --user ann --forget --json", "");
        for part in [
            "\"about\":\"cache\",\"mailbox\":\"INBOX\",",
            "\"kept\":\"header 2",
            "\"octets\":0}",
        ] {
            assert!(told.out.contains(part), "{told:?}");
        }
        let told = machine.run("index cache --user ann --mailbox nothing", "");
        assert!(
            told.err.contains("the index knows no mailbox of that name"),
            "{told:?}"
        );
    }

    #[test]
    fn a_scrub_tells_of_damage_and_of_what_it_repaired() {
        use std::os::unix::fs::PermissionsExt;
        let machine = machine();
        let path = machine.data().join("mail/ann/new/1700000000.M1P1.host");
        let told = machine.run("doctor --user ann --scrub", "");
        let last = "ann: read 1 messages, 22 octets\n";
        assert!(told.out.ends_with(last), "{told:?}");
        assert_eq!(told.exit, Exit::Success);
        // Nobody may read it but root, as whom nothing is done.
        fs::set_permissions(&path, fs::Permissions::from_mode(0o000)).unwrap();
        let told = machine.run("doctor --user ann --scrub", "");
        let line = format!(
            "ann: INBOX: UID 1: repaired: nobody was allowed to read it ({})\n{last}",
            path.display()
        );
        assert!(told.out.ends_with(&line), "{told:?}");
        assert_eq!((told.exit, told.err.as_str()), (Exit::Success, ""));
        // Its octets are as many as they were.
        let message = "Subject: one\r\n\r\ntexx\r\n";
        fs::write(&path, message).unwrap();
        let told = machine.run("doctor --user ann --scrub --json", "");
        assert_eq!(told.exit, Exit::Failure);
        let lines: Vec<&str> = told.out.lines().collect();
        let [mailbox, damaged, scrub] = lines[..] else {
            panic!("{told:?}");
        };
        let about = |about: &str| format!("{{\"user\":\"ann\",\"about\":\"{about}\",");
        assert!(mailbox.starts_with(&about("mailbox")), "{mailbox}");
        let start = format!(
            "{}\"mailbox\":\"INBOX\",\"uid\":1,\"verdict\":\"damaged\",\"why\":\"its octets are others than they \
             were\",\"file\":\"{}\",",
            about("message"),
            path.display()
        );
        assert!(damaged.starts_with(&start), "{damaged}");
        assert!(scrub.starts_with(&about("scrub")) && scrub.ends_with(",\"octets\":22}"));
        // What it was is still known.
        let told = machine.run("doctor --user ann --scrub", "");
        assert!(told.exit == Exit::Failure && told.out.contains("UID 1: damaged: "));
        fs::write(&path, message.replace("texx", "text")).unwrap();
        assert_eq!(machine.run("doctor --scrub", "").exit, Exit::Success);
        let told = machine.run("doctor --scrub --rebuild", "");
        assert_eq!(told.exit, Exit::Usage, "{told:?}");
    }

    #[test]
    fn what_a_purge_gave_back_is_told() {
        let machine = machine();
        let told = machine.run("purge --user ann", "");
        assert_eq!(
            told,
            Told::success("ann: purged 0 files, 0 octets are free\n")
        );
        let told = machine.run("purge --json", "");
        let start = "{\"user\":\"ann\",\"about\":\"purge\",";
        let end = ",\"octets\":0}\n";
        assert!(
            told.out.starts_with(start) && told.out.ends_with(end),
            "{told:?}"
        );
        assert!(told.out.contains("\"files\":0,"), "{told:?}");
        assert_eq!((told.exit, told.err.as_str()), (Exit::Success, ""));
    }

    #[test]
    fn lost_mail_is_a_failure() {
        let machine = Machine::new();
        let data = machine.data();
        fs::write(data.join("users"), "bob:!\n").unwrap();
        fs::write(data.join("dovelet.toml"), "[storage]\nformat = \"mdbox\"\n").unwrap();
        let told = machine.run("deliver -d bob", "Subject: one\r\n\r\ntext\r\n");
        assert_eq!(told, Told::success(""));
        assert_eq!(machine.run("doctor --scrub", "").exit, Exit::Success);
        fs::remove_file(data.join("mail/bob/storage/m.1")).unwrap();
        let told = machine.run("doctor --scrub", "");
        let line = "bob: INBOX: UID 1: lost: somebody removed the files that they were in\n";
        assert!(told.out.contains("; gone: UID 1\n"), "{told:?}");
        assert!(told.out.contains(line), "{told:?}");
        assert_eq!(told.exit, Exit::Failure);
        let told = machine.run("doctor --json", "");
        let part = "\"mailbox\":\"INBOX\",\"uid\":null,\"verdict\":\"lost\",";
        assert!(
            told.out.contains(part) && told.out.contains("\"gone\":\"1\""),
            "{told:?}"
        );
        assert_eq!(told.exit, Exit::Failure);
    }

    #[test]
    fn a_mailbox_that_may_not_be_used_is_left_out_and_the_others_are_read() {
        use std::os::unix::fs::{PermissionsExt, lchown};
        let machine = machine();
        let root = machine.data().join("mail/ann");
        for mailbox in [".closed", ".other"] {
            for directory in ["", "cur", "new", "tmp"] {
                let path = root.join(mailbox).join(directory);
                fs::create_dir(&path).unwrap();
                if Identity::own().is_root() {
                    lchown(&path, Some(ANN.uid), Some(ANN.gid)).unwrap();
                }
            }
        }
        let closed = root.join(".closed");
        let mode = |mode| fs::set_permissions(&closed, fs::Permissions::from_mode(mode)).unwrap();
        mode(0o000);
        let told = machine.run("doctor --user ann --scrub", "");
        let start =
            "ann: closed: cannot be used: the account that it runs as may not use the files; ";
        let line = told.out.lines().find(|line| line.starts_with(start));
        let line = line.unwrap_or_default();
        let way = format!("{} is of uid ", closed.display());
        assert!(
            line.contains(&way) && line.ends_with(": change its mode"),
            "{told:?}"
        );
        for other in ["INBOX", "other"] {
            let start = format!("ann: {other}: indexed for the first time, ");
            assert!(told.out.contains(&start), "{told:?}");
        }
        let last = "ann: read 1 messages, 22 octets\n";
        assert!(told.out.ends_with(last), "{told:?}");
        assert_eq!((told.exit, told.err.as_str()), (Exit::Failure, ""));
        mode(0o700);
        assert_eq!(
            machine.run("doctor --user ann --scrub", "").exit,
            Exit::Success
        );
    }

    #[test]
    fn who_cannot_be_found_is_told_and_the_others_are_cared_for() {
        let machine = machine();
        let users = machine.data().join("users");
        let cat = "cat:{PLAIN}x::::::userdb_mail=imapc:\n";
        fs::write(&users, fs::read_to_string(&users).unwrap() + cat).unwrap();
        let told = machine.run("doctor", "");
        assert_eq!(told.exit, Exit::Failure);
        assert!(told.out.contains("ann"), "{}", told.out);
        let why = "dovelet: the mail of cat cannot be found: \"imapc\"";
        assert!(told.err.contains(why), "{}", told.err);
        assert_eq!(machine.run("doctor --user ann", "").exit, Exit::Success);
        let told = machine.run("doctor --user cat", "");
        assert!(told.exit == Exit::Failure && told.err.contains(why));
    }

    #[test]
    fn an_index_that_is_found_damaged_is_made_anew() {
        let machine = machine();
        let config = Config::with_defaults(machine.data(), "localhost".to_owned());
        let index = config.index_file("ann");
        let told = machine.run("doctor --user ann", "");
        let numbers = told.out.split_once(", ").unwrap().1.to_owned();
        let whole = fs::read(&index).unwrap();
        let used = (1..whole.len() / 4096).filter(|page| {
            let page = &whole[page * 4096..][..4096];
            page.iter().any(|octet| *octet != 0)
        });
        for page in used {
            let mut bytes = whole.clone();
            bytes[page * 4096..][..4096].fill(0);
            fs::write(&index, bytes).unwrap();
            let told = machine.run("doctor --user ann", "");
            assert_eq!(
                (told.exit, told.err.as_str()),
                (Exit::Success, ""),
                "{page}"
            );
            assert!(told.out.ends_with(&numbers), "{page}: {told:?}");
        }
    }

    #[test]
    fn an_unknown_user() {
        let expected = Told::failure("dovelet: user \"eve\": no such user\n");
        assert_eq!(machine().run("doctor --user eve", ""), expected);
        let nobody = Machine::new().run("doctor", "");
        assert_eq!(nobody.err, "dovelet: there are no users\n");
        assert_eq!(nobody.exit, Exit::Success);
    }

    #[test]
    fn an_index_in_use_is_left_alone() {
        let machine = machine();
        let config = Config::with_defaults(machine.data(), "localhost".to_owned());
        let index = config.index_file("ann");
        fs::create_dir_all(index.parent().unwrap()).unwrap();
        let host = Host::open(&index, Limits::default()).unwrap();
        let told = machine.run("doctor --user ann --rebuild", "");
        let expected = format!(
            "dovelet: {} is in use: stop the server first, then try again\n",
            index.display()
        );
        assert_eq!(told, Told::failure(&expected));
        host.close().unwrap();
        drop(host);
        assert_eq!(machine.run("doctor --user ann", "").exit, Exit::Success);
    }

    #[test]
    fn a_running_server_is_noticed_and_none_starts_meanwhile() {
        let machine = machine();
        let run = machine.data().join("run");
        fs::create_dir(&run).unwrap();
        let held = File::create(run.join("lock")).unwrap();
        held.lock().unwrap();
        fs::write(run.join("lock"), "12 import\n").unwrap();
        let expected = format!(
            "dovelet: `dovelet import` (process 12) works in {} and cannot be asked: stop it first, then try again\n",
            machine.data().display()
        );
        let told = machine.run("doctor --user ann", "");
        assert_eq!(told, Told::failure(&expected));
        held.unlock().unwrap();
        let config = Config::with_defaults(machine.data(), "localhost".to_owned());
        let lock = keep_server_away(&config).unwrap();
        assert!(matches!(lock, Lock::Ours(Some(_))) && held.try_lock().is_err());
        drop(lock);
        assert!(held.try_lock().is_ok());
    }

    #[test]
    fn root_works_as_the_owner_of_the_mail() {
        if !Identity::own().is_root() {
            return;
        }
        let machine = machine();
        assert_eq!(machine.run("doctor --user ann", "").exit, Exit::Success);
        let config = Config::with_defaults(machine.data(), "localhost".to_owned());
        let index = config.index_file("ann");
        for path in [
            index.as_path(),
            &config.index_directory("ann"),
            &machine.data().join("mail/ann/dovecot-uidlist"),
        ] {
            assert_eq!(owner(path), ANN, "{}", path.display());
        }
        assert!(Identity::own().is_root());
    }

    #[test]
    fn nothing_is_done_as_root() {
        // Where directories were refused, the examination went on with root's rights.
        if !Identity::own().is_root() {
            return;
        }
        let machine = machine();
        let elsewhere = machine.data().join("elsewhere");
        fs::create_dir(&elsewhere).unwrap();
        fs::create_dir(machine.data().join("index")).unwrap();
        let link = machine.data().join("index/ann");
        std::os::unix::fs::symlink(&elsewhere, &link).unwrap();
        std::os::unix::fs::lchown(&link, Some(ANN.uid), None).unwrap();
        let told = machine.run("doctor --user ann", "");
        assert_eq!(told.exit, Exit::Failure);
        assert!(told.err.contains("a link that is not root's"), "{told:?}");
        assert_eq!(fs::read_dir(&elsewhere).unwrap().count(), 0);
    }

    #[test]
    fn mail_that_an_engine_may_not_use_is_noticed() {
        // As its owner everything was in order, while nobody could log in.
        if !Identity::own().is_root() {
            return;
        }
        let machine = machine();
        fs::write(machine.data().join("users"), "ann:!:4713\n").unwrap();
        let root = machine.data().join("mail/ann");
        let told = machine.run("doctor --user ann", "");
        let expected = format!(
            "dovelet: ann: the account that it runs as may not use the files; {} is of uid 4711, \
             mode 0755, and this process runs as uid 4713: let engines run as uid 4711",
            root.display()
        );
        assert!(told.err.starts_with(&expected), "{told:?}");
        assert_eq!((told.exit, told.out.as_str()), (Exit::Failure, ""));
        assert_eq!(owner(&root), ANN);
        // The number that the server gives without one is its own to change.
        std::os::unix::fs::lchown(&root, Some(61_143), None).unwrap();
        let told = machine.run("doctor --user ann", "");
        assert_eq!(owner(&root).uid, 4713, "{told:?}");
    }
}
