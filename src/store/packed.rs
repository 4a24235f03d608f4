//! Messages that are stored compressed. A small one is unpacked into memory when it is opened, a large one as it is
//! read: from its beginning, or from where somebody else ended who read it before.

use super::{Body, Error};
use crate::codec::packed::{MAGIC_OCTETS, Method};
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Octets of a message that is unpacked into memory.
const SMALL: usize = 64 * 1024;
/// Octets of a message that is read when it is opened.
const AT_ONCE: usize = 8 * 1024;
/// Octets of the largest message that is unpacked.
const MAX_OCTETS: u64 = 1 << 30;
/// Octets passed over at a time.
const PIECE: usize = 16 * 1024;
/// Readers in this process that nobody uses, and which may be gone on with: clients read a large message in
/// pieces, each by a command of its own.
const MAX_PARKED: usize = 2;

static PARKED: Mutex<Vec<(Arc<Packed>, Running)>> = Mutex::new(Vec::new());

fn parked() -> MutexGuard<'static, Vec<(Arc<Packed>, Running)>> {
    PARKED.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A part of a file that is compressed.
#[derive(Debug)]
struct Packed {
    file: Arc<File>,
    start: u64,
    length: u64,
    method: Method,
    /// Octets of what is in it.
    octets: u64,
    /// What file it is.
    file_id: (u64, u64),
}

impl Packed {
    fn is(&self, other: &Packed) -> bool {
        let place = |packed: &Packed| (packed.file_id, packed.start, packed.length);
        place(self) == place(other)
    }

    fn reader(&self) -> Running {
        let part = Body::part(self.file.clone(), self.start, self.length);
        Running {
            reader: self.method.reader(Box::new(part)),
            at: 0,
        }
    }
}

/// A reader, and what it reads next.
struct Running {
    reader: Box<dyn Read + Send>,
    at: u64,
}

impl Running {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let count = self.reader.read(out)?;
        self.at += count as u64;
        Ok(count)
    }

    /// Reads on up to an offset; less far only at the end.
    fn pass(&mut self, to: u64) -> io::Result<()> {
        let mut piece = vec![0; PIECE];
        while self.at < to {
            let left = usize::try_from(to - self.at).map_or(PIECE, |left| left.min(PIECE));
            if self.read(piece.get_mut(..left).unwrap_or_default())? == 0 {
                break;
            }
        }
        Ok(())
    }
}

/// A large message that is unpacked as it is read; a clone reads for itself.
pub(super) struct Unpacked {
    packed: Arc<Packed>,
    running: Option<Running>,
}

impl Clone for Unpacked {
    fn clone(&self) -> Unpacked {
        Unpacked {
            packed: self.packed.clone(),
            running: None,
        }
    }
}

impl std::fmt::Debug for Unpacked {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.packed.fmt(f)
    }
}

impl Unpacked {
    /// Reads some octets of that place.
    pub(super) fn read_at(&mut self, out: &mut [u8], at: u64) -> io::Result<usize> {
        let own = self.running.take_if(|running| running.at <= at);
        let mut running = own
            .or_else(|| self.resumed(at))
            .unwrap_or_else(|| self.packed.reader());
        running.pass(at)?;
        let count = running.read(out)?;
        self.running = Some(running);
        match count {
            // It was longer when it was opened.
            0 => Err(io::ErrorKind::InvalidData.into()),
            count => Ok(count),
        }
    }

    /// The reader that came nearest.
    fn resumed(&self, at: u64) -> Option<Running> {
        let mut parked = parked();
        let usable = |(packed, running): &(Arc<Packed>, Running)| {
            packed.is(&self.packed) && running.at <= at
        };
        let all = parked.iter().enumerate().filter(|(_, entry)| usable(entry));
        let (nearest, _) = all.max_by_key(|(_, (_, running))| running.at)?;
        Some(parked.remove(nearest).1)
    }
}

impl Drop for Unpacked {
    fn drop(&mut self) {
        let Some(running) = self.running.take() else {
            return;
        };
        let mut parked = parked();
        if parked.len() >= MAX_PARKED {
            parked.remove(0);
        }
        parked.push((self.packed.clone(), running));
    }
}

