//! Replies.

/// One reply line: code, enhanced status code (RFC 2034 section 4; empty where none belongs), text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Reply {
    pub(crate) code: u16,
    pub(crate) status: &'static str,
    pub(crate) text: &'static str,
}

/// A reply as a constant.
pub(crate) const fn reply(code: u16, status: &'static str, text: &'static str) -> Reply {
    Reply { code, status, text }
}

impl Reply {
    /// Appends the line.
    pub(crate) fn encode(self, out: &mut Vec<u8>) {
        let space = if self.status.is_empty() { "" } else { " " };
        let line = format!("{} {}{space}{}\r\n", self.code, self.status, self.text);
        out.extend_from_slice(line.as_bytes());
    }
}

pub(super) const UNKNOWN: Reply = reply(500, "5.5.2", "Unknown command");
pub(super) const SYNTAX: Reply = reply(501, "5.5.4", "Syntax error in parameters");
pub(super) const PARAMETER: Reply = reply(555, "5.5.4", "Unsupported parameter");
pub(super) const BAD_PATH: Reply = reply(501, "5.1.7", "Bad sender address");
pub(super) const BAD_RECIPIENT: Reply = reply(501, "5.1.3", "Bad recipient address");
