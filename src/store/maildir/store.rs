//! The store over one Maildir++ root.

use super::directory::{Directory, Unsynced, make_durable_directory};
use super::draft::{Home, MaildirDraft};
use super::filing::{change, file_name, filed, place_for, placed};
use super::going::Going;
use super::listing::{self, Listing};
use super::{keywords, name, promise, takeover, uidlist};
use crate::codec::packed::Method;
use crate::config::{InfoSeparator, Layout};
use crate::mail::{Keyword, MailboxName, SystemFlags, Uid, UidSet, UidValidity};
use crate::store::packed;
use crate::store::side::base::stored_octets;
use crate::store::side::beyond::{self, Beyond};
use crate::store::side::furnish::furnish;
use crate::store::side::lock::{DotLock, create_with, replace, replace_with};
use crate::store::side::subscriptions::{self, Kind};
use crate::store::side::uid_validity::Reserved;
use crate::store::side::{disk, unique};
use crate::store::{
    Blob, BlobId, Census, Draft, Error, Filing, Lines, MailboxState, Place, Scanned, Stamp, Store,
    WatchedNames,
};
use crate::sys::regular;
use rustix::io::Errno;
use std::cell::OnceCell;
use std::collections::HashMap;
use std::fs::{self, File};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// How often a directory that changes while it is read is read again.
const LOOKS: usize = 5;

/// A handle on the mailboxes of one user.
pub(crate) struct Maildir {
    pub(super) root: PathBuf,
    pub(super) host: String,
    pub(super) tmp: Option<Arc<OwnedFd>>,
    pub(super) open: Vec<Directory>,
    /// The letters of keywords, for each mailbox, that were waited for and that nobody named.
    pub(super) nameless: HashMap<MailboxName, u32>,
    /// How many entries are no messages, for each mailbox, as far as the log has it.
    pub(super) others: HashMap<MailboxName, usize>,
    /// How many directories have mailboxes without names, as far as the log has it.
    pub(super) hidden: usize,
    pub(super) validities: Reserved,
    /// Messages that go with the next sync.
    pub(super) going: Vec<Going>,
    /// The root lies on a network file system, once somebody asked.
    pub(super) remote: OnceCell<bool>,
    /// How new messages are compressed.
    method: Option<Method>,
    /// Names of new ones tell checksums.
    sums: bool,
    pub(super) layout: Layout,
    pub(super) separator: InfoSeparator,
}

/// What the name of a directory begins with that was in the place of a message.
const ASIDE: &str = ".dovelet-aside-";

/// Types of file systems (statfs(2)) whose files other hosts or other layers may change: NFS, SMB,
/// CIFS, SMB2, 9P, Ceph, AFS, OCFS2, GFS2, FUSE.
const REMOTE: [u32; 10] = [
    0x6969,
    0x517b,
    0xff53_4d42,
    0xfe53_4d42,
    0x0102_1997,
    0x00c3_6400,
    0x5346_414f,
    0x7461_636f,
    0x0116_1970,
    0x6573_5546,
];

/// Those whose journals have an entry of a directory and the directory's time together: ext3 and ext4, XFS, btrfs,
/// F2FS, ZFS; of tmpfs a power cut leaves nothing.
const KEEPING: [u32; 6] = [
    0xef53,
    0x5846_5342,
    0x9123_683e,
    0xf2f5_2010,
    0x2fc1_2fc1,
    0x0102_1994,
];

/// `None`: it cannot be told.
fn is_among(path: &Path, types: &[u32]) -> Option<bool> {
    let fs = rustix::fs::statfs(path).ok()?;
    Some(types.contains(&(fs.f_type as u32)))
}

fn remote(path: &Path) -> bool {
    // What cannot be told is treated with care.
    is_among(path, &REMOTE).unwrap_or(true)
}

fn modified(path: &Path) -> i64 {
    fs::metadata(path).map_or(0, |m| {
        m.mtime()
            .saturating_mul(1_000_000_000)
            .saturating_add(m.mtime_nsec())
    })
}

