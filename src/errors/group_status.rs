use std::fmt;

/// The status of a group, as set by an operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum GroupStatus {
    /// The group is new, was reopened, or regressed.
    Open,
    /// The fault is fixed. The next error of the group is a regression.
    Resolved,
    /// Errors of the group are counted but not reported to subscribers.
    Ignored,
}

impl GroupStatus {
    /// Returns `open`, `resolved` or `ignored`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            GroupStatus::Open => "open",
            GroupStatus::Resolved => "resolved",
            GroupStatus::Ignored => "ignored",
        }
    }
}

impl fmt::Display for GroupStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
