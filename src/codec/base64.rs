//! Base64: strict for SASL, tolerant and streaming for message bodies (RFC 4648 section 4, RFC 2045 section 6.8).

use data_encoding::BASE64;

/// With padding, without line breaks.
pub(crate) fn encode(bytes: &[u8]) -> String {
    BASE64.encode(bytes)
}

/// `None` unless `text` is canonical base64 with padding, as SASL demands.
pub(crate) fn decode(text: &[u8]) -> Option<Vec<u8>> {
    BASE64.decode(text).ok()
}

/// Decodes a body piece by piece; everything outside the alphabet is skipped, as RFC 2045 section 6.8 asks.
#[derive(Debug, Default)]
pub(crate) struct Decoder {
    bits: u32,
    /// Digits in `bits`, 0 to 3.
    count: u8,
}

impl Decoder {
    /// Appends what the piece decodes to.
    pub(crate) fn decode(&mut self, piece: &[u8], out: &mut Vec<u8>) {
        for &byte in piece {
            let digit = match byte {
                b'A'..=b'Z' => byte - b'A',
                b'a'..=b'z' => byte - b'a' + 26,
                b'0'..=b'9' => byte - b'0' + 52,
                b'+' => 62,
                b'/' => 63,
                b'=' => {
                    self.finish(out);
                    continue;
                }
                _ => continue,
            };
            self.bits = self.bits << 6 | u32::from(digit);
            self.count += 1;
            if self.count == 4 {
                out.extend_from_slice(&self.bits.to_be_bytes()[1..]);
                *self = Decoder::default();
            }
        }
    }

    /// Appends the octets of an unfinished group.
    pub(crate) fn finish(&mut self, out: &mut Vec<u8>) {
        let group = (self.bits << (6 * (4 - u32::from(self.count)) % 24)).to_be_bytes();
        match self.count {
            2 => out.extend_from_slice(&group[1..2]),
            3 => out.extend_from_slice(&group[1..3]),
            _ => {}
        }
        *self = Decoder::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decodes_at_every_split() {
        for (text, bytes) in [
            ("", ""),
            ("TQ==", "M"),
            ("TWE=", "Ma"),
            ("TWFu", "Man"),
            ("TWFu\r\nTW Fu", "ManMan"),
            ("TWE", "Ma"),
            ("TQ==TWFu", "MMan"),
            ("T*Q=\0=", "M"),
        ] {
            for split in 0..=text.len() {
                let (a, b) = text.as_bytes().split_at(split);
                let (mut decoder, mut out) = (Decoder::default(), Vec::new());
                decoder.decode(a, &mut out);
                decoder.decode(b, &mut out);
                decoder.finish(&mut out);
                assert_eq!(out, bytes.as_bytes(), "{text:?} at {split}");
            }
        }
    }

    #[test]
    fn strict_form_refuses_junk() {
        assert_eq!(decode(b"AHUAcA=="), Some(b"\0u\0p".to_vec()));
        for text in ["AHUAcA", "AHUAcA==\r\n", "A", "====", "AHUAcB=="] {
            assert_eq!(decode(text.as_bytes()), None, "{text:?}");
        }
        assert_eq!(decode(encode(b"x y").as_bytes()), Some(b"x y".to_vec()));
    }
}
