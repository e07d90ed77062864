use std::time::Duration;

use super::EndpointStatus;
use crate::call::Label;

/// Numbers of one endpoint of a [`Balance`](super::Balance).
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct EndpointStats {
    /// The text of the endpoint's key, at most 128 bytes.
    pub endpoint: Label,
    /// The place of the endpoint.
    pub status: EndpointStatus,
    /// The number of calls in flight, until the ends of their bodies.
    pub in_flight: u32,
    /// The estimate of the latency as of the last call, with penalties; `None` before the first answer, and after a return.
    pub latency: Option<Duration>,
    /// The part of its share that the endpoint gets: below 1 while it is new.
    pub weight: f64,
    /// The number of calls that it was picked for.
    pub calls: u64,
    /// The number of calls that failed by the endpoint or the connection to it, 429 and 503 included.
    pub failures: u64,
}
