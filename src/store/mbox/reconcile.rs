//! Finding out what is in a file that somebody else may have changed. A message keeps its UID if its field
//! X-UID says so and its bytes are those that the log has under this UID (of a file without a log, the
//! field alone says it), or else if its bytes are those of a message of the log that is not found and the order stays. All others get new UIDs.

use super::field::Kept;
use super::file::{Layout, State, blob, name};
use super::line::{Contents, Line};
use super::stat::Stat;
use super::walk::{self, Walked};
use crate::mail::Uid;
use crate::store::side::{base::origin, disk, room};
use crate::store::{Error, Found, MailboxState, Scanned, Stamp, unless_full};
use std::collections::{BTreeSet, HashMap};
use std::fs::File;

/// A message of the file, and whose it is.
struct Match {
    walked: Walked,
    guid: String,
    uid: Option<Uid>,
    /// The log did not have it, and its field said the UID.
    told: bool,
}

impl State {
    /// Has the layout of the file, which nobody changes meanwhile, and brings the log in line with it.
    pub(super) fn reconcile(&mut self, file: &File) -> Result<(), Error> {
        let stat = Stat::open(file)?;
        let mut found = Vec::new();
        walk::walk(file, 0, &mut |walked| {
            room::for_messages(found.len(), room::OF_MBOX)?;
            found.push(walked);
            Ok(true)
        })?;
        let mut contents = self.log.contents()?;
        let mut layout = Layout::default();
        self.take_base(&mut found, &mut contents, &mut layout)?;
        let mut matches = self.matches(found, &contents);
        self.sort_out(&mut matches, &mut layout);
        let given = self.give_uids(&mut matches, &contents)?;
        if given {
            // What the log has is durable.
            disk::sync_data(file)?;
        }
        self.note(matches, &contents, &mut layout)?;
        self.learn_there(&layout);
        let gone = contents.messages.keys().chain(contents.doomed.keys());
        for uid in gone
            .chain(contents.given.keys())
            .filter(|uid| !layout.spans.contains_key(uid))
        {
            if !layout.doomed.contains_key(uid) {
                self.log.put(Line::Gone(*uid))?;
                self.doomed.remove(uid);
                self.unlogged.remove(uid);
                self.dirty.remove(uid);
            }
        }
        // Behind the lines of all messages that have such UIDs.
        if contents.uid_next.is_none_or(|next| next < self.uid_next) {
            self.log.put(Line::Next(self.uid_next))?;
        }
        self.layout = Some(layout);
        if self.seen != Some(stat) {
            self.token = match stat.time == self.token {
                true => stat.time - 1,
                false => stat.time,
            };
        }
        self.seen = Some(stat);
        // The lines wait on.
        unless_full(self.log.flush())
    }

    /// Takes what the first message says of all; the file wins over the log.
    fn take_base(
        &mut self,
        found: &mut Vec<Walked>,
        contents: &mut Contents,
        layout: &mut Layout,
    ) -> Result<(), Error> {
        layout.base = found.first_mut().and_then(|first| first.kept.base.take());
        if found.first().is_some_and(|first| first.kept.pseudo) {
            layout.pseudo = Some(found.remove(0).span);
        }
        let Some(base) = layout.base.clone() else {
            return Ok(());
        };
        if base.uid_validity != self.uid_validity {
            log::warn!(
                "{}: UIDVALIDITY is {} now",
                self.path.display(),
                base.uid_validity
            );
            *contents = Contents {
                known: Some((base.uid_validity, self.guid)),
                ..Contents::default()
            };
            self.uid_next = Uid::MIN;
            self.unlisted.clear();
            self.take(contents.clone());
            self.beyond.clear();
            self.log.renew(contents)?;
        }
        self.letters(&base.keywords)?;
        let next = base.last_uid.checked_add(1).and_then(Uid::new);
        let next = next.unwrap_or(Uid::MIN);
        self.uid_next = self.uid_next.max(next);
        Ok(())
    }

