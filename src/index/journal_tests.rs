//! What is noted beside the file is there after the process was ended at any moment.

use super::schema::Kind;
use super::*;
use crate::mail::{MailboxId, ModSeq, Uid};
use std::fs;
use std::path::Path;

/// All rows but those that say how the file was opened and closed.
fn rows(index: &Index) -> Vec<(Kind, Vec<u8>, Vec<u8>)> {
    let reader = index.read().unwrap();
    let mut all = Vec::new();
    for kind in Kind::ALL.into_iter().filter(|kind| *kind != Kind::Meta) {
        let table = reader.transaction.open_table(kind.definition()).unwrap();
        for row in table.range::<&[u8]>(..).unwrap() {
            let (key, value) = row.unwrap();
            all.push((kind, key.value().to_vec(), value.value().to_vec()));
        }
    }
    all
}

/// As the disk is when the process that has the index open is ended now.
fn killed(from: &Path, to: &Path) -> Index {
    for end in ["redb", "journal"] {
        let (from, to) = (from.with_extension(end), to.with_extension(end));
        fs::remove_file(&to).ok();
        if from.exists() {
            fs::copy(from, to).unwrap();
        }
    }
    Index::open(to, 1 << 20).unwrap()
}

fn name(slot: u8, octets: usize) -> Name {
    Name {
        slot,
        base: "n".repeat(octets).into(),
        is_new: false,
        flags: Default::default(),
        letters: 0,
    }
}

/// Marks a message of a chunk.
fn mark(index: &Index, durable: Durable, slot: u8) {
    let written = index.write(durable, |w| {
        let mut flags = w.flags(MailboxId(1), 0)?;
        let own = Bits::range(slot, slot);
        flags.present.set(slot, true);
        flags.set_mod_seq(&own, ModSeq::new(u64::from(slot) + 2).unwrap());
        w.set_flags(MailboxId(1), 0, &flags)
    });
    written.unwrap();
}

#[test]
fn a_small_change_is_noted_and_is_there_after_a_kill() {
    let directory = tempfile::tempdir().unwrap();
    let (path, copy) = (
        directory.path().join("i.redb"),
        directory.path().join("c.redb"),
    );
    let index = Index::open(&path, 1 << 20).unwrap();
    index.settle().unwrap();
    let before = fs::read(&path).unwrap();
    let mut states = vec![rows(&index)];
    let mut ends = vec![0];
    let end = || {
        let notes = fs::read(path.with_extension("journal")).unwrap();
        notes.iter().rposition(|octet| *octet != 0).unwrap() + 1
    };
    for slot in 1..=5 {
        mark(&index, Durable::Later, slot);
        index.flush().unwrap();
        assert_eq!(rows(&killed(&path, &copy)), rows(&index), "{slot}");
        states.push(rows(&index));
        ends.push(end());
    }
    mark(&index, Durable::Yes, 6);
    states.push(rows(&index));
    ends.push(end());
    assert_eq!(rows(&killed(&path, &copy)), rows(&index));
    // It may have grown.
    assert!(fs::read(&path).unwrap().starts_with(&before), "redb wrote");
    assert!(end() < 1500, "{}", end());
    // Cut anywhere, what was whole before is there.
    let notes = fs::read(path.with_extension("journal")).unwrap();
    for cut in (0..=end()).step_by(7) {
        drop(killed(&path, &copy));
        fs::write(&copy, &before).unwrap();
        let mut torn = notes.clone();
        torn[cut..].fill(0);
        fs::write(copy.with_extension("journal"), torn).unwrap();
        let whole = ends.iter().filter(|end| **end <= cut).count() - 1;
        let found = Index::open(&copy, 1 << 20).unwrap();
        assert!(rows(&found) == states[whole], "{cut}");
    }
}

#[test]
fn many_changes_wait_while_more_come_but_not_for_ever() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("i.redb");
    let copy = directory.path().join("c.redb");
    let index = Index::open(&path, 1 << 20).unwrap();
    let add = |number: u32| {
        let name = name(number as u8, 70_000);
        let added = index.write(Durable::Later, |w| {
            w.add_names(MailboxId(1), number, vec![name])
        });
        added.unwrap();
    };
    let is_durable = || rows(&killed(&path, &copy)) == rows(&index);
    mark(&index, Durable::Later, 1);
    assert!(index.flush_unless_busy().unwrap() && is_durable());
    // As soon as nothing comes any more.
    for number in 1..3 {
        add(number);
        assert!(!index.flush_unless_busy().unwrap() && !is_durable());
    }
    assert!(index.flush_unless_busy().unwrap() && is_durable());
    let mut waited = 0;
    for number in 3..100 {
        add(number);
        if index.flush_unless_busy().unwrap() {
            break;
        }
        waited += 1;
    }
    assert!(waited == journal::MAX_WAITS && is_durable());
    // Whoever is not told before does not wait.
    add(100);
    assert!(!index.flush_unless_busy().unwrap());
    mark(&index, Durable::Yes, 2);
    assert!(is_durable());
    add(101);
    index.flush().unwrap();
    assert!(is_durable() && index.flush_unless_busy().unwrap());
}

