//! Short texts made shorter (blocks of LZ4), beside another text that has much of the same and that whoever
//! unpacks them has, too.

use lz4_flex::block::{
    compress_into_with_dict, decompress_into_with_dict, get_maximum_output_size,
};

/// Of what stands beside only so many octets count.
const BESIDE: usize = 16 * 1024;

fn near(beside: &[u8]) -> &[u8] {
    beside.get(..BESIDE).unwrap_or(beside)
}

/// Appends what [`unpack`] takes. Returns how many octets that are.
pub(crate) fn pack(text: &[u8], beside: &[u8], out: &mut Vec<u8>) -> usize {
    let start = out.len();
    out.resize(start + get_maximum_output_size(text.len()), 0);
    let room = out.get_mut(start..).unwrap_or_default();
    // There is always room enough.
    let packed = compress_into_with_dict(text, room, near(beside)).unwrap_or(0);
    out.truncate(start + packed);
    packed
}

/// Appends so many octets of text. `false`, and nothing is appended, for what `pack` did not make of them and
/// of what stood beside.
pub(crate) fn unpack(packed: &[u8], beside: &[u8], octets: usize, out: &mut Vec<u8>) -> bool {
    let start = out.len();
    out.resize(start + octets, 0);
    let room = out.get_mut(start..).unwrap_or_default();
    let unpacked = decompress_into_with_dict(packed, room, near(beside));
    let whole = unpacked.is_ok_and(|count| count == octets);
    if !whole {
        out.truncate(start);
    }
    whole
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_survive_beside_what_they_were_packed_with() {
        let beside =
            b"Subject: of what there is much more\r\nFrom: somebody@example.org\r\n".repeat(300);
        for length in [0, 1, 3, 4, 5, 12, 13, 64, 500, beside.len()] {
            for other in [0, 1, 3, 4, 8, 64, beside.len()] {
                let (text, beside) = (&beside[..length], &beside[..other]);
                let mut packed = b"before".to_vec();
                let octets = pack(text, beside, &mut packed);
                assert_eq!(packed.len(), 6 + octets);
                let mut out = b"kept".to_vec();
                assert!(unpack(&packed[6..], beside, length, &mut out));
                assert_eq!(&out[4..], text);
                for wrong in [length + 1, length.wrapping_sub(1)] {
                    let wrong = wrong.min(1 << 20);
                    assert!(wrong == length || !unpack(&packed[6..], beside, wrong, &mut out));
                }
                assert_eq!(out.len(), 4 + length);
            }
        }
        let mut out = Vec::new();
        for cut in 0..200u8 {
            let noise: Vec<u8> = (0..cut).map(|at| at.wrapping_mul(cut) ^ 0x5a).collect();
            unpack(&noise, b"beside", 77, &mut out);
        }
    }
}
