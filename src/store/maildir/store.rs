//! The store over one Maildir++ root.

use super::draft::{Home, MaildirDraft, set_date};
use super::lock::{DotLock, replace};
use super::uidlist::{self, UidList};
use super::{disk, keywords, layout, metadata, name, promise, scan};
use super::{special_use, subscriptions};
use crate::mail::{Guid, Keyword, MailboxName, SpecialUse, SystemFlags, Uid, UidValidity};
use crate::store::{
    Annotations, Blob, BlobId, Draft, Error, Filing, Found, MailboxState, Place, Scanned, Stamp,
    Store,
};
use rustix::fs::{AtFlags, Mode, OFlags};
use rustix::io::Errno;
use std::cell::OnceCell;
use std::fs::{self, File};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// Directories kept open by one handle.
const MAX_OPEN: usize = 2;
/// Drafts that nobody finished for this long are removed.
const STALE_DRAFT: Duration = Duration::from_secs(36 * 3600);
/// A mailbox being removed.
const DELETED: &str = "..dovelet-deleted-";
const CREATING: &str = "..dovelet-new-";
/// There while the first mailboxes are made.
const UNFINISHED: &str = "dovelet-unfinished";
/// How often a directory that changes while it is read is read again.
const SCANS: usize = 5;

/// A handle on the mailboxes of one user.
pub(crate) struct Maildir {
    root: PathBuf,
    host: String,
    tmp: Option<Arc<OwnedFd>>,
    open: Vec<Directory>,
    /// The root lies on a network file system, once somebody asked.
    remote: OnceCell<bool>,
}

/// The open directories of one mailbox.
struct Directory {
    name: MailboxName,
    new: Arc<OwnedFd>,
    cur: Arc<OwnedFd>,
    /// Of `new` and `cur`.
    unsynced: [Unsynced; 2],
}

/// What happened in a directory since its last sync.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Unsynced {
    Nothing,
    /// Names went.
    Went,
    /// Names came.
    Came,
}

impl Directory {
    fn of(&self, place: Place) -> &Arc<OwnedFd> {
        match place {
            Place::New => &self.new,
            Place::Cur => &self.cur,
        }
    }

    fn change(&mut self, place: Place, what: Unsynced) {
        let [new, cur] = &mut self.unsynced;
        let unsynced = match place {
            Place::New => new,
            Place::Cur => cur,
        };
        *unsynced = what.max(*unsynced);
    }

    /// Syncs what is in this state.
    fn sync(&mut self, what: Unsynced) -> Result<(), Error> {
        for (fd, unsynced) in [&self.new, &self.cur].into_iter().zip(&mut self.unsynced) {
            if *unsynced == what {
                disk::sync_directory(fd).map_err(io::Error::from)?;
                *unsynced = Unsynced::Nothing;
            }
        }
        Ok(())
    }
}

fn file_name(blob: &BlobId) -> String {
    match blob.place {
        Place::New => blob.name.to_string(),
        Place::Cur => name::with_flags(&blob.name, blob.flags, blob.letters),
    }
}

fn place_for(flags: SystemFlags, letters: u32) -> Place {
    if flags.is_empty() && letters == 0 {
        Place::New
    } else {
        Place::Cur
    }
}

/// The name and place of a message that is to be filed.
fn placed(base: String, flags: SystemFlags, letters: u32) -> BlobId {
    BlobId {
        name: base.into(),
        place: place_for(flags, letters),
        flags,
        letters,
    }
}

/// As `placed`, for what was filed before: flags that another program changed since `known` stay so.
/// (Letters need not mean the same in another mailbox.)
fn filed(base: String, new: &Filing, known: &BlobId, found: &BlobId) -> BlobId {
    let flags = change(known.flags, found.flags, new.flags);
    placed(base, flags, new.letters)
}

/// What is different between the first two is made different in `flags`, too.
fn change(before: SystemFlags, after: SystemFlags, flags: SystemFlags) -> SystemFlags {
    flags
        .without(before.without(after))
        .with(after.without(before))
}

fn open_directory(path: &Path) -> io::Result<Arc<OwnedFd>> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    Ok(Arc::new(rustix::fs::open(path, flags, Mode::empty())?))
}

/// Makes a directory whose name is durable when it returns.
fn make_durable_directory(path: &Path) -> io::Result<()> {
    disk::make_directory(path)?;
    path.parent().map_or(Ok(()), disk::sync_directory_at)
}

