//! Which compression a file has.

use super::{gzip, lz4, zstd};
use std::io::{self, Read, Write};

/// Octets of a file by which every method is known.
pub(crate) const MAGIC_OCTETS: usize = lz4::MAGIC.len();

/// How octets are compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Method {
    Gzip,
    Zstd,
    Lz4,
}

impl Method {
    pub(crate) const ALL: [Method; 3] = [Method::Gzip, Method::Zstd, Method::Lz4];

    /// What the octets at the beginning of a file say.
    pub(crate) fn of(head: &[u8]) -> Option<Method> {
        let mut all = Method::ALL.into_iter();
        all.find(|method| head.starts_with(method.magic()))
    }

    /// How these octets have to be stored so that nobody who knows methods by their magic unpacks them, for what
    /// is stored as it is; `None` where that does not matter.
    pub(crate) fn guarding(head: &[u8]) -> Option<Method> {
        Method::of(head).map(|_| Method::Gzip)
    }

    fn magic(self) -> &'static [u8] {
        match self {
            Method::Gzip => gzip::MAGIC,
            Method::Zstd => zstd::MAGIC,
            Method::Lz4 => lz4::MAGIC,
        }
    }

    /// Its usual name.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Method::Gzip => "gzip",
            Method::Zstd => "zstd",
            Method::Lz4 => "lz4",
        }
    }

    /// Reads what `from` has compressed. Reading fails with `InvalidData` or `UnexpectedEof` where it is
    /// damaged, as far as its checksums tell: Dovecot's LZ4 has none, nor has the Zstandard that it writes.
    pub(crate) fn reader(self, from: Box<dyn Read + Send>) -> Box<dyn Read + Send> {
        match self {
            Method::Gzip => Box::new(gzip::Reader::new(from)),
            Method::Zstd => Box::new(zstd::Reader::new(from)),
            Method::Lz4 => Box::new(lz4::Reader::new(from)),
        }
    }

    /// Writes all of `from` compressed.
    pub(crate) fn compress(self, from: &mut dyn Read, to: &mut dyn Write) -> io::Result<()> {
        match self {
            Method::Gzip => gzip::compress(from, to),
            Method::Zstd => zstd::compress(from, to),
            Method::Lz4 => lz4::compress(from, to),
        }
    }
}

/// Reads until `out` is full or there is no more; returns how much that is.
pub(super) fn fill(from: &mut dyn Read, out: &mut [u8]) -> io::Result<usize> {
    let mut count = 0;
    while let Some(rest) = out.get_mut(count..).filter(|rest| !rest.is_empty()) {
        match from.read(rest) {
            Ok(0) => break,
            Ok(read) => count += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(count)
}

/// What is compressed is damaged.
pub(super) fn damaged() -> io::Error {
    io::ErrorKind::InvalidData.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Cursor;

    fn text(length: usize) -> Vec<u8> {
        let mut state = 5u64;
        let octet = |at: usize| {
            state = state
                .wrapping_mul(6364136223846793005)
                .wrapping_add(1442695040888963407);
            match at % 9 {
                0..5 => b'a' + (at % 13) as u8,
                _ => (state >> 58) as u8 + b' ',
            }
        };
        (0..length).map(octet).collect()
    }

    fn packed(method: Method, text: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        method.compress(&mut &*text, &mut out).unwrap();
        out
    }

    fn unpacked(method: Method, packed: Vec<u8>) -> io::Result<Vec<u8>> {
        let mut out = Vec::new();
        let mut reader = method.reader(Box::new(Cursor::new(packed)));
        // A bomb, or one that never ends, is no answer.
        reader.by_ref().take(8 << 20).read_to_end(&mut out)?;
        Ok(out)
    }

    #[test]
    fn what_is_packed_is_unpacked() {
        for method in Method::ALL {
            for length in [0, 1, 100, 65_535, 65_536, 65_537, 1_000_000] {
                let text = text(length);
                let packed = packed(method, &text);
                assert_eq!(Method::of(&packed), Some(method), "{length}");
                assert!(packed.len() < text.len() * 9 / 10 + 100, "{method:?}");
                let again = unpacked(method, packed).unwrap();
                assert!(again == text, "{method:?} {length}");
            }
            let zeros = packed(method, &vec![0; 3 << 20]);
            assert!(zeros.len() < 30_000, "{method:?} {}", zeros.len());
            assert_eq!(unpacked(method, zeros).unwrap().len(), 3 << 20);
        }
        assert_eq!(Method::of(b"From: a@b\n"), None);
        assert_eq!(Method::of(b""), None);
    }

    #[test]
    fn parts_one_behind_the_other_are_one() {
        for method in [Method::Gzip, Method::Zstd] {
            let parts = [packed(method, b"one "), packed(method, b"two")].concat();
            assert_eq!(unpacked(method, parts).unwrap(), b"one two");
        }
    }

    /// What the programs of these names write, as Dovecot does, too.
    #[test]
    fn others_are_read() {
        use std::process::{Command, Stdio};
        let text = text(300_000);
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), &text).unwrap();
        for (method, program, levels) in [
            (Method::Gzip, "gzip", ["-1", "-9"]),
            (Method::Zstd, "zstd", ["-1", "-19"]),
        ] {
            for level in levels {
                let mut command = Command::new(program);
                command.args([level, "-c"]).arg(file.path());
                match command.stderr(Stdio::null()).output() {
                    Ok(out) => assert!(unpacked(method, out.stdout).unwrap() == text, "{program}"),
                    Err(_) => eprintln!("skipped: no {program}"),
                }
            }
        }
    }

    #[test]
    fn damage_is_told_and_ends() {
        let text = text(200_000);
        for method in Method::ALL {
            let whole = packed(method, &text);
            for cut in [1, 4, 10, 16, 40, 1000, whole.len() / 2, whole.len() - 1] {
                let got = unpacked(method, whole[..cut].to_vec());
                assert!(got.is_err(), "{method:?} {cut}");
                assert!(got.is_err_and(|e| matches!(
                    e.kind(),
                    io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof
                )));
            }
            let mut state = 9u64;
            for _ in 0..300 {
                let mut bad = whole.clone();
                state = state
                    .wrapping_mul(6364136223846793005)
                    .wrapping_add(1442695040888963407);
                let at = (state >> 20) as usize % bad.len();
                bad[at] ^= 1 << (state >> 59 & 7);
                let got = unpacked(method, bad);
                // The first octets are no part of what the checksum is of.
                if method != Method::Lz4 && at > 10 {
                    assert!(got.is_err(), "{at}");
                } else {
                    assert!(got.is_err() || got.is_ok_and(|got| got.len() <= 8 << 20));
                }
            }
        }
    }
}
