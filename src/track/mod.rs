//! Tracking of HTTP and gRPC calls: metrics, spans, the access log and error groups.
//!
//! Use it around every server and client; [`observe`](crate::observe()) includes it. For code that is not a service, use
//! [`operation`](crate::operation()).
//!
//! Place it right inside of [`Correlate`](crate::context::Correlate), and outside of everything that rejects calls.
//!
//! # What happens
//!
//! | when | what [`Track`] does |
//! |---|---|
//! | admission | counts the call as in flight, reads the clock, opens a span |
//! | head of the response | recognizes long-lived streams; adds `Server-Timing` and `x-response-time`, if configured |
//! | end of the body | records metrics, groups errors, emits one access-log event, closes the span |
//!
//! A call ends when its last frame was handed to the server or client, not when it was on the wire.
//!
//! # Metrics
//!
//! Recorded with the `metrics` crate, by semantic conventions (or [`MetricNaming::Classic`]); without a recorder, such as
//! that of the feature `prometheus`, they are dropped. [All metrics](crate::all_metrics) has the exact labels:
//!
//! | metric | labels |
//! |---|---|
//! | `http_server_request_duration_seconds` | method, route, status, scheme, error type |
//! | `http_client_request_duration_seconds` | method, server, status, scheme, version, error type |
//! | `rpc_{server,client}_call_duration_seconds` | gRPC method, code, error type; on clients the configured server |
//! | `http_{server,client}_stream_duration_seconds` | as the first two, for server-sent events, to their end |
//! | `http_{server,client}_active_requests` | method, scheme |
//! | `tower_keep_calls_total` | service, kind, target, [outcome](crate::Outcome) |
//! | `tower_keep_slow_calls_total` | service, target, level |
//! | by option: `.._time_to_head_seconds`, `.._poll_time_seconds`, `.._readiness_wait_seconds`, `.._{request,response}_body_size_bytes` | as the first two |
//!
//! Upgrades (101, web sockets) and CONNECT tunnels are counted and logged, but in no histogram of durations: the call ends with
//! its head, and nobody sees how long the tunnel lasts. See [`upgrade_in_context`](crate::context::upgrade_in_context) for the IDs in
//! a web socket.
//!
//! The target of a call is its route (servers), its server (clients) or its gRPC method. The route is axum's
//! `MatchedPath`, or what an inner service stores in the [`RouteSlot`]; never the path. The feature
//! `prometheus` installs a recorder in one call. Configure another one with [`DURATION_BUCKETS`], or it exports summaries, and
//! run the upkeep of a custom Prometheus recorder, or histograms grow until they are scraped.
//!
//! # Bounds
//!
//! The number of series is bounded, whatever peers send:
//!
//! | what callers choose | label |
//! |---|---|
//! | method | `_OTHER` unless HTTP defines it |
//! | path | none: routes are labels, at most [`max_targets`](TrackBuilder::max_targets) of them; the others share `_OTHER` |
//! | gRPC method | `_OTHER` until a call has shown that it exists |
//! | scheme | on a server the [configured](TrackBuilder::https) one |
//! | version | none on a server; the access log and the span have it |
//! | a path without a route (404), a method that its route does not serve (405) | one series each: the method is `_OTHER`, and there is no route |
//!
//! Calls beyond [`max_series`](TrackBuilder::max_series) label sets share one series for each of HTTP, streams and gRPC,
//! with the label `otel_metric_overflow="true"`. For failures (5xx, failed gRPC calls, calls without a response) a quarter
//! as many series are reserved, and then one overflow series that also has `error_type="_OTHER"`, or `status="5xx"` with
//! the classic names. Outcomes are always counted in full.
//!
//! # Recorders
//!
//! Metrics are not created before a recorder is installed. The handles of the global recorder are created once, and then
//! used without a lock or an allocation. With a local recorder (`metrics::with_local_recorder`), each call creates its
//! handles, since a recorder can only be identified by its address: fine for tests, slow otherwise. The same holds for a
//! global recorder of zero size (`struct Statsd;`), which has no address of its own: give it a field. A short-lived thread
//! identifies the global recorder when the first call is measured.
//!
//! # Several trackers
//!
//! A call that passes several trackers of the same name and side counts once: for the outermost, with its settings. Retries
//! inside of `observe("payments")` are thus attempts of one call; an inner tracker of another name counts them. Trackers
//! of different names count separately, as do a proxy's server and its client. A call is recognized by the extensions of
//! its request: a request that a handler creates is a new call.
//!
//! Two applications of one process share series, except `tower_keep_..`;
//! [`service_label`](TrackBuilder::service_label) tells them apart.
//!
//! # The access log
//!
//! Each call emits one event of the target [`ACCESS_TARGET`]: at `ERROR` if it failed, at `WARN` if it was slow, rejected
//! or overloaded, else at `INFO`. The `error` of a rejected call is the text of its [`Rejection`](crate::Rejection): the guard,
//! its key and the last error. It never contains the query, nor headers that are not
//! [configured](TrackBuilder::log_headers). Users, tenants and the like are [`CallFields`](crate::context::CallFields), which the
//! [settings](TrackBuilder::log_fields) read from the request and [a handler adds](crate::Context::add_field); the
//! [client's address](TrackBuilder::client_address) is there if configured. Health checks are best
//! [ignored](TrackBuilder::ignore) altogether. In a [retry](crate::retry), event and span of a client's later attempts have
//! `http.request.resend_count`, the number of earlier attempts.
//!
//! # Traces
//!
//! With the feature `opentelemetry`, a call has the IDs under which `tracing-opentelemetry` exports its span: those in its
//! [`Context`](crate::Context), in the headers that are sent on, in the access log and in the fields of the span are the same.
//! Nothing needs to be configured in this crate. The versions must be these, or the IDs are not found:
//!
//! ```toml
//! [dependencies]
//! opentelemetry = "0.33"
//! opentelemetry_sdk = "0.33"
//! tower-keep = { version = "0.1", features = ["logging", "opentelemetry"] }
//! tracing-opentelemetry = "0.34"
//! tracing-subscriber = "0.3"
//! ```
//!
#![cfg_attr(feature = "logging", doc = "```")]
#![cfg_attr(not(feature = "logging"), doc = "```ignore")]
//! use opentelemetry::trace::TracerProvider;
//! use opentelemetry_sdk::trace::SdkTracerProvider;
//! use tower_keep::logging;
//! use tracing_subscriber::{layer::SubscriberExt, util::SubscriberInitExt};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let provider = SdkTracerProvider::builder().build(); // with the exporter of your choice
//! let logging = logging::builder();
//! tracing_subscriber::registry()
//!     .with(logging.filter()?) // what it drops is neither logged nor exported
//!     .with(logging.layer()?) // or another layer that logs
//!     .with(tracing_opentelemetry::layer().with_tracer(provider.tracer("orders")))
//!     .try_init()?;
//! # Ok(()) }
//! ```
//!
//! The span starts when the call is admitted. Its parent is the caller's span, or the span around it in this process; a trace
//! that was [restarted](crate::context::TracePolicy::Restart) is a link. The decision of the tracer's sampler is sent on. If
//! the span of a call is not exported (because of a filter or the [`span_level`](TrackBuilder::span_level)), the IDs are those of
//! the exported span around it, so that no receiver has a parent that nobody has seen; without such a span, they are the
//! context's own. [Operations](crate::operation()) do the same; their spans are at `DEBUG`, so let the filter pass
//! `tower_keep::operation=debug` if they are to be exported. Attempts outside of any span are in traces of their own:
//! wrap a job in an operation.
//!
//! For another exporter, or another version of `tracing-opentelemetry`, [`span_ids`](TrackBuilder::span_ids) is the hook.
//!
//! # Calls in flight
//!
//! A [`CallTable`] has the calls of the process that are in flight, with their IDs and for how long, and the latest slow ones.
//! There is none, and nothing is spent on it, before somebody asks for it; the console of the feature `ops` does.
//!
//! # Clones
//!
//! Clones share series and settings. [`Track::apply`] changes some of the settings while calls use them.
//!
//! # Cancellation
//!
//! A call that is dropped is counted, timed and logged as `cancelled` like any other.
//!
//! # Example
//!
//! ```
//! use tower_keep::{Track, observe};
//!
//! let layer = observe(Track::new("orders")).server();
//! # let _ = layer;
//! ```
//!
//! With settings:
//!
//! ```
//! use std::time::Duration;
//! use tower_keep::{Track, observe};
//!
//! let track = Track::builder("orders")
//!     .sample(0.1)
//!     .ignore(|head| head.uri.path() == "/livez")
//!     .slow(Duration::from_millis(500), Duration::from_secs(2))
//!     .slow_route("/export/{id}", Duration::from_secs(30), Duration::from_secs(60))
//!     .log_headers(["user-agent"])
//!     .build()?;
//! let layer = observe(track).server();
//! # let _ = layer;
//!
//! let error = Track::builder("orders").sample(50.0).build().unwrap_err();
//! assert_eq!(
//!     error.to_string(),
//!     r#"tracker "orders": sample is 50, must be 0 to 1 (a fraction; did you mean 0.5?)"#
//! );
//! # Ok::<_, tower_keep::ConfigError>(())
//! ```

