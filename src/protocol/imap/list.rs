//! LIST (RFC 3501 section 6.3.8, RFC 5258), LSUB and XLIST, parked whenever enough output waits.

use super::enable::Enabled;
use super::mailboxes::status_line;
use super::metadata;
use super::session::{Doing, Ran, Session};
use super::table::Rule;
use super::tag::Tag;
use crate::mail::{MailboxName, Pattern, SpecialUse};
use crate::mailbox::{Account, Error, Expunges, Listed};
use crate::protocol::{Output, Progress, Turn};
use crate::wire::imap::{Form, List, Select, StatusItem};

/// A running LIST.
pub(super) struct Listing {
    tag: Tag,
    expunges: Expunges,
    word: &'static str,
    wanted: List,
    lines: Lines,
}

/// What is still to be told: a line is made when it is its turn.
enum Lines {
    Names(std::vec::IntoIter<Known>),
    /// Of LSUB; with whether the name gets no `\\Noselect`.
    Subscribed(std::vec::IntoIter<(MailboxName, bool)>),
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
        _ => Names::of(&session.account, &wanted).map(|names| names.told(&wanted, &patterns)),
    };
    let lines = match lines {
        Ok(lines) => lines,
        Err(error) => return Ran::no(error),
    };
    session.doing = Doing::List(Box::new(Listing {
        tag: tag.clone(),
        expunges: rule.expunges,
        word,
        wanted,
        lines,
    }));
    Ran::GoesOn
}

fn matched(patterns: &[Pattern], name: &MailboxName) -> bool {
    patterns
        .iter()
        .any(|pattern| pattern.matches(name.as_str()))
}

/// What is known of a name.
struct Known {
    name: MailboxName,
    /// A mailbox, or a name above one.
    there: bool,
    selectable: bool,
    children: bool,
    subscribed: bool,
    /// Something below it meets the selection options; and does not match the patterns.
    below: bool,
    below_only: bool,
    special_uses: Vec<SpecialUse>,
}

/// Every name that can be told, sorted: there may be very many, and none is in memory more than once.
struct Names(Vec<Known>);

impl Names {
    fn of(account: &Account, wanted: &List) -> Result<Names, Error> {
        let listed = account.list()?.into_iter();
        let mut names = Names(listed.map(Known::of).collect());
        if wanted.subscribed {
            let mut others = Vec::new();
            for name in account.subscriptions()? {
                match names.find(&name) {
                    Some(known) => known.subscribed = true,
                    None => others.push(Known {
                        subscribed: true,
                        ..Known::new(name)
                    }),
                }
            }
            names.add(others);
        }
        Ok(names)
    }

    fn find(&mut self, name: &MailboxName) -> Option<&mut Known> {
        let at = self.0.binary_search_by(|known| known.name.cmp(name)).ok()?;
        self.0.get_mut(at)
    }

    /// Adds names that are not among them.
    fn add(&mut self, others: Vec<Known>) {
        if !others.is_empty() {
            self.0.extend(others);
            crate::mail::sort_by(&mut self.0, |a, b| a.name.cmp(&b.name));
        }
        self.0.dedup_by(|b, a| {
            let same = a.name == b.name;
            a.below |= same && b.below;
            a.below_only |= same && b.below_only;
            same
        });
    }

    /// Those that are to be told.
    fn told(mut self, wanted: &List, patterns: &[Pattern]) -> Lines {
        if wanted.select.recursive {
            self.look_below(wanted.select, patterns);
        }
        self.0.retain(|known| {
            matched(patterns, &known.name) && (known.meets(wanted.select) || known.below_only)
        });
        Lines::Names(self.0.into_iter())
    }

    /// Marks the names above those that meet the options (RFC 5258 section 3.5).
    fn look_below(&mut self, select: Select, patterns: &[Pattern]) {
        let mut others = Vec::new();
        for at in 0..self.0.len() {
            let Some(known) = self.0.get(at).filter(|known| known.meets(select)) else {
                continue;
            };
            let below_only = !matched(patterns, &known.name);
            let mut above = known.name.parent();
            while let Some(parent) = above {
                above = parent.parent();
                match self.find(&parent) {
                    Some(known) => {
                        known.below = true;
                        known.below_only |= below_only;
                    }
                    None => others.push(Known {
                        below: true,
                        below_only,
                        ..Known::new(parent)
                    }),
                }
            }
        }
        self.add(others);
    }
}

