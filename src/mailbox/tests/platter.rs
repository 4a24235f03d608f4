//! A disk that forgets what was not synced when the power is cut.
//!
//! It hears of every change of names and every sync of a Maildir, and of the writes and syncs of
//! an index, and can say at every moment what might be left. The promises of a file system are
//! taken narrowly: bytes of a file are durable after its sync, names after that of their directory;
//! what was not synced is lost or not, each by itself. Only a rename is never lost by half, so
//! that the file has no name at all; one between two directories may leave both names.

use crate::store::journal::{Event, Inode};
use redb::StorageBackend;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs::{self, File, FileTimes};
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, UNIX_EPOCH};

/// What happens to changes that were not synced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    Lost,
    Kept,
    /// Only new names are kept.
    CameKept,
    /// Only the loss of names is kept.
    WentKept,
    /// Each has its own, by this seed.
    Chance(u64),
}

/// Octets that are written as a whole or not at all.
const SECTOR: usize = 64;

/// xorshift64*.
pub(super) struct Dice(u64);

impl Dice {
    pub(super) fn new(seed: u64) -> Dice {
        Dice(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    pub(super) fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) % bound
    }

    pub(super) fn coin(&mut self) -> bool {
        self.below(2) == 0
    }
}

#[derive(Clone, PartialEq)]
struct Content {
    bytes: Vec<u8>,
    /// Seconds since 1970.
    modified: i64,
}

/// A change of a directory that was not synced.
#[derive(Clone)]
enum Change {
    Came(String, usize),
    Went(String),
    /// Within the directory.
    Moved(String, String, usize),
    /// A move between two directories: all it does has this number.
    Arrived(String, usize, u32),
    Left(String, u32),
}

#[derive(Clone, Default)]
struct Object {
    is_directory: bool,
    synced: Option<Arc<Content>>,
    live: Option<Arc<Content>>,
    names: BTreeMap<String, usize>,
    durable: BTreeMap<String, usize>,
    unsynced: Vec<Change>,
}

/// Every file and directory there ever was. Number 0 is the root.
#[derive(Clone)]
pub(super) struct Disk {
    objects: Vec<Object>,
    inodes: HashMap<Inode, usize>,
    moves: u32,
    /// Files are not only appended to: what they had stays but for the sectors that were written.
    in_place: bool,
}

impl Disk {
    /// A disk with nothing on it but this empty directory.
    pub(super) fn new(root: &Path) -> Disk {
        let object = Object {
            is_directory: true,
            ..Object::default()
        };
        Disk {
            objects: vec![object],
            inodes: HashMap::from([(fs::metadata(root).unwrap().ino(), 0)]),
            moves: 0,
            in_place: false,
        }
    }

    /// As `new`, of files that are not only appended to.
    pub(super) fn in_place(root: &Path) -> Disk {
        Disk {
            in_place: true,
            ..Disk::new(root)
        }
    }

    fn at(&self, inode: Inode) -> usize {
        self.inodes[&inode]
    }

    /// Reads what the files have now.
    pub(super) fn look(&mut self, root: &Path) {
        self.look_into(0, root);
    }

    fn look_into(&mut self, directory: usize, path: &Path) {
        for (name, at) in self.objects[directory].names.clone() {
            let path = path.join(name);
            if self.objects[at].is_directory {
                self.look_into(at, &path);
                continue;
            }
            // The name may be another file's by now, which nothing was told of yet.
            let own = |metadata: &fs::Metadata| self.inodes.get(&metadata.ino()) == Some(&at);
            let metadata = fs::metadata(&path).ok().filter(own);
            if let (Some(metadata), Ok(bytes)) = (metadata, fs::read(&path)) {
                let modified = metadata.mtime();
                let content = Arc::new(Content { bytes, modified });
                self.objects[at].live = Some(content);
            }
        }
    }

    pub(super) fn apply(&mut self, event: Event) {
        match event {
            Event::Created {
                directory,
                name,
                inode,
                is_directory,
            } => self.create(self.at(directory), name, inode, is_directory),
            Event::Linked {
                directory,
                name,
                inode,
            } => self.come(self.at(directory), name, self.at(inode)),
            Event::Removed { directory, name } => {
                let directory = &mut self.objects[self.inodes[&directory]];
                directory.names.remove(&name);
                directory.unsynced.push(Change::Went(name));
            }
            Event::Moved { from, to } => {
                let (source, target) = (self.at(from.0), self.at(to.0));
                self.rename((source, from.1), (target, to.1));
            }
            Event::Synced {
                inode,
                bytes,
                modified,
            } => {
                let at = self.at(inode);
                self.objects[at].synced = Some(Arc::new(Content { bytes, modified }));
            }
            Event::DirectorySynced { directory } => self.sync(self.at(directory)),
        }
    }

