//! Mail that is gone altogether while the index knows messages of it: most likely its disk is not mounted. Were it made
//! anew, clients would throw away what they have, and mail would come to a place that the disk covers later.

use super::account::Inner;
use super::host::lock;
use super::{Account, Error, fault};
use crate::mail::MailboxName;
use crate::store;

impl Inner {
    /// Errors: `Gone`.
    pub(super) fn refuse_gone(&self) -> Result<(), Error> {
        let Some(name) = self.gone()?.first().cloned() else {
            return Ok(());
        };
        let root = self.location.root.display();
        log::error!(
            "{root} is empty, and the index knows mail there, as in {name}: is its disk mounted? (if all is gone for \
             good: \"dovelet restore\", or \"dovelet doctor --rebuild --user NAME\" to begin without it)"
        );
        Err(Error::Gone)
    }

    /// The mailboxes with messages, as the index knows them, if the directory of the mail has nothing at all.
    fn gone(&self) -> Result<Vec<MailboxName>, Error> {
        let form = &self.location.form;
        // What may not be read is refused by the store, which says why.
        if !store::is_empty(&self.location.root).unwrap_or(false) {
            return Ok(Vec::new());
        }
        let reading = fault("reading the index");
        let reader = self.host.index.read().map_err(&reading)?;
        let mut names = Vec::new();
        for name in reader.mailboxes(self.id).map_err(&reading)? {
            let mut namespaces = form.namespaces.iter().map(|namespace| &namespace.prefix);
            let elsewhere = namespaces.any(|prefix| name == *prefix || name.is_below(prefix))
                || name.is_inbox() && form.inbox.is_some();
            let id = reader.mailbox(self.id, &name).map_err(&reading)?;
            let id = id.filter(|_| !elsewhere);
            let summary = id.map(|id| reader.summary(id)).transpose();
            let summary = summary.map_err(&reading)?.flatten();
            if summary.is_some_and(|summary| summary.messages > 0) {
                names.push(name);
            }
        }
        Ok(names)
    }
}

impl Account {
    /// Has mail begin anew where all of it is gone: what the index knows of it is forgotten.
    pub(super) fn forget_gone(&self) -> Result<(), Error> {
        self.may_change()?;
        for name in self.0.gone()? {
            let called = name.of(&self.0.location.root);
            log::warn!("{called}: what the index knew of it is forgotten, as it is gone");
            let open = lock(&self.0.boxes).get(&name);
            let mut state = open.as_ref().map(|shared| lock(&shared.state));
            if let Some(state) = state.as_mut() {
                state.deleted = true;
            }
            let forgotten = self.0.host.write(|w| w.forget(self.0.id, &name));
            drop(state);
            if let Some(shared) = open {
                lock(&self.0.boxes).remove(&shared);
                shared.raise();
            }
            forgotten?;
        }
        self.0.rename_handles();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{append, name, uids};
    use super::super::{Access, Care, Host, Limits};
    use super::*;
    use crate::config::Format;
    use crate::index::Index;
    use crate::mail::Flags;
    use std::fs;

    #[test]
    fn mail_that_is_gone_altogether_is_not_made_anew_unless_somebody_says_so() {
        for format in [Format::Maildir, Format::Sdbox, Format::Mdbox, Format::Mbox] {
            let directory = tempfile::tempdir().unwrap();
            let (root, away) = (directory.path().join("mail"), directory.path().join("away"));
            let host = Host::over(Index::memory().unwrap(), format, Limits::default());
            let account = host.account("ann", &root).unwrap();
            account.prepare().unwrap();
            account.create(&name("box")).unwrap();
            append(&account, "box", "stays", &Flags::default());
            let numbers = |account: &Account| {
                let view = account.select(&name("box"), Access::ReadWrite).unwrap();
                (view.uid_validity(), view.uids().clone())
            };
            let before = numbers(&account);
            drop(account);
            fs::rename(&root, &away).unwrap();
            fs::create_dir(&root).unwrap();
            fs::create_dir(root.join("lost+found")).unwrap();
            // Sessions that begin, while another process ends and begins, too.
            (0..20).for_each(|n| drop(host.account(&n.to_string(), &away)));
            let account = host.account("ann", &root).unwrap();
            *lock(&account.0.prepared) = None;
            account.0.rename_handles();
            assert_eq!(account.prepare(), Err(Error::Gone), "{format:?}");
            assert_eq!(account.list().unwrap_err(), Error::Gone, "{format:?}");
            assert_eq!(fs::read_dir(&root).unwrap().count(), 1, "{format:?}");
            // The disk is there again.
            fs::remove_dir_all(&root).unwrap();
            fs::rename(&away, &root).unwrap();
            account.prepare().unwrap();
            assert_eq!(numbers(&account), before, "{format:?}");
            // It is gone for good.
            fs::remove_dir_all(&root).unwrap();
            account.0.rename_handles();
            assert_eq!(account.list().unwrap_err(), Error::Gone, "{format:?}");
            account.care(Care::Rebuild, &mut |_| {}).unwrap();
            account.create(&name("box")).unwrap();
            append(&account, "box", "new", &Flags::default());
            assert_eq!(numbers(&account).1, uids(&[1]), "{format:?}");
        }
    }
}
