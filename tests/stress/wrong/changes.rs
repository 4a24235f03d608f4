//! Flags, mod-sequences and conditional STORE.

use super::*;

#[test]
fn flags_that_nobody_set_are_seen() {
    let flagged = ["2 FETCH (FLAGS (\\Flagged \\Seen))"];
    let set = || step(1, store(&[2], "\\Flagged", None), &flagged, "OK");
    right(PLAIN, vec![set(), step(0, Doing::Noop, &flagged, "OK")]);
    let unknown = ["2 FETCH (FLAGS (green))"];
    wrong(
        PLAIN,
        vec![step(0, Doing::Noop, &unknown, "OK")],
        "nobody ever set green",
    );
    // At first they may be anything; since then everything is known.
    let clear = |who| {
        let clear = Doing::Store(Store {
            by_uid: true,
            uids: vec![2],
            change: Change::Set,
            flags: Flags::default(),
            silent: false,
            unchanged: None,
        });
        step(who, clear, &["2 FETCH (FLAGS ())"], "OK")
    };
    right(
        PLAIN,
        vec![
            clear(1),
            step(0, Doing::Noop, &["2 FETCH (FLAGS ())"], "OK"),
        ],
    );
    wrong(
        PLAIN,
        vec![clear(1), step(0, Doing::Noop, &flagged, "OK")],
        "nobody did that",
    );
    wrong(
        PLAIN,
        vec![clear(1), step(0, Doing::Noop, &[], "OK")],
        "not told what changed",
    );
    wrong(
        PLAIN,
        vec![set(), clear(0), step(1, Doing::Noop, &[], "OK")],
        "not told what changed",
    );
    let kept = ["2 FETCH (FLAGS (\\Seen))"];
    wrong(
        PLAIN,
        vec![step(1, store(&[2], "\\Flagged", None), &kept, "OK")],
        "the answer to STORE",
    );
    wrong(
        PLAIN,
        vec![step(1, store(&[2], "\\Flagged", None), &[], "OK")],
        "is not told",
    );
}

#[test]
fn mod_sequences_that_cannot_be_are_seen() {
    let noop = |told: &[&str]| vec![step(0, Doing::Noop, told, "OK")];
    wrong(
        CONDSTORE,
        noop(&["2 FETCH (UID 2 FLAGS () MODSEQ (9))"]),
        "it was 12",
    );
    wrong(
        CONDSTORE,
        noop(&["2 FETCH (FLAGS ())"]),
        "without UID and MODSEQ",
    );
    wrong(
        CONDSTORE,
        noop(&["2 FETCH (UID 2 FLAGS () MODSEQ (12))"]),
        "not told before 13",
    );
    let back = vec![step(0, Doing::Noop, &[], "OK [HIGHESTMODSEQ 12] done")];
    wrong(CONDSTORE, back, "it was 13");
    let two: Vec<Step> = vec![
        step(
            0,
            Doing::Noop,
            &["2 FETCH (UID 2 FLAGS (red) MODSEQ (20))"],
            "OK",
        ),
        step(
            1,
            Doing::Noop,
            &["2 FETCH (UID 2 FLAGS (blue) MODSEQ (20))"],
            "OK",
        ),
    ];
    wrong(CONDSTORE, two, "both at 20");
    let select = Doing::Select {
        mailbox: "INBOX",
        resync: None,
    };
    let opens = ["OK [CLOSED] ok", "3 EXISTS", "OK [HIGHESTMODSEQ 12] ok"];
    wrong(
        CONDSTORE,
        vec![step(0, select, &opens, "OK")],
        "but 13 was told",
    );
}

#[test]
fn conditional_stores_that_cannot_be_are_seen() {
    let red = |unchanged| store(&[1, 2], "red", Some(unchanged));
    let told = ["1 FETCH (UID 1 FLAGS (red) MODSEQ (20))"];
    let both = [told[0], "2 FETCH (UID 2 FLAGS (\\Seen red) MODSEQ (20))"];
    right(
        CONDSTORE,
        vec![step(0, red(11), &told, "OK [MODIFIED 2] done")],
    );
    right(CONDSTORE, vec![step(0, red(12), &both, "OK")]);
    wrong(
        CONDSTORE,
        vec![step(0, red(12), &told, "OK")],
        "UID 2 is not told",
    );
    wrong(
        CONDSTORE,
        vec![step(0, red(11), &told, "OK [MODIFIED 3] done")],
        "not asked for",
    );
    let low = ["1 FETCH (UID 1 FLAGS (red) MODSEQ (20))", both[1]];
    wrong(
        CONDSTORE,
        vec![step(0, red(30), &low, "OK")],
        "not above 30",
    );
    // What was modified was so later than that.
    let again = ["2 FETCH (UID 2 FLAGS (\\Seen) MODSEQ (12))"];
    let modified = step(0, red(12), &told, "OK [MODIFIED 2] done");
    wrong(
        CONDSTORE,
        vec![modified, step(0, Doing::Noop, &again, "OK")],
        "it was 13",
    );
    let silent = Doing::Store(Store {
        by_uid: true,
        uids: vec![2],
        change: Change::Add,
        flags: Flags::parse("red").unwrap(),
        silent: true,
        unchanged: Some(11),
    });
    let done = ["2 FETCH (UID 2 MODSEQ (20))"];
    wrong(
        CONDSTORE,
        vec![step(0, silent, &done, "OK")],
        "is not MODIFIED",
    );
}
