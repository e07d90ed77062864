//! Traces, metrics and logs for an OpenTelemetry collector, over HTTP or gRPC.
//!
//! Use it where a collector or a vendor takes OTLP. It exports what is there already: the spans and events of `tracing`, and the
//! series of the [recorder](super::recorder), so that nothing is measured twice. The [console](super) and Prometheus work beside it.
//!
//! ```no_run
//! use std::time::Duration;
//! use tower_keep::ops::{Ops, otlp::Otlp};
//! use tracing_subscriber::{layer::SubscriberExt, util::SubscriberInitExt};
//!
//! # async fn serve() {}
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), tower_keep::BoxError> {
//! let otlp = Otlp::from_env()?;
//! tracing_subscriber::registry().with(otlp.layer()).init();
//! Ops::builder("orders").build()?.install()?;
//!
//! serve().await;
//! otlp.shutdown(Duration::from_secs(5)).await?;
//! # Ok(()) }
//! ```
//!
//! # What is exported
//!
//! | signal | of what | how |
//! |---|---|---|
//! | traces | spans down to [`span_level`](OtlpBuilder::span_level), with the errors in them | by `tracing-opentelemetry`, with the IDs that calls have in logs and headers |
//! | logs | events down to [`log_level`](OtlpBuilder::log_level) | with the trace and span, the request ID and the correlation ID of their call; grouped by target |
//! | metrics | all series of the recorder | counters as cumulative sums, gauges, histograms with exact counts of the exposed buckets, and their exemplars |
//!
//! Metrics and labels of the semantic conventions have their names: `http_server_request_duration_seconds` becomes
//! `http.server.request.duration`, `http_response_status_code` becomes `http.response.status_code`. The rest keeps its name, without
//! `_total`, which receivers for Prometheus add again.
//!
//! Credentials are left out: the values of fields whose names look like those of credentials, and what looks like one in texts.
//!
//! # Variables
//!
//! | `OTEL_` ... | default |
//! |---|---|
//! | `SDK_DISABLED` | `false` |
//! | `SERVICE_NAME`, `RESOURCE_ATTRIBUTES` | `unknown_service:` and the name of the program |
//! | `TRACES_EXPORTER`, `METRICS_EXPORTER`, `LOGS_EXPORTER` | `otlp`; or `none` |
//! | `EXPORTER_OTLP_ENDPOINT` \* | `http://localhost:4318`, with gRPC `http://localhost:4317` |
//! | `EXPORTER_OTLP_PROTOCOL` \* | `http/protobuf`; or `grpc` |
//! | `EXPORTER_OTLP_HEADERS` \*, `EXPORTER_OTLP_TIMEOUT` \* (ms), `EXPORTER_OTLP_INSECURE` \* | none, 10,000, `false` |
//! | `EXPORTER_OTLP_CERTIFICATE`, `EXPORTER_OTLP_CLIENT_CERTIFICATE`, `EXPORTER_OTLP_CLIENT_KEY` | the certificates of the system; none |
//! | `TRACES_SAMPLER`, `TRACES_SAMPLER_ARG` | `parentbased_always_on` |
//! | `BSP_MAX_QUEUE_SIZE`, `BSP_MAX_EXPORT_BATCH_SIZE`, `BSP_SCHEDULE_DELAY` (ms) | 2,048 spans, 512, 5,000 |
//! | `BLRP_MAX_QUEUE_SIZE`, `BLRP_MAX_EXPORT_BATCH_SIZE`, `BLRP_SCHEDULE_DELAY` (ms) | 2,048 records, 512, 1,000 |
//! | `METRIC_EXPORT_INTERVAL` (ms) | 60,000 |
//!
//! \* also for one signal, such as `OTEL_EXPORTER_OTLP_LOGS_ENDPOINT`. What the code sets counts more. A value that is invalid is an
//! error of [`build`](OtlpBuilder::build), which names the variable. Compression, and temporalities other than cumulative, are
//! ignored with a line in the log.
//!
//! # What happens
//!
//! The exporter has a thread of its own with a small runtime, so that it works on runtimes of one thread, with one worker, while
//! that is blocked, and without any. Threads of the application only put spans and events into a queue.
//!
//! | when | what |
//! |---|---|
//! | a batch is full, or the delay has passed | it is sent, one batch per signal at a time |
//! | the collector is not there, cuts, or answers 429, 502, 503, 504 or a status of gRPC that may pass | the batch is sent again, after a backoff of 0.5 to 15 s with jitter, or what `Retry-After` or `RetryInfo` asks for, up to 30 s; after a minute it has failed |
//! | it answers otherwise | the batch has failed |
//! | it takes a part | the rest is counted as rejected |
//! | the queue is full: 2,048 items or 8 MiB | the newest are dropped |
//! | the exporter's own thread logs or opens spans | nothing is exported of it |
//!
//! [`stats`](Otlp::stats) and `tower_keep_otlp_items_total` say what became of all items; one line in the log says that an outage
//! begins, and one that it is over.
//!
//! On the thread of the application, an event takes some 0.15 µs and a span 0.5 µs (`benches/otlp.rs`).
//!
//! # Clones
//!
//! Clones of an [`Otlp`] share everything. The layer does not keep the exporter running: when the last handle is dropped, it sends for
//! five seconds at most what is there, in the background, and stops.
//!
//! # Cancellation
//!
//! A [`flush`](Otlp::flush) or [`shutdown`](Otlp::shutdown) that is dropped goes on in the background, a shutdown until its limit.
//!
//! # Why not `opentelemetry-otlp`
//!
//! Its exporters send nothing but what the instruments of the SDK have measured: the metrics of the recorder could not be exported. They
//! do not tell how many items were rejected. And the processors of the SDK wait on threads without a runtime, where clients of
//! tokio hang. Messages come from `opentelemetry-proto`, sampling and spans from the SDK.

mod answer;
mod builder;
mod config;
mod control;
mod counts;
mod courier;
mod filter;
mod flush_error;
mod handle;
mod inbox;
mod log_fields;
mod log_layer;
mod log_record;
mod metric_messages;
mod metric_names;
mod own_thread;
mod protocol;
mod queue;
mod redaction;
mod signal;
mod source;
mod spans;
mod tls;
mod transport;
mod variables;
mod worker;

pub use self::{
    builder::OtlpBuilder, counts::OtlpStats, flush_error::FlushError, handle::Otlp,
    protocol::OtlpProtocol, signal::Signal,
};
