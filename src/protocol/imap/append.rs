//! APPEND (RFC 3501 section 6.3.11): messages go into drafts as they come; those of one command are
//! filed together or not at all (RFC 3502 section 6.3.11).

use super::catenate::{bad_url, open_url};
use super::enable::UID_REQUIRED;
use super::mailboxes::tell_spelling;
use super::messages::{NO_SUCH, by};
use super::refusal::{refusal, refusal_of_target, refused, syntax_error};
use super::session::{Doing, Session};
use super::table::named;
use super::tag::{Tag, tag};
use crate::mail::{DateTime, Flags, InvalidName, SequenceSet, UidSet};
use crate::mailbox::{Access, Appended, Content, Draft, Error, NewMessage};
use crate::mime::Utf8Header;
use crate::protocol::{Output, Progress, Turn};
use crate::wire::imap::{AppendStart, AppendText, Ends, Frame, Given, Piece, Refusal, Replaced};
use std::borrow::Cow;
use std::collections::VecDeque;

/// Octets that are written at once.
const PIECE: u64 = 32 * 1024;
/// Octets of a URL.
const MAX_URL: u64 = 4096;

/// A running APPEND.
pub(super) struct Append {
    tag: Tag,
    mailbox: Result<Given, InvalidName>,
    text: AppendText,
    /// What is to be done before the literal.
    pieces: VecDeque<Piece>,
    literal: Option<Literal>,
    /// The last line of the command was read.
    ended: bool,
    /// What goes from the selected mailbox (RFC 8508 section 3.4).
    replaced: Option<UidSet>,
    messages: Vec<Message>,
    stage: Stage,
}

/// A literal that is announced.
#[derive(Clone, Copy)]
pub(super) struct Literal {
    pub(super) octets: u64,
    pub(super) synchronising: bool,
}

/// A message that comes or came.
struct Message {
    draft: Draft,
    flags: Flags,
    date: Option<DateTime>,
    /// Octets of it as they came.
    octets: u64,
    /// Its header, where it is said to be UTF-8.
    header: Utf8Header,
}

enum Stage {
    /// The next piece is to be done.
    Pieces,
    /// What a URL names is copied.
    Copying(Content),
    /// So many octets of the message are to come; `utf8`: what of them is the header's is UTF-8.
    Receiving { left: u64, utf8: bool },
    /// So many octets of a URL are to come.
    ReceivingUrl(u64),
    /// The next line is to come.
    Line,
    /// Something went wrong: so many octets are still to be swallowed, and what follows them.
    Swallowing(Cow<'static, str>, u64),
}

type Next = Option<Progress<()>>;
type Failure = Cow<'static, str>;

impl Append {
    fn new(start: AppendStart, literal: Option<Literal>) -> Append {
        Append {
            tag: tag(&start.tag),
            mailbox: start.mailbox,
            text: start.text,
            pieces: start.pieces.into(),
            ended: literal.is_none(),
            literal,
            replaced: None,
            messages: Vec::new(),
            stage: Stage::Pieces,
        }
    }
}

impl Session {
    pub(super) fn begin_append(&mut self, start: AppendStart, literal: Option<Literal>) {
        self.recent.note(match start.replaced {
            Some(_) => "REPLACE",
            None => "APPEND",
        });
        let replaced = start.replaced.map(|replaced| self.replaced(replaced));
        let mut append = Box::new(Append::new(start, literal));
        match replaced.transpose() {
            Ok(replaced) => {
                append.replaced = replaced;
                self.doing = Doing::Append(append);
            }
            Err(text) => self.fail(append, text),
        }
    }

    /// The message that REPLACE means; it has to be there and removable.
    fn replaced(&self, replaced: Replaced) -> Result<UidSet, Failure> {
        let Some(selected) = &self.selected else {
            return Err("BAD Select a mailbox first.".into());
        };
        if self.enabled.uid_only && !replaced.uid {
            return Err(UID_REQUIRED.into());
        }
        if selected.view.access() == Access::ReadOnly {
            return Err(refusal(Error::ReadOnly).into());
        }
        let set = SequenceSet(vec![(replaced.number, replaced.number)]);
        let found = selected.view.resolve(&set, by(replaced.uid));
        match found.filter(|uids| !uids.is_empty()) {
            Some(uids) => Ok(uids),
            None if replaced.uid => Err("NO There is no message of that UID.".into()),
            None => Err(NO_SUCH.into()),
        }
    }

