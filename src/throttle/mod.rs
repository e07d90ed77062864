//! Adaptive throttles: a client calls a peer less while the peer fails, in proportion to how much it fails.
//!
//! Use one on a client of a peer that is shared by many and may be overloaded: each client by itself reduces what it sends until the
//! peer keeps up, and finds out by itself that it can do more. Unlike a [breaker](mod@crate::breaker), it has no states: a peer that
//! serves half of the calls is sent about what it can serve, not everything or nothing. Do not use it where every call must at
//! least be tried, or where calls are few. Other names for it: adaptive throttling (the SRE book), admission control (Envoy).
//!
//! Place in the stack: on a client inside of the retry, so that each attempt counts, and outside of the breaker.
//!
//! # What happens
//!
//! The throttle counts the calls of the last [`window`](ThrottleBuilder::window) by the *evidence* that they give: how many came, and how many
//! the peer served. A call is rejected with the probability
//!
//! ```text
//! (calls − factor × accepted) / (calls + 1)      at least 0, at most max_rejection_rate
//! ```
//!
//! | the peer serves | with a factor of 2 |
//! |---|---|
//! | all calls, or at least half of them | nothing is rejected |
//! | less | it is sent twice what it serves, however much comes |
//! | nothing | one call in ten is sent, by [`max_rejection_rate`](ThrottleBuilder::max_rejection_rate) |
//! | everything again | less is rejected by and by, as the failures leave the window |
//!
//! | a call | counts as |
//! |---|---|
//! | is served, be it with a client error | accepted, at its head |
//! | fails by the peer or the connection, is answered 429, 503 or the like, times out | failed |
//! | is cancelled, fails by the caller, or is rejected further in | nothing |
//! | is rejected by the throttle | rejected: one of the calls, with [`ThrottleAccounting::All`] |
//! | is in flight | nothing yet |
//!
//! That calls in flight do not count is where this differs from the SRE book, which counts a call when it is sent: a burst of calls to
//! a peer that answers slowly but well is not rejected.
//!
//! Inside of a [prioritizer](crate::priority), a call is rejected by its priority instead of at random: those of the lowest, and as many,
//! whichever of the prioritizer's calls come to this throttle.
//!
//! Rejections are [`Overloaded`](crate::RejectionKind::Overloaded): 503, `UNAVAILABLE`; with a tenth of the window as their retry-after, since
//! the counts change with age no sooner.
//!
//! # Which accounting
//!
//! The calls that reach a peer which can serve C calls, when R come, with a
//! [`max_rejection_rate`](ThrottleBuilder::max_rejection_rate) of 1, and the time it takes after an outage of five minutes until less
//! than a twentieth is rejected, with 0.9 (from tests in the [`simulator`](crate::guide::tuning)):
//!
//! | R, or the window | all calls, factor 2 | all calls, factor 1.1 | admitted calls only, factor 1.1 |
//! |---|---|---|---|
//! | 2 C | 2.0 C | 1.1 C | 1.5 C |
//! | 10 C | 2.0 C | 1.1 C | 3.3 C |
//! | 100 C | 2.0 C | 1.1 C | 10.6 C |
//! | 10 s | 18 s | | |
//! | 30 s, the default | 54 s | | |
//! | 120 s | 210 s | | 61 s |
//!
//! Counting all calls bounds the load; counting admitted ones only recovers faster. A largest rejection rate of 0.9 lets 10 % of R
//! through at least. With one of 1, nobody finds out that the peer is back but by chance: the recovery takes two to five times as long
//! at a factor of 2, and did not come within twenty minutes at 1.1.
//!
//! # Settings
//!
//! [`Throttle::apply`] changes all settings while the throttle is in use; the counts stay.
//!
//! # Metrics
//!
//! | metric | labels |
//! |---|---|
//! | `tower_keep_throttle_rejections_total` | `throttle`: its name |
//!
//! The [registry](crate::registry) has the kind `throttle`, with the counts and the fraction that is rejected; its subscribers, and the log,
//! hear of the first rejection, and of the first window without one.
//!
//! # Clones
//!
//! Clones of a handle, and all layers and services made from it, are the same throttle.
//!
//! # Cancellation
//!
//! A call that is dropped does not count, unless a time limit drops it that the peer had a fair share of.
//!
//! # Example
//!
//! ```
//! use tower_keep::throttle::Throttle;
//!
//! let layer = Throttle::new("ledger").layer().client();
//! # let _ = layer;
//! ```
//!
//! # Customized
//!
//! ```
//! use std::time::Duration;
//! use tower_keep::throttle::{Throttle, ThrottleAccounting};
//!
//! let throttle = Throttle::builder("ledger")
//!     .accounting(ThrottleAccounting::Admitted)
//!     .factor(1.1)
//!     .window(Duration::from_secs(10))
//!     .build()?;
//!
//! // Without a service.
//! match throttle.try_acquire() {
//!     Ok(permit) => permit.complete(tower_keep::Outcome::Success),
//!     Err(rejection) => println!("come back in {:?}", rejection.retry_after()),
//! }
//! # Ok::<_, tower_keep::ConfigError>(())
//! ```

mod accounting;
mod builder;
mod call;
mod guard;
mod handle;
mod inspect;
#[cfg(all(test, tower_keep_loom))]
mod loom_tests;
mod metrics;
mod operator_settings;
mod permit;
mod ranks;
mod settings;
mod shared;
mod stats;
pub(crate) mod throttled_call;
pub(crate) mod window;
pub(crate) mod window_report;
#[cfg(test)]
mod window_tests;

pub use accounting::ThrottleAccounting;
pub use builder::ThrottleBuilder;
pub use call::ThrottleFuture;
pub use handle::Throttle;
pub use permit::ThrottlePermit;
pub use settings::ThrottleSettings;
pub use stats::ThrottleStats;
