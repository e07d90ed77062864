//! Time limits and deadlines: nobody waits for ever, and nobody works for somebody who has gone.
//!
//! Use one round everything that waits for somebody else. A limit is no cure for a service that is too slow: most
//! calls should end well before it.
//!
//! Place in the stack: the total limit outside of whatever retries, the attempt's inside of it and of the breaker,
//! which counts what timed out. On a server right round the handler.
//!
//! # What happens
//!
//! | | |
//! |---|---|
//! | the answer comes in time | it passes; no timer is made if it is there at once |
//! | it does not | the wrapped service's future is dropped, then the call ends with an [`Elapsed`](crate::call::Elapsed): an error, or 504 or `DEADLINE_EXCEEDED` from a server and over gRPC |
//! | both at once | the answer passes |
//! | the deadline had passed before the call began | the call is refused, and nothing is begun |
//! | a body makes its reader wait too long, or takes too long in all | it fails with an `Elapsed` |
//!
//! Calls that ran out of time are [`TimedOut`](crate::Outcome::TimedOut), which breakers count and retries repeat;
//! refused ones are [`Rejected`](crate::Outcome::Rejected).
//!
//! A *limit* is how long this side is willing to wait; a *deadline* is the moment at which whoever asked gives up.
//! [`Deadline`] reads it from the request and keeps it in the [`Context`](crate::Context). From there on it bounds
//! every [`TimeoutLayer`], the bodies too, every [retry](crate::retry), and what clients send on:
//! each hop has a little less. Limits know of each other: within a total limit,
//! [`context::deadline`](crate::context::deadline) says when that is over.
//!
//! | metric | labels |
//! |---|---|
//! | `tower_keep_timeouts_total` | `limit`: its name, `bound`: `limit`, `deadline`, `body_idle`, `body_total` |
//! | `tower_keep_expired_total` | `limit`: refused, since the deadline had passed |
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
//!     .send_as(http::HeaderName::from_static("x-envoy-expected-rq-timeout-ms"))
//!     .including_readiness();
//! # let _ = layer;
//!
//! // No service at all.
//! # #[tokio::main(flavor = "current_thread", start_paused = true)] async fn main() {
//! # let limits = TimeLimits::global();
//! let rows = limits.get("db").run(async { vec![1, 2, 3] }).await;
//! assert_eq!(rows.unwrap().len(), 3);
//! # }
//! ```

mod answer;
mod body;
mod deadline;
mod future;
mod layer;
mod limit;
mod pair;
mod ready;
mod run;
mod service;
mod table;
mod timer;

pub use answer::{Ask, Respond};
pub use body::TimeoutBody;
pub use deadline::{Deadline, DeadlineBuilder};
pub use future::TimeoutFuture;
pub use layer::{IncludingReadiness, TimeoutLayer};
pub use limit::TimeLimit;
pub use pair::{Timeouts, TimeoutsBuilder};
pub use ready::WaitInside;
pub use run::Limited;
pub use service::Timed;
pub use table::{TimeLimits, TimeLimitsBuilder};
pub(super) use timer::poll_fired;
