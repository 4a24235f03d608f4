//! What stands around messages in the files of sdbox and mdbox, as Dovecot 2.0 to 2.4 write it: a line at
//! the start of a file, a header before each message, lines of metadata behind it.

/// Octets of the header before a message.
pub(super) const MESSAGE_HEADER: usize = 30;
/// Octets of the line at the start of a file, at most.
pub(super) const MAX_FILE_HEADER: usize = 256;
/// Octets of the metadata of a message, at most.
pub(super) const MAX_METADATA: usize = 64 * 1024;

const MESSAGE_MAGIC: &[u8] = b"\x01\x02";
const METADATA_MAGIC: &[u8] = b"\n\x01\x03\n";
/// Where the size stands in the header of a message.
const SIZE: std::ops::Range<usize> = 13..29;

/// The line at the start of a file. `created`: seconds since 1970.
pub(super) fn file_header(created: i64) -> String {
    format!("2 M{MESSAGE_HEADER:x} C{created:x}\n")
}

/// What the line at the start of a file tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FileHeader {
    /// Octets of the line, its end included.
    pub(super) octets: usize,
    /// Octets of the header before each message.
    pub(super) message_header: usize,
}

impl FileHeader {
    /// `None` if that is no file of version 2.
    pub(super) fn parse(bytes: &[u8]) -> Option<FileHeader> {
        let bytes = bytes.get(..bytes.len().min(MAX_FILE_HEADER))?;
        let end = memchr::memchr(b'\n', bytes)?;
        let line = std::str::from_utf8(bytes.get(..end)?).ok()?;
        let mut words = line.split(' ');
        if words.next() != Some("2") {
            return None;
        }
        let size = words.find_map(|word| word.strip_prefix('M'))?;
        let message_header = usize::from_str_radix(size, 16).ok()?;
        let fits = (MESSAGE_HEADER..=MAX_FILE_HEADER).contains(&message_header);
        fits.then_some(FileHeader {
            octets: end + 1,
            message_header,
        })
    }
}

/// The header of a message whose body has so many octets.
pub(super) fn message_header(octets: u64) -> String {
    format!("\x01\x02N{:10}{octets:016x}\n", "")
}

/// The octets of the body that a header tells; `None` if that is none.
pub(super) fn body_octets(header: &[u8]) -> Option<u64> {
    let own = header.starts_with(MESSAGE_MAGIC) && header.get(SIZE.end) == Some(&b'\n');
    let size = std::str::from_utf8(header.get(SIZE)?).ok()?;
    let digits = size.bytes().all(|b| b.is_ascii_hexdigit());
    u64::from_str_radix(size, 16).ok().filter(|_| own && digits)
}

/// Metadata of a message: letters with values. Letters that this server does not know stay.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Metadata {
    lines: Vec<(u8, Vec<u8>)>,
}

/// INTERNALDATE, seconds since 1970 in hexadecimal digits.
pub(super) const RECEIVED: u8 = b'R';
/// RFC822.SIZE in hexadecimal digits.
pub(super) const WIRE_OCTETS: u8 = b'V';
/// Octets of the body where those in the file are others, as it is compressed, in hexadecimal digits.
pub(super) const PLAIN_OCTETS: u8 = b'Z';
pub(super) const GUID: u8 = b'G';
/// Attachments that are not in the body.
pub(super) const ATTACHMENTS: u8 = b'X';
/// The unique-id in POP3.
pub(super) const UIDL: u8 = b'P';
/// The mailbox that the message came to first, as a path.
pub(super) const MAILBOX: u8 = b'B';
/// Under which UID it came there (see `arrival`). Only this server writes it; Dovecot keeps what it does not know.
pub(super) const ARRIVAL: u8 = b'U';

impl Metadata {
    pub(super) fn put(&mut self, letter: u8, value: impl Into<Vec<u8>>) {
        self.lines.push((letter, value.into()));
    }

    pub(super) fn get(&self, letter: u8) -> Option<&[u8]> {
        let mut lines = self.lines.iter();
        let line = lines.find(|(own, _)| *own == letter)?;
        Some(&line.1)
    }

