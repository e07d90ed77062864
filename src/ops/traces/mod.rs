//! Traces that are kept in the process: spans of calls, attempts, operations and of the application, to be looked at in the
//! console.
//!
//! For the question what a slow or failed call spent its time on. For traces that go through many services, or that must be there
//! for weeks, export them; both can be done at once.
//!
//! Place in the stack: [`Ops::layer`](super::Ops::layer) is a layer of the application's `tracing` subscriber, beside that which
//! writes the log.
//!
//! ```no_run
//! use tower_keep::ops::Ops;
//! use tracing_subscriber::{layer::SubscriberExt, util::SubscriberInitExt};
//!
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), tower_keep::BoxError> {
//! let ops = Ops::builder("orders").traces(|traces| traces.sample_rate(0.2)).build()?;
//! tracing_subscriber::registry().with(ops.layer()).init();
//! ops.install()?;
//! # Ok(()) }
//! ```
//!
//! # What is kept
//!
//! | part | what |
//! |---|---|
//! | spans | those of this crate (calls with their attempts, operations), and those of others at `INFO` or above |
//! | times | start and end, and how long code ran in it |
//! | attributes | the fields of the span: 32 at once, texts of 1 KiB; what is named like a credential is redacted |
//! | events | what is logged in it at `INFO` or above, 64 per span |
//! | links | what it [follows from](tracing::Span::follows_from), and the span around it if that is of another trace |
//!
//! Spans that the subscriber's filter drops are missing. Operations, and so workflows and their steps, have spans at `DEBUG`: with the
//! filter of [`logging`](mod@crate::logging), which is `info` by default, set `RUST_LOG=info,tower_keep::operation=debug` to see them.
//!
//! A call has the trace ID and span ID of its [`Context`](crate::Context): those that are sent on, logged, and, with the feature
//! `opentelemetry`, exported. Spans in a call belong to its trace, also in tasks that run [in its
//! context](crate::context::in_context). A span around calls of several traces, as that of a connection, is a trace of its own,
//! which they link.
//!
//! # Which traces
//!
//! The spans of a trace wait until the last one without a parent in this process ends. Then it is kept if it is sampled by its
//! ID, if something in it failed, or if it was slow; otherwise it is forgotten. What comes later, from tasks that outlive the
//! call, is added. Ten minutes later a trace is decided by what there is.
//!
//! With a [file](super::OpsBuilder::sqlite), traces are also in there: for seven days, and in 256 MiB at most. The console then finds
//! those that were evicted from memory, and those of before a restart.
//!
//! Everything is bounded: traces in flight, spans, events, values and bytes in all. The oldest traces are evicted, and those that
//! are only sampled before those that are slow or have errors, until they take no more than a quarter. What was dropped is
//! counted, in `tower_keep_ops_traces_total` and in the status.
//!
//! # Cost
//!
//! See `benches/ops_traces.rs`. No thread of the application waits for who reads: locks that they share are held for a few
//! instructions.
//!
//! # Clones
//!
//! Clones of an [`Ops`](super::Ops), and all layers that it made, keep into the same store. Use one of them: two layers keep each
//! span twice.
//!
//! # Cancellation
//!
//! A call that is dropped ends its span, with its outcome.

mod active_trace;
mod buffer;
mod builder;
mod callsite;
mod callsite_fields;
mod capture;
#[cfg(feature = "opentelemetry")]
mod exported;
#[cfg(feature = "ops-sqlite")]
mod file;
#[cfg(feature = "ops-sqlite")]
mod file_decode;
#[cfg(feature = "ops-sqlite")]
mod file_encode;
#[cfg(feature = "ops-sqlite")]
mod file_read;
#[cfg(all(test, feature = "ops-sqlite"))]
mod file_tests;
mod in_flight;
mod kept_trace;
mod metrics;
mod packed;
#[cfg(test)]
mod properties;
mod query;
mod sampling;
mod segment;
mod shared;
mod span_filter;
mod span_handle;
mod span_layer;
mod span_record;
mod store;
mod summary;
#[cfg(feature = "ops-sqlite")]
mod trace_file;
mod trace_state;
#[allow(
    clippy::module_inception,
    reason = "the handle has the name of the module"
)]
mod traces;
mod tree;

pub use self::builder::TracesBuilder;
pub(super) use self::{
    callsite::Callsite,
    kept_trace::KeptTrace,
    packed::{Part, SpanValue, Values},
    query::TraceQuery,
    segment::Segment,
    span_filter::SpanFilter,
    span_layer::SpanLayer,
    summary::name_with_server,
    traces::Traces,
    tree::{TreeSpan, tree},
};
