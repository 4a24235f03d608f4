//! Own and foreign changes of a mailbox's directories, told apart by counting.

/// Polls that may find more events than are accounted for while own operations are under way.
const MAX_DOUBTS: u32 = 16;

/// What the watch of a mailbox's directories tells.
#[derive(Default)]
pub(super) struct Events {
    /// Events that came less events that own operations caused.
    balance: i64,
    /// Own operations under way.
    under_way: u32,
    /// Somebody else changed something.
    dirty: bool,
    /// Counting began anew in the middle of an own operation: some of its events are not counted.
    blurred: bool,
    /// The index was in line with the directories at a time since they are watched.
    verified: bool,
    /// The watch sees every change; other hosts' changes of a network file system it does not see.
    trusted: bool,
    doubts: u32,
    /// Empty: not watched.
    watches: Vec<i32>,
    /// Nobody else changes anything; only a stamp tells whether somebody did while this server did not run.
    alone: bool,
}

impl Events {
    /// Of a mailbox that nobody else changes.
    pub(super) fn alone() -> Events {
        Events {
            alone: true,
            ..Events::default()
        }
    }

    /// These watches count from now on. The same as before: nothing changes. Else returns the old
    /// ones; what happened before the new ones began is found by the stamp.
    pub(super) fn attend(&mut self, watches: Vec<i32>, trusted: bool) -> Vec<i32> {
        if watches == self.watches {
            return Vec::new();
        }
        self.restart();
        self.verified = false;
        self.trusted = trusted;
        std::mem::replace(&mut self.watches, watches)
    }

    /// The directories are gone, and the watches with them. True if that is news.
    pub(super) fn lose(&mut self) -> bool {
        self.watches.clear();
        self.verified = false;
        !std::mem::replace(&mut self.dirty, true)
    }

    pub(super) fn watches(&self) -> &[i32] {
        &self.watches
    }

    /// An own operation on the directories begins.
    pub(super) fn begin(&mut self) {
        self.under_way += 1;
    }

    /// It ended and caused so many events.
    pub(super) fn end(&mut self, count: i64) {
        self.under_way = self.under_way.saturating_sub(1);
        if !self.blurred {
            self.balance -= count;
        } else if self.under_way == 0 {
            self.blurred = false;
            self.verified = false;
            self.balance = 0;
        }
    }

    /// Events came in. True if they are somebody else's and that is news.
    pub(super) fn count(&mut self, count: i64, overflow: bool) -> bool {
        self.balance += count;
        let foreign = self.under_way == 0 && self.balance > 0;
        (foreign || overflow) && !std::mem::replace(&mut self.dirty, true)
    }

    /// A scan begins that sees all that happened before; all events that wait were counted.
    pub(super) fn restart(&mut self) {
        self.dirty = false;
        self.balance = 0;
        self.doubts = 0;
        self.blurred = self.under_way > 0;
    }

    /// The index is in line with the directories as they were after [`Events::restart`] or `attend`.
    pub(super) fn verify(&mut self) {
        self.verified = self.alone || !self.watches.is_empty();
    }

    /// The index may be out of line for a reason that no event tells.
    pub(super) fn doubt(&mut self) {
        self.verified = false;
    }

    /// True if no change escapes the watch.
    pub(super) fn sees_all(&self) -> bool {
        self.alone || !self.watches.is_empty() && self.trusted
    }

    /// True if somebody else changed something since [`Events::restart`], as far as events were counted.
    pub(super) fn is_dirty(&self) -> bool {
        self.dirty
    }

    fn watched(&self) -> bool {
        self.verified && self.sees_all()
    }

    /// True if sooner or later events tell of every change, and one may have been missed.
    pub(super) fn look_disturbed(&self) -> bool {
        self.sees_all() && !self.look_clean()
    }

    /// True if nobody else changed anything as far as events were counted. Too few hide others'.
    pub(super) fn look_clean(&self) -> bool {
        self.watched() && (self.alone || !self.dirty && (self.balance >= 0 || self.under_way > 0))
    }