/// Makes what is missing above a Maildir, and its root.
fn make_root(root: &Path) -> io::Result<()> {
    let missing = root.ancestors().take_while(|path| !path.exists());
    for path in missing.collect::<Vec<_>>().into_iter().rev() {
        disk::make_directory(path)?;
        // A confined process may not open what is above its own mail; who made that syncs it.
        let _ = path.parent().map(disk::sync_directory_at);
    }
    Ok(())
}

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

fn remote(path: &Path) -> bool {
    // What cannot be told is treated with care.
    rustix::fs::statfs(path).map_or(true, |fs| REMOTE.contains(&(fs.f_type as u32)))
}

fn modified(path: &Path) -> i64 {
    fs::metadata(path).map_or(0, |m| {
        m.mtime()
            .saturating_mul(1_000_000_000)
            .saturating_add(m.mtime_nsec())
    })
}

impl Maildir {
    /// The directory of staged messages, made if it is not there.
    fn tmp(&mut self) -> Result<Arc<OwnedFd>, Error> {
        if let Some(tmp) = &self.tmp {
            return Ok(tmp.clone());
        }
        let path = self.root.join("tmp");
        let tmp = open_directory(&path)
            .or_else(|_| make_durable_directory(&path).and_then(|()| open_directory(&path)))?;
        Ok(self.tmp.insert(tmp).clone())
    }

    /// Opens the Maildir at `root` and makes it if it is not there.
    pub(crate) fn open(root: &Path) -> Result<Maildir, Error> {
        if !root.join("cur").is_dir() {
            make_root(root)?;
            for part in ["tmp", "new", "cur"] {
                disk::make_directory(&root.join(part))?;
            }
            disk::sync_directory_at(root)?;
        }
        Ok(Maildir {
            root: root.to_owned(),
            host: name::host(),
            tmp: None,
            open: Vec::new(),
            remote: OnceCell::new(),
        })
    }

    /// The directory of a mailbox; if there is none, that which it would have.
    fn path(&self, name: &MailboxName) -> Result<PathBuf, Error> {
        let path = layout::directory(&self.root, name).ok_or(Error::NoSuchMailbox)?;
        if layout::has_one_spelling(name) || path.exists() {
            return Ok(path);
        }
        // Other programs may have written the name in plain UTF-8, or otherwise.
        let is_named = |entry: &fs::DirEntry| {
            let file = entry.file_name();
            let storage = file.as_encoded_bytes().strip_prefix(b".");
            storage.and_then(layout::mailbox_name).as_ref() == Some(name) && entry.path().is_dir()
        };
        if let Some(plain) = layout::plain_directory(&self.root, name)
            && plain.is_dir()
        {
            return Ok(plain);
        }
        let mut entries = fs::read_dir(&self.root)?.flatten();
        Ok(entries.find(is_named).map_or(path, |entry| entry.path()))
    }

    /// The open directories of a mailbox; subdirectories that are missing are made.
    fn directory(&mut self, name: &MailboxName) -> Result<&mut Directory, Error> {
        if let Some(at) = self.open.iter().position(|d| d.name == *name) {
            let last = self.open.len() - 1;
            self.open.swap(at, last);
        } else {
            let path = self.path(name)?;
            if !path.is_dir() {
                return Err(Error::NoSuchMailbox);
            }
            let part = |part: &str| {
                let path = path.join(part);
                open_directory(&path)
                    .or_else(|_| make_durable_directory(&path).and_then(|()| open_directory(&path)))
            };
            let directory = Directory {
                name: name.clone(),
                new: part("new")?,
                cur: part("cur")?,
                unsynced: [Unsynced::Nothing; 2],
            };
            // The mailbox used longest ago is closed, but what it has to sync is synced first.
            if self.open.len() >= MAX_OPEN {
                self.sync()?;
                self.open.remove(0);
            }
            self.open.push(directory);
        }
        self.open.last_mut().ok_or(Error::NoSuchMailbox)
    }

    /// Closes the directories of a mailbox.
    fn close(&mut self, name: &MailboxName) -> Result<(), Error> {
        if self.open.iter().any(|d| d.name == *name) {
            self.sync()?;
            self.open.retain(|d| d.name != *name);
        }
        Ok(())
    }

