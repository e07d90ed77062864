//! Time limits and deadlines: no caller waits forever, and no work goes on for a caller that has gone.
//!
//! Use one around everything that waits for another service. A limit does not cure a service that is too slow: most calls
//! should end well before it.
//!
//! Place in the stack: the total limit outside of the retry layer, the attempt's limit inside of it and of the breaker. On
//! a server right around the handler.
//!
//! # What happens
//!
//! | | |
//! |---|---|
//! | the response comes in time | it is forwarded; if it is ready at once, no timer is created |
//! | it does not | the wrapped service's future is dropped, then the call ends with an [`Elapsed`](crate::call::Elapsed): an error, or 504 or `DEADLINE_EXCEEDED` from a server and over gRPC |
//! | both at once | the response is forwarded |
//! | the deadline passed before the call began | the call is rejected, and the service is not called |
//! | a body makes its reader wait too long, or takes too long in total | it fails with an `Elapsed`; a gRPC body ends with `DEADLINE_EXCEEDED` in its trailers |
//!
//! # Rules
//!
//! A *limit* is how long this side waits; a *deadline* is the time at which the caller stops waiting. [`Deadline`] reads it
//! from the request and stores it in the [`Context`](crate::Context).
//!
//! | | limit of a [`TimeoutLayer`]: total, or of an attempt | deadline | `body_idle` | `body_total` |
//! |---|---|---|---|---|
//! | is | a duration, from the call or from the first poll of [`TimeLimit::run`] | a point in time | a duration, from the reader's last poll | a duration, from the head |
//! | head | ends with it | ends with it | | |
//! | body | is not bounded, whether or not the call had to wait for its head | ends with it | ends when the reader has waited so long | ends with it |
//! | frames that are ready | | are forwarded for one more second; the last one always | are forwarded | as for a deadline |
//! | upload still running | bounds the time to the head all the same; if the caller stalls, the timeout is the caller's fault: 408 | as without | if the caller stalls, its fault | if the caller stalls, its fault |
//! | next hop | gets it by [option](TimeoutLayer::send_limit) only, since it would apply it to the body too | gets it: in `grpc-timeout`, or a [header](TimeoutLayer::timeout_header) | | |
//! | nested | the shortest counts, whichever reads the clock first; limits never bound the bodies of calls inside | the earliest counts | | |
//! | evidence | unhealthy; for calls in it that began in the second half, inconclusive | inconclusive: callers choose it | unhealthy | unhealthy if at least half of the time was spent waiting for frames, else inconclusive |
//!
//! All of them are [`TimedOut`](crate::Outcome::TimedOut), except for those that are the caller's fault, which are client
//! errors. Retries repeat what timed out at a limit, within the total limit and the deadline. Breakers count the
//! [evidence](crate::call::Evidence): a limit *outside* of a breaker is visible to it, since calls that are dropped by a
//! timeout learn why. [`Elapsed::is_caller_fault`](crate::call::Elapsed::is_caller_fault) tells the caller's fault apart.
//!
//! | not begun | proves | and |
//! |---|---|---|
//! | the deadline passed before the layer, the guard or `run` began | nothing was sent | is [`Rejected`](crate::Outcome::Rejected): breakers do not count it, [retries](crate::retry) do not repeat it, [fallbacks](crate::fallback) may respond |
//! | the limit elapsed while the service was not ready ([`include_readiness`](TimeoutLayer::include_readiness)) | nothing was sent | is `TimedOut`, but inconclusive |
//!
//! A peer, or a transport such as tonic's `Channel`, may obey the time that it was sent. If it ends with `CANCELLED`,
//! `DEADLINE_EXCEEDED`, 504 (with [`timeout_header`](TimeoutLayer::timeout_header)) or a timeout error after the time is up,
//! or at most 10 ms before, that counts as the layer's own timeout, classified by the limit that elapsed.
//!
//! A request that may take longer than the others carries a [`RequestLimit`]. Limits know of each other: within a total
//! limit, [`context::deadline`](crate::context::deadline) returns when that ends.
//!
//! `tonic::transport::Server::timeout` and `Endpoint::timeout` are independent of this module. tonic's server puts its
//! timeout outside of all layers, so that calls which it ends look as if the client had hung up: use
//! [`TimeoutLayer::server`] as the innermost layer instead. `Endpoint::timeout` is inside of all layers; its error is
//! [`TimedOut`](crate::Outcome::TimedOut) with the feature `tonic`.
//!
//! # Metrics
//!
//! | metric | labels |
//! |---|---|
//! | `tower_keep_timeouts_total` | `limit`: its name, `bound`: `limit`, `deadline`, `body_idle`, `body_total` |
//! | `tower_keep_expired_total` | `limit`: rejected, since the deadline had passed |
//!
//! # Panics
//!
//! Futures and bodies that have to wait panic outside of a tokio runtime that has a timer.
//!
//! # Clones
//!
//! Layers, services and their clones share a [`TimeLimit`], which can be changed while it is in use: by
//! [`TimeLimit::set`], [`Timeouts::apply`] or [`TimeLimits::apply`], for calls that begin later.
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
//! # Example, customized
//!
//! ```
//! use std::time::Duration;
//! use tower_keep::timeout::{TimeLimits, TimeoutLayer};
//!
//! # #[tokio::main(flavor = "current_thread", start_paused = true)] async fn main() {
//! // By name, with a limit that configuration may change at runtime.
//! let limits = TimeLimits::global();
//! let layer = TimeoutLayer::client(limits.get("llm"))
//!     .body_idle(Duration::from_secs(20))
//!     .timeout_header(http::HeaderName::from_static("x-envoy-expected-rq-timeout-ms"))
//!     .include_readiness();
//! # let _ = layer;
//!
//! // Without a service.
//! let rows = limits.get("db").run(async { vec![1, 2, 3] }).await;
//! assert_eq!(rows.unwrap().len(), 3);
//! # }
//! ```

#[cfg(test)]
mod apply_tests;
#[cfg(test)]
mod tests;

mod body;
mod body_timer;
mod call_timeout;
mod config;
mod deadline;
mod deadline_builder;
mod deadline_config;
mod expiry;
mod future;
mod header;
mod include_readiness;
mod inspect;
mod layer;
mod limit;
mod limit_metrics;
mod limits;
mod limits_builder;
mod limits_settings;
mod request_limit;
mod response;
mod run;
mod service;
mod settings;
mod sleep;
mod timeouts;
mod timeouts_builder;
mod timer;
mod wrap_body;

pub use body::TimeoutBody;
pub(crate) use call_timeout::CallTimeout;
pub use deadline::Deadline;
pub use deadline_builder::DeadlineBuilder;
pub use future::TimeoutFuture;
pub use include_readiness::IncludeReadinessLayer;
pub use layer::TimeoutLayer;
pub use limit::TimeLimit;
pub use limits::TimeLimits;
pub use limits_builder::TimeLimitsBuilder;
pub use limits_settings::TimeLimitsSettings;
pub use request_limit::RequestLimit;
pub use run::TimeLimitFuture;
pub use service::TimeoutService;
pub use settings::TimeoutSettings;
pub(crate) use sleep::poll_sleep;
pub use timeouts::Timeouts;
pub use timeouts_builder::TimeoutsBuilder;
