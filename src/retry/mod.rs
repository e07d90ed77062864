//! Retries failed calls: with backoff and jitter, within a budget that all callers share.
//!
//! Use it where failures are short and work may be done twice. Do not use it where the peer is down for minutes (use a
//! [circuit breaker](mod@crate::breaker)), nor in more than one layer of a system: three attempts in each of three layers
//! are 27.
//!
//! Place in the stack: inside the layer that limits the whole call, outside of layers that guard or limit one attempt.
//!
//! # What happens
//!
//! | an attempt | then |
//! |---|---|
//! | succeeds | its response is the result |
//! | fails: `Failure`, `Overload`, `TimedOut` | reserves a retry from the budget, drops the failed attempt, waits, starts the next attempt |
//! | fails over gRPC | as above if its code is `UNAVAILABLE` or another of [`grpc_codes`](RetryBuilder::grpc_codes), or if the peer says when to retry; else its error is the result |
//! | fails, and the peer says when to retry | `Retry-After` and gRPC's `RetryInfo` set a minimum for the wait; gRPC's pushback replaces the backoff. Both get some jitter. No retry if the peer asks for none, or for a longer wait than [`max_retry_after`](RetryBuilder::max_retry_after) |
//! | fails, and the wait would exceed the deadline | its error is the result, at once |
//! | fails by the caller's fault, cannot be sent at all, meets an untrusted peer, or is rejected by a guard of this process | its error is the result |
//!
//! gRPC's codes decide where the peer has responded with one. A time limit of this process, a connection that broke, and a
//! response of 429, 502, 503 or 504 without a code are retried as with any client; any other response without a code is
//! `UNKNOWN`, as it is for gRPC's clients. A code to which a classifier gives another outcome is decided by that outcome.
//! All of it holds for a `tonic::Status` in [`Retry::run`] as well, with the feature `tonic`.
//!
//! The deadline is the earliest of [`max_elapsed`](RetryBuilder::max_elapsed), that of the call's
//! [`Context`](crate::Context), and a `grpc-timeout`. A layer rejects a call that begins after it; [`Retry::run`] still
//! makes one attempt. Each retry runs in the call's context with its [number](crate::Context::attempt). If there is no
//! context, all attempts of a repeatable HTTP request share a new one, so that they have one trace and one correlation
//! ID. Log line and span of a [client](crate::Observe::client) inside show the number of earlier attempts as
//! `http.request.resend_count`.
//!
//! # Which one
//!
//! | call | use |
//! |---|---|
//! | code outside of a tower service | [`Retry::run`], or [`Retry::run_with`] if it borrows mutable state |
//! | HTTP client | [`RetryLayer::client`] |
//! | gRPC client | [`RetryLayer::grpc_client`] |
//! | any other service whose requests are `Clone` | [`RetryLayer::any`] |
//! | other decisions over HTTP or gRPC | `client` or `grpc_client` with [`classify`](RetryLayer::classify) for what is a failure, and with [`retry_if_request`](RetryLayer::retry_if_request) for what may be sent twice |
//! | decisions by request and response of a service that is not HTTP, or requests that are not `Clone` | [`RetryLayer::with_policy`] |
//!
//! A layer waits until the service is ready before each attempt, but not past the deadline: then the result is a
//! [`Rejection`](crate::Rejection), since the earlier failure was dropped.
//!
//! # Repeatable requests
//!
//! Over HTTP, a request is sent twice only if it has an idempotent method or an `Idempotency-Key` that is not empty, or
//! if [`retry_if_request`](RetryLayer::retry_if_request) allows it. Its body is streamed, and buffered up to 64 KiB.
//! Retries carry their [`Attempt`] in the request's extensions, and their context if the request had one. Retries of
//! gRPC calls carry `grpc-previous-rpc-attempts`, and a `grpc-timeout` reduced to what is left for the caller. A
//! response that took more than one attempt has the last [`Attempt`] in its extensions: a 412 to a `PUT` with
//! `If-None-Match` may then mean that an earlier attempt succeeded, and only its response was lost.
//!
//! An attempt is classified by the head of its response: once a response has begun, the call is not retried. The budget
//! counts how the call ended when its body ends, and calls whose response breaks off refill none.
//!
//! # Unsent requests
//!
//! Some errors prove that the peer never began an HTTP request. If the layer wraps a transport directly, and
//! [`retry_unsent`](RetryLayer::retry_unsent) is on, such a request is sent again whatever its method (gRPC:
//! *transparent retry*):
//!
//! | proof | recognized by | sent again |
//! |---|---|---|
//! | no connection was made | [`ConnectionRefused`](std::io::ErrorKind::ConnectionRefused); tonic's `ConnectError` (feature `tonic`); hyper-util's `is_connect` (feature `hyper`) | as an attempt like any other: after the backoff, from the budget |
//! | the connection was closed before the request began | hyper's `is_canceled` (feature `hyper`) | at once, at most twice in a call |
//! | the peer refused it: `REFUSED_STREAM`, or a `GOAWAY` that excludes it | h2's errors (feature `hyper`) | at once, and only once |
//! | your own knowledge | [`unsent_if`](RetryLayer::unsent_if), which does not need `retry_unsent` | as an attempt like any other |
//!
//! A request that is sent again at once does not count as an attempt. The first time in a call it takes nothing from
//! the budget; the second time it does. None of it exceeds the deadline.
//!
//! The proof only tells about the last thing that failed. A service that posts an order and then cannot reach another
//! peer fails with the same error, so this is off by default: repeatable requests are then retried as usual, and all
//! others are sent once. Clients do some of it themselves: hyper-util's takes another connection if a reused one turns
//! out to be closed.
//!
//! # What it costs
//!
//! A call that succeeds at once allocates nothing, neither for closures nor for requests that clone without, and clones
//! no service: its attempt is made on the one that was polled ready. A call that is retried clones a service for its
//! retries, as that was when the layer was applied. A repeatable HTTP request costs a copy of its head (the original is
//! gone once it is sent), a context if there is none, and one more allocation if it has a body. A request that is sent
//! once in any case costs none.
//!
//! # In spawned tasks, and during shutdown
//!
//! A call that waits between two attempts lives in the task that polls it. If the task is aborted or its runtime shuts
//! down, the call ends in its wait, and its reservation is refunded. A graceful shutdown that waits for calls in
//! progress waits for their retries, too: limit them by [`max_elapsed`](RetryBuilder::max_elapsed) or a deadline that
//! is shorter than the grace period.
//!
//! If an async block that is spawned fails to compile with "`From` is not general enough", the service's error is a
//! `BoxError` already: [call it otherwise](crate::guide::troubleshooting#boxerror-in-a-spawned-task).
//!
//! # Metrics
//!
//! | metric | labels | counts |
//! |---|---|---|
//! | `tower_keep_retries_total` | `retry`: the name | attempts beyond the first |
//! | `tower_keep_retries_unsent_total` | `retry` | requests sent again because the peer never began them |
//! | `tower_keep_retries_recovered_total` | `retry` | calls that succeeded after a retry |
//! | `tower_keep_not_retried_total` | `retry`, `reason`: `max_attempts`, `budget`, `deadline`, `retry_after`, `not_repeatable`, `not_ready` | failures that were [not retried](NotRetried) |
//!
//! The [registry](crate::registry) lists each `Retry` with these counts, how many retries its budget has left
//! (`budget_available`) and of how many (`budget_capacity`).
//!
//! # Clones
//!
//! Clones of a [`Retry`] share its budget; clones of a [`Budget`] are the same budget. No two calls share their jitter.
//!
//! # Cancellation
//!
//! A call that is dropped during a wait refunds its reservation; dropped during an attempt, it has spent it.
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
//!         // The first attempt fails.
//!         if attempt.is_retry() { Ok(42) } else { Err(std::io::Error::other("reset")) }
//!     })
//!     .await?;
//! assert_eq!(quote, 42);
//! # Ok(()) }
//! ```
//!
//! # Customized
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
//!     .budget(budget.clone()) // and to other callers of the same peer
//!     .max_elapsed(Duration::from_secs(10))
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
//! let error = Retry::builder("inventory").max_attempts(0).build().unwrap_err();
//! assert_eq!(error.to_string(), r#"retry "inventory": max_attempts is 0, must be 1 to 100"#);
//! # Ok(()) }
//! ```

