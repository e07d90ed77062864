use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use pin_project_lite::pin_project;

use super::{
    answer::{Asked, Respond},
    layer::Plan,
    timer::Timer,
};
use crate::{call::TimeBound, protocol::Protocol};

pin_project! {
    /// The future of a call with a time limit. Named and unboxed.
    #[must_use = "futures do nothing unless polled"]
    pub struct TimeoutFuture<F, P: Protocol> {
        #[pin]
        state: State<F>,
        asked: Asked,
        call: P::Call,
        plan: Arc<Plan<P>>,
    }
}

pin_project! {
    #[project = StateProj]
    enum State<F> {
        Calling { #[pin] future: F, #[pin] timer: Timer },
        Refused,
        Done,
    }
}

impl<F, P: Protocol> TimeoutFuture<F, P> {
    #[inline]
    pub(super) fn calling(plan: Arc<Plan<P>>, call: P::Call, asked: Asked, future: F) -> Self {
        let timer = Timer::new(asked.limit, asked.deadline);
        TimeoutFuture {
            state: State::Calling { future, timer },
            asked,
            call,
            plan,
        }
    }

    pub(super) fn refused(plan: Arc<Plan<P>>, call: P::Call) -> Self {
        TimeoutFuture {
            state: State::Refused,
            asked: Asked::default(),
            call,
            plan,
        }
    }
}

impl<F, P, Res, E> Future for TimeoutFuture<F, P>
where
    F: Future<Output = Result<Res, E>>,
    P: Respond<Res, E>,
{
    type Output = Result<P::Response, P::Error>;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        let (future, timer) = match this.state.as_mut().project() {
            StateProj::Calling { future, timer } => (future, timer),
            StateProj::Refused => {
                this.state.set(State::Done);
                return Poll::Ready(P::refuse(this.call, this.plan.limit.refuse()));
            }
            StateProj::Done => panic!("polled after completion"),
        };
        let scope = timer.scope();
        // The answer before the clock: one that is there is not thrown away.
        if let Poll::Ready(result) = scope.enter(|| future.poll(cx)) {
            this.state.set(State::Done);
            return Poll::Ready(P::pass(this.plan, this.asked, result));
        }
        let bound = ready!(timer.poll_over(cx));
        // Given up before it is answered for.
        scope.enter(|| this.state.set(State::Done));
        let after = (bound == TimeBound::Limit).then_some(this.asked.limit);
        Poll::Ready(P::late(this.call, this.plan.limit.ran_out(bound, after)))
    }
}

impl<F, P: Protocol> fmt::Debug for TimeoutFuture<F, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TimeoutFuture")
            .field("limit", &self.plan.limit)
            .finish_non_exhaustive()
    }
}
