use crate::config::{Form, Format, Location, Namespace};
use crate::mail::{MailboxName, SystemFlags, Uid, UidSet};
use crate::store::{BlobId, Compaction, Error, Filing, Store, WatchedNames, open, origin, saved};
use std::fs;
use std::io::Read;
use std::path::Path;

const FORMATS: [Format; 4] = Format::ALL;

fn name(text: &str) -> MailboxName {
    MailboxName::new(text).unwrap()
}

fn namespace(prefix: &str, root: &Path, format: Format) -> Namespace {
    Namespace {
        prefix: name(prefix),
        location: Location {
            root: root.to_owned(),
            form: format.into(),
        },
    }
}

/// A store of its own format, `Archive/` in another, and `old/mail/` in an sdbox.
fn form(root: &Path, own: Format, archive: Format) -> Form {
    Form {
        namespaces: vec![
            namespace("Archive", &root.join("archive"), archive),
            namespace("old/mail", &root.join("old"), Format::Sdbox),
        ],
        ..own.into()
    }
}

fn spread(root: &Path, own: Format, archive: Format) -> Box<dyn Store> {
    open(&root.join("mail"), form(root, own, archive), 1 << 20).unwrap()
}

fn filing(uid: u32, flags: SystemFlags) -> Filing {
    let uid = Uid::new(uid).unwrap();
    Filing {
        uid,
        flags,
        letters: 5,
    }
}

fn put(store: &mut dyn Store, mailbox: &str, text: &str, uid: u32) -> BlobId {
    let mut draft = store.stage().unwrap();
    draft.write(text.as_bytes()).unwrap();
    draft.date(1_000_000_000).unwrap();
    store.save(&mut *draft, &name(mailbox)).unwrap();
    let new = filing(uid, SystemFlags::FLAGGED);
    let blob = store.commit(&mut *draft, &name(mailbox), &new).unwrap();
    store.sync().unwrap();
    blob
}

/// UIDs, flags, letters and texts.
fn shown(store: &mut dyn Store, mailbox: &str) -> Vec<(u32, u8, u32, String)> {
    let found = store.scan(&name(mailbox)).unwrap().found.into_iter();
    let shown = found.map(|found| {
        let mut blob = store.open(&name(mailbox), &found.blob).unwrap();
        assert_eq!(blob.internal_date, 1_000_000_000);
        let mut text = String::new();
        blob.body.read_to_string(&mut text).unwrap();
        let uid = found.uid.map_or(0, Uid::number);
        (uid, found.blob.flags.bits(), found.blob.letters, text)
    });
    shown.collect()
}

fn listed(store: &mut dyn Store) -> Vec<String> {
    let names = store.mailboxes().unwrap();
    let mut names: Vec<String> = names.iter().map(ToString::to_string).collect();
    names.sort();
    names
}

#[test]
fn names_lead_to_their_places() {
    for (own, archive) in [
        (Format::Maildir, Format::Mdbox),
        (Format::Mbox, Format::Maildir),
    ] {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path();
        let store = &mut *spread(root, own, archive);
        assert_eq!(listed(store), ["Archive", "INBOX", "old/mail"]);
        for mailbox in [
            "Archive/2019",
            "Archive/a/b",
            "Archive2",
            "old",
            "old/mail/x",
        ] {
            store.create(&name(mailbox)).unwrap();
        }
        let all = [
            "Archive",
            "Archive/2019",
            "Archive/a/b",
            "Archive2",
            "INBOX",
            "old",
            "old/mail",
            "old/mail/x",
        ];
        let made = listed(store);
        let expected = all.iter().filter(|one| made.iter().any(|n| n == *one));
        assert_eq!(expected.count(), all.len(), "{made:?}");
        for (number, mailbox) in all.iter().enumerate() {
            put(
                store,
                mailbox,
                &format!("{mailbox}\n\nx\n"),
                number as u32 + 1,
            );
        }
        // They are what a store of that place alone has.
        let mut alone = open(&root.join("archive"), archive, 1 << 20).unwrap();
        for (inner, outer) in [
            ("INBOX", "Archive"),
            ("2019", "Archive/2019"),
            ("a/b", "Archive/a/b"),
        ] {
            let text = shown(&mut *alone, inner);
            assert_eq!(text, shown(store, outer), "{outer}");
            assert_eq!(text[0].3, format!("{outer}\n\nx\n"));
        }
        assert!(
            store
                .directory(&name("Archive/2019"))
                .unwrap()
                .starts_with(root.join("archive"))
        );
        assert!(
            store
                .directory(&name("Archive2"))
                .unwrap()
                .starts_with(root.join("mail"))
        );
        assert!(
            store
                .directory(&name("old/mail/x"))
                .unwrap()
                .starts_with(root.join("old"))
        );
        for mailbox in ["Archive", "old/mail", "INBOX"] {
            assert!(store.is_fixed(&name(mailbox)), "{mailbox}");
            assert!(matches!(
                store.create(&name(mailbox)),
                Err(Error::MailboxExists)
            ));
        }
        assert!(!store.is_fixed(&name("Archive/2019")));
    }
}

