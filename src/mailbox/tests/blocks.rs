//! A disk of which every write and every flush is noted, in their order, by its blocks: a file that a FUSE
//! server in this process keeps, for a loop device to stand on. Needs root, /dev/fuse and loop devices.

use super::platter::{Dice, Image};
use rustix::fs::{Mode, OFlags};
use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};
use std::ffi::CString;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

/// What a disk writes as a whole or not at all.
pub(super) const SECTOR: usize = 512;
/// Octets of the disk.
const SIZE: usize = 24 << 20;
const MAX_WRITE: u32 = 128 << 10;

/// What happened to the disk.
pub(super) enum Event {
    Written(usize, Arc<Vec<u8>>),
    /// All that was written before is durable.
    Flushed,
}

pub(super) struct Log {
    pub(super) events: Vec<Event>,
    now: Image,
}

/// Runs a program. Errors: it is not there, or what it says.
pub(super) fn run(program: &str, arguments: &[&str]) -> io::Result<()> {
    let path = format!(
        "/usr/sbin:/sbin:{}",
        std::env::var("PATH").unwrap_or_default()
    );
    let output = Command::new(program)
        .args(arguments)
        .env("PATH", path)
        .output()?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    match output.status.success() {
        true => Ok(()),
        false => Err(io::Error::other(format!("{program}: {said}"))),
    }
}

/// A file system on such a disk, or on a plain file; unmounted when dropped.
pub(super) struct Mounted(PathBuf);

impl Mounted {
    pub(super) fn new(disk: &Path, at: &Path) -> io::Result<Mounted> {
        let words = ["-o", "loop", "-t", "ext4"];
        let (disk, place) = (disk.to_str().unwrap(), at.to_str().unwrap());
        run("mount", &[&words[..], &[disk, place]].concat())?;
        Ok(Mounted(at.to_owned()))
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        if unmount(&self.0, UnmountFlags::empty()).is_err() {
            // Something has a file open; nobody will look at it again.
            let _ = unmount(&self.0, UnmountFlags::DETACH);
        }
    }
}

/// An empty ext4 file system.
pub(super) fn formatted(directory: &Path) -> io::Result<Image> {
    let path = directory.join("new");
    File::create(&path)?.set_len(SIZE as u64)?;
    let options = [
        "-q",
        "-F",
        "-J",
        "size=4",
        "-E",
        "lazy_itable_init=0,lazy_journal_init=0",
    ];
    run(
        "mkfs.ext4",
        &[&options[..], &[path.to_str().unwrap()]].concat(),
    )?;
    let mut image = Image::default();
    image.resize(SIZE);
    image.write(0, &fs::read(&path)?);
    fs::remove_file(&path)?;
    Ok(image)
}

/// The disk whose writes are noted.
pub(super) struct Disk {
    path: PathBuf,
    pub(super) log: Arc<Mutex<Log>>,
    server: Option<JoinHandle<()>>,
}

impl Disk {
    /// Has it at this path, with that on it.
    pub(super) fn new(path: &Path, image: &Image) -> io::Result<Disk> {
        File::create(path)?;
        let flags = OFlags::RDWR | OFlags::CLOEXEC;
        let channel = File::from(rustix::fs::open("/dev/fuse", flags, Mode::empty())?);
        let number = channel.as_raw_fd();
        let options = format!("fd={number},rootmode=100000,user_id=0,group_id=0,allow_other");
        let options = CString::new(options).unwrap();
        let safe = MountFlags::NOSUID | MountFlags::NODEV;
        mount("dovelet-test", path, "fuse", safe, options.as_c_str())?;
        let log = Arc::new(Mutex::new(Log {
            events: Vec::new(),
            now: image.clone(),
        }));
        let own = log.clone();
        let server = std::thread::spawn(move || serve(channel, &own));
        Ok(Disk {
            path: path.to_owned(),
            log,
            server: Some(server),
        })
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = unmount(&self.path, UnmountFlags::DETACH);
        self.server.take().map(JoinHandle::join);
    }
}

/// Answers the kernel until the file is unmounted.
fn serve(channel: File, log: &Mutex<Log>) {
    let mut buffer = vec![0; MAX_WRITE as usize + 4096];
    loop {
        match (&channel).read(&mut buffer) {
            Ok(length) => {
                let Some(answer) = answer(&buffer[..length], log) else {
                    continue;
                };
                (&channel).write_all(&answer).ok();
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => return,
        }
    }
}

fn number(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap())
}

