//! What goes from the process before login to the one after it.

use super::tag::{MAX_OCTETS, Tag};

/// A logged-in connection, as bytes between processes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Handover {
    /// The login command still to be answered; not empty.
    pub(crate) tag: Tag,
    /// What the client sent after it already.
    pub(crate) input: Vec<u8>,
}

impl Handover {
    /// Octets of input that can be handed over: what one read brings.
    pub(crate) const MAX_INPUT: usize = 16 * 1024;

    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = vec![u8::try_from(self.tag.len()).unwrap_or(0)];
        out.extend_from_slice(&self.tag);
        out.extend_from_slice(&self.input);
        out
    }

    /// `None` if the bytes are no handover.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Handover> {
        let (length, rest) = bytes.split_first()?;
        let (tag, input) = rest.split_at_checked(usize::from(*length))?;
        let good = (1..=MAX_OCTETS).contains(&tag.len())
            && tag.iter().all(u8::is_ascii_graphic)
            && input.len() <= Self::MAX_INPUT;
        good.then(|| Handover {
            tag: super::tag::tag(tag),
            input: input.to_vec(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn handovers_come_back() {
        let handover = Handover {
            tag: crate::protocol::imap::tag::tag(b"a1"),
            input: b"a2 NOOP\r\n".to_vec(),
        };
        assert_eq!(Handover::decode(&handover.encode()), Some(handover));
        for bad in [&b""[..], b"\0x", b"\x05ab", b"\x02a\n", b"\xff"] {
            assert_eq!(Handover::decode(bad), None, "{bad:?}");
        }
    }
}