    /// True if the last line is of this letter.
    pub(super) fn ends_with(&self, letter: u8) -> bool {
        self.lines.last().is_some_and(|(own, _)| *own == letter)
    }

    /// A value of hexadecimal digits.
    pub(super) fn number(&self, letter: u8) -> Option<u64> {
        let text = std::str::from_utf8(self.get(letter)?).ok()?;
        u64::from_str_radix(text, 16).ok()
    }

    /// As it stands behind a body.
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut out = METADATA_MAGIC.to_vec();
        for (letter, value) in &self.lines {
            out.push(*letter);
            out.extend_from_slice(value);
            out.push(b'\n');
        }
        out.push(b'\n');
        out
    }

    /// Reads what stands behind a body; returns also how many octets that are. `None` if it does not
    /// begin or end as it should.
    pub(super) fn parse(bytes: &[u8]) -> Option<(Metadata, usize)> {
        let mut rest = bytes.strip_prefix(METADATA_MAGIC)?;
        let mut metadata = Metadata::default();
        loop {
            let end = memchr::memchr(b'\n', rest)?;
            let (line, after) = rest.split_at_checked(end)?;
            rest = after.get(1..)?;
            let Some((letter, value)) = line.split_first() else {
                return Some((metadata, bytes.len() - rest.len()));
            };
            metadata.put(*letter, value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `m.1` as Dovecot 2.3.19 wrote it.
    const FILE: &[u8] = b"2 M1e C6b077d15\n\x01\x02N          0000000000000024\n\
        From: a@b\nSubject: one\n\nhello\nworld\n\n\x01\x03\nR6b077d15\nV29\n\
        Gca8d4527157d076b9f41000083ecc375\nBINBOX\n\n";

    #[test]
    fn what_dovecot_wrote_is_read_and_written_alike() {
        let header = FileHeader::parse(FILE).unwrap();
        assert_eq!((header.octets, header.message_header), (16, MESSAGE_HEADER));
        let rest = &FILE[header.octets..];
        let octets = body_octets(rest).unwrap();
        let body = &rest[MESSAGE_HEADER..MESSAGE_HEADER + octets as usize];
        assert_eq!(body, b"From: a@b\nSubject: one\n\nhello\nworld\n");
        let rest = &rest[MESSAGE_HEADER + octets as usize..];
        let (metadata, length) = Metadata::parse(rest).unwrap();
        assert_eq!(length, rest.len());
        assert_eq!(metadata.number(RECEIVED), Some(0x6b07_7d15));
        assert_eq!(metadata.number(WIRE_OCTETS), Some(41));
        assert_eq!(metadata.get(MAILBOX), Some(&b"INBOX"[..]));
        assert_eq!(metadata.get(b'Q'), None);
        let mut written = file_header(0x6b07_7d15).into_bytes();
        written.extend_from_slice(message_header(octets).as_bytes());
        written.extend_from_slice(body);
        written.extend_from_slice(&metadata.encode());
        assert_eq!(written, FILE);
    }

    #[test]
    fn what_is_cut_off_or_foreign_is_not_read() {
        let end = FILE.len();
        let metadata = memchr::memmem::find(FILE, METADATA_MAGIC).unwrap();
        for cut in metadata..end {
            assert_eq!(Metadata::parse(&FILE[metadata..cut]), None, "{cut}");
        }
        for cut in 16..46 {
            assert_eq!(body_octets(&FILE[16..cut]), None, "{cut}");
        }
        assert_eq!(body_octets(b"\x01\x02N           +00000000000024\n"), None);
        for bad in [
            &b"1 M1e C6b\n"[..],
            b"2 M1d C6b\n",
            b"2 Mx C6b\n",
            b"2 C6b\n",
            b"2 M1e C6b",
            b"",
        ] {
            assert_eq!(FileHeader::parse(bad), None);
        }
        let more = FileHeader::parse(b"2 M20 X C6b\n").unwrap();
        assert_eq!((more.octets, more.message_header), (12, 32));
    }
}
