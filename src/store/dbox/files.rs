//! The files `m.N` of an account, as all handles of this process share them.

use super::arrival;
use super::draft::DboxDraft;
use super::framing::{MESSAGE_HEADER, Metadata, file_header};
use super::fresh::Fresh;
use super::group::Group;
use super::record::Place;
use super::root::Shared;
use super::walk::walk;
use crate::store::Error;
use crate::store::side::disk;
use crate::store::side::lock::replace;
use crate::sys::regular;
use rustix::fs::{Mode, OFlags};
use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Octets of a large message that are copied at a time.
const PIECE: usize = 64 * 1024;
/// What the name of each begins with.
const PREFIX: &str = "m.";
/// The file that says that there are messages in the alternate directory.
const ASIDE: &str = "dovelet-alternate";
/// The file that says which number was given last, so that none is given twice: lines name a file that is gone, too.
const GIVEN: &str = "dovelet-number";

static FILES: Shared<Files> = Shared(Mutex::new(Vec::new()));

pub(super) struct Files {
    pub(super) directory: PathBuf,
    /// Where files are that were put aside; they have numbers of the same row.
    alternate: Option<PathBuf>,
    /// A file that has so many octets gets no more messages.
    rotate_octets: u32,
    appending: Mutex<Appending>,
    /// Files with messages that are saved and may not be in any mailbox yet.
    held: Arc<Mutex<Vec<u32>>>,
    /// While a purge is under way: files that messages were copied from by reference.
    copied: Mutex<Option<BTreeSet<u32>>>,
}

/// Puts a line of a message that lies there.
pub(super) type PutLine<'p> = dyn FnMut(Place, &Fresh) -> Result<(), Error> + 'p;
/// Makes all lines durable that tell of messages in the file which was appended to.
pub(super) type Before<'b> = dyn Fn() -> Result<(), Error> + 'b;

/// Keeps a file from being purged.
pub(super) struct Hold {
    number: u32,
    held: Arc<Mutex<Vec<u32>>>,
}

impl Drop for Hold {
    fn drop(&mut self) {
        let mut held = lock(&self.held);
        if let Some(at) = held.iter().position(|own| *own == self.number) {
            held.swap_remove(at);
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The file that the next message goes to.
#[derive(Default)]
struct Appending {
    /// The last number that was given; `None`: nobody looked.
    last: Option<u32>,
    /// The highest number that was found in a log.
    named: u32,
    current: Option<Current>,
    /// The one that messages are put aside in.
    aside: Option<Current>,
}

/// In which of the two directories.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    Primary,
    Alternate,
}

struct Current {
    number: u32,
    file: Arc<File>,
    /// Where the last message ends.
    end: u64,
    group: Arc<Group>,
}

impl Appending {
    fn at(&mut self, side: Side) -> &mut Option<Current> {
        match side {
            Side::Primary => &mut self.current,
            Side::Alternate => &mut self.aside,
        }
    }

    fn open(&self) -> impl Iterator<Item = &Current> {
        self.current.iter().chain(&self.aside)
    }
}

impl Files {
    /// Those of the account whose mail lies below `root`.
    pub(super) fn of(root: &Path, alternate: Option<&Path>, rotate_octets: u32) -> Arc<Files> {
        FILES.of(root, || Files::new(root, alternate, rotate_octets))
    }

    fn new(root: &Path, alternate: Option<&Path>, rotate_octets: u32) -> Files {
        Files {
            directory: directory(root),
            alternate: alternate.map(directory),
            rotate_octets,
            appending: Mutex::default(),
            held: Arc::default(),
            copied: Mutex::default(),
        }
    }

    /// As they are, for reading alone.
    pub(super) fn looked_at(root: &Path, alternate: Option<&Path>) -> Files {
        Files::new(root, alternate, 0)
    }

    fn appending(&self) -> MutexGuard<'_, Appending> {
        lock(&self.appending)
    }

    /// Where a file is; where it would be, if it is in neither directory.
    pub(super) fn path(&self, number: u32) -> PathBuf {
        self.sided(number).0
    }

    fn sided(&self, number: u32) -> (PathBuf, Side) {
        let name = format!("{PREFIX}{number}");
        let primary = self.directory.join(&name);
        if let Some(alternate) = self.alternate.as_ref().filter(|_| !primary.exists()) {
            let aside = alternate.join(&name);
            if aside.exists() {
                return (aside, Side::Alternate);
            }
        }
        (primary, Side::Primary)
    }

    pub(super) fn side(&self, number: u32) -> Side {
        self.sided(number).1
    }

    /// True if a file that is not found may be where nobody can look now.
    pub(super) fn may_be_aside(&self) -> bool {
        self.alternate.is_some()
    }

    /// The directory where messages are put aside, if nobody can look there now.
    pub(super) fn away(&self) -> Option<&Path> {
        let alternate = self.alternate.as_deref();
        alternate.filter(|path| !path.is_dir() && self.directory.join(ASIDE).exists())
    }

    /// Errors: messages are put aside where nobody can look now.
    pub(super) fn all_there(&self) -> Result<(), Error> {
        let Some(path) = self.away() else {
            return Ok(());
        };
        let why = format!(
            "messages are put aside in {}, which is not there: is its disk mounted?",
            path.display()
        );
        Err(Error::Io(io::Error::other(why)))
    }

    /// Opens a file for reading. Errors: `NoSuchMessage` if it is not there.
    pub(super) fn open(&self, number: u32) -> Result<File, Error> {
        match regular::open(&self.path(number)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Err(Error::NoSuchMessage),
            opened => Ok(opened?),
        }
    }

    pub(super) fn exists(&self, number: u32) -> bool {
        self.path(number).exists()
    }

    /// The numbers of all files, ascending.
    pub(super) fn numbers(&self) -> Result<Vec<u32>, Error> {
        let mut numbers = Vec::new();
        for directory in std::iter::once(&self.directory).chain(&self.alternate) {
            let entries = match fs::read_dir(directory) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                entries => entries?,
            };
            for entry in entries {
                let name = entry?.file_name();
                let number = name.to_str().and_then(|name| name.strip_prefix(PREFIX));
                numbers.extend(number.and_then(|number| number.parse::<u32>().ok()));
            }
        }
        numbers.sort_unstable();
        numbers.dedup();
        Ok(numbers)
    }

