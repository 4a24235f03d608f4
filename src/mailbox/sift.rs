//! What is found is not always what is to be: messages that go, or get other UIDs, before they are taken into
//! the index. That is rare; then all are put in order anew.

use super::shared::{Shared, State};
use super::{Error, fault, store_fault};
use crate::index::{Reader, Summary};
use crate::mail::{Uid, UidSet};
use crate::store::{BlobId, Census, Filing, Roll, Sighting, Store, Totals};

/// Those that stay.
struct Sifted<'s> {
    roll: Roll,
    store: &'s mut dyn Store,
}

impl Sifted<'_> {
    fn keep(&mut self, sighting: &Sighting<'_>) -> Result<(), Error> {
        let kept = self.roll.add(sighting, &mut || self.store.scratch());
        kept.map_err(store_fault("sorting what was found"))
    }
}

/// Goes through all; `each` keeps what is to be there then.
fn sift(
    octets: usize,
    store: &mut dyn Store,
    census: &mut Census,
    each: &mut dyn FnMut(&mut Sifted<'_>, &Sighting<'_>) -> Result<(), Error>,
    end: &mut dyn FnMut(&mut Sifted<'_>) -> Result<(), Error>,
) -> Result<(), Error> {
    let scanning = store_fault("scanning a mailbox");
    let roll = Roll::new(octets);
    let mut sifted = Sifted { roll, store };
    let mut cursor = census.all.cursor().map_err(&scanning)?;
    while let Some(sighting) = cursor.next().map_err(&scanning)? {
        each(&mut sifted, &sighting)?;
    }
    drop(cursor);
    end(&mut sifted)?;
    let Sifted { roll, store } = sifted;
    let rolled = roll.finish(&mut || store.scratch()).map_err(&scanning)?;
    census.totals = Totals::of(&rolled).map_err(&scanning)?;
    census.all = Box::new(rolled);
    Ok(())
}

/// Of messages that were to come together, what came of them goes, unless all are there: then somebody
/// brings them to their end just now.
pub(super) fn keep_promises(
    shared: &Shared,
    state: &State,
    store: &mut dyn Store,
    census: &mut Census,
) -> Result<(), Error> {
    let reading = store.promised(&state.name);
    for (first, last) in reading.map_err(store_fault("reading what was promised"))? {
        let broken = UidSet::range(first, last);
        if state.flights.is_empty() && !broken.intersection(&census.totals.uids).is_empty() {
            shared.begin();
            let mut count = 0;
            let removed = remove(shared, state, store, census, (&broken, &mut count));
            shared.end(count);
            let synced = removed.and_then(|()| {
                let synced = store.sync();
                synced.map_err(store_fault("removing what did not come whole"))
            });
            synced?;
        }
        let ended = store.fulfil(&state.name, (first, last));
        ended.map_err(store_fault("ending what was promised"))?;
    }
    Ok(())
}

fn remove(
    shared: &Shared,
    state: &State,
    store: &mut dyn Store,
    census: &mut Census,
    (gone, count): (&UidSet, &mut i64),
) -> Result<(), Error> {
    let octets = shared.sort_octets();
    let each = &mut |sifted: &mut Sifted<'_>, sighting: &Sighting<'_>| {
        if !sighting.uid.is_some_and(|uid| gone.contains(uid)) {
            return sifted.keep(sighting);
        }
        log::info!("{}: {} did not come whole", state.name, sighting.name);
        let went = sifted.store.remove(&state.name, &sighting.blob());
        *count += i64::from(matches!(went, Ok(true)));
        let went = went.map(|_| ());
        went.map_err(store_fault("removing what did not come whole"))
    };
    sift(octets, store, census, each, &mut |_| Ok(()))
}

/// Messages without UIDs, by name, and the UIDs that the index has for them.
#[derive(Default)]
struct Batch {
    blobs: Vec<(BlobId, Option<Uid>)>,
    octets: usize,
}

impl Batch {
    fn add(&mut self, sighting: &Sighting<'_>) {
        self.octets += size_of::<(BlobId, Option<Uid>)>() + sighting.name.len();
        self.blobs.push((sighting.blob(), None));
    }

    /// Finds their UIDs, but those that others have. True if there was one.
    fn resolve(&mut self, reader: &Reader, shared: &Shared, taken: &UidSet) -> Result<bool, Error> {
        let blobs = &mut self.blobs;
        let mut any = false;
        let each = &mut |number: u32, chunk: crate::index::NameChunk| {
            for name in chunk.names {
                let at = blobs.binary_search_by(|(blob, _)| blob.name.cmp(&name.base));
                let uid = Uid::new(number << 8 | u32::from(name.slot));
                let own = at.ok().and_then(|at| blobs.get_mut(at));
                if let Some((own, uid)) = own.zip(uid.filter(|uid| !taken.contains(*uid))) {
                    own.1 = Some(uid);
                    any = true;
                }
            }
        };
        let read = reader.each_names(shared.id, each);
        read.map_err(fault("reading the index"))?;
        Ok(any)
    }
}

/// Messages that the store cannot name but the index can (a lost side file) keep their UIDs.
pub(super) fn known_names(
    shared: &Shared,
    store: &mut dyn Store,
    census: &mut Census,
) -> Result<(), Error> {
    let reading = |error| fault("reading the index")(error);
    let reader = shared.host.index.read().map_err(reading)?;
    let taken = census.totals.uids.clone();
    if census.totals.unnamed == 0 {
        return Ok(());
    }
    let known = reader.uids(shared.id).map_err(reading)?;
    if known.difference(&taken).is_empty() || !any_known(shared, &reader, census, &taken)? {
        return Ok(());
    }
    let octets = shared.sort_octets();
    let mut batch = Batch::default();
    let keep = |sifted: &mut Sifted<'_>, batch: Batch| {
        for (blob, uid) in &batch.blobs {
            sifted.keep(&Sighting {
                name: &blob.name,
                place: blob.place,
                flags: blob.flags,
                letters: blob.letters,
                uid: *uid,
                listed: false,
                alias: None,
            })?;
        }
        Ok(())
    };
    let batch_of = std::cell::RefCell::new(&mut batch);
    let each = &mut |sifted: &mut Sifted<'_>, sighting: &Sighting<'_>| {
        if sighting.uid.is_some() {
            return sifted.keep(sighting);
        }
        let mut batch = batch_of.borrow_mut();
        batch.add(sighting);
        if batch.octets < octets {
            return Ok(());
        }
        let mut full = std::mem::take(&mut **batch);
        full.resolve(&reader, shared, &taken)?;
        keep(sifted, full)
    };
    let end = &mut |sifted: &mut Sifted<'_>| {
        let mut rest = std::mem::take(&mut **batch_of.borrow_mut());
        rest.resolve(&reader, shared, &taken)?;
        keep(sifted, rest)
    };
    sift(octets, store, census, each, end)
}

