//! Request tracking and timing: what is in flight, how long it took, how it ended, and one line about it.
//!
//! Use it round every server and client; it is part of [`observe`](crate::observe()). For code that is no
//! service there is [`operation`](crate::operation()).
//!
//! # What happens
//!
//! | moment | what [`Track`] does |
//! |---|---|
//! | admission | counts the call as in flight, reads the clock, opens a span |
//! | head | notes streams that are meant to last; adds `Server-Timing` and `x-response-time` where asked to |
//! | end of the body | counts it out, records duration and outcome, groups errors, writes one line, closes the span |
//!
//! Place in the stack: right inside of [`Correlate`](crate::context::Correlate), outside of everything that
//! refuses. Durations end when the last frame was handed to the server or client, not when it was on the wire.
//!
//! # Metrics
//!
//! Through the `metrics` facade, by semantic conventions (or [`MetricNaming::Classic`]):
//!
//! | metric | labels |
//! |---|---|
//! | `http_server_request_duration_seconds` | method, route, status, scheme, error type |
//! | `http_client_request_duration_seconds` | method, server, status, scheme, version, error type |
//! | `rpc_{server,client}_call_duration_seconds` | gRPC method, code, error type; of clients the server that they were told |
//! | `http_{server,client}_stream_duration_seconds` | as the first two, for what is meant to last: server-sent events to their end, 101 and CONNECT to the head, since a tunnel has no body |
//! | `http_{server,client}_active_requests` | method, scheme |
//! | `tower_keep_calls_total` | service, kind, route, server or gRPC method, [outcome](crate::Outcome) |
//! | `tower_keep_slow_calls_total` | service, place, level |
//! | by option: `.._time_to_head_seconds`, `.._busy_seconds`, `.._readiness_wait_seconds`, `.._{request,response}_body_size_bytes` | as the first two |
//!
//! The route is axum's `MatchedPath`, or what somebody further in left in the [`RouteSlot`]; never the path. Recorders
//! need to be told of [`DURATION_BUCKETS`], or they make summaries; Prometheus' needs its upkeep run, or histograms grow
//! until they are scraped.
//!
//! # Bounds
//!
//! Nobody can use up the series of a tracker, whatever is sent:
//!
//! | what callers choose | label |
//! |---|---|
//! | method | `_OTHER` unless HTTP knows it |
//! | path | none: routes are labels, at most [`max_places`](TrackBuilder::max_targets) of them; the others share `_OTHER` |
//! | gRPC method | `_OTHER` until somebody was let in to it |
//! | scheme | on a server what the [settings](TrackBuilder::https) say |
//! | version | none on a server; the access log and the span have it |
//! | a path that no route serves (404), a method that its route does not serve (405) | one series each: the method is `_OTHER`, and there is no route |
//!
//! Calls that find no room among [`max_series`](TrackBuilder::max_series) sets of labels share one series for each of
//! HTTP, streams and gRPC, with the label `otel_metric_overflow="true"`. Failures (5xx, failed gRPC calls, calls without
//! an answer) have room for a quarter as many besides, and then a series of their own: it has `error_type="_OTHER"` too,
//! or `status="5xx"` among the classic names. Outcomes of calls are always counted in full.
//!
//! # Recorders
//!
//! Nothing is made before a recorder is installed. The handles of the global recorder are made once and then used
//! without a lock or an allocation. A local recorder (`metrics::with_local_recorder`) is asked for its handles by each
//! call, since nothing tells it from the next one at its address: right for tests, slow for anything else. So is a global
//! one without a size (`struct Statsd;`), which has no address of its own: give it a field. Which recorder
//! is the global one is seen from a thread that lives for a moment, when the first call is measured.
//!
//! # Several trackers
//!
//! A call that passes trackers of one name, on the same side, counts once: by the outermost, with its settings. So retries
//! inside of `observe("payments")` are attempts of one call; a tracker of another name inside counts them. Trackers of
//! different names count separately, as do a proxy's server and its client. What tells a call is its request, with its
//! extensions: one that a handler makes anew, in the same process, is a call of its own.
//!
//! Two applications of one process share series, but for `tower_keep_..`:
//! [`service_label`](TrackBuilder::service_label) tells them apart.
//!
//! # The access log
//!
//! One event of the target [`ACCESS_TARGET`] per call: `ERROR` when it failed, `WARN` when it was slow, refused
//! or overloaded, else `INFO`. The query is never in it, nor is a header that was not asked for. Line and span of a
//! client's attempt after the first carry `http.request.resend_count`: how many attempts the [retry](crate::retry) around
//! the call has made before.
//!
//! # Clones
//!
//! Clones share series and settings.
//!
//! # Cancellation
//!
//! A dropped call is counted out, timed and logged as `cancelled` like any other.
//!
//! # Example
//!
//! ```
//! use std::time::Duration;
//! use tower_keep::{Track, observe};
//!
//! let track = Track::builder("orders")
//!     .sample(0.1)
//!     .skip(|head| head.uri.path() == "/livez")
//!     .slow(Duration::from_millis(500), Duration::from_secs(2))
//!     .slow_route("/export/{id}", Duration::from_secs(30), Duration::from_secs(60))
//!     .log_headers(["user-agent"])
//!     .build()?;
//! let layer = observe("orders").track(track).server();
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
mod labels;
mod long_lived;
mod metrics;
mod redact;
mod request_body;
mod route;
mod sampling;
mod series_key;
mod span;
mod target;
mod tracker;

pub use access_log::ACCESS_TARGET;
pub(crate) use access_log::as_millis_f64;
pub use builder::{MetricNaming, SpanLevel, TrackBuilder};
pub(crate) use builder::{SlowLevel, SlowThresholds};
pub use metrics::{DURATION_BUCKETS, SIZE_BUCKETS};
pub use request_body::{CountedBody, RequestBodyLayer, RequestBodyService};
pub use route::{RouteLayer, RouteService, RouteSlot};
pub use tracker::{Track, TrackPermit};
