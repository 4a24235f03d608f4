//! What goes from the process before login to the one after it.

use super::capability::Situation;
use crate::config::Mechanisms;
use crate::wire::lines::Lines;

/// A logged-in connection, as bytes between processes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Handover {
    /// CAPA says the same after login as before.
    pub(super) situation: Situation,
    /// What the client sent after the login already.
    pub(super) input: Vec<u8>,
}

impl Handover {
    /// Octets of input that can be handed over: what one read brings.
    pub(crate) const MAX_INPUT: usize = Lines::READ;

    pub(crate) fn encode(&self) -> Vec<u8> {
        let Situation {
            starttls,
            password,
            mechanisms,
            delay_seconds,
        } = self.situation;
        let mut out = vec![u8::from(starttls) | u8::from(password) << 1];
        out.extend_from_slice(&mechanisms.bits().to_le_bytes());
        out.extend_from_slice(&delay_seconds.to_le_bytes());
        out.extend_from_slice(&self.input);
        out
    }

    /// `None` if the bytes are no handover.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Handover> {
        let (marks, bytes) = bytes.split_first()?;
        let (bits, bytes) = bytes.split_first_chunk()?;
        let (delay, input) = bytes.split_first_chunk()?;
        let good = *marks < 4 && input.len() <= Self::MAX_INPUT;
        good.then(|| Handover {
            situation: Situation {
                starttls: marks & 1 != 0,
                password: marks & 2 != 0,
                mechanisms: Mechanisms::of_bits(u16::from_le_bytes(*bits)),
                delay_seconds: u32::from_le_bytes(*delay),
            },
            input: input.to_vec(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn handovers_come_back() {
        for (starttls, password) in [(false, false), (true, false), (false, true)] {
            let handover = Handover {
                situation: Situation {
                    starttls,
                    password,
                    mechanisms: Mechanisms::PASSWORD,
                    delay_seconds: 900,
                },
                input: b"STAT\r\n".to_vec(),
            };
            assert_eq!(Handover::decode(&handover.encode()), Some(handover));
        }
        assert_eq!(Handover::decode(b""), None);
        assert_eq!(Handover::decode(b"\0\0"), None);
        assert_eq!(Handover::decode(b"\x04\0\0\0\0\0\0x"), None);
        assert_eq!(Handover::decode(&vec![0; Handover::MAX_INPUT + 8]), None);
    }
}
