use std::time::Duration;

use bytes::Bytes;
use http::Request;
use http_body::Body;
use tower_service::Service;

use super::{
    FailedCall, FallbackInfo, FromServiceFuture,
    alternative::{Alternative, Produced, remaining_deadline},
    from_service::ServiceError,
    retained_request::RetainedRequest,
    settings::FallbackError,
};
use crate::{call::BoxError, retry::MapBody};

/// Another HTTP service, which is sent what was not begun, or may be done twice. Made by
/// [`FallbackLayer::service`](super::FallbackLayer::service).
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
    // The other service.
    T: Service<Request<M::Body>> + Clone,
{
    type Response = T::Response;
    type Sent = Request<M::Body>;
    type Error = ServiceError<T::Error>;
    type Kept = RetainedRequest<B>;
    type Again = Request<M::Body>;
    type Future = FromServiceFuture<T, Request<M::Body>>;

    fn retain_request(
        &self,
        request: Request<B>,
        time_limit: Option<Duration>,
    ) -> (Self::Sent, RetainedRequest<B>) {
        let (sent, kept) = RetainedRequest::retain(request, time_limit);
        (sent.map(|body| self.map.map_body(body)), kept)
    }

    fn respond(
        &self,
        failed: &FailedCall<'_>,
        kept: RetainedRequest<B>,
    ) -> Produced<T::Response, Self::Again> {
        if !kept.may_resend(failed) {
            return Produced::Unavailable(FallbackError::NotRepeatable);
        }
        let Some(until) = remaining_deadline(kept.caller_deadline()) else {
            return Produced::Unavailable(FallbackError::Deadline);
        };
        match kept.into_request() {
            Some(again) => Produced::NeedsCall(again.map(|body| self.map.map_body(body)), until),
            // Grew too long just now.
            None => Produced::Unavailable(FallbackError::NotRepeatable),
        }
    }

    fn call(&self, mut again: Self::Again, served: FallbackInfo) -> Self::Future {
        again.extensions_mut().insert(served);
        FromServiceFuture::new(self.service.clone(), again)
    }
}
