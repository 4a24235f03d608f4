//! What is fetched, found, and told to one who comes again.

use super::*;

/// A client of QRESYNC that lost its connection comes again and is told that.
fn resynchronised(told: &[&str]) -> Checked {
    let truth = Truth::default();
    let [mut model, mut other] = opened(["qresync", "condstore"], &truth);
    model.lose();
    let expunge = Doing::Expunge {
        only: Some(vec![3]),
    };
    run(&mut other, expunge, &["3 EXPUNGE"], "OK").unwrap();
    let flagged = ["1 FETCH (UID 1 FLAGS (\\Flagged) MODSEQ (20))"];
    run(&mut other, store(&[1], "\\Flagged", None), &flagged, "OK").unwrap();
    let resync = Resync {
        validity: 7,
        mod_seq: 13,
        uids: None,
        matched: None,
    };
    let select = Doing::Select {
        mailbox: "INBOX",
        resync: Some(resync),
    };
    run(&mut model, select, told, "OK")?;
    // Had it been told of this one, it would have no number here.
    let later = ["3 FETCH (UID 4 FLAGS () MODSEQ (15))"];
    match model.view.is_known() {
        true => Ok(()),
        false => run(&mut model, Doing::Noop, &later, "OK"),
    }
}

#[test]
fn a_view_that_is_not_up_to_date_is_seen() {
    let (gone, flagged) = (
        "VANISHED (EARLIER) 3",
        "1 FETCH (UID 1 FLAGS (\\Flagged) MODSEQ (20))",
    );
    assert_eq!(resynchronised(&["2 EXISTS", gone, flagged]), Ok(()));
    let cases: [(&[&str], &str); 7] = [
        (&["2 EXISTS", flagged], "3 did not vanish"),
        (&["2 EXISTS", gone], "not told what changed"),
        (
            &["3 EXISTS", gone, flagged, "OK [HIGHESTMODSEQ 20] ok"],
            "was not told when",
        ),
        (&["3 EXISTS", flagged], "is gone, and that was not told"),
        (
            &[
                "2 EXISTS",
                gone,
                "2 FETCH (UID 1 FLAGS (\\Flagged) MODSEQ (20))",
            ],
            "do not fit",
        ),
        (
            &["2 EXISTS", "VANISHED (EARLIER) 2:3", flagged],
            "nobody expunged UID 2",
        ),
        (&[], "not selected"),
    ];
    for (told, what) in cases {
        let seen = resynchronised(told).unwrap_err();
        assert!(seen.contains(what), "{told:?}: {seen}");
    }
}

#[test]
fn content_that_nobody_sent_is_seen() {
    let items = ["BODY.PEEK[]", "RFC822.SIZE", "INTERNALDATE"];
    let told = |id: &str, size: usize, date: &str| {
        let (text, octets) = (text(id), text(id).len());
        format!(
            "1 FETCH (BODY[] {{{octets}}}\r\n{text} RFC822.SIZE {size} INTERNALDATE \"{date}\")"
        )
    };
    let (size, other) = (text("1").len(), DATE.replace("12-", "13-"));
    let one = |told: &str, what| {
        wrong(
            PLAIN,
            vec![step(0, fetch(&[1], &items), &[told], "OK")],
            what,
        )
    };
    one(&told("1", size, DATE), "");
    one(
        &told("1", size, DATE).replace("text", "tuxt"),
        "has the checksum",
    );
    one(&told("2", size, DATE), "2, it was 1");
    one(&told("1", size + 1, DATE), "RFC822.SIZE");
    one(&told("1", size, &other), "INTERNALDATE");
    one("1 FETCH (RFC822.SIZE 7)", "RFC822.SIZE 7");
    one(
        &format!("1 FETCH (RFC822.SIZE {size})"),
        "BODY.PEEK[] of UID 1 is not told",
    );
    let text = ["1 FETCH (BODY[TEXT] {13}\r\ntext of ten\r\n)"];
    wrong(
        PLAIN,
        vec![step(0, fetch(&[1], &["BODY.PEEK[TEXT]"]), &text, "OK")],
        "checksum",
    );
    let id = [
        "4 EXISTS",
        "4 FETCH (UID 9 BODY[HEADER] {19}\r\nMessage-ID: <9>\r\n\r\n)",
    ];
    wrong(
        PLAIN,
        vec![step(0, Doing::Noop, &id, "OK")],
        "nobody brought 9",
    );
}

#[test]
fn what_cannot_be_found_is_seen() {
    let seen = || Key::Flag(crate::flags::SEEN, true);
    let one = |key, told, what| {
        wrong(
            PLAIN,
            vec![step(0, search(key, false), &[told], "OK")],
            what,
        )
    };
    one(Key::Uids(2, 3), "SEARCH 2 3", "");
    one(Key::Uids(2, 3), "SEARCH 1 2 3", "1 is found");
    one(Key::Uids(2, 2), "SEARCH", "2 is not found");
    one(Key::All, "SEARCH 2 1 3", "not in order");
    one(Key::All, "SEARCH 1 2 3 4", "4 is found, and not there");
    one(Key::Not(Box::new(Key::All)), "SEARCH 2", "2 is found");
    // Everybody knows since then what the flag is.
    let set = |who| {
        step(
            who,
            store(&[1], "\\Seen", None),
            &["1 FETCH (FLAGS (\\Seen))"],
            "OK",
        )
    };
    let find = |told: &[&str]| {
        step(
            0,
            search(Key::And(Box::new(Key::Uids(1, 1)), Box::new(seen())), false),
            told,
            "OK",
        )
    };
    right(PLAIN, vec![set(0), find(&["SEARCH 1"])]);
    wrong(PLAIN, vec![set(0), find(&["SEARCH"])], "1 is not found");
    let extended = |told: &[&str]| vec![step(0, search(Key::All, true), told, "OK")];
    right(
        PLAIN,
        extended(&["ESEARCH (TAG \"x\") COUNT 3 MIN 1 MAX 3 ALL 1:3"]),
    );
    wrong(
        PLAIN,
        extended(&["ESEARCH (TAG \"x\") COUNT 2 MIN 1 MAX 3 ALL 1:3"]),
        "of 1:3",
    );
    wrong(PLAIN, extended(&["SEARCH 1 2 3"]), "instead of another");
    wrong(
        PLAIN,
        vec![step(0, search(Key::All, false), &["SORT 1 2 3"], "OK")],
        "instead of another",
    );
    wrong(PLAIN, extended(&[]), "nothing found");
    let newer = |told: &[&str]| vec![step(0, search(Key::ModSeq(12), false), told, "OK")];
    right(CONDSTORE, newer(&["SEARCH 2 3 (MODSEQ 13)"]));
    wrong(
        CONDSTORE,
        newer(&["SEARCH 2 (MODSEQ 12)"]),
        "3 is not found",
    );
    wrong(CONDSTORE, newer(&["SEARCH 2 3 (MODSEQ 11)"]), "MODSEQ 11");
    wrong(CONDSTORE, newer(&["SEARCH 2 3"]), "MODSEQ is not told");
}
