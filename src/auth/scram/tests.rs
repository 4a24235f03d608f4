use super::*;
use crate::auth::Verdict;

/// Users `user` with the password `pencil`, as the RFCs have it.
pub(crate) const USERS: &str =
    "user:{PLAIN}pencil\nhashed:{SHA256}n4bQgYhMfWWaL+qgxVrQFaO/TxsrC4Is0V1sFbDwCgg=\n";

fn stored(hash: Hash, salt: &str) -> Users {
    let salt_octets = BASE64.decode(salt.as_bytes()).unwrap();
    let keys = Keys::derive(hash, b"pencil", &salt_octets, 4096);
    let scheme = match hash {
        Hash::Sha1 => "SCRAM-SHA-1",
        Hash::Sha256 => "SCRAM-SHA-256",
    };
    let line = format!(
        "user:{{{scheme}}}4096,{salt},{},{}\n",
        BASE64.encode(&keys.stored),
        BASE64.encode(&keys.server)
    );
    let (users, complaints) = Users::parse(line.as_bytes());
    assert_eq!(complaints, []);
    users
}

fn situation<'a>(hash: Hash, nonce: &'a str, binding: &'a Binding) -> Situation<'a> {
    Situation {
        hash,
        plus: false,
        offered: !binding.is_empty(),
        binding,
        nonce,
        seed: b"seed",
        iterations: 4096,
    }
}

/// What a client answers to the challenge.
fn answer(hash: Hash, password: &[u8], first: &str, challenge: &[u8], bound: &[u8]) -> String {
    let challenge = std::str::from_utf8(challenge).unwrap();
    let mut parts = challenge.splitn(3, ',').map(|part| &part[2..]);
    let (nonce, salt, iterations) = (
        parts.next().unwrap(),
        parts.next().unwrap(),
        parts.next().unwrap(),
    );
    let bare = first.splitn(3, ',').nth(2).unwrap();
    let header = &first[..first.len() - bare.len()];
    let binding = BASE64.encode(&[header.as_bytes(), bound].concat());
    let last = format!("c={binding},r={nonce}");
    let salt = BASE64.decode(salt.as_bytes()).unwrap();
    let salted = match hash {
        Hash::Sha1 => pbkdf2::pbkdf2_hmac_array::<sha1::Sha1, 20>(
            password,
            &salt,
            iterations.parse().unwrap(),
        )
        .to_vec(),
        Hash::Sha256 => pbkdf2::pbkdf2_hmac_array::<sha2::Sha256, 32>(
            password,
            &salt,
            iterations.parse().unwrap(),
        )
        .to_vec(),
    };
    let key = hash.mac(&salted, b"Client Key");
    let said = format!("{bare},{challenge},{last}");
    let signature = hash.mac(&hash.digest(&key), said.as_bytes());
    let proof: Vec<u8> = key.iter().zip(&signature).map(|(a, b)| a ^ b).collect();
    format!("{last},p={}", BASE64.encode(&proof))
}

fn judged(users: &Users, mut credentials: Credentials) -> (Verdict, String) {
    credentials.derive();
    let verdict = users.check(&credentials).0;
    let Proof::Scram(proved) = &credentials.proof else {
        panic!();
    };
    (verdict, String::from_utf8(proved.server_final()).unwrap())
}

#[test]
fn exchanges_of_the_rfcs() {
    // RFC 5802 section 5 and RFC 7677 section 3.
    for (hash, salt, first, nonce, challenge, last, expected) in [
        (
            Hash::Sha1,
            "QSXCR+Q6sek8bf92",
            "n,,n=user,r=fyko+d2lbbFgONRv9qkxdawL",
            "3rfcNHYJY1ZVvWVs7j",
            "r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,s=QSXCR+Q6sek8bf92,i=4096",
            "c=biws,r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,p=v0X8v3Bz2T0CJGbJQyF0X+HI4Ts=",
            "v=rmF9pqV8S7suAoZWja4dJRkFsKQ=",
        ),
        (
            Hash::Sha256,
            "W22ZaJ0SNY7soEsUEjb6gQ==",
            "n,,n=user,r=rOprNGfwEbeRWgbNEkqO",
            "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0",
            "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096",
            "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=",
            "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=",
        ),
    ] {
        let users = stored(hash, salt);
        let none = Binding::default();
        let situation = situation(hash, nonce, &none);
        let (scram, said) = Scram::begin(&users, &situation, first.as_bytes()).unwrap();
        assert_eq!(String::from_utf8(said).unwrap(), challenge);
        let credentials = scram.respond(last.as_bytes()).unwrap();
        let (verdict, told) = judged(&users, credentials);
        assert_eq!((verdict, told.as_str()), (Verdict::Accepted, expected));
    }
}

