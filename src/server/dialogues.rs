//! SASL exchanges that wait for what their client says last.

use crate::auth::Dialogue;
use crate::config::Protocol;
use std::collections::BTreeMap;
use std::net::IpAddr;

/// What the client speaks, and who pays for a failure.
type Peer = (Protocol, IpAddr);

/// At most one for each connection, and at most so many in all: beyond, the oldest is given up.
#[derive(Debug)]
pub(super) struct Dialogues {
    /// By connection: later ones have higher numbers.
    waiting: BTreeMap<u64, (Dialogue, Peer)>,
    at_most: usize,
}

impl Dialogues {
    pub(super) fn new(at_most: u32) -> Dialogues {
        Dialogues {
            waiting: BTreeMap::new(),
            at_most: usize::try_from(at_most).unwrap_or(usize::MAX),
        }
    }

    /// Keeps a dialogue, with its peer, in place of what the connection had.
    pub(super) fn keep(&mut self, connection: u64, dialogue: Dialogue, peer: Peer) {
        self.waiting.insert(connection, (dialogue, peer));
        if self.waiting.len() > self.at_most {
            self.waiting.pop_first();
        }
    }

    /// Takes the dialogue of a connection.
    pub(super) fn take(&mut self, connection: u64) -> Option<(Dialogue, Peer)> {
        self.waiting.remove(&connection)
    }

    /// Those of connections that are gone with the process that had them.
    pub(super) fn clear(&mut self) {
        self.waiting.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_gives_way() {
        let mut dialogues = Dialogues::new(2);
        let peer = (Protocol::Imap, IpAddr::from([192, 0, 2, 1]));
        let mut keep = |connection, challenge: &str| {
            let dialogue = Dialogue::CramMd5(challenge.to_owned());
            dialogues.keep(connection, dialogue, peer);
        };
        keep(1, "<1>");
        keep(1, "<2>");
        keep(2, "<3>");
        keep(3, "<4>");
        assert!(dialogues.take(1).is_none());
        let (taken, of) = dialogues.take(2).unwrap();
        assert!(matches!(taken, Dialogue::CramMd5(challenge) if challenge == "<3>"));
        assert_eq!(of, peer);
        assert!(dialogues.take(2).is_none());
        dialogues.clear();
        assert!(dialogues.take(3).is_none());
    }
}
