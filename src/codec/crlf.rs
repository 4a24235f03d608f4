//! Line ends: CRLF on the wire, LF on disk.

use memchr::{memchr, memchr_iter};

/// Turns CRLF into LF. Bare CR and bare LF stay as they are, and so does CRLF behind a CR: that CR before a LF
/// alone would be a CRLF, and one octet be lost.
#[derive(Debug, Default)]
pub(crate) struct ToLf {
    /// The last byte seen was a CR that was not written yet.
    held: bool,
    /// The byte before that, or the last one, was a CR.
    after_cr: bool,
    written: u64,
    virtual_octets: u64,
}

impl ToLf {
    /// Appends the piece to `out`.
    pub(crate) fn encode(&mut self, piece: &[u8], out: &mut Vec<u8>) {
        let before = out.len();
        let mut rest = piece;
        let mut kept = 0;
        if self.held && !rest.is_empty() {
            self.held = false;
            let ends = rest.first() == Some(&b'\n');
            if self.after_cr || !ends {
                out.push(b'\r');
                kept += u64::from(ends);
            }
            self.after_cr = !ends;
        }
        while let Some(at) = memchr(b'\r', rest) {
            let (text, after) = rest.split_at(at);
            out.extend_from_slice(text);
            let doubled = self.after_cr && text.is_empty();
            match after.get(1) {
                Some(b'\n') => {
                    if doubled {
                        out.push(b'\r');
                        kept += 1;
                    }
                    out.push(b'\n');
                    self.after_cr = false;
                    rest = after.get(2..).unwrap_or_default();
                }
                Some(_) => {
                    out.push(b'\r');
                    self.after_cr = true;
                    rest = after.get(1..).unwrap_or_default();
                }
                None => {
                    self.held = true;
                    self.after_cr = doubled;
                    rest = &[];
                }
            }
        }
        out.extend_from_slice(rest);
        self.after_cr &= rest.is_empty();
        self.count(out.get(before..).unwrap_or_default(), kept);
    }

    /// Appends a CR that was held back at the end.
    pub(crate) fn finish(&mut self, out: &mut Vec<u8>) {
        if std::mem::take(&mut self.held) {
            out.push(b'\r');
            self.count(b"\r", 0);
        }
    }

    /// `kept`: lines whose ends were written as CRLF.
    fn count(&mut self, written: &[u8], kept: u64) {
        let lines = memchr_iter(b'\n', written).count() as u64;
        self.written += written.len() as u64;
        self.virtual_octets += written.len() as u64 + lines - kept;
    }

    /// Octets written.
    pub(crate) fn octets(&self) -> u64 {
        self.written
    }

    /// Octets written if every bare LF counts as CRLF.
    pub(crate) fn virtual_octets(&self) -> u64 {
        self.virtual_octets
    }
}

/// Turns bare LF into CRLF and leaves CRLF alone.
#[derive(Debug, Default)]
pub(crate) struct ToCrlf {
    after_cr: bool,
}

impl ToCrlf {
    /// For bytes from the middle of a text; `after_cr`: the byte before them is a CR.
    pub(crate) fn within(after_cr: bool) -> ToCrlf {
        ToCrlf { after_cr }
    }

    /// Appends the piece to `out`.
    pub(crate) fn decode(&mut self, piece: &[u8], out: &mut Vec<u8>) {
        out.reserve(piece.len() + piece.len() / 16);
        let mut from = 0;
        for at in memchr_iter(b'\n', piece) {
            let line = piece.get(from..at).unwrap_or_default();
            out.extend_from_slice(line);
            let cr = if line.is_empty() && from == 0 {
                self.after_cr
            } else {
                line.last() == Some(&b'\r')
            };
            out.extend_from_slice(if cr { b"\n" } else { b"\r\n" });
            from = at + 1;
        }
        out.extend_from_slice(piece.get(from..).unwrap_or_default());
        if let Some(last) = piece.last() {
            self.after_cr = *last == b'\r';
        }
    }
}

/// Octets of `bytes` if every bare LF counts as CRLF; `after_cr`: the byte before was a CR.
pub(crate) fn virtual_octets(bytes: &[u8], after_cr: bool) -> u64 {
    let bare = |at: &usize| match at.checked_sub(1) {
        None => !after_cr,
        Some(before) => bytes.get(before) != Some(&b'\r'),
    };
    bytes.len() as u64 + memchr_iter(b'\n', bytes).filter(bare).count() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_and_back_at_every_split() {
        for (wire, disk, back) in [
            ("a\r\nb\r\n", "a\nb\n", "a\r\nb\r\n"),
            ("a\nb", "a\nb", "a\r\nb"),
            ("a\rb\r\r\nc\r", "a\rb\r\r\nc\r", "a\rb\r\r\nc\r"),
            ("\r\r\r\n\r\n\n", "\r\r\r\n\n\n", "\r\r\r\n\r\n\r\n"),
            ("\r\ra\r\n", "\r\ra\n", "\r\ra\r\n"),
            ("\r\n\r\n", "\n\n", "\r\n\r\n"),
            ("\r", "\r", "\r"),
            ("", "", ""),
        ] {
            for split in 0..=wire.len() {
                let (a, b) = wire.as_bytes().split_at(split);
                let (mut encoder, mut out) = (ToLf::default(), Vec::new());
                encoder.encode(a, &mut out);
                encoder.encode(b, &mut out);
                encoder.finish(&mut out);
                assert_eq!(out, disk.as_bytes(), "{wire:?} at {split}");
                assert_eq!(encoder.octets(), out.len() as u64);
                assert_eq!(
                    encoder.virtual_octets(),
                    back.len() as u64,
                    "{wire:?} at {split}"
                );
            }
            for split in 0..=disk.len() {
                let (a, b) = disk.as_bytes().split_at(split);
                let (mut decoder, mut out) = (ToCrlf::default(), Vec::new());
                decoder.decode(a, &mut out);
                decoder.decode(b, &mut out);
                assert_eq!(out, back.as_bytes(), "{disk:?} at {split}");
                let cr = a.last() == Some(&b'\r');
                assert_eq!(
                    virtual_octets(a, false) + virtual_octets(b, cr),
                    back.len() as u64
                );
            }
        }
    }
}
