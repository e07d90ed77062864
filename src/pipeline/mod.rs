//! Pipelines for calls that are no service: a query, an SDK, a closure.
//!
//! Use one for each thing that is called and can fail by itself: a database, a broker, an API behind an SDK. Do not use it
//! where there is a tower service, whose layers see more: requests, bodies, statuses. Other names for it: Polly's
//! *resilience pipeline*, resilience4j's *decorators*.
//!
//! # What happens
//!
//! A [`Pipeline`] runs a closure inside of its parts, each of which may be left out. The order is fixed, outermost first:
//!
//! | part | does |
//! |---|---|
//! | [operation](mod@crate::operation) | tracks the call: metrics, one event, a span, error groups. The only part that is there unless it is [left out](PipelineBuilder::untracked) |
//! | [fallback](PipelineFuture::fallback_with) | replaces a failure by a value, or by what an async closure makes of it. It is set where the work is run, since it needs the arguments of the call |
//! | [total limit](PipelineBuilder::total_limit) | ends the call with all its attempts and waits; retries make no attempt that would begin later |
//! | [prioritizer](PipelineBuilder::prioritizer) | sheds calls of a low priority first, once the bulkhead or the work has no room for all |
//! | [bulkhead](PipelineBuilder::bulkhead) | limits the calls in flight: one slot for a call with all its attempts. A call that finds none free is rejected, or waits within the total limit |
//! | [retry](PipelineBuilder::retry) | makes further attempts after failures, within a budget |
//! | [hedge](PipelineBuilder::hedge) | starts a second attempt beside the first if that takes long, within the same budget |
//! | [throttle](PipelineBuilder::throttle) | rejects attempts in proportion to how many of them fail |
//! | [breaker](PipelineBuilder::breaker) | rejects attempts while the circuit is open; such an attempt is not retried unless [configured](crate::retry::RetryBuilder::retry_rejections) |
//! | [rate limit](PipelineBuilder::rate_limit) | takes one call for each attempt, which waits for a short time or is rejected where there is no room |
//! | [attempt limit](PipelineBuilder::attempt_limit) | ends one attempt, which counts as a failure for the breaker and is retried |
//! | [chaos](PipelineBuilder::chaos) | injects faults into attempts, to rehearse an outage; off until it is switched on |
//!
//! The result of each attempt is classified once, and all parts agree on the outcome:
//!
//! | outcome | retried | breaker | event |
//! |---|---|---|---|
//! | `Success` | no | healthy | `DEBUG` |
//! | `Failure`, `TimedOut` | yes | unhealthy | `ERROR` |
//! | `Overload` | yes | unhealthy | `DEBUG` |
//! | `ClientError` | no | an error does not count, an `Ok` is healthy | `DEBUG` |
//! | `Rejected` | no | does not count | `DEBUG` |
//!
//! An error is classified by its type, by the pipeline's [`classify_error`](PipelineBuilder::classify_error), or by the
//! closure of [`run_classified`](Pipeline::run_classified), which also sees what is no error. Each attempt runs in the
//! call's [`Context`](crate::Context), with its [number](crate::Context::attempt).
//!
//! The error is a [`PipelineError`], which keeps that of the work. If the circuit opens between two attempts, the call ends
//! with the rejection, whose [`last_error`](crate::Rejection::last_error) is the text of the error before.
//!
//! Handles of the parts can be had from the pipeline, to change a limit or to reset the breaker; the
//! [registry](crate::registry) lists each by itself. All have the name of the pipeline, limits with `.total` or `.attempt`
//! at its end.
//!
//! # Fallbacks
//!
//! A fallback is used as those of [services](crate::fallback) are: for errors whose outcome is `Failure`, `Overload`,
//! `TimedOut` or `Rejected`, or for those that [`fallback`](PipelineBuilder::fallback) or
//! [`fallback_if`](PipelineFuture::fallback_if) chooses. An `Ok` that is classified as a failure stays an `Ok`.
//!
//! | the fallback | then |
//! |---|---|
//! | [`fallback_value`](PipelineFuture::fallback_value) | the call succeeds with the value |
//! | [`fallback_with`](PipelineFuture::fallback_with) returns | the call ends with that. An error is classified by its type, or by [`classify_error`](PipelineBuilder::classify_error) |
//! | the same panics | the call ends as `Panicked`, and the panic is re-raised (`resume_unwind`) |
//! | the same, and the caller's [deadline](crate::context::deadline) has passed | it is not called, and the call keeps its error |
//! | the same, and the deadline passes before it returns | it is dropped, and the call ends with [`TimedOut`](PipelineError::TimedOut) |
//!
//! The operation sees the result of the fallback: a success, mostly. What it replaces is counted by
//! `tower_keep_fallbacks_total`, and is in an event of the target `tower_keep::fallback` at `DEBUG`, with the text of the error. A fallback
//! that fails is counted by `tower_keep_fallbacks_failed_total`. Further fallbacks replace the failures of those before:
//!
//! ```
//! use std::io::Error;
//! use tower_keep::{BoxError, Pipeline};
//!
//! # #[tokio::main(flavor = "current_thread", start_paused = true)] async fn main() -> Result<(), BoxError> {
//! # let load = async |id: u32| Err::<u32, _>(Error::other(format!("no price of {id}")));
//! let prices = Pipeline::builder("prices").breaker(|breaker| breaker).build()?;
//! let this_morning = [(7, 350)];
//! let price = prices
//!     .run(|| load(7))
//!     .fallback_with(async |error| {
//!         let price = this_morning.iter().find(|(id, _)| *id == 7);
//!         price.map(|(_, price)| *price).ok_or(error)
//!     })
//!     .await?;
//! assert_eq!(price, 350);
//! # Ok(()) }
//! ```
//!
//! # Clones
//!
//! A clone is the same pipeline. Pipelines for one peer share its breaker or its retry by
//! [`shared_breaker`](PipelineBuilder::shared_breaker), [`shared_bulkhead`](PipelineBuilder::shared_bulkhead), [`shared_prioritizer`](PipelineBuilder::shared_prioritizer), [`shared_throttle`](PipelineBuilder::shared_throttle),
//! [`shared_rate_limit`](PipelineBuilder::shared_rate_limit), [`shared_hedge`](PipelineBuilder::shared_hedge) and [`shared_retry`](PipelineBuilder::shared_retry).
//!
//! # Cancellation
//!
//! A call that is dropped drops the attempt, or the fallback, and completes as `Cancelled`, which is no evidence for the
//! breaker. One that is dropped while it waits for the rate limit puts its place back if nobody waits behind it. A panic of
//! the work counts as a failure of the peer, completes the call as `Panicked`, is not retried, and is re-raised. An attempt
//! that its limit has ended is dropped before the next begins: with a connection, say, that is left in the middle of a
//! statement, so look at it before you use it again.
//!
//! # Example
//!
//! ```
//! use tower_keep::{BoxError, Pipeline};
//!
//! # #[tokio::main(flavor = "current_thread", start_paused = true)] async fn main() -> Result<(), BoxError> {
//! # let load = async |id: u32| Ok::<_, std::io::Error>(vec![id]);
//! let db = Pipeline::builder("db").breaker(|breaker| breaker).build()?;
//! let rows = db.run(|| load(7)).await?;
//! # assert_eq!(rows, [7]); Ok(()) }
//! ```
//!
//! # Customized
//!
//! ```
//! use std::{io::{Error, ErrorKind}, time::Duration};
//! use tower_keep::{BoxError, Outcome, Pipeline, PipelineError};
//!
//! # #[tokio::main(flavor = "current_thread", start_paused = true)] async fn main() -> Result<(), BoxError> {
//! let db = Pipeline::builder("db")
//!     .operation(|operation| operation.kind("db").slow(Duration::from_millis(200)))
//!     .total_limit(Duration::from_secs(5))
//!     .retry(|retry| retry.preset_internal())
//!     .breaker(|breaker| breaker.consecutive_failures(10))
//!     .attempt_limit(Duration::from_secs(1))
//!     .classify_error(|error: &Error| match error.kind() {
//!         ErrorKind::NotFound => Outcome::ClientError,
//!         _ => Outcome::Failure,
//!     })
//!     .build()?;
//!
//! // Hangs once.
//! let mut attempts = 0;
//! let row = db
//!     .run_mut(async || {
//!         attempts += 1;
//!         if attempts == 1 { std::future::pending().await }
//!         Ok::<_, Error>(7)
//!     })
//!     .await?;
//! assert_eq!((row, attempts), (7, 2));
//!
//! db.breaker().unwrap().force_open();
//! let error = db.run(|| async { Ok::<_, Error>(7) }).await.unwrap_err();
//! assert!(matches!(error, PipelineError::Rejected(_)));
//! # Ok(()) }
//! ```

mod builder;
mod classified;
mod error;
mod error_classifier;
mod fallback;
mod future;
mod handle;
mod hedge_part;
mod injected;
mod lent_work;
mod limits;
mod run;
mod shared;
mod shared_run;

pub use builder::PipelineBuilder;
pub use error::PipelineError;
pub use future::PipelineFuture;
pub use handle::Pipeline;
