//! Time limits and deadlines: nobody waits for ever, and nobody works for somebody who has gone.
//!
//! Use one around everything that waits for somebody else. A limit is no cure for a service that is too slow: most
//! calls should end well before it.
//!
//! Place in the stack: the total limit outside of whatever retries, the attempt's inside of it and of the breaker.
//! On a server right around the handler.
//!
//! # What happens
//!
//! | | |
//! |---|---|
//! | the answer comes in time | it passes; no timer is made if it is there at once |
//! | it does not | the wrapped service's future is dropped, then the call ends with an [`Elapsed`](crate::call::Elapsed): an error, or 504 or `DEADLINE_EXCEEDED` from a server and over gRPC |
//! | both at once | the answer passes |
//! | the deadline had passed before the call began | the call is refused, and nothing is begun |
//! | a body makes its reader wait too long, or takes too long in all | it fails with an `Elapsed`; a gRPC body ends with trailers that say `DEADLINE_EXCEEDED` |
//!
//! # Rules
//!
//! A *limit* is how long this side is willing to wait; a *deadline* is the moment at which whoever asked gives up.
//! [`Deadline`] reads it from the request and keeps it in the [`Context`](crate::Context).
//!
//! | | limit of a [`TimeoutLayer`]: total, or of an attempt | deadline | `body_idle` | `body_total` |
//! |---|---|---|---|---|
//! | what it is | a time, from the call or from the first poll of [`TimeLimit::run`] | a moment | a time, from the last time that the reader asked | a time, from the head |
//! | head | ends with it | ends with it | | |
//! | body | is not bounded, whether or not the call had to wait for its head | ends with it | ends when the reader has waited so long | ends with it |
//! | frames that are ready | | are handed on, for a second more; the last one always | are handed on | as for a deadline |
//! | upload still coming | bounds the time to the head all the same. If the caller stalls, the end is the caller's doing: 408 | as without | if the caller stalls, its doing | if the caller stalls, its doing |
//! | next hop | is told by [option](TimeoutLayer::send_limit) only, since what it is told holds for the body too | is told: `grpc-timeout`, or a header of [choice](TimeoutLayer::timeout_header) | | |
//! | within another | the shortest counts, whoever looks at the clock first; limits never bound the bodies of calls inside | the earliest counts | | |
//! | says of the peer | unhealthy; of a call in it that began in the second half, nothing | nothing: callers choose it | unhealthy | unhealthy if at least half of the time was spent waiting for frames, else nothing |
//!
//! All of them are [`TimedOut`](crate::Outcome::TimedOut), but for those that are the caller's doing, which are client
//! errors. Retries repeat what timed out at a limit, within the total limit and the deadline. What the end says of the
//! peer is [evidence](crate::call::Evidence), which breakers count: a limit *outside* of a breaker is visible to it,
//! since the calls that are dropped with the work are told why.
//! [`Elapsed::is_caller_fault`](crate::call::Elapsed::is_caller_fault) tells the caller's doing apart.
//!
//! | not begun | proves | and is used by |
//! |---|---|---|
//! | the deadline had passed before the layer, the guard or `run` began | nothing was sent | everybody: it is [`Rejected`](crate::Outcome::Rejected). Breakers do not count it, [retries](crate::retry) do not repeat it, [fallbacks](crate::fallback) may answer |
//! | the limit was over while the service was not ready ([`including_readiness`](TimeoutLayer::include_readiness)) | nothing was sent | the limit itself: it is `TimedOut`, but says nothing of the peer |
//!
//! A peer, or a transport such as tonic's `Channel`, may go by the time that it was sent. If it answers `CANCELLED`,
//! `DEADLINE_EXCEEDED`, 504 (with [`send_as`](TimeoutLayer::timeout_header)) or a timeout error in the very moment in which the
//! time is up here, or at most 10 ms before, that is the layer's own late answer: counted, and judged by what ran out.
//!
//! One request that may take longer than the others carries a [`RequestLimit`]. Limits know of each other: within a
//! total limit, [`context::deadline`](crate::context::deadline) says when that is over.
//!
//! `tonic::transport::Server::timeout` and `Endpoint::timeout` are no part of this: tonic's server puts its own outside
//! of all layers, so that calls which it ends look like calls whose client has hung up. Use [`TimeoutLayer::server`] as
//! the innermost layer instead. `Endpoint::timeout` is inside of all layers; its error is
//! [`TimedOut`](crate::Outcome::TimedOut) with the feature `tonic`.
//!
//! | metric | labels |
//! |---|---|
//! | `tower_keep_timeouts_total` | `limit`: its name, `bound`: `limit`, `deadline`, `body_idle`, `body_total` |
//! | `tower_keep_expired_total` | `limit`: refused, since the deadline had passed |
//!
//! # Panics
//!
//! What has to wait panics outside of a tokio runtime that has a timer.
//!
//! # Clones
//!
//! Layers, services and their clones share a [`TimeLimit`], which can be changed while it is in use.
//!
//! # Cancellation
//!
//! A call that is dropped drops its timer with it.
//!
//! # Example
//!
//! ```
//! use std::time::Duration;
//! use tower::{ServiceBuilder, ServiceExt, service_fn};
//! use tower_keep::{BoxError, call::Elapsed, timeout::TimeoutLayer};
//!
//! # #[tokio::main(flavor = "current_thread", start_paused = true)] async fn main() {
//! let service = ServiceBuilder::new()
//!     .layer(TimeoutLayer::any(Duration::from_secs(2)))
//!     .service(service_fn(|seconds: u64| async move {
//!         tokio::time::sleep(Duration::from_secs(seconds)).await;
//!         Ok::<_, BoxError>(seconds)
//!     }));
//! assert_eq!(service.clone().oneshot(1).await.unwrap(), 1);
//! let error = service.oneshot(3).await.unwrap_err();
//! assert!(error.is::<Elapsed>());
//! # }
//! ```
//!
//! # Customised
//!
//! ```
//! use std::time::Duration;
//! use tower_keep::timeout::{TimeLimits, TimeoutLayer};
//!
//! // By name, with a limit that configuration may change while it runs.
//! let limits = TimeLimits::global();
//! let layer = TimeoutLayer::client(limits.get("llm"))
//!     .body_idle(Duration::from_secs(20))
//!     .timeout_header(http::HeaderName::from_static("x-envoy-expected-rq-timeout-ms"))
//!     .include_readiness();
//! # let _ = layer;
//!
//! // No service at all.
//! # #[tokio::main(flavor = "current_thread", start_paused = true)] async fn main() {
//! # let limits = TimeLimits::global();
//! let rows = limits.get("db").run(async { vec![1, 2, 3] }).await;
//! assert_eq!(rows.unwrap().len(), 3);
//! # }
//! ```

#[cfg(test)]
mod tests;

mod body;
mod body_timer;
mod call_timeout;
mod deadline;
mod future;
mod header;
mod layer;
mod lazy_ready;
mod limit;
mod limits;
mod request_limit;
mod response;
mod run;
mod service;
mod timeouts;
mod timer;

pub use body::TimeoutBody;
pub use deadline::{Deadline, DeadlineBuilder};
pub use future::TimeoutFuture;
pub use layer::{IncludeReadinessLayer, TimeoutLayer};
pub use lazy_ready::{LazyReady, LazyReadyFuture};
pub use limit::TimeLimit;
pub use limits::{TimeLimits, TimeLimitsBuilder};
pub use request_limit::RequestLimit;
pub use run::TimeLimitFuture;
pub use service::TimeoutService;
pub use timeouts::{Timeouts, TimeoutsBuilder};
pub(super) use timer::poll_sleep;
