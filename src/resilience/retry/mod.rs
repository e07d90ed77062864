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
//! | fails, and the peer says when to come back | not before then, and chance on top; not at all if it says so, or asks for more than [`max_hint`](RetryBuilder::max_hint) |
//! | fails, and the wait would pass the deadline | its error is the answer, at once |
//! | fails by the caller's own fault, or is refused by a guard of this process | its error is the answer |
//!
//! The deadline is the earliest of its own, that of the call's [`Context`](crate::Context), and a `grpc-timeout`.
//! Each attempt beyond the first runs in that context with its [number](crate::Context::attempt).
//!
//! [`Retry::run`] does so for code that is no service, [`RetryLayer`] for services; the latter waits until the service
//! is ready again before each attempt, but not past the deadline: then the answer is a
//! [`Rejection`](crate::Rejection), since what failed before is gone.
//! A [`RetryPolicy`] decides from request, result and attempt, and makes the copies of requests that are not `Clone` or
//! must not always be sent twice.
//! Over HTTP, only what may be sent twice is: idempotent methods, what has an `Idempotency-Key`, and what
//! [`repeatable`](RetryLayer::repeatable) says; its body is streamed, and kept up to 64 KiB. Retries carry their
//! [`Attempt`] in the request's extensions, and their context if one was there; those of gRPC calls say
//! `grpc-previous-rpc-attempts`, and their `grpc-timeout` is what is left of the caller's.
//!
//! # What was never sent
//!
//! Some errors prove that nothing has come of an HTTP request. It is then sent again for free, whatever its method:
//! at most twice in a call, counted against neither attempts nor budget. After that it counts like any failure,
//! but still needs no leave to be repeated.
//!
//! | proof | known by | sent again |
//! |---|---|---|
//! | no connection came about | [`ConnectionRefused`](std::io::ErrorKind::ConnectionRefused); tonic's `ConnectError` (feature `tonic`); hyper-util's `is_connect` (feature `hyper`); [`never_sent`](RetryLayer::never_sent) | after the backoff |
//! | the connection was closed before the request was begun | hyper's `is_canceled` (feature `hyper`) | at once |
//! | the peer says so: `REFUSED_STREAM`, or a `GOAWAY` that leaves it out | h2's errors (feature `hyper`) | at once, and only once |
//!
//! Clients do some of it themselves: hyper-util's takes another connection where a reused one proves to be closed.
//! [`free_repeats`](RetryLayer::free_repeats) switches it off.
//!
//! # What it costs
//!
//! Nothing is allocated for work, or for a request that can be cloned without, if it succeeds at once. An HTTP request that
//! may be sent again costs a copy of its head - it is gone once it is sent, so the copy cannot be put off - and, if it has
//! a body, one allocation more. One that is sent once in any case costs none: see
//! [`free_repeats`](RetryLayer::free_repeats).
//!
//! # Metrics
//!
//! A failure that is not followed by another attempt is counted by its [reason](Refusal).
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
//! let retry = Retry::named("quotes");
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
//! # #[tokio::main(flavor = "current_thread", start_paused = true)] async fn main() -> Result<(), tower_keep::InvalidSetting> {
//! let budget = Budget::window().ratio(0.1).build()?;
//! let retry = Retry::builder("inventory")
//!     .api()
//!     .attempts(5)
//!     .backoff(Backoff::exponential(Duration::from_millis(200)).jitter(Jitter::Equal))
//!     .budget(budget.clone()) // and to others who talk to the same peer
//!     .within(Duration::from_secs(10))
//!     .build()?;
//!
//! let mut calls = 0;
//! let missing = retry
//!     .run(|_| {
//!         calls += 1;
//!         async { Err::<(), _>(Error::from(ErrorKind::NotFound)) }
//!     })
//!     .when(|error: &Error| error.kind() != ErrorKind::NotFound)
//!     .await;
//! assert!(missing.is_err());
//! assert_eq!(calls, 1);
//!
//! let error = Retry::builder("inventory").attempts(0).build().unwrap_err();
//! assert_eq!(error.to_string(), r#"retry "inventory": attempts is 0, must be 1 to 100"#);
//! # Ok(()) }
//! ```

mod backoff;
mod body;
mod budget;
mod client;
mod counts;
mod course;
mod custom;
mod future;
mod layer;
mod policy;
mod run;
mod service;
mod settings;
mod step;

pub use backoff::{Backoff, Chance, Delays, Jitter};
pub use body::{ReplayBody, Superseded};
pub use budget::{BucketBudget, Budget, Reservation, Spent, ThrottleBudget, WindowBudget};
pub(super) use client::never_reached;
pub use client::{AsIs, HttpRetryFuture, MapBody, Replay};
pub use course::Attempt;
pub use custom::{ByPolicy, RetryPolicy, Rules, Tried};
pub use future::RetryFuture;
pub use layer::RetryLayer;
pub use policy::{Advice, Refusal};
pub use run::{Advise, Retrying};
pub use service::Retried;
pub use settings::{Retry, RetryBuilder};

pub use super::hint::Hint;
