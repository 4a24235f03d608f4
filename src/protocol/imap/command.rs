//! From a client's bytes to a command that runs.

use super::append::Literal;
use super::batches::uid_batches;
use super::capability::{Situation, capability_line};
use super::context::cancel_update;
use super::enable::{UID_REQUIRED, enable};
use super::list::list;
use super::multisearch::esearch;
use super::notify::notify;
use super::refusal::{refused, syntax_error};
use super::select::{select, select_at_once};
use super::session::{Doing, Next, Ran, Session};
use super::table::{Rule, State, numbers_messages, rule_of};
use super::tag::{Tag, tag};
use super::{mailboxes, messages, metadata};
use crate::config::Mechanisms;
use crate::mailbox::Expunges;
use crate::protocol::{Output, Progress, Turn};
use crate::wire::imap::{Bounds, Command, Ends, Frame, Syntax, append_start, parse, tag_of};

impl Session {
    pub(super) fn frame(&mut self, turn: Turn, out: &mut Output) -> Next {
        match self.framer.next() {
            // RFC 5465 section 3.1: news are told without a command too.
            Frame::NeedInput if self.notify.is_some() && self.framer.waiting() == 0 => {
                return Some(Progress::Wait);
            }
            Frame::NeedInput => return Some(Progress::NeedInput),
            Frame::Continue => out.put(b"+ OK\r\n"),
            Frame::Command(text) => match append_start(&text, Ends::Command, self.bounds()) {
                Some(Ok(start)) => {
                    self.bad = 0;
                    self.begin_append(start, None);
                }
                Some(Err(syntax)) => self.not_understood(&tag(&tag_of(&text)), syntax, out),
                None => return self.parsed(&text, turn, out),
            },
            Frame::Append {
                head,
                octets,
                synchronising,
            } => match append_start(&head, Ends::Literal, self.bounds()) {
                Some(Ok(start)) => {
                    let literal = Literal {
                        octets,
                        synchronising,
                    };
                    self.bad = 0;
                    self.begin_append(start, Some(literal));
                }
                // What was an APPEND for the framer, which knows nothing of what is enabled.
                broken => {
                    if !synchronising {
                        self.framer.skip_literal(octets);
                    }
                    let syntax = broken.and_then(Result::err);
                    let syntax = syntax.unwrap_or(Syntax("a mailbox is missing"));
                    self.not_understood(&tag(&tag_of(&head)), syntax, out);
                }
            },
            Frame::Refused { tag: of, why } => {
                self.bad(&tag(&of), &refused(why), out);
            }
        }
        None
    }

    fn bounds(&self) -> Bounds {
        self.enabled.bounds(self.settings.bounds)
    }

    /// After login all is said and done.
    pub(super) fn situation(&self) -> Situation {
        Situation {
            logged_in: true,
            starttls: false,
            password: false,
            mechanisms: Mechanisms::default(),
            nonsync_octets: self.settings.nonsync_octets,
            append_limit: self.settings.message_octets,
        }
    }

    fn parsed(&mut self, text: &[u8], turn: Turn, out: &mut Output) -> Next {
        let parsed = parse(text, self.bounds());
        let tag = tag(&parsed.tag);
        let command = match parsed.command {
            Ok(command) => command,
            Err(syntax) => {
                self.not_understood(&tag, syntax, out);
                return None;
            }
        };
        let rule = rule_of(&command);
        if rule.state == State::NotAuthenticated {
            self.bad(&tag, "BAD You are logged in already.", out);
        } else if rule.state == State::Selected && self.selected.is_none() {
            self.bad(&tag, "BAD Select a mailbox first.", out);
        } else if self.enabled.uid_only && numbers_messages(&command) {
            self.bad(&tag, UID_REQUIRED, out);
        } else {
            self.bad = 0;
            return self.command(tag, Box::new(command), rule, turn, out);
        }
        None
    }

    fn not_understood(&mut self, tag: &Tag, syntax: Syntax, out: &mut Output) {
        self.recent.note("?");
        self.bad(tag, &syntax_error(syntax), out);
    }

    pub(super) fn command(
        &mut self,
        tag: Tag,
        command: Box<Command>,
        rule: Rule,
        turn: Turn,
        out: &mut Output,
    ) -> Next {
        self.recent.note(rule.name);
        let ran = match rule.disk && turn == Turn::Quick {
            false => self.run(&tag, *command, rule, out),
            true => match select_at_once(self, &tag, &command, out) {
                Some(ran) => ran,
                None => {
                    self.doing = Doing::Command(tag, command);
                    return Some(Progress::Disk);
                }
            },
        };
        if let Ran::Finished(text) = ran {
            self.finish(tag, text, rule.expunges);
        }
        None
    }

