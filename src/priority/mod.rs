//! Priorities: who is shed when there is no room for all calls.
//!
//! Use a [`Prioritizer`] where calls differ in how much they matter, and where an overload can come: on a server around what limits its
//! calls ([bulkhead](crate::bulkhead), [adaptive limit](crate::adaptive)), on a client around a [throttle](crate::throttle). Without one, an overload is
//! shared by all alike, and so each call of a critical class fails as often as one of an export. Do not use it where all calls matter the same:
//! then a limit alone does the same for less. Other names for it: criticality (the SRE book), overload control (WeChat's DAGOR), load
//! shedding by priority.
//!
//! Place in the stack: outside of what rejects by it; on a server inside of tracking, on a client outside of the retry, so that all attempts
//! of a call are of one priority.
//!
//! # What happens
//!
//! A [`Priority`] is one of five [classes](PriorityClass) and, within that, one of a hundred levels.
//!
//! | a call | gets its priority from |
//! |---|---|
//! | [`layer`](Prioritizer::layer) | the work around it: its [`Context`](crate::Context), or a prioritizer further out |
//! | [`by_extension`](Prioritizer::by_extension) | a [`Priority`] in the extensions of the request, or the context there |
//! | [`by_header`](Prioritizer::by_header) | the same, else `x-request-priority` of a trusted caller: `high` or `high;level=42` |
//! | [`by`](Prioritizer::by) | a closure that looks at the request, of whatever type |
//! | that has none by these | the work around it, else the [default class](PrioritizerBuilder::default_class) |
//! | without a level | a random level, which it keeps in all that it calls |
//!
//! The prioritizer knows the distribution of the priorities of the last 1,000 to 2,000 calls, and so where a call stands among others: its
//! *quantile*, the share of recent calls that are shed before it. That decides
//!
//! | in | who is rejected |
//! |---|---|
//! | the prioritizer itself | while calls find no room further in: the lowest, as many as do not get through |
//! | a bulkhead with [`QueueOrder::Priority`](crate::bulkhead::QueueOrder::Priority), adaptive or not | the lowest of those that wait, once the queue is full; a slot that becomes free goes to the highest |
//! | a throttle | the lowest, as many as it would reject anyway |
//!
//! A call was *pushed back* if it was rejected further in ([`Full`](crate::RejectionKind::Full) or
//! [`Overloaded`](crate::RejectionKind::Overloaded)), answered 429, 503 or `RESOURCE_EXHAUSTED`, or ran into a time limit of this process. Rate limits
//! and open circuits push nothing back. The fraction that is shed is that of a throttle which counts all calls, with what got through as
//! accepted:
//!
//! ```text
//! (calls − factor × got through) / (calls + 1)      at least 0, at most max_shed_rate
//! ```
//!
//! A short burst of calls that are pushed back is compared with all that got through in the window. Until the first one is pushed back,
//! calls that get through are counted without a look at the clock, and so as if they had come evenly.
//!
//! Rejections are [`Overloaded`](crate::RejectionKind::Overloaded): 503, `UNAVAILABLE`; with the [`window`](PrioritizerBuilder::window) as their
//! retry-after.
//!
//! # The floor
//!
//! No class starves: each gets at least the part [`floor`](PrioritizerBuilder::floor) of what it would get if no call had a priority. With the
//! default of 0.05, and room for a third of the calls, that is one call of sixty. For this, a few calls, `floor / (1 - floor)` of them, stand
//! no lower than another call that is drawn. It is a probability and no promise for a single call, and it is taken from the classes at
//! the threshold: no call stands lower for it. Some of those that it admits wait in vain in a queue, as others at the threshold do: hence
//! 1.3 and 1.6 % instead of 1.67 % below.
//!
//! # What it is worth
//!
//! A simulation with these layers (`tests/it/priority/overload.rs`) shows it: a service that works on 50 calls at once and takes 500 a second gets
//! 1,500, whose callers wait for half a second. A tenth of them is critical, a fifth high, three tenths normal, a fifth each low and bulk.
//!
//! | limited by | critical | high | normal | low | bulk | used |
//! |---|---|---|---|---|---|---|
//! | nothing: calls queue up, and all responses come too late | 0 % | 0 % | 0 % | 0 % | 0 % | 0 % |
//! | a bulkhead with a queue, without priorities | 33 % | 33 % | 32 % | 34 % | 34 % | 100 % |
//! | a prioritizer and a bulkhead with a queue by priority | 100 % | 99.7 % | 9 % | 1.3 % | 1.6 % | 100 % |
//! | the same, whose limit adapts itself and begins at 20 | 100 % | 48 % | 0.9 % | 0.8 % | 0.9 % | 61 % |
//! | a prioritizer (`factor` 1.1) and a bulkhead without a queue | 90 % | 87 % | 8 % | 1.1 % | 1.4 % | 89 % |
//! | a prioritizer and a throttle (`factor` 1.1), where the peer answers 503 by itself | 92 % | 85 % | 4 % | 1.2 % | 1.4 % | 84 % |
//!
//! The queue makes the difference. Without one, whoever comes while no slot is free is rejected, whatever its priority is, and so is
//! whoever a peer rejects that knows nothing of priorities; there, a smaller factor leaves more room.
//!
//! # Trust
//!
//! A caller that may ask for a high priority will. By default no header is read; [`by_header`](Prioritizer::by_header) reads that of callers that a
//! [`Trust`](crate::context::Trust) names, and removes it from all others. [`Propagate`](crate::context::Propagate) never sends on a header that was copied. A
//! value is accepted only as it is sent, and no value makes anything grow: there are 500 priorities.
//!
//! # Settings
//!
//! [`Prioritizer::apply`] changes all settings while the prioritizer is in use; what it knows stays.
//!
//! # Metrics
//!
//! | metric | labels |
//! |---|---|
//! | `tower_keep_priority_calls_total` | `prioritizer`: its name, `class` |
//! | `tower_keep_priority_shed_total` | `prioritizer`, `class` |
//! | `tower_keep_priority_pushed_back_total` | `prioritizer`, `class` |
//!
//! The [registry](crate::registry) has the kind `prioritizer`, with the fraction that is shed and what became of each class; its subscribers, and the
//! log, hear of the first call that is shed, and of the first window without one.
//!
//! # Clones
//!
//! Clones of a handle, and all layers and services made from it, are the same prioritizer.
//!
//! # Tasks
//!
//! A spawned task has the priority of its call where it has its [context](crate::context::in_context), and the request had one when it came to
//! the prioritizer; else it has none.
//!
//! # Cancellation
//!
//! A call that is dropped says nothing about the load, unless a time limit of this process drops it. Its drop has its priority, as its polls
//! have.
//!
//! # Panics
//!
//! A call whose closure panics is admitted, and has no priority. Work that panics had room.
//!
//! # Example
//!
//! ```
//! use tower_keep::Prioritizer;
//!
//! let layer = Prioritizer::new("orders").by_extension().layer().server();
//! # let _ = layer;
//! ```
//!
//! # Customized
//!
//! ```
//! use std::time::Duration;
//! use tower::{ServiceBuilder, ServiceExt, service_fn};
//! use tower_keep::{Bulkhead, bulkhead::QueueOrder, priority::{Prioritizer, PriorityClass}};
//!
//! # #[tokio::main(flavor = "current_thread", start_paused = true)] async fn main() -> Result<(), tower_keep::BoxError> {
//! let jobs = Prioritizer::builder("jobs")
//!     .default_class(PriorityClass::Bulk)
//!     .floor(0.1)
//!     .build()?;
//! let slots = Bulkhead::builder("jobs")
//!     .limit(4)
//!     .queue_limit(16)
//!     .queue_order(QueueOrder::Priority)
//!     .wait_limit(Duration::from_secs(5))
//!     .build()?;
//! let is_small = |rows: &u32| (*rows < 1_000).then_some(PriorityClass::High);
//! let service = ServiceBuilder::new()
//!     .layer(jobs.by(is_small).layer().any())
//!     .layer(slots.layer().any())
//!     .service(service_fn(|rows: u32| async move { Ok::<_, std::io::Error>(rows) }));
//! assert_eq!(service.oneshot(7).await?, 7);
//! assert_eq!(jobs.stats().class(PriorityClass::High).admitted, 1);
//! # Ok(()) }
//! ```

mod arrivals;
mod builder;
mod call;
mod counts;
mod distribution;
mod guard;
mod handle;
mod inspect;
mod lanes;
mod metrics;
mod operator_settings;
mod permit;
mod pushback;
mod settings;
mod shared;
mod source;
mod stats;

pub use self::{
    builder::PrioritizerBuilder,
    call::PrioritizerFuture,
    guard::PrioritizerGuard,
    handle::Prioritizer,
    permit::PriorityPermit,
    settings::PrioritizerSettings,
    source::{ClosurePriority, ExtensionPriority, HeaderPriority, PrioritySource},
    stats::{ClassStats, PrioritizerStats},
};
pub use crate::context::{
    invalid_priority::InvalidPriority, priority::Priority, priority_class::PriorityClass,
};