    /// Where the file of a message is now, if not under the name we know, and that name: other
    /// programs need not spell it as this server does.
    fn locate(&mut self, name: &MailboxName, base: &str) -> Result<(BlobId, String), Error> {
        let directory = self.directory(name)?;
        for place in [Place::Cur, Place::New] {
            let mut hit = None;
            let fd = directory.of(place).clone();
            scan::entries(fd.as_fd(), &mut |file| {
                let Ok(file) = std::str::from_utf8(file) else {
                    return;
                };
                let (found, flags, letters) = name::split(file);
                if found == base {
                    let blob = BlobId {
                        name: base.into(),
                        place,
                        flags,
                        letters,
                    };
                    hit = Some((blob, file.to_owned()));
                }
            })?;
            if let Some(hit) = hit {
                return Ok(hit);
            }
        }
        Err(Error::NoSuchMessage)
    }

    /// Runs `action` with the message's directory and file name; again where it really is if it is
    /// not there. Returns where it was.
    fn with_file<T>(
        &mut self,
        name: &MailboxName,
        blob: &BlobId,
        action: impl Fn(&OwnedFd, &BlobId, &str) -> rustix::io::Result<T>,
    ) -> Result<(T, BlobId), Error> {
        let directory = self.directory(name)?;
        match action(directory.of(blob.place), blob, &file_name(blob)) {
            Ok(done) => return Ok((done, blob.clone())),
            Err(Errno::NOENT) => {}
            Err(error) => return Err(io::Error::from(error).into()),
        }
        let (blob, file) = self.locate(name, &blob.name)?;
        let directory = self.directory(name)?;
        match action(directory.of(blob.place), &blob, &file) {
            Ok(done) => Ok((done, blob)),
            Err(Errno::NOENT) => Err(Error::NoSuchMessage),
            Err(error) => Err(io::Error::from(error).into()),
        }
    }

    /// The side file of annotations, which need not be there.
    fn metadata_file(&self, of: Option<&MailboxName>) -> Result<PathBuf, Error> {
        let Some(name) = of else {
            return Ok(self.root.join(metadata::SERVER));
        };
        let path = self.path(name)?;
        match path.is_dir() {
            true => Ok(path.join(metadata::FILE)),
            false => Err(Error::NoSuchMailbox),
        }
    }

