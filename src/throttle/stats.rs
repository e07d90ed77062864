/// Numbers that a [`Throttle`](super::Throttle) gives about itself.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct ThrottleStats {
    /// The number of calls in the window that the peer served.
    pub accepted: u64,
    /// The number of calls in the window that failed by the peer or the connection to it.
    pub failed: u64,
    /// The number of calls in the window that the throttle rejected, or would have rejected in shadow mode.
    pub rejected: u64,
    /// The fraction of calls that is rejected now.
    pub rejection_rate: f64,
    /// The number of calls that were rejected since the throttle was made, those of shadow mode included.
    pub rejected_in_all: u64,
}
