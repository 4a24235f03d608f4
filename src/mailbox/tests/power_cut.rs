//! The power is cut before every change of names and before every sync of the store and of the
//! index; what was acknowledged by then is there, once, under its UID.

use super::platter::{Disk, Fate, Pages, Platter};
use super::script::{self, Client, Step};
use super::told::verify;
use crate::config::{Form, Format, Layout};
use crate::index::Index;
use crate::mailbox::{Account, Host, Limits};
use crate::store::journal;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

/// A moment at which the power may go.
struct Cut {
    disk: Disk,
    pages: Pages,
    /// The step that is under way.
    step: usize,
    before: String,
}

struct Recorder {
    root: PathBuf,
    disk: Disk,
    pages: Arc<Mutex<Pages>>,
    step: usize,
    cuts: Vec<Cut>,
}

impl Recorder {
    fn cut(&mut self, before: String) {
        self.disk.look(&self.root);
        self.cuts.push(Cut {
            disk: self.disk.clone(),
            pages: self.pages.lock().unwrap().clone(),
            step: self.step,
            before,
        });
    }
}

pub(super) fn temporary() -> tempfile::TempDir {
    // Every sync costs; where there is a file system in memory, it is as good.
    let memory = Path::new("/dev/shm");
    match memory.is_dir() {
        true => tempfile::tempdir_in(memory).unwrap(),
        false => tempfile::tempdir().unwrap(),
    }
}

/// Where the account's own mail is; what a namespace has is beside it.
fn mail(root: &Path) -> PathBuf {
    root.join("mail")
}

/// In what form the mail is that lies in a directory.
type Kind = fn(&Path) -> Form;

/// Every moment at which the power may go, and what was told after each step.
struct Recorded {
    form: Kind,
    cuts: Vec<Cut>,
    steps: Vec<Step>,
}

/// Has a client do `script` over a disk and an index that are recorded.
fn record(kind: Kind, script: fn(&mut Client)) -> Recorded {
    let directory = temporary();
    let root = directory.path();
    let form = kind(root);
    let mut namespaces = form.namespaces.iter();
    let rewrites = namespaces.any(|one| one.location.form.format == Format::Mbox);
    let pages = Arc::new(Mutex::new(Pages::default()));
    let recorder = Arc::new(Mutex::new(Recorder {
        root: root.to_owned(),
        disk: match form.format {
            Format::Mbox => Disk::in_place(root),
            _ if rewrites => Disk::in_place(root),
            _ => Disk::new(root),
        },
        pages: pages.clone(),
        step: 0,
        cuts: Vec::new(),
    }));
    let synced = recorder.clone();
    let platter = Platter {
        pages,
        synced: Arc::new(move || synced.lock().unwrap().cut("index synced".into())),
    };
    let heard = recorder.clone();
    journal::listen(Some(Box::new(move |event| {
        let mut recorder = heard.lock().unwrap();
        let mut before = format!("{event:?}");
        before.truncate(200);
        recorder.cut(before);
        recorder.disk.apply(event);
    })));
    let own = form.clone();
    let opened = move || {
        let index = Index::with_backend(platter.clone()).unwrap();
        Host::over(index, own.clone(), script::limits())
    };
    crate::store::disk::make_tree(&mail(root)).unwrap();
    script::found(&mail(root), &form);
    let begun = recorder.clone();
    let mut client = Client::new(&mail(root), opened, move |step| {
        begun.lock().unwrap().step = step
    });
    script(&mut client);
    let steps = client.finish();
    recorder.lock().unwrap().cut("the end".into());
    journal::listen(None);
    let cuts = std::mem::take(&mut recorder.lock().unwrap().cuts);
    Recorded {
        form: kind,
        cuts,
        steps,
    }
}

/// Opens what a power cut left, without an index if there is no platter.
fn reopen(root: &Path, form: Kind, platter: Option<Platter>) -> (Host, Account) {
    let platter = platter.unwrap_or_else(|| Platter::new(Pages::default()));
    let index = Index::with_backend(platter).unwrap();
    let host = Host::over(index, form(root), Limits::default());
    let account = host.account("u", &mail(root)).unwrap();
    (host, account)
}

