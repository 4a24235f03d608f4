//! Commands (RFC 3501 section 6 and the extensions that are served).

use super::esearch::{Esearch, esearch};
use super::fetch::{FetchItem, fetch_items};
use super::framer::tag_of;
use super::list::{Form, List, create_params, list};
use super::metadata::{GetMetadata, SetMetadata, get_metadata, set_metadata};
use super::modseq::{
    FetchModifiers, SelectParams, fetch_modifiers, select_params, store_modifiers,
};
use super::notify::{Notify, notify};
use super::returns::{Returns, returns};
use super::search::search;
use super::sort::{sort, thread};
use super::status::{StatusItem, status_items};
use super::token::{
    Given, Parsed, Syntax, astring, atom, end, flag, flag_list, given, mailbox, sequence_set,
    space, string,
};
use crate::mail::{
    Criteria, Flags, InvalidName, MailboxName, SequenceSet, Since, SortCriterion, SpecialUse,
    Threading,
};
use crate::wire::reader::{Bounds, Reader};
use std::net::IpAddr;
use std::num::NonZeroU32;

type Name = Result<MailboxName, InvalidName>;
type Named = Result<Given, InvalidName>;

/// A command without its tag. Strings are as the client wrote them.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Command {
    Capability,
    Noop,
    Logout,
    StartTls,
    Login {
        user: Vec<u8>,
        password: Vec<u8>,
    },
    /// RFC 4959: the initial response still in base64; `=` is an empty one.
    Authenticate {
        mechanism: String,
        initial: Option<Vec<u8>>,
    },
    Id {
        /// For whom a proxy or a webmail connects, which says so in `x-originating-ip`.
        originating: Option<IpAddr>,
    },
    /// RFC 4978 section 3: the name of a mechanism.
    Compress(String),
    /// RFC 5161: names of capabilities as the client wrote them.
    Enable(Vec<String>),
    Select {
        mailbox: Named,
        read_only: bool,
        params: SelectParams,
    },
    /// RFC 6154 section 3: `None` stands for a use that no mailbox here can have.
    Create {
        mailbox: Named,
        uses: Option<Vec<SpecialUse>>,
    },
    Delete(Named),
    Rename {
        from: Named,
        to: Named,
    },
    Subscribe {
        mailbox: Name,
        on: bool,
    },
    List(Box<List>),
    Status {
        mailbox: Name,
        items: Vec<StatusItem>,
    },
    GetMetadata(Box<GetMetadata>),
    SetMetadata(Box<SetMetadata>),
    Notify(Box<Notify>),
    Esearch(Box<Esearch>),
    /// RFC 5267 section 4.3.5: tags of searches.
    CancelUpdate(Vec<Vec<u8>>),
    /// RFC 10022: messages of a batch, and the first and the last batch that are wanted.
    UidBatches {
        messages: NonZeroU32,
        only: Option<(NonZeroU32, NonZeroU32)>,
    },
    Namespace,
    Idle,
    Check,
    Close,
    Unselect,
    Expunge {
        only: Option<SequenceSet>,
    },
    /// `None`: a charset nobody knows.
    Search {
        uid: bool,
        returns: Option<Returns>,
        /// What UPDATE wants to know of new messages (RFC 5465 section 7).
        items: Vec<FetchItem>,
        criteria: Option<Criteria>,
    },
    Sort {
        uid: bool,
        returns: Option<Returns>,
        order: Vec<SortCriterion>,
        criteria: Option<Criteria>,
    },
    Thread {
        uid: bool,
        threading: Threading,
        criteria: Option<Criteria>,
    },
    Fetch {
        uid: bool,
        set: SequenceSet,
        items: Vec<FetchItem>,
        modifiers: FetchModifiers,
    },
    /// `change`: `+`, `-` or a blank for replacing.
    Store {
        uid: bool,
        set: SequenceSet,
        change: u8,
        silent: bool,
        flags: Flags,
        /// RFC 7162 section 3.1.3.
        unchanged: Option<Since>,
    },
    Copy {
        uid: bool,
        set: SequenceSet,
        to: Name,
    },
    Move {
        uid: bool,
        set: SequenceSet,
        to: Name,
    },
}

/// A tag (empty if there is none) and what follows it.
#[derive(Debug)]
pub(crate) struct ParsedCommand {
    pub(crate) tag: Vec<u8>,
    pub(crate) command: Result<Command, Syntax>,
}

/// `command = tag SP (...)`; `text` is a whole command without its line end.
pub(crate) fn parse(text: &[u8], bounds: Bounds) -> ParsedCommand {
    let tag = tag_of(text);
    let mut r = Reader::within(text.get(tag.len()..).unwrap_or_default(), bounds);
    if tag.is_empty() || !r.eat(b' ') {
        let why = if text.is_empty() {
            "an empty line is no command"
        } else {
            "a tag is missing"
        };
        return ParsedCommand {
            tag: Vec::new(),
            command: Err(Syntax(why)),
        };
    }
    let command = command(&mut r).and_then(|command| end(&r).map(|()| command));
    ParsedCommand { tag, command }
}

