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

type Judged = (Outcome, Evidence);

const GOOD: Judged = (Outcome::Success, Evidence::Healthy);
/// The reader gave up on a good answer.
const LEFT: Judged = (Outcome::Cancelled, Evidence::Healthy);
/// Dropped before anything was known.
const ABANDONED: Judged = (Outcome::Cancelled, Evidence::Inconclusive);
/// The caller's fault, as a peer says that is alive.
const CALLERS: Judged = (Outcome::ClientError, Evidence::Healthy);
const FAILED: Judged = (Outcome::Failure, Evidence::Unhealthy);
const BUSY: Judged = (Outcome::Overload, Evidence::Unhealthy);
const LATE: Judged = (Outcome::TimedOut, Evidence::Unhealthy);
const PANICKED: Judged = (Outcome::Panicked, Evidence::Unhealthy);
const REJECTED: Judged = (Outcome::Rejected, Evidence::Inconclusive);
