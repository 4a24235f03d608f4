//! What `auth` granted to LMTP connections and nobody has used yet.

use super::control::Owner;
use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};

/// How long recipients wait for their message.
const PATIENCE: Duration = Duration::from_secs(600);
/// Grants that wait at once.
const MAX_GRANTS: usize = 20_000;
/// Grants of a connection that are good for a further message.
const MAX_USED: usize = 4;

/// A recipient that a connection may deliver to.
#[derive(Clone, Debug)]
pub(super) struct Grant {
    pub(super) owner: Owner,
    pub(super) address: Vec<u8>,
    pub(super) detail: Option<String>,
}

#[derive(Debug)]
struct Kept {
    grant: Grant,
    until: Instant,
    /// A message came for it.
    used: bool,
}

/// Grants of all connections.
#[derive(Debug)]
pub(super) struct Grants {
    by_connection: HashMap<u64, BTreeMap<u32, Kept>>,
    /// A transaction has no more recipients.
    max_recipients: usize,
    count: usize,
}

impl Grants {
    pub(super) fn new(max_recipients: u32) -> Grants {
        Grants {
            by_connection: HashMap::new(),
            max_recipients: usize::try_from(max_recipients.max(1)).unwrap_or(usize::MAX),
            count: 0,
        }
    }

    /// Keeps a grant; false if too many wait. Of a connection with more than a transaction can have, the
    /// oldest that nobody used is of a transaction that was given up.
    pub(super) fn add(&mut self, connection: u64, ticket: u32, grant: Grant, now: Instant) -> bool {
        let own = self.by_connection.entry(connection).or_default();
        let unused = own.iter().filter(|(_, kept)| !kept.used);
        if unused.clone().count() >= self.max_recipients
            && let Some(oldest) = unused.map(|(ticket, _)| *ticket).next()
            && own.remove(&oldest).is_some()
        {
            self.count -= 1;
        }
        let added = self.count < MAX_GRANTS;
        let kept = Kept {
            grant,
            until: now + PATIENCE,
            used: false,
        };
        if added && own.insert(ticket, kept).is_none() {
            self.count += 1;
        }
        if own.is_empty() {
            self.by_connection.remove(&connection);
        }
        added
    }

    /// Takes a grant. The last ones that were taken can be taken again, until they are revoked.
    pub(super) fn take(&mut self, connection: u64, ticket: u32) -> Option<Grant> {
        let own = self.by_connection.get_mut(&connection)?;
        let kept = own.get_mut(&ticket)?;
        kept.used = true;
        let grant = kept.grant.clone();
        let used = own.iter().filter(|(_, kept)| kept.used);
        if used.clone().count() > MAX_USED
            && let Some(oldest) = used.map(|(ticket, _)| *ticket).next()
            && own.remove(&oldest).is_some()
        {
            self.count -= 1;
        }
        Some(grant)
    }

    /// The users may be others now: what was taken cannot be taken again.
    pub(super) fn revoke(&mut self) {
        self.retain(|kept| !kept.used);
    }

    /// Forgets what a connection has up to that ticket.
    pub(super) fn close(&mut self, connection: u64, last: u32) {
        let Some(own) = self.by_connection.get_mut(&connection) else {
            return;
        };
        let before = own.len();
        own.retain(|ticket, _| *ticket > last);
        self.count -= before - own.len();
        if own.is_empty() {
            self.by_connection.remove(&connection);
        }
    }

    /// Forgets what nobody came for.
    pub(super) fn expire(&mut self, now: Instant) {
        self.retain(|kept| kept.until > now);
    }

    fn retain(&mut self, stays: impl Fn(&Kept) -> bool) {
        let mut count = 0;
        self.by_connection.retain(|_, own| {
            own.retain(|_, kept| stays(kept));
            count += own.len();
            !own.is_empty()
        });
        self.count = count;
    }

    pub(super) fn is_empty(&self) -> bool {
        self.count == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grant() -> Grant {
        Grant {
            owner: Owner {
                name: "ann".into(),
                uid: None,
                gid: None,
                home: None,
                mail: None,
            },
            address: b"ann".to_vec(),
            detail: None,
        }
    }

    #[test]
    fn given_up_transactions_leave_room() {
        // A client that named recipients and reset kept everybody from delivering for ten minutes.
        let mut grants = Grants::new(3);
        let now = Instant::now();
        for ticket in 1..=30_000 {
            assert!(grants.add(7, ticket, grant(), now));
        }
        assert_eq!(grants.count, 3);
        assert!(grants.take(7, 29_997).is_none());
        assert!(grants.take(7, 29_998).is_some());
        grants.close(7, 29_999);
        assert_eq!(grants.count, 1);
        grants.close(7, u32::MAX);
        assert!(grants.is_empty() && grants.by_connection.is_empty());
        let many = u32::try_from(MAX_GRANTS).unwrap();
        for connection in 0..many {
            assert!(grants.add(u64::from(connection), 1, grant(), now));
        }
        assert!(!grants.add(u64::MAX, 1, grant(), now));
        assert!(!grants.by_connection.contains_key(&u64::MAX));
        grants.close(0, 1);
        assert!(grants.add(u64::MAX, 1, grant(), now));
        grants.expire(now + PATIENCE);
        assert!(grants.is_empty());
    }

    #[test]
    fn a_few_that_were_used_are_good_again_until_users_change() {
        let mut grants = Grants::new(30);
        let now = Instant::now();
        for ticket in 1..=20 {
            assert!(grants.add(7, ticket, grant(), now));
            assert!(grants.take(7, ticket).is_some());
        }
        let again: Vec<u32> = (1..=20).filter(|t| grants.take(7, *t).is_some()).collect();
        assert_eq!(again, [17, 18, 19, 20]);
        // A transaction with as many others as may be leaves them.
        for ticket in 21..=50 {
            assert!(grants.add(7, ticket, grant(), now));
        }
        assert!(grants.take(7, 17).is_some() && grants.take(8, 17).is_none());
        grants.revoke();
        assert!((1..=20).all(|ticket| grants.take(7, ticket).is_none()));
        assert!((21..=50).all(|ticket| grants.take(7, ticket).is_some()));
        assert_eq!(grants.count, MAX_USED);
    }
}
