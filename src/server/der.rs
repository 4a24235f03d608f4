//! DER as certificates have it (X.690), read piece by piece.

/// The tag of an element, its content, and what is behind it. `None` for what is cut short or longer than 16 MiB.
pub(super) fn element(der: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (tag, rest) = der.split_first()?;
    let (first, rest) = rest.split_first()?;
    let (length, rest) = match first.checked_sub(0x80) {
        None => (usize::from(*first), rest),
        Some(count @ 1..=3) => {
            let (octets, rest) = rest.split_at_checked(usize::from(count))?;
            let length = (octets.iter()).fold(0, |length, octet| length << 8 | usize::from(*octet));
            (length, rest)
        }
        Some(_) => return None,
    };
    let (content, behind) = rest.split_at_checked(length)?;
    Some((*tag, content, behind))
}

/// The elements one after the other, until one cannot be read.
pub(super) fn elements(mut der: &[u8]) -> impl Iterator<Item = (u8, &[u8])> {
    std::iter::from_fn(move || {
        let (tag, content, behind) = element(der)?;
        der = behind;
        Some((tag, content))
    })
}