    /// Whose UIDs messages have according to their fields.
    fn matches(&self, found: Vec<Walked>, contents: &Contents) -> Vec<Match> {
        // A log of which some lines are lost does not say of a UID that it never had it.
        let logged_next = match self.doubted {
            false => contents.uid_next.unwrap_or(Uid::MIN),
            true => Uid::MIN,
        };
        let last = self.uid_next.number() - 1;
        let mut before = None;
        let mut taken = BTreeSet::new();
        let mut matches = Vec::with_capacity(found.len());
        for walked in found {
            let guid = walked.known.guid.to_string();
            let noted = walked.kept.uid.filter(|_| !walked.torn);
            let uid = noted.and_then(|noted| Uid::new(noted.number));
            let uid = uid.filter(|uid| !taken.contains(uid));
            let known = |uid: &Uid| self.known(*uid, contents).is_some_and(|own| own == guid);
            // A number that the log does not know and did not give.
            let told = |uid: &Uid| {
                let own = noted.is_some_and(|noted| noted.own);
                let credible = own || uid.number() <= last;
                *uid >= logged_next && Some(*uid) > before && credible && *uid < Uid::MAX
            };
            let is_told = uid.filter(told).is_some();
            let uid = uid.filter(|uid| known(uid) || is_told);
            let told = is_told && !uid.as_ref().is_some_and(known);
            before = before.max(uid);
            taken.extend(uid);
            matches.push(Match {
                walked,
                guid,
                uid,
                told,
            });
        }
        self.match_bytes(&mut matches, contents);
        matches
    }

    /// The GUID of a message that the log has, or is to have.
    fn known(&self, uid: Uid, contents: &Contents) -> Option<String> {
        let unlogged = self.unlogged.get(&uid).map(|(name, ..)| name);
        let logged = contents.messages.get(&uid).map(|m| &m.name);
        let name = unlogged.or(logged).or(contents.doomed.get(&uid));
        name.map(|name| origin(name))
    }

    /// Messages without a UID that are as one which the log has, in the order of UIDs.
    fn match_bytes(&self, matches: &mut [Match], contents: &Contents) {
        if matches.iter().all(|m| m.uid.is_some()) {
            return;
        }
        let taken: BTreeSet<Uid> = matches.iter().filter_map(|m| m.uid).collect();
        let mut free: HashMap<String, Vec<Uid>> = HashMap::new();
        let names = contents.messages.iter().map(|(uid, m)| (*uid, &m.name));
        let names = names.chain(contents.doomed.iter().map(|(uid, name)| (*uid, name)));
        for (uid, name) in names.filter(|(uid, _)| !taken.contains(uid)) {
            free.entry(origin(name)).or_default().push(uid);
        }
        free.values_mut().for_each(|uids| uids.sort_unstable());
        let mut next = None;
        let mut bounds = vec![None; matches.len()];
        for (bound, one) in bounds.iter_mut().zip(matches.iter()).rev() {
            *bound = next;
            next = one.uid.or(next);
        }
        let mut before = None;
        for (one, bound) in matches.iter_mut().zip(bounds) {
            if one.uid.is_none() && !one.walked.torn {
                let fits = |uid: &Uid| Some(*uid) > before && bound.is_none_or(|b| *uid < b);
                let uids = free.get_mut(&one.guid);
                one.uid = uids.and_then(|uids| {
                    let at = uids.iter().position(fits)?;
                    Some(uids.remove(at))
                });
            }
            before = before.max(one.uid);
        }
    }

    /// Takes out what is no message, or none any more.
    fn sort_out(&self, matches: &mut Vec<Match>, layout: &mut Layout) {
        matches.retain(|one| {
            let span = one.walked.span;
            // What shows whose it is comes first, and nothing is a message without a line.
            let own = one.walked.kept.uid.is_some_and(|noted| noted.own);
            let own = own || one.walked.known.stored == 0;
            // Nobody was told of what the log does not have.
            let half = one.walked.doubtful && own && (one.told || one.uid.is_none());
            if one.walked.torn || half {
                log::warn!("{}: a message was written by half", self.path.display());
                layout.junk.push(span);
                return false;
            }
            match one.uid.filter(|uid| self.doomed.contains_key(uid)) {
                Some(uid) => layout.doomed.insert(uid, span).is_some(),
                None => true,
            }
        });
    }

