use std::{error::Error, fmt};

use super::CallId;

/// The error of text that is not a [`CallId`]. Says what would be, and does not hold the text.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub struct InvalidCallId;

impl fmt::Display for InvalidCallId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "an ID is 1 to {} characters of A-Z a-z 0-9 . _ ~ + / = : @ -",
            CallId::MAX_LEN
        )
    }
}

impl Error for InvalidCallId {}
