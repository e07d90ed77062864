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
    judge::{Join, Judge, Late, Read},
    layer::Shared,
    settings::{Unserved, by_default},
    source::{Lift, Made, Source},
};
use crate::call::{Outcome, giving_up};

pin_project! {
    /// The future of a call with a fallback. Named and unboxed.
    #[must_use = "futures do nothing unless polled"]
    pub struct FallbackFuture<F, Req, P, Src>
    where
        P: Read<Req>,
        Src: Source<Req>,
    {
        #[pin]
        state: State<F, Src::Future>,
        notes: P::Notes,
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
    P: Read<Req>,
    Src: Source<Req>,
{
    pub(super) fn new(
        call: F,
        notes: P::Notes,
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
    P: Read<Req> + Judge<Res, E, <P as Read<Req>>::Notes>,
    P: Join<Res, Src::Response, Notes = <P as Read<Req>>::Notes>,
    P: Late<<P as Read<Req>>::Notes, <P as Join<Res, Src::Response>>::Response, P::Error>,
{
    type Output = Result<<P as Join<Res, Src::Response>>::Response, P::Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        let shared = &**this.shared;
        loop {
            match this.state.as_mut().project() {
                StateProj::Calling { call } => {
                    let result = ready!(call.poll(cx)).map_err(P::convert);
                    let answer = |failed: &Failed<'_>| shared.answer(failed, this.kept);
                    let (result, answer) = shared.protocol.judge(this.notes, result, answer);
                    let Some((outcome, made)) = answer.flatten() else {
                        return Poll::Ready(result.map(P::pass));
                    };
                    match made {
                        Made::Answer(answer) => {
                            drop(result);
                            return Poll::Ready(Ok(shared.served(answer, outcome)));
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
                            shared.answered(this.notes, answer, outcome)
                        }
                        Err(TooLate) => {
                            let why = shared.fallback.shared.too_late(outcome);
                            // Given up before it is answered for.
                            let why = giving_up(why, || this.state.set(State::Over));
                            P::late(this.notes, why)
                        }
                    });
                }
                StateProj::Over => panic!("polled after completion"),
            }
        }
    }
}

/// What there is in place of a call that ended so.
type Instead<Src, Req> = (
    Outcome,
    Made<<Src as Source<Req>>::Response, <Src as Source<Req>>::Again>,
);

impl<P, Src> Shared<P, Src> {
    /// The other answer, if there is to be one, and what it is in place of.
    fn answer<Req>(
        &self,
        failed: &Failed<'_>,
        kept: &mut Option<Src::Kept>,
    ) -> Option<Instead<Src, Req>>
    where
        Src: Source<Req>,
    {
        if !self.fallback.shared.wants(failed) {
            return None;
        }
        let kept = kept.take()?;
        Some((failed.outcome(), self.source.make(failed, kept)))
    }

    fn served<Res, Alt>(&self, answer: Alt, outcome: Outcome) -> P::Response
    where
        P: Join<Res, Alt>,
    {
        let fallback = &self.fallback.shared;
        fallback.count_served(outcome);
        self.marked(answer, outcome)
    }

    /// The other service has answered. Its answer is the answer, be it as bad.
    fn answered<Res, Alt, X, E>(
        &self,
        notes: &mut P::Notes,
        answer: Result<Alt, (Unserved, X)>,
        outcome: Outcome,
    ) -> Result<P::Response, E>
    where
        P: Join<Res, Alt>,
        X: Lift<E>,
    {
        let fallback = &self.fallback.shared;
        match answer {
            Ok(answer) => {
                let (answer, how) = self.protocol.judge_other(notes, answer);
                if by_default(how) {
                    fallback.count_unserved(outcome, Unserved::Failed);
                } else {
                    fallback.count_served(outcome);
                }
                Ok(self.marked(answer, outcome))
            }
            Err((why, error)) => {
                fallback.count_unserved(outcome, why);
                Err(error.lift())
            }
        }
    }

    fn marked<Res, Alt>(&self, answer: Alt, outcome: Outcome) -> P::Response
    where
        P: Join<Res, Alt>,
    {
        let fallback = &self.fallback.shared;
        P::instead(answer, fallback.mark(outcome), fallback.header.as_ref())
    }
}

impl<F, Req, P, Src> fmt::Debug for FallbackFuture<F, Req, P, Src>
where
    P: Read<Req>,
    Src: Source<Req>,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FallbackFuture")
            .field("fallback", &self.shared.fallback)
            .finish_non_exhaustive()
    }
}