impl Maildir {
    /// Opens the Maildir at `root` and makes it if it is not there.
    pub(crate) fn open(root: &Path, layout: Layout) -> Result<Maildir, Error> {
        if !root.join("cur").is_dir() {
            disk::make_tree(root)?;
            for part in ["tmp", "new", "cur"] {
                disk::make_directory(&root.join(part))?;
            }
            disk::sync_directory_at(root)?;
        }
        let maildir = Maildir {
            root: root.to_owned(),
            host: unique::host(),
            tmp: None,
            open: Vec::new(),
            nameless: HashMap::new(),
            others: HashMap::new(),
            hidden: 0,
            validities: Reserved::default(),
            going: Vec::new(),
            remote: OnceCell::new(),
            method: None,
            sums: false,
            layout,
            separator: InfoSeparator::default(),
        };
        if layout == Layout::Nested {
            maildir.end_moving()?;
        }
        Ok(maildir)
    }

    /// Names of messages that are filed tell a checksum of their octets.
    pub(crate) fn summing(self) -> Maildir {
        Maildir { sums: true, ..self }
    }

    /// Flags of messages that are filed or marked are behind that.
    pub(crate) fn separating(self, separator: InfoSeparator) -> Maildir {
        Maildir { separator, ..self }
    }

    /// New messages are compressed like that.
    pub(crate) fn compressing(self, method: Option<Method>) -> Maildir {
        Maildir { method, ..self }
    }

    fn lies_remote(&self) -> bool {
        *self.remote.get_or_init(|| remote(&self.root))
    }

    fn open_file(&mut self, name: &MailboxName, blob: &BlobId) -> Result<File, Error> {
        let open = |fd: &OwnedFd, _: &BlobId, file: &str| {
            // What is no file cannot be read.
            regular::open_in(fd, file).map_err(|e| Errno::from_io_error(&e).unwrap_or(Errno::IO))
        };
        Ok(self.with_file(name, blob, open)?.0)
    }
}

fn own(draft: &mut dyn Draft) -> Result<&mut MaildirDraft, Error> {
    let own = draft.as_any().downcast_mut();
    own.ok_or(Error::Corrupt { what: "a draft" })
}

impl Store for Maildir {
    fn stage(&mut self) -> Result<Box<dyn Draft>, Error> {
        let tmp = self.tmp()?;
        let draft = MaildirDraft::create(&tmp, &self.host, self.method)?;
        Ok(Box::new(match self.sums {
            true => draft.summing(),
            false => draft,
        }))
    }

    fn scratch(&mut self) -> Result<fs::File, Error> {
        let tmp = self.tmp()?;
        MaildirDraft::create(&tmp, &self.host, None)?.nameless()
    }

    fn save(&mut self, draft: &mut dyn Draft, _to: &MailboxName) -> Result<(), Error> {
        own(draft)?.sync()
    }

    fn commit(
        &mut self,
        draft: &mut dyn Draft,
        to: &MailboxName,
        new: &Filing,
    ) -> Result<BlobId, Error> {
        let wire = draft.octets();
        let draft = own(draft)?;
        draft.flush()?;
        let unique = match draft.home {
            Home::Staged(..) => draft.unique.clone(),
            Home::Committed(..) => unique::unique(&self.host),
        };
        let base = name::base(
            &unique,
            draft.stored_octets(),
            wire,
            draft.identity,
            new.uid,
        );
        let base = base + &draft.sum_field();
        let blob = placed(base, new.flags, new.letters);
        let target = self.directory(to)?.of(blob.place).clone();
        let file = file_name(&blob, self.separator);
        match &draft.home {
            Home::Staged(tmp, staged) => match disk::rename(tmp, staged, &target, &file) {
                // A mailbox may be a link to another file system.
                Err(Errno::XDEV) => {
                    self.copy_into(&mut draft.file, to, &blob)?;
                    let _ = disk::unlink(tmp, staged);
                }
                renamed => renamed.map_err(|error| self.name_fault(error))?,
            },
            Home::Committed(from, first) => {
                if disk::link(from, first, &target, &file).is_err() {
                    self.copy_into(&mut draft.file, to, &blob)?;
                }
            }
        }
        self.directory(to)?.change(blob.place, Unsynced::Came);
        if let Home::Staged(..) = draft.home {
            draft.home = Home::Committed(target, file);
        }
        Ok(blob)
    }

