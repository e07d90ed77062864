//! From the end of a call to what is told of it.

use std::borrow::Cow;

use crate::{
    call::{CallEnd, Cause, GrpcCode, Outcome},
    context::Context,
    errors::{ErrorRecord, kind_of, short_type_name},
};

/// Names what went wrong in a call, once, for the metric's label, the span, the log line and the error group.
///
/// The kind is named at once, since every call that did not go well has one. Message and causes are only written for
/// who asks.
#[derive(Debug)]
pub(crate) struct ErrorDescription<'a> {
    kind: Cow<'a, str>,
    end: &'a CallEnd<'a>,
}

/// Whose errors statuses are: by semantic conventions a server's are 5xx and six gRPC codes, a client's all but success.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StatusRules {
    Server,
    Client,
}

impl StatusRules {
    fn is_error(self, end: &CallEnd<'_>) -> bool {
        if let Some(code) = end.grpc_code() {
            return match self {
                StatusRules::Client => code != GrpcCode::OK,
                StatusRules::Server => matches!(
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
        let least = if self == StatusRules::Client {
            400
        } else {
            500
        };
        end.status().is_some_and(|status| status.as_u16() >= least)
    }
}

impl<'a> ErrorDescription<'a> {
    /// Returns what went wrong, if anything did.
    pub(crate) fn from_end(end: &'a CallEnd<'a>, statuses: StatusRules) -> Option<Self> {
        let kind = match end.outcome() {
            Outcome::Panicked => "panic".into(),
            Outcome::Rejected => rejection_kind(end).into(),
            Outcome::Cancelled if end.grpc_code().is_none() => "cancelled".into(),
            Outcome::Failure | Outcome::TimedOut => failure_kind(end),
            Outcome::Overload if end.error().is_some() => failure_kind(end),
            _ if statuses.is_error(end) => status_kind(end)?,
            _ => return None,
        };
        Some(ErrorDescription { kind, end })
    }

    /// Returns what it is called.
    pub(crate) fn kind(&self) -> &str {
        &self.kind
    }

    /// Returns what it says.
    fn message(&self) -> Cow<'_, str> {
        match self.end.cause() {
            Some(Cause::Opaque { message, .. }) => {
                message.unwrap_or("an error that says nothing").into()
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

    /// Returns everything that is worth remembering; the IDs are those of the current context.
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
        Context::peek(|context| match context {
            Some(context) => record
                .with_request_id(context.request_id())
                .with_correlation_id(context.correlation_id())
                .with_trace_id(context.trace_id().to_string()),
            None => record,
        })
    }
}

fn rejection_kind(end: &CallEnd<'_>) -> &'static str {
    match end.cause() {
        Some(Cause::Rejection(rejection)) => rejection.kind().as_str(),
        _ => "rejected",
    }
}

/// The cause says more than the status that it was answered with.
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

/// The gRPC code or the status, if it is no good one.
fn status_kind<'a>(end: &'a CallEnd<'a>) -> Option<Cow<'a, str>> {
    match (end.grpc_code(), &end.status) {
        (Some(code), _) => (code != GrpcCode::OK).then(|| code.as_str().into()),
        (None, Some(status)) => (status.as_u16() >= 400).then(|| status.as_str().into()),
        (None, None) => None,
    }
}

/// Nobody said why; the status is all there is.
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

    fn kind(end: &CallEnd<'_>, statuses: StatusRules) -> Option<String> {
        Some(ErrorDescription::from_end(end, statuses)?.kind().to_owned())
    }

    fn with_status(outcome: Outcome, status: u16, now: &CallClock) -> CallEnd<'_> {
        let mut end = CallEnd::new(outcome, now);
        end.status = Some(StatusCode::from_u16(status).expect("a status"));
        end
    }

    #[test]
    fn fault_of_a_status_depends_on_whose_it_is() {
        let now = CallClock::default();
        let table = [
            (Outcome::Success, 200, None, None),
            (Outcome::ClientError, 404, None, Some("404")),
            (Outcome::Overload, 429, None, Some("429")),
            (Outcome::Overload, 503, Some("503"), Some("503")),
            (Outcome::Failure, 500, Some("500"), Some("500")),
            // A classifier says so.
            (Outcome::Failure, 200, Some("failure"), Some("failure")),
            (Outcome::Success, 500, Some("500"), Some("500")),
        ];
        for (outcome, status, of_server, of_client) in table {
            let end = with_status(outcome, status, &now);
            let found = (
                kind(&end, StatusRules::Server),
                kind(&end, StatusRules::Client),
            );
            let expected = (of_server.map(str::to_owned), of_client.map(str::to_owned));
            assert_eq!(found, expected, "{outcome:?} {status}");
        }
    }

    #[test]
    fn fault_of_a_grpc_code_depends_on_whose_it_is() {
        let now = CallClock::default();
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
        for (code, outcome, of_server, of_client) in table {
            let mut end = with_status(outcome, 200, &now);
            end.grpc_code = Some(GrpcCode::parse(code.as_bytes()));
            let found = (
                kind(&end, StatusRules::Server),
                kind(&end, StatusRules::Client),
            );
            let expected = (of_server.map(str::to_owned), of_client.map(str::to_owned));
            assert_eq!(found, expected, "{outcome:?} {code}");
        }
    }

    #[test]
    fn fault_is_called_by_its_cause_rather_than_by_the_status() {
        let now = CallClock::default();
        let error = io::Error::from(io::ErrorKind::ConnectionReset);
        let refused = Rejection::overloaded("shed");
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
                Cause::Rejection(&refused),
                refused.kind().as_str(),
            ),
            (
                Outcome::Failure,
                Cause::Rejection(&refused),
                refused.kind().as_str(),
            ),
            (Outcome::Panicked, Cause::Panic("ouch"), "panic"),
            (Outcome::Failure, Cause::GrpcMessage("no disk"), "500"),
        ];
        for (outcome, cause, expected) in table {
            let end = with_status(outcome, 500, &now).with_cause(cause);
            assert_eq!(kind(&end, StatusRules::Server).as_deref(), Some(expected));
        }
    }

    #[test]
    fn fault_without_a_cause_or_a_status_goes_by_its_outcome() {
        let now = CallClock::default();
        let table = [
            (Outcome::TimedOut, "timeout", "no time was left"),
            (Outcome::Failure, "failure", "no reason was given"),
            (Outcome::Rejected, "rejected", "no reason was given"),
            (Outcome::Cancelled, "cancelled", "no reason was given"),
        ];
        for (outcome, kind, message) in table {
            let end = CallEnd::new(outcome, &now);
            let record = ErrorDescription::from_end(&end, StatusRules::Server)
                .expect("a fault")
                .error_record();
            assert_eq!((record.kind(), record.message()), (kind, message));
            assert_eq!(record.outcome(), outcome.as_str());
        }
    }

    #[test]
    fn record_says_what_the_fault_says_and_what_caused_it() {
        let now = CallClock::default();
        let inner = io::Error::from(io::ErrorKind::ConnectionReset);
        let error = io::Error::other(inner);
        let end = with_status(Outcome::Failure, 500, &now).with_cause(Cause::Error(&error));
        let record = ErrorDescription::from_end(&end, StatusRules::Server)
            .expect("a fault")
            .error_record();
        assert_eq!(record.kind(), "io::ConnectionReset");
        assert_eq!(record.message(), error.to_string());
        let end = with_status(Outcome::Failure, 500, &now).with_cause(Cause::WrongLength {
            content_length: 7,
            bytes_sent: 5,
        });
        let record = ErrorDescription::from_end(&end, StatusRules::Server)
            .expect("a fault")
            .error_record();
        assert_eq!(
            record.message(),
            "the body ended after 5 bytes, its content-length is 7"
        );
    }
}
