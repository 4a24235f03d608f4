//! The power is cut at every flush of a disk with a file system of its own, and between them, when of what
//! was not flushed some sectors are on the disk and others are not, in any order. The kernel then repairs its
//! file system, and all that was acknowledged is there, once, under its UID.
//!
//! `DOVELET_BLOCK_CUTS` says how many points for each format, `DOVELET_BLOCK_CUTS_SEED` repeats a run.

use super::blocks::{self, Disk, Event, Mounted};
use super::platter::{Dice, Image};
use super::power_cut::temporary;
use super::script::{self, Client, Step};
use super::told::verify;
use crate::config::{Form, Format, Layout};
use crate::mailbox::{Host, Limits};
use std::fs::{self, FileTimes};
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::UNIX_EPOCH;

/// Points for each format.
const POINTS: usize = 60;

fn setting(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

/// In what form the mail is that lies below a directory.
type Kind = fn(&Path) -> Form;

/// All that happened to a disk, and when what was told.
struct Recorded {
    form: Kind,
    image: Image,
    events: Vec<Event>,
    /// How many events there had been when the step of that number began.
    begun: Vec<usize>,
    steps: Vec<Step>,
}

/// Errors: this machine cannot do it.
fn record(
    form: Kind,
    script: fn(&mut Client),
    limits: fn() -> Limits,
    rests: bool,
) -> io::Result<Recorded> {
    let directory = temporary();
    let image = blocks::formatted(directory.path())?;
    let (file, place) = (directory.path().join("disk"), directory.path().join("at"));
    fs::create_dir(&place)?;
    let disk = Disk::new(&file, &image)?;
    let mounted = Mounted::new(&file, &place)?;
    let begun = Arc::new(Mutex::new(vec![0]));
    let (starts, log) = (begun.clone(), disk.log.clone());
    let index = place.join("index");
    let own = form(&place);
    let elsewhere = own.inbox.as_deref().and_then(Path::parent);
    elsewhere.map_or(Ok(()), fs::create_dir)?;
    let opened = move || Host::open_in(&index, own.clone(), limits()).unwrap();
    let root = place.join("mail");
    fs::create_dir(&root)?;
    script::found(&root, &form(&place));
    let mut client = Client::new(&root, opened, move |_| {
        let now = log.lock().unwrap().events.len();
        starts.lock().unwrap().push(now);
    });
    if rests {
        client.rest();
    }
    script(&mut client);
    let steps = client.finish();
    let events = std::mem::take(&mut disk.log.lock().unwrap().events);
    drop((mounted, disk));
    let begun = begun.lock().unwrap().clone();
    Ok(Recorded {
        form,
        image,
        events,
        begun,
        steps,
    })
}

/// Where the power is cut.
#[derive(Debug)]
struct Point {
    /// All events before this one are on the disk.
    sure: usize,
    /// Of those from there to here some are.
    end: usize,
    seed: u64,
}

impl Recorded {
    /// The step that was under way after so many events.
    fn step(&self, events: usize) -> usize {
        self.begun.partition_point(|begun| *begun <= events) - 1
    }

    /// Places behind each flush since the first step began.
    fn flushes(&self) -> Vec<usize> {
        let all = self.events.iter().enumerate().skip(self.begun[1]);
        let flushed = all.filter(|(_, event)| matches!(event, Event::Flushed));
        flushed.map(|(at, _)| at + 1).collect()
    }

    /// So many points: half of them, or all that there are, at flushes, the others behind one.
    fn points(&self, count: usize, dice: &mut Dice) -> Vec<Point> {
        let flushes = self.flushes();
        let whole = flushes.len().min(count / 2);
        let exact = |number: usize| flushes[number * flushes.len() / whole];
        let mut points: Vec<Point> = (0..whole)
            .map(|number| (exact(number), exact(number)))
            .map(|(sure, end)| Point { sure, end, seed: 0 })
            .collect();
        while points.len() < count {
            let sure = flushes[dice.below(flushes.len() as u64) as usize];
            let rest = self.events[sure..].iter();
            let open = rest
                .take_while(|event| matches!(event, Event::Written(..)))
                .count();
            points.push(Point {
                sure,
                end: sure + dice.below(open as u64 + 1) as usize,
                seed: dice.below(1 << 31),
            });
        }
        // Each is made from the one before.
        points.sort_by_key(|point| (point.sure, point.end));
        points
    }
}

/// What stands on the disk, and up to which event it is made.
struct Platter {
    image: Image,
    made: usize,
}

impl Platter {
    fn go(&mut self, events: &[Event], to: usize) {
        for event in &events[self.made..to] {
            if let Event::Written(offset, bytes) = event {
                self.image.write(*offset, bytes);
            }
        }
        self.made = to;
    }
}

/// What is left was made before the host was started.
fn age_locks(directory: &Path) -> io::Result<()> {
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        if path.is_dir() {
            age_locks(&path)?;
        } else if path.extension().is_some_and(|end| end == "lock") {
            let times = FileTimes::new().set_modified(UNIX_EPOCH);
            fs::File::options()
                .append(true)
                .open(&path)?
                .set_times(times)?;
        }
    }
    Ok(())
}