#[test]
fn inbox_of_a_namespace_has_one_name() {
    let directory = tempfile::tempdir().unwrap();
    let store = &mut *spread(directory.path(), Format::Maildir, Format::Maildir);
    for mailbox in ["Archive/INBOX", "Archive/inbox", "Archive/Inbox/x"] {
        let mailbox = name(mailbox);
        assert!(
            matches!(store.create(&mailbox), Err(Error::Unnamable)),
            "{mailbox}"
        );
        assert!(
            matches!(store.stamp(&mailbox), Err(Error::NoSuchMailbox)),
            "{mailbox}"
        );
        let renamed = store.rename(&name("Archive"), &mailbox);
        assert!(renamed.is_err(), "{mailbox}");
    }
    assert_eq!(listed(store), ["Archive", "INBOX", "old/mail"]);
}

#[test]
fn messages_are_copied_and_moved_between_all_formats() {
    for own in FORMATS {
        for archive in FORMATS {
            carried(own, archive);
        }
    }
}

fn carried(own: Format, archive: Format) {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path();
    let store = &mut *spread(root, own, archive);
    let text = format!("a: b\n\n{}", "text of a message\n".repeat(9000));
    let (inbox, cold) = (name("INBOX"), name("Archive/2019"));
    store.create(&cold).unwrap();
    let one = put(store, "INBOX", &text.replace('\n', "\r\n"), 1);
    let copied = store
        .copy(&inbox, &one, &cold, &filing(4, SystemFlags::SEEN))
        .unwrap();
    let moved = store
        .transfer(&inbox, &one, &cold, &filing(5, SystemFlags::DRAFT))
        .unwrap();
    // It is not carried twice, by no handle.
    for _ in 0..2 {
        let again = store.transfer(&inbox, &one, &cold, &filing(6, SystemFlags::NONE));
        assert!(
            matches!(again, Err(Error::NoSuchMessage)),
            "{own:?} {archive:?}"
        );
    }
    if own != Format::Mbox {
        let mut second = spread(root, own, archive);
        let again = second.transfer(&inbox, &one, &cold, &filing(6, SystemFlags::NONE));
        assert!(
            matches!(again, Err(Error::NoSuchMessage)),
            "{own:?} {archive:?}"
        );
    }
    // Until that is durable it is where it was.
    assert_eq!(shown(store, "INBOX").len(), 1, "{own:?} {archive:?}");
    store.sync().unwrap();
    assert_eq!(shown(store, "INBOX").len(), 0, "{own:?} {archive:?}");
    let there = shown(store, "Archive/2019");
    let expected = [
        (4, SystemFlags::SEEN.bits(), 5, text.clone()),
        (5, SystemFlags::DRAFT.bits(), 5, text.clone()),
    ];
    assert!(there == expected, "{own:?} {archive:?}");
    let id = |blob: &BlobId| crate::mail::ObjectId::email(&origin(&blob.name)).to_string();
    for blob in [&copied, &moved] {
        // An mbox makes them of the octets.
        let kept = archive != Format::Mbox;
        assert_eq!(
            id(blob) == id(&one),
            kept || own == Format::Mbox,
            "{own:?} {archive:?}"
        );
        assert_eq!(store.wire_octets(blob), Some(9000 * 19 + 8));
        assert!(saved(&blob.name).is_some_and(|time| time > 1_700_000_000));
    }
    // And back, by a handle that is opened anew.
    store
        .transfer(&cold, &moved, &inbox, &filing(9, SystemFlags::NONE))
        .unwrap();
    store.sync().unwrap();
    assert_eq!(shown(store, "Archive/2019").len(), 1);
    let store = &mut *spread(root, own, archive);
    let back = shown(store, "INBOX");
    assert_eq!((back.len(), back[0].0), (1, 9), "{own:?} {archive:?}");
    assert!(back[0].3 == text, "{own:?} {archive:?}");
}