fn short(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap())
}

/// Octets of the head of a request.
const HEAD: usize = 40;

/// What is answered to a request; `None`: nothing is.
fn answer(request: &[u8], log: &Mutex<Log>) -> Option<Vec<u8>> {
    let (operation, unique) = (short(request, 4), number(request, 8));
    let body = &request[HEAD..];
    let done: Result<Vec<u8>, i32> = match operation {
        // FORGET, INTERRUPT, BATCH_FORGET
        2 | 36 | 42 => return None,
        // GETATTR, SETATTR
        3 | 4 => Ok(attributes()),
        // OPEN, past the page cache
        14 => Ok([&[0; 8][..], &1u32.to_le_bytes(), &[0; 4]].concat()),
        15 => Ok(read(body, log)),
        16 => Ok(written(body, log)),
        17 => Ok(vec![0; 80]),
        // FSYNC
        20 => {
            log.lock().unwrap().events.push(Event::Flushed);
            Ok(Vec::new())
        }
        // RELEASE, FLUSH, DESTROY
        18 | 25 | 38 => Ok(Vec::new()),
        26 => Ok(started()),
        // FALLOCATE: EOPNOTSUPP; others: ENOSYS
        43 => Err(95),
        _ => Err(38),
    };
    let (error, payload) = match done {
        Ok(payload) => (0, payload),
        Err(error) => (-error, Vec::new()),
    };
    let length = 16 + payload.len() as u32;
    let head = [
        &length.to_le_bytes()[..],
        &error.to_le_bytes(),
        &unique.to_le_bytes(),
    ];
    Some([&head.concat()[..], &payload].concat())
}

fn started() -> Vec<u8> {
    let mut out: Vec<u8> = Vec::new();
    // Version 7.31, no reading ahead, writes of more than a page.
    [7u32, 31, 0, 1 << 5]
        .iter()
        .for_each(|n| out.extend(n.to_le_bytes()));
    out.extend([16, 0, 12, 0]);
    out.extend(MAX_WRITE.to_le_bytes());
    out.extend(1u32.to_le_bytes());
    out.resize(64, 0);
    out
}

fn attributes() -> Vec<u8> {
    let mut out = vec![0; 16];
    [1, SIZE as u64, (SIZE / SECTOR) as u64]
        .iter()
        .for_each(|n| out.extend(n.to_le_bytes()));
    out.resize(out.len() + 36, 0);
    // A regular file of root's.
    [0o100_600u32, 1, 0, 0, 0, 4096, 0]
        .iter()
        .for_each(|n| out.extend(n.to_le_bytes()));
    out
}

fn read(body: &[u8], log: &Mutex<Log>) -> Vec<u8> {
    let offset = number(body, 8) as usize;
    let length = (short(body, 16) as usize).min(SIZE.saturating_sub(offset));
    let mut out = vec![0; length];
    log.lock().unwrap().now.read(offset, &mut out);
    out
}

fn written(body: &[u8], log: &Mutex<Log>) -> Vec<u8> {
    let (offset, length) = (number(body, 8) as usize, short(body, 16));
    let bytes = &body[40..40 + length as usize];
    let mut log = log.lock().unwrap();
    log.now.write(offset, bytes);
    log.events
        .push(Event::Written(offset, Arc::new(bytes.to_vec())));
    [&length.to_le_bytes()[..], &[0; 4]].concat()
}

/// Writes some of an event's sectors, as chance has it.
pub(super) fn tear(image: &mut Image, event: &Event, dice: &mut Dice) {
    let Event::Written(offset, bytes) = event else {
        return;
    };
    match dice.below(4) {
        0 => {}
        1 | 2 => image.write(*offset, bytes),
        _ => {
            for (sector, at) in bytes.chunks(SECTOR).zip((*offset..).step_by(SECTOR)) {
                if dice.coin() {
                    image.write(at, sector);
                }
            }
        }
    }
}

/// Makes a file of it, with holes where nothing is.
pub(super) fn put(image: &Image, path: &Path) -> io::Result<()> {
    let file = File::create(path)?;
    file.set_len(SIZE as u64)?;
    for (at, chunk) in image.used() {
        file.write_all_at(chunk, at as u64)?;
    }
    Ok(())
}