mod any;
#[cfg(test)]
mod apply_tests;
mod attempt;
mod attempts;
mod backoff;
mod budget;
mod builder;
mod call_config;
mod clone_requests;
mod decision;
mod delays;
#[cfg(feature = "testing")]
mod driven_call;
mod future;
mod grpc_codes;
mod http;
mod inspect;
mod jitter;
mod layer;
mod metrics;
mod not_retried;
mod plan;
mod policy;
mod replay_body;
#[expect(
    clippy::module_inception,
    reason = "the handle has the name of the module"
)]
mod retry;
mod run;
mod running_attempt;
#[cfg(feature = "serde")]
mod serde_forms;
#[cfg(all(test, feature = "serde"))]
mod serde_tests;
mod service;
mod settings;
mod shared;
mod stack;
mod stage;
mod state;

pub use attempt::Attempt;
pub use backoff::Backoff;
pub use budget::{
    BucketBudget, Budget, BudgetSettings, Reservation, SpentRetry, ThrottleBudget, WindowBudget,
};
pub use builder::RetryBuilder;
pub use decision::RetryDecision;
pub use delays::Delays;
#[cfg(feature = "testing")]
pub(crate) use driven_call::DrivenCall;
pub use future::RetryFuture;
pub use grpc_codes::GrpcCodes;
pub use jitter::Jitter;
pub use layer::RetryLayer;
pub use not_retried::NotRetried;
pub use policy::{AttemptResult, RetryPolicy};
pub use replay_body::{ReplayBody, Superseded};
pub use retry::Retry;
pub use service::RetryService;
pub use settings::RetrySettings;

// Parts of the types above, for those who have to write such a type out.
#[doc(hidden)]
pub use self::http::{HttpRetry, RetryBody};
#[doc(hidden)]
pub use clone_requests::CloneRequests;

// Parts that nobody names. Hedges are made of them, too.
pub(crate) use self::http::{HttpAttempts, MapBody};
pub(crate) use any::ServiceAttempts;
pub(crate) use attempts::{Attempts, FailedAttempt, RequestCopy};
pub(crate) use call_config::CallConfig;
pub(crate) use run::RunAttempts;
pub(crate) use running_attempt::RunningAttempt;
pub(crate) use settings::DecideOnError;
pub(crate) use stack::RetryStack;
pub(crate) use state::{CallCompletion, attempt_context};

pub use crate::retry_after::RetryAfter;
