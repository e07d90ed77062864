//! Rate limits: at most so many calls per time.
//!
//! Use one on a server to share it among callers, a limit for each key: a tenant, an address, a token. Use
//! one on a client to stay within the quota of a peer. Do not use it to protect a service from overload as such: what a
//! service can do at once depends on how long calls take, which a number per second does not know. Other names for it: rate
//! limiter, throttle, token bucket; this one is the *generic cell rate algorithm* (GCRA), which governor uses as well.
//!
//! Place in the stack: on a server inside of context, tracking and deadline, and outside of all that is expensive; on a client
//! inside of the retry, so that each attempt counts, and inside of the breaker, so that calls which are rejected there take
//! nothing.
//!
//! # What happens
//!
//! A limit is a bucket of calls. It is full at first, with [`burst`](RateLimitBuilder::burst) calls. Each call takes one, and
//! one comes back in each interval of the [`rate`](RateLimitBuilder::rate). So any stretch of time sees at most the burst and what
//! the rate allows for that time: there is no window at whose edge twice as many pass. The state is one number, which a call
//! changes by one compare-and-swap.
//!
//! | a call comes | and then |
//! |---|---|
//! | there is room | it is admitted |
//! | there is none | it is rejected, with the time after which there will be room: [`RateLimited`](crate::RejectionKind::RateLimited), 429 with `Retry-After`, `RESOURCE_EXHAUSTED` with `grpc-retry-pushback-ms` |
//! | there is none, and calls [wait](RateLimit::wait) | its place is reserved, if its time comes within the wait and before the caller's deadline; else it is rejected at once |
//! | it is dropped while it waits | its place is put back, if nobody waits behind it |
//! | it weighs more than the burst | it is rejected, without a retry-after |
//! | the limit is in [shadow mode](RateLimitBuilder::shadow) | it is admitted, and counted as if it were rejected |
//!
//! A call that was admitted stays counted, however it ends. Responses of a server have the fields `RateLimit-Policy` and
//! `RateLimit`, those to rejected calls only or [all](RateLimitFields).
//!
//! # Clients
//!
//! A peer knows its limit best. When it answers 429 or `RESOURCE_EXHAUSTED`, the limit of a client is emptied, and the next call is
//! admitted after the `Retry-After`, `RetryInfo` or pushback that came with it, at most after
//! [`max_pause`](RateLimitBuilder::max_pause). So calls that follow are rejected here instead of there. A rejection by another guard
//! of this process empties nothing.
//!
//! # Settings
//!
//! [`RateLimit::apply`] changes rate and burst while the limit is in use; what has been used stays used.
//!
//! # Metrics
//!
//! | metric | labels |
//! |---|---|
//! | `tower_keep_rate_limit_rejections_total` | `rate_limit`: its name |
//! | `tower_keep_rate_limit_waits_total` | the same: calls that were admitted for later |
//! | `tower_keep_rate_limit_emptied_total` | the same: answers of a peer that it is called too often |
//!
//! The [registry](crate::registry) has the kind `rate_limit`, with the calls that were admitted and those there is room for.
//! Keys are never labels.
//!
//! # Clones
//!
//! Clones of a handle, and all layers and services made from it, are the same limit.
//!
//! # Cancellation
//!
//! A call that is dropped after it was admitted stays counted. One that is dropped while it waits puts its place back if
//! nobody waits behind it.
//!
//! # Example
//!
//! ```
//! use tower_keep::rate_limit::RateLimit;
//!
//! let layer = RateLimit::new("orders").layer().server();
//! # let _ = layer;
//! ```
//!
//! # Customized
//!
//! ```
//! use std::time::Duration;
//! use tower_keep::{GuardLayer, Track, rate_limit::{RateLimit, RateLimitFields}};
//!
//! let limit = RateLimit::builder("exports")
//!     .rate(5, Duration::from_secs(60))
//!     .burst(2)
//!     .fields(RateLimitFields::Always)
//!     .build()?;
//!
//! // One layer for both guards; rejected calls are tracked as well.
//! let layer = GuardLayer::server((Track::new("exports"), limit.clone()));
//! # let _ = layer;
//!
//! // Without a service.
//! if let Err(rejection) = limit.check() {
//!     println!("come back in {:?}", rejection.retry_after());
//! }
//! # Ok::<_, tower_keep::ConfigError>(())
//! ```

mod bucket;
mod builder;
mod fields;
mod gcra;
mod guard;
mod handle;
mod inspect;
mod limit_metrics;
#[cfg(all(test, tower_keep_loom))]
mod loom_tests;
mod permit;
mod reservation;
mod settings;
mod shared;
mod ticks;
mod too_many;
mod wait;

pub use builder::RateLimitBuilder;
pub use fields::RateLimitFields;
pub use handle::RateLimit;
pub use permit::RateLimitPermit;
pub use reservation::Reservation;
pub use settings::RateLimitSettings;
pub use wait::RateLimitWait;
