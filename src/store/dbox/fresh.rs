//! Frames that may not be durable yet, and lines that wait for them.

use super::group::Group;
use super::line::Line;
use crate::mail::Uid;
use crate::store::Error;
use crate::store::side::disk;
use std::fs::File;
use std::ops::Range;
use std::sync::Arc;

/// A frame that was written.
#[derive(Clone)]
pub(super) struct Fresh {
    pub(super) file: Arc<File>,
    pub(super) group: Arc<Group>,
    /// The number of that write.
    pub(super) number: u64,
}

impl Fresh {
    /// Returns when it is durable.
    pub(super) fn sync(&self) -> Result<(), Error> {
        let sync = || disk::sync_data(&self.file);
        self.group.sync_to(self.number, &sync)
    }
}

/// Lines of a log that may not be in its file before their frames are durable: where each is among those that wait.
#[derive(Default)]
pub(super) struct Unsure(Vec<(Range<usize>, Uid, Fresh)>);

impl Unsure {
    pub(super) fn add(&mut self, line: Range<usize>, uid: Uid, fresh: &Fresh) {
        self.0.push((line, uid, fresh.clone()));
    }

    /// Makes the frames durable. Of those of which that fails the lines are taken back, and their UIDs were given.
    pub(super) fn settle(&mut self, waiting: &mut Vec<u8>) {
        let mut failed = Vec::new();
        // The sync of the last is for all.
        for (line, uid, fresh) in self.0.drain(..).rev() {
            if let Err(error) = fresh.sync() {
                log::error!("a message could not be made durable: {error}");
                if line.end <= waiting.len() {
                    waiting.drain(line);
                }
                failed.push(uid);
            }
        }
        for uid in failed {
            Line::Expunged(uid).put(waiting);
        }
    }
}
