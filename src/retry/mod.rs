//! Another attempt after a failure: how long to wait before it, and never too many at once.
//!
//! Use it where failures are short and the work may be done twice. Not where the peer is down for minutes (a
//! breaker is for that), nor in more than one layer of a system: three attempts on each of three layers are 27.
//!
//! Place in the stack: inside whatever limits the whole call, outside of whatever guards or limits one attempt.
//!
//! # What happens
//!
//! | an attempt | then |
//! |---|---|
//! | succeeds | that is the answer |
//! | fails: `Failure`, `Overload`, `TimedOut` | a place in the budget is reserved, the failed attempt dropped, its wait slept, the next begun |
//! | fails, and the peer says when to come back | `Retry-After` and gRPC's `RetryInfo`: neither before that time nor before the backoff. gRPC's pushback: after that time, whatever the backoff. Both with some jitter. No further attempt if the peer asks for none, or for more than [`max_hint`](RetryBuilder::max_retry_after) |
//! | fails, and the wait would pass the deadline | its error is the answer, at once |
//! | fails by the caller's own fault, cannot be sent at all, meets a peer that is not trusted, or is refused by a guard of this process | its error is the answer |
//!
//! The deadline is the earliest of its own, that of the call's [`Context`](crate::Context), and a `grpc-timeout`.
//! A layer refuses a call that begins after it; [`Retry::run`] makes one attempt.
//! Each attempt beyond the first runs in that context with its [number](crate::Context::attempt). Where there is none,
//! the attempts at an HTTP request that may be sent again share one that begins with the first, so that they have one
//! trace and one correlation ID. Line and span of a [client](crate::Observe::client) inside say by
//! `http.request.resend_count` how many came before.
//!
//! [`Retry::run`] does so for code that is no service, [`RetryLayer`] for services; the latter waits until the service
//! is ready again before each attempt, but not past the deadline: then the answer is a
//! [`Rejection`](crate::Rejection), since what failed before is gone.
//! A [`RetryPolicy`] decides from request, result and attempt, and makes the copies of requests that are not `Clone` or
//! must not always be sent twice.
//!
//! Over HTTP, only what may be sent twice is: idempotent methods, what has an `Idempotency-FingerprintInput` that is not empty, and
//! what [`repeatable`](RetryLayer::retry_if_request) says; its body is streamed, and kept up to 64 KiB. Retries carry their
//! [`Attempt`] in the request's extensions, and their context if one was there; those of gRPC calls say
//! `grpc-previous-rpc-attempts`, and their `grpc-timeout` is what is left of the caller's. A response that took more than
//! one attempt has the last one's [`Attempt`] in its extensions: a 412 to a `PUT` with `If-None-Match` may then mean that
//! an attempt before it was done, and only its answer lost.
//!
//! An attempt is judged by the head of its response: an answer that has begun is not taken back. The budget learns how
//! the call has ended when its body does, and calls whose answers break off refill none.
//!
//! # What was never sent
//!
//! Some errors prove that the peer never began an HTTP request. Where the layer stands right around a transport, and so
//! is told to act upon them by [`free_repeats`](RetryLayer::retry_unsent), such a request is sent again whatever its
//! method:
//!
//! | proof | known by | sent again |
//! |---|---|---|
//! | no connection came about | [`ConnectionRefused`](std::io::ErrorKind::ConnectionRefused); tonic's `ConnectError` (feature `tonic`); hyper-util's `is_connect` (feature `hyper`) | as an attempt like any other: after the backoff, and drawing on the budget |
//! | the connection was closed before the request was begun | hyper's `is_canceled` (feature `hyper`) | at once, at most twice in a call |
//! | the peer says so: `REFUSED_STREAM`, or a `GOAWAY` that leaves it out | h2's errors (feature `hyper`) | at once, and only once |
//! | what you know better | [`never_sent`](RetryLayer::unsent_if), which needs no `free_repeats` | as an attempt like any other |
//!
//! What is sent again at once counts against no limit of attempts. The first time in a call it takes nothing from the
//! budget either; the second time it does. None of it passes the deadline.
//!
//! The proof speaks of the last thing that failed. A service that posts an order and then cannot reach another peer fails
//! with the same error, so that this is off by default: what may be sent twice is repeated as usual then, and everything
//! else is sent once. Clients do some of it themselves: hyper-util's takes another connection where a reused one proves
//! to be closed.
//!
//! # What it costs
//!
//! Nothing is allocated for work, or for a request that can be cloned without, if it succeeds at once. An HTTP request that
//! may be sent again costs a copy of its head - it is gone once it is sent, so the copy cannot be put off -, a context
//! where there is none, and one allocation more if it has a body. One that is sent once in any case costs none.
//!
//! # In spawned tasks, and during shutdown
//!
//! A future that waits between two attempts lives in the task that polls it: when that task is aborted or its runtime
//! shuts down, the call ends in the wait and gives its reservation back. A shutdown that waits for calls under way waits
//! for their retries, too: bound them by [`check_range`](RetryBuilder::max_elapsed) or a deadline that is shorter than the time
//! that is left.
//!
//! In an async block that is spawned, the compiler may say that `From` is not general enough for a service whose error is a
//! `BoxError` already: call it in an `async fn`, or spawn the call itself, as in `tokio::spawn(service.oneshot(request))`.
//!
//! # Metrics
//!
//! A failure that is not followed by another attempt is counted by its [reason](NotRetried).
//!
//! | metric | labels |
//! |---|---|
//! | `tower_keep_retries_total` | `retry`: the name |
//! | `tower_keep_retries_free_total` | `retry` |
//! | `tower_keep_retries_recovered_total` | `retry` |
//! | `tower_keep_retries_refused_total` | `retry`, `reason`: `limit`, `budget`, `deadline`, `hint`, `not_repeatable`, `not_ready` |
//!
//! The [registry](crate::registry) lists each `Retry` with these counts and what its budget has left.
//!
//! # Clones
//!
//! Clones of a [`Retry`] share its budget; clones of a [`Budget`] are the same budget. No two calls share their
//! jitter.
//!
//! # Cancellation
//!
//! Dropped during a wait, a call gives its reservation back; dropped during an attempt, it has spent it.
//!
//! # Example
//!
//! ```
//! use tower_keep::retry::Retry;
//!
//! # #[tokio::main(flavor = "current_thread", start_paused = true)] async fn main() -> std::io::Result<()> {
//! let retry = Retry::new("quotes");
//! let quote = retry
//!     .run(|attempt| async move {
//!         // The peer is away for a moment.
//!         if attempt.is_retry() { Ok(42) } else { Err(std::io::Error::other("reset")) }
//!     })
//!     .await?;
//! assert_eq!(quote, 42);
//! # Ok(()) }
//! ```
//!
//! # Customised
//!
//! ```
//! use std::{io::{Error, ErrorKind}, time::Duration};
//! use tower_keep::retry::{Backoff, Budget, Jitter, Retry};
//!
//! # #[tokio::main(flavor = "current_thread", start_paused = true)] async fn main() -> Result<(), tower_keep::ConfigError> {
//! let budget = Budget::window().ratio(0.1).build()?;
//! let retry = Retry::builder("inventory")
//!     .preset_external()
//!     .max_attempts(5)
//!     .backoff(Backoff::exponential(Duration::from_millis(200)).jitter(Jitter::Equal))
//!     .budget(budget.clone()) // and to others who talk to the same peer
//!     .max_elapsed(Duration::from_secs(10))
//!     .build()?;
//!
//! let mut calls = 0;
//! let missing = retry
//!     .run(|_| {
//!         calls += 1;
//!         async { Err::<(), _>(Error::from(ErrorKind::NotFound)) }
//!     })
//!     .classify_error(|error: &Error| error.kind() != ErrorKind::NotFound)
//!     .await;
//! assert!(missing.is_err());
//! assert_eq!(calls, 1);
//!
//! let error = Retry::builder("inventory").max_attempts(0).build().unwrap_err();
//! assert_eq!(error.to_string(), r#"retry "inventory": attempts is 0, must be 1 to 100"#);
//! # Ok(()) }
//! ```

