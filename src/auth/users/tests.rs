use super::*;
use crate::auth::Secret;
use crate::auth::complaint::MAX_COMPLAINTS;
use crate::auth::password::Unusable;
use crate::config::Scheme;

const FILE: &[u8] = b"# users\n\nann:{PLAIN}tiger:1000:1000::/home/ann\nBob@Example.ORG:{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=\nlocked:!\nann:{PLAIN}lion\nbad name:x\nodd:{ROT13}x::::::a=1\neve:{PLAIN}x::::::a=1 b=2";

fn claim(name: &str, password: &str) -> Credentials {
    Credentials::new(name.to_owned(), Secret::from(password.as_bytes()))
}

#[test]
fn the_first_line_of_a_user_counts_and_faults_are_told() {
    let (users, complaints) = Users::parse(FILE);
    let names: Vec<&str> = users.iter().map(|u| u.name.as_str()).collect();
    assert_eq!(names, ["ann", "bob@example.org", "eve", "locked", "odd"]);
    let told: Vec<(usize, Fault)> = complaints.into_iter().map(|c| (c.line, c.what)).collect();
    assert_eq!(
        told,
        [
            (6, Fault::Duplicate("ann".to_owned())),
            (7, Fault::Name(crate::auth::user::NameFault::Character(' '))),
            (8, Fault::Password("odd".to_owned(), Unusable::Scheme)),
            (8, Fault::Unused("odd".to_owned(), "a".to_owned())),
            (9, Fault::Unused("eve".to_owned(), "b".to_owned())),
        ]
    );
    assert_eq!(users.find("ANN").unwrap().uid, Some(1000));
    assert!(users.find("an").is_none() && users.find("").is_none());
    assert!(users.password("Ann").is_some() && users.password("locked").is_none());
}

#[test]
fn claims() {
    let (users, _) = Users::parse(FILE);
    for (name, password, expected) in [
        ("ann", "tiger", Some("ann")),
        ("ANN", "tiger", Some("ann")),
        ("ann", "lion", None),
        ("ann", "Tiger", None),
        ("ann", "", None),
        ("bob@example.org", "secret", Some("bob@example.org")),
        ("bob", "secret", None),
        ("locked", "!", None),
        ("locked", "", None),
        ("odd", "x", None),
    ] {
        let user = users.verify(&claim(name, password));
        assert_eq!(
            user.map(|u| u.name).as_deref(),
            expected,
            "{name} {password}"
        );
    }
}

#[test]
fn masters_act_as_others() {
    let file =
        b"ann:!\nroot:{PLAIN}lion\neve:{PLAIN}x:::::: nologin\ngone:{PLAIN}lion::::::nologin\n";
    let masters = Masters::new(&["root".to_owned(), "gone".to_owned()], '*');
    let users = Users::parse(file).0.with_masters(masters);
    let verdict = |authzid: &str, authcid: &str, password: &str| {
        let mut credentials = claim(authcid, password);
        credentials.authzid = authzid.to_owned();
        let (verdict, user) = users.check(&users.divide(credentials));
        (verdict, user.map(|user| user.name.clone()))
    };
    let rejected = (Verdict::Rejected, None);
    let ann = (Verdict::Accepted, Some("ann".to_owned()));
    for (authzid, authcid, password, expected) in [
        ("", "Ann*ROOT", "lion", &ann),
        ("ann", "root", "lion", &ann),
        ("ann", "ann*root", "lion", &ann),
        ("", "ann*root", "x", &rejected),
        ("", "ann*eve", "x", &rejected),
        ("", "nobody*root", "lion", &rejected),
        ("bob", "ann*root", "lion", &rejected),
        ("ann", "eve", "x", &rejected),
        // Whose own account is closed acts as nobody.
        ("", "ann*gone", "lion", &rejected),
        (
            "",
            "root",
            "lion",
            &(Verdict::Accepted, Some("root".to_owned())),
        ),
    ] {
        assert_eq!(
            &verdict(authzid, authcid, password),
            expected,
            "{authzid} {authcid}"
        );
    }
    // Nor does anybody act as one who is elsewhere.
    assert!(matches!(
        verdict("", "eve*root", "lion").0,
        Verdict::Closed(_)
    ));
}