fn command(r: &mut Reader<'_>) -> Parsed<Command> {
    let name = atom(r)?.to_ascii_uppercase();
    if name == "UID" {
        space(r)?;
        let name = atom(r)?.to_ascii_uppercase();
        return selected(r, &name, true).unwrap_or(Err(Syntax("no such UID command")));
    }
    if let Some(command) = selected(r, &name, false) {
        return command;
    }
    Ok(match name.as_str() {
        "CAPABILITY" => Command::Capability,
        "NOOP" => Command::Noop,
        "LOGOUT" => Command::Logout,
        "STARTTLS" => Command::StartTls,
        "LOGIN" => {
            space(r)?;
            let user = astring(r)?;
            space(r)?;
            Command::Login {
                user,
                password: astring(r)?,
            }
        }
        "AUTHENTICATE" => {
            space(r)?;
            let mechanism = atom(r)?.to_ascii_uppercase();
            let initial = r.eat(b' ').then(|| r.take(usize::MAX).to_vec());
            Command::Authenticate { mechanism, initial }
        }
        "ID" => id(r)?,
        "COMPRESS" => {
            space(r)?;
            Command::Compress(atom(r)?.to_ascii_uppercase())
        }
        "ENABLE" => enable(r)?,
        "NOTIFY" => Command::Notify(Box::new(notify(r)?)),
        "ESEARCH" => Command::Esearch(Box::new(esearch(r)?)),
        "CANCELUPDATE" => cancel_update(r)?,
        "UIDBATCHES" => uid_batches(r)?,
        "NAMESPACE" => Command::Namespace,
        "IDLE" => Command::Idle,
        _ => return mailboxes(r, &name),
    })
}

/// Commands about mailboxes.
fn mailboxes(r: &mut Reader<'_>, name: &str) -> Parsed<Command> {
    let named = |r: &mut Reader<'_>| {
        space(r)?;
        mailbox(r)
    };
    let spelled = |r: &mut Reader<'_>| {
        space(r)?;
        given(r)
    };
    Ok(match name {
        "SELECT" | "EXAMINE" => Command::Select {
            mailbox: spelled(r)?,
            read_only: name == "EXAMINE",
            params: select_params(r)?,
        },
        "CREATE" => Command::Create {
            mailbox: spelled(r)?,
            uses: create_params(r)?,
        },
        "DELETE" => Command::Delete(spelled(r)?),
        "RENAME" => Command::Rename {
            from: spelled(r)?,
            to: spelled(r)?,
        },
        "SUBSCRIBE" => Command::Subscribe {
            mailbox: named(r)?,
            on: true,
        },
        "UNSUBSCRIBE" => Command::Subscribe {
            mailbox: named(r)?,
            on: false,
        },
        "LIST" => Command::List(Box::new(list(r, Form::List)?)),
        "LSUB" => Command::List(Box::new(list(r, Form::Lsub)?)),
        "XLIST" => Command::List(Box::new(list(r, Form::Xlist)?)),
        "STATUS" => {
            let mailbox = named(r)?;
            space(r)?;
            Command::Status {
                mailbox,
                items: status_items(r)?,
            }
        }
        "GETMETADATA" => Command::GetMetadata(Box::new(get_metadata(r)?)),
        "SETMETADATA" => Command::SetMetadata(Box::new(set_metadata(r)?)),
        "CHECK" => Command::Check,
        "CLOSE" => Command::Close,
        "UNSELECT" => Command::Unselect,
        _ => return Err(Syntax("no such command")),
    })
}

/// Commands that have a UID form; `None` for others.
fn selected(r: &mut Reader<'_>, name: &str, uid: bool) -> Option<Parsed<Command>> {
    let parsed = match name {
        "EXPUNGE" if !uid => Ok(Command::Expunge { only: None }),
        "EXPUNGE" => set(r).map(|set| Command::Expunge { only: Some(set) }),
        "SEARCH" => extended(r).and_then(|(returns, items)| {
            Ok(Command::Search {
                uid,
                returns,
                items,
                criteria: search(r)?.criteria(),
            })
        }),
        "SORT" => extended(r).and_then(|(returns, _)| {
            let (order, searched) = sort(r)?;
            Ok(Command::Sort {
                uid,
                returns,
                order,
                criteria: searched.criteria(),
            })
        }),
        "THREAD" => space(r).and_then(|()| {
            let (threading, searched) = thread(r)?;
            Ok(Command::Thread {
                uid,
                threading,
                criteria: searched.criteria(),
            })
        }),
        "FETCH" => set(r).and_then(|set| {
            space(r)?;
            Ok(Command::Fetch {
                uid,
                set,
                items: fetch_items(r)?,
                modifiers: fetch_modifiers(r)?,
            })
        }),
        "STORE" => store(r, uid),
        "COPY" | "MOVE" => set(r).and_then(|set| {
            space(r)?;
            let to = mailbox(r)?;
            Ok(if name == "COPY" {
                Command::Copy { uid, set, to }
            } else {
                Command::Move { uid, set, to }
            })
        }),
        _ => return None,
    };
    Some(parsed)
}

