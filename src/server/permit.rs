//! How many connections there may be: in all, and from one address.

use crate::config::Limits;
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::rc::Rc;

/// Counts connections of this process and those it handed over.
#[derive(Debug)]
pub(super) struct Permits {
    counts: RefCell<Counts>,
    max: u32,
    max_per_address: u32,
    max_login: u32,
}

#[derive(Debug, Default)]
struct Counts {
    all: u32,
    login: u32,
    by_address: HashMap<Ipv6Addr, u32>,
}

/// One connection's place; given back when dropped.
#[derive(Debug)]
pub(super) struct Permit {
    permits: Rc<Permits>,
    address: Option<Ipv6Addr>,
    login: Cell<bool>,
}

/// Why a connection may not be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refused {
    TooMany,
    TooManyFromAddress,
    NoMemory,
}

impl Permits {
    pub(super) fn new(limits: &Limits) -> Rc<Permits> {
        Rc::new(Permits {
            counts: RefCell::default(),
            max: limits.max_connections,
            max_per_address: limits.max_connections_per_address,
            max_login: limits.max_login_connections,
        })
    }

    /// A place for a connection before login. `None` as the address: a peer that is not counted by it.
    pub(super) fn take(self: &Rc<Self>, address: Option<IpAddr>) -> Result<Permit, Refused> {
        let mut counts = self.counts.borrow_mut();
        if counts.all >= self.max || counts.login >= self.max_login {
            return Err(Refused::TooMany);
        }
        // What one customer has is one address.
        let address = address.map(crate::auth::network);
        if let Some(address) = address {
            let count = counts.by_address.entry(address).or_default();
            if *count >= self.max_per_address {
                return Err(Refused::TooManyFromAddress);
            }
            *count += 1;
        }
        counts.all += 1;
        counts.login += 1;
        drop(counts);
        Ok(Permit {
            permits: self.clone(),
            address,
            login: Cell::new(true),
        })
    }

    /// A place for a mail server that is trusted: whoever fills the places before login does not keep mail out.
    pub(super) fn take_trusted(self: &Rc<Self>) -> Result<Permit, Refused> {
        let mut counts = self.counts.borrow_mut();
        if counts.all >= self.max {
            return Err(Refused::TooMany);
        }
        counts.all += 1;
        Ok(Permit {
            permits: self.clone(),
            address: None,
            login: Cell::new(false),
        })
    }

    #[cfg(test)]
    fn all(&self) -> u32 {
        self.counts.borrow().all
    }
}

impl Permit {
    /// The connection is logged in: it no longer counts among those that are not.
    pub(super) fn logged_in(&self) {
        if self.login.replace(false) {
            let mut counts = self.permits.counts.borrow_mut();
            counts.login = counts.login.saturating_sub(1);
        }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.logged_in();
        let mut counts = self.permits.counts.borrow_mut();
        counts.all = counts.all.saturating_sub(1);
        if let Some(address) = self.address
            && let Some(count) = counts.by_address.get_mut(&address)
        {
            *count -= 1;
            if *count == 0 {
                counts.by_address.remove(&address);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_counted_and_given_back() {
        let permits = Permits::new(&Limits {
            max_connections: 3,
            max_connections_per_address: 2,
            max_login_connections: 2,
            ..Limits::default()
        });
        let a: IpAddr = "192.0.2.1".parse().unwrap();
        let first = permits.take(Some(a)).unwrap();
        let second = permits.take(Some(a)).unwrap();
        assert_eq!(permits.take(None).unwrap_err(), Refused::TooMany);
        first.logged_in();
        assert_eq!(
            permits.take(Some(a)).unwrap_err(),
            Refused::TooManyFromAddress
        );
        let third = permits.take(None).unwrap();
        drop(second);
        let again = permits.take(Some(a)).unwrap();
        assert_eq!(permits.take_trusted().unwrap_err(), Refused::TooMany);
        drop(first);
        let trusted = permits.take_trusted().unwrap();
        drop((trusted, third, again));
        assert_eq!(permits.all(), 0);
        assert!(permits.counts.borrow().by_address.is_empty());
    }
}
