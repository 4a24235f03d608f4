//! The nouns of mail as values: numbers, sets, flags, names, dates, criteria. No I/O.

mod criteria;
mod date;
mod entry;
mod flag;
mod guid;
mod name;
mod number;
mod object_id;
mod order;
mod set;
mod sort;
mod uidl;

pub(crate) use criteria::{Criteria, DateField, HeaderField};
pub(crate) use date::{Date, DateTime};
pub(crate) use entry::{Depth, EntryName};
pub(crate) use flag::{Flags, Keyword, SystemFlags};
pub(crate) use guid::Guid;
pub(crate) use name::{DELIMITER, InvalidName, MailboxName, Pattern, SpecialUse};
pub(crate) use number::{MailboxId, ModSeq, SeqNum, Since, Uid, UidValidity};
pub(crate) use object_id::ObjectId;
pub(crate) use order::{SortCriterion, SortKey, Threading};
pub(crate) use set::{Bound, Number, SeqSet, SequenceSet, Set, UidSet};
pub(crate) use sort::{sort, sort_by};
pub(crate) use uidl::{Named, UidlFormat};