#[test]
fn a_foreign_authorization_identity_is_rejected() {
    let (users, _) = Users::parse(FILE);
    for (authzid, expected) in [
        ("", Verdict::Accepted),
        ("Ann", Verdict::Accepted),
        ("eve", Verdict::Rejected),
    ] {
        let mut credentials = claim("ann", "tiger");
        credentials.authzid = authzid.to_owned();
        assert_eq!(users.check(&credentials).0, expected, "{authzid:?}");
    }
}

/// The decoy's own password must open nothing.
#[test]
fn an_unknown_name_is_compared_but_never_accepted() {
    let (users, _) = Users::parse(b"ann:{PLAIN}tiger\nlocked:*\n");
    for name in ["nobody", "locked", "other@example.org"] {
        assert!(users.compared(name).unwrap().verify(b"tiger"), "{name}");
        let (verdict, user) = users.check(&claim(name, "tiger"));
        assert_eq!((verdict, user), (Verdict::Rejected, None), "{name}");
    }
}

#[test]
fn unknown_names_cost_what_known_ones_do() {
    let slow = "$5$zL.twC97azC8xX2O$OyWalln7/8ZyVyoM1HJsSrgX0sn.UVieh/z.1vZWur0";
    let share = |file: String| {
        let (users, complaints) = Users::parse(file.as_bytes());
        assert_eq!(complaints, []);
        let names = (0..400).map(|n| format!("user{n}@example.org"));
        let slow = names.filter(|n| users.is_slow(&claim(n, "x"))).count();
        assert_eq!(
            users.is_slow(&claim("USER7@x", "x")),
            users.is_slow(&claim("user7@x", "x"))
        );
        slow
    };
    assert_eq!(share(format!("a:{slow}\nb:{slow}\nc:!\n")), 400);
    assert_eq!(share("a:{PLAIN}x\n".to_owned()), 0);
    let mixed = share(format!("a:{slow}\nb:{{PLAIN}}x\n"));
    assert!((100..300).contains(&mixed), "{mixed}");
    assert_eq!(share(String::new()), 0);
}

#[test]
fn passwords_that_take_too_much_memory_are_told() {
    // They could not be checked after a change to a smaller board, and nobody was told whose.
    let tail = "BwcHBwcHBwcHBwcHBwcHBw$BwcHBwcHBwcHBwcHBwcHBw";
    let line = |user: &str, kib: u32| {
        format!("{user}:{{ARGON2ID}}$argon2id$v=19$m={kib},t=1,p=1${tail}\n")
    };
    let file = line("ann", 19_456) + &line("bob", 4096) + "eve:{PLAIN}x\nold:!\n";
    let (users, complaints) = Users::parse(file.as_bytes());
    assert_eq!(complaints, []);
    let told = |mib: usize| -> Vec<String> {
        users
            .costly(mib << 20)
            .map(|costly| costly.to_string())
            .collect()
    };
    assert_eq!(
        told(8),
        [
            "user ann cannot log in: to check the password takes 19456 KiB of memory, and \
          `auth_memory_octets` is 8192 KiB; raise that limit, or have the password hashed for \
          this board: dovelet user passwd ann"
        ]
    );
    assert_eq!([told(24).len(), told(4).len()], [0, 2]);
}