    fn run(&mut self, tag: &Tag, command: Command, rule: Rule, out: &mut Output) -> Ran {
        match command {
            Command::Capability => {
                out.put(b"* ");
                capability_line(self.situation(), out.buffer());
                out.put(b"\r\n");
                Ran::ok("OK Capability completed.")
            }
            Command::Noop => Ran::ok("OK NOOP completed."),
            Command::Check => Ran::ok("OK Check completed."),
            Command::Logout => {
                out.put(b"* BYE Logging out.\r\n");
                self.reply(tag, "OK Logout completed.", out);
                self.doing = Doing::Ended;
                Ran::GoesOn
            }
            Command::Id { .. } => {
                let version = env!("CARGO_PKG_VERSION");
                out.put(b"* ID (\"name\" \"dovelet\" \"version\" \"");
                out.put(version.as_bytes());
                out.put(b"\")\r\n");
                Ran::ok("OK ID completed.")
            }
            Command::Compress(mechanism) => self.compress(tag, &mechanism, out),
            Command::Enable(names) => enable(self, &names, out),
            Command::Namespace => {
                out.put(b"* NAMESPACE ((\"\" \"/\")");
                for prefix in self.account.prefixes() {
                    out.put(b"(");
                    self.enabled.prefix(&prefix, out.buffer());
                    out.put(b" \"/\")");
                }
                out.put(b") NIL NIL\r\n");
                Ran::ok("OK Namespace completed.")
            }
            Command::Idle => {
                out.put(b"+ idling\r\n");
                self.doing = Doing::IdleNews(tag.clone());
                Ran::GoesOn
            }
            Command::Select {
                mailbox,
                read_only,
                params,
            } => select(self, tag, mailbox, read_only, params, out),
            Command::Create { mailbox, uses } => mailboxes::create(self, mailbox, uses, out),
            Command::Delete(name) => mailboxes::delete(self, name, out),
            Command::Rename { from, to } => mailboxes::rename(self, tag, (from, to), rule, out),
            Command::Subscribe { mailbox, on } => mailboxes::subscribe(self, mailbox, on),
            Command::List(wanted) => list(self, tag, *wanted, rule, out),
            Command::GetMetadata(wanted) => metadata::get(self, *wanted, out),
            Command::SetMetadata(wanted) => metadata::set(self, *wanted),
            Command::Notify(wanted) => notify(self, *wanted, out),
            Command::Esearch(wanted) => esearch(self, tag, *wanted, rule, out),
            Command::CancelUpdate(tags) => cancel_update(self, &tags),
            Command::UidBatches { messages, only } => {
                uid_batches(self, tag, messages.get(), only, out)
            }
            Command::Status { mailbox, items } => mailboxes::status(self, mailbox, &items, out),
            // Refused by the table before login and after.
            Command::StartTls | Command::Login { .. } | Command::Authenticate { .. } => {
                Ran::ok("BAD You are logged in already.")
            }
            command => messages::run(self, tag, command, rule, out),
        }
    }

    /// RFC 4978 section 3. The tagged response has to be the last thing before.
    fn compress(&mut self, tag: &Tag, mechanism: &str, out: &mut Output) -> Ran {
        if mechanism != "DEFLATE" {
            return Ran::ok("BAD Only DEFLATE is served.");
        }
        if std::mem::replace(&mut self.compressed, true) {
            return Ran::ok("BAD [COMPRESSIONACTIVE] DEFLATE is active already.");
        }
        self.reply(tag, "OK DEFLATE active.", out);
        self.doing = Doing::Compress;
        Ran::GoesOn
    }

    /// A line while the client idles (RFC 2177 section 3).
    pub(super) fn idle(&mut self, idling: Tag, out: &mut Output) -> Next {
        match self.framer.next() {
            Frame::NeedInput => {
                self.doing = Doing::Idle(idling);
                return Some(Progress::Wait);
            }
            Frame::Command(text) if text.eq_ignore_ascii_case(b"DONE") => {
                self.finish(idling, "OK Idle completed.".into(), Expunges::Tell);
            }
            Frame::Continue => self.doing = Doing::Idle(idling),
            Frame::Append {
                octets,
                synchronising,
                ..
            } => {
                if !synchronising {
                    self.framer.skip_literal(octets);
                }
                self.bad(&idling, "BAD Expected DONE.", out);
            }
            Frame::Command(_) | Frame::Refused { .. } => {
                self.bad(&idling, "BAD Expected DONE.", out);
            }
        }
        None
    }
}