    fn create(&mut self, directory: usize, name: String, inode: Inode, is_directory: bool) {
        let known = self.objects[directory].names.get(&name);
        if known.is_some() && known == self.inodes.get(&inode) {
            // It was there and was opened to be written anew.
            return;
        }
        self.objects.push(Object {
            is_directory,
            ..Object::default()
        });
        let at = self.objects.len() - 1;
        self.inodes.insert(inode, at);
        self.come(directory, name, at);
    }

    fn come(&mut self, directory: usize, name: String, at: usize) {
        let directory = &mut self.objects[directory];
        directory.names.insert(name.clone(), at);
        directory.unsynced.push(Change::Came(name, at));
    }

    fn rename(&mut self, (source, old): (usize, String), (target, new): (usize, String)) {
        let at = self.objects[source].names.remove(&old).unwrap();
        self.objects[target].names.insert(new.clone(), at);
        if source == target {
            let change = Change::Moved(old, new, at);
            self.objects[source].unsynced.push(change);
            return;
        }
        self.moves += 1;
        let (arrived, left) = (
            Change::Arrived(new, at, self.moves),
            Change::Left(old, self.moves),
        );
        self.objects[target].unsynced.push(arrived);
        self.objects[source].unsynced.push(left);
    }

    fn sync(&mut self, directory: usize) {
        for change in std::mem::take(&mut self.objects[directory].unsynced) {
            if let Change::Left(_, number) = change {
                self.arrive(number);
            }
            change.apply(&mut self.objects[directory].durable);
        }
    }

    /// The new name is durable where the loss of the old one is.
    fn arrive(&mut self, number: u32) {
        for object in &mut self.objects {
            let own = |c: &Change| matches!(c, Change::Arrived(.., n) if *n == number);
            if let Some(at) = object.unsynced.iter().position(own) {
                object.unsynced.remove(at).apply(&mut object.durable);
            }
        }
    }

    /// Makes at `root` what is left after a power cut.
    pub(super) fn leave(&self, root: &Path, fate: Fate) {
        let seed = match fate {
            Fate::Chance(seed) => seed,
            _ => 0,
        };
        let mut rest = Rest {
            disk: self,
            fate,
            dice: Dice::new(seed),
            arrived: HashSet::new(),
        };
        rest.choose();
        rest.build(0, root);
    }
}

impl Change {
    fn apply(&self, names: &mut BTreeMap<String, usize>) {
        match self {
            Change::Came(name, at) | Change::Arrived(name, at, _) => {
                names.insert(name.clone(), *at);
            }
            Change::Went(name) | Change::Left(name, _) => {
                names.remove(name);
            }
            Change::Moved(old, new, at) => {
                names.remove(old);
                names.insert(new.clone(), *at);
            }
        }
    }
}

/// What is left, while it is made.
struct Rest<'a> {
    disk: &'a Disk,
    fate: Fate,
    dice: Dice,
    /// Moves whose new name is there.
    arrived: HashSet<u32>,
}