/// Opens a part of a file, unpacked if it is packed. A small one is read at once.
pub(super) fn body(file: Arc<File>, start: u64, length: u64) -> Result<Body, Error> {
    if let Ok(octets) = usize::try_from(length)
        && octets <= AT_ONCE
    {
        let mut bytes = vec![0; octets];
        let read = file.read_at(&mut bytes, start)?;
        if read == octets && Method::of(&bytes).is_none() {
            return Ok(Body::memory(bytes));
        }
    }
    match method(&file, start, length)? {
        None => Ok(Body::part(file, start, length)),
        Some(method) => unpacked(file, start, length, method),
    }
}

/// Opens a file that others wrote, unpacked if it is packed.
pub(crate) fn unpacked_file(file: File) -> Result<Body, Error> {
    let length = file.metadata()?.len();
    body(Arc::new(file), 0, length)
}

/// How a part of a file is compressed.
pub(super) fn method(file: &File, start: u64, length: u64) -> io::Result<Option<Method>> {
    let mut head = [0; MAGIC_OCTETS];
    let count = file.read_at(&mut head, start)?;
    let count = usize::try_from(length).map_or(count, |length| length.min(count));
    Ok(head.get(..count).and_then(Method::of))
}

/// Opens what is packed. Errors: `Corrupt` if it is damaged, or too large.
fn unpacked(file: Arc<File>, start: u64, length: u64, method: Method) -> Result<Body, Error> {
    let stat = file.metadata()?;
    let mut packed = Packed {
        file,
        start,
        length,
        method,
        octets: 0,
        file_id: (stat.dev(), stat.ino()),
    };
    let known = parked()
        .iter()
        .find(|(known, _)| known.is(&packed))
        .map(|(known, _)| known.clone());
    if let Some(packed) = known {
        return Ok(of(packed));
    }
    let mut running = packed.reader();
    let mut small = Vec::new();
    let most = SMALL as u64 + 1;
    let read = running.reader.by_ref().take(most).read_to_end(&mut small);
    read.map_err(damaged)?;
    if small.len() <= SMALL {
        return Ok(Body::memory(small));
    }
    running.at = small.len() as u64;
    // All of it, before anybody is told how long it is.
    running.pass(MAX_OCTETS + 1).map_err(damaged)?;
    packed.octets = running.at;
    match packed.octets <= MAX_OCTETS {
        true => Ok(of(Arc::new(packed))),
        false => Err(CORRUPT),
    }
}

fn of(packed: Arc<Packed>) -> Body {
    let octets = packed.octets;
    let unpacked = Unpacked {
        packed,
        running: None,
    };
    Body::unpacked(unpacked, octets)
}

const CORRUPT: Error = Error::Corrupt { what: "a message" };

