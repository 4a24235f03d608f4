//! LIST (RFC 3501 section 6.3.8, RFC 5258), LSUB and XLIST, parked whenever enough output waits.

use super::enable::Enabled;
use super::mailboxes::status_line;
use super::metadata;
use super::session::{Doing, Ran, Session};
use super::table::Rule;
use super::tag::Tag;
use crate::mail::{EntryName, MailboxName, Pattern, SpecialUse};
use crate::mailbox::{Account, Error, Expunges, Listed};
use crate::protocol::{Output, Progress, Turn};
use crate::wire::imap::{Form, List, Select, StatusItem};
use std::collections::{BTreeMap, VecDeque};

/// A running LIST.
pub(super) struct Listing {
    tag: Tag,
    expunges: Expunges,
    word: &'static str,
    lines: VecDeque<Line>,
    status: Vec<StatusItem>,
    metadata: Vec<EntryName>,
}

/// One mailbox, to be told.
struct Line {
    name: MailboxName,
    attributes: Vec<&'static str>,
    /// `CHILDINFO`: what is below it meets the selection options.
    child_info: Vec<&'static str>,
    /// It can be asked for its status and annotations.
    selectable: bool,
}

pub(super) fn list(
    session: &mut Session,
    tag: &Tag,
    wanted: List,
    rule: Rule,
    out: &mut Output,
) -> Ran {
    let word = match wanted.form {
        Form::List => "LIST",
        Form::Lsub => "LSUB",
        Form::Xlist => "XLIST",
    };
    if !wanted.extended && wanted.patterns.iter().all(String::is_empty) {
        // What the delimiter is.
        out.put(format!("* {word} (\\Noselect) \"/\" \"\"\r\n").as_bytes());
        return Ran::ok("OK List completed.");
    }
    if wanted.status.contains(&StatusItem::HighestModSeq) {
        session.enable_condstore(out);
    }
    let patterns: Vec<Pattern> = wanted
        .patterns
        .iter()
        .filter(|pattern| !pattern.is_empty())
        .map(|pattern| Pattern::new(&wanted.reference, pattern))
        .collect();
    let lines = match wanted.form {
        Form::Lsub => lsub(session, &patterns),
        _ => Names::of(&session.account, &wanted).map(|names| names.lines(&wanted, &patterns)),
    };
    let lines = match lines {
        Ok(lines) => lines,
        Err(error) => return Ran::no(error),
    };
    session.doing = Doing::List(Box::new(Listing {
        tag: tag.clone(),
        expunges: rule.expunges,
        word,
        lines,
        status: wanted.status,
        metadata: wanted.metadata,
    }));
    Ran::GoesOn
}

fn matched(patterns: &[Pattern], name: &MailboxName) -> bool {
    patterns
        .iter()
        .any(|pattern| pattern.matches(name.as_str()))
}

/// What is known of a name.
#[derive(Default)]
struct Known {
    /// A mailbox, or a name above one.
    listed: Option<Listed>,
    subscribed: bool,
    /// Something below it meets the selection options; and does not match the patterns.
    below: bool,
    below_only: bool,
}

/// Every name that can be told.
struct Names(BTreeMap<MailboxName, Known>);

impl Names {
    fn of(account: &Account, wanted: &List) -> Result<Names, Error> {
        let mut names: BTreeMap<MailboxName, Known> = BTreeMap::new();
        for listed in account.list()? {
            let name = listed.name.clone();
            names.entry(name).or_default().listed = Some(listed);
        }
        if wanted.subscribed {
            for name in account.subscriptions()? {
                names.entry(name).or_default().subscribed = true;
            }
        }
        Ok(Names(names))
    }

    fn lines(mut self, wanted: &List, patterns: &[Pattern]) -> VecDeque<Line> {
        if wanted.select.recursive {
            self.look_below(wanted.select, patterns);
        }
        let told = self.0.into_iter().filter(|(name, known)| {
            matched(patterns, name) && (known.meets(wanted.select) || known.below_only)
        });
        told.map(|(name, known)| known.line(name, wanted)).collect()
    }

    /// Marks the names above those that meet the options (RFC 5258 section 3.5).
    fn look_below(&mut self, select: Select, patterns: &[Pattern]) {
        let met: Vec<MailboxName> = self
            .0
            .iter()
            .filter(|(_, known)| known.meets(select))
            .map(|(name, _)| name.clone())
            .collect();
        for name in met {
            let told = matched(patterns, &name);
            let mut above = name.parent();
            while let Some(parent) = above {
                above = parent.parent();
                let known = self.0.entry(parent).or_default();
                known.below = true;
                known.below_only |= !told;
            }
        }
    }
}

impl Known {
    fn special_uses(&self) -> &[SpecialUse] {
        self.listed.as_ref().map_or(&[], |l| &l.special_uses)
    }

    fn meets(&self, select: Select) -> bool {
        let exists = self.listed.is_some() || select.subscribed;
        exists
            && (!select.subscribed || self.subscribed)
            && (!select.special_use || !self.special_uses().is_empty())
    }

