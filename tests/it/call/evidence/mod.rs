//! The ends of calls, for people and for guards, over real connections: axum, tonic and hyper on both sides.
//!
//! The same rows by script, poll by poll, are in `tests/it/call/evidence/scripted.rs`.

#[cfg(all(feature = "axum", feature = "hyper", feature = "tonic"))]
mod breakers;
mod grpc;
#[cfg(all(feature = "axum", feature = "hyper", feature = "tonic"))]
mod hostile;
mod http;
#[cfg(all(feature = "axum", feature = "hyper", feature = "tonic"))]
mod limits;
#[cfg(all(feature = "axum", feature = "hyper", feature = "tonic"))]
mod peers;
mod scripted;
mod unready;
#[cfg(all(feature = "axum", feature = "hyper", feature = "tonic"))]
mod uploads;

use tower_keep::{Outcome, call::Evidence};

type Classified = (Outcome, Evidence);

const GOOD: Classified = (Outcome::Success, Evidence::Healthy);
/// The reader gave up on a good answer.
const LEFT: Classified = (Outcome::Cancelled, Evidence::Healthy);
/// Dropped before anything was known.
const ABANDONED: Classified = (Outcome::Cancelled, Evidence::Inconclusive);
/// The caller's fault, as a peer says that is alive.
const CALLERS: Classified = (Outcome::ClientError, Evidence::Healthy);
const FAILED: Classified = (Outcome::Failure, Evidence::Unhealthy);
const BUSY: Classified = (Outcome::Overload, Evidence::Unhealthy);
const LATE: Classified = (Outcome::TimedOut, Evidence::Unhealthy);
const PANICKED: Classified = (Outcome::Panicked, Evidence::Unhealthy);
const REJECTED: Classified = (Outcome::Rejected, Evidence::Inconclusive);