impl Rest<'_> {
    /// Decides about moves first: no old name goes without the new one.
    fn choose(&mut self) {
        let changes = self.disk.objects.iter().flat_map(|object| &object.unsynced);
        let mut waiting = HashSet::new();
        for change in changes {
            if let Change::Arrived(.., number) = change {
                let kept = match self.fate {
                    Fate::Kept | Fate::CameKept => true,
                    Fate::Lost | Fate::WentKept => false,
                    Fate::Chance(_) => self.dice.coin(),
                };
                if kept {
                    self.arrived.insert(*number);
                } else {
                    waiting.insert(*number);
                }
            }
        }
        self.arrived
            .extend((0..=self.disk.moves).filter(|n| !waiting.contains(n)));
    }

    fn is_kept(&mut self, change: &Change) -> bool {
        let (came, went) = match change {
            Change::Came(..) => (true, false),
            Change::Went(_) => (false, true),
            Change::Moved(..) => (false, false),
            Change::Arrived(.., number) => return self.arrived.contains(number),
            Change::Left(_, number) if !self.arrived.contains(number) => return false,
            Change::Left(..) => (false, true),
        };
        match self.fate {
            Fate::Lost => false,
            Fate::Kept => true,
            Fate::CameKept => came,
            Fate::WentKept => went,
            Fate::Chance(_) => self.dice.coin(),
        }
    }

    fn build(&mut self, directory: usize, path: &Path) {
        let disk = self.disk;
        let object = &disk.objects[directory];
        let mut names = object.durable.clone();
        for change in &object.unsynced {
            if self.is_kept(change) {
                change.apply(&mut names);
            }
        }
        for (name, at) in names {
            let path = path.join(name);
            if disk.objects[at].is_directory {
                fs::create_dir(&path).unwrap();
                self.build(at, &path);
                continue;
            }
            let content = self.content(&disk.objects[at]);
            let mut file = File::create(&path).unwrap();
            file.write_all(&content.bytes).unwrap();
            // What is left was made before the host was started.
            let is_lock = path.extension().is_some_and(|e| e == "lock");
            let modified = if is_lock { 1 } else { content.modified };
            let seconds = Duration::from_secs(u64::try_from(modified).unwrap());
            let times = FileTimes::new().set_modified(UNIX_EPOCH + seconds);
            file.set_times(times).unwrap();
        }
    }

    fn content(&mut self, object: &Object) -> Content {
        let empty = Content {
            bytes: Vec::new(),
            modified: 1,
        };
        let synced = object.synced.as_deref().unwrap_or(&empty);
        let live = object.live.as_deref().unwrap_or(synced);
        match self.fate {
            Fate::Lost | Fate::CameKept | Fate::WentKept => synced.clone(),
            Fate::Kept => live.clone(),
            Fate::Chance(_) => match self.dice.below(4) {
                0 => synced.clone(),
                1 => live.clone(),
                kind if self.disk.in_place => self.torn_in_place(synced, live, kind),
                kind => {
                    // Only what was written since is in doubt.
                    let mut torn = live.clone();
                    let both = live.bytes.iter().zip(&synced.bytes);
                    let sure = both.take_while(|(live, synced)| live == synced).count();
                    let rest = (live.bytes.len() - sure).div_ceil(SECTOR);
                    let sectors = self.dice.below(rest as u64 + 1) as usize;
                    let kept = live.bytes.len().min(sure + sectors * SECTOR);
                    match kind {
                        2 => torn.bytes.truncate(kept),
                        _ => torn.bytes[kept..].fill(0),
                    }
                    torn
                }
            },
        }
    }
}

impl Rest<'_> {
    /// Of the sectors that a file had some are as they were, others as they are to be; what it grew by is
    /// there in part.
    fn torn_in_place(&mut self, synced: &Content, live: &Content, kind: u64) -> Content {
        let mut torn = live.clone();
        let old = synced.bytes.chunks(SECTOR);
        for (new, old) in torn.bytes.chunks_mut(SECTOR).zip(old) {
            if self.dice.coin() {
                let count = new.len().min(old.len());
                new[..count].copy_from_slice(&old[..count]);
            }
        }
        let (had, has) = (synced.bytes.len(), live.bytes.len());
        if has < had {
            // It is cut, or not yet; the rest of the block may be NULs before.
            if self.dice.coin() {
                torn.bytes.extend_from_slice(&synced.bytes[has..]);
                let end = had.min(has.next_multiple_of(CHUNK));
                let rest = torn.bytes[has..end].chunks_mut(SECTOR);
                rest.filter(|_| self.dice.below(4) == 0)
                    .for_each(|sector| sector.fill(0));
            }
            return torn;
        }
        let sectors = self.dice.below((has - had).div_ceil(SECTOR) as u64 + 1) as usize;
        let kept = has.min(had + sectors * SECTOR);
        match kind {
            2 => torn.bytes.truncate(kept),
            _ => torn.bytes[kept..].fill(0),
        }
        torn
    }
}

const CHUNK: usize = 4096;

/// Bytes that are cheap to clone.
#[derive(Clone, Debug, Default)]
pub(super) struct Image {
    chunks: Vec<Arc<Vec<u8>>>,
    length: usize,
}

