//! Tower layers that make any service observable and hard to bring down.
//!
//! Start with [`observe`](observe()): one layer that gives each call IDs, a span, metrics and a log line, groups its
//! errors, and on servers responds to panics. In an axum application:
//!
//! ```no_run
//! # #[cfg(all(feature = "axum", feature = "logging"))] mod app {
//! use axum::{Router, extract::Path, routing::get};
//! use tower_keep::{Context, observe};
//!
//! async fn order(context: Context, Path(id): Path<u32>) -> String {
//!     tracing::info!(id, "this line carries the IDs of the call");
//!     format!("order {id}, asked for by {}", context.correlation_id())
//! }
//!
//! #[tokio::main]
//! async fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     tower_keep::logging::install()?;
//!     let app = Router::new()
//!         .route("/orders/{id}", get(order))
//!         .layer(observe("orders").server());
//!     let listener = tokio::net::TcpListener::bind("127.0.0.1:3000").await?;
//!     axum::serve(listener, app).await?;
//!     Ok(())
//! }
//! # }
//! ```
//!
//! A tonic server takes the same layer, a client [`observe(..).client()`](Observe::client) or
//! [`.grpc_client()`](Observe::grpc_client), any other service [`.any()`](Observe::any), and code outside of a service
//! [`operation`](operation()).
//!
//! # Questions
//!
//! * [Which client?](guide::clients)
//! * [How do I call several instances?](guide::balance)
//! * [How do I keep it in my state?](guide::state)
//! * [How do I trust my network only?](guide::trust)
//! * [What about web sockets?](guide::upgrades)
//! * [How do I switch a layer off?](guide::feature_flags)
//! * [How do I see it live?](guide::operations)
//! * [Which alerts do I want?](guide::alerts)
//! * [Who is told of alerts?](guide::notifications)
//! * [How do I export to OpenTelemetry?](guide::otlp)
//! * [What is in its file?](guide::ops_file)
//! * [Which calls are served when not all can be?](guide::priorities)
//! * [How do I rehearse an outage?](guide::game_day)
//! * [How do I choose settings?](guide::tuning)
//! * [It does not compile, it hangs, it is counted otherwise](guide::troubleshooting)
//! * [I come from tower-http](guide::from_tower_http), [from tower-resilience](guide::from_tower_resilience)
//! * [Where do metrics go?](track#metrics) [And traces?](track#traces)
//!
//! # What is here
//!
//! | module | contents |
//! |---|---|
//! | [`context`] | request and correlation IDs, trace context (W3C, B3, X-Ray), baggage, propagation |
//! | [`track`] | in-flight gauge, spans, durations, metrics, the access log |
//! | [`errors`] | error groups |
//! | [`operation`](mod@operation) | the same tracking for code outside of a service |
//! | [`pipeline`] | time limits, a bulkhead, retries, a breaker, a fallback and tracking around a closure, under one name |
//! | [`retry`] | further attempts after a failure, within a budget |
//! | [`breaker`](mod@breaker) | circuit breakers |
//! | [`bulkhead`] | limits of the calls in flight, with the statistics of a lane |
//! | [`adaptive`] | limits of the calls in flight that adapt themselves to what the peer can take |
//! | [`timeout`] | time limits and deadlines |
//! | [`rate_limit`] | at most so many calls per time, also for each caller |
//! | [`hedge`] | a second request where the first takes long, within the budget of the retries |
//! | [`throttle`] | fewer calls to a peer that fails, in proportion to how much it fails |
//! | [`priority`] | who is shed when there is no room for all calls |
//! | `cache` | by feature: results that are kept, also over HTTP; stale ones while the peer is unhealthy |
//! | [`coalesce`] | identical calls in flight are one call |
//! | `balance` | by feature: a client of several endpoints, chosen by load, ejected while they fail, found by DNS |
//! | [`fallback`] | an alternative response when a call fails |
//! | [`chaos`] | faults that are injected on purpose: errors, responses, latency, hangs, panics, bodies |
//! | [`all_metrics`] | the list of all metrics with their labels; without a recorder they are dropped |
//! | [`registry`] | state and statistics of every breaker, bulkhead, throttle, prioritizer, coalescing, cache, retry, hedge, fallback, time limit, rate limit and chaos of the process |
//! | [`guard`] | guards, and the one service that serves them all |
//! | [`protocol`] | how calls are read, classified and rejected: plain services, servers, clients, gRPC clients |
//! | [`call`] | shared types: outcome and evidence, rejections, how a call ended |
//! | `logging`, `prometheus`, `reqwest`, `testing` | by feature: setting up `tracing`; a recorder; reqwest's client; tests of layers |
//! | `ops` | by feature: a recorder with history, health, a JSON API, live push and a console with metrics, guards, errors, logs, traces, workflows and alerts; notifications; what survives a restart; OTLP |
//!
//! # Layer order
//!
//! Outermost first.
//!
//! * On a server: context, tracking, [deadline](timeout::Deadline), [rate limits](rate_limit) and other guards that reject, a
//!   [prioritizer](priority) around the [bulkhead], the time limit, cache, [coalescing](coalesce), chaos, the service.
//! * On a client: tracking of the logical call (optional, since that of the attempts counts every request that is sent),
//!   fallback, total time limit, bulkhead, cache, [coalescing](coalesce), retry, [hedge], [throttle], breaker, rate limit, tracking of the attempt and propagation, the attempt's time limit,
//!   chaos, balancer (with a breaker for each endpoint), transport.
//!
//! In axum, `Router::layer` puts the *last* call outermost. One [`GuardLayer`] over a pair of guards is cheaper than one
//! layer per guard, and log events of the second guard carry the IDs set by the first.
//!
//! # Features
//!
//! None is on by default.
//!
//! | feature | adds |
//! |---|---|
//! | `axum` | `MatchedPath` as the route label, `ConnectInfo` as the address of the peer, the [`Context`] extractor, `RouteLayer::matched_path`, `IntoResponse` for `Rejection`; request bodies of axum's body type are watched |
//! | `balance` | `Balance`: a client of several endpoints, with ejection, slow start and DNS; tokio's `net` and `rt` |
//! | `tonic` | A `tonic::Status` is classified by its code wherever it is an error, also by [`CircuitBreaker::call`] and [`Retry::run`]; its retry-after is read; it is part of error records. `GrpcMethod` is the client's method label; a rejection by `.grpc_client()` is a status in which [`Rejection::find`] finds it, so that a handler may return it as it is |
//! | `hyper` | Recognizes from hyper's errors that a request was never sent, so that it can be retried safely, and which side an error comes from; request bodies of hyper's own type are watched inside of a `RequestBodyLayer` |
//! | `reqwest` | `reqwest::Client` as the innermost service of a stack, with reqwest's own requests and responses; its timeouts and unsent requests are recognized. Includes `hyper` |
//! | `cache` | Caches of results: `cache::{Cache, CacheLayer, HttpCacheLayer}` |
//! | `tower` | Tells tower's own timeouts from failures, and classifies its load shedding as a rejection of this process |
//! | `logging` | One call to set up `tracing`, and the layer for a custom subscriber |
//! | `opentelemetry` | Calls have the IDs under which `tracing-opentelemetry` exports their spans: what is sent on and logged is what is exported |
//! | `ops` | The operations side in the same process: a recorder with history, health checks and probes, a JSON API, live push, a console |
//! | `ops-disk` | `ops::health::Check::disk_space`, on Unix. Includes `ops` |
//! | `ops-logs` | `Ops::layer`: logs and traces are kept in the process, to be searched and looked at in the console. Includes `ops` |
//! | `ops-sqlite` | `ops::StoreFile` and `OpsBuilder::sqlite`: what the console remembers survives a restart. Includes `ops` |
//! | `ops-notify` | `ops::notify::{Webhook, Slack, PagerDuty, Alertmanager, Teams, Discord}`: who is told of alerts and events, over TLS. Includes `ops` |
//! | `ops-email` | `ops::notify::Email`: the same by mail. Includes `ops-notify` |
//! | `ops-otlp` | `ops::otlp`: traces, metrics and logs for an OpenTelemetry collector. Includes `ops` and `opentelemetry` |
//! | `prometheus` | One call that records metrics for Prometheus, and with `axum` the route that it scrapes |
//! | `serde` | [settings from a file](mod@guide::settings), `Serialize` for error groups and guards |
//! | `testing` | A service that checks readiness, scripted services and bodies, the contract that layers pass, a simulator of peers and their callers |
#![forbid(unsafe_code)]
#![deny(missing_docs)]
#![cfg_attr(docsrs, feature(doc_cfg))]

