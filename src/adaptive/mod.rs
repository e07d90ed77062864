//! Limits that adapt themselves: a [bulkhead](crate::bulkhead) whose limit follows what the peer can take.
//!
//! The number of calls that a peer can take at once is seldom known, and changes with its size, its neighbors and its data. A limit that is
//! set by hand is too high on the day when it matters, or too low on all others. This one is found: it grows while more calls in
//! flight bring more throughput, and falls once they only bring longer times.
//!
//! It is an option of the bulkhead, so that all of that stays as it is: slots, queue, permits, statistics, the layer, the part of
//! a [pipeline](crate::pipeline). Use it where the peer has a limit of its own and calls are many: below some 50 calls in
//! the time that a change takes, there is nothing to learn from. Where calls have to be limited to a number that is known (a
//! pool of connections, a license), use a plain bulkhead.
//!
//! # What is learned from
//!
//! | the call | says |
//! |---|---|
//! | is answered ([healthy](crate::call::Evidence::Healthy)), 4xx included | the time to its head, or all of it where there is none. The time of an upload, or for which a caller reads the body, is the caller's and does not count |
//! | is rejected by the peer (429, 503, `RESOURCE_EXHAUSTED`), or runs into a time limit | the peer is overloaded |
//! | fails otherwise, is cancelled, or is rejected further in or by the bulkhead itself | nothing |
//!
//! The calls of a window are judged together: at least 50, and at least those of one second, or of twice the shortest time if
//! that is longer, up to 30 s. An overload counts once one call of a hundred tells of it. Whatever the algorithm says, the limit
//! stays between `min` and `max`, and does not grow while less than half of it is used: an idle night is no reason to allow more.
//!
//! # Algorithms
//!
//! | algorithm | learns from | for |
//! |---|---|---|
//! | [`Correlation`] (default) | p90 against that of the last windows, guarded by whether throughput still grows | most peers |
//! | [`Gradient2`] | mean against that of the last minutes, overloads | peers that tell of their overload. It takes a lasting overload for what is usual |
//! | [`Vegas`] | mean against the shortest time, overloads | peers whose calls all take about the same time |
//! | [`Aimd`] | overloads, or a fixed time | peers that tell of their overload; easy to foresee |
//!
//! Others implement [`Limit`]. In simulations of a peer that gets twice as many calls as it can serve, the default is within a fifth of
//! the knee on average, and between 0.8 and 1.6 times of it, from 100 s after a change on: with half the capacity, three times the
//! latency and back again, and where one call of twenty takes ten times as long as the others (`tests/it/adaptive`). That is of
//! knees of 25 and 50 calls. Around one of ten a step of one call is coarse: the limit is 1.0 to 1.4 times the knee on average, and
//! goes up to 2.5 times, seldom 5 times, before it falls again. The [tuning guide](crate::guide::tuning) shows the course of one.
//!
//! # Reports
//!
//! Each change is an event of `tracing` at `DEBUG`. One of at least a quarter, and of two calls, since the last report is
//! reported at `INFO`, and to subscribers of the [registry](crate::registry::subscribe) with [both
//! limits](crate::registry::GuardTransition::limits) and a reason: `peer_overloaded`, `calls_slower` or `peer_keeps_up`. A
//! bulkhead reports at most once in 10 s, and what changes meanwhile afterwards, if it still holds. The gauge
//! `tower_keep_bulkhead_limit` always has the limit of now.
//!
//! # Clones
//!
//! The limit is that of the bulkhead, which its clones share.
//!
//! # Cancellation
//!
//! A call that is dropped says nothing about the limit.
//!
//! # Example
//!
//! ```
//! use tower::{ServiceBuilder, ServiceExt, service_fn};
//! use tower_keep::{Bulkhead, adaptive::AdaptiveSettings};
//!
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), tower_keep::BoxError> {
//! let ledger = Bulkhead::builder("ledger").limit(20).adaptive(AdaptiveSettings::default()).build()?;
//! let service = ServiceBuilder::new()
//!     .layer(ledger.layer().any())
//!     .service(service_fn(|id: u32| async move { Ok::<_, std::io::Error>(id) }));
//! assert_eq!(service.oneshot(7).await?, 7);
//! assert_eq!(ledger.limit(), 20);
//! # Ok(()) }
//! ```

mod adaptation;
mod aimd;
mod correlation;
mod correlation_window;
mod gradient2;
mod limit;
mod limit_report;
mod limit_reporter;
mod limit_sample;
mod moving_mean;
mod samples;
mod settings;
mod vegas;
mod window;

pub(crate) use self::{
    adaptation::{Adaptation, Adapted, Load},
    limit_report::LimitReport,
    limit_sample::LimitSample,
};
pub use self::{
    aimd::Aimd,
    correlation::Correlation,
    gradient2::Gradient2,
    limit::Limit,
    settings::{AdaptiveSettings, Algorithm},
    vegas::Vegas,
    window::Window,
};
