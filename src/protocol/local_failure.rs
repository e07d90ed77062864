use bytes::Bytes;
use http::{Response, StatusCode};

use super::{
    HttpExchange,
    local_response::{injected_response, panic_response, rejection_response, timeout_response},
};
use crate::call::{BoxError, Elapsed, GrpcCode, Rejection};

/// A failure of this process, to which it responds in the service's place. `R` is a rejection as the protocol hands it on.
#[derive(Debug)]
pub enum LocalFailure<'a, R> {
    /// A guard of this process rejected the call.
    Rejected(R),
    /// The call took too long.
    TimedOut(Elapsed),
    /// The service panicked, with this message.
    Panicked(&'a str),
    /// The call fails on purpose, as a service that fails would make it.
    Injected(InjectedFailure),
}

/// A failure on purpose.
#[derive(Debug)]
pub struct InjectedFailure {
    /// The error, where a failure is one.
    pub(crate) error: BoxError,
    /// The status and the code of the response, where a failure is one; `None` for a failure without a response.
    pub(crate) response: Option<(StatusCode, GrpcCode)>,
}

impl InjectedFailure {
    /// Returns status and code of the response. Where the caller must have one, that of a failure without is a handler's.
    fn status(&self) -> (StatusCode, GrpcCode) {
        let failed = (StatusCode::INTERNAL_SERVER_ERROR, GrpcCode::INTERNAL);
        self.response.unwrap_or(failed)
    }
}

impl LocalFailure<'_, Rejection> {
    /// Returns the response in the wire format of the call.
    pub(super) fn into_response(self, call: &HttpExchange) -> Response<Bytes> {
        match self {
            LocalFailure::Rejected(why) => rejection_response(call, why),
            LocalFailure::TimedOut(why) => timeout_response(call, why),
            LocalFailure::Panicked(message) => panic_response(call, message),
            LocalFailure::Injected(failure) => injected_response(call, failure.status()),
        }
    }
}

impl LocalFailure<'_, Box<Rejection>> {
    pub(super) fn into_error(self) -> BoxError {
        match self {
            LocalFailure::Rejected(why) => why,
            LocalFailure::TimedOut(why) => why.into(),
            LocalFailure::Panicked(message) => message.into(),
            LocalFailure::Injected(failure) => failure.error,
        }
    }
}