mod access_log;
mod builder;
mod byte_counter;
mod call_key;
mod call_metrics;
mod config;
mod failure_key;
mod fields_hook;
mod guard;
mod in_flight;
mod label_builder;
mod labels;
mod live_settings;
mod long_lived;
#[cfg(all(test, tower_keep_loom))]
mod loom_tests;
mod metrics;
mod naming;
#[cfg(feature = "opentelemetry")]
mod opentelemetry;
mod permit;
mod redact;
mod report;
mod request_body;
mod request_labels;
mod route;
mod route_slot;
mod sampling;
mod series_key;
mod settings;
mod settings_word;
mod shared;
mod slow;
mod span;
mod span_ids;
mod span_options;
mod target;
mod tracker;
mod tracker_chain;
mod tracker_id;

pub use access_log::ACCESS_TARGET;
pub use builder::TrackBuilder;
pub use in_flight::{CallKind, CallSnapshot, CallTable};
pub(crate) use in_flight::{CallSubject, DEFAULT_SLOW, InFlightEntry, WatchedCall};
pub use metrics::{DURATION_BUCKETS, SIZE_BUCKETS, STREAM_DURATION_BUCKETS};
pub use naming::MetricNaming;
#[doc(hidden)]
pub use permit::TrackPermit;
pub(crate) use report::CallReport;
pub use request_body::{CountedBody, RequestBodyLayer, RequestBodyService};
pub use route::{RouteLayer, RouteService};
pub use route_slot::RouteSlot;
pub use settings::TrackSettings;
pub(crate) use slow::SlowLevel;
pub use slow::SlowThresholds;
pub(crate) use span_ids::export_span;
pub use span_options::SpanLevel;
pub use tracker::Track;
