//! The names of metrics that layers of this crate record of calls, as the API and the rules of alerts read them.

use super::series::Query;
use crate::protocol::Side;

/// The counter of calls, by outcome.
pub(super) const CALLS: &str = "tower_keep_calls_total";

/// The outcomes that are failures.
pub(super) const FAILED: [&str; 5] = ["failure", "overload", "timed_out", "rejected", "panicked"];

/// A histogram of durations, and the labels that tell its routes apart.
pub(super) struct CallHistogram {
    pub(super) metric: &'static str,
    pub(super) side: Side,
    pub(super) method: &'static str,
    pub(super) route: &'static str,
}

pub(super) const SOURCES: [CallHistogram; 5] = [
    CallHistogram {
        metric: "http_server_request_duration_seconds",
        side: Side::Server,
        method: "http_request_method",
        route: "http_route",
    },
    CallHistogram {
        metric: "rpc_server_call_duration_seconds",
        side: Side::Server,
        method: "rpc_system_name",
        route: "rpc_method",
    },
    CallHistogram {
        metric: "http_request_duration_seconds",
        side: Side::Server,
        method: "method",
        route: "route",
    },
    CallHistogram {
        metric: "http_client_request_duration_seconds",
        side: Side::Client,
        method: "http_request_method",
        route: "server_address",
    },
    CallHistogram {
        metric: "rpc_client_call_duration_seconds",
        side: Side::Client,
        method: "rpc_system_name",
        route: "rpc_method",
    },
];

/// Returns a query of the durations of all calls of a side, of whatever protocol.
pub(super) fn durations(side: Side) -> Query {
    let mut names = SOURCES.iter().filter(|source| source.side == side);
    let first = names.next().map_or("", |source| source.metric);
    names.fold(Query::new(first), |query, source| query.and(source.metric))
}
