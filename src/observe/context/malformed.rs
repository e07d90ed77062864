//! The one error of everything that reads or extends a context header.

#![forbid(unsafe_code)]

use std::{error::Error, fmt};

/// A header that breaks its specification, or an entry that would make it do so.
///
/// Names the header and the rule. Never holds the offending bytes, so it is safe to log.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub struct Malformed {
    header: &'static str,
    reason: MalformedReason,
}

impl Malformed {
    pub(super) const fn new(header: &'static str, reason: MalformedReason) -> Self {
        Self { header, reason }
    }

    /// The header's name, in lower case.
    pub const fn header(&self) -> &'static str {
        self.header
    }

    /// The rule it breaks.
    pub const fn reason(&self) -> MalformedReason {
        self.reason
    }
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "malformed {}: {}", self.header, self.reason.text())
    }
}

impl Error for Malformed {}

/// The rule that a [`Malformed`] header breaks.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum MalformedReason {
    /// The header came more than once, and may come only once.
    Repeated,
    /// The whole value is too short or too long.
    Length,
    /// The version is not two hex digits, or is the forbidden `ff`.
    Version,
    /// Something other than a lower-case hex digit stands where one must.
    Hex,
    /// A `-` or `=` is missing where one must stand.
    Separator,
    /// An ID is all zeros.
    ZeroId,
    /// There are more list members than allowed.
    TooManyMembers,
    /// A key is empty, too long or has a character that is not allowed.
    Key,
    /// A value is empty where it must not be, too long or has a character that is not allowed.
    Value,
    /// Two members have the same key.
    DuplicateKey,
}

impl MalformedReason {
    const fn text(self) -> &'static str {
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
            Self::DuplicateKey => "two members have the same key",
        }
    }
}
