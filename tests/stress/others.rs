//! Those who change mailboxes without IMAP: deliveries, and a program that knows Maildir.

use crate::support::{Lmtp, Random, Server, message};
use crate::text::{Text, id_in};
use crate::truth::Truth;
use std::fs;
use std::os::unix::fs::{MetadataExt, chown};
use std::path::{Path, PathBuf};
use std::thread::sleep;

/// Delivers now and then.
pub(crate) fn deliver(server: &Server, truth: &Truth, seed: u64, over: &dyn Fn() -> bool) {
    let mut random = Random::new(seed ^ 1);
    let mut client = Lmtp::tcp(server.lmtp).unwrap();
    for number in 0.. {
        if over() {
            break;
        }
        // One connection carries so many transactions.
        if number % 50 == 49 {
            client = Lmtp::tcp(server.lmtp).unwrap();
        }
        let id = format!("lmtp-{number}@stress");
        let text = message(&id, "Delivered", "By LMTP.");
        truth.brings(&id, Text::delivered(&text));
        let replies = client.transaction(&["ann"], &text, true).unwrap();
        assert!(replies[0].starts_with("250"), "{replies:?}");
        truth.delivered("INBOX", &id);
        sleep(random.milliseconds(10, 120));
    }
}

/// Puts messages into `new/`, gives flags and takes files away, as other programs may.
pub(crate) fn meddle(server: &Server, truth: &Truth, seed: u64, over: &dyn Fn() -> bool) {
    let mut random = Random::new(seed ^ 2);
    let inbox = server.maildir("ann");
    let archive = inbox.join(".Archive");
    for number in 0.. {
        if over() {
            break;
        }
        let mailbox = if random.below(2) == 0 {
            &inbox
        } else {
            &archive
        };
        match random.below(4) {
            0 | 1 => drop_in(truth, &inbox, mailbox, number),
            2 => flag(truth, mailbox, &mut random),
            _ => take_away(truth, mailbox, &mut random),
        }
        sleep(random.milliseconds(10, 120));
    }
}

fn drop_in(truth: &Truth, root: &Path, mailbox: &Path, number: u64) {
    let id = format!("foreign-{number}@stress");
    let text = message(&id, "Foreign", "Put there.");
    truth.brings(&id, Text::new(&text, None));
    let name = format!("1700000000.M{number}P1.foreign");
    let from = root.join("tmp").join(&name);
    fs::write(&from, text).unwrap();
    let owner = fs::metadata(root).unwrap();
    chown(&from, Some(owner.uid()), Some(owner.gid())).unwrap();
    // The mailbox may not be there yet.
    let _ = fs::rename(&from, mailbox.join("new").join(&name));
}

/// Any file of `cur/`; whoever uses its name must be ready for it to be gone.
fn any(mailbox: &Path, random: &mut Random) -> Option<PathBuf> {
    let entries = fs::read_dir(mailbox.join("cur")).ok()?;
    let files: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    let count = u64::try_from(files.len()).ok().filter(|count| *count > 0)?;
    files.get(random.below(count) as usize).cloned()
}

/// As `any`, once everybody knows that something may happen to it.
fn touched(truth: &Truth, mailbox: &Path, random: &mut Random) -> Option<PathBuf> {
    let file = any(mailbox, random)?;
    let text = fs::read_to_string(&file).ok()?;
    truth.meddles(id_in(&text)?);
    Some(file)
}

fn flag(truth: &Truth, mailbox: &Path, random: &mut Random) {
    let Some(file) = touched(truth, mailbox, random) else {
        return;
    };
    let name = file.file_name().unwrap().to_str().unwrap();
    let Some((base, flags)) = name.split_once(":2,") else {
        return;
    };
    let mut letters: Vec<char> = flags.chars().filter(|c| *c != 'F').collect();
    if letters.len() == flags.len() {
        letters.push('F');
        letters.sort_unstable();
    }
    let letters: String = letters.into_iter().collect();
    let _ = fs::rename(&file, file.with_file_name(format!("{base}:2,{letters}")));
}

fn take_away(truth: &Truth, mailbox: &Path, random: &mut Random) {
    if let Some(file) = touched(truth, mailbox, random) {
        let _ = fs::remove_file(file);
    }
}
