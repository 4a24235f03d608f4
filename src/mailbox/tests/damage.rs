//! An index that is damaged, cut off or gone costs nobody a message, a UID or a flag.

use super::platter::Dice;
use super::{append, flags, name, shown, uids};
use crate::config::Format;
use crate::index::{Durable, Index};
use crate::mail::SystemFlags;
use crate::mailbox::{Access, Account, Error, Expunges, FlagChange, Host, Limits};
use std::fs;
use std::path::Path;

pub(super) type Seen = (u32, u32, Vec<(u32, u32, u8)>, Vec<String>);

pub(super) fn look(account: &Account, mailbox: &str) -> Seen {
    let view = account.select(&name(mailbox), Access::ReadOnly).unwrap();
    let keywords = view.keywords().iter().flatten();
    (
        view.uid_validity().number(),
        view.uid_next().number(),
        shown(&view),
        keywords.map(|k| k.as_str().to_owned()).collect(),
    )
}

/// An account with two mailboxes and an index beside it that was closed.
pub(super) fn prepared(root: &Path, format: Format) -> [Seen; 2] {
    let host = Host::open_in(&root.join("index"), format, Limits::default()).unwrap();
    let account = host.account("u", &root.join("mail")).unwrap();
    account.create(&name("other")).unwrap();
    for number in 0..40 {
        let system = SystemFlags::from_bits(number & 15);
        append(
            &account,
            "INBOX",
            &number.to_string(),
            &flags(system, &["k"]),
        );
    }
    let mut view = account.select(&name("INBOX"), Access::ReadWrite).unwrap();
    view.copy(&uids(&[3, 4, 5, 6, 40]), &name("other")).unwrap();
    let deleted = flags(SystemFlags::DELETED, &[]);
    view.mark(&uids(&[5, 40]), FlagChange::Add, &deleted, None)
        .unwrap();
    view.expunge(None).unwrap();
    view.sync(Expunges::Tell).unwrap();
    drop(view);
    let seen = ["INBOX", "other"].map(|mailbox| look(&account, mailbox));
    host.close().unwrap();
    seen
}

/// Looks at everything, then adds to it; says what is wrong. Errors: the index was found damaged, the
/// process ends.
fn serve(root: &Path, format: Format, seen: &[Seen; 2]) -> Result<Option<String>, Error> {
    let host = match Host::open_in(&root.join("index"), format, Limits::default()) {
        Ok(host) => host,
        Err(error) => return Ok(Some(format!("not opened: {error:?}"))),
    };
    let account = host.account("u", &root.join("mail"))?;
    for (mailbox, seen) in ["INBOX", "other"].iter().zip(seen) {
        drop(account.select(&name(mailbox), Access::ReadWrite)?);
        let now = look(&account, mailbox);
        let old = now.2.iter().filter(|message| message.1 < seen.1);
        let same = old.eq(&seen.2) && now.0 == seen.0 && now.3 == seen.3;
        if !same || now.1 < seen.1 {
            // Not by a panic, which would pass for one of redb.
            return Ok(Some(format!("{now:?}, not {seen:?}")));
        }
        let next = append(&account, mailbox, "more", &flags(SystemFlags::DELETED, &[]));
        if next != now.1 {
            return Ok(Some(format!("UID {next}, not {}", now.1)));
        }
    }
    host.close().map(|()| None)
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().flatten() {
        let target = to.join(entry.file_name());
        match entry.file_type().unwrap().is_dir() {
            true => copy(&entry.path(), &target),
            false => drop(fs::copy(entry.path(), target).unwrap()),
        }
    }
}

/// Cuts the file off, or turns a few of its bits.
fn spoil(index: &[u8], round: u64, dice: &mut Dice) -> Vec<u8> {
    let mut bytes = index.to_vec();
    let length = index.len() as u64;
    if round.is_multiple_of(4) {
        bytes.truncate(dice.below(length) as usize);
        return bytes;
    }
    // Half of the time among the pages that hold something.
    let used: Vec<usize> = (0..bytes.len()).filter(|at| bytes[*at] != 0).collect();
    for _ in 0..=dice.below(20) {
        let at = match round % 2 {
            0 => dice.below(length) as usize,
            _ => used[dice.below(used.len() as u64) as usize],
        };
        bytes[at] ^= 1 << dice.below(8);
    }
    bytes
}

#[test]
fn a_damaged_index_serves_everything() {
    damaged_indexes(Format::Maildir, 100);
}

#[test]
fn a_damaged_index_serves_everything_in_each_format() {
    for format in [Format::Sdbox, Format::Mdbox, Format::Mbox] {
        damaged_indexes(format, 40);
    }
}