    pub(super) fn append(&mut self, mut append: Box<Append>, turn: Turn, out: &mut Output) -> Next {
        let quick = turn == Turn::Quick;
        let needs_disk = self.needs_disk(&append);
        let next = match &mut append.stage {
            Stage::Pieces | Stage::Copying(_) if quick && needs_disk => Some(Progress::Disk),
            Stage::Receiving { left, .. } | Stage::ReceivingUrl(left)
                if self.framer.waiting() < PIECE.min(self.framer.capacity()).min(*left) =>
            {
                Some(Progress::NeedInput)
            }
            Stage::Receiving { .. } | Stage::ReceivingUrl(_) if quick => Some(Progress::Disk),
            Stage::Pieces => return self.piece(append, out),
            Stage::Copying(_) => return self.copy_piece(append),
            Stage::Receiving { .. } => return self.receive(append),
            Stage::ReceivingUrl(_) => return self.receive_url(append),
            // What is filed at the end of the command needs the disk.
            Stage::Line if quick => Some(Progress::Disk),
            Stage::Line => return self.line(append),
            Stage::Swallowing(..) => return self.swallow(append),
        };
        self.doing = Doing::Append(append);
        next
    }

    /// False for what comes before the first octet of a message to a mailbox that is known to be there.
    fn needs_disk(&self, append: &Append) -> bool {
        let is_staged = append.messages.iter().any(|message| message.octets > 0);
        match (&append.stage, append.pieces.front()) {
            _ if is_staged => true,
            (Stage::Pieces, Some(Piece::Message { .. })) => {
                let mailbox = append.mailbox.as_ref();
                mailbox.is_ok_and(|given| !self.account.is_open(&given.name))
            }
            (Stage::Pieces, Some(Piece::Literal { .. } | Piece::UrlLiteral)) => false,
            (Stage::Pieces, None) => append.ended,
            _ => true,
        }
    }

    /// Does the next piece; then the literal is asked for, or the messages are filed.
    fn piece(&mut self, mut append: Box<Append>, out: &mut Output) -> Next {
        let done = match append.pieces.pop_front() {
            Some(Piece::Message {
                flags,
                date,
                binary,
            }) => self.begin_message(&mut append, flags, date).map(|()| {
                match append.messages.last_mut() {
                    Some(message) if binary => message.draft.take_binary(),
                    _ => {}
                }
            }),
            Some(Piece::Url(url)) => self.begin_url(&mut append, &url),
            Some(Piece::Literal { utf8: true }) if !self.enabled.utf8 => {
                Err("BAD UTF8 goes with ENABLE UTF8=ACCEPT.".into())
            }
            Some(Piece::Literal { utf8 }) => self.begin_literal(&mut append, utf8, out),
            Some(Piece::UrlLiteral) => begin_url_literal(&mut append, out),
            None if append.ended => return self.file(append, out),
            None => {
                append.stage = Stage::Line;
                Ok(())
            }
        };
        self.go_on(append, done)
    }

    fn go_on(&mut self, append: Box<Append>, done: Result<(), Failure>) -> Next {
        match done {
            Ok(()) => self.doing = Doing::Append(append),
            Err(text) => self.fail(append, text),
        }
        None
    }

    /// A client that waits for `+` will send nothing more of the command; another one has sent it
    /// already.
    fn fail(&mut self, mut append: Box<Append>, text: Failure) {
        append.messages.clear();
        let left = match append.literal.take() {
            Some(literal) if literal.synchronising => None,
            Some(literal) => Some(literal.octets),
            None => (!append.ended).then_some(0),
        };
        match left {
            None => self.finish(append.tag, text, named("APPEND").expunges),
            Some(left) => {
                append.stage = Stage::Swallowing(text, left);
                self.doing = Doing::Append(append);
            }
        }
    }

    fn begin_message(
        &self,
        append: &mut Append,
        flags: Flags,
        date: Option<DateTime>,
    ) -> Result<(), Failure> {
        if append.messages.len() >= self.settings.append_messages {
            return Err("NO [LIMIT] Too many messages at a time.".into());
        }
        ended_message(append)?;
        let name = append
            .mailbox
            .as_ref()
            .map_err(|why| Error::InvalidName(*why));
        let draft = name.and_then(|given| {
            self.account.may_change()?;
            match self.account.is_open(&given.name) || self.account.exists(&given.name)? {
                true => Ok(self.account.draft_for(&given.name)),
                false => Err(Error::NoSuchMailbox),
            }
        });
        append.messages.push(Message {
            draft: draft.map_err(refusal_of_target)?,
            flags,
            date,
            octets: 0,
            header: Utf8Header::new(),
        });
        Ok(())
    }

