//! Hedges: of closures, services, HTTP and gRPC clients, and in a pipeline.

mod connections;
mod http;
mod outage;
mod percentile;
mod pipeline;
mod run;
mod service;
mod settings;
mod storm;

use std::time::Duration;

use tower_keep::hedge::{Hedge, HedgeBuilder};

use crate::support::storm::InFlight;

const SECOND: Duration = Duration::from_secs(1);
const DELAY: Duration = Duration::from_millis(100);

/// A builder with a delay of 100 ms.
fn builder(name: &'static str) -> HedgeBuilder {
    Hedge::builder(name).delay(DELAY)
}

fn hedge(name: &'static str) -> Hedge {
    builder(name).build().expect("valid settings")
}

/// Returns how many hedges were sent, won, and were due but not sent.
fn counts(hedge: &Hedge) -> (u64, u64, u64) {
    let stats = hedge.stats();
    (stats.sent, stats.won, stats.not_sent)
}