fn damaged_indexes(format: Format, rounds: u64) {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path();
    let seen = prepared(root, format);
    let index = fs::read(root.join("index")).unwrap();
    let seed = std::env::var("DOVELET_DAMAGE_SEED").ok();
    let mut dice = Dice::new(seed.map_or(7, |seed| seed.parse().unwrap()));
    let mut again = 0;
    for round in 0..rounds {
        let other = super::power_cut::temporary();
        copy(&root.join("mail"), &other.path().join("mail"));
        fs::write(other.path().join("index"), spoil(&index, round, &mut dice)).unwrap();
        // A process that finds damage, by an error or by a panic of redb, puts it aside and ends.
        let first = std::panic::catch_unwind(|| serve(other.path(), format, &seen));
        if let Ok(Ok(wrong)) = first {
            assert_eq!(wrong, None, "{round}");
        } else {
            again += 1;
            Host::put_aside(&other.path().join("index")).unwrap();
            assert_eq!(serve(other.path(), format, &seen), Ok(None), "{round}");
        }
    }
    println!("{rounds} damaged indexes, {again} of them noticed late");
}

/// Whoever opened it waited for ever.
#[test]
fn what_is_no_file_is_put_aside_or_left_alone() {
    use rustix::fs::{CWD, FileType, Mode, mknodat};
    let pipe = |path: &Path| {
        fs::remove_file(path).ok();
        mknodat(CWD, path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
    };
    for (file, kind) in [
        ("index", 0),
        ("index.journal", 0),
        ("index", 1),
        ("index.journal", 1),
    ] {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path();
        let seen = prepared(root, Format::Maildir);
        match kind {
            0 => pipe(&root.join(file)),
            _ => {
                fs::remove_file(root.join(file)).ok();
                fs::create_dir(root.join(file)).unwrap();
            }
        }
        assert_eq!(
            serve(root, Format::Maildir, &seen),
            Ok(None),
            "{file} {kind}"
        );
    }
}

/// The second had the name of the first, which was a directory.
#[test]
fn what_is_put_aside_within_a_second_has_names_of_its_own() {
    let directory = tempfile::tempdir().unwrap();
    let index = directory.path().join("index");
    for round in 0..3 {
        match round {
            1 => fs::write(&index, "damaged").unwrap(),
            _ => fs::create_dir(&index).unwrap(),
        }
        Host::put_aside(&index).unwrap();
    }
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 3);
}

/// It stayed there, and each change of the index was a commit.
#[test]
fn notes_are_kept_again_once_a_directory_in_their_place_is_put_aside() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path();
    let seen = prepared(root, Format::Maildir);
    let notes = root.join("index.journal");
    fs::remove_file(&notes).unwrap();
    fs::create_dir(&notes).unwrap();
    assert_eq!(serve(root, Format::Maildir, &seen), Ok(None));
    assert!(notes.is_file());
    let names = fs::read_dir(root).unwrap().flatten().map(|e| e.file_name());
    let aside = names.filter(|name| name.to_string_lossy().contains("journal.damaged-"));
    assert_eq!(aside.count(), 1);
}

/// redb makes the file long, then writes its head, then the octets that say what it is.
#[test]
fn an_unfinished_index_is_made_again() {
    let format = Format::Maildir;
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path();
    let seen = prepared(root, format);
    let index = fs::read(root.join("index")).unwrap();
    let aside = || {
        let names = fs::read_dir(root).unwrap().flatten().map(|e| e.file_name());
        names
            .filter(|name| name.to_string_lossy().contains("damaged"))
            .count()
    };
    let unfinished = [vec![0; 5], vec![0; index.len()], {
        let mut bytes = index.clone();
        bytes[..9].fill(0);
        bytes
    }];
    for bytes in &unfinished {
        fs::write(root.join("index"), bytes).unwrap();
        let host = Host::open_in(&root.join("index"), format, Limits::default()).unwrap();
        let account = host.account("u", &root.join("mail")).unwrap();
        assert_eq!(["INBOX", "other"].map(|m| look(&account, m)), seen);
        host.close().unwrap();
    }
    assert_eq!(aside(), 0, "nothing to look at");
    for bytes in [b"text\n".to_vec(), vec![7; index.len()]] {
        fs::write(root.join("index"), bytes).unwrap();
        assert_eq!(serve(root, format, &seen), Ok(None));
    }
    assert!(aside() > 0);
}

/// Has the index say that it is of another version.
fn of_version(path: &Path, version: u64) {
    let index = Index::open(path, 1 << 20).unwrap();
    let written = index.write(Durable::Yes, |w| w.set_meta("version", version));
    written.unwrap();
}