impl Image {
    pub(super) fn resize(&mut self, length: usize) {
        if length < self.length {
            // What is cut off reads as zeros should it come back.
            let zeros = vec![0; self.chunks.len() * CHUNK - length];
            self.write(length, &zeros);
        }
        let count = length.div_ceil(CHUNK);
        self.chunks.resize(count, Arc::new(vec![0; CHUNK]));
        self.length = length;
    }

    pub(super) fn write(&mut self, mut at: usize, mut data: &[u8]) {
        while !data.is_empty() {
            let within = at % CHUNK;
            let count = data.len().min(CHUNK - within);
            let chunk = Arc::make_mut(&mut self.chunks[at / CHUNK]);
            chunk[within..within + count].copy_from_slice(&data[..count]);
            (at, data) = (at + count, &data[count..]);
        }
    }

    /// Places and chunks in which something stands.
    pub(super) fn used(&self) -> impl Iterator<Item = (usize, &[u8])> {
        let chunks = self.chunks.iter().map(|chunk| chunk.as_slice());
        let used = |(_, chunk): &(usize, &[u8])| chunk.iter().any(|octet| *octet != 0);
        (0..).step_by(CHUNK).zip(chunks).filter(used)
    }

    pub(super) fn read(&self, mut at: usize, mut out: &mut [u8]) {
        while !out.is_empty() {
            let within = at % CHUNK;
            let count = out.len().min(CHUNK - within);
            let (now, rest) = out.split_at_mut(count);
            now.copy_from_slice(&self.chunks[at / CHUNK][within..within + count]);
            (at, out) = (at + count, rest);
        }
    }
}

/// What an index file has and what of it is durable.
#[derive(Clone, Debug, Default)]
pub(super) struct Pages {
    live: Image,
    synced: Image,
    writes: Vec<(usize, Arc<Vec<u8>>)>,
}

impl Pages {
    /// What is left after a power cut.
    pub(super) fn left(&self, fate: Fate) -> Pages {
        let left = match fate {
            Fate::Lost | Fate::CameKept => self.synced.clone(),
            Fate::Kept | Fate::WentKept => self.live.clone(),
            Fate::Chance(seed) => {
                let mut dice = Dice::new(seed ^ 0x5555);
                let mut left = self.synced.clone();
                left.resize(self.live.length.max(left.length));
                for (at, bytes) in self.writes.iter().filter(|_| dice.coin()) {
                    left.write(*at, bytes);
                }
                left
            }
        };
        Pages {
            live: left.clone(),
            synced: left,
            writes: Vec::new(),
        }
    }
}

/// A redb back end over such pages. `synced` is called before each sync.
#[derive(Clone)]
pub(super) struct Platter {
    pub(super) pages: Arc<Mutex<Pages>>,
    pub(super) synced: Arc<dyn Fn() + Send + Sync>,
}

impl std::fmt::Debug for Platter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Platter")
    }
}

impl Platter {
    pub(super) fn new(pages: Pages) -> Platter {
        Platter {
            pages: Arc::new(Mutex::new(pages)),
            synced: Arc::new(|| {}),
        }
    }
}

fn place(offset: u64) -> usize {
    usize::try_from(offset).unwrap()
}

impl StorageBackend for Platter {
    fn len(&self) -> Result<u64, std::io::Error> {
        Ok(self.pages.lock().unwrap().live.length as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> Result<(), std::io::Error> {
        self.pages.lock().unwrap().live.read(place(offset), out);
        Ok(())
    }

    fn set_len(&self, len: u64) -> Result<(), std::io::Error> {
        let mut pages = self.pages.lock().unwrap();
        pages.live.resize(place(len));
        let length = pages.live.length;
        pages
            .writes
            .retain(|(at, bytes)| at + bytes.len() <= length);
        Ok(())
    }

    fn sync_data(&self) -> Result<(), std::io::Error> {
        (self.synced)();
        let mut pages = self.pages.lock().unwrap();
        pages.synced = pages.live.clone();
        pages.writes.clear();
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> Result<(), std::io::Error> {
        let mut pages = self.pages.lock().unwrap();
        pages.live.write(place(offset), data);
        pages.writes.push((place(offset), Arc::new(data.to_vec())));
        Ok(())
    }
}
