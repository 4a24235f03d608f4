//! The algorithms of THREAD (RFC 5256 section 3) over hashes: no text is kept, nothing recurses.

use super::Error;
use super::forest::Forest;
use crate::mail::{Threading, Uid, UidSet};
use std::collections::HashMap;
use std::collections::hash_map::{Entry, RandomState};
use std::hash::BuildHasher;

/// No node, no message.
const NONE: u32 = u32::MAX;
/// Octets that a message takes, all tables together, and one more node for an ID of no message.
const MEMBER_OCTETS: usize = 160;
const NODE_OCTETS: usize = 48;

/// What is known of one message.
#[derive(Clone, Debug)]
pub(super) struct Member {
    uid: u32,
    date: i64,
    /// Hash of the base subject; `None` if that is empty.
    subject: Option<u64>,
    is_reply: bool,
    /// Hash of the Message-ID.
    id: Option<u64>,
    /// Where its references are.
    references: (u32, u32),
}

impl Member {
    /// `date`: the sent date in seconds.
    pub(super) fn new(uid: Uid, date: i64) -> Member {
        Member {
            uid: uid.number(),
            date,
            subject: None,
            is_reply: false,
            id: None,
            references: (0, 0),
        }
    }

    pub(super) fn set_subject(&mut self, hash: u64, empty: bool, is_reply: bool) {
        self.subject = (!empty).then_some(hash);
        self.is_reply = is_reply;
    }

    pub(super) fn set_id(&mut self, hash: u64) {
        self.id = Some(hash);
    }
}

/// The messages that are to be threaded.
pub(super) struct Members {
    all: Vec<Member>,
    references: Vec<u64>,
    /// Keyed anew each time, so that nobody can make two texts that are taken for one.
    hasher: RandomState,
    at_most: usize,
}

/// A message or an ID without one, while links are made.
struct Nodes {
    parent: Vec<u32>,
    children: Vec<u32>,
    member: Vec<u32>,
    by_id: HashMap<u64, u32>,
    at_most: usize,
}

impl Members {
    /// Bounded to that many octets.
    pub(super) fn new(at_most: usize) -> Members {
        Members {
            all: Vec::new(),
            references: Vec::new(),
            hasher: RandomState::new(),
            at_most,
        }
    }

    pub(super) fn hash(&self, text: &[u8]) -> u64 {
        self.hasher.hash_one(text)
    }

    /// Adds a message with the hashes of what it refers to, oldest first.
    pub(super) fn add(&mut self, mut member: Member, references: &[u64]) -> Result<(), Error> {
        let start = self.references.len();
        self.references.extend_from_slice(references);
        let used = self.all.len() * MEMBER_OCTETS + self.references.len() * size_of::<u64>();
        if used > self.at_most {
            return Err(Error::Limit("too many messages for one THREAD"));
        }
        let place = |at: usize| u32::try_from(at).map_err(|_| Error::Fault);
        member.references = (place(start)?, place(self.references.len())?);
        self.all.push(member);
        Ok(())
    }

    pub(super) fn threads(&mut self, by: Threading) -> Result<Threads, Error> {
        // Those that had to be opened came last.
        self.all.sort_unstable_by_key(|member| member.uid);
        let mut forest = Forest::new(self.all.iter().map(|m| m.date).collect());
        match by {
            Threading::OrderedSubject => self.by_subject(&mut forest),
            Threading::References => {
                self.link(&mut forest)?;
                self.merge_subjects(&mut forest);
            }
            Threading::Refs => self.link(&mut forest)?,
        }
        let trees = forest.finish(by == Threading::Refs);
        let uids = self.all.iter().map(|member| member.uid).collect();
        Ok(Threads::new(uids, trees))
    }

    /// ORDEREDSUBJECT: all messages of one base subject are children of the oldest.
    fn by_subject(&self, forest: &mut Forest) {
        let mut first: HashMap<Option<u64>, u32> = HashMap::new();
        for at in forest.by_date() {
            let subject = self.all.get(at as usize).and_then(|member| member.subject);
            match first.entry(subject) {
                Entry::Vacant(entry) => {
                    entry.insert(at);
                }
                Entry::Occupied(entry) => forest.put_under(at, *entry.get()),
            }
        }
    }

