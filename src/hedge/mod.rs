//! Hedges: a second request is sent where the first takes long, and the one that is answered first wins.
//!
//! Use one on a client of a peer that is mostly fast and sometimes slow: behind a load balancer, on replicas, with pauses. Do not use it where
//! work must not be done twice, where a slow answer is slow for every replica (a large query), or where calls are few: there, a percentile says
//! little. Other names for it: backup requests, speculative retries, tied requests (which also cancel each other on the servers).
//!
//! Place in the stack: inside of the retry, outside of throttle, breaker and the attempt's time limit, each of which sees every attempt.
//!
//! # What happens
//!
//! | an attempt | then |
//! |---|---|
//! | succeeds, or fails by the caller's fault | its result is that of the call; all others are dropped at once |
//! | has no result after the [delay](#the-delay) | a hedge is sent beside it, and the next one after another delay, up to [`max_hedges`](HedgeBuilder::max_hedges) |
//! | fails: `Failure`, `Overload`, `TimedOut`; over gRPC with one of [`grpc_codes`](HedgeBuilder::grpc_codes) | the next one is sent at once; if there is none, the others are waited for |
//! | fails with any other gRPC code, or in a way that lasts (a bad certificate) | its result is that of the call (*fatal* in gRPC's proposal A6) |
//! | fails, and the peer asks to wait | the next one is sent after that, while another runs; if none does, the failure is the result, and the wait is for a [retry](crate::retry) further out |
//! | is rejected by a guard of this process | it is no result while another runs |
//!
//! If all fail, the failure of the last is the result, as it would be without hedges; a rejection by this process gives way to what a peer has said.
//!
//! An attempt is judged by the head of its response: its body belongs to the winner, and no hedge is sent once it has begun.
//!
//! # The delay
//!
//! A percentile of the attempts of the last minute by default: the 95th, so that one call in twenty is hedged, which is 5 % more load. It is unknown
//! while there are fewer than 50 samples; then only failures are followed by another attempt. Or a [fixed time](HedgeBuilder::delay).
//!
//! An attempt that was dropped, since another one was faster or since the caller left, and one that failed count as *censored* samples: they would have taken
//! longer (Kaplan and Meier's estimator). If they were left out, each hedge that wins would hide a slow attempt, the percentile would fall, and more calls
//! would be hedged. If more than one in twenty gets no answer, the percentile is unknown. A percentile is rounded up to a bucket of the histogram, at most
//! 3 %, and to the millisecond of timers.
//!
//! All calls of a hedge are one distribution: give calls that take times of another order a hedge of their own.
//!
//! # What a hedge may cost
//!
//! | a hedge is not sent | label `reason` |
//! |---|---|
//! | the [budget](HedgeBuilder::budget) is used up: 20 % of the calls of the last 10 s and 10 a second, or what is left of the budget that is [shared with a retry](HedgeBuilder::retry_budget) | `budget` |
//! | the peer fails: attempts take and give tokens as in gRPC's throttle (A6), which ends hedges where there is more than one failure for ten successes. In a total outage, four hedges at most are sent after failures, then none | `failing` |
//! | the deadline leaves no time | `deadline` |
//! | the caller is still sending the request; it is tried again after another delay | `upload` |
//! | the request is longer than what is [kept](HedgeLayer::max_replay_bytes) | `too_long` |
//! | the service is not ready, or never becomes so | `not_ready` |
//!
//! The call then goes on with what runs. Attempts that time out count as failures of the peer, also if a time limit around the call drops all of them.
//! A breaker inside rejects hedges while its circuit is open; that costs no budget.
//!
//! # Repeatable requests
//!
//! As for [retries](crate::retry#repeatable-requests): requests with an idempotent method or an `Idempotency-Key`, or those that
//! [`hedge_if_request`](HedgeLayer::hedge_if_request) allows. A hedge is sent with a copy of the body, once all of it is here. Hedges have their [`Attempt`](crate::retry::Attempt)
//! in the request's extensions, their number in the context, `grpc-previous-rpc-attempts`, and a `grpc-timeout` reduced to what is left. A response of a call that took
//! more than one attempt has the one that won in its extensions, with [how many](crate::retry::Attempt::started) there were: a 412 to a `PUT` with `If-None-Match` may
//! then mean that another attempt succeeded.
//!
//! # Losers
//!
//! A loser is dropped in the same poll in which the winner's head is seen: over HTTP/2 its stream is reset, over HTTP/1.1 its connection is closed. It ends as `Cancelled`,
//! without evidence: it counts neither against breakers, however long it lasted, nor in throttles or limits that adapt themselves.
//!
//! # Settings
//!
//! [`Hedge::apply`] changes all settings while the hedge is in use. 0 [hedges](HedgeBuilder::max_hedges) switch it off.
//!
//! # What it costs
//!
//! A call that is answered in time allocates nothing for closures and for requests that clone without; a repeatable HTTP request costs what a [retry](crate::retry#what-it-costs)
//! costs. A call that waits arms a timer. With a percentile, the clock is read when a call begins and when it ends, and a short lock is tried for the sample, which is left out if another
//! thread has it. A hedge allocates its future. A hedge handle takes 16 KiB.
//!
//! # Metrics
//!
//! | metric | labels | counts |
//! |---|---|---|
//! | `tower_keep_hedges_total` | `hedge`: the name | attempts that were sent beside the first |
//! | `tower_keep_hedges_won_total` | `hedge` | calls that succeeded by a hedge |
//! | `tower_keep_not_hedged_total` | `hedge`, `reason`: see [above](#what-a-hedge-may-cost) | hedges that were due and were not sent |
//!
//! The [registry](crate::registry) has the kind `hedge`, with these counts, the delay and the number of samples; its state is `on`, `learning` while the percentile is unknown, or `off`.
//!
//! # Clones
//!
//! Clones of a handle, and all layers and services made from it, are the same hedge.
//!
//! # Cancellation
//!
//! A call that is dropped drops all of its attempts, and gives back what was reserved for the next. Its attempts count as censored samples. A panic of an attempt is that of the call.
//!
//! # Example
//!
//! ```
//! use tower_keep::hedge::{Hedge, HedgeLayer};
//!
//! let layer = HedgeLayer::client(Hedge::new("quotes"));
//! # let _ = layer;
//! ```
//!
//! # Customized
//!
//! ```
//! use std::time::Duration;
//! use tower::ServiceBuilder;
//! use tower_keep::{Retry, hedge::{Hedge, HedgeLayer}, retry::RetryLayer};
//!
//! # #[tokio::main(flavor = "current_thread", start_paused = true)] async fn main() -> Result<(), tower_keep::BoxError> {
//! let retry = Retry::new("replicas");
//! let hedge = Hedge::builder("replicas")
//!     .delay(Duration::from_millis(20))
//!     .max_hedges(2)
//!     .retry_budget(&retry) // one budget for both
//!     .build()?;
//! let layers = ServiceBuilder::new()
//!     .layer(RetryLayer::any(retry))
//!     .layer(HedgeLayer::any(hedge.clone()));
//! # let _ = layers;
//!
//! // Without a service.
//! let row = hedge
//!     .run(|attempt| async move {
//!         let replica = attempt.number();
//!         if replica == 1 { std::future::pending().await }
//!         Ok::<_, std::io::Error>(replica)
//!     })
//!     .await?;
//! assert_eq!(row, 2);
//! # Ok(()) }
//! ```

mod attempt_clock;
mod builder;
mod call;
#[cfg(feature = "testing")]
mod driven_hedge;
mod future;
mod handle;
mod hedge_attempt;
mod inspect;
mod latencies;
#[cfg(test)]
mod latencies_tests;
mod layer;
mod metrics;
mod next_hedge;
mod not_hedged;
mod operator_settings;
mod plan;
mod service;
mod settings;
mod shared;
mod stats;

pub use builder::HedgeBuilder;
#[cfg(feature = "testing")]
pub(crate) use driven_hedge::{AfterAttempt, DrivenHedge};
pub use future::HedgeFuture;
pub use handle::Hedge;
pub use layer::HedgeLayer;
pub use service::HedgeService;
pub use settings::HedgeSettings;
pub use stats::HedgeStats;