#[test]
fn what_cannot_be_brought_stays() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path();
    let store = &mut *spread(root, Format::Maildir, Format::Mdbox);
    let one = put(store, "INBOX", "one\r\n\r\n", 1);
    let to = name("Archive/nowhere");
    let failed = store.transfer(&name("INBOX"), &one, &to, &filing(1, SystemFlags::NONE));
    assert!(matches!(failed, Err(Error::NoSuchMailbox)), "{failed:?}");
    store.sync().unwrap();
    assert_eq!(shown(store, "INBOX").len(), 1);
    // What was brought and not synced stays, too, when the handle goes.
    store
        .transfer(
            &name("INBOX"),
            &one,
            &name("Archive"),
            &filing(1, SystemFlags::NONE),
        )
        .unwrap();
    drop(spread(root, Format::Maildir, Format::Mdbox));
    let mut other = spread(root, Format::Maildir, Format::Mdbox);
    let taken = other.transfer(
        &name("INBOX"),
        &one,
        &name("Archive"),
        &filing(2, SystemFlags::NONE),
    );
    assert!(matches!(taken, Err(Error::NoSuchMessage)));
}

#[test]
fn a_handle_that_is_dropped_takes_nothing_away() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path();
    for own in [Format::Maildir, Format::Mdbox] {
        let root = &root.join(own.as_str());
        fs::create_dir(root).unwrap();
        let mut store = spread(root, own, Format::Sdbox);
        let one = put(&mut *store, "INBOX", "one\r\n\r\n", 1);
        let new = filing(1, SystemFlags::NONE);
        store
            .transfer(&name("INBOX"), &one, &name("Archive"), &new)
            .unwrap();
        drop(store);
        let mut store = spread(root, own, Format::Sdbox);
        assert_eq!(shown(&mut *store, "INBOX").len(), 1);
        store
            .transfer(&name("INBOX"), &one, &name("old/mail"), &new)
            .unwrap();
        store.sync().unwrap();
        assert_eq!(shown(&mut *store, "INBOX").len(), 0);
        assert_eq!(shown(&mut *store, "old/mail").len(), 1);
    }
}

#[test]
fn messages_go_to_and_fro_before_a_sync() {
    let directory = tempfile::tempdir().unwrap();
    let store = &mut *spread(directory.path(), Format::Maildir, Format::Mdbox);
    let (inbox, cold, old) = (name("INBOX"), name("Archive"), name("old/mail"));
    let one = put(store, "INBOX", "one\r\n\r\n", 1);
    let two = put(store, "Archive", "two\r\n\r\n", 1);
    let three = put(store, "INBOX", "three\r\n\r\n", 2);
    store
        .transfer(&inbox, &one, &cold, &filing(2, SystemFlags::NONE))
        .unwrap();
    store
        .transfer(&cold, &two, &inbox, &filing(3, SystemFlags::NONE))
        .unwrap();
    store
        .transfer(&inbox, &three, &old, &filing(1, SystemFlags::NONE))
        .unwrap();
    store.sync().unwrap();
    let uids = |store: &mut dyn Store, mailbox| -> Vec<u32> {
        shown(store, mailbox)
            .iter()
            .map(|message| message.0)
            .collect()
    };
    assert_eq!(uids(store, "INBOX"), [3]);
    assert_eq!(uids(store, "Archive"), [2]);
    assert_eq!(uids(store, "old/mail"), [1]);
}

