//! Correlation: who a call belongs to, known everywhere the call goes.
//!
//! Use it in every service; it is part of [`observe`](crate::observe()). There are two IDs and a trace:
//!
//! | | one per | header | when absent |
//! |---|---|---|---|
//! | request ID | request to the first service; it is sent on unless each hop is to have [one of its own](RequestIdPolicy) | `x-request-id` | made here |
//! | correlation ID | journey, through every service | `x-correlation-id` | the request ID |
//! | trace | journey, with a span per hop | `traceparent`, `tracestate`, or [those of other systems](TraceFormat) | begun here |
//!
//! # What happens
//!
//! [`Correlate`] reads the headers of an inbound request. An ID that is not `[A-Za-z0-9._~+/=:@-]{1,128}` is
//! replaced, never cut and never logged; what is malformed is counted in
//! `tower_keep_malformed_headers_total`. The [`Context`] is then in the request's extensions and
//! [current](Context::current) during every poll. Responses carry the IDs as they were settled
//! here: the correlation ID only where it is another than the request ID, and those of gRPC none unless asked for.
//! [`Propagate`] writes them into requests that go out.
//!
//! A rejected ID does not stay in the headers of the request: the one that counts takes its place. What a handler adds by
//! [`Context::with_baggage`] or [`Context::with_tracestate`] reaches the next hop.
//!
//! Place in the stack: outermost on a server; on a client inside of whatever retries.
//!
//! # Formats of other systems
//!
//! Traces are read and sent in the W3C's format. [`CorrelateBuilder::trace_formats`] and [`PropagateBuilder::trace_formats`]
//! add Zipkin's [B3](TraceFormat::B3), in one header or several, and AWS [X-Ray](TraceFormat::XRay). Trust, edges and
//! sampling are as for `traceparent`; where a format leaves the decision to sample open, it is
//! [made here](CorrelateBuilder::sample_new_traces).
//!
//! Without them, `b3`, `x-b3-*` and `x-amzn-trace-id` are neither read nor written, as `uber-trace-id` and
//! `x-cloud-trace-context` never are. A proxy that copies all headers passes those on beside `traceparent`, and two traces
//! disagree then: remove them there. Copied headers of the formats that are sent are replaced.
//!
//! # Clones
//!
//! Guards share their settings; a context is shared by everything that works for the call.
//!
//! # Cancellation
//!
//! Drops run in the context too, those of tasks that are aborted included, so that what they log carries the IDs.
//!
//! # Example
//!
//! ```
//! use std::net::{IpAddr, SocketAddr};
//! use tower_keep::{GuardLayer, context::{Correlate, IdFormat, TracePolicy, Trust}};
//!
//! // At the edge: strangers' IDs are not believed, nor are their traces continued. Who is no stranger is told by what
//! // nobody can make up, such as the address of the peer, which the server's loop has put into the extensions.
//! let is_ours = |peer: &SocketAddr| matches!(peer.ip(), IpAddr::V4(ip) if ip.is_private());
//! let correlate = Correlate::builder()
//!     .trust(Trust::when(move |head| head.extensions.get().is_some_and(is_ours)))
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
//! // Behind an AWS load balancer, calling services that know Zipkin only.
//! let correlate = Correlate::builder()
//!     .trace_formats([TraceFormat::W3c, TraceFormat::XRay])
//!     .build()?;
//! let propagate = Propagate::builder().trace_formats([TraceFormat::B3Multi]).build()?;
//! let server = observe("orders").correlate(correlate).server();
//! let client = observe("stock").propagate(propagate).client();
//! # let _ = (server, client);
//! # Ok::<_, tower_keep::ConfigError>(())
//! ```

mod baggage;
mod call_id;
mod correlate;
mod current;
#[cfg(feature = "axum")]
mod extract;
mod propagate;
mod random;
mod settings;
mod time_budget;
mod trace_format;
mod traceparent;
mod tracestate;

use std::sync::LazyLock;

use metrics::Counter;

use crate::{
    call::catch_hook,
    util::{
        append_map::OVERFLOW_LABEL,
        family::{Family, SeriesKey},
        recorder::RecorderKind,
    },
};

pub use baggage::*;
pub use call_id::*;
pub use correlate::{Correlate, CorrelatePermit, InheritContext};
pub(crate) use current::ContextScope;
pub use current::{Context, InContext, in_context};
#[cfg(feature = "axum")]
pub use extract::MissingContext;
pub use propagate::Propagate;
pub(crate) use settings::RequestPredicate;
pub use settings::{
    CorrelateBuilder, PropagateBuilder, RequestHead, RequestIdPolicy, TracePolicy, Trust,
};
pub use time_budget::deadline;
pub(crate) use time_budget::{TimeBudget, cached_deadline, caller_deadline, min_some};
pub use trace_format::TraceFormat;
pub use traceparent::*;
pub use tracestate::*;

/// The name of a header.
#[derive(Clone, Copy, Debug, Hash, PartialEq, Eq)]
struct HeaderLabel(&'static str);

impl SeriesKey for HeaderLabel {
    const OVERFLOW_KEYS: usize = 1;

    fn overflow_key(&self) -> Self {
        HeaderLabel(OVERFLOW_LABEL)
    }
}

/// Counts a header that could not be read, by kind and never by value.
#[cold]
fn count_malformed(header: &'static str) {
    static MALFORMED: LazyLock<Family<HeaderLabel, Counter>> = LazyLock::new(|| Family::new(16));
    let make = |header: &HeaderLabel| metrics::counter!("tower_keep_malformed_headers_total", "header" => header.0);
    let count = |counter: &Counter| counter.increment(1);
    catch_hook(|| {
        MALFORMED.with_handles(RecorderKind::current(), &HeaderLabel(header), make, count)
    });
}
