//! Retries: of work, of services, of HTTP and gRPC requests.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use tower_keep::retry::{Backoff, ReplayBody, Retry, RetryBuilder};

mod apply;
mod client;
mod completion;
#[cfg(feature = "tonic")]
mod connections;
mod context;
mod counts;
mod deadlines;
mod layer;
mod metastable;
mod peer;
mod policy;
mod properties;
mod retry_after;
mod run;
mod run_budgets;
mod run_retry_after;
mod run_with;
#[cfg(all(feature = "hyper", feature = "tonic"))]
mod unsent;
mod unsent_limits;

/// The request body that a client is sent.
type Sent = ReplayBody<Full<Bytes>>;

const GRPC: &str = "application/grpc";

const WAIT: Duration = Duration::from_millis(70);

/// Two attempts, 70 ms apart, no chance.
fn constant_backoff() -> RetryBuilder {
    let backoff = Backoff::constant(WAIT);
    Retry::builder("peer")
        .max_attempts(2)
        .backoff(backoff)
        .budget(None)
}