    fn copy(
        &mut self,
        from: &MailboxName,
        blob: &BlobId,
        to: &MailboxName,
        new: &Filing,
    ) -> Result<BlobId, Error> {
        let now = crate::sys::clock::now_seconds();
        let base = name::carried(&blob.name, new.uid, now, &self.host);
        let directory = self.directory(to)?;
        let targets = [directory.new.clone(), directory.cur.clone()];
        let target = |filed: &BlobId| {
            let [new, cur] = &targets;
            match filed.place {
                Place::New => new.clone(),
                Place::Cur => cur.clone(),
            }
        };
        let separator = self.separator;
        let link = |fd: &OwnedFd, found: &BlobId, name: &str| {
            let filed = filed(base.clone(), new, blob, found);
            match disk::link(fd, name, &target(&filed), &file_name(&filed, separator)) {
                Ok(()) => Ok((filed, true)),
                Err(Errno::NOENT) => Err(Errno::NOENT),
                Err(_) => Ok((filed, false)),
            }
        };
        let ((filed, linked), found) = self.with_file(from, blob, link)?;
        if !linked {
            let mut source = self.open_file(from, &found)?;
            self.copy_into(&mut source, to, &filed)?;
        }
        self.directory(to)?.change(filed.place, Unsynced::Came);
        Ok(filed)
    }

    fn transfer(
        &mut self,
        from: &MailboxName,
        blob: &BlobId,
        to: &MailboxName,
        new: &Filing,
    ) -> Result<BlobId, Error> {
        if self.is_going(from, blob) {
            return Err(Error::NoSuchMessage);
        }
        let now = crate::sys::clock::now_seconds();
        let base = name::carried(&blob.name, new.uid, now, &self.host);
        let directory = self.directory(to)?;
        let targets = [directory.new.clone(), directory.cur.clone()];
        let separator = self.separator;
        let rename = |fd: &OwnedFd, found: &BlobId, name: &str| {
            let filed = filed(base.clone(), new, blob, found);
            let [new, cur] = &targets;
            let (target, file) = match filed.place {
                Place::New => (new, filed.name.to_string()),
                Place::Cur => (cur, file_name(&filed, separator)),
            };
            match disk::rename(fd, name, target, &file) {
                Ok(()) => Ok((filed, true)),
                Err(Errno::XDEV) => Ok((filed, false)),
                Err(error) => Err(error),
            }
        };
        let ((filed, moved), found) = self.with_file(from, blob, rename)?;
        if moved {
            self.directory(from)?.change(found.place, Unsynced::Went);
        } else {
            let mut source = self.open_file(from, &found)?;
            self.copy_into(&mut source, to, &filed)?;
            // One file system does not wait for the other.
            let [new, cur] = &targets;
            let target = if filed.place == Place::New { new } else { cur };
            disk::sync_directory(target).map_err(io::Error::from)?;
            self.remove(from, &found)?;
        }
        self.directory(to)?.change(filed.place, Unsynced::Came);
        Ok(filed)
    }

    fn leave(&mut self, from: &MailboxName, blob: &BlobId) -> Result<(), Error> {
        self.note_going(from, blob)
    }

    fn stay(&mut self) {
        self.going.pop();
    }

    fn sync(&mut self) -> Result<(), Error> {
        if self.going.is_empty() {
            return self.sync_names();
        }
        let synced = self.sync_names();
        if synced.is_err() {
            self.going.clear();
            return synced;
        }
        self.let_go()?;
        self.sync_names()
    }

    fn sync_mailbox(&mut self, name: &MailboxName) -> Result<(), Error> {
        let directory = self.directory(name)?;
        directory.change(Place::New, Unsynced::Came);
        directory.change(Place::Cur, Unsynced::Came);
        self.sync()
    }

