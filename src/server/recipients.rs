//! Recipients that an LMTP connection asked for a moment ago: mailing lists and busy mail servers name the
//! same one for message after message.

use heapless::Deque;
use std::time::{Duration, Instant};

/// How long `auth` is not asked again.
const FRESH: Duration = Duration::from_secs(5);
/// Recipients of a connection that are known; the parent keeps as many grants that were used.
const MAX_KNOWN: usize = 4;

struct Known {
    address: Box<[u8]>,
    ticket: u32,
    until: Instant,
    /// The users at that time.
    users: u32,
}

/// The last recipients of one connection.
#[derive(Default)]
pub(super) struct Recipients(Deque<Known, MAX_KNOWN>);

impl Recipients {
    /// The ticket of this recipient, if `auth` gave one a moment ago and the users are still the same.
    pub(super) fn ticket(&self, address: &[u8], users: u32, now: Instant) -> Option<u32> {
        let fresh = |known: &&Known| known.until > now && known.users == users;
        let mut fresh = self.0.iter().filter(fresh);
        fresh
            .find(|known| *known.address == *address)
            .map(|known| known.ticket)
    }

    /// Notes the ticket that `auth` gave now; the oldest one is forgotten.
    pub(super) fn note(&mut self, address: &[u8], ticket: u32, users: u32, now: Instant) {
        if self.0.is_full() {
            self.0.pop_front();
        }
        let known = Known {
            address: address.into(),
            ticket,
            until: now + FRESH,
            users,
        };
        self.0.push_back(known).ok();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_for_a_moment_unless_users_change() {
        let (mut recipients, now) = (Recipients::default(), Instant::now());
        for ticket in 1..=6u8 {
            recipients.note(&[b'a' + ticket], ticket.into(), 1, now);
        }
        assert_eq!(recipients.ticket(b"g", 1, now), Some(6));
        assert_eq!(recipients.ticket(b"d", 1, now), Some(3));
        assert_eq!(recipients.ticket(b"c", 1, now), None);
        assert_eq!(recipients.ticket(b"g", 2, now), None);
        assert_eq!(recipients.ticket(b"g", 1, now + FRESH), None);
    }
}