#[test]
fn who_may_in() {
    let (users, _) = Users::parse(USERS.as_bytes());
    let none = Binding::default();
    for hash in [Hash::Sha1, Hash::Sha256] {
        for (authzid, username, password, expected) in [
            ("", "user", "pencil", Verdict::Accepted),
            ("", "USER", "pencil", Verdict::Accepted),
            ("a=user", "user", "pencil", Verdict::Accepted),
            ("a=hashed", "user", "pencil", Verdict::Rejected),
            ("", "user", "pencils", Verdict::Rejected),
            // Its password is not stored in a way that SCRAM can use, and the other's opens nothing.
            ("", "hashed", "test", Verdict::Rejected),
            ("", "hashed", "pencil", Verdict::Rejected),
            ("", "nobody", "pencil", Verdict::Rejected),
        ] {
            let first = format!("n,{authzid},n={username},r=abc");
            let situation = situation(hash, "xyz", &none);
            let (scram, challenge) = Scram::begin(&users, &situation, first.as_bytes()).unwrap();
            let last = answer(hash, password.as_bytes(), &first, &challenge, b"");
            let (verdict, _) = judged(&users, scram.respond(last.as_bytes()).unwrap());
            assert_eq!(verdict, expected, "{first} {password}");
        }
    }
}

#[test]
fn salts_tell_nobody_who_is_there() {
    let salt_of = |users: &Users, name: &str, seed: &[u8]| {
        let none = Binding::default();
        let situation = Situation {
            seed,
            ..situation(Hash::Sha256, "xyz", &none)
        };
        let first = format!("n,,n={name},r=abc");
        let (_, challenge) = Scram::begin(users, &situation, first.as_bytes()).unwrap();
        String::from_utf8(challenge).unwrap()
    };
    let stored = stored(Hash::Sha256, "W22ZaJ0SNY7soEsUEjb6gQ==");
    let (plain, _) = Users::parse(USERS.as_bytes());
    for users in [&stored, &plain] {
        let known = salt_of(users, "user", b"seed");
        for name in ["nobody", "hashed", "x@example.org"] {
            let unknown = salt_of(users, name, b"seed");
            assert_eq!(known.len(), unknown.len(), "{known} {unknown}");
            assert_eq!(unknown, salt_of(users, &name.to_ascii_uppercase(), b"seed"));
            assert_ne!(unknown, salt_of(users, name, b"other"));
            assert_ne!(unknown, known);
        }
    }
    // Where nobody can use it there is nothing to offer.
    let (nobody, _) = Users::parse(b"ann:{SHA256}n4bQgYhMfWWaL+qgxVrQFaO/TxsrC4Is0V1sFbDwCgg=\n");
    let none = Binding::default();
    let situation = situation(Hash::Sha256, "xyz", &none);
    assert!(Scram::begin(&nobody, &situation, b"n,,n=ann,r=abc").is_none());
}