#[test]
fn a_draft_is_filed_in_several_places() {
    let directory = tempfile::tempdir().unwrap();
    let store = &mut *spread(directory.path(), Format::Maildir, Format::Mdbox);
    // Where it goes first it is written once.
    let mut draft = store.stage_for(&name("Archive")).unwrap();
    draft.write(b"a: b\r\n\r\nb").unwrap();
    assert_eq!(
        fs::read_dir(directory.path().join("mail/tmp"))
            .unwrap()
            .count(),
        0
    );
    draft.write(b"ody\r\n").unwrap();
    draft.date(1_000_000_000).unwrap();
    for (number, mailbox) in ["Archive", "INBOX", "old/mail", "INBOX"].iter().enumerate() {
        let to = name(mailbox);
        store.save(&mut *draft, &to).unwrap();
        assert_eq!(draft.octets(), 14);
        let new = filing(number as u32 + 1, SystemFlags::NONE);
        store.commit(&mut *draft, &to, &new).unwrap();
    }
    store.sync().unwrap();
    for (mailbox, count) in [("Archive", 1), ("INBOX", 2), ("old/mail", 1)] {
        let there = shown(store, mailbox);
        assert_eq!(there.len(), count, "{mailbox}");
        assert!(there.iter().all(|message| message.3 == "a: b\n\nbody\n"));
    }
}

#[test]
fn an_mbox_has_other_octets() {
    let directory = tempfile::tempdir().unwrap();
    let store = &mut *spread(directory.path(), Format::Maildir, Format::Mbox);
    let mut draft = store.stage().unwrap();
    draft.write(b"Status: RO\r\na: b\r\n\r\nbody\r\n").unwrap();
    for (mailbox, octets) in [("INBOX", 26), ("Archive", 14), ("INBOX", 26)] {
        store.save(&mut *draft, &name(mailbox)).unwrap();
        assert_eq!(draft.octets(), octets, "{mailbox}");
        assert_eq!(
            draft.whole().unwrap().unwrap().len() as u64 + 3 + u64::from(octets > 20),
            octets
        );
    }
    assert!(!store.keeps_octets(&name("INBOX"), &name("Archive")));
    assert!(store.keeps_octets(&name("INBOX"), &name("old/mail")));
    assert!(store.keeps_octets(&name("Archive"), &name("Archive/x")));
}

#[test]
fn mailboxes_keep_to_their_places() {
    let directory = tempfile::tempdir().unwrap();
    let store = &mut *spread(directory.path(), Format::Maildir, Format::Mdbox);
    store.create(&name("Archive/a")).unwrap();
    put(store, "Archive/a", "one\r\n\r\n", 1);
    for to in ["a", "old/mail/a"] {
        assert!(!store.is_together(&name("Archive/a"), &name(to)));
        assert!(matches!(
            store.rename(&name("Archive/a"), &name(to)),
            Err(Error::Unnamable)
        ));
    }
    store
        .rename(&name("Archive/a"), &name("Archive/b/c"))
        .unwrap();
    assert_eq!(shown(store, "Archive/b/c").len(), 1);
    store.delete(&name("Archive/b/c")).unwrap();
    assert!(matches!(
        store.stamp(&name("Archive/b/c")),
        Err(Error::NoSuchMailbox)
    ));
}

