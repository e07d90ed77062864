//! The description of an error that metrics, spans, the log and error groups share.

use std::borrow::Cow;

use crate::{
    call::{CallEnd, Cause, GrpcCode, Outcome},
    context::Context,
    errors::{ErrorRecord, kind_of, short_type_name},
    protocol::Side,
};

/// The kind, message and causes of what went wrong in a call.
///
/// Every call that does not succeed has a kind, which labels metrics. Message and causes are only formatted for an error
/// record.
#[derive(Debug)]
pub(crate) struct ErrorDescription<'a> {
    kind: Cow<'a, str>,
    end: &'a CallEnd<'a>,
}

impl<'a> ErrorDescription<'a> {
    /// Describes what went wrong, if anything did. The side decides which statuses are errors.
    pub(crate) fn from_end(end: &'a CallEnd<'a>, side: Side) -> Option<Self> {
        let kind = match end.outcome() {
            Outcome::Panicked => "panic".into(),
            Outcome::Rejected => rejection_kind(end).into(),
            // With a code, the code says more.
            Outcome::Cancelled if end.grpc_code().is_none() => "cancelled".into(),
            Outcome::Failure | Outcome::TimedOut => failure_kind(end),
            Outcome::Overload if end.error().is_some() => failure_kind(end),
            // A 404 is no failure, but an error to a client.
            _ if is_error_status(end, side) => status_kind(end)?,
            _ => return None,
        };
        Some(ErrorDescription { kind, end })
    }

    /// Returns the kind of the error, for labels and groups.
    pub(crate) fn kind(&self) -> &str {
        &self.kind
    }

    /// Returns the message of the error.
    fn message(&self) -> Cow<'_, str> {
        match self.end.cause() {
            Some(Cause::Opaque { message, .. }) => {
                message.unwrap_or("an error without a message").into()
            }
            Some(Cause::Rejection(rejection)) => rejection.to_string().into(),
            Some(Cause::Panic(message) | Cause::GrpcMessage(message)) => (*message).into(),
            Some(Cause::MissingGrpcStatus) => "the response ended without a gRPC status".into(),
            Some(Cause::WrongLength {
                content_length: promised,
                bytes_sent: sent,
            }) => format!("the body ended after {sent} bytes, its content-length is {promised}")
                .into(),
            Some(Cause::Error(_)) | None => status_reason(self.end).into(),
        }
    }

    /// Returns an error record with the IDs of the current context.
    pub(crate) fn error_record(&self) -> ErrorRecord {
        let kind = Cow::from(self.kind().to_owned());
        let record = match self.end.cause() {
            Some(Cause::Error(error)) => ErrorRecord::from_error(Some(kind), *error),
            _ => ErrorRecord::new(kind, self.message()),
        };
        let record = record.with_outcome(self.end.outcome().as_str());
        let record = match self.end.panic_location() {
            Some(location) => record.with_location(location),
            None => record,
        };
        // In place, since nothing in here is code of others.
        Context::peek(|context| match context {
            Some(context) => record
                .with_request_id(context.request_id())
                .with_correlation_id(context.correlation_id())
                .with_trace_id(context.trace_id().to_string()),
            None => record,
        })
    }
}

/// Returns whether the status is an error by semantic conventions: to a server 5xx and six gRPC codes, to a client
/// everything but success.
fn is_error_status(end: &CallEnd<'_>, side: Side) -> bool {
    if let Some(code) = end.grpc_code() {
        return match side {
            Side::Client => code != GrpcCode::OK,
            Side::Server => matches!(
                code,
                GrpcCode::UNKNOWN
                    | GrpcCode::DEADLINE_EXCEEDED
                    | GrpcCode::UNIMPLEMENTED
                    | GrpcCode::INTERNAL
                    | GrpcCode::UNAVAILABLE
                    | GrpcCode::DATA_LOSS
            ),
        };
    }
    let min = match side {
        Side::Client => 400,
        Side::Server => 500,
    };
    end.status().is_some_and(|status| status.as_u16() >= min)
}