    /// After all events that wait were counted: are they all our own? `None`: nobody can tell.
    pub(super) fn undisturbed(&mut self) -> Option<bool> {
        if !self.watched() {
            return None;
        }
        if self.alone {
            return Some(true);
        }
        if self.balance == 0 || (self.under_way > 0 && self.balance < 0) {
            self.doubts = 0;
            return Some(!self.dirty);
        }
        // Too many may be those of an operation under way, which will tell their number.
        self.doubts += 1;
        Some(self.under_way > 0 && self.doubts <= MAX_DOUBTS && !self.dirty)
    }

    /// As `undisturbed`, with no operation under way.
    pub(super) fn at_rest(&self) -> bool {
        self.look_clean() && self.under_way == 0 && (self.alone || self.balance == 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn watched() -> Events {
        let mut events = Events::default();
        assert!(events.attend(vec![1, 2], true).is_empty());
        assert_eq!(events.undisturbed(), None, "what was before is not known");
        events.verify();
        assert!(events.at_rest());
        events
    }

    #[test]
    fn where_nobody_else_writes_a_look_is_enough() {
        let mut events = Events::alone();
        assert_eq!((events.undisturbed(), events.look_clean()), (None, false));
        assert!(events.look_disturbed(), "nobody looked yet");
        events.verify();
        events.begin();
        events.end(2);
        assert!(events.at_rest() && events.look_clean() && !events.look_disturbed());
        assert_eq!(events.undisturbed(), Some(true));
        events.doubt();
        assert_eq!(events.undisturbed(), None);
    }

    #[test]
    fn own_events_are_no_change() {
        let mut events = watched();
        events.begin();
        assert!(!events.count(2, false));
        assert_eq!(events.undisturbed(), Some(true), "they may be our own");
        assert!(!events.at_rest());
        events.end(2);
        assert!(events.at_rest());
        // Announced before they are read.
        events.begin();
        events.end(1);
        assert!(!events.at_rest());
        assert!(!events.count(1, false));
        assert!(events.at_rest());
    }

    #[test]
    fn foreign_events_are_noticed() {
        let mut events = watched();
        assert!(events.count(1, false) && !events.count(1, false));
        assert_eq!(
            (events.undisturbed(), events.look_clean()),
            (Some(false), false)
        );
        events.restart();
        events.verify();
        assert!(events.at_rest());
        // Among own ones: as soon as those are accounted for.
        events.begin();
        events.count(3, false);
        events.end(2);
        assert_eq!(events.undisturbed(), Some(false));
        events.restart();
        assert!(events.count(0, true), "lost events may be anybody's");
        assert_eq!(events.undisturbed(), Some(false));
    }

    #[test]
    fn foreign_events_are_noticed_though_own_operations_never_cease() {
        let mut events = watched();
        events.begin();
        events.count(1, false);
        let told = (0..=MAX_DOUBTS).find(|_| events.undisturbed() == Some(false));
        assert_eq!(told, Some(MAX_DOUBTS));
    }

    #[test]
    fn events_that_did_not_come_hide_no_others() {
        let mut events = watched();
        events.begin();
        events.end(2);
        assert_eq!(
            (events.look_clean(), events.undisturbed()),
            (false, Some(false))
        );
        events.count(2, false);
        assert_eq!(
            (events.look_clean(), events.undisturbed()),
            (true, Some(true))
        );
    }

    #[test]
    fn an_operation_cut_in_two_hides_nothing() {
        let mut events = watched();
        events.begin();
        events.count(1, false);
        events.restart();
        events.verify();
        events.end(1);
        assert_eq!(
            events.undisturbed(),
            None,
            "its event was counted before: one more could be foreign"
        );
        events.verify();
        events.count(1, false);
        assert_eq!(events.undisturbed(), Some(false));
    }

    #[test]
    fn other_directories_are_verified_anew() {
        let mut events = watched();
        assert!(events.attend(vec![1, 2], true).is_empty() && events.at_rest());
        assert_eq!(events.attend(vec![3, 4], true), [1, 2]);
        assert_eq!(events.undisturbed(), None);
        events.verify();
        assert!(events.lose() && !events.lose());
        assert_eq!((events.undisturbed(), events.look_clean()), (None, false));
        assert!(
            !events.look_disturbed(),
            "nothing would ever say that it is over"
        );
        // Where other hosts write, a watch is only for waking.
        events.attend(vec![5], false);
        events.verify();
        assert!(!events.look_disturbed());
        assert_eq!((events.undisturbed(), events.look_clean()), (None, false));
        assert!(events.count(1, false));
    }
}
