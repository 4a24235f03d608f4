//! Lines that tell whether they are whole: a CRC-32 in eight hexadecimal digits, a blank, the text, LF.

/// Appends a line.
pub(crate) fn put(text: &str, out: &mut Vec<u8>) {
    let sum = crc32fast::hash(text.as_bytes());
    out.extend_from_slice(format!("{sum:08x} {text}\n").as_bytes());
}

/// The texts of all lines up to the first NUL, with which a file is filled up; `None` for a line that is
/// cut or damaged.
pub(crate) fn lines(bytes: &[u8]) -> impl Iterator<Item = Option<&str>> {
    let end = memchr::memchr(0, bytes).unwrap_or(bytes.len());
    let text = bytes.get(..end).unwrap_or_default();
    let lines = text.split_inclusive(|b| *b == b'\n');
    lines.map(|line| line.strip_suffix(b"\n").and_then(checked))
}

fn checked(line: &[u8]) -> Option<&str> {
    let (sum, text) = line.split_at_checked(9)?;
    let sum = std::str::from_utf8(sum).ok()?.strip_suffix(' ')?;
    let sum = u32::from_str_radix(sum, 16).ok()?;
    if crc32fast::hash(text) != sum {
        return None;
    }
    std::str::from_utf8(text).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_whole_is_none() {
        let mut bytes = Vec::new();
        put("one", &mut bytes);
        put("zwei ä", &mut bytes);
        let all = |bytes: &[u8]| -> Vec<Option<String>> {
            lines(bytes).map(|line| line.map(str::to_owned)).collect()
        };
        let whole = [Some("one".to_owned()), Some("zwei ä".to_owned())];
        assert_eq!(all(&bytes), whole);
        assert_eq!(all(&[&bytes[..], b"\0\0x"].concat()), whole);
        assert_eq!(all(&bytes[..bytes.len() - 1]), [whole[0].clone(), None]);
        for at in 0..12 {
            let mut damaged = bytes.clone();
            damaged[at] ^= 1;
            assert_eq!(all(&damaged), [None, whole[1].clone()], "{at}");
        }
    }
}