    /// True if something there tells that this server wrote messages.
    pub(super) fn are_own(&self) -> bool {
        let mut names = [GIVEN, ASIDE].iter();
        names.any(|name| self.directory.join(name).exists())
    }

    /// Where Dovecot says which messages there are, if it does.
    pub(super) fn map(&self) -> Option<PathBuf> {
        let names = ["dovecot.map.index", "dovecot.map.index.log"];
        let mut paths = names.iter().map(|name| self.directory.join(name));
        paths.find(|path| path.exists())
    }

    /// Appends a message, and calls `put` before another one can come to another file; its file is not purged while
    /// the second value lives. `before`: for when a new file begins.
    pub(super) fn append(
        &self,
        draft: &DboxDraft,
        metadata: &Metadata,
        put: &mut PutLine<'_>,
        before: &Before<'_>,
    ) -> Result<(Place, Hold, Fresh), Error> {
        let mut encoded = metadata.encode();
        let body = MESSAGE_HEADER as u64 + draft.framed_octets();
        let octets = body + encoded.len() as u64;
        let mut appending = self.appending();
        self.choose(&mut appending, octets, Side::Primary, before)?;
        let Some(current) = &mut appending.current else {
            return Err(Error::Io(io::ErrorKind::NotFound.into()));
        };
        let (file, offset) = (current.number, current.end);
        let place = Place { file, offset };
        arrival::fill(&mut encoded, metadata, offset + octets);
        let written = draft.write_frame(Vec::new(), &encoded, &current.file, offset);
        let fresh = Fresh {
            file: current.file.clone(),
            group: current.group.clone(),
            number: current.group.wrote(),
        };
        let written = written.map_err(Error::from);
        if let Err(error) = written.and_then(|()| put(place, &fresh)) {
            // What is behind the last message may stay there, but nothing comes behind it then.
            if disk::set_length(&current.file, offset).is_err() {
                appending.current = None;
            }
            return Err(error);
        }
        current.end = offset + body + encoded.len() as u64;
        Ok((place, self.hold(file), fresh))
    }

    /// From now on messages go to another file, even if there is room in the last one.
    pub(super) fn rotate(&self) {
        let mut appending = self.appending();
        if appending.last.is_none() {
            appending.last = self.given().ok();
        }
        (appending.current, appending.aside) = (None, None);
    }

    /// Files that are appended to, or have messages that may not be in any mailbox yet.
    pub(super) fn in_use(&self) -> Vec<u32> {
        let appending = self.appending();
        let mut in_use = lock(&self.held).clone();
        in_use.extend(appending.open().map(|current| current.number));
        in_use
    }

