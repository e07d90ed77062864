use tokio::time::Instant;

/// Number and deadline of an attempt.
///
/// An HTTP response that took more than one attempt has the one that it is the result of in its extensions, whether it is a
/// success or a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attempt {
    pub(super) number: u32,
    /// The number of attempts that have begun while this one runs. Small, so that an attempt takes no more than it did without hedges.
    pub(super) later: u16,
    pub(super) deadline: Option<Instant>,
    /// The time at which the caller stops waiting, if that is known; settings do not count.
    pub(super) caller_deadline: Option<Instant>,
    /// `true` once the number of attempts is reached.
    pub(super) is_last: bool,
}

impl Attempt {
    /// Creates the attempt of a call that has so many at most, which may run beside each other.
    pub(crate) fn of_hedge(number: u32, max_attempts: u32, deadline: Option<Instant>) -> Self {
        Attempt {
            number,
            later: 0,
            deadline,
            caller_deadline: deadline,
            is_last: number >= max_attempts,
        }
    }

    /// Sets how many attempts of the call have begun by now.
    pub(crate) fn with_started(self, started: u32) -> Self {
        let later = started.saturating_sub(self.number);
        Attempt {
            later: later.try_into().unwrap_or(u16::MAX),
            ..self
        }
    }

    /// Returns the number; 1 for the first.
    pub fn number(&self) -> u32 {
        self.number
    }

    /// Returns whether there was an attempt before.
    pub fn is_retry(&self) -> bool {
        self.number > 1
    }

    /// Returns how many attempts of the call have begun, this one included. More than its [number](Self::number) if a
    /// [hedge](crate::hedge) was sent after it.
    pub fn started(&self) -> u32 {
        self.number.saturating_add(self.later.into())
    }

    /// Returns the time after which no further attempt begins, if there is one. An attempt may as well end then.
    pub fn deadline(&self) -> Option<Instant> {
        self.deadline
    }
}
