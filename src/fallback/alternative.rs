use std::{future::Future, time::Duration};

use super::{FailedCall, FallbackInfo, error::FallbackError, produced::Produced};

/// A source of responses for failed calls: a value, a closure, another service. Implemented by
/// [`FromValue`](super::FromValue), [`FromFn`](super::FromFn), [`FromService`](super::FromService) and
/// [`FromHttpService`](super::FromHttpService) only.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot respond to requests of type `{Req}`",
    note = "use `.with(closure)`, `.service(other)` or, for any service, `.value(response)`",
    note = "another service is sent a clone of the request; over HTTP its body is a `ReplayBody`, or what `request_body` makes of it"
)]
pub trait Alternative<Req> {
    /// The response.
    type Response;
    /// The request that the wrapped service is sent.
    type InnerRequest;
    type Error;
    /// The part of the request that is retained until the call has succeeded or failed.
    type Retained;
    /// The request that the fallback service is sent.
    type FallbackRequest;
    type Future: Future<Output = Result<Self::Response, (FallbackError, Self::Error)>>;

    /// Splits a request into what the wrapped service is sent and what is retained of it.
    fn retain_request(
        &self,
        request: Req,
        time_limit: Option<Duration>,
    ) -> (Self::InnerRequest, Self::Retained);

    /// Produces the response, or the request for it, while the failed result is still there to look at.
    fn respond(
        &self,
        failed: &FailedCall<'_>,
        retained: Self::Retained,
    ) -> Produced<Self::Response, Self::FallbackRequest>;

    /// Calls the fallback service.
    fn call(&self, request: Self::FallbackRequest, info: FallbackInfo) -> Self::Future;
}
