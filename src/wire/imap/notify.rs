//! NOTIFY (RFC 5465 section 8), and the mailboxes that it and ESEARCH name.

use super::fetch::{FetchItem, fetch_items};
use super::token::{Parsed, Syntax, atom, mailbox, space};
use crate::mail::MailboxName;
use crate::wire::reader::Reader;

/// Names and event groups of one NOTIFY.
const MAX_NAMES: usize = 1000;

/// Events that are served, as BADEVENT lists them.
pub(crate) const EVENTS: &str = "MessageNew MessageExpunge FlagChange MailboxName \
                                 SubscriptionChange MailboxMetadataChange ServerMetadataChange";

/// What a NOTIFY asks for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Notify {
    None,
    Set {
        /// A STATUS of each mailbox first.
        status: bool,
        groups: Vec<EventGroup>,
    },
    /// An event that is not served.
    BadEvent,
}

/// Mailboxes, and what is to be told of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct EventGroup {
    pub(crate) filter: Filter,
    pub(crate) events: Events,
}

/// RFC 5465 section 6. Names that can be no mailbox's are left out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Filter {
    Selected,
    SelectedDelayed,
    /// All mailboxes: also where messages may be delivered to, which scripts say.
    Personal,
    Subscribed,
    Subtree(Vec<MailboxName>),
    /// RFC 7377 section 2.2: one level down; of ESEARCH only.
    SubtreeOne(Vec<MailboxName>),
    Mailboxes(Vec<MailboxName>),
}

/// RFC 5465 section 5.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Events {
    /// MessageNew and MessageExpunge, which go together.
    pub(crate) messages: bool,
    /// Of new messages of the selected mailbox.
    pub(crate) items: Vec<FetchItem>,
    pub(crate) flags: bool,
    pub(crate) mailbox_name: bool,
    pub(crate) subscription: bool,
    pub(crate) metadata: bool,
    pub(crate) server_metadata: bool,
}

impl Filter {
    fn is_selected(&self) -> bool {
        matches!(self, Filter::Selected | Filter::SelectedDelayed)
    }
}

/// `notify = "NOTIFY" SP (notify-set / notify-none)`, after its word.
pub(super) fn notify(r: &mut Reader<'_>) -> Parsed<Notify> {
    space(r)?;
    match atom(r)?.to_ascii_uppercase().as_str() {
        "NONE" => return Ok(Notify::None),
        "SET" => {}
        _ => return Err(Syntax("NOTIFY takes SET or NONE")),
    }
    let status = r.eat_word(" STATUS");
    let (mut groups, mut known) = (Vec::new(), true);
    while r.eat(b' ') {
        if groups.len() >= MAX_NAMES {
            return Err(Syntax("[LIMIT] Too many event groups"));
        }
        groups.push(group(r, &mut known)?);
    }
    if groups.is_empty() {
        return Err(Syntax("an event group is missing"));
    }
    let selected = groups.iter().filter(|group| group.filter.is_selected());
    if selected.count() > 1 {
        return Err(Syntax("the selected mailbox is named twice"));
    }
    Ok(match known {
        true => Notify::Set { status, groups },
        false => Notify::BadEvent,
    })
}

/// `event-group = "(" filter-mailboxes SP events ")"`; `known` becomes false by an event that is not.
fn group(r: &mut Reader<'_>, known: &mut bool) -> Parsed<EventGroup> {
    if !r.eat(b'(') {
        return Err(Syntax("an event group is missing"));
    }
    let filter = filter(r)?;
    if matches!(filter, Filter::SubtreeOne(_)) {
        return Err(Syntax("no such mailbox filter"));
    }
    space(r)?;
    let events = events(r, filter.is_selected(), known)?;
    match r.eat(b')') {
        true => Ok(EventGroup { filter, events }),
        false => Err(Syntax("an event group does not end")),
    }
}

/// `filter-mailboxes = filter-mailboxes-selected / filter-mailboxes-other`.
pub(super) fn filter(r: &mut Reader<'_>) -> Parsed<Filter> {
    Ok(match atom(r)?.to_ascii_lowercase().as_str() {
        "selected" => Filter::Selected,
        "selected-delayed" => Filter::SelectedDelayed,
        "inboxes" | "personal" => Filter::Personal,
        "subscribed" => Filter::Subscribed,
        "subtree" => Filter::Subtree(names(r)?),
        "subtree-one" => Filter::SubtreeOne(names(r)?),
        "mailboxes" => Filter::Mailboxes(names(r)?),
        _ => return Err(Syntax("no such mailbox filter")),
    })
}

/// `one-or-more-mailbox = mailbox / "(" mailbox *(SP mailbox) ")"`.
fn names(r: &mut Reader<'_>) -> Parsed<Vec<MailboxName>> {
    space(r)?;
    let listed = r.eat(b'(');
    let mut names = Vec::new();
    loop {
        if names.len() >= MAX_NAMES {
            return Err(Syntax("[LIMIT] Too many mailboxes"));
        }
        names.extend(mailbox(r)?);
        if !listed {
            return Ok(names);
        }
        if r.eat(b')') {
            return Ok(names);
        }
        space(r)?;
    }
}

