//! FETCH (RFC 3501 section 6.4.5): row by row, parked whenever enough output waits.

use super::changing::Change;
use super::enable::Enabled;
use super::failure::{Failure, Outcome};
use super::items::want;
use super::messages::resolve;
use super::selected::{Earlier, Selected};
use super::session::{Doing, Ending, Ran, Session};
use super::table::Rule;
use super::tag::Tag;
use crate::mail::{Flags, SequenceSet, SystemFlags, UidSet};
use crate::mailbox::{Access, Content, Expunges, FlagChange, Mark, Marked, Rows, View, Want};
use crate::protocol::{Output, Progress, Turn};
use crate::wire::imap::{FetchItem, FetchModifiers, number};

/// Octets of a section copied at once.
const PIECE: usize = 32 * 1024;

/// A running FETCH, or the telling of flags that STORE and others' changes need.
pub(super) struct Fetch {
    tag: Tag,
    expunges: Expunges,
    items: Box<[FetchItem]>,
    pub(super) enabled: Enabled,
    pub(super) rows: Rows,
    /// Got `\Seen` by this command; their flags are told.
    newly_seen: UidSet,
    /// Told first.
    pub(super) earlier: Earlier,
    at: Position,
    failure: Failure,
}

/// Where in the output of a row it stands.
enum Position {
    BetweenRows,
    /// Before this item.
    Item(usize),
    /// In the literal of this item.
    Literal(usize, Content),
    /// The rest of a literal cannot be read: nothing that a client would understand can follow.
    Torn,
}

/// What a FETCH asks for.
pub(super) struct Wanted {
    pub(super) uid: bool,
    pub(super) set: SequenceSet,
    pub(super) items: Vec<FetchItem>,
    pub(super) modifiers: FetchModifiers,
}

/// What is told of messages that nobody asked for by FETCH.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Told {
    Flags,
    /// After a silent STORE (RFC 7162 section 3.1.3).
    ModSeqs,
}

/// FETCH as a command.
pub(super) fn fetch(
    session: &mut Session,
    tag: &Tag,
    wanted: Wanted,
    rule: Rule,
    out: &mut Output,
) -> Ran {
    let FetchModifiers {
        changed,
        vanished,
        partial,
    } = wanted.modifiers;
    if partial.is_some() && !wanted.uid {
        return Ran::ok("BAD PARTIAL goes with UID FETCH.");
    }
    if vanished && !(wanted.uid && session.enabled.qresync && changed.is_some()) {
        return Ran::ok(
            "BAD VANISHED goes with UID FETCH and CHANGEDSINCE, once QRESYNC is enabled.",
        );
    }
    let mut uids = match resolve(session, &wanted.set, wanted.uid) {
        Ok(uids) => uids,
        Err(refused) => return refused,
    };
    // RFC 9394 section 3.4: chosen before CHANGEDSINCE leaves some of them out.
    if let Some(range) = partial {
        let count = u32::try_from(uids.count()).unwrap_or(u32::MAX);
        uids = uids.window(range.places(count));
    }
    let mut items = wanted.items;
    // UIDFETCH says it anyway (RFC 9586).
    let told = session.enabled.uid_only;
    if wanted.uid && !told && !items.contains(&FetchItem::Uid) {
        items.insert(0, FetchItem::Uid);
    }
    // RFC 7162 section 3.1.4.1: CHANGEDSINCE adds the item.
    if changed.is_some() && !items.contains(&FetchItem::ModSeq) {
        items.push(FetchItem::ModSeq);
    }
    if items.contains(&FetchItem::ModSeq) {
        session.enable_condstore(out);
    }
    let enabled = session.enabled;
    let Some(selected) = session.selected.as_mut() else {
        return Ran::ok("BAD Select a mailbox first.");
    };
    let mut earlier = Earlier::default();
    if let Some(since) = changed {
        let view = &selected.view;
        let gone = match vanished {
            true => view.vanished_since(&view.resolve_given(&wanted.set), since),
            false => Ok(UidSet::new()),
        };
        match gone.and_then(|gone| Ok((gone, view.changed_since(&uids, since)?))) {
            Ok((gone, changed)) => (earlier, uids) = (Earlier::new(gone), changed),
            Err(error) => return Ran::no(error),
        }
    }
    let sees =
        |item: &FetchItem| matches!(item, FetchItem::Section(s) | FetchItem::Binary(s) if s.seen);
    let marks = match items.iter().any(sees) {
        true => mark_seen(&mut selected.view, &uids),
        false => None,
    };
    let rows = selected.view.fetch(uids, want(&items));
    let fetch = Box::new(Fetch {
        tag: tag.clone(),
        expunges: rule.expunges,
        items: items.into(),
        enabled,
        rows,
        newly_seen: UidSet::new(),
        earlier,
        at: Position::BetweenRows,
        failure: Failure::new(session.settings.fetch_failure),
    });
    match marks {
        Some(mark) => session.begin_change(tag, Change::Seen(mark, fetch), rule.expunges),
        None => {
            session.doing = Doing::Fetch(fetch);
            Ran::GoesOn
        }
    }
}