    /// REFERENCES, steps 1 to 3.
    fn link(&self, forest: &mut Forest) -> Result<(), Error> {
        let mut nodes = Nodes {
            parent: Vec::with_capacity(self.all.len()),
            children: Vec::with_capacity(self.all.len()),
            member: Vec::with_capacity(self.all.len()),
            by_id: HashMap::new(),
            at_most: self.at_most / NODE_OCTETS,
        };
        for (at, member) in self.all.iter().enumerate() {
            let own = nodes.of_message(member.id, at as u32)?;
            let (start, end) = member.references;
            let references = self.references.get(start as usize..end as usize);
            let mut before = NONE;
            for id in references.unwrap_or_default() {
                let node = nodes.of_id(*id)?;
                if before != NONE && nodes.parent_of(node) == NONE {
                    nodes.link(node, before);
                }
                before = node;
            }
            nodes.unlink(own);
            if before != NONE {
                nodes.link(own, before);
            }
        }
        nodes.prune(forest);
        Ok(())
    }

    /// REFERENCES, step 5: threads of one subject become one.
    fn merge_subjects(&self, forest: &mut Forest) {
        let member = |at: Option<u32>| at.and_then(|at| self.all.get(at as usize));
        let roots = forest.roots_by_date();
        let mut table: HashMap<u64, u32> = HashMap::new();
        let is_reply = |root: u32, forest: &Forest| {
            !forest.is_dummy(root) && member(Some(root)).is_some_and(|own| own.is_reply)
        };
        for &root in &roots {
            let Some(subject) = member(forest.first(root)).and_then(|m| m.subject) else {
                continue;
            };
            match table.entry(subject) {
                Entry::Vacant(entry) => {
                    entry.insert(root);
                }
                Entry::Occupied(mut entry) => {
                    let old = *entry.get();
                    let better =
                        forest.is_dummy(root) || (is_reply(old, forest) && !is_reply(root, forest));
                    if !forest.is_dummy(old) && better {
                        entry.insert(root);
                    }
                }
            }
        }
        for &root in &roots {
            let Some(subject) = member(forest.first(root)).and_then(|m| m.subject) else {
                continue;
            };
            let Some(own) = table.get_mut(&subject).filter(|own| **own != root) else {
                continue;
            };
            let below = is_reply(root, forest) && !is_reply(*own, forest);
            if forest.is_dummy(*own) || below {
                forest.put_under(root, *own);
            } else {
                let dummy = forest.dummy();
                forest.put_under(*own, dummy);
                forest.put_under(root, dummy);
                *own = dummy;
            }
        }
    }
}

impl Nodes {
    fn add(&mut self, member: u32) -> Result<u32, Error> {
        if self.parent.len() >= self.at_most {
            return Err(Error::Limit("too many references for one THREAD"));
        }
        self.parent.push(NONE);
        self.children.push(0);
        self.member.push(member);
        u32::try_from(self.parent.len() - 1).map_err(|_| Error::Fault)
    }

    fn of_id(&mut self, id: u64) -> Result<u32, Error> {
        if let Some(node) = self.by_id.get(&id) {
            return Ok(*node);
        }
        let node = self.add(NONE)?;
        self.by_id.insert(id, node);
        Ok(node)
    }

    /// The node of a message: that of its ID, unless an earlier message has the same.
    fn of_message(&mut self, id: Option<u64>, at: u32) -> Result<u32, Error> {
        let Some(id) = id else {
            return self.add(at);
        };
        let node = self.of_id(id)?;
        match self.member.get_mut(node as usize) {
            Some(member) if *member == NONE => {
                *member = at;
                Ok(node)
            }
            _ => self.add(at),
        }
    }

    fn parent_of(&self, node: u32) -> u32 {
        self.parent.get(node as usize).copied().unwrap_or(NONE)
    }

    fn member_of(&self, node: u32) -> u32 {
        self.member.get(node as usize).copied().unwrap_or(NONE)
    }

    /// Puts a node without a parent under another, unless that made a loop.
    fn link(&mut self, node: u32, under: u32) {
        if node == under || self.is_above(node, under) {
            return;
        }
        if let Some(parent) = self.parent.get_mut(node as usize) {
            *parent = under;
        }
        if let Some(children) = self.children.get_mut(under as usize) {
            *children += 1;
        }
    }

    fn unlink(&mut self, node: u32) {
        let under = self.parent_of(node);
        if let Some(children) = self.children.get_mut(under as usize) {
            *children -= 1;
        }
        if let Some(parent) = self.parent.get_mut(node as usize) {
            *parent = NONE;
        }
    }