mod advice;
mod attempt;
mod attempts;
mod backoff;
mod body;
mod budget;
mod client;
mod counts;
mod custom;
mod future;
mod layer;
mod plan;
mod policy;
mod refusal;
mod service;
mod service_attempts;
mod settings;
mod shared_retry;
mod stage;
mod state;
mod work;
mod work_with;

pub use advice::RetryDecision;
pub use attempt::Attempt;
#[doc(hidden)]
pub use attempts::Attempts;
pub use backoff::{Backoff, Delays, Jitter, JitterRng};
pub use body::{ReplayBody, Superseded};
pub use budget::{BucketBudget, Budget, Reservation, SpentRetry, ThrottleBudget, WindowBudget};
#[doc(hidden)]
pub use client::HttpAttempts;
pub use client::{AsIs, HttpRetry, MapBody, RetryBody};
pub use custom::{AttemptResult, RetryPolicy, ServiceRules, WithPolicy};
pub use future::RetryFuture;
pub use layer::RetryLayer;
pub use refusal::NotRetried;
pub use service::RetryService;
#[doc(hidden)]
pub use service_attempts::ServiceAttempts;
pub use settings::{Retry, RetryBuilder};
pub use work::{DecideError, RunAttempts};
pub use work_with::RunWithAttempts;

pub use crate::retry_after::RetryAfter;
