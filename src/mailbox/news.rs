//! What happened to the mailboxes of an account, as far as no mailbox's own mod-sequences tell it: for
//! sessions that asked for it by NOTIFY (RFC 5465) or ENABLE METADATA. Kept in memory, as many as a
//! session may lag behind; one that lags further is told so.

use super::Account;
use super::host::lock;
use crate::mail::{EntryName, MailboxName};
use event_listener::EventListener;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicU32, Ordering};

/// How many are kept.
const MAX_NEWS: usize = 256;

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum News {
    /// With those above it that were missing, the lowest first.
    Created(Vec<MailboxName>),
    Deleted(MailboxName),
    /// Those below it were renamed too.
    Renamed {
        from: MailboxName,
        to: MailboxName,
    },
    /// Subscribed to, or no longer.
    Subscribed(MailboxName),
    /// These entries of a mailbox, or (`None`) of the server, have other values.
    Annotated(Option<MailboxName>, Vec<EntryName>),
}

impl News {
    /// False if there are the same mailboxes as before, and they are subscribed to.
    pub(crate) fn is_of_names(&self) -> bool {
        !matches!(self, News::Annotated(..))
    }
}

/// What happened since a session was told last.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Latest {
    /// What others did.
    pub(crate) news: Vec<News>,
    /// The session itself or others changed which mailboxes there are, or subscriptions.
    pub(crate) other_names: bool,
}

/// The last ones, with who did it.
#[derive(Default)]
pub(super) struct Recent {
    /// The number of the first that is kept.
    first: u64,
    kept: VecDeque<(u32, News)>,
}

/// How far a session was told; what it did itself is not told.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Heard {
    next: u64,
    by: u32,
}

fn next_number() -> u32 {
    static NEXT: AtomicU32 = AtomicU32::new(1);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

impl Heard {
    /// The number of the session; its own doings are no news to it.
    pub(crate) fn by(&self) -> u32 {
        self.by
    }
}

impl Account {
    /// For a new session: from now on.
    pub(crate) fn heard(&self) -> Heard {
        let recent = lock(&self.0.recent);
        Heard {
            next: recent.first + recent.kept.len() as u64,
            by: next_number(),
        }
    }

    /// True if `news` would return some, or that some are lost.
    pub(crate) fn has_news(&self, heard: Heard) -> bool {
        // What somebody did before the client asks is told when it asks.
        if let Some(watch) = &self.0.host.watch {
            watch.drain();
        }
        let recent = lock(&self.0.recent);
        recent.first + recent.kept.len() as u64 > heard.next || self.0.names.is_doubted()
    }

    /// What was done since. `None`: too much.
    pub(crate) fn news(&self, heard: &mut Heard) -> Option<Latest> {
        // It is logged, and looked at again when somebody asks again.
        self.look_for_names().ok();
        let recent = lock(&self.0.recent);
        let known = heard.next.checked_sub(recent.first);
        heard.next = recent.first + recent.kept.len() as u64;
        let known = usize::try_from(known?).ok()?;
        let mut latest = Latest::default();
        for (by, news) in recent.kept.iter().skip(known) {
            latest.other_names |= news.is_of_names();
            if *by != heard.by {
                latest.news.push(news.clone());
            }
        }
        Some(latest)
    }

    /// `by`: the number of the session that did it.
    pub(crate) fn publish(&self, news: News, by: u32) {
        let mut recent = lock(&self.0.recent);
        if recent.kept.len() >= MAX_NEWS {
            recent.kept.pop_front();
            recent.first += 1;
        }
        recent.kept.push_back((by, news));
        drop(recent);
        self.0.woken.notify(usize::MAX);
    }

    /// Wakes when there are news, and when any mailbox that somebody has in memory changes. Make it,
    /// then look, then wait.
    pub(crate) fn listen(&self) -> EventListener {
        self.0.woken.listen()
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::name;
    use super::*;

    #[test]
    fn others_are_told_once_and_who_lags_learns_it() {
        let (account, _directory) = Account::temporary();
        let (mut one, mut two) = (account.heard(), account.heard());
        let created = |text: &str| News::Created(vec![name(text)]);
        let latest = |news: &[News], other_names| Latest {
            news: news.to_vec(),
            other_names,
        };
        account.publish(created("a"), one.by());
        account.publish(News::Annotated(None, vec![]), one.by());
        assert!(account.has_news(one));
        // What it did itself is not told again.
        assert_eq!(account.news(&mut one), Some(latest(&[], true)));
        account.publish(created("b"), two.by());
        assert_eq!(account.news(&mut one), Some(latest(&[created("b")], true)));
        assert!(!account.has_news(one));
        assert_eq!(account.news(&mut one), Some(Latest::default()));
        let annotated = News::Annotated(None, vec![]);
        let both = [created("a"), annotated.clone()];
        assert_eq!(account.news(&mut two), Some(latest(&both, true)));
        account.publish(annotated.clone(), one.by());
        assert_eq!(account.news(&mut two), Some(latest(&[annotated], false)));
        account.news(&mut one);
        (0..MAX_NEWS).for_each(|_| account.publish(created("c"), 0));
        assert_eq!(
            account.news(&mut one).map(|latest| latest.news.len()),
            Some(MAX_NEWS)
        );
        (0..=MAX_NEWS).for_each(|_| account.publish(created("c"), 0));
        assert_eq!(account.news(&mut one), None);
        assert_eq!(account.news(&mut one), Some(Latest::default()));
    }
}