    fn is_above(&self, node: u32, mut other: u32) -> bool {
        // A leaf is above nobody; that answers nearly always.
        if self.children.get(node as usize) == Some(&0) {
            return false;
        }
        while other != NONE && other != node {
            other = self.parent_of(other);
        }
        other == node
    }

    /// Step 3: messages whose parents are dummies go to the nearest message above, or under the
    /// topmost dummy if that then has several children.
    fn prune(&self, forest: &mut Forest) {
        // For a dummy: what its children go to, once known.
        let mut above = vec![NONE; self.parent.len()];
        let mut group: HashMap<u32, Vec<u32>> = HashMap::new();
        let mut path = Vec::new();
        for node in 0..self.parent.len() as u32 {
            let at = self.member_of(node);
            if at == NONE {
                continue;
            }
            let mut up = self.parent_of(node);
            path.clear();
            while up != NONE && self.member_of(up) == NONE {
                let known = above.get(up as usize).copied().unwrap_or(NONE);
                if known != NONE {
                    up = known;
                    break;
                }
                path.push(up);
                if self.parent_of(up) == NONE {
                    break;
                }
                up = self.parent_of(up);
            }
            for dummy in &path {
                if let Some(known) = above.get_mut(*dummy as usize) {
                    *known = up;
                }
            }
            match (up, self.member_of(up)) {
                (NONE, _) => {}
                (dummy, NONE) => group.entry(dummy).or_default().push(at),
                (_, parent) => forest.put_under(at, parent),
            }
        }
        for children in group.into_values().filter(|children| children.len() > 1) {
            let dummy = forest.dummy();
            children.iter().for_each(|at| forest.put_under(*at, dummy));
        }
    }
}

/// Threads, told piece by piece.
pub(crate) struct Threads {
    uids: Vec<u32>,
    trees: super::forest::Trees,
    next_root: usize,
    todo: Vec<Piece>,
    /// A number was told last.
    behind_number: bool,
}

#[derive(Clone, Copy)]
enum Piece {
    /// `(`, the node, what is below it, `)`.
    Thread(u32),
    Node(u32),
    Close,
}

impl Threads {
    fn new(uids: Vec<u32>, trees: super::forest::Trees) -> Threads {
        Threads {
            uids,
            trees,
            next_root: 0,
            todo: Vec::new(),
            behind_number: false,
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.uids.is_empty()
    }

    /// All messages of the threads that hold one of these.
    pub(super) fn with(&self, some: &UidSet) -> UidSet {
        let (mut all, mut todo, mut own) = (UidSet::new(), Vec::new(), Vec::new());
        for root in &self.trees.roots {
            todo.push(*root);
            while let Some(node) = todo.pop() {
                let uid = self.uids.get(node as usize).copied();
                own.extend(uid.and_then(Uid::new));
                todo.extend_from_slice(self.trees.children(node));
            }
            if own.iter().any(|uid| some.contains(*uid)) {
                own.iter().for_each(|uid| all.insert(*uid));
            }
            own.clear();
        }
        all
    }

    /// Appends the next piece of a `1*thread-list` (RFC 5256 section 5); `false` at the end.
    pub(crate) fn tell(&mut self, number: &dyn Fn(Uid) -> Option<u32>, out: &mut Vec<u8>) -> bool {
        let piece = match self.todo.pop() {
            Some(piece) => piece,
            None => {
                let Some(root) = self.trees.roots.get(self.next_root) else {
                    return false;
                };
                self.next_root += 1;
                Piece::Thread(*root)
            }
        };
        match piece {
            Piece::Thread(node) => {
                if std::mem::take(&mut self.behind_number) {
                    out.push(b' ');
                }
                out.push(b'(');
                self.todo.extend([Piece::Close, Piece::Node(node)]);
            }
            Piece::Close => {
                out.push(b')');
                self.behind_number = false;
            }
            Piece::Node(node) => self.node(node, number, out),
        }
        true
    }

    fn node(&mut self, node: u32, number: &dyn Fn(Uid) -> Option<u32>, out: &mut Vec<u8>) {
        let uid = self.uids.get(node as usize).copied().and_then(Uid::new);
        if let Some(own) = uid.and_then(number) {
            if self.behind_number {
                out.push(b' ');
            }
            out.extend_from_slice(own.to_string().as_bytes());
            self.behind_number = true;
        }
        match self.trees.children(node) {
            [only] => self.todo.push(Piece::Node(*only)),
            all => self
                .todo
                .extend(all.iter().rev().map(|child| Piece::Thread(*child))),
        }
    }
}
