//! What mailboxes are for (RFC 6154 section 2): as was said at their creation, else as their names say.

use super::host::lock;
use super::{Account, Error, store_fault};
use crate::mail::{MailboxName, SpecialUse};
use crate::store::Store;

/// The mailbox that each use belongs to.
pub(super) fn holders(
    assigned: &[(SpecialUse, MailboxName)],
    names: &[MailboxName],
) -> Vec<(SpecialUse, MailboxName)> {
    let holder = |&(special_use, _, usual): &(SpecialUse, &str, Option<&str>)| {
        let said = assigned
            .iter()
            .find(|(own, name)| *own == special_use && names.contains(name))
            .map(|(_, name)| name);
        let name = said.or_else(|| names.iter().find(|name| Some(name.as_str()) == usual));
        name.map(|name| (special_use, name.clone()))
    };
    SpecialUse::ALL.iter().filter_map(holder).collect()
}

impl Account {
    /// As [`Account::create`], for these uses; they no longer belong to another (RFC 6154 section 5.4).
    pub(crate) fn create_for(
        &self,
        name: &MailboxName,
        uses: &[SpecialUse],
    ) -> Result<Vec<MailboxName>, Error> {
        let made = self.create(name)?;
        if uses.is_empty() {
            return Ok(made);
        }
        let mut store = self.0.store()?;
        let mut assigned = read(&mut *store)?;
        assigned.retain(|(special_use, _)| !uses.contains(special_use));
        assigned.extend(uses.iter().map(|special_use| (*special_use, name.clone())));
        write(&mut *store, &assigned)?;
        Ok(made)
    }
}

impl Account {
    /// What the mailbox is for; nothing if it is not there.
    pub(crate) fn special_uses(&self, name: &MailboxName) -> Result<Vec<SpecialUse>, Error> {
        let assigned = read(&mut *self.0.store()?)?;
        let mut names = vec![name.clone()];
        names.extend(assigned.iter().map(|(_, name)| name.clone()));
        let mut there = Vec::with_capacity(names.len());
        for name in names {
            if self.exists(&name)? {
                there.push(name);
            }
        }
        let own = holders(&assigned, &there).into_iter();
        let own = own.filter(|(_, holder)| holder == name);
        Ok(own.map(|(special_use, _)| special_use).collect())
    }

    /// Has a mailbox be for these uses and for no others; they no longer belong to another (RFC 6154
    /// section 5.4). Durable. Errors: `Cannot` if its name says what else it is for.
    pub(crate) fn assign(&self, name: &MailboxName, uses: &[SpecialUse]) -> Result<(), Error> {
        self.may_change()?;
        if !self.exists(name)? {
            return Err(Error::NoSuchMailbox);
        }
        let _annotating = lock(&self.0.annotating);
        let mut store = self.0.store()?;
        let mut assigned = read(&mut *store)?;
        assigned.retain(|(special_use, own)| own != name && !uses.contains(special_use));
        let is_free = |special_use: &SpecialUse| {
            let held = |(own, _): &(SpecialUse, MailboxName)| own == special_use;
            !uses.contains(special_use) && !assigned.iter().any(held)
        };
        let usual = SpecialUse::ALL
            .iter()
            .find(|(_, _, usual)| *usual == Some(name.as_str()));
        if usual.is_some_and(|(special_use, ..)| is_free(special_use)) {
            return Err(Error::Cannot(
                "the name says what the mailbox is for; first give that use to another",
            ));
        }
        assigned.extend(uses.iter().map(|special_use| (*special_use, name.clone())));
        write(&mut *store, &assigned)
    }
}

impl Account {
    /// What mailboxes are for where that was said of them, whatever their names say.
    pub(crate) fn said_special_uses(&self) -> Result<Vec<(SpecialUse, MailboxName)>, Error> {
        read(&mut *self.0.store()?)
    }

