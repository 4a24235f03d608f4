//! What SORT and THREAD ask for (RFC 5256 section 3), as values.

/// One sort criterion.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SortCriterion {
    pub(crate) key: SortKey,
    pub(crate) reverse: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SortKey {
    /// INTERNALDATE.
    Arrival,
    /// The mailbox (local part) of the first address.
    Cc,
    /// The Date field, adjusted to UTC.
    Date,
    /// The name of the first address, else the address (RFC 5957 section 3).
    DisplayFrom,
    DisplayTo,
    From,
    Size,
    /// Base subject.
    Subject,
    To,
}

impl SortKey {
    pub(crate) const ALL: [(SortKey, &'static str); 9] = [
        (SortKey::Arrival, "ARRIVAL"),
        (SortKey::Cc, "CC"),
        (SortKey::Date, "DATE"),
        (SortKey::DisplayFrom, "DISPLAYFROM"),
        (SortKey::DisplayTo, "DISPLAYTO"),
        (SortKey::From, "FROM"),
        (SortKey::Size, "SIZE"),
        (SortKey::Subject, "SUBJECT"),
        (SortKey::To, "TO"),
    ];
}

/// How THREAD puts messages together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Threading {
    OrderedSubject,
    References,
    /// As References without looking at subjects, threads in the order of their newest message
    /// (draft-ietf-morg-inthread).
    Refs,
}

impl Threading {
    pub(crate) const ALL: [(Threading, &'static str); 3] = [
        (Threading::OrderedSubject, "ORDEREDSUBJECT"),
        (Threading::References, "REFERENCES"),
        (Threading::Refs, "REFS"),
    ];
}
