/// Reason why a failed attempt is the last although another might have helped: label `reason` of the metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum NotRetried {
    /// All attempts were made.
    MaxAttempts,
    /// The budget is used up.
    Budget,
    /// The deadline does not leave enough time.
    Deadline,
    /// The peer asked for no other attempt, or for a longer wait than
    /// [`max_retry_after`](super::RetryBuilder::max_retry_after).
    RetryAfter,
    /// The request must not be sent twice.
    NotRepeatable,
    /// The service failed to become ready again.
    NotReady,
}

impl NotRetried {
    pub(super) const ALL: [NotRetried; 6] = [
        NotRetried::MaxAttempts,
        NotRetried::Budget,
        NotRetried::Deadline,
        NotRetried::RetryAfter,
        NotRetried::NotRepeatable,
        NotRetried::NotReady,
    ];

    /// Returns the label of the metric, in snake case.
    pub const fn as_str(self) -> &'static str {
        match self {
            NotRetried::MaxAttempts => "max_attempts",
            NotRetried::Budget => "budget",
            NotRetried::Deadline => "deadline",
            NotRetried::RetryAfter => "retry_after",
            NotRetried::NotRepeatable => "not_repeatable",
            NotRetried::NotReady => "not_ready",
        }
    }

    /// Returns the name among the stats of a [`Retry`](super::Retry) in the registry.
    pub(super) const fn stat_name(self) -> &'static str {
        match self {
            NotRetried::MaxAttempts => "not_retried_max_attempts",
            NotRetried::Budget => "not_retried_budget",
            NotRetried::Deadline => "not_retried_deadline",
            NotRetried::RetryAfter => "not_retried_retry_after",
            NotRetried::NotRepeatable => "not_retried_not_repeatable",
            NotRetried::NotReady => "not_retried_not_ready",
        }
    }

    /// Returns the index in [`ALL`](Self::ALL).
    pub(super) const fn index(self) -> usize {
        // The order of `ALL` is that of the variants: a test compares them.
        self as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn not_retried_reasons_have_their_own_index() {
        for (index, reason) in NotRetried::ALL.iter().enumerate() {
            assert_eq!(reason.index(), index);
            assert_eq!(
                reason.stat_name(),
                format!("not_retried_{}", reason.as_str())
            );
        }
    }
}
