//! Circuit breakers: stop calling a failing dependency and detect when it has recovered.
//!
//! Use one around each thing that can fail by itself: a host, a database, a peer service. Not around a service that
//! stands for many independent things: one of them would take the others down.
//!
//! Place in the stack: inside of retries, outside of the attempt's timeout. Without a timeout, calls to a peer that hangs never
//! end, and are no evidence: see [a peer that hangs](crate::guide::troubleshooting#a-peer-that-hangs).
//!
//! # What happens
//!
//! | state | calls | ends when |
//! |---|---|---|
//! | closed | are admitted and counted | the failure rate, the slow rate or the failures in a row reach their threshold |
//! | open | are rejected | the open time has elapsed and a call comes; the time doubles each time that the circuit re-opens soon, see [`open_backoff`](CircuitBreakerBuilder::open_backoff) |
//! | half open | are admitted as [probes](CircuitBreakerBuilder::probes), a few at once; the others are rejected | enough probes have succeeded, or too many have failed |
//! | forced open, disabled | are rejected, or admitted uncounted | [`reset`](CircuitBreaker::reset), or its [`Switch`] is released |
//!
//! Half open, the head of a response decides its probe, since a body may take its time. A probe without evidence gives its
//! slot to the next call. Each probe has a [timeout](CircuitBreakerBuilder::probe_timeout) of its own, from its own start
//! to its head. One that has timed out has failed, but its success still counts as long as the circuit is half open. The
//! phase itself has no timeout: while no call comes, nothing happens.
//!
//! # Evidence
//!
//! A breaker counts what a call says about the health of the peer, its [`Evidence`](crate::call::Evidence), and not its
//! [`Outcome`](crate::Outcome), which is for people. An unhealthy answer is a failure, a healthy one a success, and what is
//! inconclusive does not count.
//!
//! | how the call ended | outcome | evidence |
//! |---|---|---|
//! | successful head; the body was read to its end, or on a client dropped by a reader that was not waiting for more | success | healthy |
//! | successful head; the reader gave up while it waited for more, or on a server before the end of the body | cancelled | healthy |
//! | 4xx, or a gRPC code that blames the caller | client error | healthy: the peer is alive and answers |
//! | an error that the classifier calls the caller's | client error | inconclusive |
//! | failed head, whatever happens to its body; a body that was cut off, or is shorter or longer than its content length | failure, overload | unhealthy |
//! | the service failed to become ready, transport error, panic | failure, panicked | unhealthy |
//! | a time limit of this process expired while the peer had the whole request | timed out | unhealthy |
//! | the caller's request body failed, broke off or stalled | client error | inconclusive |
//! | hyper: the peer closed the connection while it was still sent the request's body, as a peer does that refuses the upload | failure | inconclusive |
//! | a deadline that the caller chose expired first | timed out | inconclusive |
//! | dropped before the head | cancelled | inconclusive; unhealthy once it lasted the [slow limit](CircuitBreakerBuilder::slow_call), unless a [hedge](crate::hedge) was faster |
//! | rejected by a guard of this process, at any depth | rejected | inconclusive |
//!
//! Whatever a remote caller controls - its upload, deadline or patience - is never held against a peer that others share.
//! An answer that a time limit drops while nobody waits for more of it is as good as one that its reader drops.
//!
//! # Uploads
//!
//! A breaker learns that a request's body failed, broke off or stalled if the body is watched:
//!
//! | body | watched |
//! |---|---|
//! | `axum::body::Body`, with the feature `axum` | by every layer of this crate |
//! | `tonic::body::Body`, with the feature `tonic` | by every layer |
//! | boxed bodies (`BoxBody`, `UnsyncBoxBody`) of `Bytes` whose error is `BoxError`, `Infallible`, `io::Error` or one of hyper, axum or tonic with their features | by every layer |
//! | those that retries make | by the retry |
//! | `hyper::body::Incoming`, with the feature `hyper`, and every other | only inside of a [`RequestBodyLayer`](crate::track::RequestBodyLayer) |
//!
//! Of other bodies, and without these features, a service that fails because its caller has broken off looks like one
//! that has failed. Put a `RequestBodyLayer` inside of the breaker of a server whose bodies are not in the list.
//!
//! # Counting
//!
//! * A successful answer counts at its head. If the body then breaks, the success becomes a failure: there are as many calls
//!   as before, and one failure more. A failed answer counts at its end, when its cause is known.
//! * Slowness is the time to the head, or to the end of a call that has none; a slow reader is not held against the peer.
//! * A result that comes after the state has changed does not count.
//! * Rates are evaluated when a failure or a slow call is counted, not at every success.
//!
//! # Which to use
//!
//! | for | use |
//! |---|---|
//! | a service: tower, axum, tonic, hyper | [`CircuitBreaker::layer`], open before ready |
//! | a balancer's endpoint, or where callers should wait | [`back_pressure`](crate::GuardLayer::back_pressure) |
//! | a service that is not `Clone` | [`pass_through`](crate::GuardLayer::pass_through) |
//! | one of several guards in a pair | the breaker itself |
//! | a future, a closure | [`call`](CircuitBreaker::call), [`run`](CircuitBreaker::run); `_display` where the error does not implement `Error` |
//! | anything else | [`try_acquire`](CircuitBreaker::try_acquire) |
//! | names that the program knows | [`breaker`](breaker()), [`BreakerRegistry`] |
//! | keys that callers send: hosts, tenants | [`KeyedBreaker`]; its [`layer`](KeyedBreaker::layer) for hosts, open before ready |
//! | an operator, a feature flag | [`Switch`], [`force_open`](CircuitBreaker::force_open), [`disable`](CircuitBreaker::disable) |
//! | a peer that says how long to wait | [`open_on_retry_after`](CircuitBreakerBuilder::open_on_retry_after), [`open_for`](CircuitBreaker::open_for) |
//!
//! Open before ready means that an open circuit rejects although the service is not ready - a service that is down
//! hardly ever is - and that a task which waits for readiness is woken and rejected when the circuit opens.
//!
//! # Settings from outside
//!
//! [`BreakerSettings`] are the settings as plain values, which the feature `serde` reads from a file.
//! [`apply`](CircuitBreaker::apply) changes those of a live breaker, which keeps what it has counted and is doing; that of a
//! [`KeyedBreaker`](KeyedBreaker::apply) those of all keys, and that of a [`BreakerRegistry`](BreakerRegistry::apply) those of
//! many names. They check all settings first, and change nothing if one is invalid; the same settings again change nothing.
//! A change is an event of the level `INFO`, with the fields that have changed.
//!
//! # What it reports
//!
//! Each transition is an event of the target `tower_keep::breaker` - opening, forcing and disabling are warnings - and an
//! item for [subscribers](CircuitBreaker::subscribe), in order, with the error of the failing call. A
//! [hook](CircuitBreakerBuilder::on_transition) is called with it. The [registry](crate::registry) lists every breaker with
//! its stats (what its window has counted, `failure_rate_threshold`, how many calls it has `rejected` since it was built, and
//! more), and [reports](crate::registry::subscribe) the transitions of all of them.
//!
//! | metric | labels |
//! |---|---|
//! | `tower_keep_breaker_state` | `breaker`, `state`: how many breakers of the name are in the state, in this process |
//! | `tower_keep_breaker_transitions_total` | `breaker`, `to`, `reason` |
//! | `tower_keep_breaker_rejections_total` | `breaker` |
//! | `tower_keep_breaker_evictions_total` | `breaker`: keys that were removed to make room for others |
//!
//! # Clones
//!
//! Clones of a breaker, of its layers and of their services are the same circuit. None carries a permit.
//!
//! # Cancellation
//!
//! A permit or future that is dropped completes as cancelled, which is no evidence about the peer unless it was slow. A body
//! that is dropped changes nothing: its head has been counted. A handle that is dropped while it waits is not woken.
//!
//! # Example
//!
//! ```
//! use tower::{ServiceBuilder, ServiceExt, service_fn};
//! use tower_keep::CircuitBreaker;
//!
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), tower_keep::BoxError> {
//! let breaker = CircuitBreaker::builder("quotes").build()?;
//! let service = ServiceBuilder::new()
//!     .layer(breaker.layer().any())
//!     .service(service_fn(|id: u32| async move { Ok::<_, std::io::Error>(id) }));
//! assert_eq!(service.oneshot(7).await?, 7);
//! assert_eq!(breaker.call(async { Ok::<_, std::io::Error>(8) }).await?, 8);
//! assert_eq!(breaker.counts().calls, 2);
//! # Ok(()) }
//! ```
//!
//! # Example, customized
//!
//! ```
//! use std::time::Duration;
//! use tower_keep::{CircuitBreaker, Outcome, breaker::CircuitState};
//!
//! let breaker = CircuitBreaker::builder("payments")
//!     .count_window(50)
//!     .consecutive_failures(2)
//!     .slow_call(Duration::from_secs(2))
//!     .slow_rate(0.8)
//!     .build()?;
//! for _ in 0..2 {
//!     breaker.try_acquire()?.complete(Outcome::Failure);
//! }
//! assert_eq!(breaker.state(), CircuitState::Open);
//! let rejection = breaker.try_acquire().unwrap_err();
//! assert_eq!(rejection.reason(), Some("consecutive_failures"));
//! assert!(rejection.retry_after().is_some());
//!
//! let error = CircuitBreaker::builder("payments").failure_rate(50.0).build().unwrap_err();
//! assert_eq!(
//!     error.to_string(),
//!     r#"breaker "payments": failure_rate is 50, must be above 0 and at most 1 (a fraction; did you mean 0.5?)"#
//! );
//! # Ok::<_, tower_keep::BoxError>(())
//! ```

mod breaker_metrics;
mod bucket;
mod builder;
mod by_name;
mod call;
mod call_counts;
mod call_error;
mod call_permit;
mod call_sample;
mod circuit_breaker;
pub(crate) mod classify_result;
mod config;
mod core;
mod error_text;
mod fast_path;
mod guard;
mod head_rule;
mod inspect;
mod keyed;
mod keyed_readiness;
mod locked;
#[cfg(all(test, tower_keep_loom))]
mod loom_tests;
mod operator_settings;
mod pending_successes;
mod permit;
mod registry_builder;
mod registry_shared;
mod report;
mod retry_after;
mod settings;
mod settings_log;
mod settings_version;
mod shared;
mod state;
mod state_counts;
mod state_machine;
#[cfg(test)]
mod state_machine_tests;
mod switch;
mod transition;
mod transition_hook;
mod validate;
mod window;
mod window_shape;

pub use builder::CircuitBreakerBuilder;
pub use by_name::{BreakerRegistry, breaker};
pub use call::BreakerFuture;
pub use call_counts::CallCounts;
pub use call_error::CallError;
pub use call_permit::CallPermit;
pub use circuit_breaker::CircuitBreaker;
pub use keyed::{KeyedBreaker, KeyedBreakerBuilder, KeyedGuard};
pub use registry_builder::BreakerRegistryBuilder;
pub use settings::BreakerSettings;
#[cfg(feature = "balance")]
pub(crate) use settings_version::next_settings_version;
pub use state::CircuitState;
pub use switch::{Switch, SwitchMode};
pub use transition::{Transition, TransitionReason};
