//! Messages that are not what they were are found and told of, each alone, in every format.

use super::power_cut::temporary;
use super::wounds::{copy, files, look, opened, prepared, texts_in};
use super::{append, name, uids};
use crate::config::Format;
use crate::mail::Flags;
use crate::mailbox::{Access, Account, Care, Report};
use std::fs;
use std::path::{Path, PathBuf};

const FORMATS: [Format; 4] = [Format::Maildir, Format::Sdbox, Format::Mdbox, Format::Mbox];

/// What a scrub to its end tells, and how many messages it read.
fn scrubbed(account: &Account) -> (Vec<Report>, u32) {
    let (mut told, mut read, mut more) = (Vec::new(), 0, true);
    while more {
        let mut tell = |report| match report {
            Report::Scrubbed {
                messages, ended, ..
            } => {
                read += messages;
                more = !ended;
            }
            other => told.push(other),
        };
        account.care(Care::Scrub, &mut tell).unwrap();
    }
    (told, read)
}

/// As `dovelet doctor --scrub` does it: what is not in order.
fn examined(account: &Account) -> Vec<Report> {
    let mut told = Vec::new();
    account
        .care(Care::Check, &mut |report| told.push(report))
        .unwrap();
    told.retain(|report| {
        matches!(report, Report::Mailbox { gone, new, .. } if !gone.is_empty() || *new > 0)
    });
    told.extend(scrubbed(account).0);
    told
}

fn findings(reports: &[Report]) -> Vec<(&str, u32)> {
    let finding = |report| match report {
        &Report::Message {
            ref verdict, uid, ..
        } => Some((verdict.as_str(), uid)),
        _ => None,
    };
    reports.iter().filter_map(finding).collect()
}

