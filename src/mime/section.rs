//! Names of a message's parts as FETCH has them.

/// RFC 3501 section 6.4.5, section-spec: which part, and what of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Section {
    /// Part numbers from the outside in; empty for the message itself.
    pub(crate) part: Vec<u32>,
    pub(crate) text: SectionText,
}

/// What of the part.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum SectionText {
    /// All of it: `BODY[]`, `BODY[1.2]`.
    #[default]
    All,
    /// `HEADER`, of a message/rfc822 part or the message.
    Header,
    /// `HEADER.FIELDS`: names as the client wrote them.
    HeaderFields(Vec<String>),
    /// `HEADER.FIELDS.NOT`.
    HeaderFieldsNot(Vec<String>),
    /// `TEXT`.
    Text,
    /// `MIME`: the header of the part itself.
    Mime,
}
