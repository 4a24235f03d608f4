//! Delays for addresses that fail to log in. Time is monotonic and an argument.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

/// Most networks remembered; beyond, the one that failed longest ago is forgotten.
const MAX_NETWORKS: usize = 1024;
/// After each such time without a failure a penalty is halved.
const DECAY: Duration = Duration::from_secs(60);

/// How long answers to logins from an address are held back. The first failure costs `base`,
/// each further one doubles it up to `max`; one more, and logins are refused until a minute was
/// quiet. Addresses exempt from it are the caller's matter.
#[derive(Debug)]
pub(crate) struct Throttle {
    base: Duration,
    max: Duration,
    penalties: HashMap<Ipv6Addr, Penalty>,
    /// Logins that are looked at and may fail yet, by network.
    trying: HashMap<Ipv6Addr, u32>,
}

#[derive(Clone, Copy, Debug)]
struct Penalty {
    delay: Duration,
    /// When it was set; it decays from there.
    since: Duration,
    /// It was at its longest, and that did not help.
    refused: bool,
}

impl Throttle {
    pub(crate) fn new(base: Duration, max: Duration) -> Throttle {
        Throttle {
            base: base.min(max),
            max,
            penalties: HashMap::new(),
            trying: HashMap::new(),
        }
    }

    /// Counts a login that is looked at from now on until `ended`. `false`: not now, as those of this
    /// address that are looked at would use up its failures before it is refused.
    pub(crate) fn begin(&mut self, address: IpAddr, now: Duration) -> bool {
        let left = self.left(address, now);
        let trying = self.trying.entry(network(address)).or_default();
        let may = left.is_none_or(|left| *trying < left.max(1));
        *trying += u32::from(may);
        may
    }

    /// A login that had begun was accepted or counted as failed.
    pub(crate) fn ended(&mut self, address: IpAddr) {
        if let Entry::Occupied(mut trying) = self.trying.entry(network(address)) {
            *trying.get_mut() = trying.get().saturating_sub(1);
            if *trying.get() == 0 {
                trying.remove();
            }
        }
    }

    /// How many more logins may fail before the next is refused; `None`: any number.
    fn left(&self, address: IpAddr, now: Duration) -> Option<u32> {
        if self.max.is_zero() || self.base.is_zero() {
            return None;
        }
        let mut delay = self.delay(address, now);
        let mut left = u32::from(!self.refuses(address, now));
        while left > 0 && delay < self.max {
            delay = (delay * 2).clamp(self.base, self.max);
            left += 1;
        }
        Some(left)
    }

    /// How long to hold back the next answer; zero for an address without recent failures.
    pub(crate) fn delay(&self, address: IpAddr, now: Duration) -> Duration {
        let penalty = self.penalties.get(&network(address));
        penalty.map_or(Duration::ZERO, |p| self.decayed(*p, now))
    }

    /// Whether a login from this address is not even looked at.
    pub(crate) fn refuses(&self, address: IpAddr, now: Duration) -> bool {
        let penalty = self.penalties.get(&network(address));
        penalty.is_some_and(|p| p.refused && self.decayed(*p, now) == p.delay)
    }

    /// A login failed: the delay of its network becomes `base`, or doubles.
    pub(crate) fn failed(&mut self, address: IpAddr, now: Duration) {
        let network = network(address);
        if !self.penalties.contains_key(&network) {
            self.make_room(now);
        }
        let before = self.delay(address, now);
        let penalty = Penalty {
            delay: (before * 2).clamp(self.base, self.max),
            since: now,
            refused: !self.max.is_zero() && before >= self.max,
        };
        self.penalties.insert(network, penalty);
    }

    /// A login succeeded: one step back, no more, so that who has one account cannot wipe out
    /// the failures of guessing at others.
    pub(crate) fn succeeded(&mut self, address: IpAddr, now: Duration) {
        let network = network(address);
        let delay = self.delay(address, now) / 2;
        if delay < self.base {
            self.penalties.remove(&network);
        } else {
            let penalty = Penalty {
                delay,
                since: now,
                refused: false,
            };
            self.penalties.insert(network, penalty);
        }
    }

