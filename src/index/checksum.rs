//! A checksum behind each value. redb has checksums of its pages, but looks at them only after a crash;
//! a bit that turned on the disk or in memory since would be told to clients.

use super::Error;

/// Octets of it.
pub(super) const OCTETS: usize = 4;

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

/// CRC-32 of all that tells the row from others, too: no one turned bit is missed.
fn checksum(table: u8, key: &[u8], value: &[u8]) -> [u8; OCTETS] {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&[table]);
    hasher.update(&(key.len() as u64).to_le_bytes());
    hasher.update(key);
    hasher.update(value);
    hasher.finalize().to_le_bytes()
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
