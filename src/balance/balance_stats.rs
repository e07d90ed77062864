use super::EndpointStats;

/// Numbers that a [`Balance`](super::Balance) gives about itself.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct BalanceStats {
    /// The endpoints, in the order in which they came; at most 1,000.
    pub endpoints: Vec<EndpointStats>,
    /// The number of endpoints that are ejected now.
    pub ejected: usize,
    /// The number of endpoints that may be ejected at once now.
    pub max_ejected: usize,
    /// The number of ejections so far.
    pub ejections: u64,
    /// The number of endpoints that should have been ejected, but for the share.
    pub overflows: u64,
    /// The number of calls that were rejected because there was no endpoint.
    pub rejected: u64,
    /// The number of look-ups of endpoints that failed.
    pub lookup_failures: u64,
}