#[test]
fn counts_are_bounded() {
    let lines: String = (0..=MAX_USERS).map(|n| format!("u{n}:\n")).collect();
    let (users, complaints) = Users::parse(lines.as_bytes());
    assert_eq!(users.iter().count(), MAX_USERS);
    assert_eq!(complaints.len(), 1);
    assert_eq!(complaints[0].what, Fault::TooManyUsers);

    let (users, complaints) = Users::parse(&b"a b\n".repeat(MAX_COMPLAINTS + 5));
    assert_eq!(users.iter().count(), 0);
    assert_eq!(complaints.len(), MAX_COMPLAINTS + 1);
    assert_eq!(complaints[MAX_COMPLAINTS].what, Fault::More);
}

#[test]
fn apop_needs_a_password_that_is_stored_as_it_is() {
    // The example of RFC 1939 section 7.
    let file =
        b"mrose:{PLAIN}tanstaaf\nhashed:{SHA256}n4bQgYhMfWWaL+qgxVrQFaO/TxsrC4Is0V1sFbDwCgg=\n";
    let (users, complaints) = Users::parse(file);
    assert_eq!(complaints, []);
    let claim = |name: &str, digest: &str| Credentials {
        proof: Proof::Apop {
            stamp: "<1896.697170952@dbc.mtview.ca.us>".into(),
            digest: digest.as_bytes().to_vec(),
        },
        ..Credentials::new(name.into(), Secret::default())
    };
    let right = "c4c9334bac560ecc979e58001b3e22fb";
    assert!(users.verify(&claim("MRose", right)).is_some());
    for (name, digest) in [
        ("mrose", "c4c9334bac560ecc979e58001b3e22fc"),
        ("mrose", "tanstaaf"),
        ("mrose", ""),
        ("hashed", right),
        ("nobody", right),
    ] {
        assert!(
            users.verify(&claim(name, digest)).is_none(),
            "{name} {digest}"
        );
    }
    assert!(users.has_plain());
    let (users, _) = Users::parse(b"a:{SHA256}n4bQgYhMfWWaL+qgxVrQFaO/TxsrC4Is0V1sFbDwCgg=\n");
    assert!(!users.has_plain());
}

#[test]
fn what_is_stored_otherwise_is_outdated() {
    let limits = crate::config::Limits::default();
    let scram = "{SCRAM-SHA-256}10000,8fvsUbnhSO9ltREMIDaGdg==,fbOMO2OSNdWPq1QqD0kKmAH2nvd8fbpHOMprgDjBQuY=,oLXwfxJ1q3ozJKVW8ayuuEG6nntR8ciELVMHawvyeFQ=";
    let argon = |kib: u32| {
        format!(
            "{{ARGON2ID}}$argon2id$v=19$m={kib},t=2,p=1$BwcHBwcHBwcHBwcHBwcHBw$BwcHBwcHBwcHBwcHBwcHBw"
        )
    };
    for (stored, argon2id, scram_sha_256) in [
        ("{PLAIN}x".to_owned(), true, true),
        ("{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=".to_owned(), true, true),
        (argon(19_456), false, true),
        (argon(4096), true, true),
        (scram.to_owned(), false, false),
        (scram.replace("10000", "4096"), false, true),
        ("!".to_owned(), false, false),
    ] {
        let (users, complaints) = Users::parse(format!("ann:{stored}\n").as_bytes());
        assert_eq!(complaints, []);
        let outdated = |scheme| {
            let current = Current::new(scheme, &limits);
            users.outdated("ANN", &current).is_some()
        };
        let found = [Scheme::Argon2id, Scheme::ScramSha256].map(outdated);
        assert_eq!(found, [argon2id, scram_sha_256], "{stored}");
        assert_eq!(
            users.outdated("eve", &Current::new(Scheme::Argon2id, &limits)),
            None
        );
    }
}

