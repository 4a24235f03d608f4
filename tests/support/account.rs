//! What an account has, as a client sees it, and a client that gives it something of all that there is.

use super::{Imap, Message, message};
use std::collections::{BTreeMap, BTreeSet};

/// What has to be the same whoever serves it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Account {
    pub(crate) mailboxes: BTreeMap<String, Mailbox>,
    pub(crate) subscriptions: BTreeSet<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Mailbox {
    pub(crate) uid_validity: String,
    pub(crate) uid_next: String,
    pub(crate) messages: Vec<Message>,
    /// What `BODY[]` of each says.
    pub(crate) bodies: Vec<String>,
    /// INTERNALDATE and RFC822.SIZE of each.
    pub(crate) dates: Vec<String>,
}

/// INTERNALDATE and RFC822.SIZE of all messages of the selected mailbox.
fn dates(imap: &mut Imap) -> Vec<String> {
    let answer = imap.ok("UID FETCH 1:* (INTERNALDATE RFC822.SIZE)");
    let lines = answer
        .untagged
        .iter()
        .filter(|line| line.contains("RFC822.SIZE "));
    let dates = lines.map(|line| {
        let after = |item: &str, ends: &[char]| {
            let (_, rest) = line.split_once(item).unwrap_or_else(|| panic!("{line}"));
            let value = rest.split(ends).next().unwrap().trim_start();
            // The day has a blank or a zero before it.
            value.trim_start_matches('0').to_owned()
        };
        let date = after("INTERNALDATE \"", &['"']);
        format!("{date}, {}", after("RFC822.SIZE ", &[' ', ')']))
    });
    dates.collect()
}

/// The last word of each LIST or LSUB response.
fn names(imap: &mut Imap, command: &str) -> BTreeSet<String> {
    let answer = imap.ok(&format!("{command} \"\" *"));
    let lines = answer
        .untagged
        .iter()
        .filter(|line| !line.contains("\\Noselect"));
    lines
        .map(|line| {
            line.rsplit(' ')
                .next()
                .unwrap()
                .trim_matches('"')
                .to_owned()
        })
        .collect()
}

fn mailbox(imap: &mut Imap, name: &str) -> Mailbox {
    let answer = imap.ok(&format!("EXAMINE {name}"));
    let number = |head: &str| {
        let line = answer
            .find(head)
            .unwrap_or_else(|| panic!("{head} {answer:?}"));
        line.split(']').next().unwrap().to_owned()
    };
    let (uid_validity, uid_next) = (number("OK [UIDVALIDITY "), number("OK [UIDNEXT "));
    let messages = imap.list("1:*").unwrap();
    let bodies = messages.iter().map(|m| {
        let answer = imap.ok(&format!("UID FETCH {} (BODY.PEEK[])", m.uid));
        answer.untagged[0].split_once("\r\n").unwrap().1.to_owned()
    });
    let bodies = bodies.collect();
    Mailbox {
        bodies,
        dates: dates(imap),
        uid_validity,
        uid_next,
        messages,
    }
}

/// Mailboxes without messages are left out: not everybody makes the same ones at login.
pub(crate) fn account(imap: &mut Imap) -> Account {
    let mailboxes = names(imap, "LIST").into_iter();
    let all = mailboxes.map(|name| {
        let content = mailbox(imap, &name);
        (name, content)
    });
    let mailboxes = all.filter(|(_, m)| !m.messages.is_empty()).collect();
    let subscriptions = names(imap, "LSUB");
    Account {
        mailboxes,
        subscriptions,
    }
}

/// Gives each client something of all that a Maildir keeps.
pub(crate) fn change(imap: &mut Imap, name: &str, word: &str) {
    imap.ok(&format!("CREATE {name}"));
    imap.ok(&format!("SUBSCRIBE {name}"));
    imap.ok("SELECT INBOX");
    for (number, flags) in [
        "\\Seen \\Flagged",
        "$Label1 custom",
        "",
        "\\Draft $Forwarded \\Answered",
    ]
    .iter()
    .enumerate()
    {
        let text = message(
            &format!("{word}-{number}@test"),
            word,
            "Appended.\r\n\r\n.\r\nEnd.",
        );
        imap.append("INBOX", flags, &text).unwrap();
        imap.append(name, flags, &text).unwrap();
    }
    imap.ok("NOOP");
    let answer = imap.ok("UID SEARCH ALL");
    let uids = answer.find("SEARCH").unwrap().to_owned();
    let last: Vec<&str> = uids.split_whitespace().rev().take(4).collect();
    // A gap, a taken flag, a new keyword, a copy.
    imap.ok(&format!("UID STORE {} +FLAGS (\\Deleted)", last[1]));
    imap.ok("EXPUNGE");
    imap.ok(&format!("UID STORE {} -FLAGS (\\Flagged)", last[3]));
    imap.ok(&format!("UID STORE {} +FLAGS (by-{word})", last[0]));
    imap.ok(&format!("UID COPY {} {name}", last[2]));
    // A mailbox whose last message is gone keeps its UIDNEXT.
    imap.ok(&format!("SELECT {name}"));
    imap.ok("STORE * +FLAGS (\\Deleted)");
    imap.ok("EXPUNGE");
    imap.ok("UNSELECT");
}
