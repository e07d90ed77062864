use bytes::Bytes;
use http::Response;

use super::{
    HttpExchange,
    local_response::{panic_response, rejection_response, timeout_response},
};
use crate::call::{BoxError, Elapsed, Rejection};

/// A failure of this process, to which it responds in the service's place. `R` is a rejection as the protocol hands it on.
#[derive(Debug)]
pub enum LocalFailure<'a, R> {
    /// A guard of this process rejected the call.
    Rejected(R),
    /// The call took too long.
    TimedOut(Elapsed),
    /// The service panicked, with this message.
    Panicked(&'a str),
}

impl LocalFailure<'_, Rejection> {
    /// Returns the response in the wire format of the call.
    pub(super) fn into_response(self, call: &HttpExchange) -> Response<Bytes> {
        match self {
            LocalFailure::Rejected(why) => rejection_response(call, why),
            LocalFailure::TimedOut(why) => timeout_response(call, why),
            LocalFailure::Panicked(message) => panic_response(call, message),
        }
    }
}

impl LocalFailure<'_, Box<Rejection>> {
    pub(super) fn into_error(self) -> BoxError {
        match self {
            LocalFailure::Rejected(why) => why,
            LocalFailure::TimedOut(why) => why.into(),
            LocalFailure::Panicked(message) => message.into(),
        }
    }
}
