//! Numbers, UIDs, and what comes and goes.

use super::*;

#[test]
fn numbers_that_cannot_be_are_seen() {
    for (told, what) in [
        ("4 EXPUNGE", "EXPUNGE 4 of 3"),
        ("0 EXPUNGE", "EXPUNGE 0 of 3"),
        ("2 EXISTS", "without EXPUNGE"),
        ("9 FETCH (FLAGS ())", "FETCH 9 of 3"),
        ("2 FETCH (UID 7 FLAGS ())", "it was 2"),
        ("VANISHED 2", "in one session"),
        ("VANISHED (EARLIER) 7", "nobody asked for"),
        ("1 UIDFETCH (FLAGS ())", "in one session"),
        ("2 EXPUNGE", "nobody expunged UID 2"),
    ] {
        wrong(PLAIN, vec![step(0, Doing::Noop, &[told], "OK")], what);
    }
    let arrives = ["4 EXISTS", "4 FETCH (UID 2 FLAGS ())"];
    wrong(
        PLAIN,
        vec![step(0, Doing::Noop, &arrives, "OK")],
        "does not ascend",
    );
    right(
        PLAIN,
        vec![step(
            0,
            Doing::Noop,
            &["4 EXISTS", "4 FETCH (UID 9 FLAGS ())"],
            "OK",
        )],
    );
    let fetched = ["1 EXPUNGE", "1 FETCH (FLAGS (\\Seen))"];
    wrong(
        PLAIN,
        vec![step(0, fetch(&[1], &["FLAGS"]), &fetched, "OK")],
        "an expunge is told",
    );
    wrong(
        PLAIN,
        vec![step(0, Doing::Noop, &[], "BAD what")],
        "refused",
    );
}

#[test]
fn what_vanishes_wrongly_is_seen() {
    for (told, what) in [
        ("VANISHED 9", "not there"),
        ("VANISHED 1", "nobody expunged"),
        ("3 EXPUNGE", "in one session"),
    ] {
        wrong(QRESYNC, vec![step(0, Doing::Noop, &[told], "OK")], what);
    }
    let expunge = |who, told: &[&str]| step(who, Doing::Expunge { only: None }, told, "OK");
    right(
        QRESYNC,
        vec![
            expunge(0, &["VANISHED 3"]),
            step(1, Doing::Noop, &["VANISHED 3"], "OK"),
        ],
    );
    let late = "is gone, and that was not told";
    wrong(
        QRESYNC,
        vec![expunge(0, &["VANISHED 3"]), step(1, Doing::Noop, &[], "OK")],
        late,
    );
    wrong(
        PLAIN,
        vec![
            step(
                0,
                store(&[1], "\\Deleted", None),
                &["1 FETCH (FLAGS (\\Deleted))"],
                "OK",
            ),
            expunge(0, &["3 EXPUNGE"]),
        ],
        "is deleted and not expunged",
    );
    let changed = Doing::Fetch(Fetch {
        by_uid: true,
        uids: Some(vec![1, 2]),
        items: vec!["FLAGS"],
        since: Some(12),
        vanished: true,
    });
    wrong(
        QRESYNC,
        vec![step(0, changed, &["VANISHED (EARLIER) 2"], "OK")],
        "which is there",
    );
}

#[test]
fn uids_that_cannot_be_are_seen() {
    let append = |uid: &'static str| {
        let append = Append {
            to: "INBOX",
            id: "4".to_owned(),
            flags: Flags::default(),
            date: DATE.to_owned(),
            text: text("4"),
        };
        step(1, Doing::Append(append), &["4 EXISTS"], uid)
    };
    let is = |id: &str| {
        format!("4 FETCH (UID 8 FLAGS () BODY[HEADER] {{19}}\r\nMessage-ID: <{id}>\r\n\r\n)")
    };
    let (right_one, wrong_one) = (is("4"), is("1"));
    let come = |told: &[&str]| step(0, Doing::Noop, told, "OK");
    let there = "OK [APPENDUID 7 8] done";
    right(PLAIN, vec![append(there), come(&["4 EXISTS", &right_one])]);
    wrong(
        PLAIN,
        vec![append(there), come(&["4 EXISTS", &wrong_one])],
        "1, it was 4",
    );
    wrong(
        PLAIN,
        vec![append("OK [APPENDUID 7 2] done")],
        "UID 2 is new after UID 3",
    );
    wrong(
        PLAIN,
        vec![append("OK [APPENDUID 6 8] done")],
        "UIDVALIDITY 6",
    );
    let flagged = right_one.replace("FLAGS ()", "FLAGS (red)");
    wrong(
        PLAIN,
        vec![append(there), come(&["4 EXISTS", &flagged])],
        "red is set",
    );
    wrong(
        PLAIN,
        vec![append(there), come(&["3 EXISTS"])],
        "is missing",
    );
    let copied = |code| step(1, copy(&[1, 2]), &["5 EXISTS"], code);
    right(
        PLAIN,
        vec![copied("OK [COPYUID 7 1:2 7:8] done"), come(&["5 EXISTS"])],
    );
    wrong(PLAIN, vec![copied("OK [COPYUID 7 1:2 7] done")], "COPYUID");
    wrong(
        PLAIN,
        vec![copied("OK [COPYUID 7 2:3 7:8] done")],
        "COPYUID of 3",
    );
    wrong(
        PLAIN,
        vec![copied("OK [COPYUID 7 1:2 2,8] done")],
        "UID 2 is new",
    );
    let status = Doing::Status {
        mailbox: "INBOX",
        mod_seq: false,
    };
    wrong(
        PLAIN,
        vec![step(0, status, &["STATUS INBOX (UIDNEXT 3)"], "OK")],
        "UIDNEXT 3",
    );
}

#[test]
fn clients_without_numbers_are_told_uids() {
    let uid_only = ["uidonly", "uidonly"];
    let noop = |told: &[&str]| vec![step(0, Doing::Noop, told, "OK")];
    right(uid_only, noop(&["2 UIDFETCH (FLAGS (\\Seen))"]));
    wrong(
        uid_only,
        noop(&["2 FETCH (FLAGS (\\Seen))"]),
        "in one session",
    );
    wrong(uid_only, noop(&["9 UIDFETCH (FLAGS ())"]), "not there");
    right(uid_only, noop(&["4 EXISTS", "9 UIDFETCH (FLAGS ())"]));
    wrong(uid_only, noop(&["2 UIDFETCH (UID 3 FLAGS ())"]), "of UID 3");
    wrong(uid_only, noop(&["2 EXPUNGE"]), "in one session");
}
