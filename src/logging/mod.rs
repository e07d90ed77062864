//! Logging in one call: readable for development, JSON for production, every event of a call with its IDs.
//!
//! Use it in `main` of a program that has no `tracing` subscriber yet. With one of your own, take the
//! [layer](Logging::layer): it stamps the same.
//!
//! ```no_run
//! # fn main() -> Result<(), tower_keep::logging::InitError> {
//! tower_keep::logging::init()?;
//! tracing::info!(port = 3000, "listening");
//! # Ok(()) }
//! ```
//!
//! # What happens
//!
//! | | from | default |
//! |---|---|---|
//! | level | `RUST_LOG`, else [`level`](Logging::level) | `info` |
//! | format | [`format`](Logging::format), else `LOG_FORMAT=json\|pretty` | pretty on a terminal, else JSON |
//! | output | [`stderr`](Logging::stderr), [`writer`](Logging::writer) | stdout |
//! | colours | a terminal, and no `NO_COLOR` | |
//!
//! Each event is one line, and no text in it can forge another: what ends lines or steers terminals is escaped
//! in both formats. A line has at most 64 KiB: the message and each value at most 16 KiB, all fields 40 KiB, the spans
//! 6 KiB, with up to 32 fields each and 1 KiB for each of those. What is cut off ends in `…`, and fields that found no
//! room at all are counted in `dropped_fields`.
//!
//! ```json
//! {"timestamp":"2026-01-02T03:04:05.678901Z","level":"INFO","target":"orders","message":"loaded","request_id":"…","correlation_id":"…","trace_id":"…","span_id":"…","rows":3,"spans":[{"name":"GET /orders/{id}"},{"name":"load","id":7}]}
//! ```
//!
//! Fields stay flat: numbers and booleans as such, errors with their sources (`cannot load: connection reset`),
//! everything else as text. In JSON, fields called `timestamp`, `level`, `target`, `spans` or `dropped_fields` get the
//! prefix `field.`: `level` becomes `field.level`, and `field.level` becomes `field.field.level`.
//! `spans` names the spans from the outermost on, with their fields. The readable format shows the last eight
//! characters of request ID and trace ID, and of the correlation ID where it is another than the request ID.
//!
//! # IDs
//!
//! `request_id`, `correlation_id`, `trace_id` and `span_id` are those of the call that the thread works on, or of
//! the nearest span that was opened inside of one. So a task has them if it was spawned with
//! [`in_context`](crate::context::in_context), and with tracing's `in_current_span` as well. An ID that an event
//! brings itself stays, and is never there twice.
//!
//! # One line per failure
//!
//! A call that fails has its line in the access log. A panic inside of it adds none: [`init`] calls
//! [`capture_panics`](crate::errors::capture_panics), so that std's report on stderr becomes the field
//! `error_location` of that line. An [operation](mod@crate::operation) that fails inside of a call has a line of its own,
//! at `WARN`: the call may deal with it and end well.
//!
//! # Lost lines
//!
//! A line is written whole or not at all, also where the output is a pipe that somebody else has made non-blocking (`node`
//! and `ssh` do so): what it does not take is lost, and [`lost_lines`] counts it, as does the metric
//! `tower_keep_log_lines_lost_total`. A line that was begun is completed before the next one, so that only the very last
//! line of a process may be cut off. After a writer of one's own has failed, the next line begins with a line break, since
//! nobody knows how much of the failed one was written; it may leave an empty line.
//!
//! # Clones
//!
//! A clone of a layer writes to a clone of its writer.

mod builder;
mod error;
mod escape;
mod ids;
mod json;
mod layer;
mod line_buffer;
mod lost_lines;
mod output;
mod pretty;
mod values;

pub use builder::{LogFormat, Logging};
pub use error::InitError;
pub use layer::LogLayer;
pub use lost_lines::lost_lines;
pub use output::{Output, OutputWriter};

/// Installs a subscriber with the defaults: see the [module](self).
///
/// Lines are written by whoever logs, as they are with any synchronous writer: a pipe that nobody reads fills up, and then
/// every call that logs waits for it. Where that must not be, give [`writer`](Logging::writer) a non-blocking one, such as
/// `tracing-appender`'s, and keep its guard until the program ends:
///
/// ```ignore
/// let (writer, _guard) = tracing_appender::non_blocking(std::io::stdout());
/// tower_keep::logging::builder().writer(writer).init()?;
/// ```
///
/// # Errors
///
/// If `RUST_LOG` or `LOG_FORMAT` is not understood, or there is a subscriber already.
pub fn init() -> Result<(), InitError> {
    builder().init()
}

/// Settings to start from.
pub fn builder() -> Logging {
    Logging::default()
}