    fn promise(&mut self, name: &MailboxName, (first, last): (Uid, Uid)) -> Result<(), Error> {
        let tmp = self.path(name)?.join("tmp");
        if !tmp.is_dir() {
            make_durable_directory(&tmp)?;
        }
        promise::make(&tmp, first, last)
    }

    fn fulfil(&mut self, name: &MailboxName, (first, last): (Uid, Uid)) -> Result<(), Error> {
        promise::end(&self.path(name)?.join("tmp"), first, last)
    }

    fn promised(&mut self, name: &MailboxName) -> Result<Vec<(Uid, Uid)>, Error> {
        promise::all(&self.path(name)?.join("tmp"))
    }

    fn whereabouts(&self, name: &MailboxName, blob: &BlobId) -> PathBuf {
        let mailbox = self.path(name).unwrap_or_else(|_| self.root.clone());
        let place = match blob.place {
            Place::New => "new",
            Place::Cur => "cur",
        };
        mailbox.join(place).join(file_name(blob, self.separator))
    }

    fn open(&mut self, name: &MailboxName, blob: &BlobId) -> Result<Blob, Error> {
        let file = self.open_file(name, blob)?;
        let metadata = file.metadata()?;
        Ok(Blob {
            body: packed::body(Arc::new(file), 0, metadata.len())?,
            internal_date: metadata.mtime(),
        })
    }

    fn is_whole(&mut self, name: &MailboxName, blob: &BlobId) -> Result<bool, Error> {
        let Some(told) = stored_octets(&blob.name) else {
            return Ok(true);
        };
        let metadata = fs::symlink_metadata(self.whereabouts(name, blob));
        match metadata.map(|found| (found.is_file(), found.len() == told)) {
            Ok((true, true)) => return Ok(true),
            // No link is followed.
            Ok((false, _)) => return Ok(false),
            _ => {}
        }
        // Of what is compressed the name tells how long it is without.
        match self.open(name, blob) {
            Ok(blob) => Ok(blob.body.length() == told),
            Err(Error::NoSuchMessage) => Ok(false),
            Err(error) if error.is_damage() => Ok(false),
            Err(error) => Err(error),
        }
    }

    fn mark(
        &mut self,
        name: &MailboxName,
        blob: &BlobId,
        flags: SystemFlags,
        letters: u32,
    ) -> Result<(BlobId, bool), Error> {
        // Another program may have changed other flags meanwhile: those stay.
        let wanted = |found: &BlobId| {
            let flags = change(blob.flags, flags, found.flags);
            let letters = found.letters & !(blob.letters & !letters) | letters & !blob.letters;
            BlobId {
                name: blob.name.clone(),
                place: match found.place {
                    Place::New => place_for(flags, letters),
                    Place::Cur => Place::Cur,
                },
                flags,
                letters,
            }
        };
        if wanted(blob) == *blob {
            return Ok((blob.clone(), false));
        }
        let separator = self.separator;
        let directory = self.directory(name)?;
        let targets = [directory.new.clone(), directory.cur.clone()];
        let ((marked, renamed), found) = self.with_file(name, blob, |fd, found, old| {
            let marked = wanted(found);
            let [new, cur] = &targets;
            let (target, file) = match marked.place {
                Place::New => (new, old.to_owned()),
                Place::Cur => {
                    let (flags, letters) = (marked.flags, marked.letters);
                    (cur, name::reflagged(old, separator, flags, letters))
                }
            };
            let renamed = marked.place != found.place || old != file;
            if renamed {
                disk::rename(fd, old, target, &file)?;
            }
            Ok((marked, renamed))
        })?;
        if renamed {
            let directory = self.directory(name)?;
            directory.change(marked.place, Unsynced::Came);
            directory.change(found.place, Unsynced::Went);
        }
        Ok((marked, renamed))
    }

