//! What is in the way of a take-over, or lost by it, over the index of an sdbox that Dovecot wrote.

use super::framing::{GUID, Metadata, RECEIVED, UIDL, WIRE_OCTETS, file_header, message_header};
use super::{Dbox, adopt, format_of};
use crate::config::Format;
use crate::mail::{MailboxName, Uid};
use crate::store::{Adoption, Store};
use std::fs;
use std::path::{Path, PathBuf};

/// The messages of that index.
const UIDS: [u32; 9] = [1, 6, 7, 8, 9, 10, 11, 12, 13];

fn directory(root: &Path) -> PathBuf {
    root.join("mailboxes/INBOX/dbox-Mails")
}

fn put(root: &Path, uid: u32, body: &[u8], metadata: &[(u8, &str)]) {
    let mut all = Metadata::default();
    for (letter, value) in metadata {
        all.put(*letter, *value);
    }
    let mut bytes = file_header(1).into_bytes();
    bytes.extend_from_slice(message_header(body.len() as u64).as_bytes());
    bytes.extend_from_slice(body);
    bytes.extend_from_slice(&all.encode());
    fs::write(directory(root).join(format!("u.{uid}")), bytes).unwrap();
}

/// An sdbox of which Dovecot wrote the index.
fn made() -> tempfile::TempDir {
    let temporary = tempfile::tempdir().unwrap();
    let root = temporary.path();
    fs::create_dir_all(directory(root)).unwrap();
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/corpus/dovecot");
    let input = fs::read(corpus.join("c48e1e827ab74f7c")).unwrap();
    let (index, log) = input[4..].split_at(1200);
    assert_eq!(input[..4], 1200u32.to_le_bytes());
    fs::write(directory(root).join("dovecot.index"), index).unwrap();
    fs::write(directory(root).join("dovecot.index.log"), log).unwrap();
    for uid in UIDS {
        let guid = format!("guid{uid}");
        let values = [
            (RECEIVED, "3b9aca00"),
            (WIRE_OCTETS, "5"),
            (GUID, guid.as_str()),
        ];
        put(root, uid, b"text\n", &values);
    }
    temporary
}

fn run(root: &Path, dry: bool) -> Adoption {
    assert_eq!(format_of(root), Some(Format::Sdbox));
    adopt(root, &Format::Sdbox.into(), dry, &mut |_| ()).unwrap()
}

fn found(root: &Path) -> Vec<u32> {
    let mut store = Dbox::sdbox(root).unwrap();
    let scanned = store.scan(&MailboxName::inbox()).unwrap();
    let uids = scanned.found.iter().filter_map(|f| f.uid.map(Uid::number));
    uids.collect()
}

#[test]
fn files_that_the_index_does_not_name_are_set_aside() {
    let temporary = made();
    let root = temporary.path();
    let own = [(GUID, "g"), (UIDL, "own-id"), (b'Q', "kept")];
    put(root, 13, b"text\n", &own);
    put(root, 4, b"expunged\n", &[]);
    put(root, 99, b"not there yet\n", &[]);
    fs::remove_file(directory(root).join("u.7")).unwrap();
    let dry = run(root, true);
    let inbox = &dry.mailboxes[0];
    assert_eq!((inbox.messages, inbox.uid_next, inbox.uidls), (8, 14, 1));
    assert_eq!(inbox.lost.len(), 2, "{:?}", inbox.lost);
    assert!(inbox.lost[0].starts_with("1 messages are not where"));
    assert!(inbox.lost[1].starts_with("2 files have messages"));
    assert!(directory(root).join("u.4").exists());
    let done = run(root, false);
    assert_eq!(done.obstacles, [""; 0]);
    let uids: Vec<u32> = UIDS.into_iter().filter(|uid| *uid != 7).collect();
    assert_eq!(found(root), uids);
    assert!(directory(root).join("dovelet-left.u.4").exists());
    assert!(directory(root).join("dovelet-left.u.99").exists());
}

/// What is told, and what is to be made of an sdbox for that.
type Case<'a> = (&'a str, &'a dyn Fn(&Path));