#[test]
fn subscriptions_are_where_mailboxes_are() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path();
    let store = &mut *spread(root, Format::Maildir, Format::Mdbox);
    // As Dovecot has them with `subscriptions = no`.
    fs::write(
        root.join("mail/subscriptions"),
        "V\t2\n\nArchive\told\nwork\n",
    )
    .unwrap();
    for mailbox in ["Archive", "Archive/a", "old/mail/gone", "INBOX"] {
        store.subscribe(&name(mailbox), true).unwrap();
        store.subscribe(&name(mailbox), true).unwrap();
    }
    let all = |store: &mut dyn Store| {
        let names = store.subscriptions().unwrap();
        let mut names: Vec<String> = names.iter().map(ToString::to_string).collect();
        names.sort();
        names
    };
    let expected = [
        "Archive",
        "Archive/a",
        "Archive/old",
        "INBOX",
        "old/mail/gone",
        "work",
    ];
    assert_eq!(all(store), expected);
    let text = fs::read_to_string(root.join("archive/subscriptions")).unwrap();
    assert_eq!(text, "V\t2\n\na\n");
    for mailbox in ["Archive/a", "Archive/old", "Archive"] {
        store.subscribe(&name(mailbox), false).unwrap();
    }
    assert_eq!(all(store), ["INBOX", "old/mail/gone", "work"]);
}

#[test]
fn hidden_mailboxes_are_kept_and_told() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path();
    let mut own = open(&root.join("mail"), Format::Mdbox, 1 << 20).unwrap();
    own.create(&name("Archive")).unwrap();
    own.create(&name("Archive/a")).unwrap();
    put(&mut *own, "Archive/a", "hidden\r\n\r\n", 1);
    let gone = put(&mut *own, "INBOX", &"gone\r\n".repeat(500), 1);
    drop(own);
    let store = &mut *spread(root, Format::Mdbox, Format::Mdbox);
    assert_eq!(listed(store), ["Archive", "INBOX", "old/mail"]);
    let mut hidden = store.hidden().unwrap();
    hidden.sort();
    assert_eq!(hidden, [name("Archive"), name("Archive/a")]);
    assert_eq!(shown(store, "Archive").len(), 0);
    // A purge leaves the file alone that has their messages.
    store.remove(&name("INBOX"), &gone).unwrap();
    store.sync().unwrap();
    assert!(store.compact(Some(Compaction::Purge)).unwrap().is_none());
    assert!(!store.discard().unwrap());
    assert!(root.join("mail/storage/m.1").exists());
    let mut own = open(&root.join("mail"), Format::Mdbox, 1 << 20).unwrap();
    assert_eq!(shown(&mut *own, "Archive/a")[0].3, "hidden\n\n");
}

#[test]
fn a_purge_goes_through_all_places() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path();
    let store = &mut *spread(root, Format::Mdbox, Format::Mdbox);
    for mailbox in ["INBOX", "Archive"] {
        let gone = put(store, mailbox, &"gone\r\n".repeat(500), 1);
        put(store, mailbox, "stays\r\n\r\n", 2);
        store.remove(&name(mailbox), &gone).unwrap();
    }
    store.sync().unwrap();
    let (mut begins, mut purged) = (Some(Compaction::Purge), Vec::new());
    while let Some(compacted) = store.compact(begins.take()).unwrap() {
        for mailbox in &compacted.mailboxes {
            store.replace(mailbox).unwrap();
            purged.push(mailbox.to_string());
        }
        assert!(store.discard().unwrap());
    }
    assert_eq!(purged, ["INBOX", "Archive"]);
    for place in ["mail", "archive"] {
        let files = fs::read_dir(root.join(place).join("storage")).unwrap();
        let files: Vec<String> = files
            .map(|file| file.unwrap().file_name().into_string().unwrap())
            .filter(|file| file.starts_with("m."))
            .collect();
        assert_eq!(files, ["m.2"], "{place}");
    }
    assert_eq!(shown(store, "Archive")[0].3, "stays\n\n");
}

