use std::time::Duration;

/// Numbers that a [`Hedge`](super::Hedge) gives about itself.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct HedgeStats {
    /// The time after which a hedge is sent now: the fixed one, or the percentile. `None` while that is unknown.
    pub delay: Option<Duration>,
    /// The number of attempts in the window whose time is known, those included that were dropped before their answer.
    pub samples: u64,
    /// The number of hedges that were sent since the handle was made.
    pub sent: u64,
    /// The number of calls that succeeded by a hedge since the handle was made.
    pub won: u64,
    /// The number of hedges that were due and not sent since the handle was made, whatever the reason.
    pub not_sent: u64,
}
