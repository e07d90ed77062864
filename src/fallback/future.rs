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
    alternative::{Alternative, IntoLayerError, Produced},
    classify::classify_failure,
    layer::LayerShared,
    merge::Merge,
    settings::{FallbackError, is_failure_by_default},
    until_deadline::{DeadlineElapsed, UntilDeadline},
};
use crate::{
    call::{Outcome, drop_on_timeout},
    protocol::{CallState, LocalFailure, Protocol, Respond},
};

pin_project! {
    /// The future of a call with a fallback. Named and unboxed.
    #[must_use = "futures do nothing unless polled"]
    pub struct FallbackFuture<F, Req, P, Src>
    where
        P: Protocol,
        Src: Alternative<Req>,
    {
        #[pin]
        state: State<F, Src::Future>,
        notes: P::Call,
        // For the other service, until it is known whether that is wanted.
        kept: Option<Src::Kept>,
        shared: Arc<LayerShared<P, Src>>,
    }
}

pin_project! {
    #[project = StateProj]
    enum State<F, G> {
        Calling { #[pin] call: F },
        Falling { #[pin] other: UntilDeadline<G>, outcome: Outcome },
        Over,
    }
}

impl<F, Req, P, Src> FallbackFuture<F, Req, P, Src>
where
    P: Protocol,
    Src: Alternative<Req>,
{
    pub(super) fn new(
        call: F,
        notes: P::Call,
        kept: Src::Kept,
        shared: Arc<LayerShared<P, Src>>,
    ) -> Self {
        FallbackFuture {
            state: State::Calling { call },
            notes,
            kept: Some(kept),
            shared,
        }
    }
}

impl<F, Req, P, Src, Res, E> Future for FallbackFuture<F, Req, P, Src>
where
    // The call.
    F: Future<Output = Result<Res, E>>,
    // Where the other answer comes from.
    Src: Alternative<Req>,
    Src::Error: IntoLayerError<P::Error>,
    // How calls are judged, and the two answers become one.
    P: Merge<Res, E, Src::Response>,
{
    type Output = Result<MergedResponse<P, Res, E, Src::Response>, P::Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        let shared = &**this.shared;
        loop {
            match this.state.as_mut().project() {
                StateProj::Calling { call } => {
                    let mut result = ready!(call.poll(cx)).map_err(P::convert_error);
                    let answer = |failed: &FailedCall<'_>| shared.produce(failed, this.kept);
                    let protocol = &*shared.protocol;
                    let answer =
                        classify_failure::<P, Res, E, _>(protocol, this.notes, &mut result, answer);
                    let Some((outcome, made)) = answer.flatten() else {
                        return Poll::Ready(result.map(P::from_service));
                    };
                    match made {
                        Produced::Ready(answer) => {
                            drop(result);
                            let served = shared.finish_value::<Res, E, _>(answer, outcome);
                            return Poll::Ready(Ok(served));
                        }
                        Produced::NeedsCall(again, until) => {
                            // Whatever the failed call holds is let go of before the other begins.
                            drop(result);
                            let served = shared.fallback.shared.info(outcome);
                            let other =
                                UntilDeadline::new(shared.alternative.call(again, served), until);
                            this.state.set(State::Falling { other, outcome });
                        }
                        Produced::Unavailable(why) => {
                            shared.fallback.shared.report_failed(outcome, why);
                            return Poll::Ready(result.map(P::from_service));
                        }
                    }
                }
                StateProj::Falling { other, outcome } => {
                    let (answer, outcome) = (ready!(other.poll(cx)), *outcome);
                    return Poll::Ready(match answer {
                        Ok(answer) => {
                            this.state.set(State::Over);
                            shared.finish_service::<Res, E, _, _>(this.notes, answer, outcome)
                        }
                        Err(DeadlineElapsed) => {
                            let why = shared.fallback.shared.record_elapsed(outcome);
                            // Given up before it is answered for.
                            let why = drop_on_timeout(why, || this.state.set(State::Over));
                            // Speaks as was asked, whatever the failed answer spoke.
                            this.notes.reset();
                            let answer = P::local_response(this.notes, LocalFailure::TimedOut(why));
                            answer.map(P::message_response::<P::Bodies>)
                        }
                    });
                }
                StateProj::Over => panic!("polled after completion"),
            }
        }
    }
}

/// The result of a service with a fallback.
pub(super) type MergedResponse<P, Res, E, Alt> =
    <P as Respond<Res, E>>::Response<<P as Merge<Res, E, Alt>>::Bodies>;

/// The alternative to a call, and how the call ended.
type ProducedFor<Src, Req> = (
    Outcome,
    Produced<<Src as Alternative<Req>>::Response, <Src as Alternative<Req>>::Again>,
);

impl<P, Src> LayerShared<P, Src> {
    /// The other answer, if there is to be one, and what it is in place of.
    fn produce<Req>(
        &self,
        failed: &FailedCall<'_>,
        kept: &mut Option<Src::Kept>,
    ) -> Option<ProducedFor<Src, Req>>
    where
        Src: Alternative<Req>,
    {
        if !self.fallback.shared.applies_to(failed) {
            return None;
        }
        let kept = kept.take()?;
        Some((failed.outcome(), self.alternative.respond(failed, kept)))
    }

    fn finish_value<Res, E, Alt>(
        &self,
        answer: Alt,
        outcome: Outcome,
    ) -> MergedResponse<P, Res, E, Alt>
    where
        P: Merge<Res, E, Alt>,
    {
        let fallback = &self.fallback.shared;
        fallback.report_served(outcome);
        self.tag::<Res, E, Alt>(answer, outcome)
    }

    /// The other service has answered. Its answer is the answer, be it as bad.
    fn finish_service<Res, E, Alt, X>(
        &self,
        notes: &mut P::Call,
        answer: Result<Alt, (FallbackError, X)>,
        outcome: Outcome,
    ) -> Result<MergedResponse<P, Res, E, Alt>, P::Error>
    where
        P: Merge<Res, E, Alt>,
        X: IntoLayerError<P::Error>,
    {
        let fallback = &self.fallback.shared;
        match answer {
            Ok(mut answer) => {
                self.protocol.classify_fallback(notes, &mut answer);
                if is_failure_by_default(notes.classification().outcome) {
                    fallback.report_failed(outcome, FallbackError::Failed);
                } else {
                    fallback.report_served(outcome);
                }
                Ok(self.tag::<Res, E, Alt>(answer, outcome))
            }
            Err((why, error)) => {
                fallback.report_failed(outcome, why);
                Err(error.into_layer_error())
            }
        }
    }

    fn tag<Res, E, Alt>(&self, answer: Alt, outcome: Outcome) -> MergedResponse<P, Res, E, Alt>
    where
        P: Merge<Res, E, Alt>,
    {
        let fallback = &self.fallback.shared;
        P::from_fallback(answer, fallback.info(outcome), fallback.header.as_ref())
    }
}

impl<F, Req, P, Src> fmt::Debug for FallbackFuture<F, Req, P, Src>
where
    P: Protocol,
    Src: Alternative<Req>,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FallbackFuture")
            .field("fallback", &self.shared.fallback)
            .finish_non_exhaustive()
    }
}
