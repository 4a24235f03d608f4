//! What a program left, as another connection sees it.

use crate::support::Server;

/// Message-IDs, without `@test`, and flags of a mailbox, in the order of its UIDs.
pub(crate) fn left(server: &Server, mailbox: &str) -> Vec<(String, String)> {
    let mut imap = server.imap("ann");
    imap.ok(&format!("SELECT {mailbox}"));
    let messages = imap.list("1:*").unwrap().into_iter();
    messages
        .map(|m| (m.id.replace("@test", ""), m.flags.join(" ")))
        .collect()
}

pub(crate) fn assert_left(server: &Server, mailbox: &str, expected: &[(&str, &str)]) {
    let own = |(id, flags): &(&str, &str)| ((*id).to_owned(), (*flags).to_owned());
    let expected: Vec<(String, String)> = expected.iter().map(own).collect();
    assert_eq!(left(server, mailbox), expected, "{mailbox}");
}
