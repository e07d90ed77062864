use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use pin_project_lite::pin_project;

use super::{
    answer::{Answer, Exchange, instead},
    asked::Asked,
    layer::Plan,
    timer::Timer,
};
use crate::{
    call::giving_up,
    protocol::{Instead, Protocol, Respond},
};

pin_project! {
    /// The future of a call with a time limit. Named and unboxed.
    #[must_use = "futures do nothing unless polled"]
    pub struct TimeoutFuture<F, P: Protocol> {
        #[pin]
        state: State<F>,
        call: P::Call,
        plan: Arc<Plan<P>>,
    }
}

pin_project! {
    #[project = StateProj]
    enum State<F> {
        Calling { #[pin] future: F, #[pin] timer: Timer, asked: Asked },
        Refused,
        Done,
    }
}

impl<F, P: Protocol> TimeoutFuture<F, P> {
    #[inline]
    pub(super) fn calling(plan: Arc<Plan<P>>, call: P::Call, asked: Asked, future: F) -> Self {
        let timer = Timer::default();
        TimeoutFuture {
            state: State::Calling {
                future,
                timer,
                asked,
            },
            call,
            plan,
        }
    }

    pub(super) fn refused(plan: Arc<Plan<P>>, call: P::Call) -> Self {
        TimeoutFuture {
            state: State::Refused,
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
    type Output = Answer<P, Res, E>;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        let (future, timer, asked) = match this.state.as_mut().project() {
            StateProj::Calling {
                future,
                timer,
                asked,
            } => (future, timer, asked),
            StateProj::Refused => {
                this.state.set(State::Done);
                let why = Instead::Refused(this.plan.limit.refuse().into());
                return Poll::Ready(instead::<P, Res, E>(this.call, why));
            }
            StateProj::Done => panic!("polled after completion"),
        };
        let scope = timer.scope(asked);
        // The answer before the clock: one that is there is not thrown away.
        if let Poll::Ready(result) = scope.enter(|| future.poll(cx)) {
            let exchange = Exchange {
                plan: this.plan,
                call: this.call,
                over: timer.over(),
                asked,
            };
            let answer = exchange.pass(result);
            this.state.set(State::Done);
            return Poll::Ready(answer);
        }
        let over = ready!(timer.poll_over(asked, cx));
        let why = over.elapsed(&this.plan.limit, asked);
        // Given up before it is answered for.
        let why = giving_up(why, || scope.enter(|| this.state.set(State::Done)));
        Poll::Ready(instead::<P, Res, E>(this.call, Instead::TimedOut(why)))
    }
}

impl<F, P: Protocol> fmt::Debug for TimeoutFuture<F, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TimeoutFuture")
            .field("limit", &self.plan.limit)
            .finish_non_exhaustive()
    }
}