/// Begins to set `\Seen` where it is missing. A mailbox that cannot be written (a full disk) can still
/// be read.
fn mark_seen(view: &mut View, uids: &UidSet) -> Option<Box<Mark>> {
    if view.access() == Access::ReadOnly {
        return None;
    }
    let unseen = view.unseen(uids).ok().filter(|unseen| !unseen.is_empty())?;
    let flags = Flags {
        system: SystemFlags::SEEN,
        keywords: Vec::new(),
    };
    let mark = view.marking(&unseen, FlagChange::Add, flags, None).ok()?;
    Some(Box::new(mark))
}

impl Fetch {
    /// Tells of messages what changed; to clients that know mod-sequences with UID and MODSEQ
    /// (RFC 7162 section 3.2.4). `uid`: a UID command is answered.
    pub(super) fn untagged(
        view: &View,
        uids: UidSet,
        told: Told,
        uid: bool,
        enabled: Enabled,
    ) -> Fetch {
        let mut items = Vec::new();
        if (uid || enabled.tells_uid()) && !enabled.uid_only {
            items.push(FetchItem::Uid);
        }
        if told == Told::Flags {
            items.push(FetchItem::Flags);
        }
        if enabled.condstore {
            items.push(FetchItem::ModSeq);
        }
        Fetch {
            tag: Tag::new(),
            expunges: Expunges::Hold,
            items: items.into(),
            enabled,
            rows: view.fetch(uids, Want::default()),
            newly_seen: UidSet::new(),
            earlier: Earlier::default(),
            at: Position::BetweenRows,
            failure: Failure::default(),
        }
    }

    /// What NOTIFY asked for of new messages (RFC 5465 section 5.2), and UID and mod-sequence for who has to
    /// be told these (RFC 7162 section 3.1 and section 3.2.4). Sets no flag.
    pub(super) fn of_new(
        view: &View,
        uids: UidSet,
        items: &[FetchItem],
        enabled: Enabled,
    ) -> Fetch {
        let mut fetch = Fetch::untagged(view, UidSet::new(), Told::ModSeqs, false, enabled);
        fetch.rows = view.fetch(uids, want(items));
        let (own, items) = (fetch.items, items.to_vec());
        let first = own.iter().filter(|item| **item == FetchItem::Uid);
        let last = own.iter().filter(|item| **item != FetchItem::Uid);
        let mut all: Vec<FetchItem> = Vec::new();
        for item in first.chain(&items).chain(last) {
            if !all.contains(item) {
                all.push(item.clone());
            }
        }
        fetch.items = all.into();
        fetch
    }

    /// Goes on until the output is full (`false`) or all is told (`true`).
    fn step(&mut self, selected: &mut Selected, out: &mut Output) -> bool {
        if !self.earlier.tell(out) {
            return false;
        }
        loop {
            match &mut self.at {
                Position::BetweenRows => {
                    if out.full() {
                        return false;
                    }
                    if self.failure.ends() || !self.whole_row(selected, out) {
                        return true;
                    }
                }
                Position::Literal(item, content) => {
                    let next = *item + 1;
                    match content.read(out.buffer(), PIECE) {
                        Ok(0) => self.at = Position::Item(next),
                        Ok(_) if content.remaining() == 0 => self.at = Position::Item(next),
                        Ok(_) => {}
                        Err(_) => self.at = Position::Torn,
                    }
                    if out.full() {
                        return false;
                    }
                }
                Position::Item(item) => {
                    let item = *item;
                    self.rest_of_row(item, None, &selected.view, out);
                }
                Position::Torn => return true,
            }
        }
    }

    /// Begins the next row; `false` if there is none.
    fn whole_row(&mut self, selected: &mut Selected, out: &mut Output) -> bool {
        match self.rows.advance() {
            Ok(true) => {}
            Ok(false) => return false,
            Err(error) => {
                self.failure.note(error);
                return false;
            }
        }
        // Another session may have made a keyword since the command began.
        let known = |number: &u16| {
            let keyword = selected.view.keywords().get(usize::from(*number));
            keyword.is_some_and(Option::is_some)
        };
        if !self.rows.keywords().iter().all(known) && selected.view.learn_keywords() {
            selected.flags(out);
        }
        let start = out.bytes().len();
        out.put(b"* ");
        let (named, word): (_, &[u8]) = match self.enabled.uid_only {
            true => (self.rows.uid().number(), b" UIDFETCH ("),
            false => (self.rows.seq().number(), b" FETCH ("),
        };
        number(u64::from(named), out.buffer());
        out.put(word);
        self.rest_of_row(0, Some(start), &selected.view, out);
        true
    }

