use super::*;
use crate::auth::Secret;

fn day(text: &str) -> Date {
    Date::parse(text).unwrap()
}

fn made(number: u8) -> Made {
    let mut random = [0; RANDOM_OCTETS];
    random
        .iter_mut()
        .zip(number..)
        .for_each(|(own, n)| *own = n);
    make(&random)
}

fn claim(user: &str, password: &str) -> Credentials {
    Credentials::new(user.to_owned(), Secret::from(password.as_bytes()))
}

/// One of ann's for IMAP until the end of the year, one of bob's for all.
fn file() -> (String, Made, Made) {
    let (one, other) = (made(3), made(40));
    let scope = (
        Scope::parse("imap").unwrap(),
        day("2026-11-26"),
        Some(day("2026-12-31")),
    );
    let text = added(b"# all\n", "Ann", &one, scope, "my phone").unwrap();
    let scope = (Scope::ALL, day("2026-11-26"), None);
    let text = added(&text, "bob", &other, scope, "").unwrap();
    (String::from_utf8(text).unwrap(), one, other)
}

#[test]
fn what_is_made_is_stored_as_a_digest() {
    let (text, one, other) = file();
    assert_eq!(one.shown, "defgh-ijkmn-pqrst-uvwxy");
    let expected = format!(
        "# all\nann:z234:{}:imap:2026-11-26:2026-12-31:-:my phone\n\
         bob:{}:{}:imap,pop3,smtp:2026-11-26:-:-:\n",
        one.hash, other.id, other.hash
    );
    assert_eq!(text, expected);
    assert!(!text.contains(&one.shown.replace('-', "")));
    let (all, bad) = AppPasswords::parse(text.as_bytes());
    assert_eq!((all.iter().count(), bad.len()), (2, 0));
    assert_eq!(all.of("ANN")[0].label, "my phone");
}

#[test]
fn only_in_its_scope_and_time_and_by_its_user() {
    let (text, one, _) = file();
    let (all, _) = AppPasswords::parse(text.as_bytes());
    let found = |user: &str, password: &str, protocol, today: &str| {
        let found = all.find(&claim(user, password), protocol, day(today));
        found.map(|own| own.id.as_str())
    };
    let (imap, shown) = (Protocol::Imap, one.shown.as_str());
    for typed in [
        shown.to_owned(),
        shown.replace('-', ""),
        shown.replace('-', " ").to_uppercase(),
    ] {
        assert_eq!(found("ANN", &typed, imap, "2026-12-31"), Some("z234"));
    }
    assert_eq!(found("ann", shown, imap, "2027-01-01"), None);
    assert_eq!(found("ann", shown, Protocol::Pop3, "2026-12-31"), None);
    assert_eq!(
        found("ann", shown, Protocol::DovecotAuth, "2026-12-31"),
        None
    );
    assert_eq!(found("ann", shown, Protocol::Lmtp, "2026-12-31"), None);
    assert_eq!(found("bob", shown, imap, "2026-12-31"), None);
    assert_eq!(found("eve", shown, imap, "2026-12-31"), None);
    for wrong in [
        &shown[1..],
        "",
        "defgh-ijkmn-pqrst-uvwxz",
        "defgh-ijkmn-pqrst-uvwxyz",
        "secret",
    ] {
        assert_eq!(found("ann", wrong, imap, "2026-12-31"), None, "{wrong}");
    }
    // Nobody acts as another by it, and nobody proves anything but a password with it.
    let mut other = claim("ann", shown);
    other.authzid = "bob".to_owned();
    assert!(all.find(&other, imap, day("2026-12-31")).is_none());
    let (challenge, digest) = (String::new(), Vec::new());
    other = Credentials {
        proof: Proof::CramMd5 { challenge, digest },
        ..claim("ann", "")
    };
    assert!(all.find(&other, imap, day("2026-12-31")).is_none());
}

