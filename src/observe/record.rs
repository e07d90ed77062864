//! From the end of a call to an error record.

use crate::{
    call::{Cause, End, Outcome},
    context::Context,
    errors::{ErrorRecord, error_type, short_type_name},
};

/// What is worth remembering of a call that failed; the IDs are those of the current context.
pub(crate) fn record_of(end: &End<'_>) -> ErrorRecord {
    let record = match end.cause() {
        Some(Cause::Error(error)) => ErrorRecord::from_error(Some(error_type(*error)), *error),
        Some(Cause::Opaque { type_name, message }) => ErrorRecord::new(
            short_type_name(type_name),
            message.unwrap_or("an error that says nothing"),
        ),
        Some(Cause::Rejection(rejection)) => {
            ErrorRecord::new(rejection.kind().as_str(), rejection.to_string())
        }
        Some(Cause::Panic(message)) => ErrorRecord::new("panic", *message),
        Some(Cause::GrpcMessage(message)) => ErrorRecord::new(status_text(end), *message),
        Some(Cause::MissingGrpcStatus) => ErrorRecord::new(
            "missing_grpc_status",
            "the response ended without a gRPC status",
        ),
        Some(Cause::WrongLength { promised, sent }) => ErrorRecord::new(
            "wrong_length",
            format!("the body ended after {sent} bytes, its content-length is {promised}"),
        ),
        None => ErrorRecord::new(status_text(end), unexplained(end)),
    };
    let record = record.with_outcome(end.outcome().as_str());
    let record = match end.panic_location() {
        Some(location) => record.with_location(location),
        None => record,
    };
    Context::peek(|context| match context {
        Some(context) => record
            .with_request_id(context.request_id())
            .with_correlation_id(context.correlation_id())
            .with_trace_id(context.trace_id().to_string()),
        None => record,
    })
}

fn status_text(end: &End<'_>) -> String {
    match (end.grpc_code(), end.status()) {
        (Some(code), _) => format!("grpc {code}"),
        (None, Some(status)) => format!("http {}", status.as_u16()),
        (None, None) => end.outcome().to_string(),
    }
}

/// Nobody said why; the status is all there is.
fn unexplained(end: &End<'_>) -> &'static str {
    match (end.outcome(), end.status()) {
        (Outcome::TimedOut, None) => "no time was left",
        (_, Some(status)) => status.canonical_reason().unwrap_or("an unnamed status"),
        (_, None) => "no reason was given",
    }
}