    fn remove(&mut self, name: &MailboxName, blob: &BlobId) -> Result<bool, Error> {
        // What has no octets of a message, and may have anything else, counts as none from then on.
        let aside = format!("{ASIDE}{}", unique::unique(&self.host));
        let remove = |fd: &OwnedFd, found: &BlobId, file: &str| {
            let deleted = |blob: &BlobId| blob.flags.contains(SystemFlags::DELETED);
            // Another program took the flag away meanwhile, so the message has to stay.
            if deleted(blob) && !deleted(found) {
                return Err(Errno::NOENT);
            }
            match disk::unlink(fd, file) {
                Err(Errno::ISDIR) => disk::rename(fd, file, fd, &aside),
                unlinked => unlinked,
            }
        };
        match self.with_file(name, blob, remove) {
            Ok((_, found)) => {
                self.directory(name)?.change(found.place, Unsynced::Went);
                Ok(true)
            }
            Err(Error::NoSuchMessage) => Ok(false),
            Err(error) => Err(error),
        }
    }

    fn scan(&mut self, name: &MailboxName) -> Result<Scanned, Error> {
        self.census(name, usize::MAX)?.whole()
    }

    fn census(&mut self, name: &MailboxName, octets: usize) -> Result<Census, Error> {
        // Other directories may have the name by now.
        self.close(name)?;
        let mut stamp = self.stamp(name)?;
        let mut looks = 0;
        loop {
            let looked = self.look(name, octets)?;
            // A file renamed while the directory was read may have been missed.
            let after = self.stamp(name)?;
            looks += 1;
            if after == stamp || looks == LOOKS {
                return self.told(name, looked, stamp);
            }
            stamp = after;
        }
    }

    fn listed(&mut self, name: &MailboxName) -> Result<UidSet, Error> {
        let mut uids = UidSet::new();
        if let Some(listing) = Listing::open(&self.path(name)?)? {
            let mut entries = listing.entries();
            while let Some(entry) = entries.next()? {
                uids.insert(entry.uid);
            }
        }
        Ok(uids)
    }

    fn record(
        &mut self,
        name: &MailboxName,
        state: &MailboxState,
        lines: &mut dyn Lines,
    ) -> Result<(), Error> {
        let path = self.path(name)?;
        let file = path.join(uidlist::FILE);
        let _lock = DotLock::take(&file)?;
        if uidlist::append(&file, state, lines)? {
            return Ok(());
        }
        // UIDs were given to what is gone already: only the header can say so.
        let old = Listing::open(&path)?;
        let old = old.ok_or(Error::Corrupt {
            what: uidlist::FILE,
        })?;
        replace_with(&file, &mut |out| {
            listing::write(Some(&old), state, &mut old.entries(), out)
        })
    }

    fn record_all(
        &mut self,
        name: &MailboxName,
        state: &MailboxState,
        lines: &mut dyn Lines,
    ) -> Result<(), Error> {
        let path = self.path(name)?;
        let file = path.join(uidlist::FILE);
        let _lock = DotLock::take(&file)?;
        match Listing::open(&path)? {
            Some(old) => replace_with(&file, &mut |out| {
                listing::write(Some(&old), state, lines, out)
            }),
            // One that is cut says nothing that anybody was told.
            None => create_with(&file, &mut |out| listing::write(None, state, lines, out)),
        }
    }

    fn record_uidls(&mut self, name: &MailboxName, uidls: &[(Uid, &str)]) -> Result<(), Error> {
        let path = self.path(name)?;
        let file = path.join(uidlist::FILE);
        let _lock = DotLock::take(&file)?;
        let Some(old) = Listing::open(&path)? else {
            return Ok(());
        };
        replace_with(&file, &mut |out| Ok(old.write_uidls(uidls, out)?))
    }

    fn record_keywords(
        &mut self,
        name: &MailboxName,
        keywords: &[Option<Keyword>],
    ) -> Result<(), Error> {
        let path = self.path(name)?;
        let file = path.join(keywords::FILE);
        let _lock = DotLock::take(&path.join(uidlist::FILE))?;
        let named = keywords::parse(&regular::read(&file).unwrap_or_default());
        let differs = |(at, named): (usize, &Option<Keyword>)| {
            named.is_some() && keywords.get(at) != Some(named)
        };
        if named.iter().enumerate().any(differs) {
            return Err(Error::Corrupt {
                what: keywords::FILE,
            });
        }
        replace(&file, keywords::encode(keywords).as_bytes())
    }