    /// Writes items from `first` on. `start` is where the row began, as long as all of it is in the
    /// output: a row that cannot be told is taken back whole.
    fn rest_of_row(&mut self, first: usize, start: Option<usize>, view: &View, out: &mut Output) {
        let items = std::mem::take(&mut self.items);
        let mut at = first;
        self.at = Position::BetweenRows;
        while let Some(item) = items.get(at) {
            let before = out.bytes().len();
            if at > 0 {
                out.put(b" ");
            }
            match self.item(item, view, out) {
                Ok(None) => at += 1,
                Ok(Some(content)) => {
                    self.at = Position::Literal(at, content);
                    break;
                }
                Err(error) => {
                    self.failure.note(error);
                    if let Some(start) = start {
                        out.buffer().truncate(start);
                        self.items = items;
                        return;
                    }
                    // NIL would say that there is nothing, and a client would keep that.
                    out.buffer().truncate(before);
                    at += 1;
                }
            }
        }
        if matches!(self.at, Position::BetweenRows) {
            self.end_row(&items, view, out);
        }
        self.items = items;
    }

    fn end_row(&mut self, items: &[FetchItem], view: &View, out: &mut Output) {
        if self.newly_seen.contains(self.rows.uid()) {
            let more = |item: &FetchItem| !items.contains(item);
            let uid = self.enabled.tells_uid() && !self.enabled.uid_only;
            if uid && more(&FetchItem::Uid) {
                out.put(b" UID ");
                number(u64::from(self.rows.uid().number()), out.buffer());
            }
            if more(&FetchItem::Flags) {
                out.put(b" ");
                self.flags(view, out);
            }
            if self.enabled.condstore && more(&FetchItem::ModSeq) {
                out.put(b" ");
                self.mod_seq(out);
            }
        }
        out.put(b")\r\n");
    }

    fn is_torn(&self) -> bool {
        matches!(self.at, Position::Torn)
    }
}

impl Session {
    /// Goes on to tell messages that got `\Seen`, or were to.
    pub(super) fn seen(&mut self, marked: Marked, mut fetch: Box<Fetch>) -> Ran {
        if let Some(selected) = self.selected.as_mut() {
            selected.contexts.touch(&marked.told);
        }
        fetch.newly_seen = marked.told;
        self.doing = Doing::Fetch(fetch);
        Ran::GoesOn
    }

    pub(super) fn fetch(
        &mut self,
        mut fetch: Box<Fetch>,
        turn: Turn,
        out: &mut Output,
    ) -> Option<Progress<()>> {
        match self.rows_told(&mut fetch, turn, out) {
            None if fetch.is_torn() => self.tear(),
            None => {
                if let Some(selected) = self.selected.as_mut() {
                    selected.view.remember(&mut fetch.rows);
                }
                match fetch.failure.outcome(fetch.rows.incomplete()) {
                    Outcome::Answer(text) => self.finish(fetch.tag, text.into(), fetch.expunges),
                    Outcome::Goodbye(text) => self.doing = Doing::Goodbye(text),
                }
                None
            }
            Some(progress) => {
                self.doing = Doing::Fetch(fetch);
                Some(progress)
            }
        }
    }

    /// As `fetch`, for flags that are told on the way to the end of another command.
    pub(super) fn telling(
        &mut self,
        mut fetch: Box<Fetch>,
        ending: Ending,
        turn: Turn,
        out: &mut Output,
    ) -> Option<Progress<()>> {
        match self.rows_told(&mut fetch, turn, out) {
            None if fetch.is_torn() => self.tear(),
            None => {
                self.doing = Doing::Finish(ending);
                None
            }
            Some(progress) => {
                self.doing = Doing::Telling(fetch, ending);
                Some(progress)
            }
        }
    }

    /// `None` once all rows are told.
    fn rows_told(
        &mut self,
        fetch: &mut Fetch,
        turn: Turn,
        out: &mut Output,
    ) -> Option<Progress<()>> {
        if turn == Turn::Quick {
            return Some(Progress::Disk);
        }
        if fetch.step(self.selected.as_mut()?, out) {
            None
        } else {
            Some(Progress::Flush)
        }
    }
}
