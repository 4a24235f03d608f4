//! Rewritings that were begun are ended, whatever the power or others left of the file.

use super::*;
use crate::store::journal::{self, Event};
use std::fs;
use std::io::Write;
use std::ops::Range;
use std::os::unix::fs::MetadataExt;
use std::sync::{Arc, Mutex};

const MAIL: &str = "From new Thu Jan  1 00:00:00 1970\n\nmore\n";
const OLD: &str =
    "From one Thu Jan  1 00:00:00 1970\n\n1\n\nFrom two Thu Jan  1 00:00:00 1970\n\n2\n";

/// Rewrites from an offset with `text`, but only so many octets of it, and lets others append.
fn left(old: &str, from: u64, text: &str, applied: u64, appended: &str) -> String {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("mbox");
    fs::write(&path, old).unwrap();
    let file = File::options().read(true).write(true).open(&path).unwrap();
    let mut rewrite = Rewrite::begin(&file, directory.path(), from).unwrap();
    rewrite.put(text.as_bytes()).unwrap();
    leave_begun(rewrite, applied);
    let mut other = File::options().append(true).open(&path).unwrap();
    other.write_all(appended.as_bytes()).unwrap();
    assert!(is_begun(directory.path()));
    recover(&file, directory.path()).unwrap();
    assert!(!is_begun(directory.path()));
    recover(&file, directory.path()).unwrap();
    fs::read_to_string(&path).unwrap()
}

#[test]
fn what_was_begun_is_ended_and_nothing_of_others_is_lost() {
    let old =
        "From old Thu Jan  1 00:00:00 1970\n\none\n\nFrom old Thu Jan  1 00:00:00 1970\n\ntwo\n";
    for text in [
        "x\n".to_owned(),
        String::new(),
        format!("{}\n", "y".repeat(300)),
        format!(
            "From mid Thu Jan  1 00:00:00 1970\n\n{}\n",
            "z\n".repeat(90)
        ),
        old.get(35..).unwrap().to_owned(),
    ] {
        for appended in ["", MAIL] {
            let all = (0..=text.len() as u64).chain([u64::MAX]);
            for applied in all {
                let result = left(old, 35, &text, applied, appended);
                let expected = format!("{}{text}{appended}", &old[..35]);
                assert_eq!(result, expected, "{applied} octets of {text:?}");
            }
        }
    }
}

/// Rewrites all but the first ten octets with `text`, does not cut the file but puts NULs there, and lets others
/// append.
fn cut_by_half(old: &str, text: &str, nuls: Range<usize>, appended: &str) -> String {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("mbox");
    fs::write(&path, old).unwrap();
    let file = File::options().read(true).write(true).open(&path).unwrap();
    let mut rewrite = Rewrite::begin(&file, directory.path(), 10).unwrap();
    rewrite.put(text.as_bytes()).unwrap();
    leave_begun(rewrite, text.len() as u64);
    let at = |place: usize| place as u64;
    file.write_all_at(&vec![0; nuls.len()], at(nuls.start))
        .unwrap();
    file.write_all_at(appended.as_bytes(), at(old.len()))
        .unwrap();
    recover(&file, directory.path()).unwrap();
    fs::read_to_string(&path).unwrap()
}

#[test]
fn what_is_cut_off_does_not_come_back_with_nuls_in_it() {
    let text = "x\n";
    let end = 10 + text.len();
    let block = usize::try_from(BLOCK).unwrap();
    let long = OLD.repeat(block / OLD.len() + 3);
    for old in [OLD, &long] {
        let until = old.len().min(block);
        for nuls in [end..until, end..end + 9, end + 20..until, until..until] {
            for appended in ["", MAIL] {
                let result = cut_by_half(old, text, nuls.clone(), appended);
                let expected = format!("{}{text}{appended}", &old[..10]);
                assert_eq!(result, expected, "NULs at {nuls:?}");
            }
        }
    }
}

#[test]
fn what_an_earlier_version_left_is_ended() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("mbox");
    fs::write(&path, OLD).unwrap();
    let file = File::options().read(true).write(true).open(&path).unwrap();
    let plan = Plan {
        from: 10,
        old_size: OLD.len() as u64,
        new_size: 12,
        before_sum: sum(&file, 0, 10).unwrap(),
        cut_sum: sum(&file, 12, OLD.len() as u64).unwrap(),
    };
    let side = directory.path().join(FILE);
    fs::write(&side, [&plan.encode()[..], b"x\n"].concat()).unwrap();
    recover(&file, directory.path()).unwrap();
    let result = fs::read_to_string(&path).unwrap();
    assert_eq!(result, format!("{}x\n", &OLD[..10]));
    for octets in [1, 3] {
        let text = &b"x\nmore"[..octets];
        fs::write(&side, [&plan.encode()[..], text].concat()).unwrap();
        recover(&file, directory.path()).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), result, "not whole");
    }
}

#[test]
fn what_was_written_before_is_durable_first() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("mbox");
    fs::write(&path, OLD).unwrap();
    let file = File::options().read(true).write(true).open(&path).unwrap();
    patch(&file, &[(5, b"ten".to_vec())]).unwrap();
    let own = file.metadata().unwrap().ino();
    let events = Arc::new(Mutex::new(Vec::new()));
    let heard = events.clone();
    journal::listen(Some(Box::new(move |event| {
        heard.lock().unwrap().push(event)
    })));
    let mut rewrite = Rewrite::begin(&file, directory.path(), 40).unwrap();
    rewrite.put(b"x\n").unwrap();
    rewrite.finish().unwrap();
    journal::listen(None);
    let events = events.lock().unwrap();
    let synced = |event: &Event| matches!(event, Event::Synced { inode, .. } if *inode == own);
    let first = events.iter().position(synced).unwrap();
    let named = |event: &Event| matches!(event, Event::Moved { .. });
    assert!(first < events.iter().position(named).unwrap());
}

#[test]
fn a_file_that_was_written_anew_stays_as_it_is() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("mbox");
    fs::write(&path, "0123456789").unwrap();
    let file = File::options().read(true).write(true).open(&path).unwrap();
    let mut rewrite = Rewrite::begin(&file, directory.path(), 5).unwrap();
    rewrite.put(b"x").unwrap();
    leave_begun(rewrite, 0);
    fs::write(&path, "another").unwrap();
    recover(&file, directory.path()).unwrap();
    assert_eq!(fs::read_to_string(&path).unwrap(), "another");
    assert!(!is_begun(directory.path()));
    fs::write(directory.path().join(FILE), "damaged").unwrap();
    recover(&file, directory.path()).unwrap();
    assert_eq!(fs::read_to_string(&path).unwrap(), "another");
}
