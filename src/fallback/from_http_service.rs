use std::time::Duration;

use bytes::Bytes;
use http::Request;
use http_body::Body;
use tower_service::Service;

use super::{
    FailedCall, FallbackInfo,
    alternative::Alternative,
    error::FallbackError,
    from_service_future::FromServiceFuture,
    layer_error::ServiceError,
    produced::{Produced, remaining_deadline},
    retained_request::RetainedRequest,
};
use crate::{call::BoxError, retry::MapBody};

/// An alternative that sends requests which were not begun, or may be repeated, to another HTTP service. Made by
/// [`FallbackLayer::service`](super::FallbackLayer::service).
#[doc(hidden)]
#[derive(Clone, Copy, Debug)]
pub struct FromHttpService<T, M = ()> {
    pub(super) service: T,
    pub(super) map: M,
}

impl<T, M, B> Alternative<Request<B>> for FromHttpService<T, M>
where
    // The request's body, and what both services take in its stead.
    B: Body<Data = Bytes, Error: Into<BoxError>> + Unpin,
    M: MapBody<B>,
    // The fallback service.
    T: Service<Request<M::Body>> + Clone,
{
    type Response = T::Response;
    type InnerRequest = Request<M::Body>;
    type Error = ServiceError<T::Error>;
    type Retained = RetainedRequest<B>;
    type FallbackRequest = Request<M::Body>;
    type Future = FromServiceFuture<T, Request<M::Body>>;

    fn retain_request(
        &self,
        request: Request<B>,
        time_limit: Option<Duration>,
    ) -> (Self::InnerRequest, RetainedRequest<B>) {
        let (request, retained) = RetainedRequest::retain(request, time_limit);
        (request.map(|body| self.map.map_body(body)), retained)
    }

    fn respond(
        &self,
        failed: &FailedCall<'_>,
        retained: RetainedRequest<B>,
    ) -> Produced<T::Response, Self::FallbackRequest> {
        // While the failure can still be looked at: it proves whether the request was begun.
        if !retained.may_resend(failed) {
            return Produced::Unavailable(FallbackError::NotRepeatable);
        }
        let Some(deadline) = remaining_deadline(retained.caller_deadline()) else {
            return Produced::Unavailable(FallbackError::Deadline);
        };
        match retained.into_request() {
            Some(request) => {
                Produced::NeedsCall(request.map(|body| self.map.map_body(body)), deadline)
            }
            // The body outgrew its buffer in the meantime.
            None => Produced::Unavailable(FallbackError::NotRepeatable),
        }
    }

    fn call(&self, mut request: Self::FallbackRequest, info: FallbackInfo) -> Self::Future {
        request.extensions_mut().insert(info);
        // A clone for each call, which waits for its own readiness: the shared one is never polled.
        FromServiceFuture::new(self.service.clone(), request)
    }
}