#[test]
fn what_is_watched_is_known_of_each_mailbox() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path();
    let store = spread(root, Format::Maildir, Format::Mdbox);
    assert_eq!(store.watched(&name("INBOX")).len(), 2);
    assert_eq!(store.watched(&name("Archive")).len(), 0);
    assert!(!store.is_exclusive(&name("INBOX")) && store.is_exclusive(&name("Archive/x")));
    assert!(!store.is_remote(&name("INBOX")));
    let watched = |place: &Path, all| WatchedNames {
        directories: vec![place.join("mail")],
        all,
    };
    assert_eq!(store.watched_names(), watched(root, true));
    // Mailboxes of an mbox are found by looking; those of the Maildir beside it are told still.
    let other = tempfile::tempdir().unwrap();
    let store = spread(other.path(), Format::Maildir, Format::Mbox);
    assert_eq!(store.watched_names(), watched(other.path(), false));
    assert_eq!(store.watched_file(&name("INBOX")), None);
    let file = other.path().join("archive/inbox");
    assert!(
        store.is_remote(&name("Archive")) && store.watched_file(&name("Archive")) == Some(file)
    );
    assert!(store.settles());
}

#[test]
fn flags_of_one_place_lag_and_those_of_another_have_names() {
    let directory = tempfile::tempdir().unwrap();
    let store = &mut *spread(directory.path(), Format::Maildir, Format::Mdbox);
    store.create(&name("Archive/x")).unwrap();
    let one = UidSet::range(Uid::MIN, Uid::MIN);
    let mut mark = |mailbox: &str| {
        let marked = store.mark_all(&name(mailbox), &one, SystemFlags::SEEN, 0);
        store.sync().unwrap();
        (marked.unwrap(), store.lags())
    };
    assert_eq!(mark("INBOX"), (false, false));
    assert_eq!(mark("Archive/x"), (true, true));
    store.settle(&name("Archive/x")).unwrap();
    assert!(!store.lags());
}

#[test]
fn where_a_namespace_cannot_be_opened_the_rest_is_served() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path();
    fs::write(root.join("archive"), "no directory").unwrap();
    let store = &mut *spread(root, Format::Maildir, Format::Mdbox);
    store.sweep(&MailboxName::inbox()).unwrap();
    store.furnish(&[name("Sent"), name("Archive")]).unwrap();
    let one = put(store, "INBOX", "one\r\n\r\n", 1);
    assert_eq!(shown(store, "INBOX").len(), 1);
    assert!(matches!(store.stamp(&name("Archive")), Err(Error::Io(_))));
    let new = filing(1, SystemFlags::NONE);
    let failed = store.transfer(&name("INBOX"), &one, &name("Archive"), &new);
    assert!(matches!(failed, Err(Error::Io(_))), "{failed:?}");
    store.sync().unwrap();
    assert_eq!(shown(store, "INBOX").len(), 1);
    // Nobody is told that its mailboxes are gone.
    assert!(store.mailboxes().is_err());
    fs::remove_file(root.join("archive")).unwrap();
    assert_eq!(listed(store), ["Archive", "INBOX", "Sent", "old/mail"]);
}

#[test]
fn first_mailboxes_are_where_they_belong() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path();
    let names = ["Sent", "Archive"].map(name);
    let store = &mut *spread(root, Format::Maildir, Format::Mdbox);
    store.furnish(&names).unwrap();
    assert_eq!(listed(store), ["Archive", "INBOX", "Sent", "old/mail"]);
    assert_eq!(
        store.subscriptions().unwrap(),
        [&names[1], &names[0]].map(Clone::clone)
    );
    assert!(!root.join("mail/.Archive").exists());
    // What the user does not want any more does not come back.
    store.subscribe(&names[1], false).unwrap();
    store.furnish(&names).unwrap();
    assert_eq!(store.subscriptions().unwrap(), names[..1]);
}

#[test]
fn without_namespaces_nothing_is_in_between() {
    let directory = tempfile::tempdir().unwrap();
    let mut store = open(directory.path(), Format::Maildir, 1 << 20).unwrap();
    let mut draft = store.stage_for(&MailboxName::inbox()).unwrap();
    assert!(
        draft
            .as_any()
            .downcast_mut::<super::draft::SpreadDraft>()
            .is_none()
    );
}

