use std::{convert::Infallible, fmt, future::Pending, time::Duration};

use super::{
    FailedCall, FallbackInfo, alternative::Alternative, error::FallbackError, produced::Produced,
};

/// An alternative that responds with what a closure makes of the failed call. Made by `FallbackLayer::with`.
#[derive(Clone, Copy)]
pub struct FromFn<F>(pub(super) F);

impl<Req, F, Res> Alternative<Req> for FromFn<F>
where
    F: Fn(&FailedCall<'_>) -> Res,
{
    type Response = Res;
    type InnerRequest = Req;
    type Error = Infallible;
    type Retained = ();
    type FallbackRequest = Infallible;
    type Future = Pending<Result<Res, (FallbackError, Infallible)>>;

    fn retain_request(&self, request: Req, _: Option<Duration>) -> (Req, ()) {
        (request, ())
    }

    fn respond(&self, failed: &FailedCall<'_>, (): ()) -> Produced<Res, Infallible> {
        Produced::caught(|| (self.0)(failed))
    }

    fn call(&self, never: Infallible, _: FallbackInfo) -> Self::Future {
        // `respond` asks for no call.
        match never {}
    }
}

impl<F> fmt::Debug for FromFn<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("FromFn")
            .field(&std::any::type_name::<F>())
            .finish()
    }
}
