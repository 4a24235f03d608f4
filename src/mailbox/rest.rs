//! A mailbox at rest, which is not looked at again after a stop, also a hard one.
//!
//! What the index has on the disk then is all that was committed up to some moment. Its summary of a mailbox
//! has a stamp that means something only if rows, side file and directories were in line when it was
//! taken: whatever changes rows takes the stamp back in the same transaction ([`Summary::disturb`]), and it is
//! written again by who has found no operation under way, no event that is not accounted for, and nothing
//! that the side file lacks: when the last session leaves the mailbox, and after deliveries (`Shared::settle`).
//!
//! So if the directories have that stamp now, they are what the rows say:
//!
//! * What this server did since, and told, is in the directories, durably, and gave them other times. It began
//!   after the stamp was taken, more than the granularity of the clock behind the newest time in it.
//! * The same goes for what other programs did before the stop, after it, or while nothing ran. Of them the
//!   side file may have been written a moment before, by this server itself: another program that writes it
//!   after that, under its lock, for messages none of which came since, changes nothing that rows say, and
//!   lines that do not fit are found before the next ones are added.
//! * What rows had and a power cut took from the directories gave them the times of before, which are not
//!   those in a stamp that was taken later.
//! * Where a file system may keep entries without their times, or times come in whole seconds or from another
//!   host, or the clock is behind the stamp, so that a change may meet the same time again, nothing is
//!   taken for granted.
//! * Messages that come together or not at all are looked for. Keywords that no name can hold change no
//!   directory: where there are any, mod-sequences may have been told that the index forgot.

use super::arrive::LETTERS;
use super::shared::array;
use crate::index::Summary;
use crate::mail::MailboxName;
use crate::store::{Stamp, Store};

/// True if what a stamp says of the mailbox holds beyond a hard stop.
pub(super) fn is_kept(store: &mut dyn Store, name: &MailboxName) -> bool {
    store.keeps_stamps() && store.promised(name).is_ok_and(|open| open.is_empty())
}

/// True if the mailbox, whose stamp is this one now, is as it was at rest. `time`: nanoseconds since 1970, read
/// before the stamp was.
pub(super) fn holds(summary: &Summary, stamp: Stamp, time: i64) -> bool {
    let same = summary.stamp == array(stamp) && stamp.is_sharp(summary.stamp_time);
    let named = summary.keywords.len() <= usize::from(LETTERS);
    same && named && time >= summary.stamp_time
}
