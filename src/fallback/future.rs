use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use pin_project_lite::pin_project;

use super::{
    FailedCall,
    alternative::Alternative,
    classify::classify_failure,
    layer_error::IntoLayerError,
    layer_shared::{LayerShared, MergedResult},
    merge::Merge,
    produced::Produced,
    until_deadline::{DeadlineElapsed, UntilDeadline},
};
use crate::{
    call::{Outcome, drop_on_timeout},
    protocol::{CallState, LocalFailure, Protocol},
    util::poll::POLLED_AFTER_COMPLETION,
};

pin_project! {
    /// The future of a call with a fallback. Named and unboxed.
    #[must_use = "futures do nothing unless polled"]
    pub struct FallbackFuture<F, Req, P, A>
    where
        P: Protocol,
        A: Alternative<Req>,
    {
        #[pin]
        state: FallbackState<F, A::Future>,
        call: P::Call,
        // What the alternative needs of the request; dropped once the call has succeeded.
        retained: Option<A::Retained>,
        shared: Arc<LayerShared<P, A>>,
    }
}

pin_project! {
    #[project = FallbackStateProj]
    enum FallbackState<F, G> {
        Calling { #[pin] future: F },
        CallingFallback { #[pin] future: UntilDeadline<G>, outcome: Outcome },
        Done,
    }
}

impl<F, Req, P, A> FallbackFuture<F, Req, P, A>
where
    P: Protocol,
    A: Alternative<Req>,
{
    pub(super) fn new(
        future: F,
        call: P::Call,
        retained: A::Retained,
        shared: Arc<LayerShared<P, A>>,
    ) -> Self {
        FallbackFuture {
            state: FallbackState::Calling { future },
            call,
            retained: Some(retained),
            shared,
        }
    }
}

impl<F, Req, P, A> FallbackFuture<F, Req, P, A>
where
    P: Protocol,
    A: Alternative<Req>,
{
    /// Has the alternative respond if the call has failed. Returns the result, unless the fallback service is called for
    /// it.
    fn on_result<Res, E>(
        self: Pin<&mut Self>,
        mut result: Result<Res, P::Error>,
    ) -> Option<MergedResult<P, Res, E, A::Response>>
    where
        P: Merge<Res, E, A::Response>,
    {
        let mut this = self.project();
        let shared = &**this.shared;
        let fallback = &*shared.fallback.shared;
        let produce = |failed: &FailedCall<'_>| shared.produce(failed, this.retained);
        let produced =
            classify_failure::<P, Res, E, _>(&shared.protocol, this.call, &mut result, produce);
        // A success, or a failure that the fallback does not apply to.
        let Some((outcome, produced)) = produced.flatten() else {
            return Some(result.map(P::from_service));
        };
        match produced {
            Produced::Ready(response) => {
                // First, since the failed response may hold a connection.
                drop(result);
                Some(Ok(shared.finish_value::<Res, E, _>(response, outcome)))
            }
            Produced::NeedsCall(request, deadline) => {
                // Before the fallback service is called, so that nothing is held meanwhile.
                drop(result);
                let future = shared.alternative.call(request, fallback.info(outcome));
                let future = UntilDeadline::new(future, deadline);
                this.state
                    .set(FallbackState::CallingFallback { future, outcome });
                None
            }
            Produced::Unavailable(reason) => {
                // Nothing else can respond, so the caller gets the failure as it is.
                fallback.report_failed(outcome, reason);
                Some(result.map(P::from_service))
            }
        }
    }

    /// Completes the call with the result of the fallback service. `outcome` is that of the failed call.
    fn on_fallback_result<Res, E>(
        self: Pin<&mut Self>,
        result: <UntilDeadline<A::Future> as Future>::Output,
        outcome: Outcome,
    ) -> MergedResult<P, Res, E, A::Response>
    where
        P: Merge<Res, E, A::Response>,
        A::Error: IntoLayerError<P::Error>,
    {
        let mut this = self.project();
        let shared = &**this.shared;
        match result {
            Ok(result) => {
                this.state.set(FallbackState::Done);
                shared.finish_service::<Res, E, _, _>(this.call, result, outcome)
            }
            Err(DeadlineElapsed) => {
                let elapsed = shared.fallback.shared.record_elapsed(outcome);
                // The call is dropped before its timeout is reported.
                let elapsed = drop_on_timeout(elapsed, || this.state.set(FallbackState::Done));
                // Responds to the request, whatever the failed response was.
                this.call.reset();
                let failure = LocalFailure::TimedOut(elapsed);
                let response = P::local_response(this.call, failure);
                response.map(P::message_response::<P::BodyWrapper>)
            }
        }
    }
}

impl<F, Req, P, A, Res, E> Future for FallbackFuture<F, Req, P, A>
where
    // The call.
    F: Future<Output = Result<Res, E>>,
    // What responds if it fails.
    A: Alternative<Req>,
    A::Error: IntoLayerError<P::Error>,
    // How calls are classified, and the two responses become one.
    P: Merge<Res, E, A::Response>,
{
    type Output = MergedResult<P, Res, E, A::Response>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        loop {
            match self.as_mut().project().state.project() {
                FallbackStateProj::Calling { future } => {
                    let result = ready!(future.poll(cx)).map_err(P::convert_error);
                    if let Some(result) = self.as_mut().on_result::<Res, E>(result) {
                        return Poll::Ready(result);
                    }
                    // The fallback service is called now, and must be polled before this returns `Pending`.
                }
                FallbackStateProj::CallingFallback { future, outcome } => {
                    let (result, outcome) = (ready!(future.poll(cx)), *outcome);
                    return Poll::Ready(self.on_fallback_result::<Res, E>(result, outcome));
                }
                FallbackStateProj::Done => panic!("{POLLED_AFTER_COMPLETION}"),
            }
        }
    }
}

impl<F, Req, P, A> fmt::Debug for FallbackFuture<F, Req, P, A>
where
    P: Protocol,
    A: Alternative<Req>,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FallbackFuture")
            .field("fallback", &self.shared.fallback)
            .finish_non_exhaustive()
    }
}
