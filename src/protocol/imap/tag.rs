//! The tag of a command, held without heap.

/// Longest tag that is echoed; a longer one is cut by the framer already. No limit that a board sets:
/// clients count their commands, and a tag lies in every session without heap.
pub(super) const MAX_OCTETS: usize = 64;

/// `tag = 1*<any ASTRING-CHAR except "+">` (RFC 3501 section 9).
pub(crate) type Tag = heapless::Vec<u8, MAX_OCTETS>;

/// The tag as it is echoed: `*` where a command had none.
pub(super) fn tag(bytes: &[u8]) -> Tag {
    let mut tag = Tag::new();
    for byte in bytes {
        if tag.push(*byte).is_err() {
            break;
        }
    }
    if tag.is_empty() {
        tag.push(b'*').ok();
    }
    tag
}