#[doc = include_str!("../docs/metrics.md")]
pub mod all_metrics {}
pub mod adaptive;
#[cfg(feature = "balance")]
pub mod balance;
pub mod breaker;
pub mod bulkhead;
#[cfg(feature = "cache")]
pub mod cache;
pub mod call;
pub mod chaos;
pub mod coalesce;
pub mod context;
pub mod errors;
pub mod fallback;
pub mod guard;
#[cfg(any(doc, doctest))]
pub mod guide;
pub mod hedge;
#[cfg(feature = "logging")]
pub mod logging;
mod observe;
pub mod operation;
#[cfg(feature = "ops")]
pub mod ops;
pub mod pipeline;
pub mod priority;
#[cfg(feature = "prometheus")]
pub mod prometheus;
pub mod protocol;
pub mod rate_limit;
pub mod registry;
#[cfg(feature = "reqwest")]
pub mod reqwest;
pub mod retry;
mod retry_after;
#[cfg(feature = "testing")]
pub mod testing;
pub mod throttle;
pub mod timeout;
pub mod track;
mod util;

#[cfg(feature = "balance")]
#[doc(inline)]
pub use balance::Balance;
#[doc(inline)]
pub use breaker::{CallError, CircuitBreaker, breaker};
#[doc(inline)]
pub use bulkhead::Bulkhead;
#[cfg(any(feature = "logging", feature = "ops", feature = "prometheus"))]
#[doc(inline)]
pub use call::InstallError;
#[doc(inline)]
pub use call::{BoxError, ConfigError, Outcome, Rejection, RejectionKind, hook_panics};
#[doc(inline)]
pub use context::Context;
#[doc(inline)]
pub use errors::ErrorTracker;
#[doc(inline)]
pub use fallback::FallbackLayer;
#[doc(inline)]
pub use guard::{Guard, GuardLayer, Guarded};
#[doc(inline)]
pub use hedge::Hedge;
#[doc(inline)]
pub use observe::{Observe, observe};
#[doc(inline)]
pub use operation::operation;
#[doc(inline)]
pub use pipeline::{Pipeline, PipelineError};
#[doc(inline)]
pub use priority::Prioritizer;
#[doc(inline)]
pub use rate_limit::RateLimit;
#[doc(inline)]
pub use retry::Retry;
#[doc(inline)]
pub use throttle::Throttle;
#[doc(inline)]
pub use track::Track;

/// The programs of the README compile as doc tests; `.ci/readme` builds and runs them as a newcomer would.
#[cfg(all(
    doctest,
    feature = "axum",
    feature = "hyper",
    feature = "logging",
    feature = "ops",
    feature = "prometheus",
    feature = "reqwest",
    feature = "tonic"
))]
#[doc = include_str!("../README.md")]
mod readme {}
