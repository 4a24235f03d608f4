//! LZ4 as Dovecot has it: a header with the size of the largest chunk, and chunks with their sizes, each one
//! block.

use super::method::{damaged, fill};
use lz4_flex::block::{compress_into, decompress_into, get_maximum_output_size};
use std::io::{self, Read, Write};

pub(super) const MAGIC: &[u8] = b"Dovecot-LZ4\x0d\x2a\x9b\xc5";
/// Octets of the largest chunk, compressed or not.
const CHUNK: usize = 64 * 1024;
/// Octets of a number: the highest comes first.
const NUMBER: usize = 4;

pub(super) struct Reader {
    from: Box<dyn Read + Send>,
    /// Octets of the largest chunk; `None` before the header.
    chunk: Option<usize>,
    packed: Vec<u8>,
    plain: Vec<u8>,
    used: usize,
    failed: bool,
}

impl Reader {
    pub(super) fn new(from: Box<dyn Read + Send>) -> Reader {
        Reader {
            from,
            chunk: None,
            packed: Vec::new(),
            plain: Vec::new(),
            used: 0,
            failed: false,
        }
    }

    fn size(octets: [u8; NUMBER]) -> io::Result<usize> {
        let size = usize::try_from(u32::from_be_bytes(octets)).unwrap_or(usize::MAX);
        match (1..=CHUNK).contains(&size) {
            true => Ok(size),
            false => Err(damaged()),
        }
    }

    fn header(&mut self) -> io::Result<usize> {
        let mut magic = [0; MAGIC.len()];
        let mut size = [0; NUMBER];
        self.from.read_exact(&mut magic)?;
        self.from.read_exact(&mut size)?;
        match magic == MAGIC {
            true => Reader::size(size),
            false => Err(damaged()),
        }
    }

    /// Has the next chunk; false at the end.
    fn next(&mut self) -> io::Result<bool> {
        let largest = match self.chunk {
            Some(largest) => largest,
            None => self.header()?,
        };
        self.chunk = Some(largest);
        let mut size = [0; NUMBER];
        match fill(&mut *self.from, &mut size)? {
            0 => return Ok(false),
            NUMBER => {}
            _ => return Err(io::ErrorKind::UnexpectedEof.into()),
        }
        self.packed.resize(Reader::size(size)?, 0);
        self.from.read_exact(&mut self.packed)?;
        self.plain.resize(largest, 0);
        let count = decompress_into(&self.packed, &mut self.plain).map_err(|_| damaged())?;
        self.plain.truncate(count);
        self.used = 0;
        match count {
            0 => Err(damaged()),
            _ => Ok(true),
        }
    }
}

impl Read for Reader {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if self.failed {
            return Err(damaged());
        }
        if self.used >= self.plain.len() {
            match self.next() {
                Ok(true) => {}
                Ok(false) => return Ok(0),
                Err(error) => {
                    self.failed = true;
                    return Err(error);
                }
            }
        }
        let mut rest = self.plain.get(self.used..).unwrap_or_default();
        let count = rest.read(out)?;
        self.used += count;
        Ok(count)
    }
}

fn number(size: usize) -> [u8; NUMBER] {
    u32::try_from(size).unwrap_or(u32::MAX).to_be_bytes()
}

pub(super) fn compress(from: &mut dyn Read, to: &mut dyn Write) -> io::Result<()> {
    // What cannot be compressed grows, and a chunk must not, so that a piece is smaller than one.
    let piece = (1..=CHUNK)
        .rev()
        .find(|piece| get_maximum_output_size(*piece) <= CHUNK);
    let mut plain = vec![0; piece.unwrap_or(CHUNK / 2)];
    let mut packed = vec![0; CHUNK];
    to.write_all(MAGIC)?;
    to.write_all(&number(CHUNK))?;
    loop {
        let count = fill(from, &mut plain)?;
        if count == 0 {
            return Ok(());
        }
        let piece = plain.get(..count).unwrap_or_default();
        let size = compress_into(piece, &mut packed).map_err(|_| damaged())?;
        to.write_all(&number(size))?;
        to.write_all(packed.get(..size).unwrap_or_default())?;
    }
}