/// Whether the index knows the name of a message without a UID.
fn any_known(
    shared: &Shared,
    reader: &Reader,
    census: &Census,
    taken: &UidSet,
) -> Result<bool, Error> {
    let scanning = store_fault("scanning a mailbox");
    let mut cursor = census.all.cursor().map_err(&scanning)?;
    let mut batch = Batch::default();
    while let Some(sighting) = cursor.next().map_err(&scanning)? {
        if sighting.uid.is_none() {
            batch.add(&sighting);
        }
        if batch.octets >= shared.sort_octets()
            && std::mem::take(&mut batch).resolve(reader, shared, taken)?
        {
            return Ok(true);
        }
    }
    batch.resolve(reader, shared, taken)
}

/// A message that was expunged stays so: a file that comes back under a UID that sessions were told
/// is gone gets a new one. (What only the index says counts for nothing: it may be damaged.)
pub(super) fn name_anew(
    shared: &Shared,
    state: &State,
    store: &mut dyn Store,
    summary: &mut Summary,
    census: &mut Census,
) -> Result<(), Error> {
    if state.gone.intersection(&census.totals.uids).is_empty() {
        return Ok(());
    }
    let mut any = false;
    let each = &mut |sifted: &mut Sifted<'_>, sighting: &Sighting<'_>| {
        let is_back = sighting.uid.is_some_and(|uid| state.gone.contains(uid));
        if !is_back {
            return sifted.keep(sighting);
        }
        let filing = Filing {
            uid: summary.uid_next,
            flags: sighting.flags,
            letters: sighting.letters,
        };
        let name = state.name.of(sifted.store.root());
        log::warn!("{name}: {} is back, under a new UID", sighting.name);
        let named = sifted
            .store
            .transfer(&state.name, &sighting.blob(), &state.name, &filing);
        let blob = match named {
            Ok(blob) => blob,
            // It went again since the directory was read.
            Err(crate::store::Error::NoSuchMessage) => return Ok(()),
            Err(error) => return Err(store_fault("naming a message")(error)),
        };
        let next = filing.uid.next();
        summary.uid_next = next.ok_or(Error::Limit("no UIDs left in this mailbox"))?;
        any = true;
        sifted.keep(&Sighting {
            name: &blob.name,
            place: blob.place,
            flags: blob.flags,
            letters: blob.letters,
            uid: Some(filing.uid),
            listed: false,
            alias: None,
        })
    };
    sift(shared.sort_octets(), store, census, each, &mut |_| Ok(()))?;
    if any {
        store.sync().map_err(store_fault("syncing a mailbox"))?;
    }
    Ok(())
}
