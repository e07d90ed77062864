use std::fmt;

/// The error of a text that is no [`Priority`](super::Priority).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct InvalidPriority;

impl fmt::Display for InvalidPriority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("invalid priority, must be bulk, low, normal, high or critical, with `;level=0` to `;level=99` or without")
    }
}

impl std::error::Error for InvalidPriority {}
