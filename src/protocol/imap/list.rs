//! LIST and LSUB (RFC 3501 section 6.3.8 and section 6.3.9), with the attributes of RFC 3348 and RFC 6154.

use super::session::{Ran, Session};
use crate::mail::{MailboxName, Pattern};
use crate::mailbox::{Error, Listed};
use crate::protocol::Output;
use crate::wire::imap::mailbox;
use std::collections::BTreeSet;

pub(super) fn list(
    session: &Session,
    subscribed: bool,
    reference: &str,
    pattern: &str,
    out: &mut Output,
) -> Ran {
    if pattern.is_empty() {
        // What the delimiter is.
        let word: &[u8] = if subscribed { b"LSUB" } else { b"LIST" };
        out.put(b"* ");
        out.put(word);
        out.put(b" (\\Noselect) \"/\" \"\"\r\n");
        return Ran::ok("OK List completed.");
    }
    let pattern = Pattern::new(reference, pattern);
    let told = if subscribed {
        lsub(session, &pattern, out)
    } else {
        session.account.list().map(|all| {
            let all = all.iter().filter(|l| pattern.matches(l.name.as_str()));
            all.for_each(|listed| line(listed, out));
        })
    };
    Ran::of(told, "OK List completed.")
}

fn line(listed: &Listed, out: &mut Output) {
    out.put(b"* LIST (");
    if !listed.selectable {
        out.put(b"\\Noselect ");
    }
    out.put(if listed.children {
        b"\\HasChildren"
    } else {
        b"\\HasNoChildren"
    });
    if let Some(special_use) = listed.special_use {
        out.put(b" ");
        out.put(special_use.attribute().as_bytes());
    }
    out.put(b") \"/\" ");
    mailbox(&listed.name, out.buffer());
    out.put(b"\r\n");
}

/// Subscribed names; and names above them where the pattern ends at a level (`%`).
fn lsub(session: &Session, pattern: &Pattern, out: &mut Output) -> Result<(), Error> {
    let names = session.account.subscriptions()?;
    let mut told: BTreeSet<MailboxName> = BTreeSet::new();
    for name in &names {
        if pattern.matches(name.as_str()) {
            lsub_line(name, false, out);
        } else if pattern.as_str().ends_with('%') {
            let mut above = name.parent();
            while let Some(parent) = above {
                above = parent.parent();
                let right = pattern.matches(parent.as_str()) && !names.contains(&parent);
                if right && told.insert(parent.clone()) {
                    lsub_line(&parent, true, out);
                }
            }
        }
    }
    Ok(())
}

fn lsub_line(name: &MailboxName, above: bool, out: &mut Output) {
    out.put(b"* LSUB (");
    out.put(if above { b"\\Noselect" } else { b"" });
    out.put(b") \"/\" ");
    mailbox(name, out.buffer());
    out.put(b"\r\n");
}
