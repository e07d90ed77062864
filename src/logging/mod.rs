//! Sets up logging: readable lines in development, JSON in production, and the IDs of the call in every event.
//!
//! Use it in `main` of a program that has no `tracing` subscriber. If it has one, add the [layer](Logging::layer), which
//! adds the same IDs.
//!
//! ```no_run
//! # fn main() -> Result<(), tower_keep::InstallError> {
//! tower_keep::logging::install()?;
//! tracing::info!(port = 3000, "listening");
//! # Ok(()) }
//! ```
//!
//! # What happens
//!
//! | setting | source | default |
//! |---|---|---|
//! | level | `RUST_LOG`, else [`level`](Logging::level) | `info` |
//! | format | [`format`](Logging::format), else `LOG_FORMAT=json\|pretty` | pretty on a terminal, else JSON |
//! | output | [`stderr`](Logging::stderr), [`writer`](Logging::writer) | stdout |
//! | colors | `NO_COLOR` turns them off | on for a terminal |
//!
//! Each event is one line, and no text in it can forge another one: line breaks and terminal control characters are
//! escaped in both formats. A line has at most 64 KiB: the message and each value at most 16 KiB, all fields 40 KiB, the
//! spans 6 KiB, with up to 32 fields each and 1 KiB per field. A truncated text ends in `…`, and fields that there is no
//! room for are counted in `dropped_fields`.
//!
//! ```json
//! {"timestamp":"2026-01-02T03:04:05.678901Z","level":"INFO","target":"orders","message":"loaded","request_id":"…","correlation_id":"…","trace_id":"…","span_id":"…","rows":3,"spans":[{"name":"GET /orders/{id}"},{"name":"load","id":7}]}
//! ```
//!
//! Fields are flat: numbers and booleans keep their type, errors include their sources (`cannot load: connection reset`),
//! and everything else is text. In JSON, fields called `timestamp`, `level`, `target`, `spans` or `dropped_fields` get the
//! prefix `field.`: `level` becomes `field.level`, and `field.level` becomes `field.field.level`. `spans` lists the spans
//! with their fields, the outermost first. The readable format shows the last eight characters of request ID and trace ID,
//! and of the correlation ID if it differs from the request ID.
//!
//! # IDs
//!
//! `request_id`, `correlation_id`, `trace_id` and `span_id` are those of the call that the thread works on, or of the
//! innermost span that was created inside of a call. So the events of a spawned task have them if you spawn it with
//! [`in_context`](crate::context::in_context) or with tracing's `in_current_span`. An ID field of the event itself takes
//! precedence.
//!
//! # One line per failure
//!
//! A failed call has one line in the access log. A panic inside of it adds no other: [`install`] calls
//! [`capture_panics`](crate::errors::capture_panics), which replaces std's report on stderr by the field `error_location`
//! of that line. An [operation](mod@crate::operation) that fails inside of a call has a separate line at `WARN`, because
//! the call may handle the error and succeed.
//!
//! # Lost lines
//!
//! A line is written completely or not at all, even if the output is a pipe that another process has made non-blocking
//! (`node` and `ssh` do so). Lines that a full pipe rejects are lost; [`lost_lines`] and the metric
//! `tower_keep_log_lines_lost_total` count them. A partially written line is completed before the next one, so only the
//! last line of a process may be incomplete. After a custom writer fails, the next line begins with a line break, because
//! part of the failed line may have been written; that may leave an empty line.
//!
//! # Changing the level
//!
//! [`install_reloadable`](Logging::install_reloadable) returns a [`FilterHandle`], which changes the filter while the process
//! runs. The console of the feature `ops` does so for a time, after which the filter is again what it was.
//!
//! # Other layers
//!
//! [`add_layer`] adds a layer to the subscriber of [`install`], also later. The feature `ops-logs` keeps logs for the console
//! that way, once `Ops::install` is called.
//!
//! # Clones
//!
//! A clone of a [`LogLayer`] writes to a clone of its writer.
//!
//! # Cancellation
//!
//! Logging does not wait for anything but the writer.

mod builder;
mod escape;
mod event_fields;
mod field_value;
mod field_visitor;
mod filter;
mod filter_handle;
mod format;
mod ids;
mod json;
mod late_layers;
mod layer;
mod line_buffer;
mod line_format;
mod lost_lines;
mod number;
mod output;
mod output_writer;
mod owned_value;
mod partial_line;
mod pretty;
mod span_data;
mod span_fields;
mod timestamp;

use crate::call::InstallError;

pub use self::{
    builder::Logging, filter_handle::FilterHandle, format::LogFormat, late_layers::add_layer,
    layer::LogLayer, lost_lines::lost_lines, output::Output,
};

/// Installs a subscriber with the default settings; see the [module](self).
///
/// The thread that logs also writes the line. If the output is a pipe that is full, every call that logs blocks. To avoid
/// that, pass a non-blocking [`writer`](Logging::writer) such as `tracing-appender`'s, and keep its guard until the
/// program ends:
///
/// ```ignore
/// let (writer, _guard) = tracing_appender::non_blocking(std::io::stdout());
/// tower_keep::logging::builder().writer(writer).install()?;
/// ```
///
/// # Errors
///
/// Returns an error if `RUST_LOG` or `LOG_FORMAT` is invalid, or if a subscriber is already installed.
pub fn install() -> Result<(), InstallError> {
    builder().install()
}

/// Returns a builder with the default settings.
///
/// A program whose standard output is data logs to standard error:
///
/// ```no_run
/// # fn main() -> Result<(), tower_keep::InstallError> {
/// tower_keep::logging::builder().stderr().level("info,my_app=debug").install()?;
/// # Ok(()) }
/// ```
pub fn builder() -> Logging {
    Logging::default()
}
