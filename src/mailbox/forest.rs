//! Trees of messages in the order of their dates.

/// No parent.
const NONE: u32 = u32::MAX;

/// Messages, by their place in the mailbox, and dummies behind them, each under another or a root.
pub(super) struct Forest {
    dates: Vec<i64>,
    /// Of messages, then of dummies.
    parents: Vec<u32>,
    /// Children of each dummy, which is always a root.
    dummies: Vec<Vec<u32>>,
}

/// The same, sorted.
pub(super) struct Trees {
    pub(super) roots: Vec<u32>,
    /// Children of all nodes, those of one node next to each other.
    children: Vec<u32>,
    /// Where those of each node begin, and the end of all.
    starts: Vec<u32>,
}

impl Forest {
    /// All are roots.
    pub(super) fn new(dates: Vec<i64>) -> Forest {
        Forest {
            parents: vec![NONE; dates.len()],
            dates,
            dummies: Vec::new(),
        }
    }

    /// A root that stands for no message.
    pub(super) fn dummy(&mut self) -> u32 {
        self.parents.push(NONE);
        self.dummies.push(Vec::new());
        (self.parents.len() - 1) as u32
    }

    pub(super) fn is_dummy(&self, node: u32) -> bool {
        node as usize >= self.dates.len()
    }

    fn of_dummy(&mut self, node: u32) -> Option<&mut Vec<u32>> {
        let at = (node as usize).checked_sub(self.dates.len())?;
        self.dummies.get_mut(at)
    }

    /// Puts a root under another node; a dummy's children are put there instead of itself.
    pub(super) fn put_under(&mut self, node: u32, under: u32) {
        if let Some(children) = self.of_dummy(node) {
            for child in std::mem::take(children) {
                self.put_under(child, under);
            }
            return;
        }
        if let Some(parent) = self.parents.get_mut(node as usize) {
            *parent = under;
        }
        if let Some(children) = self.of_dummy(under) {
            children.push(node);
        }
    }

    /// What messages are sorted by; a dummy by its first child.
    fn key(&self, node: u32) -> (i64, u32) {
        match self.first(node) {
            Some(at) => (self.dates.get(at as usize).copied().unwrap_or(0), at),
            None => (i64::MAX, node),
        }
    }

    /// The message itself, or a dummy's oldest child.
    pub(super) fn first(&self, node: u32) -> Option<u32> {
        let Some(at) = (node as usize).checked_sub(self.dates.len()) else {
            return Some(node);
        };
        let children = self.dummies.get(at)?;
        let date = |at: &u32| (self.dates.get(*at as usize).copied(), *at);
        children.iter().copied().min_by_key(date)
    }

    /// All messages, oldest first.
    pub(super) fn by_date(&self) -> Vec<u32> {
        let mut all: Vec<u32> = (0..self.dates.len() as u32).collect();
        all.sort_unstable_by_key(|at| self.key(*at));
        all
    }

    /// Messages without a parent and dummies with children, oldest first.
    pub(super) fn roots_by_date(&self) -> Vec<u32> {
        let nodes = (0u32..).zip(&self.parents);
        let free = nodes.filter(|(_, parent)| **parent == NONE);
        let mut roots: Vec<(i64, u32, u32)> = free
            .filter_map(|(node, _)| {
                self.first(node)?;
                let (date, at) = self.key(node);
                Some((date, at, node))
            })
            .collect();
        roots.sort_unstable();
        roots.into_iter().map(|root| root.2).collect()
    }

    /// Sorts siblings by date; roots too, or by the newest message in their trees.
    pub(super) fn finish(self, by_newest: bool) -> Trees {
        let mut roots = self.roots_by_date();
        if by_newest {
            let newest = self.newest();
            let date = |root: &u32| newest.get(*root as usize).copied();
            roots.sort_by_key(date);
        }
        let mut below: Vec<u32> = (0..self.dates.len() as u32)
            .filter(|at| self.parent(*at) != NONE)
            .collect();
        below.sort_unstable_by_key(|at| (self.parent(*at), self.key(*at)));
        let mut starts = Vec::with_capacity(self.parents.len() + 1);
        let mut at = 0;
        for node in 0..self.parents.len() as u32 {
            starts.push(at as u32);
            while below
                .get(at)
                .is_some_and(|child| self.parent(*child) == node)
            {
                at += 1;
            }
        }
        starts.push(at as u32);
        Trees {
            roots,
            children: below,
            starts,
        }
    }

    fn parent(&self, node: u32) -> u32 {
        self.parents.get(node as usize).copied().unwrap_or(NONE)
    }

    /// For each root the date of the newest message in its tree.
    fn newest(&self) -> Vec<i64> {
        let mut newest = vec![i64::MIN; self.parents.len()];
        // The root of each node, once known.
        let mut root_of = vec![NONE; self.parents.len()];
        let mut path = Vec::new();
        for (node, date) in (0u32..).zip(&self.dates) {
            let mut up = node;
            path.clear();
            let root = loop {
                let known = root_of.get(up as usize).copied().unwrap_or(NONE);
                if known != NONE {
                    break known;
                }
                path.push(up);
                if self.parent(up) == NONE {
                    break up;
                }
                up = self.parent(up);
            };
            for passed in &path {
                if let Some(known) = root_of.get_mut(*passed as usize) {
                    *known = root;
                }
            }
            if let Some(own) = newest.get_mut(root as usize) {
                *own = (*own).max(*date);
            }
        }
        newest
    }
}

impl Trees {
    pub(super) fn children(&self, node: u32) -> &[u32] {
        let range = self
            .starts
            .get(node as usize)
            .zip(self.starts.get(node as usize + 1));
        range
            .and_then(|(start, end)| self.children.get(*start as usize..*end as usize))
            .unwrap_or_default()
    }
}