#[test]
fn a_place_that_is_empty_again_is_left_alone() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path();
    for archive in FORMATS {
        let root = &root.join(archive.as_str());
        fs::create_dir(root).unwrap();
        let mut store = spread(root, Format::Maildir, archive);
        assert_eq!(listed(&mut *store), ["Archive", "INBOX", "old/mail"]);
        put(&mut *store, "Archive", "one\r\n\r\n", 1);
        drop(store);
        // As where a disk is not mounted.
        fs::rename(root.join("archive"), root.join("elsewhere")).unwrap();
        for made in [false, true] {
            if made {
                fs::create_dir(root.join("archive")).unwrap();
            }
            let store = &mut *spread(root, Format::Maildir, archive);
            let told = store.stamp(&name("Archive")).unwrap_err().to_string();
            assert!(told.contains("is its disk mounted?"), "{archive:?} {told}");
            put(store, "INBOX", "two\r\n\r\n", 1 + u32::from(made));
            let left = fs::read_dir(root.join("archive"));
            assert!(
                left.map_or(0, |entries| entries.count()) == 0,
                "{archive:?}"
            );
        }
        fs::remove_dir(root.join("archive")).unwrap();
        fs::rename(root.join("elsewhere"), root.join("archive")).unwrap();
        let mut store = spread(root, Format::Maildir, archive);
        assert_eq!(shown(&mut *store, "Archive").len(), 1, "{archive:?}");
        drop(store);
        // Whoever knows that it is gone says so.
        fs::remove_dir_all(root.join("archive")).unwrap();
        let file = root.join("mail/dovelet-namespaces");
        assert_eq!(fs::read_to_string(&file).unwrap(), "Archive\nold/mail\n");
        fs::write(&file, "old/mail\n").unwrap();
        let store = &mut *spread(root, Format::Maildir, archive);
        assert_eq!(shown(store, "Archive").len(), 0, "{archive:?}");
    }
}

#[test]
fn a_place_that_a_link_makes_another_is_not_used() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path();
    fs::create_dir(root.join("mail")).unwrap();
    fs::create_dir(root.join("spare")).unwrap();
    for (uid, link, leads_to) in [
        (1, "archive", "mail"),
        (2, "archive", "mail/cur"),
        (3, "archive", "."),
        (4, "old", "spare"),
        (5, "archive", "spare"),
    ] {
        std::os::unix::fs::symlink(root.join(leads_to), root.join(link)).unwrap();
        let store = &mut *spread(root, Format::Maildir, Format::Maildir);
        if link == "archive" {
            let told = store.stamp(&name("Archive")).unwrap_err().to_string();
            assert!(told.contains("is the same as"), "{leads_to}: {told}");
        }
        put(store, "INBOX", "one\r\n\r\n", uid);
        // The fourth is found out by the fifth.
        if uid != 4 {
            fs::remove_file(root.join("archive")).unwrap();
        }
    }
    // A link that leads elsewhere is as good as any directory.
    fs::create_dir(root.join("elsewhere")).unwrap();
    std::os::unix::fs::symlink(root.join("elsewhere"), root.join("archive")).unwrap();
    let mut store = spread(root, Format::Maildir, Format::Maildir);
    put(&mut *store, "Archive", "one\r\n\r\n", 1);
}

#[test]
fn a_message_that_is_cut_is_told_in_each_place() {
    let directory = tempfile::tempdir().unwrap();
    let mut store = spread(directory.path(), Format::Maildir, Format::Maildir);
    for mailbox in ["INBOX", "Archive"] {
        let blob = put(&mut *store, mailbox, "Subject: 1\n\none\n", 1);
        assert!(store.is_whole(&name(mailbox), &blob).unwrap());
        fs::write(store.whereabouts(&name(mailbox), &blob), "Subject").unwrap();
        assert!(!store.is_whole(&name(mailbox), &blob).unwrap(), "{mailbox}");
    }
}
