//! Balancers: a client of several endpoints that serve the same, which sends each call to one that is fast, idle and healthy.
//!
//! Use one where a client knows the addresses of its peers: instances behind a DNS name, a list, a service registry. Do not use it where
//! something else balances already, such as a proxy or a virtual address: it would see one endpoint. Other names for what it does: load
//! balancing, outlier detection (Envoy), failure accrual (linkerd, Finagle).
//!
//! Place in the stack: innermost, around the transport: inside of the retry, so that a retry goes to another endpoint, and inside of the attempt's
//! time limit. The breaker of each endpoint is a part of it; one around it would stop calls to all of them.
//!
//! # What happens
//!
//! | | |
//! |---|---|
//! | pick | Of two endpoints that are drawn at random, the call goes to the one with less load: its latency times its calls in flight (*power of two choices*); to either if the loads differ by less than a fifth. While the latency of one of the two is not known, to the one with fewer calls in flight. |
//! | retry | A [retry](crate::retry) goes to the endpoint whose latest calls did not fail, or failed least often in a row; of those to the least loaded. |
//! | latency | The time to the head, as a moving average that follows a rise at once and falls with the answers that follow (*peak EWMA*, Finagle), by [`decay`](BalanceBuilder::decay). After that time without an answer it is unknown, so that an endpoint that was slow, or has failed, is tried again. |
//! | failure | A call that shows the endpoint as unhealthy, 429 and 503 included, counts as longer than it took by the [`failure_penalty`](BalanceBuilder::failure_penalty). |
//! | slow start | An endpoint that is new, or returns, gets a tenth of its share at first, and all of it after [`slow_start`](BalanceBuilder::slow_start). |
//! | ejection | Each endpoint has a [circuit breaker](mod@crate::breaker). While its circuit is open, the endpoint is ejected: it gets no calls but probes, and returns when they succeed. |
//! | limit | At most [`max_ejected`](BalanceBuilder::max_ejected) of the endpoints are ejected at once, and never the last one. One that fails beyond that still gets calls, and is ejected when another returns. |
//! | not ready | An endpoint that is not ready for the call leaves it to another one that is. If that is not ready either, the call waits in its future; if both have failed, it fails. |
//! | no endpoint | The call is rejected as [`Overloaded`](crate::RejectionKind::Overloaded): 503, `UNAVAILABLE`. |
//!
//! It learns from evidence, as breakers [do](mod@crate::breaker#evidence): what a remote caller controls (its upload, its deadline, its
//! patience) is not held against an endpoint, and a cancelled call says nothing. A call that hangs counts as in flight, so that others
//! go elsewhere.
//!
//! tower's own `Balance` has the same choice of two. It is not `Clone`, though, and so needs a buffer with a task, which all calls
//! go through; it drops an endpoint for good whose `poll_ready` fails; and an open circuit in it is an endpoint that is not ready, also
//! the last one.
//!
//! # Endpoints
//!
//! An endpoint is a key, such as an address, and the service that the closure makes for it. [`Balancer::endpoints`] changes them:
//!
//! | from | by |
//! |---|---|
//! | a list | [`Endpoints::set`], [`insert`](Endpoints::insert), [`remove`](Endpoints::remove) |
//! | DNS, or another [resolver](Resolve) | [`Endpoints::follow_dns`]: asked again at an interval; a look-up that fails keeps the endpoints |
//! | a channel of changes | [`Endpoints::follow`] |
//!
//! An endpoint that is removed loses its state, and its calls in flight end as they would. There are at most 1,000.
//!
//! # Settings
//!
//! [`Balance::apply`] changes all settings while the balancer is in use; endpoints keep what was learned of them.
//!
//! # Metrics
//!
//! | metric | labels |
//! |---|---|
//! | `tower_keep_balance_endpoints` | `balance`, `state`: `in_rotation` or `ejected` |
//! | `tower_keep_balance_ejections_total` | `balance` |
//! | `tower_keep_balance_overflows_total` | `balance`: endpoints that were not ejected, since as many were as may be |
//! | `tower_keep_balance_rejections_total` | `balance`: calls without an endpoint |
//! | `tower_keep_balance_lookup_failures_total` | `balance` |
//!
//! No endpoint is a label; [`Balance::stats`] has the numbers of each. The [registry](crate::registry) has the kind `balance`; its subscribers,
//! the journal of `ops` and the log are told of each endpoint that is ejected or returns, with the reason of its breaker and the last error.
//!
//! # Clones
//!
//! Clones of a handle are the same handle, and clones of a balancer share the endpoints.
//!
//! # Cancellation
//!
//! A call that is dropped leaves its endpoint, and says nothing about it unless a time limit drops it that the endpoint had a fair share of.
//!
//! # Example
//!
//! ```
//! use http::{Request, Response, uri::{Authority, Scheme}};
//! use tower::{ServiceBuilder, ServiceExt, service_fn};
//! use tower_keep::{Balance, Retry, balance::to_authority, retry::RetryLayer};
//!
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), tower_keep::BoxError> {
//! # type Body = http_body_util::Empty<bytes::Bytes>;
//! // hyper's or reqwest's client in its place.
//! let client = service_fn(async |request: Request<_>| {
//!     let response = Response::builder().header("from", request.uri().host().unwrap_or_default());
//!     response.body(Body::new())
//! });
//! let ledger = Balance::new("ledger").client(move |authority: &Authority| {
//!     to_authority(client.clone(), Scheme::HTTP, authority.clone())
//! });
//! ledger.endpoints().set(["10.0.0.1:80", "10.0.0.2:80"].map(Authority::from_static));
//!
//! let stack = ServiceBuilder::new()
//!     .layer(RetryLayer::client(Retry::new("ledger")))
//!     .service(ledger);
//! let response = stack.oneshot(Request::get("http://ledger/").body(Body::new())?).await?;
//! assert!(["10.0.0.1", "10.0.0.2"].contains(&response.headers()["from"].to_str()?));
//! # Ok(()) }
//! ```
//!
//! # Customized
//!
//! ```
//! use std::time::Duration;
//! use tower_keep::{Balance, breaker::BreakerSettings};
//!
//! let mut breaker = BreakerSettings::default();
//! breaker.consecutive_failures = Some(3);
//! breaker.open_time = Duration::from_secs(10);
//! let balance = Balance::builder("ledger")
//!     .max_ejected(0.5)
//!     .failure_penalty(Duration::from_millis(200))
//!     .slow_start(Duration::from_secs(60))
//!     .breaker(&breaker)
//!     .build()?;
//!
//! let stats = balance.stats();
//! assert_eq!((stats.ejected, stats.max_ejected), (0, 0), "it has no endpoints yet");
//! # Ok::<_, tower_keep::ConfigError>(())
//! ```

mod balance_stats;
mod balancer;
mod builder;
mod endpoint;
mod endpoint_change;
mod endpoint_guard;
mod endpoint_stats;
mod endpoint_status;
mod endpoint_table;
mod endpoints;
mod handle;
mod inspect;
mod live_config;
mod load;
mod load_word;
mod locked;
mod lookup;
mod metrics;
mod operator_settings;
mod pick;
mod polled;
mod pool;
mod resolve;
mod rotation;
#[cfg(test)]
mod rotation_tests;
mod settings;
mod shared;
#[cfg(test)]
mod shared_tests;
mod slow_start;
mod system_resolver;
mod to_authority;

pub use balance_stats::BalanceStats;
pub use balancer::Balancer;
pub use builder::BalanceBuilder;
pub use endpoint_change::EndpointChange;
pub use endpoint_guard::{EndpointGuard, EndpointPermit};
pub use endpoint_stats::EndpointStats;
pub use endpoint_status::EndpointStatus;
pub use endpoints::Endpoints;
pub use handle::Balance;
pub use resolve::Resolve;
pub use settings::BalanceSettings;
pub use system_resolver::SystemResolver;
pub use to_authority::{ToAuthority, to_authority};