/// The result options of an extended SEARCH or SORT, if there are some.
fn extended(r: &mut Reader<'_>) -> Parsed<(Option<Returns>, Vec<FetchItem>)> {
    space(r)?;
    returns(r)
}

fn set(r: &mut Reader<'_>) -> Parsed<SequenceSet> {
    space(r)?;
    sequence_set(r)
}

/// `store = "STORE" SP sequence-set [store-modifiers] SP store-att-flags` (RFC 4466 section 2.5).
fn store(r: &mut Reader<'_>, uid: bool) -> Parsed<Command> {
    let set = set(r)?;
    space(r)?;
    let unchanged = store_modifiers(r)?;
    let change = if r.eat(b'+') {
        b'+'
    } else if r.eat(b'-') {
        b'-'
    } else {
        b' '
    };
    if !r.eat_word("FLAGS") {
        return Err(Syntax("only FLAGS can be stored"));
    }
    let silent = r.eat_word(".SILENT");
    space(r)?;
    let flags = if r.peek() == Some(b'(') {
        flag_list(r)?
    } else {
        let mut flags = Flags::default();
        flag(r, &mut flags)?;
        while r.eat(b' ') {
            flag(r, &mut flags)?;
        }
        flags
    };
    Ok(Command::Store {
        uid,
        set,
        change,
        silent,
        flags,
        unchanged,
    })
}

/// `"CANCELUPDATE" 1*(SP quoted)` (RFC 5267 section 5), after its word.
fn cancel_update(r: &mut Reader<'_>) -> Parsed<Command> {
    let mut tags = Vec::new();
    while r.eat(b' ') {
        tags.push(astring(r)?);
    }
    match tags.is_empty() {
        true => Err(Syntax("a tag is missing")),
        false => Ok(Command::CancelUpdate(tags)),
    }
}

/// `message-batches = "UIDBATCHES" SP nz-number [SP nz-number ":" nz-number]` (RFC 10022), after its word.
fn uid_batches(r: &mut Reader<'_>) -> Parsed<Command> {
    space(r)?;
    let messages = nz_number(r)?;
    if !r.eat(b' ') {
        return Ok(Command::UidBatches {
            messages,
            only: None,
        });
    }
    let first = nz_number(r)?;
    match r.eat(b':') {
        true => Ok(Command::UidBatches {
            messages,
            only: Some((first, nz_number(r)?)),
        }),
        false => Err(Syntax("a range of batches has two ends")),
    }
}

fn nz_number(r: &mut Reader<'_>) -> Parsed<NonZeroU32> {
    let number = r.number(u64::from(u32::MAX));
    let number = number.and_then(|n| u32::try_from(n).ok());
    number
        .and_then(NonZeroU32::new)
        .ok_or(Syntax("a number from 1 on is missing"))
}

/// `enable = "ENABLE" 1*(SP capability)` (RFC 5161 section 4).
fn enable(r: &mut Reader<'_>) -> Parsed<Command> {
    let mut names = Vec::new();
    while r.eat(b' ') {
        names.push(atom(r)?.to_owned());
    }
    if names.is_empty() {
        return Err(Syntax("nothing to enable is named"));
    }
    Ok(Command::Enable(names))
}

/// `id = "ID" SP ("(" #string SP nstring ")" / nil)` (RFC 2971 section 3.1); what else it says is not used.
fn id(r: &mut Reader<'_>) -> Parsed<Command> {
    space(r)?;
    if r.eat_word("NIL") {
        return Ok(Command::Id { originating: None });
    }
    if !r.eat(b'(') {
        return Err(Syntax("a list or NIL is missing"));
    }
    let (mut originating, mut named, mut is_field) = (None, false, true);
    while !r.eat(b')') {
        let text = string(r)?;
        if text.is_none() && !r.eat_word("NIL") {
            return Err(Syntax("a string is missing"));
        }
        let text = text.unwrap_or_default();
        if named {
            let address = std::str::from_utf8(&text).ok();
            originating = address.and_then(|address| address.parse().ok());
        }
        named = is_field && text.eq_ignore_ascii_case(b"x-originating-ip");
        is_field = !is_field;
        if !r.eat(b' ') && r.peek() != Some(b')') {
            return Err(Syntax("a list does not end"));
        }
    }
    if !is_field {
        return Err(Syntax("a field has no value"));
    }
    Ok(Command::Id { originating })
}

#[cfg(test)]
mod tests;
