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
//! Through the `metrics` facade, by semantic conventions (or [`Naming::Classic`]):
//!
//! | metric | labels |
//! |---|---|
//! | `http_{server,client}_request_duration_seconds` | method, route or server, status, scheme, version, error type |
//! | `rpc_{server,client}_call_duration_seconds` | gRPC method, code, error type |
//! | `http_{server,client}_stream_duration_seconds` | as the first, for what is meant to last: server-sent events to their end, 101 and CONNECT to the head, since a tunnel has no body |
//! | `http_{server,client}_active_requests` | method, scheme |
//! | `tower_keep_calls_total` | service, kind, route, server or gRPC method, [outcome](crate::Outcome) |
//! | `tower_keep_slow_calls_total` | service, place, level |
//! | by option: `.._time_to_head_seconds`, `.._busy_seconds`, `.._readiness_wait_seconds`, `.._{request,response}_body_size_bytes` | as the first |
//!
//! The route is axum's `MatchedPath`, or what somebody further in left in the [`RouteSlot`]; never the path. A
//! gRPC method is `_OTHER` until somebody was let in to it, as is whatever finds no room. Recorders need to be told of
//! [`DURATION_BUCKETS`], or they make summaries; Prometheus' needs its upkeep run, or histograms grow until
//! they are scraped.
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
//! # Ok::<_, tower_keep::InvalidSetting>(())
//! ```

mod access;
mod facts;
mod guard;
mod lasting;
mod meters;
mod place;
mod redaction;
mod request_body;
mod route;
mod sampling;
mod settings;
mod span;

pub use access::ACCESS_TARGET;
pub(crate) use access::millis;
pub use guard::{Track, TrackPermit};
pub use meters::{DURATION_BUCKETS, SIZE_BUCKETS};
pub use request_body::{CountedBody, RequestBodyLayer, RequestBodyService};
pub use route::{RouteLayer, RouteService, RouteSlot};
pub use settings::{Naming, SpanLevel, TrackBuilder};
pub(crate) use settings::{Slow, Thresholds};
