//! Bulkheads: so many calls at once, and no more, so that one slow dependency cannot take the whole process.
//!
//! Use one around each thing that can become slow by itself: a peer, a database, a kind of job. Without it, calls to a peer
//! that hangs pile up until no task, connection or memory is left for the others. Other names for it: semaphore, concurrency
//! limit, max in flight; a *lane* is a bulkhead with its statistics. It does not limit how many calls come in a time: that is
//! a rate limit.
//!
//! Place in the stack: on a client outside of retries, inside of the total time limit, so that a call holds one slot for all
//! of its attempts; on a server inside of tracking, outside of the time limit.
//!
//! # What happens
//!
//! | when | the call |
//! |---|---|
//! | a slot is free | takes it, and holds it until its body ends, fails or is dropped, or until the head with [`until_head`](BulkheadBuilder::until_head) |
//! | no slot is free | is rejected at once: [`RejectionKind::Full`](crate::RejectionKind::Full), 503 or `RESOURCE_EXHAUSTED`, before the wrapped service is polled. The [retry-after](crate::Rejection::retry_after) is the time after which a slot is free if calls take as long as the latest did, once one has ended |
//! | the limit is made [smaller](Bulkhead::apply) | in flight goes on; no slot is free until enough have ended |
//!
//! # Statistics
//!
//! [`Bulkhead::stats`], the [registry](crate::registry) and the console show how many calls are in flight, and what became of
//! the others by their [evidence](crate::call::Evidence):
//!
//! | stat | counts |
//! |---|---|
//! | `done` | calls that the peer answered, client errors (4xx) included, or work that succeeded |
//! | `failed` | failures, timeouts at a limit of this process, panics |
//! | `inconclusive` | calls that were cancelled or rejected further in, or whose caller was at fault; permits that were dropped |
//! | `rejected` | calls that got no slot |
//!
//! The time of a run is that for which the call had its slot; calls that are inconclusive have no part in the means. A bulkhead
//! has no transitions: it may be full and available again thousands of times a second.
//!
//! # Metrics
//!
//! | metric | labels |
//! |---|---|
//! | `tower_keep_bulkhead_limit` | `bulkhead`: its name |
//! | `tower_keep_bulkhead_in_flight` | `bulkhead` |
//! | `tower_keep_bulkhead_run_seconds` | `bulkhead`, `result`: `done`, `failed`, `inconclusive` |
//! | `tower_keep_bulkhead_rejections_total` | `bulkhead`, `reason`: `full` |
//!
//! Two bulkheads of one name share these series: they add up, except for the limit, which is that of the last change.
//!
//! # Clones
//!
//! Clones, layers and services share the slots: behind axum, which clones the service for each request, there is still one
//! bulkhead.
//!
//! # Cancellation
//!
//! A call that is dropped gives its slot back at once.
//!
//! # Example
//!
//! ```
//! use tower::{ServiceBuilder, ServiceExt, service_fn};
//! use tower_keep::Bulkhead;
//!
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), tower_keep::BoxError> {
//! let reports = Bulkhead::new("reports");
//! let service = ServiceBuilder::new()
//!     .layer(reports.layer().any())
//!     .service(service_fn(|id: u32| async move { Ok::<_, std::io::Error>(id) }));
//! assert_eq!(service.oneshot(7).await?, 7);
//! assert_eq!(reports.stats().done, 1);
//! # Ok(()) }
//! ```
//!
//! # Example, customized
//!
//! One layer over several guards is cheaper than a layer for each. A call that the bulkhead rejects is tracked, and the
//! breaker does not see it:
//!
//! ```
//! use tower::{ServiceBuilder, ServiceExt, service_fn};
//! use tower_keep::{Bulkhead, CircuitBreaker, GuardLayer, Rejection, RejectionKind, operation};
//!
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), tower_keep::BoxError> {
//! let slots = Bulkhead::builder("ledger").limit(1).build()?;
//! let guards = (operation("ledger"), (slots.clone(), CircuitBreaker::new("ledger")));
//! let service = ServiceBuilder::new()
//!     .layer(GuardLayer::any(guards))
//!     .service(service_fn(|id: u32| async move { Ok::<_, std::io::Error>(id) }));
//!
//! let permit = slots.try_acquire()?;
//! let error = service.clone().oneshot(7).await.unwrap_err();
//! assert_eq!(Rejection::find(&*error).map(Rejection::kind), Some(RejectionKind::Full));
//! drop(permit);
//! assert_eq!(service.oneshot(7).await?, 7);
//! # Ok(()) }
//! ```

mod builder;
mod call;
mod counts;
mod estimate;
mod guard;
mod handle;
mod held_permit;
mod inspect;
#[cfg(all(test, tower_keep_loom))]
mod loom_tests;
mod metrics;
mod permit;
mod reject_reason;
mod run_result;
mod settings;
mod shared;
mod slots;
mod stats;

pub use builder::BulkheadBuilder;
pub use call::BulkheadFuture;
pub use handle::Bulkhead;
pub use held_permit::BulkheadPermit;
pub use settings::BulkheadSettings;
pub use stats::BulkheadStats;
