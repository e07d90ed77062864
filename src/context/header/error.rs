use std::{error::Error, fmt};

/// A header that breaks its specification, or an entry that would make it do so.
///
/// Names the header and the rule. Never holds the offending bytes, so it is safe to log.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub struct HeaderError {
    header: &'static str,
    kind: HeaderErrorKind,
}

impl HeaderError {
    pub(super) const fn new(header: &'static str, kind: HeaderErrorKind) -> Self {
        Self { header, kind }
    }

    /// Returns the header's name in lower case.
    pub const fn header(&self) -> &'static str {
        self.header
    }

    /// Returns the rule that the header breaks.
    pub const fn kind(&self) -> HeaderErrorKind {
        self.kind
    }
}

impl fmt::Display for HeaderError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "malformed {}: {}", self.header, self.kind.as_str())
    }
}

impl Error for HeaderError {}

/// The rule that a malformed header breaks; see [`HeaderError`].
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum HeaderErrorKind {
    /// The header came more than once, and may come only once.
    Repeated,
    /// The whole value is too short or too long.
    Length,
    /// The version is not two hex digits, or is the forbidden `ff`.
    Version,
    /// A character other than a lower-case hex digit stands where one must.
    Hex,
    /// A `-` or `=` is missing where one must stand.
    Separator,
    /// An ID is all zeros.
    ZeroId,
    /// The list has more members than allowed.
    TooManyMembers,
    /// A key is empty, too long or has a character that is not allowed.
    Key,
    /// A value is empty where it must not be, too long or has a character that is not allowed.
    Value,
}

impl HeaderErrorKind {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Repeated => "came more than once",
            Self::Length => "length out of bounds",
            Self::Version => "version missing or forbidden",
            Self::Hex => "not lower-case hex",
            Self::Separator => "separator missing",
            Self::ZeroId => "an ID is all zeros",
            Self::TooManyMembers => "too many members",
            Self::Key => "a key is empty, too long or has a forbidden character",
            Self::Value => "a value is empty, too long or has a forbidden character",
        }
    }
}
