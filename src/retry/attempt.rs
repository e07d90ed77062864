use tokio::time::Instant;

/// Number of an attempt, and when no further one begins.
///
/// An HTTP response that took more than one attempt has it in its extensions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attempt {
    pub(super) number: u32,
    pub(super) deadline: Option<Instant>,
}

impl Attempt {
    /// Returns the number; 1 for the first.
    pub fn number(&self) -> u32 {
        self.number
    }

    /// Returns whether there was one before.
    pub fn is_retry(&self) -> bool {
        self.number > 1
    }

    /// Returns when no further attempt will begin, if that is known; as good a time to give this one up.
    pub fn deadline(&self) -> Option<Instant> {
        self.deadline
    }
}
