//! Circuit breakers: stop calling what fails, and find out when it is well again.
//!
//! Use one round each thing that can fail by itself: a host, a database, a peer service. Not round a service that
//! many independent things stand behind: one of them would take the others down.
//!
//! Place in the stack: inside of retries, outside of the attempt's timeout.
//!
//! # What happens
//!
//! | state | calls | ends when |
//! |---|---|---|
//! | closed | pass and are counted | the failure rate, the slow rate or the failures in a row reach their limit |
//! | open | are refused | its time is over and a call comes; the time doubles with each failed recovery |
//! | half open | the probes pass, the rest is refused | enough probes succeeded, too many failed, or their time is over |
//! | forced open, disabled | are refused, or pass uncounted | [`reset`](CircuitBreaker::reset), or its [`Switch`] is back |
//!
//! `Failure`, `TimedOut`, `Panicked` and `Overload` are failures, and so is a service that fails to become ready.
//! `Ignored` and `Rejected` count nothing and give a probe back; so does `Cancelled`, unless the call lasted the
//! [slow limit](CircuitBreakerBuilder::slow_call). A result that comes after the state has changed counts nothing.
//!
//! # Which one
//!
//! | for | there is |
//! |---|---|
//! | a service: tower, axum, tonic, hyper | [`CircuitBreaker::layer`], open before ready |
//! | a service that is not `Clone`, or where callers had better wait | [`back_pressure`](crate::GuardLayer::back_pressure) |
//! | one of several guards in a tuple | the breaker itself |
//! | a future, a closure | [`call`](CircuitBreaker::call), [`run`](CircuitBreaker::run); `_any` where the error is no `Error` |
//! | anything else | [`try_acquire`](CircuitBreaker::try_acquire) |
//! | names that the program knows | [`breaker`](breaker()), [`Breakers`] |
//! | keys that callers send: hosts, tenants | [`KeyedBreaker`] |
//! | an operator, a feature flag | [`Switch`], [`force_open`](CircuitBreaker::force_open), [`disable`](CircuitBreaker::disable) |
//! | a peer that says when to come back | [`heed_retry_after`](CircuitBreakerBuilder::heed_retry_after), [`open_for`](CircuitBreaker::open_for) |
//!
//! Open before ready means that an open circuit refuses although the service is not ready - a service that is down
//! hardly ever is - and that a task which waits for readiness is woken and refused when the circuit opens.
//!
//! # What it tells
//!
//! Each transition is an event of the target `tower_keep::breaker` - opening, forcing and disabling are warnings - and an
//! item for [subscribers](CircuitBreaker::subscribe), in order, with what the failing call said. The
//! [registry](crate::registry) lists every breaker with its figures.
//!
//! | metric | labels |
//! |---|---|
//! | `tower_keep_breaker_state` | `breaker`, `state`: 1 for the state that it is in; for keys, how many are |
//! | `tower_keep_breaker_transitions_total` | `breaker`, `to`, `reason` |
//! | `tower_keep_breaker_refusals_total` | `breaker` |
//! | `tower_keep_breaker_evictions_total` | `breaker`: keys that made room for others |
//!
//! # Clones
//!
//! Clones of a breaker, of its layers and of their services are the same circuit. None carries a permit.
//!
//! # Cancellation
//!
//! A permit, future or body that is dropped settles as cancelled. A handle that is dropped while it waits is not woken.
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
//! # Example, customised
//!
//! ```
//! use std::time::Duration;
//! use tower_keep::{CircuitBreaker, Outcome, breaker::State};
//!
//! let breaker = CircuitBreaker::builder("payments")
//!     .count_window(50)
//!     .consecutive_failures(2)
//!     .slow_call(Duration::from_secs(2))
//!     .slow_rate(0.8)
//!     .build()?;
//! for _ in 0..2 {
//!     breaker.try_acquire()?.settle(Outcome::Failure);
//! }
//! assert_eq!(breaker.state(), State::Open);
//! let refused = breaker.try_acquire().unwrap_err();
//! assert_eq!(refused.why(), Some("consecutive_failures"));
//! assert!(refused.wait().is_some());
//!
//! let error = CircuitBreaker::builder("payments").failure_rate(50.0).build().unwrap_err();
//! assert_eq!(
//!     error.to_string(),
//!     r#"breaker "payments": failure_rate is 50, must be above 0 and at most 1 (a fraction; did you mean 0.5?)"#
//! );
//! # Ok::<_, tower_keep::BoxError>(())
//! ```

mod call_error;
#[cfg(not(all(test, tower_keep_loom)))]
mod census;
mod core;
mod events;
mod guard;
mod handle;
mod heed;
mod inspect;
mod keyed;
mod layer;
mod named;
mod outlets;
mod permit;
mod run;
mod said;
mod settings;
mod shared;
mod state;
mod switch;
#[cfg_attr(all(test, tower_keep_loom), path = "shared/models/teller.rs")]
mod teller;
mod weigh;
mod window;
mod words;

pub use call_error::CallError;
pub use events::{Reason, Transition};
pub use handle::CircuitBreaker;
pub use keyed::{
    ByAuthority, ByKey, ByRef, KeyedBreaker, KeyedBreakerBuilder, KeyedGuard, KeyedPermit, Pick,
};
pub use named::{Breakers, BreakersBuilder, breaker};
pub use permit::Permit;
pub use run::BreakerCall;
pub use settings::CircuitBreakerBuilder;
pub use shared::BreakerPermit;
pub use state::State;
pub use switch::{Position, Switch};
pub use weigh::{ByError, ByResult, Weigh, Weight};
pub use window::Counts;
