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
//! | no slot is free | is rejected at once, before the wrapped service is polled, or waits in the [queue](BulkheadBuilder::queue_limit) if there is one |
//! | the limit is made [smaller](Bulkhead::apply) | that is in flight goes on; no slot is free until enough have ended |
//! | the limit is made larger | that waits gets one of the new slots |
//!
//! A rejection is [`RejectionKind::Full`](crate::RejectionKind::Full), 503 or `RESOURCE_EXHAUSTED`. Its
//! [retry-after](crate::Rejection::retry_after) is the time after which a slot is free for another call, if calls take as long as
//! the latest did, once one has ended.
//!
//! # The queue
//!
//! Off by default: a queue adds its wait to every call while the peer is slow. It evens out bursts.
//!
//! | the call that waits | then |
//! |---|---|
//! | is [next](BulkheadBuilder::queue_order) when a slot becomes free | gets it. Calls that come meanwhile do not overtake it |
//! | has waited for the [wait limit](BulkheadBuilder::wait_limit) | is rejected: `wait_limit` |
//! | would wait past its deadline, be it the caller's, one that came with the request, or a time limit around the call | is rejected at that moment, before a timeout is reported: `deadline` |
//! | can hardly get its turn in that time | is rejected at once, with the same reason: if it would take twice as long by the mean time of the latest calls and the number of calls before it |
//! | comes while the queue is full | is rejected: `queue_full`; with [`QueueOrder::Lifo`] it takes the place of the oldest, which is rejected: `displaced`; with [`QueueOrder::Priority`] that of the one of the lowest priority, if its own is higher |
//! | is dropped | leaves the queue; a slot that it has been given goes to the next one |
//!
//! A call waits inside of its future, and takes nothing of the wrapped service meanwhile. With
//! [`back_pressure`](BulkheadLayer::back_pressure), handles wait in `poll_ready` instead. As one guard among others, in a pair of
//! guards, a bulkhead never lets calls wait: there, [`GuardLayer::back_pressure`](crate::GuardLayer::back_pressure) has handles
//! wait until a slot is free, without an order and without a reservation.
//!
//! # On a server
//!
//! A slot is held until the body of the response is sent, so a caller that reads slowly holds one for as long as it likes, and a
//! few of them hold all. Against that:
//!
//! - [`until_head`](BulkheadBuilder::until_head), if the work is done with the head;
//! - a time limit for the body, [`body_total`](crate::timeout::TimeoutLayer::body_total). It looks at the clock when the body is
//!   polled: to end a connection whose peer reads nothing at all is up to the server;
//! - further out a [rate limit for each caller](crate::rate_limit::KeyedRateLimit), so that one caller does not get all slots.
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
//! The time of a run is that for which the call had its slot, without its wait; calls that are inconclusive have no part in the
//! means. Waits are those of all calls that did not get a slot at once, whatever became of them. A bulkhead has no transitions: it may be full and available again thousands of times a second.
//!
//! # Metrics
//!
//! | metric | labels |
//! |---|---|
//! | `tower_keep_bulkhead_limit` | `bulkhead`: its name |
//! | `tower_keep_bulkhead_in_flight` | `bulkhead` |
//! | `tower_keep_bulkhead_queued` | `bulkhead` |
//! | `tower_keep_bulkhead_wait_seconds` | `bulkhead` |
//! | `tower_keep_bulkhead_run_seconds` | `bulkhead`, `result`: `done`, `failed`, `inconclusive` |
//! | `tower_keep_bulkhead_rejections_total` | `bulkhead`, `reason`: `full` (no queue), `queue_full`, `wait_limit`, `deadline`, `displaced` |
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
//! A call that is dropped gives its slot, or its place in the queue, back at once.
//!
//! # Panics
//!
//! Calls that wait for a limited time panic outside of a tokio runtime that has a timer.
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
//! A queue, for bursts:
//!
//! ```
//! use std::time::Duration;
//! use tower::{ServiceBuilder, ServiceExt, service_fn};
//! use tower_keep::bulkhead::Bulkhead;
//!
//! # #[tokio::main(flavor = "current_thread", start_paused = true)] async fn main() -> Result<(), tower_keep::BoxError> {
//! let reports = Bulkhead::builder("reports")
//!     .limit(2)
//!     .queue_limit(10)
//!     .wait_limit(Duration::from_millis(250))
//!     .build()?;
//! let service = ServiceBuilder::new().layer(reports.layer().any()).service(service_fn(|id: u32| async move {
//!     tokio::time::sleep(Duration::from_millis(100)).await;
//!     Ok::<_, std::io::Error>(id)
//! }));
//! let (one, two, three) = tokio::join!(
//!     service.clone().oneshot(1),
//!     service.clone().oneshot(2),
//!     service.clone().oneshot(3),
//! );
//! assert!(one.is_ok() && two.is_ok() && three.is_ok());
//! assert_eq!(reports.stats().max_wait, Some(Duration::from_millis(100)));
//! # Ok(()) }
//! ```
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

mod acquire;
mod adaptive_limit;
mod builder;
mod call;
mod counts;
mod deadline;
mod estimate;
mod future;
mod guard;
mod handle;
mod held_permit;
mod inspect;
mod layer;
#[cfg(all(test, tower_keep_loom))]
mod loom_tests;
mod metrics;
mod permit;
mod priority_order;
mod queue;
mod queue_order;
#[cfg(all(test, not(tower_keep_loom)))]
mod queue_tests;
mod recent_run;
mod reject_reason;
mod reservation;
mod run_result;
mod service;
mod settings;
mod shared;
mod slots;
mod stats;
mod wait_rules;
mod waiter;
mod waiting_call;

pub use acquire::AcquireFuture;
pub use builder::BulkheadBuilder;
pub use call::BulkheadFuture;
pub use future::QueueFuture;
pub use handle::Bulkhead;
pub use held_permit::BulkheadPermit;
pub use layer::{BulkheadLayer, BulkheadLayerBuilder};
pub use queue_order::QueueOrder;
pub use service::BulkheadService;
pub use settings::BulkheadSettings;
pub use stats::BulkheadStats;