    fn begin_url(&self, append: &mut Append, url: &[u8]) -> Result<(), Failure> {
        let content = open_url(self, url)?;
        append.stage = Stage::Copying(content);
        Ok(())
    }

    fn begin_literal(
        &self,
        append: &mut Append,
        utf8: bool,
        out: &mut Output,
    ) -> Result<(), Failure> {
        let Some(literal) = append.literal else {
            return Err("BAD A literal is missing.".into());
        };
        let before = append.messages.last().map_or(0, |message| message.octets);
        if before.saturating_add(literal.octets) > self.settings.message_octets {
            return Err(refusal(Error::TooLarge).into());
        }
        if literal.synchronising {
            out.put(b"+ OK\r\n");
        }
        append.literal = None;
        let left = literal.octets;
        append.stage = Stage::Receiving { left, utf8 };
        Ok(())
    }

    fn copy_piece(&mut self, mut append: Box<Append>) -> Next {
        let mut bytes = Vec::new();
        let Stage::Copying(content) = &mut append.stage else {
            return self.go_on(append, Ok(()));
        };
        let size = usize::try_from(PIECE).unwrap_or(usize::MAX);
        let copied = content.read(&mut bytes, size).and_then(|count| {
            if count == 0 {
                append.stage = Stage::Pieces;
            }
            write(&mut append, &bytes, false)
        });
        self.go_on(append, copied.map_err(|error| refusal(error).into()))
    }

    fn receive(&mut self, mut append: Box<Append>) -> Next {
        let Stage::Receiving { left, utf8 } = &mut append.stage else {
            return self.go_on(append, Ok(()));
        };
        let bytes = self.framer.take(PIECE.min(*left));
        *left -= bytes.len() as u64;
        let (left, utf8) = (*left, *utf8);
        if left == 0 {
            append.stage = Stage::Line;
        }
        match write(&mut append, &bytes, utf8) {
            Ok(()) => self.doing = Doing::Append(append),
            Err(error) => {
                append.messages.clear();
                append.stage = Stage::Swallowing(refusal(error).into(), left);
                self.doing = Doing::Append(append);
            }
        }
        None
    }

    fn receive_url(&mut self, mut append: Box<Append>) -> Next {
        let Stage::ReceivingUrl(octets) = append.stage else {
            return self.go_on(append, Ok(()));
        };
        // It is no longer than a piece.
        let url = self.framer.take(octets);
        append.stage = Stage::Pieces;
        let begun = self.begin_url(&mut append, &url);
        self.go_on(append, begun)
    }

    /// What follows a literal: the end, or text up to the next one.
    fn line(&mut self, mut append: Box<Append>) -> Next {
        let (text, ends) = match self.framer.next_of_append() {
            Frame::NeedInput => {
                self.doing = Doing::Append(append);
                return Some(Progress::NeedInput);
            }
            Frame::Append {
                head,
                octets,
                synchronising,
            } => {
                append.literal = Some(Literal {
                    octets,
                    synchronising,
                });
                (head, Ends::Literal)
            }
            Frame::Command(text) => {
                append.ended = true;
                (text, Ends::Command)
            }
            other => {
                let why = match other {
                    Frame::Refused { why, .. } => why,
                    _ => Refusal::LineTooLong,
                };
                let text = refused(why);
                self.finish(append.tag, text, named("APPEND").expunges);
                return None;
            }
        };
        append.stage = Stage::Pieces;
        let read = append.text.read(&text, ends);
        let done = match read {
            Ok(pieces) => {
                append.pieces = pieces.into();
                Ok(())
            }
            Err(syntax) => Err(syntax_error(syntax)),
        };
        self.go_on(append, done)
    }