#[test]
fn what_cannot_be_served_is_in_the_way() {
    let damage = |root: &Path| {
        let path = directory(root).join("dovecot.index");
        let mut bytes = fs::read(&path).unwrap();
        bytes[8] ^= 0xff;
        fs::write(path, bytes).unwrap();
    };
    let remove = |root: &Path| {
        for index in ["dovecot.index", "dovecot.index.log"] {
            fs::remove_file(directory(root).join(index)).unwrap();
        }
    };
    let cases: [Case<'_>; 9] = [
        // All were called `dovelet-left.u.N`, and the mailbox was an empty one.
        ("has 9 files of messages, and no dovecot.index", &remove),
        ("if Dovecot's mail_location has INDEX=DIR", &remove),
        // It was no mailbox, and so nothing was there.
        (
            "/INBOX/other has 9 files of messages or an index",
            &|root| {
                fs::rename(directory(root), root.join("mailboxes/INBOX/other")).unwrap();
                fs::create_dir(directory(root)).unwrap();
            },
        ),
        ("9 messages are compressed with bzip2", &|root| {
            UIDS.iter()
                .for_each(|uid| put(root, *uid, b"BZh91rest", &[(GUID, "g")]));
        }),
        ("1 messages are encrypted", &|root| {
            put(root, 6, b"CRYPTED\x03\x07rest", &[(GUID, "g")]);
        }),
        ("1 messages are without", &|root| {
            put(root, 6, b"text\n", &[(b'X', "0 5 - a/b")]);
        }),
        ("an index of Dovecot's is damaged", &damage),
        ("(LAYOUT=index)", &|root| {
            let guid = "mailboxes/00ca422086b1076bad3a000083ecc375/dbox-Mails";
            fs::create_dir_all(root.join(guid)).unwrap();
        }),
        ("is no name of a mailbox", &|root| {
            fs::create_dir_all(root.join("mailboxes/\u{fc}/dbox-Mails")).unwrap();
        }),
    ];
    for (why, prepare) in cases {
        let temporary = made();
        let root = temporary.path();
        prepare(root);
        for dry in [true, false] {
            let done = run(root, dry);
            assert_eq!(done.obstacles.len(), 1, "{why}: {done:?}");
            assert!(done.obstacles[0].contains(why), "{why}: {done:?}");
        }
        let left = fs::read_dir(directory(root)).unwrap().flatten();
        let left = left.filter(|e| e.file_name().as_encoded_bytes().starts_with(b"dovelet"));
        assert_eq!(left.count(), 0, "{why}");
    }
}

#[test]
fn an_mdbox_without_its_map_is_left_alone() {
    let temporary = made();
    let root = temporary.path();
    fs::create_dir(root.join("storage")).unwrap();
    fs::write(root.join("storage/m.1"), file_header(1)).unwrap();
    assert_eq!(format_of(root), Some(Format::Mdbox));
    let done = adopt(root, &Format::Mdbox.into(), false, &mut |_| ()).unwrap();
    assert!(
        done.obstacles[0].contains("has no dovecot.map.index"),
        "{done:?}"
    );
    assert!(done.obstacles[0].contains("INDEX=DIR"), "{done:?}");
    assert!(done.mailboxes.is_empty());
    fs::write(root.join("storage/dovecot.map.index"), "damaged").unwrap();
    let done = adopt(root, &Format::Mdbox.into(), false, &mut |_| ()).unwrap();
    assert!(done.obstacles[0].contains("force-resync"), "{done:?}");
}

#[test]
fn an_mdbox_is_one_whatever_was_purged() {
    // It was taken for an sdbox without messages once `m.1` was gone, and handed over to Dovecot as that.
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path();
    drop(Dbox::mdbox(root, None, 1 << 20).unwrap());
    assert_eq!(format_of(root), Some(Format::Mdbox));
    fs::write(root.join("storage/m.3"), "").unwrap();
    assert_eq!(format_of(root), Some(Format::Mdbox));
}

#[test]
fn an_mdbox_of_which_dovecot_has_the_index_elsewhere_is_not_served() {
    let temporary = tempfile::tempdir().unwrap();
    let root = temporary.path();
    fs::create_dir_all(root.join("storage")).unwrap();
    fs::create_dir_all(directory(root)).unwrap();
    fs::create_dir_all(root.join("mailboxes/a/dbox-Mails")).unwrap();
    fs::write(root.join("storage/m.1"), file_header(1)).unwrap();
    // INBOX is made when an account is opened, if it is not there; it has no log here.
    for mailbox in ["INBOX", "a"] {
        let mut store = Dbox::mdbox(root, None, 1 << 20).unwrap();
        let name = MailboxName::new(mailbox).unwrap();
        let why = store.scan(&name).unwrap_err().to_string();
        assert!(why.contains("INDEX=DIR"), "{why}");
    }
    fs::remove_dir(directory(root)).unwrap();
    let why = Dbox::mdbox(root, None, 1 << 20).map(|_| ()).unwrap_err();
    assert!(why.to_string().contains("INDEX=DIR"), "{why}");
    assert!(!directory(root).exists());
    // Without messages there is nothing to lose.
    fs::remove_file(root.join("storage/m.1")).unwrap();
    assert_eq!(found_in(&mut Dbox::mdbox(root, None, 1 << 20).unwrap()), 0);
}

fn found_in(store: &mut Dbox) -> usize {
    store.scan(&MailboxName::inbox()).unwrap().found.len()
}

/// Their directories counted as files of messages, or as an index, that are in no mailbox.
#[test]
fn mailboxes_may_be_called_as_files_are() {
    let temporary = made();
    let root = temporary.path();
    for name in ["u.1", "dovecot.index", "a/u.7", "a/dovecot.index.log"] {
        let copy = root.join("mailboxes").join(name).join("dbox-Mails");
        fs::create_dir_all(&copy).unwrap();
        for entry in fs::read_dir(directory(root)).unwrap().flatten() {
            fs::copy(entry.path(), copy.join(entry.file_name())).unwrap();
        }
    }
    for dry in [true, false] {
        let done = run(root, dry);
        assert_eq!(done.obstacles, [""; 0]);
        let mut names: Vec<&str> = done.mailboxes.iter().map(|own| own.name.as_str()).collect();
        names.sort_unstable();
        let expected = [
            "INBOX",
            "a/dovecot.index.log",
            "a/u.7",
            "dovecot.index",
            "u.1",
        ];
        assert_eq!(names, expected);
    }
}
