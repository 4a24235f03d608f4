//! How a Maildir names what is in it.

/// Where mailboxes of a Maildir lie below its root.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Layout {
    /// `a/b` is `.a.b`.
    #[default]
    Dotted,
    /// `a/b` is `a/b`, in modified UTF-7.
    Nested,
}

impl Layout {
    pub(crate) const ALL: [Layout; 2] = [Layout::Dotted, Layout::Nested];

    /// The word of the configuration file, and of Dovecot.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Layout::Dotted => "maildir++",
            Layout::Nested => "fs",
        }
    }

    pub(crate) fn named(name: &str) -> Option<Layout> {
        Layout::ALL
            .into_iter()
            .find(|layout| layout.as_str() == name)
    }
}

/// What separates the name of a message of a Maildir from its flags; Dovecot knows `:` alone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum InfoSeparator {
    #[default]
    Colon,
    Semicolon,
    Exclamation,
}

impl InfoSeparator {
    pub(crate) const ALL: [InfoSeparator; 3] = [
        InfoSeparator::Colon,
        InfoSeparator::Semicolon,
        InfoSeparator::Exclamation,
    ];

    /// The word of the configuration file.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            InfoSeparator::Colon => ":",
            InfoSeparator::Semicolon => ";",
            InfoSeparator::Exclamation => "!",
        }
    }
}
