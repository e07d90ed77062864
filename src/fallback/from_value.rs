use std::{convert::Infallible, future::Pending, time::Duration};

use super::{
    FailedCall, FallbackInfo, alternative::Alternative, error::FallbackError, produced::Produced,
};

/// An alternative that responds with clones of a value. Made by [`FallbackLayer::value`](super::FallbackLayer::value).
#[doc(hidden)]
#[derive(Clone, Copy, Debug)]
pub struct FromValue<V>(pub(super) V);

impl<Req, V: Clone> Alternative<Req> for FromValue<V> {
    type Response = V;
    type InnerRequest = Req;
    type Error = Infallible;
    type Retained = ();
    type FallbackRequest = Infallible;
    type Future = Pending<Result<V, (FallbackError, Infallible)>>;

    fn retain_request(&self, request: Req, _: Option<Duration>) -> (Req, ()) {
        (request, ())
    }

    fn respond(&self, _: &FailedCall<'_>, (): ()) -> Produced<V, Infallible> {
        // `Clone` is code of the application, too.
        Produced::caught(|| self.0.clone())
    }

    fn call(&self, never: Infallible, _: FallbackInfo) -> Self::Future {
        // `respond` asks for no call.
        match never {}
    }
}
