//! What Dovecot wrote, as it is and damaged. An input is the length of an index or a cache, that, and a log.

use super::index::Index;
use super::load::combine;
use super::octets::{length_at, u32_at};
use super::{Cache, flags};
use crate::fuzz::{Target, fuzz};
use crate::mail::SystemFlags;
use std::path::Path;

const WANTED: [&str; 5] = ["cache", "mdbox", "guid", "map", "ref"];

/// An index or a cache, and a log.
fn parts(input: &[u8]) -> Option<(&[u8], &[u8])> {
    input.get(4..)?.split_at_checked(length_at(input, 0)?)
}

fn read(input: &[u8]) -> Option<Index> {
    let (base, log) = parts(input)?;
    let base = Some(base).filter(|base| !base.is_empty());
    combine(base, &[log.to_vec()], &WANTED).ok()
}

fn try_it(input: &[u8]) -> String {
    let Some((base, _)) = parts(input) else {
        return "nothing".to_owned();
    };
    let cache = u32_at(base, 8).and_then(|reset_id| Cache::parse(base.to_vec(), reset_id));
    let mut numbers = 0;
    if let Some(cache) = &cache {
        for record in (0..8192).step_by(4) {
            numbers += u32::from(cache.number(record, "date.save").is_some());
            numbers += u32::from(cache.number(record, "flags").is_some());
        }
    }
    let Some(index) = read(input) else {
        return format!("no index, cache {}, {numbers}", cache.is_some());
    };
    let last = index.rows.last_key_value().map_or(0, |(uid, _)| *uid);
    assert!(index.next_uid() > last || last == u32::MAX);
    let mut told = 0;
    for (uid, row) in &index.rows {
        let known = |keyword: &u16| usize::from(*keyword) < index.keywords.len();
        assert!(row.keywords.iter().all(known));
        let records = WANTED.iter().filter_map(|name| index.record(name, *uid));
        told += records.map(<[u8]>::len).sum::<usize>();
    }
    // What is in memory is bounded by what was read.
    assert!(index.rows.len() <= input.len() && told <= 64 * input.len());
    let counts = (index.rows.len().min(20), index.keywords.len().min(40));
    format!("{counts:?} {} {numbers}", index.extensions.len())
}

#[test]
fn damaged_indexes_are_read_without_panic() {
    let target = Target {
        name: "dovecot",
        octets: 1 << 14,
        words: &[
            "\u{0}",
            "\u{1}\u{0}\u{0}\u{0}",
            "keywords\u{0}",
            "mdbox-hdr",
            "modseq\u{0}\u{0}",
            "cache\u{0}\u{0}\u{0}",
        ],
        seeds: Vec::new(),
    };
    fuzz(target, |input, _| try_it(input));
}

fn corpus() -> Vec<Vec<u8>> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/corpus/dovecot");
    let files = std::fs::read_dir(directory).unwrap();
    files
        .map(|file| std::fs::read(file.unwrap().path()).unwrap())
        .collect()
}

/// What `doveadm dump` and FETCH of Dovecot 2.3.19 said of the same mailboxes.
#[test]
fn what_dovecot_wrote_is_read() {
    let indexes: Vec<Index> = corpus().iter().filter_map(|input| read(input)).collect();
    let with = |header: &str| -> Vec<&Index> {
        let all = indexes.iter();
        let mut found: Vec<_> = all
            .filter(|index| !index.extension_header(header).is_empty())
            .collect();
        found.sort_by_key(|index| index.next_uid());
        found
    };
    for header in ["dbox-hdr", "mdbox-hdr"] {
        let [work, inbox] = with(header)[..] else {
            panic!("{header}")
        };
        let uids = |index: &Index| index.rows.keys().copied().collect::<Vec<_>>();
        assert_eq!(uids(work), [1, 2, 3, 4, 5], "{header}");
        assert_eq!(work.next_uid(), 6, "{header}");
        assert_eq!(uids(inbox), [1, 6, 7, 8, 9, 10, 11, 12, 13], "{header}");
        assert_eq!(inbox.next_uid(), 14, "{header}");
        let shown = |uid: u32| {
            let row = &inbox.rows[&uid];
            let names = row
                .keywords
                .iter()
                .map(|k| &*inbox.keywords[usize::from(*k)]);
            let mut names: Vec<&str> = names.collect();
            names.sort_unstable();
            (flags(row.flags), names.join(" "))
        };
        let (system, names) = shown(1);
        assert!(system.contains(SystemFlags::SEEN.with(SystemFlags::ANSWERED)));
        assert_eq!(names, "extra0 extra18 extra27 extra9 kw-many late");
        assert_eq!(shown(13), (SystemFlags::SEEN, String::new()));
    }
    let [_, inbox] = with("mdbox-hdr")[..] else {
        panic!()
    };
    let own = inbox.record("mdbox", 13).unwrap();
    let map = indexes
        .iter()
        .find(|index| index.record("map", 1).is_some());
    let map = map.unwrap();
    assert_eq!(
        u32_at(map.record("map", u32_at(own, 0).unwrap()).unwrap(), 0),
        Some(1)
    );
    assert_eq!(map.record("ref", 1), Some(&[2, 0][..]));
    assert_eq!(
        u32_at(inbox.extension_header("mdbox-hdr"), 0),
        Some(map.uid_validity())
    );
}

/// A log that is cut anywhere tells less and nothing else.
#[test]
fn a_log_is_read_as_far_as_it_goes() {
    for input in corpus() {
        let Some(whole) = read(&input) else { continue };
        let base = length_at(&input, 0).unwrap();
        let mut last = 0;
        for cut in (base + 4..input.len()).step_by(7) {
            let Some(index) = read(&input[..cut]) else {
                continue;
            };
            assert!(index.next_uid() >= last && index.next_uid() <= whole.next_uid());
            last = index.next_uid();
        }
    }
}
