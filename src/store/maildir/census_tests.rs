//! What a look finds is the same in however little memory, and as a look at everything at once has it.

use super::Maildir;
use super::name;
use super::uidlist::{FILE, UidList};
use crate::config::Layout;
use crate::mail::{MailboxName, Uid};
use crate::store::{BlobId, Found, Place, Store};
use std::collections::HashMap;
use std::path::Path;

struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: u64) -> u64 {
        let multiplied = self.0.wrapping_mul(6364136223846793005);
        self.0 = multiplied.wrapping_add(1442695040888963407);
        (self.0 >> 33) % bound
    }
}

/// Puts files and lines there, of which not all agree.
fn fill(root: &Path, seed: u64) {
    // Nobody waits for names of letters then.
    std::fs::write(root.join("dovecot-keywords"), "0 a\n2 c\n").unwrap();
    let mut dice = Dice(seed);
    let count = dice.below(120);
    let mut lines = Vec::new();
    for at in 0..count {
        let base = match dice.below(4) {
            0 => format!("{}.foreign", dice.below(1000)),
            1 => format!("{at}.own,U={}", dice.below(count) + 1),
            _ => format!("{at}.own,S=4,U={}", at + 1),
        };
        let flags = ["", ":2,", ":2,S", ":2,FSac"][dice.below(4) as usize];
        for (part, flags) in [("cur", flags), ("new", "")] {
            if dice.below(10) < 6 {
                std::fs::write(
                    root.join(part).join(format!("{base}{flags}")),
                    at.to_string(),
                )
                .unwrap();
            }
        }
        if dice.below(10) < 7 {
            let extensions = ["", "W3 ", "P ", "Gx P12 "][dice.below(4) as usize];
            lines.push(format!("{} {extensions}:{base}", at + 1));
        }
        if dice.below(40) == 0 {
            lines.push("broken".to_owned());
        }
    }
    let next = count / 2 + dice.below(count + 1) + 1;
    let guid = "3085f01b7f11094c501100008c4a11c1";
    let text = match dice.below(5) {
        0 => return,
        1 => format!("1 7 {next}\n{}\n", lines.join("\n").replace(" :", " ")),
        2 => format!("3 V7 N{next} G{guid}\n{}", lines.join("\n")),
        _ => format!("3 V7 N{next} G{guid} Pv\n{}\n", lines.join("\n")),
    };
    std::fs::write(root.join(FILE), text).unwrap();
}

type Rank = (bool, Option<Uid>, [bool; 2], Box<str>, (bool, u8, u32));

fn rank(found: &Found) -> Rank {
    let named = found.uid.is_some();
    let blob = &found.blob;
    let is_new = blob.place == Place::New;
    let behind = (is_new, blob.flags.bits(), blob.letters);
    let before = [!found.listed && named, is_new && named];
    (!named, found.uid, before, blob.name.clone(), behind)
}

/// All that is there, looked at as a whole.
fn whole(root: &Path) -> Vec<Found> {
    let text = std::fs::read_to_string(root.join(FILE)).unwrap_or_default();
    let list = UidList::parse(&text);
    let lines: HashMap<&str, Uid> = list.entries.iter().map(|e| (e.base, e.uid)).collect();
    let free = list
        .header
        .uid_next
        .filter(|_| !list.damaged && !text.is_empty());
    let mut found = Vec::new();
    for (part, place) in [("new", Place::New), ("cur", Place::Cur)] {
        for entry in std::fs::read_dir(root.join(part)).unwrap() {
            let file = entry.unwrap().file_name().into_string().unwrap();
            let (base, flags, letters) = name::split(&file);
            let listed = lines.get(base).copied();
            let own = name::uid(base.as_bytes()).filter(|uid| free.is_none_or(|f| *uid >= f));
            let name = base.into();
            found.push(Found {
                blob: BlobId {
                    name,
                    place,
                    flags,
                    letters,
                },
                uid: listed.or(own),
                listed: listed.is_some(),
            });
        }
    }
    found.sort_by_key(rank);
    let mut rest = Vec::new();
    found.dedup_by(|message, last| {
        let double = message.uid.is_some() && message.uid == last.uid;
        if double && message.blob.name != last.blob.name {
            rest.push(Found {
                uid: None,
                ..message.clone()
            });
        }
        double
    });
    found.extend(rest);
    found.sort_by_key(rank);
    found.dedup_by(|b, a| a.uid.is_none() && b.uid.is_none() && a.blob.name == b.blob.name);
    found
}

fn shown(found: &[Found]) -> Vec<String> {
    let one = |f: &Found| {
        format!(
            "{:?} {} {:?}",
            f.uid,
            f.listed,
            (&f.blob.name, f.blob.flags, f.blob.letters)
        )
    };
    found.iter().map(one).collect()
}

#[test]
fn however_little_memory_there_is_the_same_is_found() {
    for seed in 0..150 {
        let directory = tempfile::tempdir_in("/dev/shm")
            .or_else(|_| tempfile::tempdir())
            .unwrap();
        let root = directory.path();
        let mut store = Maildir::open(root, Layout::Dotted).unwrap();
        fill(root, seed);
        let expected = whole(root);
        let mut before = None;
        // Of doubles one is removed by the first look, which keeps what is not the same file.
        for octets in [usize::MAX, 1, 300] {
            let census = store.census(&MailboxName::inbox(), octets).unwrap();
            let totals = format!("{:?}", census.totals);
            let counted = crate::store::Totals::of(&*census.all).unwrap();
            assert_eq!(format!("{counted:?}"), totals, "seed {seed}");
            let uid_next = census.state.uid_next;
            let scanned = census.whole().unwrap();
            assert_eq!(
                shown(&scanned.found),
                shown(&expected),
                "seed {seed}, {octets} octets"
            );
            let told = (
                totals,
                uid_next,
                scanned.aliases,
                scanned.rewrite,
                scanned.header_known,
            );
            assert!(
                before.is_none_or(|before| before == told),
                "seed {seed}, {octets} octets"
            );
            before = Some(told);
        }
    }
}
