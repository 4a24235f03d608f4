//! Messages as FETCH sees them, one after the other.

use super::Error;
use crate::mail::{DateTime, ModSeq, SeqNum, SystemFlags, Uid};

/// What will be asked of each row, so that the right things are read at once.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Want {
    pub(crate) octets: bool,
    pub(crate) internal_date: bool,
    pub(crate) envelope: bool,
    pub(crate) bodystructure: bool,
    /// Header fields that the index may know (`Rows::header_fields`).
    pub(crate) header_fields: bool,
    /// Any section of the text.
    pub(crate) body: bool,
}

/// A cursor over messages. Holds no transaction and little memory between two calls of `advance`;
/// what had to be computed is written to the index in batches and when it is dropped.
pub(crate) struct Rows {}

impl Rows {
    /// Goes to the next message that still exists; `false` at the end.
    pub(crate) fn advance(&mut self) -> Result<bool, Error> {
        todo!()
    }
    /// True if a message asked for was expunged meanwhile and left out.
    pub(crate) fn incomplete(&self) -> bool {
        todo!()
    }
    pub(crate) fn seq(&self) -> SeqNum {
        todo!()
    }
    pub(crate) fn uid(&self) -> Uid {
        todo!()
    }
    pub(crate) fn flags(&self) -> SystemFlags {
        todo!()
    }
    /// Numbers of keywords in `View::keywords`, ascending. The view may not know the newest yet.
    pub(crate) fn keywords(&self) -> &[u16] {
        todo!()
    }
    pub(crate) fn recent(&self) -> bool {
        todo!()
    }
    pub(crate) fn mod_seq(&self) -> ModSeq {
        todo!()
    }
    /// RFC822.SIZE.
    pub(crate) fn octets(&mut self) -> Result<u64, Error> {
        todo!()
    }
    pub(crate) fn internal_date(&mut self) -> Result<DateTime, Error> {
        todo!()
    }
    /// ENVELOPE as IMAP writes it, parentheses included.
    pub(crate) fn envelope(&mut self) -> Result<&[u8], Error> {
        todo!()
    }
    /// BODYSTRUCTURE as IMAP writes it, parentheses included.
    pub(crate) fn bodystructure(&mut self) -> Result<&[u8], Error> {
        todo!()
    }
    /// These fields of the message's header with their names, as BODY[HEADER.FIELDS (...)] has them,
    /// the empty line at the end included. Names are compared without regard to case.
    pub(crate) fn header_fields(&mut self, _names: &[String]) -> Result<&[u8], Error> {
        todo!()
    }
    /// A section of the text with CRLF line ends. `None`: there is no such part.
    pub(crate) fn content(
        &mut self,
        _section: &crate::mime::Section,
    ) -> Result<Option<Content>, Error> {
        todo!()
    }
}

/// Bytes of a section, with CRLF line ends, read piece by piece.
pub(crate) struct Content {}

impl Content {
    /// Octets in all.
    pub(crate) fn octets(&self) -> u64 {
        todo!()
    }
    /// Leaves out the first `start` octets and all after `count` more.
    pub(crate) fn partial(&mut self, _start: u64, _count: u64) {
        todo!()
    }
    /// Octets that `read` will still give.
    pub(crate) fn remaining(&self) -> u64 {
        todo!()
    }
    /// Appends up to `at_most` octets to `out`; returns how many, 0 only at the end. Always gives
    /// exactly as many as `octets` promised: a file that became shorter is filled up with spaces and logged.
    pub(crate) fn read(&mut self, _out: &mut Vec<u8>, _at_most: usize) -> Result<usize, Error> {
        todo!()
    }
}