    fn read_uidlist(path: &Path) -> Result<Option<String>, Error> {
        match fs::read(path.join(uidlist::FILE)) {
            Ok(text) => Ok(Some(String::from_utf8(text).unwrap_or_else(|error| {
                String::from_utf8_lossy(error.as_bytes()).into_owned()
            }))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// A UIDVALIDITY higher than any given below this root. `dovecot-uidvalidity` holds the last
    /// one, and an empty file with it in its name.
    fn next_uid_validity(&self) -> Result<UidValidity, Error> {
        let path = self.root.join("dovecot-uidvalidity");
        let _lock = DotLock::take(&path)?;
        let last = fs::read_to_string(&path)
            .ok()
            .and_then(|t| u32::from_str_radix(t.trim(), 16).ok())
            .unwrap_or(0);
        let now = u32::try_from(crate::sys::clock::now_seconds()).unwrap_or(0);
        let next = last.saturating_add(1).max(now);
        let marker = |value: u32| self.root.join(format!("dovecot-uidvalidity.{value:08x}"));
        let mut options = fs::OpenOptions::new();
        options.write(true).create(true).truncate(true).mode(0o600);
        disk::create(&marker(next), &options)?;
        replace(&path, format!("{next:08x}").as_bytes())?;
        let _ = disk::remove(&marker(last));
        UidValidity::new(next).ok_or(Error::Corrupt {
            what: "dovecot-uidvalidity",
        })
    }

    fn scan_once(&mut self, name: &MailboxName, list: &UidList<'_>) -> Result<Vec<Found>, Error> {
        let directory = self.directory(name)?;
        let mut found = Vec::with_capacity(list.entries.len());
        let listed = list.by_base();
        for place in [Place::New, Place::Cur] {
            let part = directory.of(place).as_fd();
            scan::collect(part, place, list, &listed, &mut found)?;
        }
        drop(listed);
        let (ordered, twins) = scan::order(found);
        for twin in twins {
            let file = ordered.iter().find(|f| f.blob.name == twin.name);
            if let Some(file) = file {
                self.remove_twin(name, &twin, &file.blob)?;
            }
        }
        Ok(ordered)
    }

    fn scanned(
        &self,
        path: &Path,
        list: Option<UidList<'_>>,
        found: Vec<Found>,
        stamp: Stamp,
    ) -> Result<Scanned, Error> {
        let missing = list.is_none();
        let list = list.unwrap_or_default();
        let live = found.iter().filter(|f| f.listed).count();
        let state = MailboxState {
            uid_validity: list
                .uid_validity
                .map_or_else(|| self.next_uid_validity(), Ok)?,
            uid_next: scan::uid_next(&list, &found),
            guid: list.guid.map_or_else(random_guid, Ok)?,
            keywords: keywords::parse(&fs::read(path.join(keywords::FILE)).unwrap_or_default()),
        };
        let rewrite = missing
            || list.damaged
            || list.guid.is_none()
            || (list.entries.len() - live) * 4 > list.entries.len() + 100;
        Ok(Scanned {
            state,
            found,
            stamp,
            header_known: list.uid_validity.is_some(),
            rewrite,
        })
    }

    /// A copy for file systems without links, and from one to another. Its bytes are durable before
    /// it gets its name, which is durable after [`Store::sync`].
    fn copy_into(
        &mut self,
        source: &mut File,
        to: &MailboxName,
        blob: &BlobId,
    ) -> Result<(), Error> {
        let path = self.path(to)?.join("tmp");
        let tmp = open_directory(&path)
            .or_else(|_| make_durable_directory(&path).and_then(|()| open_directory(&path)))?;
        let staged = name::unique(&self.host);
        let target = self.directory(to)?.of(blob.place).clone();
        let mut file = disk::create_in(&tmp, &staged).map_err(io::Error::from)?;
        let copied = copy_bytes(source, &mut file).and_then(|()| {
            let named = disk::rename(&tmp, &staged, &target, &file_name(blob));
            named.map_err(|error| io::Error::from(error).into())
        });
        if copied.is_err() {
            let _ = disk::unlink(&tmp, &staged);
        }
        copied
    }

    /// A move from `new` to `cur` that a power cut left half done: the file has both names.
    fn remove_twin(
        &mut self,
        name: &MailboxName,
        twin: &BlobId,
        kept: &BlobId,
    ) -> Result<(), Error> {
        let directory = self.directory(name)?;
        let inode = |blob: &BlobId| {
            let flags = AtFlags::SYMLINK_NOFOLLOW;
            rustix::fs::statat(directory.of(blob.place), file_name(blob), flags).map(|s| s.st_ino)
        };
        let (Ok(a), Ok(b)) = (inode(twin), inode(kept)) else {
            // Seen twice because it was moved while the directories were read.
            return Ok(());
        };
        if a == b && twin.place == Place::New && kept.place == Place::Cur {
            disk::unlink(&directory.new, &twin.name).map_err(io::Error::from)?;
            directory.change(Place::New, Unsynced::Went);
        }
        Ok(())
    }
}

/// Copies bytes and date, durably.
fn copy_bytes(source: &mut File, target: &mut File) -> Result<(), Error> {
    use std::io::Seek;
    source.rewind()?;
    io::copy(source, target)?;
    set_date(&*target, source.metadata()?.mtime())?;
    Ok(disk::sync(target)?)
}

/// Of a directory that somebody else made meanwhile.
fn taken(error: io::Error) -> Error {
    match error.kind() {
        io::ErrorKind::DirectoryNotEmpty | io::ErrorKind::AlreadyExists => Error::MailboxExists,
        _ => error.into(),
    }
}

impl Store for Maildir {
    fn stage(&mut self) -> Result<Box<dyn Draft>, Error> {
        let tmp = self.tmp()?;
        Ok(Box::new(MaildirDraft::create(&tmp, &self.host)?))
    }

    fn scratch(&mut self) -> Result<fs::File, Error> {
        let tmp = self.tmp()?;
        MaildirDraft::create(&tmp, &self.host)?.nameless()
    }

    fn commit(
        &mut self,
        draft: &mut dyn Draft,
        to: &MailboxName,
        new: &Filing,
    ) -> Result<BlobId, Error> {
        let wire = draft.octets();
        let draft = draft
            .as_any()
            .downcast_mut::<MaildirDraft>()
            .ok_or(Error::Corrupt { what: "a draft" })?;
        draft.flush()?;
        let unique = match draft.home {
            Home::Staged(..) => draft.unique.clone(),
            Home::Committed(..) => name::unique(&self.host),
        };
        let base = name::base(&unique, draft.stored_octets(), wire, new.uid);
        let blob = placed(base, new.flags, new.letters);
        let target = self.directory(to)?.of(blob.place).clone();
        let file = file_name(&blob);
        match &draft.home {
            Home::Staged(tmp, staged) => match disk::rename(tmp, staged, &target, &file) {
                // A mailbox may be a link to another file system.
                Err(Errno::XDEV) => {
                    self.copy_into(&mut draft.file, to, &blob)?;
                    let _ = disk::unlink(tmp, staged);
                }
                renamed => renamed.map_err(io::Error::from)?,
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
        let link = |fd: &OwnedFd, found: &BlobId, name: &str| {
            let filed = filed(base.clone(), new, blob, found);
            match disk::link(fd, name, &target(&filed), &file_name(&filed)) {
                Ok(()) => Ok((filed, true)),
                Err(Errno::NOENT) => Err(Errno::NOENT),
                Err(_) => Ok((filed, false)),
            }
        };
        let ((filed, linked), found) = self.with_file(from, blob, link)?;
        if !linked {
            let mut source = self.open(from, &found)?.file;
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
        let now = crate::sys::clock::now_seconds();
        let base = name::carried(&blob.name, new.uid, now, &self.host);
        let directory = self.directory(to)?;
        let targets = [directory.new.clone(), directory.cur.clone()];
        let rename = |fd: &OwnedFd, found: &BlobId, name: &str| {
            let filed = filed(base.clone(), new, blob, found);
            let [new, cur] = &targets;
            let (target, file) = match filed.place {
                Place::New => (new, filed.name.to_string()),
                Place::Cur => (cur, file_name(&filed)),
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
            let mut source = self.open(from, &found)?.file;
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

    fn sync(&mut self) -> Result<(), Error> {
        for what in [Unsynced::Came, Unsynced::Went] {
            self.open.iter_mut().try_for_each(|d| d.sync(what))?;
        }
        Ok(())
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

    fn open(&mut self, name: &MailboxName, blob: &BlobId) -> Result<Blob, Error> {
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        let (fd, _) = self.with_file(name, blob, |fd, _, file| {
            rustix::fs::openat(fd, file, flags, Mode::empty())
        })?;
        let file = File::from(fd);
        let metadata = file.metadata()?;
        Ok(Blob {
            length: metadata.len(),
            internal_date: metadata.mtime(),
            file,
        })
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
        let directory = self.directory(name)?;
        let targets = [directory.new.clone(), directory.cur.clone()];
        let ((marked, renamed), found) = self.with_file(name, blob, |fd, found, old| {
            let marked = wanted(found);
            let [new, cur] = &targets;
            let (target, file) = match marked.place {
                Place::New => (new, old.to_owned()),
                Place::Cur => (cur, name::reflagged(old, marked.flags, marked.letters)),
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
        let remove = |fd: &OwnedFd, found: &BlobId, file: &str| {
            let deleted = |blob: &BlobId| blob.flags.contains(SystemFlags::DELETED);
            // Another program took the flag away meanwhile, so the message has to stay.
            if deleted(blob) && !deleted(found) {
                return Err(Errno::NOENT);
            }
            disk::unlink(fd, file)
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
        let path = self.path(name)?;
        // Other directories may have the name by now.
        self.close(name)?;
        let mut stamp = self.stamp(name)?;
        let mut scans = 0;
        loop {
            let text = Self::read_uidlist(&path)?;
            let list = text.as_deref().map(UidList::parse);
            let found = self.scan_once(name, list.as_ref().unwrap_or(&UidList::default()))?;
            // A file renamed while the directory was read may have been missed.
            let after = self.stamp(name)?;
            scans += 1;
            if after == stamp || scans == SCANS {
                return self.scanned(&path, list, found, stamp);
            }
            stamp = after;
        }
    }

    fn record(
        &mut self,
        name: &MailboxName,
        state: &MailboxState,
        lines: &[(Uid, &str)],
    ) -> Result<(), Error> {
        let path = self.path(name)?;
        let file = path.join(uidlist::FILE);
        let _lock = DotLock::take(&file)?;
        if uidlist::append(&file, state, lines)? {
            return Ok(());
        }
        // UIDs were given to what is gone already: only the header can say so.
        let text = Self::read_uidlist(&path)?.unwrap_or_default();
        let list = UidList::parse(&text);
        let lines = list.entries.iter();
        let lines: Vec<(Uid, &str)> = lines.map(|e| (e.uid, e.base)).collect();
        replace(&file, &list.with(state, &lines))
    }

    fn record_all(
        &mut self,
        name: &MailboxName,
        state: &MailboxState,
        lines: &[(Uid, &str)],
    ) -> Result<(), Error> {
        let path = self.path(name)?;
        let file = path.join(uidlist::FILE);
        let _lock = DotLock::take(&file)?;
        let text = Self::read_uidlist(&path)?.unwrap_or_default();
        replace(&file, &UidList::parse(&text).with(state, lines))
    }

    fn record_keywords(
        &mut self,
        name: &MailboxName,
        keywords: &[Option<Keyword>],
    ) -> Result<(), Error> {
        let path = self.path(name)?;
        let file = path.join(keywords::FILE);
        let _lock = DotLock::take(&path.join(uidlist::FILE))?;
        let named = keywords::parse(&fs::read(&file).unwrap_or_default());
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
            coarse: self.is_remote(),
        };
        if stamp.new == 0 && stamp.cur == 0 && !path.is_dir() {
            Err(Error::NoSuchMailbox)
        } else {
            Ok(stamp)
        }
    }

    fn watched(&self, name: &MailboxName) -> Vec<PathBuf> {
        let path = self.path(name).ok();
        path.map_or(Vec::new(), |p| vec![p.join("new"), p.join("cur")])
    }

    fn is_remote(&self) -> bool {
        *self.remote.get_or_init(|| remote(&self.root))
    }

    fn mailboxes(&mut self) -> Result<Vec<MailboxName>, Error> {
        let mut names = vec![MailboxName::inbox()];
        for entry in fs::read_dir(&self.root)? {
            let entry = entry?;
            let file = entry.file_name();
            let bytes = file.as_encoded_bytes();
            let Some(storage) = bytes.strip_prefix(b".") else {
                continue;
            };
            let Some(name) = layout::mailbox_name(storage) else {
                continue;
            };
            let kind = entry.file_type()?;
            // A link to a directory counts as one, as it does for Dovecot.
            if kind.is_dir() || (kind.is_symlink() && entry.path().is_dir()) {
                names.push(name);
            }
        }
        // One mailbox can have two directories, spelled differently.
        crate::mail::sort(&mut names);
        names.dedup();
        Ok(names)
    }

    fn create(&mut self, name: &MailboxName) -> Result<(), Error> {
        let path = self.path(name)?;
        if path.exists() {
            return Err(Error::MailboxExists);
        }
        let uid_validity = self.next_uid_validity()?;
        let staged = self
            .root
            .join(format!("{CREATING}{}", name::unique(&self.host)));
        disk::make_directory(&staged)?;
        for part in ["tmp", "new", "cur"] {
            disk::make_directory(&staged.join(part))?;
        }
        let mut options = fs::OpenOptions::new();
        options.write(true).create_new(true);
        disk::create(&staged.join("maildirfolder"), &options)?;
        let header = UidList::header(uid_validity, Uid::MIN, random_guid()?, &[]);
        replace(&staged.join(uidlist::FILE), header.as_bytes())?;
        if let Err(error) = disk::rename_over(&staged, &path) {
            let _ = disk::remove_tree(&staged);
            return Err(taken(error));
        }
        Ok(disk::sync_directory_at(&self.root)?)
    }

    fn furnish(&mut self, names: &[MailboxName]) -> Result<(), Error> {
        let unfinished = self.root.join(UNFINISHED);
        if !unfinished.exists() {
            if self.mailboxes()?.len() > 1 {
                return Ok(());
            }
            // It is empty, so that two who make it at once do not disturb each other.
            let mut options = fs::OpenOptions::new();
            options.write(true).create(true).mode(0o600);
            disk::create(&unfinished, &options)?;
            disk::sync_directory_at(&self.root)?;
        }
        for name in names {
            match self.create(name) {
                Ok(()) | Err(Error::MailboxExists) => self.subscribe(name, true)?,
                Err(error) => return Err(error),
            }
        }
        match disk::remove(&unfinished) {
            // Another process was at it too.
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error.into()),
            _ => {}
        }
        Ok(disk::sync_directory_at(&self.root)?)
    }

    fn rename(&mut self, from: &MailboxName, to: &MailboxName) -> Result<(), Error> {
        let (old, new) = (self.path(from)?, self.path(to)?);
        if new.exists() {
            return Err(Error::MailboxExists);
        }
        self.open.retain(|d| d.name != *from && d.name != *to);
        match disk::rename_over(&old, &new) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Err(Error::NoSuchMailbox),
            Err(error) => Err(taken(error)),
            Ok(()) => Ok(disk::sync_directory_at(&self.root)?),
        }
    }

    fn delete(&mut self, name: &MailboxName) -> Result<(), Error> {
        let path = self.path(name)?;
        self.open.retain(|d| d.name != *name);
        let hidden = self
            .root
            .join(format!("{DELETED}{}", name::unique(&self.host)));
        match disk::rename_over(&path, &hidden) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(Error::NoSuchMailbox);
            }
            other => other?,
        }
        disk::sync_directory_at(&self.root)?;
        // What cannot be removed now is swept later.
        let _ = disk::remove_tree(&hidden);
        Ok(())
    }

    fn subscriptions(&mut self) -> Result<Vec<MailboxName>, Error> {
        match fs::read(self.root.join(subscriptions::FILE)) {
            Ok(text) => Ok(subscriptions::parse(&text).0),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
            Err(error) => Err(error.into()),
        }
    }

    fn subscribe(&mut self, name: &MailboxName, subscribed: bool) -> Result<(), Error> {
        let path = self.root.join(subscriptions::FILE);
        let _lock = DotLock::take(&path)?;
        let (mut names, version) = match fs::read(&path) {
            Ok(text) => subscriptions::parse(&text),
            Err(error) if error.kind() == io::ErrorKind::NotFound => (Vec::new(), 2),
            Err(error) => return Err(error.into()),
        };
        if names.contains(name) == subscribed {
            return Ok(());
        }
        names.retain(|n| n != name);
        if subscribed {
            names.push(name.clone());
        }
        replace(&path, subscriptions::encode(&names, version).as_bytes())
    }

    fn special_uses(&mut self) -> Result<Vec<(SpecialUse, MailboxName)>, Error> {
        match fs::read(self.root.join(special_use::FILE)) {
            Ok(text) => Ok(special_use::parse(&text)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
            Err(error) => Err(error.into()),
        }
    }

    fn set_special_uses(&mut self, uses: &[(SpecialUse, MailboxName)]) -> Result<(), Error> {
        let path = self.root.join(special_use::FILE);
        replace(&path, special_use::encode(uses).as_bytes())
    }

    fn annotations(&mut self, of: Option<&MailboxName>) -> Result<Annotations, Error> {
        metadata::read(&self.metadata_file(of)?)
    }

    fn annotate(&mut self, of: Option<&MailboxName>, all: &Annotations) -> Result<(), Error> {
        metadata::write(&self.metadata_file(of)?, all)
    }

    fn wire_octets(&self, blob: &BlobId) -> Option<u64> {
        name::wire_octets(blob.name.as_bytes())
    }

    fn sweep(&mut self, name: &MailboxName) -> Result<(), Error> {
        let old = |path: &Path| {
            let age = fs::symlink_metadata(path)
                .and_then(|m| m.modified())
                .ok()
                .and_then(|m| m.elapsed().ok());
            age.is_some_and(|age| age > STALE_DRAFT)
        };
        let tmp = self.path(name)?.join("tmp");
        for entry in fs::read_dir(&tmp).into_iter().flatten().flatten() {
            let promise = promise::is_one(entry.file_name().as_encoded_bytes());
            if !promise && old(&entry.path()) {
                let _ = disk::remove(&entry.path());
            }
        }
        for entry in fs::read_dir(&self.root)?.flatten() {
            let file = entry.file_name();
            let left = |mark: &str| file.as_encoded_bytes().starts_with(mark.as_bytes());
            if left(DELETED) || (left(CREATING) && old(&entry.path())) {
                let _ = disk::remove_tree(&entry.path());
            }
            let lock = file.to_str().is_some_and(|name| name.contains(".lock."));
            if lock && old(&entry.path()) {
                let _ = disk::remove(&entry.path());
            }
        }
        Ok(())
    }
}

fn random_guid() -> Result<Guid, Error> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(|_| Error::Corrupt {
        what: "the random number source",
    })?;
    Ok(Guid(bytes))
}