/// The file with the message of that subject.
fn file_of(root: &Path, subject: &str) -> PathBuf {
    let mut all = Vec::new();
    files(&root.join("mail"), &mut all);
    all.retain(|path| texts_in(path).contains(subject));
    all.pop().unwrap()
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Damage {
    Turned,
    Cut,
    Gone,
    Doubled,
}

/// Damages the message that INBOX has as UID 8, "number 7", which is nowhere else.
fn strike(root: &Path, damage: Damage) {
    let path = file_of(root, "number 7");
    let bytes = fs::read(&path).unwrap();
    let text = b"body of number 7";
    let at = bytes.windows(text.len()).position(|w| w == text).unwrap();
    match damage {
        Damage::Turned => {
            let mut bytes = bytes;
            bytes[at] ^= 1;
            fs::write(&path, bytes).unwrap();
        }
        Damage::Cut => fs::write(&path, &bytes[..at]).unwrap(),
        Damage::Gone => fs::remove_file(&path).unwrap(),
        Damage::Doubled => {
            let file = path.file_name().unwrap().to_str().unwrap();
            fs::copy(&path, path.with_file_name(format!("copy-of-{file}"))).unwrap();
        }
    }
}

#[test]
fn each_damage_is_told_of_in_each_format() {
    for format in FORMATS {
        let directory = temporary();
        let before = prepared(directory.path(), format);
        let total = before.values().map(Vec::len).sum::<usize>();
        for damage in [Damage::Turned, Damage::Cut, Damage::Gone, Damage::Doubled] {
            // One file has all of an mbox or an mdbox: what is behind a cut goes with it.
            let many = matches!(format, Format::Mbox | Format::Mdbox);
            if many && matches!(damage, Damage::Gone | Damage::Doubled) {
                continue;
            }
            let what = format!("{format:?} {damage:?}");
            let other = temporary();
            copy(directory.path(), other.path());
            let (host, account) = opened(other.path(), format);
            let (told, read) = scrubbed(&account);
            assert_eq!((findings(&told).len(), read as usize), (0, total), "{what}");
            host.close().unwrap();
            drop((account, host));
            strike(other.path(), damage);
            let (host, account) = opened(other.path(), format);
            let told = examined(&account);
            match (damage, format) {
                // To an mbox, what has other octets is another message.
                (Damage::Turned, Format::Mbox) => {
                    let lines: Vec<String> = told.iter().map(Report::to_string).collect();
                    assert!(
                        lines.iter().any(|l| l.contains("UID 8")),
                        "{what} {lines:?}"
                    );
                }
                (Damage::Turned, _) => assert_eq!(findings(&told), [("damaged", 8)], "{what}"),
                (Damage::Cut, Format::Maildir) => {
                    assert_eq!(findings(&told), [("damaged", 8)], "{what}");
                }
                (Damage::Cut, _) => {
                    let lines: Vec<String> = told.iter().map(Report::to_string).collect();
                    assert!(!lines.is_empty(), "{what}");
                    let own = findings(&told);
                    assert!(many || own.iter().all(|(_, uid)| *uid == 8), "{lines:?}");
                }
                (Damage::Gone, _) => {
                    let gone = told
                        .iter()
                        .any(|r| matches!(r, Report::Mailbox { gone, .. } if gone == "8"));
                    assert!(gone, "{what}: {told:?}");
                }
                (Damage::Doubled, Format::Maildir) => {
                    let new = |r: &Report| matches!(r, Report::Mailbox { new: 1, .. });
                    assert!(told.iter().any(new), "{what}: {told:?}");
                }
                // A file of another name is none of its messages.
                (Damage::Doubled, _) => assert_eq!(told, [], "{what}"),
            }
            let again = scrubbed(&account).0;
            if damage == Damage::Turned && format != Format::Mbox {
                assert_eq!(
                    findings(&again),
                    [("damaged", 8)],
                    "{what}: told until it goes"
                );
                let mut view = account.select(&name("INBOX"), Access::ReadWrite).unwrap();
                view.discard(&uids(&[8])).unwrap();
                assert_eq!(findings(&scrubbed(&account).0), [], "{what}");
            }
            host.close().unwrap();
        }
    }
}

/// What is lost, by mailbox, and all of it is damage.
fn lost(account: &Account, care: Care) -> Vec<String> {
    let mut told = Vec::new();
    let mut tell = |report: Report| {
        if let Report::Lost { mailbox, uids } = &report {
            told.push(format!("{mailbox} {uids}"));
            assert!(report.is_damage());
        }
    };
    account.care(care, &mut tell).unwrap();
    told
}

#[test]
fn messages_whose_files_somebody_removed_are_lost() {
    // One at rest is not compared with its files; who reads finds out.
    for at_rest in [false, true] {
        let directory = temporary();
        let before = prepared(directory.path(), Format::Mdbox);
        if at_rest {
            let (host, account) = opened(directory.path(), Format::Mdbox);
            let view = account.select(&name("INBOX"), Access::ReadWrite).unwrap();
            std::thread::sleep(std::time::Duration::from_millis(60));
            host.flush().unwrap();
            drop((view, account));
            host.close().unwrap();
        }
        let all = ["INBOX 1:3,6:12", "other 1:3"];
        let storage = directory.path().join("mail/storage");
        let away = directory.path().join("away");
        fs::rename(storage.join("m.1"), &away).unwrap();
        let (host, account) = opened(directory.path(), Format::Mdbox);
        // A client may see it before the doctor does.
        let seen = look(&account, "INBOX").unwrap();
        assert!(seen.iter().all(|message| message.2.is_none()), "{seen:?}");
        assert!(!seen.is_empty() || !at_rest);
        assert_eq!(look(&account, "INBOX").unwrap(), []);
        for care in [Care::Check, Care::Check, Care::Rebuild, Care::Rebuild] {
            assert_eq!(lost(&account, care.clone()), all, "{care:?}");
        }
        append(&account, "INBOX", "new", &Flags::default());
        assert_eq!(lost(&account, Care::Check), all);
        // Where others are the disk is there.
        assert_eq!(lost(&account, Care::Rebuild), all);
        assert_eq!(lost(&account, Care::Check), all[1..]);
        assert_eq!(findings(&scrubbed(&account).0), []);
        host.close().unwrap();
        drop((account, host));
        fs::rename(&away, storage.join("m.1")).unwrap();
        let (_host, account) = opened(directory.path(), Format::Mdbox);
        assert_eq!(lost(&account, Care::Check), [""; 0]);
        assert_eq!(look(&account, "other").unwrap(), before["other"]);
        let left = look(&account, "INBOX").unwrap();
        let left: Vec<u32> = left.iter().map(|m| m.0).collect();
        assert_eq!(left, [13]);
    }
}

/// A power cut may leave lines without files, too, of which nobody was told.
#[test]
fn a_message_of_an_sdbox_is_lost_if_it_was_known() {
    let directory = temporary();
    prepared(directory.path(), Format::Sdbox);
    strike(directory.path(), Damage::Gone);
    let (_host, account) = opened(directory.path(), Format::Sdbox);
    assert_eq!(lost(&account, Care::Check), ["INBOX 8"]);
    assert_eq!(lost(&account, Care::Check), [""; 0]);
}

#[test]
fn a_copy_is_known_by_what_its_message_was() {
    for format in [Format::Maildir, Format::Sdbox, Format::Mdbox] {
        let directory = temporary();
        prepared(directory.path(), format);
        // "number 1" is UID 2 of INBOX and the first of `other`; nobody ever read it since.
        let path = file_of(directory.path(), "number 1");
        let mut bytes = fs::read(&path).unwrap();
        let text = b"body of number 1\r";
        let found = bytes.windows(text.len()).position(|w| w == text);
        let found = found.or_else(|| {
            let text = b"body of number 1\n";
            bytes.windows(text.len()).position(|w| w == text)
        });
        bytes[found.unwrap()] ^= 1;
        // In place: files of copies are one.
        fs::write(&path, bytes).unwrap();
        let (_host, account) = opened(directory.path(), format);
        let told = scrubbed(&account).0;
        let found = findings(&told);
        assert!(found.contains(&("damaged", 1)), "{format:?} {told:?}");
        assert!(found.contains(&("damaged", 2)), "{format:?} {told:?}");
        assert_eq!(found.len(), 2, "{format:?}");
    }
}

#[test]
fn what_others_brought_is_known_from_the_first_scrub_on() {
    let (account, directory) = Account::volatile();
    account.list().unwrap();
    for number in 1..=2 {
        let path = directory.path().join(format!("new/{number}.foreign"));
        fs::write(path, format!("Subject: {number}\n\ntext\n")).unwrap();
    }
    assert_eq!(examined(&account), []);
    let path = directory.path().join("new/2.foreign");
    fs::write(&path, "Subject: 2\n\ntexx\n").unwrap();
    let told = scrubbed(&account).0;
    assert_eq!(findings(&told), [("damaged", 2)]);
    let Some(Report::Message { file, .. }) = told.first() else {
        panic!("{told:?}");
    };
    assert_eq!(Path::new(file), path);
    fs::write(&path, "Subject: 2\n\ntext\n").unwrap();
    assert_eq!(findings(&scrubbed(&account).0), [], "it was restored");
    // Sizes in the name that are not those of the file.
    append(&account, "INBOX", "own", &Flags::default());
    let new = directory.path().join("new");
    let mut own = fs::read_dir(&new)
        .unwrap()
        .flatten()
        .map(|entry| entry.path());
    let own = own
        .find(|path| path.to_string_lossy().contains(",W="))
        .unwrap();
    let other = own.to_string_lossy().replace(",W=", ",W=1");
    fs::rename(&own, other).unwrap();
    let told = examined(&account);
    assert_eq!(findings(&told), [("misnamed", 3)], "{told:?}");
}

#[test]
fn a_scrub_goes_on_where_it_was() {
    let (account, directory) = Account::volatile();
    account.list().unwrap();
    for number in 1000..1300 {
        let path = directory.path().join(format!("new/{number}.foreign"));
        fs::write(path, "Subject: x\n\ntext\n").unwrap();
    }
    account.create(&name("other")).unwrap();
    append(&account, "other", "last", &Flags::default());
    account.care(Care::Check, &mut |_| {}).unwrap();
    for expected in [(256, false), (45, true), (256, false)] {
        let mut slice = None;
        let mut tell = |report| match report {
            Report::Scrubbed {
                messages, ended, ..
            } => slice = Some((messages, ended)),
            other => panic!("{other}"),
        };
        account.care(Care::Scrub, &mut tell).unwrap();
        assert_eq!(slice, Some(expected));
    }
    // What goes meanwhile is not waited for.
    account.delete(&name("other")).unwrap();
    assert_eq!(scrubbed(&account), (vec![], 45));
}
