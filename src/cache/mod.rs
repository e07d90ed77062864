//! Caches: results that are kept and given again, for plain services, closures and HTTP.
//!
//! Use one where the same is asked for again and may be a little old: it takes calls off a peer, and with
//! [`stale_if_error`](CacheBuilder::stale_if_error) it bridges the time in which the peer is unhealthy. Do not use one where an old result
//! does harm, nor for results that belong to one caller.
//!
//! Place in the stack: on a client outside of [coalescing](crate::coalesce), the retry and the breaker, so that an open circuit is answered
//! with what is kept; on a server inside of authentication and rate limits.
//!
//! # What happens
//!
//! | there is | the call |
//! |---|---|
//! | a fresh result | is not made: the result is given again |
//! | a stale result, and `stale_if_error` allows its age | is made; if it fails, the result takes the place of the failure |
//! | no result, or one that is older | is made |
//!
//! A success is kept, a failure never is. For plain services and closures each `Ok` is a success, and stays fresh for the
//! [`ttl`](CacheBuilder::ttl). A failure is what a [fallback](mod@crate::fallback) responds to: `Failure`, `Overload`, `TimedOut`,
//! `Rejected`, such as by an open circuit, but no error of the caller's.
//!
//! Results stay within two bounds, their [number](CacheBuilder::max_entries) and their [memory](CacheBuilder::max_bytes), whatever keys
//! callers make up: a result counts for at least `max_bytes / max_entries`. One that is asked for again stays longer than a flood of those
//! that are not. The store is the crate `quick_cache`, which evicts by a variant of S3-FIFO and Clock-PRO; it is a third of the code of
//! `moka`, adds one crate to those that are there (moka nine or more), and starts no thread. It has no expiry, which a cache that gives
//! stale results would not use: old results are found out when they are asked for, and are evicted as they are not.
//!
//! # Over HTTP
//!
//! [`HttpCacheLayer`] is a *shared* cache by RFC 9111, on clients and on servers:
//!
//! | | |
//! |---|---|
//! | requests | `GET` without a body, `Range`, `Upgrade` and conditions (`If-None-Match` ..). All others pass through |
//! | responses | 200, 203, 204, 300, 301 and 308 that say for how long they are fresh: `s-maxage`, `max-age`, or `Expires`. There is no heuristic, and [`ttl`](CacheBuilder::ttl) counts for nothing |
//! | not kept | `no-store`, `private`, `no-cache` (there is no revalidation), `Vary: *`, `Set-Cookie`; to requests with `Authorization` or `Cookie`, unless the response says `public`, `s-maxage` or `must-revalidate`; a body that breaks off, has another length than it said, or is longer than [`max_body_bytes`](CacheBuilder::max_body_bytes) |
//! | key | scheme, host and path with query; of each URI up to eight responses, selected by the headers that `Vary` names. A request that names several hosts has no key |
//! | `Age` | of the peer and its `Date` count, and so does the time of the call; each response that was kept has one |
//! | of the request | `no-store`, `no-cache`, `max-age`, `min-fresh`, `only-if-cached` (504) and HTTP/1.0's `Pragma` are obeyed. `max-stale` is not needed to be |
//! | a method that is not safe | if it succeeds, what is kept of its URI is removed, of every scheme, since HTTP/1.1 names none to a server. Responses on their way that were asked for before are not kept |
//! | a response that is not kept | removes what is kept of its URI if it is final, or 404 or 410, and not for one caller (`Authorization`, `Cookie`, `Set-Cookie`): the peer has something else now |
//! | failures | a stale response is given for as long as the larger of [`stale_if_error`](CacheBuilder::stale_if_error) and its own `stale-if-error`, but never with `must-revalidate`, `proxy-revalidate` or `s-maxage` |
//! | what is invalid | is read in the careful way: a lifetime that is no number is 0, of two the shorter one counts, a `Cache-Control` of more than 4 KiB, or with a quote that is not closed or a name that is none, is `no-store` |
//!
//! Bodies are handed on as they come, and kept when they have been read to their end, or to their `Content-Length`. Those on their way
//! take at most as much memory as those that are kept, and further ones are not kept. Extensions of a response are not kept.
//!
//! A header that changes the response and is not named by `Vary` is no part of the key, so one caller could choose what others get: name
//! it there, such as `X-Forwarded-Host` or an API key of your own, or say `private`.
//!
//! gRPC calls are `POST`s, and pass through. Keep their messages instead: `cache.run(id, async { client.get(id).await })`.
//!
//! # Settings
//!
//! [`Cache::apply`] changes all settings while the cache is in use. New times count for what is kept already; new bounds empty it.
//!
//! # Metrics
//!
//! | metric | labels |
//! |---|---|
//! | `tower_keep_cache_events_total` | `cache`: its name; `event`: `hit`, `stale`, `miss`, `stored`, `bypassed` |
//!
//! The [registry](crate::registry) has the kind `cache`, with the same counts, the number of results and their memory. Its action `reset`
//! empties it.
//!
//! # Clones
//!
//! Clones of a handle, and all layers and services made from it, are the same cache. Results of different types never meet; those of one
//! type do, so use a cache for each peer.
//!
//! # Cancellation
//!
//! A call that is dropped keeps nothing, nor does a body that is dropped before its end. A call that began before what it asks for was
//! [removed](Cache::remove) keeps nothing either, since its result may be older than the change.
//!
//! # Example
//!
//! ```
//! use tower::{Layer, ServiceExt, service_fn};
//! use tower_keep::cache::{Cache, CacheLayer};
//!
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), tower_keep::BoxError> {
//! let cache = Cache::new("quotes");
//! let quotes = service_fn(async |id: u32| Ok::<_, std::io::Error>(id * 2));
//! let quotes = CacheLayer::any(cache.clone(), |id: &u32| Some(*id)).layer(quotes);
//! assert_eq!((quotes.clone().oneshot(7).await?, quotes.oneshot(7).await?), (14, 14));
//! assert_eq!((cache.stats().misses, cache.stats().hits), (1, 1));
//! # Ok(()) }
//! ```
//!
//! # Customized
//!
//! A client whose callers get yesterday's prices while the peer is down:
//!
//! ```
//! use std::time::Duration;
//! use tower::ServiceBuilder;
//! use tower_keep::{
//!     CircuitBreaker, Retry,
//!     cache::{Cache, HttpCacheLayer},
//!     coalesce::{Coalesce, CoalesceLayer},
//!     retry::RetryLayer,
//! };
//!
//! let cache = Cache::builder("prices")
//!     .stale_if_error(Duration::from_secs(24 * 3_600))
//!     .max_bytes(16 * 1024 * 1024)
//!     .max_body_bytes(64 * 1024)
//!     .build()?;
//! let stack = ServiceBuilder::new()
//!     .layer(HttpCacheLayer::client(cache))
//!     .layer(CoalesceLayer::client(Coalesce::new("prices")))
//!     .layer(RetryLayer::client(Retry::new("prices")))
//!     .layer(CircuitBreaker::new("prices").layer().client());
//! # let _ = stack;
//! # Ok::<_, tower_keep::ConfigError>(())
//! ```

mod already_hashed;
mod builder;
mod cache_control;
mod cached_body;
mod entry;
mod freshness;
mod future;
mod handle;
mod http_entry;
mod http_future;
mod http_layer;
mod http_miss;
mod http_service;
mod inspect;
mod layer;
mod live_times;
mod metrics;
mod misses;
mod operator_settings;
mod recording;
mod run;
mod service;
mod settings;
mod shared;
mod stats;
mod storage;
mod storage_lanes;
mod vary;

pub use builder::CacheBuilder;
pub use cached_body::CachedBody;
pub use future::CacheFuture;
pub use handle::Cache;
pub use http_future::HttpCacheFuture;
pub use http_layer::HttpCacheLayer;
pub use http_service::HttpCacheService;
pub use layer::CacheLayer;
pub use run::CacheRun;
pub use service::CacheService;
pub use settings::CacheSettings;
pub use stats::CacheStats;