    /// Keeps a file from being purged as long as the value lives.
    fn hold(&self, number: u32) -> Hold {
        lock(&self.held).push(number);
        let held = self.held.clone();
        Hold { number, held }
    }

    /// From now on copies are noted, or not any more.
    pub(super) fn watch(&self, purging: bool) {
        *lock(&self.copied) = purging.then(BTreeSet::new);
    }

    /// A message in that file has one reference more.
    pub(super) fn note_copy(&self, number: u32) {
        if let Some(copied) = lock(&self.copied).as_mut() {
            copied.insert(number);
        }
    }

    pub(super) fn was_copied_from(&self, number: u32) -> bool {
        let copied = lock(&self.copied);
        copied
            .as_ref()
            .is_none_or(|copied| copied.contains(&number))
    }

    /// Removes a file that nobody needs.
    pub(super) fn remove(&self, number: u32) -> Result<(), Error> {
        Ok(disk::remove(&self.path(number))?)
    }

    /// Appends a message as it stands in another file; durable after [`Files::sync`].
    pub(super) fn append_frame(
        &self,
        from: &File,
        (start, end): (u64, u64),
        side: Side,
        before: &Before<'_>,
    ) -> Result<Place, Error> {
        let mut appending = self.appending();
        self.choose(&mut appending, end - start, side, before)?;
        let place = appending.at(side);
        let Some(current) = place else {
            return Err(Error::Io(io::ErrorKind::NotFound.into()));
        };
        let offset = current.end;
        match copy(from, start, end - start, &current.file, offset) {
            Ok(end) => current.end = end,
            Err(error) => {
                if disk::set_length(&current.file, offset).is_err() {
                    *place = None;
                }
                return Err(error.into());
            }
        }
        current.group.wrote();
        Ok(Place {
            file: current.number,
            offset,
        })
    }

    /// Makes durable what was appended to the files that are appended to.
    pub(super) fn sync(&self) -> Result<(), Error> {
        let appending = self.appending();
        let own = |current: &Current| (current.file.clone(), current.group.clone());
        let open: Vec<_> = appending.open().map(own).collect();
        drop(appending);
        open.iter()
            .try_for_each(|(file, group)| group.sync(&|| disk::sync_data(file)))
    }

    /// Has a file ready to which so many octets can be appended.
    fn choose(
        &self,
        appending: &mut Appending,
        octets: u64,
        side: Side,
        before: &Before<'_>,
    ) -> Result<(), Error> {
        if appending.last.is_none() {
            let last = self.given()?;
            let highest = self.numbers()?.last().copied();
            if let Some(highest) = highest.filter(|number| self.side(*number) == Side::Primary) {
                appending.current = self.reopen(highest);
            }
            if appending.current.is_some() && self.noted() < last {
                self.note(last)?;
            }
            appending.last = Some(last);
        }
        // Nobody knows what the disk has of one that could not be synced.
        let failed = |current: &mut Current| current.group.has_failed();
        appending.at(side).take_if(failed);
        let room =
            |current: &Current| current.end.saturating_add(octets) <= u64::from(self.rotate_octets);
        if appending.at(side).as_ref().is_some_and(room) {
            return Ok(());
        }
        if let Some(full) = appending.at(side) {
            // Nobody syncs it any more.
            full.group.sync(&|| disk::sync_data(&full.file))?;
        }
        if side == Side::Primary {
            before()?;
        }
        let last = appending.last.unwrap_or(0).max(appending.named);
        let number = last.checked_add(1).ok_or(Error::Full)?;
        self.note(number)?;
        // Whatever becomes of it.
        appending.last = Some(number);
        let current = self.make(number, side)?;
        *appending.at(side) = Some(current);
        Ok(())
    }

    /// The highest number that was given, as far as files tell, in both directories; 0 if none was.
    pub(super) fn given(&self) -> Result<u32, Error> {
        self.find_alternate()?;
        let highest = self.numbers()?.last().copied().unwrap_or(0);
        Ok(highest.max(self.noted()))
    }

    /// A log names a file with that number. `gone`: it is not there, and the log will not name it any more.
    pub(super) fn found(&self, number: u32, gone: bool) {
        let mut appending = self.appending();
        appending.named = appending.named.max(number);
        if gone
            && self.noted() < number
            && let Err(error) = self.note(number)
        {
            let directory = self.directory.display();
            log::warn!("{directory}: {GIVEN} cannot be written: {error}");
        }
    }