impl Known {
    /// Of a name that nothing is known of.
    fn new(name: MailboxName) -> Known {
        Known {
            name,
            there: false,
            selectable: false,
            children: false,
            subscribed: false,
            below: false,
            below_only: false,
            special_uses: Vec::new(),
        }
    }

    fn of(listed: Listed) -> Known {
        Known {
            there: true,
            selectable: listed.selectable,
            children: listed.children,
            special_uses: listed.special_uses,
            ..Known::new(listed.name)
        }
    }

    fn meets(&self, select: Select) -> bool {
        let exists = self.there || select.subscribed;
        exists
            && (!select.subscribed || self.subscribed)
            && (!select.special_use || !self.special_uses.is_empty())
    }

    fn line(self, wanted: &List) -> Line {
        let mut attributes = Vec::new();
        if !self.selectable {
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
        attributes.push(if self.children {
            "\\HasChildren"
        } else {
            "\\HasNoChildren"
        });
        if wanted.form == Form::Xlist && self.name.is_inbox() {
            attributes.push("\\Inbox");
        }
        attributes.extend(self.special_uses.iter().map(|u| u.attribute()));
        let mut child_info = Vec::new();
        if self.below && wanted.select.recursive {
            let options = [
                (wanted.select.subscribed, "SUBSCRIBED"),
                (wanted.select.special_use, "SPECIAL-USE"),
            ];
            child_info.extend(options.iter().filter(|o| o.0).map(|o| o.1));
        }
        Line {
            selectable: self.selectable && self.meets(wanted.select),
            name: self.name,
            attributes,
            child_info,
        }
    }
}

/// Subscribed names; and names above them where the pattern ends at a level (`%`)
/// (RFC 3501 section 6.3.9).
fn lsub(session: &Session, patterns: &[Pattern]) -> Result<Lines, Error> {
    // What cannot be selected is only told to clients that need it.
    let selectable = match session.settings.workarounds.lsub_flags {
        true => Some(session.account.list()?),
        false => None,
    };
    let is_selectable = |name: &MailboxName| {
        selectable.as_ref().is_none_or(|all| {
            let at = all.binary_search_by(|listed| listed.name.cmp(name));
            at.is_ok_and(|at| all.get(at).is_some_and(|listed| listed.selectable))
        })
    };
    let level = patterns
        .iter()
        .any(|pattern| pattern.as_str().ends_with('%'));
    let mut told = Vec::new();
    for name in session.account.subscriptions()? {
        let own = matched(patterns, &name);
        let mut above = name.parent().filter(|_| level && !own);
        while let Some(parent) = above {
            above = parent.parent();
            if matched(patterns, &parent) {
                told.push((parent, false));
            }
        }
        if own {
            let selectable = is_selectable(&name);
            told.push((name, selectable));
        }
    }
    // A name that is subscribed itself comes before it as one above others.
    crate::mail::sort_by(&mut told, |a, b| a.0.cmp(&b.0).then(b.1.cmp(&a.1)));
    told.dedup_by(|b, a| a.0 == b.0);
    Ok(Lines::Subscribed(told.into_iter()))
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
    let found = names.find(name);
    let known = Known::new(name.clone());
    let known = found.map_or(known, |found| {
        std::mem::replace(found, Known::new(name.clone()))
    });
    known
        .line(&wanted)
        .put_name("LIST", old, session.enabled, out);
}

impl Lines {
    fn next(&mut self, wanted: &List) -> Option<Line> {
        match self {
            Lines::Names(names) => Some(names.next()?.line(wanted)),
            Lines::Subscribed(names) => {
                let (name, selectable) = names.next()?;
                Some(Line {
                    attributes: match selectable {
                        true => Vec::new(),
                        false => vec!["\\Noselect"],
                    },
                    name,
                    child_info: Vec::new(),
                    selectable: false,
                })
            }
        }
    }
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
        let wanted = &listing.wanted;
        if self.selectable && !wanted.status.is_empty() {
            match status_line(session, &self.name, &wanted.status, &mut status) {
                Ok(()) => {}
                Err(Error::NoSuchMailbox) => self.attributes.insert(0, "\\NonExistent"),
                // It is logged; the list goes on.
                Err(_) => status.clear(),
            }
        }
        if self.selectable && !wanted.metadata.is_empty() {
            metadata::listed(session, &self.name, &wanted.metadata, &mut status);
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
        while let Some(line) = listing.lines.next(&listing.wanted) {
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