/// `events = ( "(" event *(SP event) ")" ) / "NONE"`.
fn events(r: &mut Reader<'_>, selected: bool, known: &mut bool) -> Parsed<Events> {
    let mut events = Events::default();
    let (mut new, mut expunge) = (false, false);
    if r.eat_word("NONE") {
        return Ok(events);
    }
    if !r.eat(b'(') {
        return Err(Syntax("a list of events is missing"));
    }
    loop {
        let name = atom(r)?.to_ascii_lowercase();
        let of_messages = matches!(
            name.as_str(),
            "messagenew" | "messageexpunge" | "flagchange"
        );
        match name.as_str() {
            "messagenew" => {
                new = true;
                if r.rest().starts_with(b" (") {
                    space(r)?;
                    events.items = fetch_items(r)?;
                }
            }
            "messageexpunge" => expunge = true,
            "flagchange" => events.flags = true,
            "mailboxname" => events.mailbox_name = true,
            "subscriptionchange" => events.subscription = true,
            "mailboxmetadatachange" => events.metadata = true,
            "servermetadatachange" => events.server_metadata = true,
            _ => *known = false,
        }
        if selected && *known && !of_messages {
            return Err(Syntax(
                "only messages of the selected mailbox can be watched",
            ));
        }
        if r.eat(b')') {
            break;
        }
        space(r)?;
    }
    if new != expunge || events.flags && !new {
        return Err(Syntax(
            "MessageNew, MessageExpunge: both or none, and with FlagChange both",
        ));
    }
    if !selected && !events.items.is_empty() {
        return Err(Syntax("items are told of the selected mailbox only"));
    }
    events.messages = new;
    Ok(events)
}

#[cfg(test)]
mod tests {
    use super::super::command::{Command, parse};
    use super::*;
    use crate::wire::imap::Bounds;

    fn read(text: &str) -> Option<Notify> {
        match parse(format!("a NOTIFY {text}").as_bytes(), Bounds::USUAL).command {
            Ok(Command::Notify(wanted)) => Some(*wanted),
            _ => None,
        }
    }

    #[test]
    fn groups_and_events() {
        assert_eq!(read("none"), Some(Notify::None));
        let text = "SET STATUS (selected (MessageNew (uid body.peek[header.fields (from)]) \
                    MessageExpunge)) (subtree Lists NONE) (mailboxes (a \"b c\" \"\") \
                    (messagenew MESSAGEEXPUNGE FlagChange MailboxName)) (inboxes \
                    (SubscriptionChange MailboxMetadataChange ServerMetadataChange))";
        let Some(Notify::Set { status, groups }) = read(text) else {
            panic!("not understood");
        };
        let [selected, tree, named, all] = &groups[..] else {
            panic!("{groups:?}");
        };
        assert!(status && selected.events.messages && !selected.events.flags);
        assert_eq!(selected.events.items.len(), 2);
        let name = |text| MailboxName::new(text).unwrap();
        assert_eq!(tree.filter, Filter::Subtree(vec![name("Lists")]));
        assert_eq!(tree.events, Events::default());
        assert_eq!(
            named.filter,
            Filter::Mailboxes(vec![name("a"), name("b c")])
        );
        assert!(named.events.messages && named.events.flags && named.events.mailbox_name);
        assert_eq!(all.filter, Filter::Personal);
        assert!(all.events.subscription && all.events.metadata && all.events.server_metadata);
        assert!(!all.events.messages);
        for event in ["AnnotationChange", "MessageTrash", "x"] {
            assert_eq!(
                read(&format!("SET (personal ({event}))")),
                Some(Notify::BadEvent)
            );
            assert_eq!(
                read(&format!("SET (selected ({event}))")),
                Some(Notify::BadEvent)
            );
        }
    }

    #[test]
    fn what_is_not_allowed() {
        for bad in [
            "",
            "SET",
            "SET STATUS",
            "FOO",
            "NONE x",
            "SET (personal)",
            "SET (personal ())",
            "SET (personal (MessageNew))",
            "SET (personal (MessageExpunge))",
            "SET (personal (FlagChange))",
            "SET (personal (MessageNew (UID) MessageExpunge))",
            "SET (selected (MailboxName))",
            "SET (selected NONE) (selected-delayed NONE)",
            "SET (everything (MailboxName))",
            "SET (subtree (MailboxName))",
            "SET (mailboxes (a (MailboxName))",
            "SET (personal (MailboxName)",
            "SET (subtree-one x (MailboxName))",
        ] {
            assert_eq!(read(bad), None, "{bad}");
        }
        let many = format!(
            "SET (mailboxes ({}x) (MailboxName))",
            "x ".repeat(MAX_NAMES)
        );
        assert_eq!(read(&many), None);
    }
}
