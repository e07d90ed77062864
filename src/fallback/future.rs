use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use pin_project_lite::pin_project;

use super::{
    Failed,
    bounded::{Bounded, TooLate},
    join::Join,
    judge::judge,
    layer::Shared,
    settings::{Unserved, by_default},
    source::{Lift, Made, Source},
};
use crate::{
    call::{Outcome, giving_up},
    protocol::{Instead, Notes, Protocol, Respond},
};

pin_project! {
    /// The future of a call with a fallback. Named and unboxed.
    #[must_use = "futures do nothing unless polled"]
    pub struct FallbackFuture<F, Req, P, Src>
    where
        P: Protocol,
        Src: Source<Req>,
    {
        #[pin]
        state: State<F, Src::Future>,
        notes: P::Call,
        // For the other service, until it is known whether that is wanted.
        kept: Option<Src::Kept>,
        shared: Arc<Shared<P, Src>>,
    }
}

pin_project! {
    #[project = StateProj]
    enum State<F, G> {
        Calling { #[pin] call: F },
        Falling { #[pin] other: Bounded<G>, outcome: Outcome },
        Over,
    }
}

impl<F, Req, P, Src> FallbackFuture<F, Req, P, Src>
where
    P: Protocol,
    Src: Source<Req>,
{
    pub(super) fn new(
        call: F,
        notes: P::Call,
        kept: Src::Kept,
        shared: Arc<Shared<P, Src>>,
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
    Src: Source<Req>,
    Src::Error: Lift<P::Error>,
    // How calls are judged, and the two answers become one.
    P: Join<Res, E, Src::Response>,
{
    type Output = Result<Joined<P, Res, E, Src::Response>, P::Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        let shared = &**this.shared;
        loop {
            match this.state.as_mut().project() {
                StateProj::Calling { call } => {
                    let mut result = ready!(call.poll(cx)).map_err(P::error);
                    let answer = |failed: &Failed<'_>| shared.answer(failed, this.kept);
                    let protocol = &*shared.protocol;
                    let answer = judge::<P, Res, E, _>(protocol, this.notes, &mut result, answer);
                    let Some((outcome, made)) = answer.flatten() else {
                        return Poll::Ready(result.map(P::pass));
                    };
                    match made {
                        Made::Answer(answer) => {
                            drop(result);
                            let served = shared.served::<Res, E, _>(answer, outcome);
                            return Poll::Ready(Ok(served));
                        }
                        Made::Later(again, until) => {
                            // Whatever the failed call holds is let go of before the other begins.
                            drop(result);
                            let served = shared.fallback.shared.mark(outcome);
                            let other = Bounded::new(shared.source.begin(again, served), until);
                            this.state.set(State::Falling { other, outcome });
                        }
                        Made::Not(why) => {
                            shared.fallback.shared.count_unserved(outcome, why);
                            return Poll::Ready(result.map(P::pass));
                        }
                    }
                }
                StateProj::Falling { other, outcome } => {
                    let (answer, outcome) = (ready!(other.poll(cx)), *outcome);
                    return Poll::Ready(match answer {
                        Ok(answer) => {
                            this.state.set(State::Over);
                            shared.answered::<Res, E, _, _>(this.notes, answer, outcome)
                        }
                        Err(TooLate) => {
                            let why = shared.fallback.shared.too_late(outcome);
                            // Given up before it is answered for.
                            let why = giving_up(why, || this.state.set(State::Over));
                            // Speaks as was asked, whatever the failed answer spoke.
                            this.notes.begin_again();
                            let answer = P::instead(this.notes, Instead::TimedOut(why));
                            answer.map(P::say::<P::Bodies>)
                        }
                    });
                }
                StateProj::Over => panic!("polled after completion"),
            }
        }
    }
}

/// The result of a service with a fallback.
pub(super) type Joined<P, Res, E, Alt> =
    <P as Respond<Res, E>>::Response<<P as Join<Res, E, Alt>>::Bodies>;

/// The alternative to a call, and how the call ended.
type InPlaceOf<Src, Req> = (
    Outcome,
    Made<<Src as Source<Req>>::Response, <Src as Source<Req>>::Again>,
);

impl<P, Src> Shared<P, Src> {
    /// The other answer, if there is to be one, and what it is in place of.
    fn answer<Req>(
        &self,
        failed: &Failed<'_>,
        kept: &mut Option<Src::Kept>,
    ) -> Option<InPlaceOf<Src, Req>>
    where
        Src: Source<Req>,
    {
        if !self.fallback.shared.wants(failed) {
            return None;
        }
        let kept = kept.take()?;
        Some((failed.outcome(), self.source.make(failed, kept)))
    }

    fn served<Res, E, Alt>(&self, answer: Alt, outcome: Outcome) -> Joined<P, Res, E, Alt>
    where
        P: Join<Res, E, Alt>,
    {
        let fallback = &self.fallback.shared;
        fallback.count_served(outcome);
        self.marked::<Res, E, Alt>(answer, outcome)
    }

    /// The other service has answered. Its answer is the answer, be it as bad.
    fn answered<Res, E, Alt, X>(
        &self,
        notes: &mut P::Call,
        answer: Result<Alt, (Unserved, X)>,
        outcome: Outcome,
    ) -> Result<Joined<P, Res, E, Alt>, P::Error>
    where
        P: Join<Res, E, Alt>,
        X: Lift<P::Error>,
    {
        let fallback = &self.fallback.shared;
        match answer {
            Ok(mut answer) => {
                self.protocol.judge_other(notes, &mut answer);
                if by_default(notes.judged().outcome) {
                    fallback.count_unserved(outcome, Unserved::Failed);
                } else {
                    fallback.count_served(outcome);
                }
                Ok(self.marked::<Res, E, Alt>(answer, outcome))
            }
            Err((why, error)) => {
                fallback.count_unserved(outcome, why);
                Err(error.lift())
            }
        }
    }

    fn marked<Res, E, Alt>(&self, answer: Alt, outcome: Outcome) -> Joined<P, Res, E, Alt>
    where
        P: Join<Res, E, Alt>,
    {
        let fallback = &self.fallback.shared;
        P::join(answer, fallback.mark(outcome), fallback.header.as_ref())
    }
}

impl<F, Req, P, Src> fmt::Debug for FallbackFuture<F, Req, P, Src>
where
    P: Protocol,
    Src: Source<Req>,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FallbackFuture")
            .field("fallback", &self.shared.fallback)
            .finish_non_exhaustive()
    }
}
