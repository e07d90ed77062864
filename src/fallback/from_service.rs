use std::time::Duration;

use tower_service::Service;

use super::{
    FailedCall, FallbackInfo,
    alternative::Alternative,
    error::FallbackError,
    from_service_future::FromServiceFuture,
    layer_error::ServiceError,
    produced::{Produced, remaining_deadline},
};

/// An alternative that sends a clone of the request to another service of any kind. Made by
/// [`FallbackLayer::service`](super::FallbackLayer::service).
#[doc(hidden)]
#[derive(Clone, Copy, Debug)]
pub struct FromService<T>(pub(super) T);

impl<Req: Clone, T: Service<Req> + Clone> Alternative<Req> for FromService<T> {
    type Response = T::Response;
    type InnerRequest = Req;
    type Error = ServiceError<T::Error>;
    type Retained = Req;
    type FallbackRequest = Req;
    type Future = FromServiceFuture<T, Req>;

    fn retain_request(&self, request: Req, _: Option<Duration>) -> (Req, Req) {
        // In advance: nobody knows yet whether the call fails, and the wrapped service takes the original.
        let retained = request.clone();
        (request, retained)
    }

    fn respond(&self, _: &FailedCall<'_>, retained: Req) -> Produced<T::Response, Req> {
        match remaining_deadline(None) {
            Some(deadline) => Produced::NeedsCall(retained, deadline),
            None => Produced::Unavailable(FallbackError::Deadline),
        }
    }

    fn call(&self, request: Req, _: FallbackInfo) -> Self::Future {
        // A clone for each call, which waits for its own readiness: the shared one is never polled.
        FromServiceFuture::new(self.0.clone(), request)
    }
}