    /// Messages that nobody knows get new UIDs. True if some are not in the log.
    fn give_uids(&mut self, matches: &mut [Match], contents: &Contents) -> Result<bool, Error> {
        let mut any = false;
        for one in matches {
            if let Some(uid) = one.uid {
                self.uid_next = self.uid_next.max(uid.next().unwrap_or(Uid::MAX));
                any |= !contents.messages.contains_key(&uid);
                continue;
            }
            any = true;
            one.uid = Some(self.uid_next);
            // The last UID there is stays free.
            self.uid_next = self.uid_next.next().ok_or(Error::Full)?;
        }
        Ok(any)
    }

    /// Brings the log in line with messages of the file.
    fn note(
        &mut self,
        matches: Vec<Match>,
        contents: &Contents,
        layout: &mut Layout,
    ) -> Result<(), Error> {
        let now = crate::sys::clock::now_seconds();
        let mut beyond = false;
        for one in matches {
            let Some(uid) = one.uid else { continue };
            let Walked {
                span,
                kept,
                known,
                received,
                ..
            } = one.walked;
            if kept.uid.map(|noted| noted.number) != Some(uid.number()) || kept.early {
                layout.bare.insert(uid);
            }
            layout.spans.insert(uid, span);
            let letters = self.letters(&kept.keywords)?;
            let Kept { flags, .. } = kept;
            let sizes = (known.stored, known.wire);
            if self.unlogged.contains_key(&uid) {
                self.log_one(uid)?;
                self.unlisted.insert(uid);
                continue;
            }
            let known = contents.messages.get(&uid);
            // What the log says is not in the file yet.
            if known.is_none_or(|message| !message.dirty) && !kept.cut {
                beyond |= self.note_beyond(uid, &kept.keywords);
            }
            let Some(message) = known else {
                let saved = if one.told { received } else { now };
                let name = name(&one.guid, sizes, received, saved, uid);
                self.log.put(Line::Filed(&name, flags, letters))?;
                self.unlisted.insert(uid);
                continue;
            };
            if !message.dirty && (message.flags, message.letters) != (flags, letters) {
                let name = &message.name;
                self.log.put(Line::Filed(name, flags, letters))?;
            }
        }
        self.beyond_news |= beyond;
        match beyond {
            true => self.write_beyond(),
            false => Ok(()),
        }
    }

    /// Messages on their way are in the log, too, once somebody looks: whoever scans takes what he does not
    /// find for gone, and the UIDs up to the last one that was given for known.
    fn log_appended(&mut self, file: &File) -> Result<(), Error> {
        let spans = self.layout.as_ref().map(|layout| &layout.spans);
        let there = |uid: &&Uid| spans.is_some_and(|spans| spans.contains_key(uid));
        let appended: Vec<Uid> = self.unlogged.keys().filter(there).copied().collect();
        if appended.is_empty() {
            return Ok(());
        }
        // What the log has is durable.
        disk::sync_data(file)?;
        for uid in appended {
            self.log_one(uid)?;
            self.unlisted.insert(uid);
        }
        Ok(())
    }

    /// What there is.
    pub(super) fn scan(&mut self) -> Result<Scanned, Error> {
        let lease = self.current()?;
        self.log_appended(lease.file())?;
        drop(lease);
        let stamp = self.store_stamp()?;
        let contents = self.log.contents()?;
        let spans = self.layout.as_ref().map(|layout| &layout.spans);
        let there = |uid: &Uid| spans.is_some_and(|spans| spans.contains_key(uid));
        let mut found = Vec::with_capacity(contents.messages.len());
        let mut aliases = Vec::new();
        for (uid, message) in contents.messages.into_iter().filter(|(uid, _)| there(uid)) {
            if let Some(uidl) = message.uidl {
                aliases.push((uid, format!("P{uidl}").into()));
            }
            found.push(Found {
                blob: blob(message.name, message.flags, message.letters),
                uid: Some(uid),
                listed: !self.unlisted.contains(&uid),
            });
        }
        Ok(Scanned {
            state: MailboxState {
                uid_validity: self.uid_validity,
                uid_next: self.uid_next,
                guid: self.guid,
                keywords: self.keywords.clone(),
            },
            found,
            stamp,
            header_known: true,
            rewrite: false,
            aliases,
        })
    }

    pub(super) fn store_stamp(&self) -> Result<Stamp, Error> {
        let token = self.stamp()?;
        Ok(Stamp {
            new: 0,
            cur: token,
            list: token,
            coarse: false,
        })
    }
}