#[test]
fn indexes_of_other_versions_and_deleted_ones_change_nothing() {
    for format in [Format::Maildir, Format::Sdbox, Format::Mdbox, Format::Mbox] {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path();
        let seen = prepared(root, format);
        let mut newer = false;
        for version in [None, Some(1), Some(4), Some(99), None] {
            newer |= version == Some(99);
            match version {
                Some(version) => of_version(&root.join("index"), version),
                None => fs::remove_file(root.join("index")).unwrap(),
            }
            let host = Host::open_in(&root.join("index"), format, Limits::default()).unwrap();
            // Whoever goes on with the newer version may want it back.
            let names = fs::read_dir(root).unwrap().flatten().map(|e| e.file_name());
            let kept = names
                .filter(|n| n.to_string_lossy().starts_with("index.newer-"))
                .count();
            assert_eq!(kept > 0, newer, "{version:?}");
            let account = host.account("u", &root.join("mail")).unwrap();
            for (mailbox, seen) in ["INBOX", "other"].iter().zip(&seen) {
                assert_eq!(look(&account, mailbox), *seen, "{format:?} {version:?}");
            }
            // As `dovelet doctor --rebuild` does it.
            account.check(true, &mut |_| {}).unwrap();
            for (mailbox, seen) in ["INBOX", "other"].iter().zip(&seen) {
                assert_eq!(look(&account, mailbox), *seen, "{format:?} {version:?}");
            }
            drop(account);
            host.close().unwrap();
        }
    }
}

/// An account as a version left it: messages by subject, with what only the index had of them then.
const KEPT: [&str; 1] = ["index-5"];

fn kept(version: &str) -> std::path::PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    root.join("tests/data").join(version)
}

/// An index file has far more room than is in use: it is kept deflated.
fn packed(bytes: &[u8]) -> Vec<u8> {
    miniz_oxide::deflate::compress_to_vec(bytes, 9)
}

fn highest(account: &Account, mailbox: &str) -> u64 {
    let view = account.select(&name(mailbox), Access::ReadOnly).unwrap();
    view.highest_mod_seq().number()
}

/// What is looked for in `SEEN`: UIDs and flags, keywords, UIDVALIDITY, UIDNEXT, and HIGHESTMODSEQ.
fn portrait(account: &Account) -> String {
    let lines = ["INBOX", "other"].map(|mailbox| {
        let seen = look(account, mailbox);
        format!("{mailbox} {seen:?} {}\n", highest(account, mailbox))
    });
    lines.concat()
}

/// Makes what the next version is tested with: `cargo test -- --ignored keeps_an_account`.
#[test]
#[ignore = "writes tests/data for this version"]
fn keeps_an_account_of_this_version() {
    let to = kept(KEPT[KEPT.len() - 1]);
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path();
    prepared(root, Format::Maildir);
    let host = Host::open_in(&root.join("index"), Format::Maildir, Limits::default()).unwrap();
    let account = host.account("u", &root.join("mail")).unwrap();
    let portrait = portrait(&account);
    drop(account);
    host.close().unwrap();
    copy(&root.join("mail"), &to.join("mail"));
    let index = fs::read(root.join("index")).unwrap();
    fs::write(to.join("index.deflated"), packed(&index)).unwrap();
    fs::write(to.join("seen"), portrait).unwrap();
}

#[test]
fn an_account_of_each_earlier_version_is_as_it_was() {
    for version in KEPT {
        let from = kept(version);
        for with_index in [true, false] {
            let directory = tempfile::tempdir().unwrap();
            let root = directory.path();
            copy(&from.join("mail"), &root.join("mail"));
            for part in ["new", "cur", "tmp"] {
                // Git keeps no empty directories.
                fs::create_dir_all(root.join("mail").join(part)).unwrap();
                fs::create_dir_all(root.join("mail/.other").join(part)).unwrap();
            }
            if with_index {
                let bytes = fs::read(from.join("index.deflated")).unwrap();
                let bytes = miniz_oxide::inflate::decompress_to_vec(&bytes).unwrap();
                fs::write(root.join("index"), bytes).unwrap();
            }
            let host =
                Host::open_in(&root.join("index"), Format::Maildir, Limits::default()).unwrap();
            let account = host.account("u", &root.join("mail")).unwrap();
            let before = fs::read_to_string(from.join("seen")).unwrap();
            for (line, mailbox) in before.lines().zip(["INBOX", "other"]) {
                let (seen, mod_seq) = line.rsplit_once(' ').unwrap();
                let now = format!("{mailbox} {:?}", look(&account, mailbox));
                assert_eq!(now, seen, "{version}");
                // RFC 7162 section 3.1.1: it never goes back.
                let before: u64 = mod_seq.parse().unwrap();
                assert!(
                    highest(&account, mailbox) >= before,
                    "{version} {with_index}"
                );
            }
        }
    }
}
