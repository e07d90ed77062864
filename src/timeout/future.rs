use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use pin_project_lite::pin_project;

use super::{
    call_timeout::CallTimeout,
    layer::TimeoutConfig,
    response::{ResponseContext, TimeoutResult, respond_locally},
    timer::Timer,
};
use crate::{
    call::drop_on_timeout,
    protocol::{LocalFailure, Protocol, Respond},
};

pin_project! {
    /// The future of a call with a time limit. Named and unboxed.
    #[must_use = "futures do nothing unless polled"]
    pub struct TimeoutFuture<F, P: Protocol> {
        #[pin]
        state: State<F>,
        call: P::Call,
        plan: Arc<TimeoutConfig<P>>,
    }
}

pin_project! {
    #[project = StateProj]
    enum State<F> {
        Calling { #[pin] future: F, #[pin] timer: Timer, asked: CallTimeout },
        Refused,
        Done,
    }
}

impl<F, P: Protocol> TimeoutFuture<F, P> {
    #[inline]
    pub(super) fn new(
        plan: Arc<TimeoutConfig<P>>,
        call: P::Call,
        asked: CallTimeout,
        future: F,
    ) -> Self {
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

    pub(super) fn rejected(plan: Arc<TimeoutConfig<P>>, call: P::Call) -> Self {
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
    type Output = TimeoutResult<P, Res, E>;

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
                let why = LocalFailure::Rejected(this.plan.limit.reject().into());
                return Poll::Ready(respond_locally::<P, Res, E>(this.call, why));
            }
            StateProj::Done => panic!("polled after completion"),
        };
        let scope = timer.time_budget(asked);
        // The answer before the clock: one that is there is not thrown away.
        let polled = {
            let _scope = scope.enter();
            future.poll(cx)
        };
        if let Poll::Ready(result) = polled {
            let exchange = ResponseContext {
                config: this.plan,
                call: this.call,
                expiry: timer.expiry(),
                timeout: asked,
            };
            let answer = exchange.forward(result);
            this.state.set(State::Done);
            return Poll::Ready(answer);
        }
        let over = ready!(timer.poll_elapsed(asked, cx));
        let why = over.record_elapsed(&this.plan.limit, asked);
        // Given up before it is answered for.
        let why = drop_on_timeout(why, || {
            let _scope = scope.enter();
            this.state.set(State::Done);
        });
        Poll::Ready(respond_locally::<P, Res, E>(
            this.call,
            LocalFailure::TimedOut(why),
        ))
    }
}

impl<F, P: Protocol> fmt::Debug for TimeoutFuture<F, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TimeoutFuture")
            .field("limit", &self.plan.limit)
            .finish_non_exhaustive()
    }
}