    /// Has these mailboxes, as far as they are there, be for these uses; other uses stay. Durable.
    pub(crate) fn set_special_uses(&self, uses: &[(SpecialUse, MailboxName)]) -> Result<(), Error> {
        self.may_change()?;
        let _annotating = lock(&self.0.annotating);
        let mut store = self.0.store()?;
        let mut assigned = read(&mut *store)?;
        for (special_use, name) in uses {
            if self.exists(name)? {
                assigned.retain(|(own, _)| own != special_use);
                assigned.push((*special_use, name.clone()));
            }
        }
        write(&mut *store, &assigned)
    }
}

pub(super) fn read(store: &mut dyn Store) -> Result<Vec<(SpecialUse, MailboxName)>, Error> {
    store
        .special_uses()
        .map_err(store_fault("reading special uses"))
}

fn write(store: &mut dyn Store, assigned: &[(SpecialUse, MailboxName)]) -> Result<(), Error> {
    store
        .set_special_uses(assigned)
        .map_err(store_fault("writing special uses"))
}

/// The use that a mailbox had by its name alone, if the new name says none.
fn said_by_name(
    assigned: &[(SpecialUse, MailboxName)],
    from: &MailboxName,
    to: &MailboxName,
) -> Option<SpecialUse> {
    let usual = |of: &MailboxName| {
        let mut all = SpecialUse::ALL.iter();
        let found = all.find(|(_, _, usual)| *usual == Some(of.as_str()));
        found.map(|(own, ..)| *own)
    };
    let own = usual(from).filter(|_| usual(to).is_none())?;
    let held = assigned.iter().any(|(held, _)| *held == own);
    (!held).then_some(own)
}

/// A mailbox was renamed, or deleted (`None`): what it is for goes with it.
pub(super) fn follow(
    store: &mut dyn Store,
    from: &MailboxName,
    to: Option<&MailboxName>,
) -> Result<(), Error> {
    let mut assigned = read(store)?;
    if let Some(own) = to.and_then(|to| said_by_name(&assigned, from, to)) {
        assigned.push((own, from.clone()));
    }
    if assigned.iter().all(|(_, name)| name != from) {
        return Ok(());
    }
    match to {
        None => assigned.retain(|(_, name)| name != from),
        Some(to) => assigned
            .iter_mut()
            .filter(|(_, name)| name == from)
            .for_each(|(_, name)| name.clone_from(to)),
    }
    write(store, &assigned)
}

#[cfg(test)]
mod tests {
    use super::super::tests::name;
    use super::*;

    #[test]
    fn uses_follow_their_mailbox() {
        let (account, directory) = Account::temporary();
        account.prepare().unwrap();
        let sent = || {
            let all = account.list().unwrap();
            let holders = all
                .iter()
                .filter(|l| l.special_uses.contains(&SpecialUse::Sent));
            let names: Vec<String> = holders.map(|l| l.name.to_string()).collect();
            names.join(" ")
        };
        assert_eq!(sent(), "Sent");
        let uses = [SpecialUse::Sent, SpecialUse::Archive];
        account.create_for(&name("Out/2026"), &uses).unwrap();
        assert_eq!(sent(), "Out/2026");
        account.rename(&name("Out"), &name("Old")).unwrap();
        assert_eq!(sent(), "Old/2026");
        let file = directory.path().join("dovelet-special-use");
        let text = std::fs::read_to_string(&file).unwrap();
        assert_eq!(text, "\\Sent Old.2026\n\\Archive Old.2026\n");
        account.delete(&name("Old/2026")).unwrap();
        assert_eq!(sent(), "Sent");
        assert_eq!(std::fs::read_to_string(&file).unwrap(), "");
        // What a name says follows the mailbox, too, unless another has that use.
        account.rename(&name("Sent"), &name("Gesendet")).unwrap();
        assert_eq!(sent(), "Gesendet");
        account.create(&name("Sent")).unwrap();
        assert_eq!(sent(), "Gesendet");
        account.rename(&name("Sent"), &name("Other")).unwrap();
        assert_eq!(sent(), "Gesendet");
        account.rename(&name("Gesendet"), &name("Sent")).unwrap();
        assert_eq!(sent(), "Sent");
        // Another program removed the mailbox: the name counts again.
        std::fs::write(&file, "\\Sent gone\n").unwrap();
        assert_eq!(sent(), "Sent");
    }
}