fn rejection_kind(end: &CallEnd<'_>) -> &'static str {
    match end.cause() {
        Some(Cause::Rejection(rejection)) => rejection.kind().as_str(),
        _ => "rejected",
    }
}

/// Returns the kind of a failure: of its cause, which says more than the status of the response.
fn failure_kind<'a>(end: &'a CallEnd<'a>) -> Cow<'a, str> {
    match end.cause() {
        Some(Cause::Error(error)) => kind_of(*error),
        Some(Cause::Opaque { type_name, .. }) => short_type_name(type_name).into(),
        Some(Cause::Rejection(rejection)) => rejection.kind().as_str().into(),
        Some(Cause::MissingGrpcStatus) => "missing_grpc_status".into(),
        Some(Cause::WrongLength { .. }) => "wrong_length".into(),
        _ => status_kind(end).unwrap_or_else(|| match end.outcome() {
            Outcome::TimedOut => "timeout".into(),
            _ => "failure".into(),
        }),
    }
}

/// Returns the gRPC code or the status, if it is not a success.
fn status_kind<'a>(end: &'a CallEnd<'a>) -> Option<Cow<'a, str>> {
    match (end.grpc_code(), &end.status) {
        (Some(code), _) => (code != GrpcCode::OK).then(|| code.as_str().into()),
        (None, Some(status)) => (status.as_u16() >= 400).then(|| status.as_str().into()),
        (None, None) => None,
    }
}

/// Returns a message for an error whose only description is its status.
fn status_reason(end: &CallEnd<'_>) -> &'static str {
    match (end.outcome(), end.status()) {
        (Outcome::TimedOut, None) => "no time was left",
        (_, Some(status)) => status.canonical_reason().unwrap_or("an unnamed status"),
        (_, None) => "no reason was given",
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use http::StatusCode;

    use super::*;
    use crate::call::{CallClock, Rejection};

    fn kind(end: &CallEnd<'_>, side: Side) -> Option<String> {
        Some(ErrorDescription::from_end(end, side)?.kind().to_owned())
    }

    fn with_status(outcome: Outcome, status: u16, clock: &CallClock) -> CallEnd<'_> {
        let mut end = CallEnd::new(outcome, clock);
        end.status = Some(StatusCode::from_u16(status).expect("a status"));
        end
    }

    #[test]
    fn error_description_of_a_status_depends_on_the_side() {
        let clock = CallClock::default();
        let table = [
            (Outcome::Success, 200, None, None),
            (Outcome::ClientError, 404, None, Some("404")),
            (Outcome::Overload, 429, None, Some("429")),
            (Outcome::Overload, 503, Some("503"), Some("503")),
            (Outcome::Failure, 500, Some("500"), Some("500")),
            // A custom classifier has decided.
            (Outcome::Failure, 200, Some("failure"), Some("failure")),
            (Outcome::Success, 500, Some("500"), Some("500")),
        ];
        for (outcome, status, on_server, on_client) in table {
            let end = with_status(outcome, status, &clock);
            let found = (kind(&end, Side::Server), kind(&end, Side::Client));
            let expected = (on_server.map(str::to_owned), on_client.map(str::to_owned));
            assert_eq!(found, expected, "{outcome:?} {status}");
        }
    }

    #[test]
    fn error_description_of_a_grpc_code_depends_on_the_side() {
        let clock = CallClock::default();
        let table = [
            ("0", Outcome::Success, None, None),
            ("5", Outcome::ClientError, None, Some("NOT_FOUND")),
            ("1", Outcome::Cancelled, None, Some("CANCELLED")),
            (
                "12",
                Outcome::ClientError,
                Some("UNIMPLEMENTED"),
                Some("UNIMPLEMENTED"),
            ),
            ("13", Outcome::Failure, Some("INTERNAL"), Some("INTERNAL")),
        ];
        for (code, outcome, on_server, on_client) in table {
            let mut end = with_status(outcome, 200, &clock);
            end.grpc_code = Some(GrpcCode::parse(code.as_bytes()));
            let found = (kind(&end, Side::Server), kind(&end, Side::Client));
            let expected = (on_server.map(str::to_owned), on_client.map(str::to_owned));
            assert_eq!(found, expected, "{outcome:?} {code}");
        }
    }

    #[test]
    fn error_description_prefers_the_cause_to_the_status() {
        let clock = CallClock::default();
        let error = io::Error::from(io::ErrorKind::ConnectionReset);
        let rejection = Rejection::overloaded("shed");
        let opaque = Cause::Opaque {
            type_name: "app::Trouble",
            message: Some("no luck"),
        };
        let wrong = Cause::WrongLength {
            content_length: 7,
            bytes_sent: 5,
        };
        let table = [
            (
                Outcome::Failure,
                Cause::Error(&error),
                "io::ConnectionReset",
            ),
            (
                Outcome::Overload,
                Cause::Error(&error),
                "io::ConnectionReset",
            ),
            (Outcome::Failure, opaque, "Trouble"),
            (
                Outcome::Failure,
                Cause::MissingGrpcStatus,
                "missing_grpc_status",
            ),
            (Outcome::Failure, wrong, "wrong_length"),
            (
                Outcome::Rejected,
                Cause::Rejection(&rejection),
                rejection.kind().as_str(),
            ),
            (
                Outcome::Failure,
                Cause::Rejection(&rejection),
                rejection.kind().as_str(),
            ),
            (Outcome::Panicked, Cause::Panic("ouch"), "panic"),
            (Outcome::Failure, Cause::GrpcMessage("no disk"), "500"),
        ];
        for (outcome, cause, expected) in table {
            let end = with_status(outcome, 500, &clock).with_cause(cause);
            assert_eq!(kind(&end, Side::Server).as_deref(), Some(expected));
        }
    }

    #[test]
    fn error_description_without_cause_or_status_is_the_outcome() {
        let clock = CallClock::default();
        let table = [
            (Outcome::TimedOut, "timeout", "no time was left"),
            (Outcome::Failure, "failure", "no reason was given"),
            (Outcome::Rejected, "rejected", "no reason was given"),
            (Outcome::Cancelled, "cancelled", "no reason was given"),
        ];
        for (outcome, kind, message) in table {
            let end = CallEnd::new(outcome, &clock);
            let record = ErrorDescription::from_end(&end, Side::Server)
                .expect("an error")
                .error_record();
            assert_eq!((record.kind(), record.message()), (kind, message));
            assert_eq!(record.outcome(), outcome.as_str());
        }
    }

    #[test]
    fn error_description_record_has_message_and_kind_of_the_cause() {
        let clock = CallClock::default();
        let inner = io::Error::from(io::ErrorKind::ConnectionReset);
        let error = io::Error::other(inner);
        let end = with_status(Outcome::Failure, 500, &clock).with_cause(Cause::Error(&error));
        let record = ErrorDescription::from_end(&end, Side::Server)
            .expect("an error")
            .error_record();
        assert_eq!(record.kind(), "io::ConnectionReset");
        assert_eq!(record.message(), error.to_string());
        let end = with_status(Outcome::Failure, 500, &clock).with_cause(Cause::WrongLength {
            content_length: 7,
            bytes_sent: 5,
        });
        let record = ErrorDescription::from_end(&end, Side::Server)
            .expect("an error")
            .error_record();
        assert_eq!(
            record.message(),
            "the body ended after 5 bytes, its content-length is 7"
        );
    }
}
