//! The labels of a call, as small numbers that are cheap to store and to compare.

use super::{long_lived::LongLived, request_labels::RequestLabels};
use crate::{
    call::{CallEnd, GrpcCode},
    context::Context,
    errors::error_description::ErrorDescription,
    protocol::Side,
    util::append_map::Interner,
};

/// The labels of a completed call in metrics, the access log and the span.
#[derive(Clone, Copy, Debug)]
pub(super) struct CallLabels<'a> {
    pub(super) request: RequestLabels,
    /// ID of the target.
    pub(super) target: Option<u16>,
    pub(super) target_name: Option<&'a str>,
    pub(super) status: Option<u16>,
    pub(super) grpc_code: Option<GrpcCode>,
    pub(super) error: ErrorLabel,
    pub(super) long_lived: LongLived,
}

impl<'a> CallLabels<'a> {
    /// Returns the server that an HTTP client has called.
    pub(super) fn server(&self) -> Option<&'a str> {
        // The target of a gRPC client is its method.
        let is_server = self.request.is_client() && !self.request.is_grpc;
        self.target_name.filter(|_| is_server)
    }

    /// Returns the route of a server, or the gRPC method.
    pub(super) fn route(&self) -> Option<&'a str> {
        self.target_name.filter(|_| self.server().is_none())
    }
}

/// The `error.type` of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ErrorLabel {
    None,
    /// The same text as the status or the gRPC code.
    Status,
    /// Another text, by its ID.
    Named(u16),
}

impl ErrorLabel {
    /// Returns the label of a call. Texts that differ from the status are few: the application determines them, not the
    /// peer.
    pub(super) fn new(
        error: Option<&ErrorDescription<'_>>,
        end: &CallEnd<'_>,
        error_types: &Interner,
    ) -> Self {
        let Some(kind) = error.map(ErrorDescription::kind) else {
            return ErrorLabel::None;
        };
        let is_status = match (end.grpc_code(), end.status()) {
            // The code first, since the HTTP status of a gRPC response means nothing.
            (Some(code), _) => code.as_str() == kind,
            (None, Some(status)) => status.as_str() == kind,
            (None, None) => false,
        };
        match is_status {
            true => ErrorLabel::Status,
            false => ErrorLabel::Named(error_types.intern(kind)),
        }
    }
}

/// Returns the number of earlier attempts of the [retry](crate::retry) around a client's call; `None` for the first.
pub(super) fn resend_count(side: Side, context: &Context) -> Option<i64> {
    match (side, context.attempt()) {
        (Side::Client, attempt @ 2..) => Some(i64::from(attempt) - 1),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use http::StatusCode;

    use super::*;
    use crate::call::{CallClock, Outcome};

    #[test]
    fn target_is_the_server_of_an_http_client_and_a_route_elsewhere() {
        let request = http::Request::new(());
        let names = |side, is_grpc| {
            let labels = CallLabels {
                request: RequestLabels::from_request(side, &request, false, is_grpc),
                target: Some(1),
                target_name: Some("name"),
                status: None,
                grpc_code: None,
                error: ErrorLabel::None,
                long_lived: LongLived::No,
            };
            (labels.server(), labels.route())
        };
        assert_eq!(names(Side::Client, false), (Some("name"), None));
        assert_eq!(names(Side::Client, true), (None, Some("name")));
        assert_eq!(names(Side::Server, false), (None, Some("name")));
        assert_eq!(names(Side::Server, true), (None, Some("name")));
    }

    #[test]
    fn resend_count_starts_at_the_second_attempt_of_a_client() {
        let context = Context::new_root();
        for (attempt, count) in [(1, None), (2, Some(1)), (4, Some(3))] {
            let context = context.with_attempt(attempt);
            assert_eq!(resend_count(Side::Client, &context), count);
            assert_eq!(resend_count(Side::Server, &context), None);
        }
    }

    #[test]
    fn error_label_is_the_status_or_a_name() {
        let (clock, types) = (CallClock::default(), Interner::new(2));
        let label = |status: Option<u16>, code: Option<&[u8]>| {
            let mut end = CallEnd::new(Outcome::Failure, &clock);
            end.status = status.map(|status| StatusCode::from_u16(status).expect("a status"));
            end.grpc_code = code.map(GrpcCode::parse);
            let error = ErrorDescription::from_end(&end, Side::Server);
            ErrorLabel::new(error.as_ref(), &end, &types)
        };
        let named = ErrorLabel::Named(1);
        assert_eq!(label(Some(500), None), ErrorLabel::Status);
        assert_eq!(label(Some(200), Some(b"13")), ErrorLabel::Status);
        // A classifier calls it a failure.
        assert_eq!(label(Some(200), None), named);
        assert_eq!(label(Some(200), Some(b"0")), named);
        assert_eq!(label(None, None), named);
        let good = CallEnd::new(Outcome::Success, &clock);
        assert_eq!(ErrorLabel::new(None, &good, &types), ErrorLabel::None);
        assert_eq!(types.resolve(1), "failure");
    }
}