    fn swallow(&mut self, mut append: Box<Append>) -> Next {
        if let Stage::Swallowing(_, left) = &mut append.stage {
            *left -= self.framer.take(*left).len() as u64;
            if *left > 0 {
                self.doing = Doing::Append(append);
                return Some(Progress::NeedInput);
            }
        }
        let frame = self.framer.next_of_append();
        let text = match &mut append.stage {
            Stage::Swallowing(text, left) => match frame {
                Frame::NeedInput => {
                    self.doing = Doing::Append(append);
                    return Some(Progress::NeedInput);
                }
                Frame::Append {
                    octets,
                    synchronising: false,
                    ..
                } => {
                    *left = octets;
                    self.doing = Doing::Append(append);
                    return None;
                }
                _ => std::mem::take(text),
            },
            _ => Cow::Borrowed("BAD The command is broken."),
        };
        self.finish(append.tag, text, named("APPEND").expunges);
        None
    }

    /// Files all messages and answers.
    fn file(&mut self, mut append: Box<Append>, out: &mut Output) -> Next {
        let ready = ended_message(&append).and_then(|()| self.still_there(&append));
        if let Err(text) = ready {
            self.fail(append, text);
            return None;
        }
        let mailbox = append.mailbox.map_err(Error::InvalidName);
        let appended = mailbox.and_then(|given| {
            let mut messages: Vec<NewMessage<'_>> = append
                .messages
                .iter_mut()
                .map(|message| NewMessage {
                    draft: &mut message.draft,
                    flags: &message.flags,
                    date: message.date,
                })
                .collect();
            let appended = self.account.append_all(&given.name, &mut messages)?;
            self.note_own(&given.name, &appended.uids);
            tell_spelling(self, &given, out);
            Ok(appended)
        });
        let text = match appended {
            Err(error) => refusal_of_target(error),
            Ok(Appended { uid_validity, uids }) => {
                let code = format!("OK [APPENDUID {uid_validity} {uids}]");
                match &append.replaced {
                    None => format!("{code} Append completed."),
                    Some(replaced) => {
                        // RFC 8508 section 4.3: before the client is told what went.
                        out.put(format!("* {code} Replacement message ready.\r\n").as_bytes());
                        self.remove_replaced(replaced)
                    }
                }
            }
        };
        self.finish(append.tag, text.into(), named("APPEND").expunges);
        None
    }

    /// What is to be replaced may have been expunged meanwhile; then nothing comes in its place (RFC 8508
    /// section 3).
    fn still_there(&self, append: &Append) -> Result<(), Failure> {
        let both = append.replaced.as_ref().zip(self.selected.as_ref());
        match both.map_or(Ok(true), |(uids, selected)| selected.view.has_any(uids)) {
            Ok(true) => Ok(()),
            Ok(false) => Err(refusal(Error::Expunged).into()),
            Err(error) => Err(refusal(error).into()),
        }
    }

    fn remove_replaced(&mut self, uids: &UidSet) -> String {
        let selected = self.selected.as_mut().ok_or(Error::NoSuchMailbox);
        match selected.and_then(|selected| selected.view.discard(uids)) {
            Ok(()) => "OK Replace completed.".to_owned(),
            Err(error) => refusal(error),
        }
    }
}

/// A message with nothing in it takes the whole command back (RFC 3502 section 6.3.11).
fn ended_message(append: &Append) -> Result<(), Failure> {
    match append.messages.last() {
        Some(message) if !message.header.is_whole() => Err(refusal(NOT_UTF8).into()),
        Some(message) if message.octets == 0 => {
            Err("NO [CANNOT] An empty message cannot be appended.".into())
        }
        _ => Ok(()),
    }
}

fn begin_url_literal(append: &mut Append, out: &mut Output) -> Result<(), Failure> {
    let Some(literal) = append.literal.filter(|literal| literal.octets <= MAX_URL) else {
        return Err(bad_url(b"").into());
    };
    if literal.synchronising {
        out.put(b"+ OK\r\n");
    }
    append.literal = None;
    append.stage = Stage::ReceivingUrl(literal.octets);
    Ok(())
}

/// RFC 6855 section 4: with UTF8 comes a header in UTF-8, no other.
const NOT_UTF8: Error = Error::Cannot("the header is not UTF-8");

/// `utf8`: these octets are said to be that, as far as they are the header's.
fn write(append: &mut Append, bytes: &[u8], utf8: bool) -> Result<(), Error> {
    let Some(message) = append.messages.last_mut() else {
        return Err(Error::Fault);
    };
    if !message.header.takes(bytes, utf8) {
        return Err(NOT_UTF8);
    }
    message.octets += bytes.len() as u64;
    message.draft.write(bytes)
}
