use std::error::Error;

use http::{HeaderMap, StatusCode};

use crate::call::{
    Classification, ClassifyInput, GrpcCode, Outcome, Rejection, is_overload, not_sent,
};

/// A failed call, as [`when`](super::FallbackBuilder::when) and closures that respond in its place see it.
#[derive(Debug)]
pub struct FailedCall<'a> {
    pub(super) input: ClassifyInput<'a>,
    pub(super) rejection: Option<&'a Rejection>,
    pub(super) is_grpc: bool,
    /// True if the call failed in a server's handler.
    pub(super) is_server: bool,
}

impl<'a> FailedCall<'a> {
    /// Makes the failed call of work that is no service.
    pub(crate) fn of_work(
        classification: Classification,
        error: Option<&'a (dyn Error + 'static)>,
    ) -> Self {
        FailedCall {
            input: ClassifyInput {
                error,
                ..ClassifyInput::new(classification)
            },
            rejection: error.and_then(Rejection::find),
            is_grpc: false,
            is_server: false,
        }
    }

    /// Returns whether a guard of this process rejected the call.
    pub(super) fn was_rejected(&self) -> bool {
        self.rejection.is_some() || self.error().is_some_and(is_overload)
    }

    /// Returns whether the error proves that the peer never began the call. A server's error is about a call of its own,
    /// since the handler has begun this one.
    pub(super) fn was_not_sent(&self) -> bool {
        !self.is_server && self.error().and_then(not_sent).is_some()
    }

    /// Returns the outcome. Never [`Success`](Outcome::Success).
    pub fn outcome(&self) -> Outcome {
        self.input.outcome()
    }

    /// Returns the rejection, if a guard of this process rejected the call.
    pub fn rejection(&self) -> Option<&'a Rejection> {
        self.rejection
    }

    /// Returns the error, if there was no response and the error implements [`Error`].
    pub fn error(&self) -> Option<&'a (dyn Error + 'static)> {
        self.input.error()
    }

    /// Returns whether the request was a gRPC call, which expects a gRPC response:
    /// [`grpc_message`](super::grpc_message()).
    pub fn is_grpc(&self) -> bool {
        self.is_grpc
    }

    /// Returns the status of an HTTP response.
    pub fn status(&self) -> Option<StatusCode> {
        self.input.status()
    }

    /// Returns the gRPC code in the headers of a response.
    pub fn grpc_code(&self) -> Option<GrpcCode> {
        self.input.grpc_code()
    }

    /// Returns the headers of an HTTP response.
    pub fn headers(&self) -> Option<&'a HeaderMap> {
        self.input.headers()
    }

    /// Returns a value that the service put into the extensions of an HTTP response.
    pub fn extension<T: Clone + Send + Sync + 'static>(&self) -> Option<&'a T> {
        self.input.extension()
    }

    /// Returns the response of a service other than HTTP, if it has this type.
    pub fn response<T: 'static>(&self) -> Option<&'a T> {
        self.input.response()
    }
}