#[test]
fn whatever_happens_all_that_was_made_durable_is_there() {
    let directory = tempfile::tempdir().unwrap();
    let paths = ["a.redb", "b.redb"].map(|name| directory.path().join(name));
    let model = Index::memory().unwrap();
    let mut index = Index::open(&paths[0], 1 << 20).unwrap();
    let (mut at, mut state) = (0, 7u64);
    let mut random = move |below: u64| {
        state = state
            .wrapping_mul(6364136223846793005)
            .wrapping_add(1442695040888963407);
        (state >> 33) % below
    };
    let (mut noted, mut settled) = (0, 0);
    for _ in 0..600 {
        let (mailbox, uid) = (
            MailboxId(random(3) as u32),
            Uid::new(random(600) as u32 + 1).unwrap(),
        );
        let (what, octets) = (random(40), random(400) as usize + 1);
        let (chunk, slot) = (uid.number() >> 8, (uid.number() & 255) as u8);
        let change = |w: &mut Writer<'_>| match what {
            0 => w.clear(mailbox),
            1..4 => w.uncache(mailbox, Uid::MIN, uid),
            4..8 => w.uncache(mailbox, uid, uid),
            8..20 => w.set_preview(mailbox, uid, &"p".repeat(octets)),
            20..23 => w.set_preview(mailbox, uid, &"p".repeat(octets * 200)),
            23..30 => w.add_names(mailbox, chunk, vec![name(slot, octets)]),
            _ => {
                let mut flags = w.flags(mailbox, chunk)?;
                flags.present.set(slot, true);
                flags.set_keyword(slot, octets as u16 % 7, true);
                w.set_flags(mailbox, chunk, &flags)
            }
        };
        model.write(Durable::Later, change).unwrap();
        let modified = |at: usize| fs::metadata(&paths[at]).unwrap().modified().unwrap();
        let before = modified(at);
        let durable = [Durable::Later, Durable::Yes][usize::from(random(9) == 0)];
        index.write(durable, change).unwrap();
        match random(12) {
            0..4 => {
                index.flush().unwrap();
                noted += u32::from(modified(at) == before);
                settled += u32::from(modified(at) != before);
            }
            4 => {
                index.flush().unwrap();
                let found = killed(&paths[at], &paths[1 - at]);
                std::mem::forget(std::mem::replace(&mut index, found));
                at = 1 - at;
            }
            5 => {
                drop(std::mem::replace(&mut index, Index::memory().unwrap()));
                index = Index::open(&paths[at], 1 << 20).unwrap();
            }
            6 => index.close().unwrap(),
            _ => {}
        }
        assert!(rows(&index) == rows(&model));
    }
    assert!(noted > 20 && settled > 3, "{noted} {settled}");
}

#[test]
fn notes_of_another_file_say_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let (path, copy) = (
        directory.path().join("i.redb"),
        directory.path().join("c.redb"),
    );
    let index = Index::open(&path, 1 << 20).unwrap();
    mark(&index, Durable::Yes, 1);
    let found = killed(&path, &copy);
    assert!(!rows(&found).is_empty());
    drop(found);
    fs::copy(
        path.with_extension("journal"),
        copy.with_extension("journal"),
    )
    .unwrap();
    fs::remove_file(&copy).unwrap();
    assert!(rows(&Index::open(&copy, 1 << 20).unwrap()).is_empty());
}

#[test]
fn without_notes_the_file_itself_is_made_durable() {
    let directory = tempfile::tempdir().unwrap();
    let (path, copy) = (
        directory.path().join("i.redb"),
        directory.path().join("c.redb"),
    );
    let index = Index::open(&path, 1 << 20).unwrap();
    // In the place of one that is there when it is opened it puts a file.
    fs::create_dir(path.with_extension("journal")).unwrap();
    mark(&index, Durable::Yes, 1);
    mark(&index, Durable::Later, 2);
    index.flush().unwrap();
    fs::copy(&path, &copy).unwrap();
    assert_eq!(rows(&Index::open(&copy, 1 << 20).unwrap()), rows(&index));
}

#[test]
fn a_note_that_does_not_fit_its_row_is_damage() {
    let directory = tempfile::tempdir().unwrap();
    let (path, copy) = (
        directory.path().join("i.redb"),
        directory.path().join("c.redb"),
    );
    let index = Index::open(&path, 1 << 20).unwrap();
    mark(&index, Durable::Yes, 1);
    let bytes = fs::read(path.with_extension("journal")).unwrap();
    let number = u64::from_le_bytes(bytes[..8].try_into().unwrap());
    let changes = journal::take_note(&mut &*bytes, number).unwrap();
    for at in 0..changes.len() {
        let mut wrong = changes.to_vec();
        wrong[at] ^= 1;
        fs::copy(&path, &copy).unwrap();
        let note = journal::note(number, &wrong).unwrap();
        fs::write(copy.with_extension("journal"), note).unwrap();
        let error = Index::open(&copy, 1 << 20).err().unwrap();
        assert!(error.is_damage(), "{at}: {error}");
    }
}

#[test]
fn patches_make_the_new_of_the_old() {
    let mut state = 1u64;
    let mut random = move |below: usize| {
        state = state
            .wrapping_mul(6364136223846793005)
            .wrapping_add(1442695040888963407);
        (state >> 33) as usize % below
    };
    for _ in 0..20_000 {
        let old: Vec<u8> = (0..random(40)).map(|_| random(3) as u8).collect();
        let mut new = old.clone();
        for _ in 0..random(4) {
            let at = random(new.len() + 1);
            match random(3) {
                0 => new.insert(at, 9),
                1 if at < new.len() => drop(new.remove(at)),
                _ => new.iter_mut().skip(at).take(1).for_each(|octet| *octet = 7),
            }
        }
        let (patches, end) = journal::patches(&old, &new);
        let made = journal::patched(&old, &patches, end);
        assert_eq!(made, Some(new.clone()), "{old:?}");
    }
    let old = [0; 500];
    let mut new = old;
    (new[30], new[470]) = (1, 1);
    assert!(journal::patches(&old, &new).0.len() < 10);
}
