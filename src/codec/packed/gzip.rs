//! gzip (RFC 1952).

use super::method::{damaged, fill};
use miniz_oxide::deflate::core::{CompressorOxide, create_comp_flags_from_zip_params};
use miniz_oxide::deflate::stream::deflate;
use miniz_oxide::inflate::stream::{InflateState, inflate};
use miniz_oxide::{DataFormat, MZError, MZFlush, MZStatus};
use std::io::{self, Read, Write};

pub(super) const MAGIC: &[u8] = b"\x1f\x8b\x08";
/// Octets read or written at a time.
const PIECE: usize = 16 * 1024;
/// As Dovecot has it where nothing else is said.
const LEVEL: i32 = 6;
/// Without header and checksum, window of 32 KiB.
const RAW: i32 = -15;
/// No flags, no time, no extra flags, system unknown.
const HEADER: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255];

// Flags of the header.
const FHCRC: u8 = 2;
const FEXTRA: u8 = 4;
const FNAME: u8 = 8;
const FCOMMENT: u8 = 16;

/// What a file of one or more members has.
pub(super) struct Reader {
    from: Box<dyn Read + Send>,
    state: Box<InflateState>,
    packed: Vec<u8>,
    used: usize,
    /// Of what was read of this member; `None` before its header.
    member: Option<(crc32fast::Hasher, u32)>,
    /// One member was whole.
    any: bool,
    failed: bool,
}

impl Reader {
    pub(super) fn new(from: Box<dyn Read + Send>) -> Reader {
        Reader {
            from,
            state: InflateState::new_boxed(DataFormat::Raw),
            packed: Vec::new(),
            used: 0,
            member: None,
            any: false,
            failed: false,
        }
    }

    /// Has octets that were not used; false at the end of the file.
    fn refill(&mut self) -> io::Result<bool> {
        if self.used < self.packed.len() {
            return Ok(true);
        }
        self.packed.resize(PIECE, 0);
        let count = fill(&mut *self.from, &mut self.packed)?;
        self.packed.truncate(count);
        self.used = 0;
        Ok(count > 0)
    }

    fn octet(&mut self) -> io::Result<u8> {
        let there = self.refill()?;
        let octet = self.packed.get(self.used).copied().filter(|_| there);
        self.used += 1;
        octet.ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
    }

    fn octets<const N: usize>(&mut self) -> io::Result<[u8; N]> {
        let mut octets = [0; N];
        for octet in &mut octets {
            *octet = self.octet()?;
        }
        Ok(octets)
    }

    fn header(&mut self) -> io::Result<()> {
        let [a, b, c, flags, ..] = self.octets::<10>()?;
        if [a, b, c] != MAGIC {
            return Err(damaged());
        }
        if flags & FEXTRA != 0 {
            let length = u16::from_le_bytes(self.octets()?);
            for _ in 0..length {
                self.octet()?;
            }
        }
        for text in [FNAME, FCOMMENT] {
            while flags & text != 0 && self.octet()? != 0 {}
        }
        if flags & FHCRC != 0 {
            self.octets::<2>()?;
        }
        Ok(())
    }

    fn next(&mut self, out: &mut [u8]) -> io::Result<usize> {
        loop {
            if self.member.is_none() {
                if self.any && !self.refill()? {
                    return Ok(0);
                }
                self.header()?;
                self.state = InflateState::new_boxed(DataFormat::Raw);
                self.member = Some((crc32fast::Hasher::new(), 0));
            }
            let there = self.refill()?;
            let rest = self.packed.get(self.used..).unwrap_or_default();
            let done = inflate(&mut self.state, rest, out, MZFlush::None);
            self.used += done.bytes_consumed;
            if let (Some((sum, octets)), Some(new)) =
                (&mut self.member, out.get(..done.bytes_written))
            {
                sum.update(new);
                // Modulo 2^32, as the file has it.
                *octets = octets.wrapping_add(u32::try_from(new.len()).unwrap_or(0));
            }
            match done.status {
                Ok(MZStatus::StreamEnd) => self.end()?,
                Ok(MZStatus::Ok) | Err(MZError::Buf) => {
                    if !there && done.bytes_written == 0 {
                        return Err(io::ErrorKind::UnexpectedEof.into());
                    }
                }
                _ => return Err(damaged()),
            }
            if done.bytes_written > 0 {
                return Ok(done.bytes_written);
            }
        }
    }

    /// Compares what stands at the end of a member.
    fn end(&mut self) -> io::Result<()> {
        let (sum, octets) = self.member.take().ok_or_else(damaged)?;
        let told = [
            u32::from_le_bytes(self.octets()?),
            u32::from_le_bytes(self.octets()?),
        ];
        self.any = true;
        match told == [sum.finalize(), octets] {
            true => Ok(()),
            false => Err(damaged()),
        }
    }
}

impl Read for Reader {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if out.is_empty() {
            return Ok(0);
        }
        if self.failed {
            return Err(damaged());
        }
        let read = self.next(out);
        self.failed = read.is_err();
        read
    }
}

/// Writes one member.
pub(super) fn compress(from: &mut dyn Read, to: &mut dyn Write) -> io::Result<()> {
    let flags = create_comp_flags_from_zip_params(LEVEL, RAW, 0);
    let mut compressor = Box::new(CompressorOxide::new(flags));
    let (mut plain, mut packed) = (vec![0; PIECE], vec![0; PIECE]);
    let (mut sum, mut octets) = (crc32fast::Hasher::new(), 0u32);
    to.write_all(&HEADER)?;
    loop {
        let count = fill(from, &mut plain)?;
        let mut rest = plain.get(..count).unwrap_or_default();
        sum.update(rest);
        octets = octets.wrapping_add(u32::try_from(count).unwrap_or(0));
        let last = count < PIECE;
        let flush = if last { MZFlush::Finish } else { MZFlush::None };
        loop {
            let done = deflate(&mut compressor, rest, &mut packed, flush);
            to.write_all(packed.get(..done.bytes_written).unwrap_or_default())?;
            rest = rest.get(done.bytes_consumed..).unwrap_or_default();
            match done.status {
                Ok(MZStatus::StreamEnd) => {
                    to.write_all(&sum.finalize().to_le_bytes())?;
                    return to.write_all(&octets.to_le_bytes());
                }
                Ok(_) | Err(MZError::Buf) if !last && rest.is_empty() => break,
                Ok(_) => {}
                Err(_) => return Err(damaged()),
            }
        }
    }
}
