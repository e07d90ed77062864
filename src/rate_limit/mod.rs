//! Rate limits: at most so many calls per time.
//!
//! Use one on a server to share it among callers, a limit for each [key](KeyedRateLimit): a tenant, an address, a token. Use
//! one on a client to stay within the quota of a peer. Do not use it to protect a service from overload as such: what a
//! service can do at once depends on how long calls take, which a number per second does not know. Other names for it: rate
//! limiter, token bucket; this one is the *generic cell rate algorithm* (GCRA), which governor uses as well.
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
//! [`RateAlgorithm`] has fixed and sliding windows as well, for peers that count so.
//!
//! # Waiting
//!
//! [`RateLimit::layer`] rejects what there is no room for. In a [`RateLimitLayer`] calls wait for
//! [`max_wait`](RateLimitBuilder::max_wait) at most: on a client that may be slow, such as a job that writes mails; rarely on a server,
//! whose callers would fill memory with what waits. While a call waits, it holds nothing of the wrapped service. Attempts of a
//! [pipeline](crate::pipeline::PipelineBuilder::rate_limit) wait as well.
//!
//! # Clients
//!
//! A peer knows its limit best. When it answers 429 or `RESOURCE_EXHAUSTED`, the limit of a client is emptied, and the next call is
//! admitted after the `Retry-After`, `RetryInfo` or pushback that came with it, at most after
//! [`max_pause`](RateLimitBuilder::max_pause). So calls that follow are rejected here instead of there. A rejection by another guard
//! of this process empties nothing. The peer may say so in the head, in gRPC's trailers, or as an error such as a `tonic::Status`;
//! only a guard sees it at the end of a gRPC-Web body, which a [`RateLimitLayer`] does not read.
//!
//! # Weights
//!
//! Calls that cost the peer more than others count as several: [`check_n`](RateLimit::check_n) without a service, and
//! [`weighted_by`](KeyedRateLimitGuard::weighted_by) with the weight of each request, such as the rows of a batch.
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
//! | `tower_keep_rate_limit_overflows_total` | the same: calls with a new key for which there was [no room](KeyedRateLimit#a-flood-of-keys) |
//!
//! The [registry](crate::registry) has the kinds `rate_limit` and `keyed_rate_limit`, with the calls that were admitted and those there is room for.
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
//!
//! A limit for each client, by its address, in an axum application:
//!
//! ```
//! # #[cfg(feature = "axum")] {
//! use std::time::Duration;
//! use axum::{Router, routing::get};
//! use tower_keep::{RateLimit, context::TrustedProxies, observe, rate_limit::KeyedRateLimit};
//!
//! let template = RateLimit::builder("clients").rate(10, Duration::from_secs(1)).burst(20);
//! let clients = KeyedRateLimit::builder(template).max_keys(50_000).build()?;
//! let by_address = clients.keyed_by_client_address(TrustedProxies::none());
//! let app: Router = Router::new()
//!     .route("/quotes", get(async || "a quote"))
//!     .layer(by_address.layer().server())
//!     .layer(observe("quotes").server()); // outermost: rejected calls are tracked as well
//! // Served with `into_make_service_with_connect_info::<SocketAddr>()`: callers without an address share one bucket.
//! # let _ = app;
//! # }
//! # Ok::<_, tower_keep::ConfigError>(())
//! ```

mod algorithm;
#[cfg(test)]
mod algorithm_tests;
mod body;
mod bucket;
mod builder;
mod control;
mod fields;
mod fixed_window;
mod future;
mod gcra;
mod guard;
mod handle;
mod inspect;
mod keyed;
mod layer;
mod limit_metrics;
#[cfg(all(test, tower_keep_loom))]
mod loom_tests;
mod observer;
mod operator_settings;
mod permit;
mod quota;
mod reservation;
mod service;
mod settings;
mod shared;
mod shared_quota;
mod sliding_window;
mod target;
mod ticks;
mod too_many;
mod wait;
mod wait_limit;
mod wrap_body;

pub use algorithm::RateAlgorithm;
pub use body::RateLimitBody;
pub use builder::RateLimitBuilder;
pub use fields::RateLimitFields;
pub use future::RateLimitFuture;
pub use handle::RateLimit;
#[cfg(feature = "axum")]
pub use keyed::RouteKey;
pub use keyed::{
    ClientAddressKey, ClosureKey, HeaderKey, KeyedRateLimit, KeyedRateLimitBuilder,
    KeyedRateLimitGuard, KeyedRateLimitPermit, RefKey, WeightedKey,
};
pub use layer::RateLimitLayer;
pub use permit::RateLimitPermit;
pub use reservation::Reservation;
pub use service::RateLimitService;
pub use settings::RateLimitSettings;
pub use wait::RateLimitWait;