fn check(recorded: &Recorded, image: &Image, point: &Point, with_index: bool) -> usize {
    let directory = temporary();
    let (file, place) = (directory.path().join("disk"), directory.path().join("at"));
    let mut image = image.clone();
    let mut dice = Dice::new(point.seed);
    let open = &recorded.events[point.sure..point.end];
    open.iter()
        .for_each(|event| blocks::tear(&mut image, event, &mut dice));
    blocks::put(&image, &file).unwrap();
    fs::create_dir(&place).unwrap();
    let _mounted = Mounted::new(&file, &place).unwrap();
    age_locks(&place).unwrap();
    let step = recorded.step(point.end);
    let steps = &recorded.steps;
    let (before, after) = (&steps[step - 1].told, &steps[steps[step].last].told);
    verify(before, after, with_index, &|with_index| {
        let index = place.join(if with_index { "index" } else { "none" });
        if !with_index {
            fs::remove_file(&index).ok();
        }
        let host = Host::open_in(&index, (recorded.form)(&place), Limits::default()).unwrap();
        let account = host.account("u", &place.join("mail")).unwrap();
        (host, account)
    })
}

/// Returns how many mailboxes were not looked at; `None`: this machine cannot do it.
fn survives(name: &str, form: Kind, rests: bool) -> Option<usize> {
    survives_all_of(name, form, script::everything, rests)
}

fn survives_all_of(name: &str, form: Kind, script: fn(&mut Client), rests: bool) -> Option<usize> {
    survives_recorded(name, || record(form, script, script::limits, rests))
}

fn survives_recorded(name: &str, record: impl Fn() -> io::Result<Recorded>) -> Option<usize> {
    let recorded = match record() {
        Ok(recorded) => recorded,
        Err(error) => {
            println!("skipped: no disk of its own to be had: {error}");
            return None;
        }
    };
    let count = setting("DOVELET_BLOCK_CUTS").map_or(POINTS, |count| count as usize);
    let seed = setting("DOVELET_BLOCK_CUTS_SEED").unwrap_or(7);
    let points = recorded.points(count, &mut Dice::new(seed));
    let mut platter = Platter {
        image: recorded.image.clone(),
        made: 0,
    };
    let (mut failures, mut trusted) = (Vec::new(), 0);
    for (number, point) in points.iter().enumerate() {
        platter.go(&recorded.events, point.sure);
        let with_index = number % 3 > 0;
        let checked =
            std::panic::catch_unwind(|| check(&recorded, &platter.image, point, with_index));
        trusted += checked.as_ref().ok().copied().unwrap_or(0);
        if checked.is_err() {
            let step = recorded.steps[recorded.step(point.end)].what;
            let what = format!("{point:?}, index {with_index}, in {step:?}");
            println!("{what}");
            failures.push(what);
        }
        assert!(failures.len() < 8, "seed {seed}: {failures:#?}");
    }
    assert!(failures.is_empty(), "seed {seed}: {failures:#?}");
    let flushes = recorded.flushes().len();
    println!(
        "{name}: {count} power cuts, {flushes} flushes, none lost anything, {trusted} mailboxes at rest"
    );
    Some(trusted)
}

/// Of a mailbox that was at rest for a moment the directories tell whether something happened since.
#[test]
fn acknowledged_survives_on_a_disk_with_a_maildir_at_rest() {
    if let Some(trusted) = survives("Maildir at rest", |_| Format::Maildir.into(), true) {
        assert!(trusted > 0);
    }
}

#[test]
fn acknowledged_survives_on_a_disk_with_a_maildir() {
    survives("Maildir", |_| Format::Maildir.into(), false);
}

#[test]
fn acknowledged_survives_on_a_disk_with_nested_directories() {
    let nested: Kind = |_| Form {
        layout: Layout::Nested,
        ..Form::default()
    };
    survives("Maildir of nested directories", nested, false);
}

#[test]
fn acknowledged_survives_on_a_disk_with_an_sdbox() {
    survives("sdbox", |_| Format::Sdbox.into(), false);
}

#[test]
fn acknowledged_survives_on_a_disk_with_an_mdbox() {
    survives("mdbox", |_| Format::Mdbox.into(), false);
}

#[test]
fn acknowledged_survives_on_a_disk_with_an_mbox() {
    survives("mbox", |_| Format::Mbox.into(), false);
}

#[test]
fn acknowledged_survives_on_a_disk_with_messages_put_aside() {
    let alternate: Kind = |place| Form {
        alternate: Some(place.join("slow")),
        ..Format::Mdbox.into()
    };
    survives("mdbox with an alternate", alternate, false);
}

#[test]
fn acknowledged_survives_on_a_disk_with_an_inbox_elsewhere() {
    let elsewhere: Kind = |place| Form {
        inbox: Some(place.join("spool/u")),
        ..Format::Mbox.into()
    };
    survives("INBOX elsewhere", elsewhere, false);
}

#[test]
fn acknowledged_survives_on_a_disk_with_a_namespace() {
    survives_all_of(
        "Maildir and an mdbox",
        |place| script::with_archive(Format::Maildir, Format::Mdbox, &place.join("archive")),
        script::across,
        true,
    );
}

#[test]
fn acknowledged_survives_on_a_disk_with_a_namespace_of_another_format() {
    survives_all_of(
        "sdbox and a Maildir",
        |place| script::with_archive(Format::Sdbox, Format::Maildir, &place.join("archive")),
        script::across,
        false,
    );
}

/// What comes at once shares syncs.
fn survives_a_crowd(name: &str, form: Kind) {
    survives_recorded(name, || record(form, script::crowded, script::roomy, false));
}

#[test]
fn acknowledged_survives_on_a_disk_with_a_crowded_mdbox() {
    survives_a_crowd("crowded mdbox", |_| Format::Mdbox.into());
}

#[test]
fn acknowledged_survives_on_a_disk_with_a_crowded_sdbox() {
    survives_a_crowd("crowded sdbox", |_| Format::Sdbox.into());
}
