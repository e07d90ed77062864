//! Bulkheads: so many calls at once, and no more.

mod adaptive;
mod calls;
#[cfg(all(feature = "axum", feature = "reqwest", feature = "tonic"))]
mod connections;
mod ends;
mod metrics;
mod model;
mod queue;
mod queued_calls;
mod readiness;
mod settings;
mod storm;

use std::time::Duration;

use http::Request;
use tower_keep::{
    bulkhead::{Bulkhead, BulkheadStats},
    testing::ScriptedBody,
};

const SECOND: Duration = Duration::from_secs(1);

fn bulkhead(limit: u32) -> Bulkhead {
    named("bulkhead", limit)
}

fn named(name: &'static str, limit: u32) -> Bulkhead {
    let builder = Bulkhead::builder(name).limit(limit);
    builder.build().expect("valid settings")
}

fn request() -> Request<ScriptedBody> {
    Request::new(ScriptedBody::new())
}

/// Done, failed, inconclusive, rejected, and still in flight.
fn ends(stats: &BulkheadStats) -> [u64; 5] {
    let in_flight = u64::from(stats.in_flight);
    let BulkheadStats {
        done,
        failed,
        inconclusive,
        rejected,
        ..
    } = *stats;
    [done, failed, inconclusive, rejected, in_flight]
}
