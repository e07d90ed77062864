use tokio::time::Instant;

/// Number and deadline of an attempt.
///
/// An HTTP response that took more than one attempt has the last one in its extensions, whether it is a success or a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attempt {
    pub(super) number: u32,
    pub(super) deadline: Option<Instant>,
    /// The time at which the caller stops waiting, if that is known; settings do not count.
    pub(super) caller_deadline: Option<Instant>,
    /// `true` once the number of attempts is reached.
    pub(super) is_last: bool,
}

impl Attempt {
    /// Returns the number; 1 for the first.
    pub fn number(&self) -> u32 {
        self.number
    }

    /// Returns whether there was an attempt before.
    pub fn is_retry(&self) -> bool {
        self.number > 1
    }

    /// Returns the time after which no further attempt begins, if there is one. An attempt may as well end then.
    pub fn deadline(&self) -> Option<Instant> {
        self.deadline
    }
}