#[test]
fn mechanisms_that_somebody_or_everybody_can_use() {
    let scram = "{SCRAM-SHA-1}4096,aUFO5BV6TlKrulYXVcHV7g==,wXV76EFie8hl/Cgv0Pao5rqzj3A=,LIneUco2ZS9gi5S6lw9QyMV4PRs=";
    let sha = "{SHA256}n4bQgYhMfWWaL+qgxVrQFaO/TxsrC4Is0V1sFbDwCgg=";
    for (file, mechanism, expected) in [
        (
            "a:{PLAIN}x\nb:!\n".to_owned(),
            Mechanism::ScramSha256,
            (true, true),
        ),
        ("a:{PLAIN}x\n".to_owned(), Mechanism::CramMd5, (true, true)),
        (
            format!("a:{{PLAIN}}x\nb:{sha}\n"),
            Mechanism::ScramSha256Plus,
            (true, false),
        ),
        (
            format!("a:{{PLAIN}}x\nb:{scram}\n"),
            Mechanism::ScramSha1Plus,
            (true, true),
        ),
        (
            format!("a:{{PLAIN}}x\nb:{scram}\n"),
            Mechanism::ScramSha256,
            (true, false),
        ),
        (format!("a:{scram}\n"), Mechanism::CramMd5, (false, false)),
        (format!("a:{sha}\n"), Mechanism::ScramSha1, (false, false)),
        (format!("a:{sha}\n"), Mechanism::Plain, (true, true)),
        ("a:!\n".to_owned(), Mechanism::ScramSha1, (false, false)),
    ] {
        let (users, complaints) = Users::parse(file.as_bytes());
        assert_eq!(complaints, []);
        assert_eq!(users.serve(mechanism), expected, "{file} {mechanism:?}");
    }
}

#[test]
fn recipients() {
    let (users, _) = Users::parse(b"ann\nbob@example.org\nc+d\nann@other.org\n");
    for (address, expected) in [
        ("ann@example.org", Some(("ann", None))),
        (
            "Ann+Lists.Rust@example.org",
            Some(("ann", Some("Lists.Rust"))),
        ),
        ("ann@OTHER.org", Some(("ann@other.org", None))),
        ("ann+x@other.org", Some(("ann@other.org", Some("x")))),
        ("bob@example.org", Some(("bob@example.org", None))),
        (
            "BOB+a+b@Example.Org",
            Some(("bob@example.org", Some("a+b"))),
        ),
        ("bob@elsewhere.org", None),
        ("bob", None),
        ("ann", Some(("ann", None))),
        ("ann+x", Some(("ann", Some("x")))),
        ("ann+@example.org", Some(("ann", None))),
        ("c+d@example.org", Some(("c+d", None))),
        ("+ann@example.org", None),
        ("@example.org", None),
        ("", None),
    ] {
        let found = users.recipient(address.as_bytes(), "+");
        let found = found.as_ref().map(|(u, d)| (u.name.as_str(), d.as_deref()));
        assert_eq!(found, expected, "{address}");
    }
    assert!(users.recipient(b"ann\xff", "+").is_none());
}

#[test]
fn the_mail_of_one_may_be_public() {
    let users = || Users::parse(b"archive:\nann:{PLAIN}x\ngone:{PLAIN}x::::::nologin\n").0;
    let admitted = |name: Option<&str>| {
        let users = users().with_anonymous(name.map(str::to_owned));
        let (verdict, user) = users.admit_anonymous();
        let served = users.serve(Mechanism::Anonymous).0;
        assert_eq!(served, verdict == Verdict::Accepted);
        user.map(|user| user.name.clone())
    };
    assert_eq!(admitted(Some("archive")).as_deref(), Some("archive"));
    assert_eq!(admitted(Some("ann")).as_deref(), Some("ann"));
    for nobody in [None, Some("bob"), Some("gone")] {
        assert_eq!(admitted(nobody), None);
    }
    // It is no password.
    let claim = Credentials {
        proof: Proof::Anonymous(String::new()),
        ..Credentials::new("ann".into(), Secret::default())
    };
    assert_eq!(
        users().with_anonymous(Some("ann".into())).verify(&claim),
        None
    );
}
