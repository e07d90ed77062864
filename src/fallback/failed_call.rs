use std::error::Error;

use http::{HeaderMap, StatusCode};

use crate::call::{ClassifyInput, GrpcCode, Label, Outcome, Rejection, is_overload, not_sent};

/// A call that has failed, as [`when`](super::FallbackBuilder::when) and closures that answer in its place see it.
#[derive(Debug)]
pub struct FailedCall<'a> {
    pub(super) input: ClassifyInput<'a>,
    pub(super) rejection: Option<&'a Rejection>,
    pub(super) is_grpc: bool,
    /// Whether a server's handler has failed.
    pub(super) is_server: bool,
}

impl<'a> FailedCall<'a> {
    /// Returns whether a guard of this process refused it.
    pub(super) fn was_rejected(&self) -> bool {
        self.rejection.is_some() || self.error().is_some_and(is_overload)
    }

    /// Returns whether the error proves that the peer never began it. A server's error speaks of another call: it has
    /// begun this one itself.
    pub(super) fn was_not_sent(&self) -> bool {
        !self.is_server && self.error().and_then(not_sent).is_some()
    }

    /// How it ended. Never [`Success`](Outcome::Success).
    pub fn outcome(&self) -> Outcome {
        self.input.outcome()
    }

    /// The refusal, if a guard of this process refused it.
    pub fn rejection(&self) -> Option<&'a Rejection> {
        self.rejection
    }

    /// The error, where there was no response. Not that of a service whose error cannot be looked into.
    pub fn error(&self) -> Option<&'a (dyn Error + 'static)> {
        self.input.error()
    }

    /// Whether the request was a gRPC call, which wants an answer in kind: a [`grpc_message`](super::grpc_message).
    pub fn is_grpc(&self) -> bool {
        self.is_grpc
    }

    /// The status of an HTTP response.
    pub fn status(&self) -> Option<StatusCode> {
        self.input.status()
    }

    /// The gRPC code in the headers of a response.
    pub fn grpc_code(&self) -> Option<GrpcCode> {
        self.input.grpc_code()
    }

    /// The headers of an HTTP response.
    pub fn headers(&self) -> Option<&'a HeaderMap> {
        self.input.headers()
    }

    /// What the service left in the extensions of an HTTP response.
    pub fn extension<T: Clone + Send + Sync + 'static>(&self) -> Option<&'a T> {
        self.input.extension()
    }

    /// The response of a plain service, if it is of this type.
    pub fn response<T: 'static>(&self) -> Option<&'a T> {
        self.input.response()
    }
}

/// Left in the extensions of a response that a fallback gave, and of a request that it sends to another service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FallbackInfo {
    pub(super) name: Label,
    pub(super) outcome: Outcome,
}

impl FallbackInfo {
    /// The fallback's name.
    pub fn name(&self) -> &str {
        self.name.as_str()
    }

    /// How the call ended that it is in place of.
    pub fn outcome(&self) -> Outcome {
        self.outcome
    }
}