    fn stamp(&mut self, name: &MailboxName) -> Result<Stamp, Error> {
        let path = self.path(name)?;
        let stamp = Stamp {
            new: modified(&path.join("new")),
            cur: modified(&path.join("cur")),
            list: modified(&path.join(uidlist::FILE)),
            coarse: self.lies_remote(),
        };
        if stamp.cur == 0 && !self.is_mailbox(&path) {
            Err(Error::NoSuchMailbox)
        } else {
            Ok(stamp)
        }
    }

    fn listed_at(&mut self, name: &MailboxName) -> Result<i64, Error> {
        let path = self.path(name)?;
        match modified(&path.join(uidlist::FILE)) {
            0 if !self.is_mailbox(&path) => Err(Error::NoSuchMailbox),
            list => Ok(list),
        }
    }

    fn watched(&self, name: &MailboxName) -> Vec<PathBuf> {
        let path = self.path(name).ok();
        path.map_or(Vec::new(), |p| vec![p.join("new"), p.join("cur")])
    }

    fn watched_names(&self) -> WatchedNames {
        match self.layout {
            Layout::Dotted if self.lies_remote() => WatchedNames::default(),
            Layout::Dotted => WatchedNames {
                directories: vec![self.root.clone()],
                all: true,
            },
            // They would be very many.
            Layout::Nested => WatchedNames::default(),
        }
    }

    fn is_exclusive(&self, _of: &MailboxName) -> bool {
        false
    }

    fn keeps_stamps(&self, _name: &MailboxName) -> bool {
        is_among(&self.root, &KEEPING).unwrap_or(false)
    }

    fn is_remote(&self, _of: &MailboxName) -> bool {
        self.lies_remote()
    }

    fn subscribed_in(&self) -> Kind {
        match self.layout {
            Layout::Dotted => Kind::Dotted,
            Layout::Nested => Kind::Slashed,
        }
    }

    fn subscriptions(&mut self) -> Result<Vec<MailboxName>, Error> {
        self.take_subscriptions()?;
        subscriptions::read(&self.root, self.subscribed_in())
    }

    fn subscribe(&mut self, name: &MailboxName, subscribed: bool) -> Result<(), Error> {
        self.take_subscriptions()?;
        subscriptions::subscribe(&self.root, self.subscribed_in(), name, subscribed)
    }

    fn subscribe_to(&mut self, names: &[MailboxName]) -> Result<(), Error> {
        self.take_subscriptions()?;
        subscriptions::subscribe_to(&self.root, self.subscribed_in(), names)
    }

    fn mailboxes(&mut self) -> Result<Vec<MailboxName>, Error> {
        self.all_mailboxes()
    }

    fn create(&mut self, name: &MailboxName) -> Result<(), Error> {
        self.make_mailbox(name)
    }

    fn furnish(&mut self, names: &[MailboxName]) -> Result<(), Error> {
        let root = self.root.clone();
        furnish(self, &root, names)
    }

    fn rename(&mut self, from: &MailboxName, to: &MailboxName) -> Result<(), Error> {
        self.rename_mailbox(from, to)
    }

    fn delete(&mut self, name: &MailboxName) -> Result<(), Error> {
        self.remove_mailbox(name)
    }

    fn root(&self) -> &Path {
        &self.root
    }

    fn directory(&self, name: &MailboxName) -> Result<PathBuf, Error> {
        self.path(name)
    }

    fn beyond(&mut self, of: &MailboxName, validity: UidValidity) -> Result<Option<Beyond>, Error> {
        let path = self.path(of)?;
        if takeover::may_have_more(&path) {
            log::warn!(
                "{}: Dovecot's index may have keywords beyond the 26 that Maildir has room for; to have \
                 them here, stop the server, then `dovelet adopt {}` and `dovelet doctor --rebuild`",
                path.display(),
                self.root.display()
            );
        }
        beyond::read_of(&path, validity)
    }

    fn sweep(&mut self, name: &MailboxName) -> Result<(), Error> {
        self.sweep_away(name)
    }
}