    fn line(&self, name: MailboxName, wanted: &List) -> Line {
        let mut attributes = Vec::new();
        let selectable = self.listed.as_ref().is_some_and(|l| l.selectable);
        if !selectable {
            // RFC 5258 section 3: \NonExistent implies \Noselect for who asks in the new way.
            attributes.push(if wanted.extended {
                "\\NonExistent"
            } else {
                "\\Noselect"
            });
        }
        if wanted.subscribed && self.subscribed {
            attributes.push("\\Subscribed");
        }
        let children = self.listed.as_ref().is_some_and(|l| l.children);
        attributes.push(if children {
            "\\HasChildren"
        } else {
            "\\HasNoChildren"
        });
        if wanted.form == Form::Xlist && name.is_inbox() {
            attributes.push("\\Inbox");
        }
        attributes.extend(self.special_uses().iter().map(|u| u.attribute()));
        let mut child_info = Vec::new();
        if self.below && wanted.select.recursive {
            let options = [
                (wanted.select.subscribed, "SUBSCRIBED"),
                (wanted.select.special_use, "SPECIAL-USE"),
            ];
            child_info.extend(options.iter().filter(|o| o.0).map(|o| o.1));
        }
        Line {
            selectable: selectable && self.meets(wanted.select),
            name,
            attributes,
            child_info,
        }
    }
}

/// Subscribed names; and names above them where the pattern ends at a level (`%`)
/// (RFC 3501 section 6.3.9).
fn lsub(session: &Session, patterns: &[Pattern]) -> Result<VecDeque<Line>, Error> {
    let names = session.account.subscriptions()?;
    // What cannot be selected is only told to clients that need it.
    let selectable = match session.settings.workarounds.lsub_flags {
        true => Some(session.account.list()?),
        false => None,
    };
    let is_selectable = |name: &MailboxName| {
        let all = selectable.as_ref();
        all.is_none_or(|all| all.iter().any(|l| l.selectable && l.name == *name))
    };
    // With whether the name itself is subscribed.
    let mut told: BTreeMap<MailboxName, bool> = BTreeMap::new();
    for name in names {
        let level = patterns
            .iter()
            .any(|pattern| pattern.as_str().ends_with('%'));
        let mut above = name.parent().filter(|_| level && !matched(patterns, &name));
        while let Some(parent) = above {
            above = parent.parent();
            if matched(patterns, &parent) {
                told.entry(parent).or_insert(false);
            }
        }
        if matched(patterns, &name) {
            told.insert(name, true);
        }
    }
    let line = |(name, subscribed): (MailboxName, bool)| Line {
        attributes: if subscribed && is_selectable(&name) {
            vec![]
        } else {
            vec!["\\Noselect"]
        },
        name,
        child_info: Vec::new(),
        selectable: false,
    };
    Ok(told.into_iter().map(line).collect())
}

/// One name, by itself: what it is now, and what it was called before or by the client (RFC 5465
/// section 5.4; RFC 9051 section 6.3.2).
pub(super) fn tell_name(
    session: &Session,
    name: &MailboxName,
    old: Option<&str>,
    out: &mut Output,
) {
    let wanted = List {
        form: Form::List,
        extended: true,
        select: Select::default(),
        reference: String::new(),
        patterns: Vec::new(),
        subscribed: true,
        status: Vec::new(),
        metadata: Vec::new(),
    };
    // A failure is logged; the client asks when it wonders.
    let Ok(mut names) = Names::of(&session.account, &wanted) else {
        return;
    };
    let known = names.0.remove(name).unwrap_or_default();
    known
        .line(name.clone(), &wanted)
        .put_name("LIST", old, session.enabled, out);
}

impl Line {
    /// `* LIST (\HasNoChildren) "/" a` with its extended items.
    fn put_name(&self, word: &str, old: Option<&str>, enabled: Enabled, out: &mut Output) {
        let attributes = self.attributes.join(" ");
        out.put(format!("* {word} ({attributes}) \"/\" ").as_bytes());
        enabled.mailbox(&self.name, out.buffer());
        if !self.child_info.is_empty() {
            let options = self.child_info.join("\" \"");
            out.put(format!(" (\"CHILDINFO\" (\"{options}\"))").as_bytes());
        }
        if let Some(old) = old {
            out.put(b" (\"OLDNAME\" (");
            enabled.mailbox_text(old, out.buffer());
            out.put(b"))");
        }
        out.put(b"\r\n");
    }

    /// With the status of the mailbox behind it; one that is gone meanwhile cannot be selected
    /// (RFC 5819 section 2).
    fn put(mut self, session: &Session, listing: &Listing, out: &mut Output) {
        let mut status = Vec::new();
        if self.selectable && !listing.status.is_empty() {
            match status_line(session, &self.name, &listing.status, &mut status) {
                Ok(()) => {}
                Err(Error::NoSuchMailbox) => self.attributes.insert(0, "\\NonExistent"),
                // It is logged; the list goes on.
                Err(_) => status.clear(),
            }
        }
        if self.selectable && !listing.metadata.is_empty() {
            metadata::listed(session, &self.name, &listing.metadata, &mut status);
        }
        self.put_name(listing.word, None, session.enabled, out);
        out.put(&status);
    }
}

impl Session {
    /// Tells mailboxes until the output is full.
    pub(super) fn list(
        &mut self,
        mut listing: Box<Listing>,
        turn: Turn,
        out: &mut Output,
    ) -> Option<Progress<()>> {
        if turn == Turn::Quick {
            self.doing = Doing::List(listing);
            return Some(Progress::Disk);
        }
        while let Some(line) = listing.lines.pop_front() {
            line.put(self, &listing, out);
            if out.full() {
                self.doing = Doing::List(listing);
                return Some(Progress::Flush);
            }
        }
        self.finish(listing.tag, "OK List completed.".into(), listing.expunges);
        None
    }
}
