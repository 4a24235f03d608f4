//! A checksum behind each value. redb has checksums of its pages, but looks at them only after a crash;
//! a bit that turned on the disk or in memory since would be told to clients.

use super::Error;

/// Octets of it.
const OCTETS: usize = 4;

/// Odd, so that multiplying by it loses nothing.
const FACTOR: u64 = 0x9e37_79b9_7f4a_7c15;

/// A value with its checksum, as it is stored in that table under that key.
pub(super) fn seal(table: u8, key: &[u8], value: &[u8]) -> Vec<u8> {
    let mut row = Vec::with_capacity(value.len() + OCTETS);
    row.extend_from_slice(value);
    row.extend_from_slice(&checksum(table, key, value));
    row
}

/// The value of a row. Errors: `Corrupt` if it is not what was stored there.
pub(super) fn unseal<'a>(table: u8, key: &[u8], row: &'a [u8]) -> Result<&'a [u8], Error> {
    match row.split_last_chunk::<OCTETS>() {
        Some((value, own)) if *own == checksum(table, key, value) => Ok(value),
        _ => Err(Error::Corrupt { what: "a row" }),
    }
}

/// The value of a row that [`unseal`] took.
pub(super) fn unsealed(row: &[u8]) -> &[u8] {
    row.split_last_chunk::<OCTETS>()
        .map_or(&[], |(value, _)| value)
}

/// Each step keeps whatever is different different, until the end halves it: one turned bit is missed in
/// one of four thousand million rows.
fn checksum(table: u8, key: &[u8], value: &[u8]) -> [u8; OCTETS] {
    let start = u64::from(table) << 56 ^ key.len() as u64 ^ (value.len() as u64) << 16;
    let mixed = mix(mix(start, key), value);
    let [a, b, c, d, e, f, g, h] = mixed.to_le_bytes();
    [a ^ e, b ^ f, c ^ g, d ^ h]
}

/// Four sums side by side, so that none waits for another.
fn mix(start: u64, bytes: &[u8]) -> u64 {
    let mut sums = [start, FACTOR, !start, !FACTOR];
    let (blocks, rest) = bytes.as_chunks::<32>();
    for block in blocks {
        let (words, _) = block.as_chunks::<8>();
        for (sum, word) in sums.iter_mut().zip(words) {
            *sum = step(*sum, *word);
        }
    }
    let (words, rest) = rest.as_chunks::<8>();
    for (sum, word) in sums.iter_mut().zip(words) {
        *sum = step(*sum, *word);
    }
    let mut last = [0; 8];
    last.iter_mut().zip(rest).for_each(|(to, from)| *to = *from);
    sums.iter()
        .fold(step(start, last), |all, sum| step(all, sum.to_le_bytes()))
}

fn step(sum: u64, word: [u8; 8]) -> u64 {
    let mixed = (sum ^ u64::from_le_bytes(word)).wrapping_mul(FACTOR);
    mixed ^ mixed >> 32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_turned_bit_is_seen() {
        for length in [0, 1, 7, 8, 9, 31, 32, 33, 100, 1000] {
            let value: Vec<u8> = (0..length).map(|n: u32| n.to_le_bytes()[0]).collect();
            let row = seal(3, b"key", &value);
            assert_eq!(unseal(3, b"key", &row).unwrap(), value);
            for bit in 0..row.len() * 8 {
                let mut turned = row.clone();
                turned[bit / 8] ^= 1 << (bit % 8);
                assert!(unseal(3, b"key", &turned).is_err(), "{length} {bit}");
            }
            for cut in 0..row.len() {
                assert!(unseal(3, b"key", &row[..cut]).is_err(), "{length} {cut}");
            }
            // Not the row of another.
            assert!(unseal(4, b"key", &row).is_err() && unseal(3, b"kez", &row).is_err());
        }
    }

    /// What it costs: `cargo test --release -- --ignored costs`.
    #[test]
    #[ignore = "measures"]
    fn costs() {
        for length in [30, 100, 1000, 10_000] {
            let row = seal(1, b"12345678", &vec![7; length]);
            let began = std::time::Instant::now();
            for _ in 0..100_000 {
                std::hint::black_box(unseal(1, b"12345678", std::hint::black_box(&row)).is_ok());
            }
            println!("{length} octets: {:?}", began.elapsed() / 100_000);
        }
    }
}