#[test]
fn uses_are_noted_once_a_day() {
    let (text, one, other) = file();
    let (mut all, _) = AppPasswords::parse(text.as_bytes());
    let today = day("2026-11-27");
    assert!(all.note("ann", &one.id, today) && !all.note("Ann", &one.id, today));
    assert!(all.note("ann", &one.id, day("2026-11-28")));
    assert!(!all.note("ann", &other.id, today) && !all.note("eve", &one.id, today));
    let noted = used(text.as_bytes(), |user, id| {
        (user == "ann" && id == one.id).then_some(&today)
    });
    let noted = noted.unwrap();
    let expected = text.replace("2026-12-31:-:my", "2026-12-31:2026-11-27:my");
    assert_eq!(String::from_utf8(noted.clone()).unwrap(), expected);
    let (all, bad) = AppPasswords::parse(&noted);
    assert_eq!(all.of("ann")[0].used, Some(today));
    assert!(bad.is_empty() && all.of("bob")[0].used.is_none());
    assert_eq!(used(&noted, |_, _| None), None);
}

#[test]
fn removing() {
    let (text, one, other) = file();
    let text = text.as_bytes();
    assert_eq!(without(text, "ann", &other.id), None);
    assert_eq!(without_user(text, "an"), None);
    let left = without(text, "ANN", &one.id).unwrap();
    assert_eq!(AppPasswords::parse(&left).0.iter().count(), 1);
    assert!(left.starts_with(b"# all\nbob:"));
    assert_eq!(without_user(text, "Ann"), Some(left));
}

#[test]
fn lines_that_are_wrong_and_labels_that_cannot_be() {
    let good = format!("ann:abcd:{}:imap:2026-11-26:-:-:", made(3).hash);
    for (line, right) in [
        (good.clone(), true),
        (good.clone() + "a: b\r", true),
        (good.replace("imap", "imap,ftp"), false),
        (good.replace("imap", ""), false),
        (good.replace("2026-11-26", "2026-13-26"), false),
        (good.replace("abcd", "ab/d"), false),
        (good.replace("ann", "a n"), false),
        (
            good.replace(
                &made(3).hash,
                "{BLF-CRYPT}$2y$04$cRXRCP4BzJqukPUXtiWGeeIN9Fqjp/Xj/GSD6ajowxyXZCTVCG6hi",
            ),
            false,
        ),
        (good.replace(":-:-:", ":-:-"), false),
        ("ann".to_owned(), false),
    ] {
        let (all, bad) = AppPasswords::parse(line.as_bytes());
        assert_eq!(
            (all.iter().count(), bad.is_empty()),
            (usize::from(right), right),
            "{line}"
        );
    }
    let scope = (Scope::ALL, day("2026-11-26"), None);
    let long = "x".repeat(MAX_LABEL + 1);
    for label in ["a:b", "a\nb", &long] {
        assert!(added(b"", "ann", &made(3), scope, label).is_err());
    }
    assert!(added(good.as_bytes(), "ann", &made(3), scope, &long[1..]).is_ok());
    let mut text = Vec::new();
    for number in 0..50 {
        let one = Made {
            id: format!("{}a", "b".repeat(number + 1)),
            ..made(3)
        };
        text = added(&text, "ann", &one, scope, "").unwrap();
        assert!(added(&text, "ann", &one, scope, "").is_err());
    }
    let told = added(&text, "ann", &made(3), scope, "").unwrap_err();
    assert_eq!(told, "there are 50 app passwords already");
    assert!(added(&text, "bob", &made(3), scope, "").is_ok());
    // What was written by hand beyond that is not tried.
    let (all, _) = AppPasswords::parse(
        &[
            text.repeat(2),
            added(b"", "ann", &made(9), scope, "").unwrap(),
        ]
        .concat(),
    );
    assert!(
        all.find(
            &claim("ann", &made(9).shown),
            Protocol::Imap,
            day("2026-11-26")
        )
        .is_none()
    );
}