fn check(recorded: &Recorded, cut: &Cut, fate: Fate, with_index: bool) {
    let (form, steps) = (recorded.form, &recorded.steps);
    let directory = temporary();
    let root = directory.path();
    cut.disk.leave(root, fate);
    let platter = Platter::new(cut.pages.left(fate));
    let (before, after) = (&steps[cut.step - 1].told, &steps[cut.step].told);
    verify(before, after, with_index, &|with_index| {
        reopen(root, form, with_index.then(|| platter.clone()))
    });
}

/// What becomes of the cut with this number: all is lost, and by turns one of the other fates. With
/// `DOVELET_POWER_CUT_CHANCES` every fate, and as many by chance as that says.
fn fates(at: usize) -> Vec<Fate> {
    let mut fates = vec![Fate::Lost, Fate::Kept, Fate::CameKept, Fate::WentKept];
    let seed = at as u64;
    let Ok(chances) = std::env::var("DOVELET_POWER_CUT_CHANCES") else {
        fates.push(Fate::Chance(seed));
        return vec![Fate::Lost, fates[1 + at % 4]];
    };
    let chances: u64 = chances.parse().unwrap();
    fates.extend((seed * chances..(seed + 1) * chances).map(Fate::Chance));
    fates
}

/// Every cut with the fates that it has.
fn check_all(recorded: &Recorded) {
    let Recorded { cuts, steps, .. } = recorded;
    let (mut count, mut failures) = (0, Vec::new());
    for (at, cut) in cuts.iter().enumerate().filter(|(_, cut)| cut.step > 0) {
        for fate in fates(at) {
            let with_index = count % 3 > 0;
            let what = format!(
                "cut {at}, {fate:?}, index {with_index}, in {:?} before {}",
                steps[cut.step].what, cut.before
            );
            let checked = std::panic::catch_unwind(|| check(recorded, cut, fate, with_index));
            count += 1;
            if checked.is_err() {
                failures.push(what);
            }
            assert!(failures.len() < 8, "{failures:#?}");
        }
    }
    assert!(failures.is_empty(), "{failures:#?}");
    println!("{count} power cuts at {} moments", cuts.len());
}

#[test]
fn acknowledged_survives_a_power_cut_at_any_moment() {
    survives_a_power_cut(|_| Format::Maildir.into());
}

#[test]
fn acknowledged_survives_a_power_cut_in_nested_directories() {
    survives_a_power_cut(|_| Form {
        layout: Layout::Nested,
        ..Form::default()
    });
}

#[test]
fn acknowledged_survives_a_power_cut_in_mdbox() {
    survives_a_power_cut(|_| Format::Mdbox.into());
}

#[test]
fn acknowledged_survives_a_power_cut_in_sdbox() {
    survives_a_power_cut(|_| Format::Sdbox.into());
}

#[test]
fn acknowledged_survives_a_power_cut_in_mbox() {
    survives_a_power_cut(|_| Format::Mbox.into());
}

fn survives_a_power_cut(kind: Kind) {
    check_all(&record(kind, script::everything));
}

#[test]
fn acknowledged_survives_a_power_cut_between_maildir_and_mdbox() {
    let kind =
        |root: &Path| script::with_archive(Format::Maildir, Format::Mdbox, &root.join("archive"));
    check_all(&record(kind, script::across));
}

#[test]
fn acknowledged_survives_a_power_cut_between_sdbox_and_mbox() {
    let kind =
        |root: &Path| script::with_archive(Format::Sdbox, Format::Mbox, &root.join("archive"));
    check_all(&record(kind, script::across));
}

/// RFC 3502 section 6.3.11: all messages of one APPEND or none of them, whenever the power is cut.
#[test]
fn messages_of_one_append_come_all_or_none() {
    come_all_or_none(|_| Format::Maildir.into());
}

#[test]
fn messages_of_one_append_come_all_or_none_in_mdbox() {
    come_all_or_none(|_| Format::Mdbox.into());
}

#[test]
fn messages_of_one_append_come_all_or_none_in_sdbox() {
    come_all_or_none(|_| Format::Sdbox.into());
}

#[test]
fn messages_of_one_append_come_all_or_none_in_mbox() {
    come_all_or_none(|_| Format::Mbox.into());
}

fn come_all_or_none(kind: Kind) {
    check_all(&record(kind, script::together));
}
