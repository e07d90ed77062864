use std::{error::Error, fmt};

/// The error of a flush after which not everything has been sent.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct FlushError {
    pub(super) unsent: u64,
    pub(super) is_elapsed: bool,
    pub(super) reason: Option<String>,
}

impl FlushError {
    /// Returns the number of spans, data points and log records that could not be sent, or still wait.
    pub fn unsent(&self) -> u64 {
        self.unsent
    }

    /// Returns whether the limit elapsed before the end.
    pub fn is_elapsed(&self) -> bool {
        self.is_elapsed
    }

    /// Returns why the latest attempt failed, if it did.
    pub fn reason(&self) -> Option<&str> {
        self.reason.as_deref()
    }
}

impl fmt::Display for FlushError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let when = if self.is_elapsed {
            " within the limit"
        } else {
            ""
        };
        write!(
            f,
            "not everything has been exported{when} ({} unsent)",
            self.unsent
        )?;
        match &self.reason {
            Some(reason) => write!(f, ": {reason}"),
            None => Ok(()),
        }
    }
}

impl Error for FlushError {}
