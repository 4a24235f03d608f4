//! Messages that are found damaged when they are read.

use super::rows::Rows;
use super::{Error, io_fault};
use std::io;

impl Rows {
    /// What is being done, for the log.
    fn reading(&self) -> String {
        let root = self.account.0.location.root.display();
        format!("{root}: reading UID {} of {}", self.uid(), self.name)
    }

    /// Logs that the message cannot be read.
    pub(super) fn unreadable(&self, error: io::Error) -> Error {
        io_fault(self.reading())(error)
    }

    /// Compares RFC822.SIZE of the message with what clients were told. Errors: `Corrupt` if its file is
    /// not what it was. That is said once: then what is there now is remembered, and served.
    pub(super) fn compare(&mut self, octets: u64) -> Result<(), Error> {
        let uid = self.uid();
        let Some(told) = self.ahead.octets(uid).filter(|told| *told != octets) else {
            return Ok(());
        };
        let reading = self.reading();
        log::error!("{reading}: the message had {told} octets and has {octets} now");
        self.ahead.forget(uid);
        let id = self.shared.id;
        // If that cannot be written, it is found again.
        let _ = self.shared.host.write(|w| w.unlearn(id, uid));
        Err(Error::Corrupt)
    }
}
