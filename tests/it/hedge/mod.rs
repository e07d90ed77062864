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

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use tower_keep::hedge::{Hedge, HedgeBuilder};

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

/// The number of what is in flight.
#[derive(Clone, Default)]
struct InFlight(Arc<AtomicUsize>);

/// Counts as in flight until it is dropped.
struct Token(Arc<AtomicUsize>);

impl InFlight {
    fn enter(&self) -> Token {
        self.0.fetch_add(1, Ordering::SeqCst);
        Token(self.0.clone())
    }

    fn count(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }
}

impl Drop for Token {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}