#[test]
fn channel_binding() {
    let (users, _) = Users::parse(USERS.as_bytes());
    let binding = Binding {
        exporter: Some(b"exported".to_vec()),
        end_point: Some(b"hash".to_vec()),
    };
    let none = Binding::default();
    let run = |plus: bool, binding: &Binding, flag: &str, bound: &[u8]| {
        let situation = Situation {
            plus,
            ..situation(Hash::Sha256, "xyz", binding)
        };
        let first = format!("{flag},,n=user,r=abc");
        let (scram, challenge) = Scram::begin(&users, &situation, first.as_bytes())?;
        let last = answer(Hash::Sha256, b"pencil", &first, &challenge, bound);
        Some(judged(&users, scram.respond(last.as_bytes())?).0 == Verdict::Accepted)
    };
    for (plus, with, flag, bound, expected) in [
        (
            true,
            &binding,
            "p=tls-exporter",
            &b"exported"[..],
            Some(true),
        ),
        (
            true,
            &binding,
            "p=tls-server-end-point",
            b"hash",
            Some(true),
        ),
        // Another connection's.
        (true, &binding, "p=tls-exporter", b"exporter", None),
        (true, &binding, "p=tls-exporter", b"hash", None),
        (true, &binding, "p=tls-exporter", b"", None),
        (true, &binding, "p=tls-unique", b"exported", None),
        (true, &binding, "n", b"", None),
        (true, &binding, "y", b"", None),
        (true, &none, "p=tls-exporter", b"", None),
        (false, &binding, "n", b"", Some(true)),
        (false, &binding, "p=tls-exporter", b"exported", None),
        // The client was told that there is no channel binding, and there is.
        (false, &binding, "y", b"", None),
        (false, &none, "y", b"", Some(true)),
        (false, &none, "n", b"", Some(true)),
        (false, &none, "x", b"", None),
    ] {
        assert_eq!(run(plus, with, flag, bound), expected, "{plus} {flag}");
    }
}

#[test]
fn malformed_messages() {
    let (users, _) = Users::parse(USERS.as_bytes());
    let none = Binding::default();
    let situation = situation(Hash::Sha256, "xyz", &none);
    let long = format!("n,,n=user,r={}", "x".repeat(MAX_MESSAGE));
    for first in [
        "",
        "n",
        "n,,",
        "n,,n=user",
        "n,,n=user,r=",
        "n,,n=,r=abc",
        "n,,r=abc,n=user",
        "n,,m=x,n=user,r=abc",
        "n,user,n=user,r=abc",
        "n,a=,n=user,r=abc",
        "n,,n=us=er,r=abc",
        "n,,n=us=2cer,r=abc",
        "n,,n=user=2,r=abc",
        "n,,n=us\u{7}er,r=abc",
        "n,,n=us\0er,r=abc",
        "n,,n=user,r=a\u{e9}c",
        "n,,n=user,r=abc,x",
        &long,
    ] {
        let begun = Scram::begin(&users, &situation, first.as_bytes());
        assert!(begun.is_none(), "{first}");
    }
    assert!(Scram::begin(&users, &situation, b"n,,n=\xff,r=abc").is_none());
    for (first, expected) in [
        ("n,,n=a=2Cb=3Dc,r=abc,x=y", "a,b=c"),
        ("n,,n=\u{2168},r=abc", "IX"),
    ] {
        let (scram, _) = Scram::begin(&users, &situation, first.as_bytes()).unwrap();
        assert_eq!(scram.authcid, expected);
    }
    for last in [
        "",
        "c=biws,r=abcxyz",
        "c=biws,r=abcxyz,p",
        "c=biws,r=abcxyz,p=!",
        "c=biws,r=abcxy,p=AAAA",
        "c=biws,r=abcxyzz,p=AAAA",
        "c=eSws,r=abcxyz,p=AAAA",
        "c=biws,x=y,r=abcxyz,p=AAAA",
        "r=abcxyz,c=biws,p=AAAA",
        "c=biws,r=abcxyz,x,p=AAAA",
    ] {
        let (scram, _) = Scram::begin(&users, &situation, b"n,,n=user,r=abc").unwrap();
        assert!(scram.respond(last.as_bytes()).is_none(), "{last}");
    }
    for last in ["c=biws,r=abcxyz,p=", "c=biws,r=abcxyz,p=AAAA"] {
        let (scram, _) = Scram::begin(&users, &situation, b"n,,n=user,r=abc").unwrap();
        let (verdict, _) = judged(&users, scram.respond(last.as_bytes()).unwrap());
        assert_eq!(verdict, Verdict::Rejected, "{last}");
    }
}