/// What the disk says stays.
fn damaged(error: io::Error) -> Error {
    match error.kind() {
        io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof => CORRUPT,
        _ => error.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Seek, SeekFrom, Write};

    fn text(octets: usize) -> Vec<u8> {
        let mut state = 7u64;
        let mut out = Vec::new();
        while out.len() < octets {
            state = state
                .wrapping_mul(6364136223846793005)
                .wrapping_add(1442695040888963407);
            writeln!(out, "line {} {:x}", out.len(), state >> 44).unwrap();
        }
        out.truncate(octets);
        out
    }

    fn file(method: Method, text: &[u8]) -> (Arc<File>, u64) {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(b"before").unwrap();
        method.compress(&mut &*text, &mut file).unwrap();
        let length = file.metadata().unwrap().len() - 6;
        file.write_all(b"behind").unwrap();
        (Arc::new(file), length)
    }

    #[test]
    fn large_and_small_are_read_anywhere() {
        for method in Method::ALL {
            for octets in [0, 1, SMALL, SMALL + 1, 700_000] {
                let text = text(octets);
                let (file, length) = file(method, &text);
                let mut body = body(file, 6, length).unwrap();
                assert_eq!(body.length(), octets as u64);
                let mut all = Vec::new();
                body.read_to_end(&mut all).unwrap();
                assert!(all == text);
                for from in [octets / 2, octets / 3, octets, octets * 2 / 3] {
                    let mut clone = body.clone();
                    clone.seek(SeekFrom::Start(from as u64)).unwrap();
                    let mut rest = Vec::new();
                    clone.read_to_end(&mut rest).unwrap();
                    assert!(rest == text[from..], "{method:?} {octets} {from}");
                }
            }
        }
    }

    /// A client that reads by pieces must not make the server unpack all before each of them again.
    #[test]
    fn pieces_go_on_where_the_last_one_ended() {
        let text = text(600_000);
        let (file, length) = file(Method::Gzip, &text);
        let file_id = {
            let stat = file.metadata().unwrap();
            (stat.dev(), stat.ino())
        };
        for at in (0..600_000).step_by(50_000) {
            let mut body = body(file.clone(), 6, length).unwrap();
            body.seek(SeekFrom::Start(at)).unwrap();
            let mut piece = vec![0; 50_000];
            body.read_exact(&mut piece).unwrap();
            assert!(piece == text[at as usize..][..50_000]);
            drop(body);
            let parked = parked();
            let mut own = parked
                .iter()
                .filter(|(packed, _)| packed.file_id == file_id);
            assert!(own.any(|(_, running)| running.at == at + 50_000));
            assert!(parked.len() <= MAX_PARKED);
        }
    }

    #[test]
    fn what_is_damaged_is_not_opened() {
        for octets in [5_000, 300_000] {
            for method in Method::ALL {
                let (file, length) = file(method, &text(octets));
                assert!(matches!(
                    body(file.clone(), 6, length - 1),
                    Err(Error::Corrupt { .. })
                ));
                assert!(matches!(
                    body(file, 6, length / 2),
                    Err(Error::Corrupt { .. })
                ));
            }
        }
    }

    #[test]
    fn what_grows_without_end_is_not_opened() {
        let mut zeros = io::repeat(0).take(MAX_OCTETS + 1);
        let mut file = tempfile::tempfile().unwrap();
        Method::Lz4.compress(&mut zeros, &mut file).unwrap();
        let length = file.metadata().unwrap().len();
        let opened = body(Arc::new(file), 0, length);
        assert!(matches!(opened, Err(Error::Corrupt { .. })));
    }

    /// It would be unpacked, and is no such thing.
    #[test]
    fn what_looks_compressed_is_read_as_it_came() {
        use crate::config::{Form, Format};
        use crate::mail::{MailboxName, SystemFlags, Uid};
        let inbox = MailboxName::inbox();
        let stored = [None, Some(Method::Lz4)];
        for (format, compression) in [Format::Maildir, Format::Sdbox, Format::Mdbox]
            .into_iter()
            .flat_map(|format| stored.map(|compression| (format, compression)))
        {
            let directory = tempfile::tempdir().unwrap();
            let form = Form {
                format,
                compression,
                ..Form::default()
            };
            let mut store = crate::store::open(directory.path(), form.clone(), 1 << 20).unwrap();
            let mut uid = 0;
            for magic in [
                b"\x1f\x8b\x08".as_slice(),
                b"\x28\xb5\x2f\xfd",
                b"Dovecot-LZ4\x0d\x2a\x9b\xc5",
            ] {
                for octets in [0, 100, 200_000] {
                    let text = [magic, &text(octets)].concat();
                    let mut draft = store.stage().unwrap();
                    draft.write(&text).unwrap();
                    store.save(&mut *draft, &inbox).unwrap();
                    uid += 1;
                    let filing = crate::store::Filing {
                        uid: Uid::new(uid).unwrap(),
                        flags: SystemFlags::NONE,
                        letters: 0,
                    };
                    let blob = store.commit(&mut *draft, &inbox, &filing).unwrap();
                    store.sync().unwrap();
                    let mut read = Vec::new();
                    let mut body = store.open(&inbox, &blob).unwrap().body;
                    body.read_to_end(&mut read).unwrap();
                    assert!(read == text, "{form:?} {octets}");
                }
            }
        }
    }
}
