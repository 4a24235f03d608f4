//! Response codes (RFC 5530 section 3 and the extensions that are served): what shows each, and why the
//! others are never told.

use super::super::refusal::refusal;
use crate::mailbox::Error;
use std::fs;
use std::path::Path;

/// What has a situation that is answered so.
const SHOWN: [(&str, &str); 32] = [
    ("ALREADYEXISTS", "tests/imap/children.imap"),
    ("APPENDUID", "tests/imap/uidplus.imap"),
    ("AUTHENTICATIONFAILED", "tests/imap/auth-plain.imap"),
    ("BADCHARSET", "tests/imap/esearch.imap"),
    ("BADEVENT", "tests/imap/notify.imap"),
    ("BADURL", "tests/imap/catenate.imap"),
    ("CANNOT", "tests/imap/children.imap"),
    ("CLIENTBUG", "tests/imap/uidbatches.imap"),
    ("CLOSED", "tests/imap/selected-deleted.imap"),
    ("COMPRESSIONACTIVE", "tests/imap/compress-deflate.imap"),
    ("CONTACTADMIN", "tests/imap/login-referrals.imap"),
    ("COPYUID", "tests/imap/move.imap"),
    ("EXPUNGEISSUED", "tests/imap/two-sessions.imap"),
    ("HIGHESTMODSEQ", "tests/imap/condstore.imap"),
    ("LIMIT", "tests/imap/literal-plus.imap"),
    ("METADATA LONGENTRIES", "tests/imap/metadata.imap"),
    ("METADATA MAXSIZE", "tests/serve/limits/mail.rs"),
    ("METADATA TOOMANY", "tests/serve/limits/mail.rs"),
    ("MODIFIED", "tests/imap/condstore.imap"),
    ("NONEXISTENT", "tests/imap/children.imap"),
    ("NOPERM", "tests/imap/replace.imap"),
    ("NOUPDATE", "tests/imap/context-search.imap"),
    ("OVERQUOTA", "tests/serve/delivery.rs"),
    ("PRIVACYREQUIRED", "tests/serve/login.rs"),
    ("REFERRAL", "tests/imap/login-referrals.imap"),
    ("TOOBIG", "tests/imap/appendlimit.imap"),
    ("TOOFEW", "tests/imap/uidbatches.imap"),
    ("TOOMANY", "src/protocol/imap/batches.rs"),
    ("TRYCREATE", "tests/imap/move.imap"),
    ("UIDREQUIRED", "tests/imap/uidonly.imap"),
    ("UNKNOWN-CTE", "tests/imap/binary.imap"),
    ("USEATTR", "tests/imap/create-special-use.imap"),
];

/// Faults that no client can bring about by itself.
const FAULTS: [(&str, Error); 6] = [
    // What is stored is damaged; `damage.rs` here has messages.
    ("CORRUPTION", Error::Corrupt),
    // Another program holds the lock of a mailbox for long.
    ("INUSE", Error::Busy),
    ("SERVERBUG", Error::Fault),
    // The files belong to another account.
    ("UNAVAILABLE", Error::Denied),
    ("OVERQUOTA", Error::Full),
    ("UNAVAILABLE", Error::Unavailable),
];

/// Never told, for that reason.
const NEVER: [(&str, &str); 5] = [
    ("EXPIRED", "no source of users tells how old a password is"),
    (
        "HASCHILDREN",
        "a mailbox with others below it can be deleted",
    ),
    ("NOMODSEQ", "every mailbox keeps its mod-sequences"),
    (
        "NOTSAVED",
        "what is found can always be saved, as runs of UIDs",
    ),
    ("UIDNOTSTICKY", "every mailbox keeps its UIDs"),
];

fn text(file: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(file)).unwrap()
}

#[test]
fn every_response_code_is_shown_or_has_a_reason() {
    for (code, file) in SHOWN {
        assert!(text(file).contains(&format!("[{code}")), "{code} in {file}");
    }
    for (code, error) in FAULTS {
        assert!(
            refusal(error).starts_with(&format!("NO [{code}] ")),
            "{code}"
        );
    }
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/protocol/imap");
    for entry in fs::read_dir(source).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            continue;
        }
        let source = fs::read_to_string(&path).unwrap();
        for (code, why) in NEVER {
            let said =
                source.contains(&format!("[{code}")) || source.contains(&format!("\"{code}\""));
            assert!(!said, "{code} in {}, though {why}", path.display());
        }
    }
}
