//! Numbers in Dovecot's files, as machines with the lowest octet first write them.

pub(super) fn octets<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..)?.first_chunk().copied()
}

pub(super) fn u8_at(bytes: &[u8], at: usize) -> Option<u8> {
    bytes.get(at).copied()
}

pub(super) fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    octets(bytes, at).map(u16::from_le_bytes)
}

pub(super) fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    octets(bytes, at).map(u32::from_le_bytes)
}

pub(super) fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    octets(bytes, at).map(u64::from_le_bytes)
}

/// A 32-bit number that counts octets.
pub(super) fn length_at(bytes: &[u8], at: usize) -> Option<usize> {
    usize::try_from(u32_at(bytes, at)?).ok()
}

/// A length or offset that is written in one go: 7 bits of a quarter of it in each octet, the highest first;
/// `None` if it is not finished.
pub(super) fn offset_at(bytes: &[u8], at: usize) -> Option<usize> {
    let all: [u8; 4] = octets(bytes, at)?;
    let mut number: u32 = 0;
    for octet in all {
        if octet & 0x80 == 0 {
            return None;
        }
        number = number << 7 | u32::from(octet & 0x7f);
    }
    usize::try_from(number << 2).ok()
}

/// `length` filled up to a multiple of 4.
pub(super) fn padded(length: usize) -> Option<usize> {
    length.checked_next_multiple_of(4)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers() {
        assert_eq!(offset_at(&[0x80, 0x80, 0x80, 0x89], 0), Some(36));
        assert_eq!(offset_at(&[0xff, 0xff, 0xff, 0xff], 0), Some(0x3fff_fffc));
        assert_eq!(offset_at(&[0x80, 0x80, 0x80, 0x09], 0), None);
        assert_eq!(offset_at(&[0x80, 0x80, 0x80], 0), None);
        assert_eq!(u32_at(&[1, 2, 3, 4, 5], 1), Some(0x0504_0302));
        assert_eq!(u32_at(&[1, 2, 3], 0), None);
        assert_eq!(u32_at(&[1, 2, 3], usize::MAX), None);
    }
}