    fn decayed(&self, penalty: Penalty, now: Duration) -> Duration {
        let quiet = now.saturating_sub(penalty.since).as_secs() / DECAY.as_secs();
        let halved = u32::try_from(quiet)
            .ok()
            .and_then(|n| 1u32.checked_shl(n))
            .and_then(|divisor| penalty.delay.checked_div(divisor));
        halved.filter(|d| *d >= self.base).unwrap_or_default()
    }

    /// Forgets what has decayed, and if that is nothing, the oldest.
    fn make_room(&mut self, now: Duration) {
        if self.penalties.len() < MAX_NETWORKS {
            return;
        }
        let mut penalties = std::mem::take(&mut self.penalties);
        penalties.retain(|_, p| !self.decayed(*p, now).is_zero());
        if penalties.len() >= MAX_NETWORKS {
            let oldest = penalties.iter().min_by_key(|(_, p)| p.since);
            if let Some(network) = oldest.map(|(network, _)| *network) {
                penalties.remove(&network);
            }
        }
        self.penalties = penalties;
    }
}

/// What shares a penalty, and a number of connections: a single IPv4 address, a /48 of IPv6, as one customer has.
pub(crate) fn network(address: IpAddr) -> Ipv6Addr {
    match address.to_canonical() {
        IpAddr::V4(address) => address.to_ipv6_mapped(),
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() >> 80 << 80),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BASE: Duration = Duration::from_secs(2);
    const MAX: Duration = Duration::from_secs(15);

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn seconds(n: u64) -> Duration {
        Duration::from_secs(n)
    }

    #[test]
    fn doubles_decays_and_forgives() {
        let mut throttle = Throttle::new(BASE, MAX);
        let ip = address("192.0.2.1");
        let mut expect = |events: &[(u64, char, u64)]| {
            for (at, event, delay) in events {
                let now = seconds(*at);
                match event {
                    'f' => throttle.failed(ip, now),
                    's' => throttle.succeeded(ip, now),
                    _ => {}
                }
                assert_eq!(throttle.delay(ip, now), seconds(*delay), "{at} {event}");
            }
        };
        expect(&[(0, '-', 0), (0, 'f', 2), (1, 'f', 4), (2, 'f', 8)]);
        expect(&[(3, 'f', 15), (4, 'f', 15), (63, '-', 15)]);
        expect(&[(10_000, '-', 0), (10_000, 'f', 2), (10_001, 'f', 4)]);
        expect(&[(10_002, 's', 2), (10_003, 's', 0), (10_004, 's', 0)]);
        expect(&[(10_005, 'f', 2), (10_064, '-', 2), (10_065, '-', 0)]);
    }

    #[test]
    fn halves_by_the_minute() {
        let mut throttle = Throttle::new(BASE, seconds(16));
        let ip = address("192.0.2.1");
        (0..4).for_each(|_| throttle.failed(ip, seconds(100)));
        for (at, delay) in [
            (159, 16),
            (160, 8),
            (220, 4),
            (280, 2),
            (340, 0),
            (u64::MAX, 0),
        ] {
            assert_eq!(throttle.delay(ip, seconds(at)), seconds(delay), "{at}");
        }
        // A clock that seems to go back takes nothing off.
        assert_eq!(throttle.delay(ip, seconds(0)), seconds(16));
        throttle.failed(ip, seconds(220));
        assert_eq!(throttle.delay(ip, seconds(220)), seconds(8));
    }

    #[test]
    fn who_fails_on_at_the_longest_delay_is_refused_for_a_minute() {
        let mut throttle = Throttle::new(BASE, MAX);
        let ip = address("192.0.2.1");
        for at in 0..4 {
            throttle.failed(ip, seconds(at));
            assert!(!throttle.refuses(ip, seconds(at)), "{at}");
        }
        assert_eq!(throttle.delay(ip, seconds(3)), MAX);
        throttle.failed(ip, seconds(4));
        assert!(throttle.refuses(ip, seconds(4)) && throttle.refuses(ip, seconds(63)));
        assert!(!throttle.refuses(address("192.0.2.2"), seconds(4)));
        assert!(!throttle.refuses(ip, seconds(64)));
        throttle.failed(ip, seconds(64));
        assert!(!throttle.refuses(ip, seconds(64)));
        assert_eq!(throttle.delay(ip, seconds(64)), MAX);
        throttle.succeeded(ip, seconds(65));
        assert!(!throttle.refuses(ip, seconds(65)));
    }

    #[test]
    fn no_more_are_looked_at_than_may_fail() {
        // As many more as were hashed at the same time could be tried.
        let mut throttle = Throttle::new(BASE, MAX);
        let (ip, other) = (address("192.0.2.1"), address("192.0.2.2"));
        let begun = |throttle: &mut Throttle, ip: IpAddr| {
            (0..20).filter(|_| throttle.begin(ip, seconds(1))).count()
        };
        assert_eq!(begun(&mut throttle, ip), 5);
        assert_eq!(begun(&mut throttle, other), 5);
        throttle.failed(ip, seconds(1));
        throttle.ended(ip);
        assert_eq!(begun(&mut throttle, ip), 0);
        throttle.succeeded(ip, seconds(1));
        throttle.ended(ip);
        assert_eq!(begun(&mut throttle, ip), 2);
        (0..5).for_each(|_| throttle.failed(ip, seconds(1)));
        (0..5).for_each(|_| throttle.ended(ip));
        assert!(throttle.refuses(ip, seconds(1)));
        (0..5).for_each(|_| throttle.ended(other));
        assert!(throttle.trying.is_empty());
        // After its minute an address is at half the longest delay.
        assert_eq!(throttle.left(ip, seconds(1)), Some(0));
        assert_eq!(throttle.left(ip, seconds(61)), Some(2));
        for (base, max) in [(0, 15), (2, 0)] {
            let mut none = Throttle::new(seconds(base), seconds(max));
            assert_eq!(begun(&mut none, ip), 20);
        }
    }

    #[test]
    fn networks() {
        for (failed, other, shared) in [
            ("192.0.2.1", "192.0.2.1", true),
            ("192.0.2.1", "192.0.2.2", false),
            ("192.0.2.1", "::ffff:192.0.2.1", true),
            ("2001:db8:1:2::3", "2001:db8:1:ffff::9", true),
            ("2001:db8:1:2::3", "2001:db8:2:2::3", false),
            ("::1", "127.0.0.1", false),
        ] {
            let mut throttle = Throttle::new(BASE, MAX);
            throttle.failed(address(failed), seconds(1));
            let delay = throttle.delay(address(other), seconds(1));
            assert_eq!(delay == BASE, shared, "{failed} {other}");
        }
    }

    #[test]
    fn the_table_is_bounded_and_forgets_the_oldest() {
        let mut throttle = Throttle::new(BASE, MAX);
        let nth = |n: u32| IpAddr::from(std::net::Ipv4Addr::from_bits(0x0a00_0000 + n));
        let count = u32::try_from(MAX_NETWORKS).unwrap();
        for n in 0..=count {
            throttle.failed(nth(n), Duration::from_millis(u64::from(n)));
        }
        let now = seconds(2);
        assert_eq!(throttle.penalties.len(), MAX_NETWORKS);
        assert_eq!(throttle.delay(nth(0), now), Duration::ZERO);
        assert_eq!(throttle.delay(nth(1), now), BASE);
        assert_eq!(throttle.delay(nth(count), now), BASE);
        // Once all have decayed, none is kept for another's sake.
        throttle.failed(address("192.0.2.1"), seconds(1000));
        assert_eq!(throttle.penalties.len(), 1);
    }

    #[test]
    fn no_delay_at_all_can_be_asked_for() {
        let mut throttle = Throttle::new(BASE, Duration::ZERO);
        throttle.failed(address("192.0.2.1"), seconds(1));
        assert_eq!(
            throttle.delay(address("192.0.2.1"), seconds(1)),
            Duration::ZERO
        );
    }
}
