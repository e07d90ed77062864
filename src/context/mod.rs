//! Request IDs, correlation IDs, trace contexts and baggage, available to everything that works for a call.
//!
//! Use it in every service; it is part of [`observe`](crate::observe()). A call has two IDs and a trace:
//!
//! | | one per | header | if absent |
//! |---|---|---|---|
//! | request ID | request to the first service; sent on unchanged unless each hop has [its own](RequestIdPolicy) | `x-request-id` | generated |
//! | correlation ID | request chain through all services | `x-correlation-id` | the request ID |
//! | trace | request chain, with a span per hop | `traceparent`, `tracestate`, or [those of other systems](TraceFormat) | started here |
//!
//! Place in the stack: outermost on a server; on a client inside of the retry layer.
//!
//! # What happens
//!
//! | | |
//! |---|---|
//! | a request arrives | [`Correlate`] reads its headers. An ID that is not `[A-Za-z0-9._~+/=:@-]{1,128}` is replaced, in the request's headers too; it is never truncated and never logged. Malformed headers are counted in `tower_keep_malformed_headers_total` |
//! | a [prioritizer](crate::priority) admits the call | the context has its priority |
//! | the call is polled | the [`Context`] is in the request's extensions and [current](Context::current) |
//! | the response is sent | it carries the IDs: the correlation ID only if it differs from the request ID, and in gRPC none unless asked for |
//! | a request is sent | [`Propagate`] writes the context into its headers, with what a handler added by [`Context::with_baggage`] or [`Context::with_tracestate`] |
//! | a task is spawned | it has no context, unless its future is wrapped in [`in_context`] |
//!
//! # Web sockets
//!
//! The task that serves an upgraded connection is spawned by the framework, after the call. [`upgrade_in_context`] gives it the
//! context of the call, without its deadline: `ws.on_upgrade(upgrade_in_context(chat))`.
//!
//! # Formats of other systems
//!
//! Traces are read and sent in the W3C's format. [`CorrelateBuilder::trace_formats`] and [`PropagateBuilder::trace_formats`]
//! add Zipkin's [B3](TraceFormat::B3), in one header or several, and AWS [X-Ray](TraceFormat::XRay). Trust, policy and
//! sampling are as for `traceparent`. Where a format leaves the sampling decision open, it is
//! [made here](CorrelateBuilder::sample_new_traces).
//!
//! Without these settings, `b3`, `x-b3-*` and `x-amzn-trace-id` are neither read nor written; `uber-trace-id` and
//! `x-cloud-trace-context` never are. A proxy that copies all headers sends them on beside `traceparent`, so that two traces
//! disagree: remove them there. Copied headers of the formats that are sent are replaced.
//!
//! # Clones
//!
//! Clones of a guard share their settings. Clones of a context are the same context.
//!
//! # Cancellation
//!
//! A call that is dropped, or whose task is aborted, is dropped in its context, so that what it logs then carries the IDs.
//!
//! # Example
//!
//! ```
//! use tower_keep::{GuardLayer, context::{Correlate, Propagate}};
//!
//! let server = GuardLayer::server(Correlate::default());
//! let client = GuardLayer::client(Propagate::default());
//! # let _ = (server, client);
//! ```
//!
//! # Example, customized
//!
//! ```
//! use tower_keep::{GuardLayer, context::{Correlate, IdFormat, TracePolicy, Trust}};
//!
//! // At the edge: untrusted callers get new IDs and a new trace. Trust is based on what a caller cannot forge: the address of
//! // the peer.
//! let correlate = Correlate::builder()
//!     .trust(Trust::networks(["10.0.0.0/8", "fd00::/8"])?)
//!     .trace_policy(TracePolicy::Restart)
//!     .id_format(IdFormat::UuidV7)
//!     .build()?;
//! let layer = GuardLayer::server(correlate);
//! # let _ = layer;
//! # Ok::<_, tower_keep::ConfigError>(())
//! ```
//!
//! ```
//! use tower_keep::{context::{Correlate, Propagate, TraceFormat}, observe};
//!
//! // Behind an AWS load balancer, calling services that only know Zipkin.
//! let correlate = Correlate::builder()
//!     .trace_formats([TraceFormat::W3c, TraceFormat::XRay])
//!     .build()?;
//! let propagate = Propagate::builder().trace_formats([TraceFormat::B3Multi]).build()?;
//! let server = observe("orders").correlate(correlate).server();
//! let client = observe("stock").propagate(propagate).client();
//! # let _ = (server, client);
//! # Ok::<_, tower_keep::ConfigError>(())
//! ```

mod call_fields;
mod call_priority;
mod content;
mod correlate;
mod current;
#[cfg(feature = "axum")]
mod extract;
mod forwarded;
mod header;
mod header_name;
mod in_context;
mod inherit;
pub(crate) mod invalid_priority;
mod malformed;
mod network;
pub(crate) mod priority;
pub(crate) mod priority_class;
mod propagate;
mod request_head;
mod request_predicate;
mod scope;
mod shared_fields;
mod time_budget;
mod trace_context;
mod trace_format;
mod trace_policy;
mod tracker_claim;
mod trust;
mod trusted_proxies;
mod without_deadline;

pub use call_fields::CallFields;
pub(crate) use call_priority::{CallPriority, compared_quantile, current_quantile};
pub use correlate::{Correlate, CorrelateBuilder, CorrelatePermit};
pub use current::Context;
#[cfg(feature = "axum")]
pub use extract::MissingContext;
pub(crate) use header::hex_str;
pub use header::{
    Baggage, BaggageMember, CallId, HeaderError, HeaderErrorKind, IdFormat, InvalidCallId, SpanId,
    TraceFlags, TraceId, Traceparent, Tracestate,
};
pub use in_context::{InContext, in_context, upgrade_in_context};
pub use inherit::InheritContext;
// Public in the module `priority`.
use invalid_priority::InvalidPriority;
pub(crate) use malformed::count_malformed;
pub(crate) use priority::{ALL_LEVELS, LEVELS, PRIORITY_HEADER, Priority};
pub(crate) use priority_class::PriorityClass;
pub use propagate::{Propagate, PropagateBuilder, RequestIdPolicy};
pub use request_head::RequestHead;
pub(crate) use request_predicate::RequestPredicate;
pub(crate) use scope::{ContextScope, PriorityScope};
pub use time_budget::deadline;
pub(crate) use time_budget::{TimeBudget, cached_deadline, caller_deadline, min_some};
pub use trace_format::TraceFormat;
pub use trace_policy::TracePolicy;
pub(crate) use tracker_claim::Claimed;
pub use trust::Trust;
pub use trusted_proxies::TrustedProxies;
pub(crate) use without_deadline::WithoutDeadline;