    /// What the file about it says; 0 if it is not there, or says nothing.
    fn noted(&self) -> u32 {
        let text = regular::read(&self.directory.join(GIVEN)).unwrap_or_default();
        let number = std::str::from_utf8(&text).ok();
        number.map_or(0, |text| text.trim_end().parse().unwrap_or(0))
    }

    /// Notes durably that a number is given.
    fn note(&self, number: u32) -> Result<(), Error> {
        disk::make_tree(&self.directory)?;
        replace(
            &self.directory.join(GIVEN),
            format!("{number}\n").as_bytes(),
        )
    }

    /// Notes that messages are put aside, and where they should be sees to it that they can be found: the number
    /// of a file that is there and cannot be seen would be given to another. Errors: it is not mounted.
    fn find_alternate(&self) -> Result<(), Error> {
        let mark = self.directory.join(ASIDE);
        let known = mark.exists();
        match &self.alternate {
            None if known => log::warn!(
                "{} says that messages are put aside, and [storage] alternate does not say where",
                mark.display()
            ),
            Some(alternate) if known && !alternate.is_dir() => return self.all_there(),
            Some(alternate) if !known && alternate.is_dir() => self.mark()?,
            _ => {}
        }
        Ok(())
    }

    fn mark(&self) -> Result<(), Error> {
        disk::make_tree(&self.directory)?;
        let mark = self.directory.join(ASIDE);
        if !mark.exists() {
            let mut options = fs::OpenOptions::new();
            options.write(true).create_new(true);
            disk::create(&mark, &options)?;
        }
        Ok(disk::sync_directory_at(&self.directory)?)
    }

    /// A file that another process left, if messages can be appended to it: one that cannot be read keeps no mail
    /// from coming.
    fn reopen(&self, number: u32) -> Option<Current> {
        let path = self.path(number);
        self.try_reopen(number, &path).unwrap_or_else(|error| {
            let path = path.display();
            log::warn!("{path} cannot be read: {error}; new messages go to another file");
            None
        })
    }

    fn try_reopen(&self, number: u32, path: &Path) -> Result<Option<Current>, Error> {
        let file = match regular::open_both(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            opened => opened?,
        };
        let length = file.metadata()?.len();
        if length >= u64::from(self.rotate_octets) {
            return Ok(None);
        }
        let end = walk(&file, &mut |_| Ok(true))?;
        if end == 0 || end != length {
            log::warn!(
                "{PREFIX}{number} does not end with a message: nothing is written behind it"
            );
            return Ok(None);
        }
        Ok(Some(Current {
            number,
            file: Arc::new(file),
            end,
            group: Arc::default(),
        }))
    }

    /// Makes a file with no message in it. Its name is durable.
    fn make(&self, number: u32, side: Side) -> Result<Current, Error> {
        let place = match (side, &self.alternate) {
            (Side::Primary, _) => &self.directory,
            (Side::Alternate, None) => return Err(Error::Io(io::ErrorKind::NotFound.into())),
            (Side::Alternate, Some(alternate)) => alternate,
        };
        disk::make_tree(place)?;
        if side == Side::Alternate {
            // Whoever finds the mark looks for the directory, and messages come when both are there.
            self.mark()?;
        }
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let directory = rustix::fs::open(place, flags, Mode::empty());
        let directory: OwnedFd = directory.map_err(io::Error::from)?;
        let name = format!("{PREFIX}{number}");
        let file = disk::create_in(&directory, &name).map_err(io::Error::from)?;
        let header = file_header(crate::sys::clock::now_seconds());
        let made = disk::write_at(&file, header.as_bytes(), 0);
        let made = made.and_then(|()| disk::sync_directory(&directory).map_err(io::Error::from));
        if let Err(error) = made {
            let _ = disk::unlink(&directory, &name);
            return Err(error.into());
        }
        Ok(Current {
            number,
            file: Arc::new(file),
            end: header.len() as u64,
            group: Arc::default(),
        })
    }
}

/// Copies all of `from` to an offset of another file; returns where it ends there.
pub(super) fn copy(from: &File, start: u64, octets: u64, to: &File, at: u64) -> io::Result<u64> {
    let mut buffer = vec![0; PIECE];
    let mut done = 0;
    while done < octets {
        let left = usize::try_from(octets - done).unwrap_or(PIECE).min(PIECE);
        let piece = buffer.get_mut(..left).unwrap_or_default();
        from.read_exact_at(piece, start + done)?;
        disk::write_at(to, piece, at + done)?;
        done += left as u64;
    }
    Ok(at + octets)
}

/// The directory of the files of an account.
pub(super) fn directory(root: &Path) -> PathBuf {
    root.join("storage")
}
