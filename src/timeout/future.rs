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
    config::TimeoutConfig,
    response::{ResponseContext, TimeoutResult, respond_locally},
    timer::Timer,
};
use crate::{
    call::drop_on_timeout,
    protocol::{LocalFailure, Protocol, Respond},
    util::poll::POLLED_AFTER_COMPLETION,
};

pin_project! {
    /// The future of a call with a time limit. Named and unboxed.
    #[must_use = "futures do nothing unless polled"]
    pub struct TimeoutFuture<F, P: Protocol> {
        #[pin]
        state: TimeoutState<F>,
        call: P::Call,
        config: Arc<TimeoutConfig<P>>,
    }
}

pin_project! {
    #[project = TimeoutStateProj]
    enum TimeoutState<F> {
        Calling { #[pin] future: F, #[pin] timer: Timer, timeout: CallTimeout },
        Rejected,
        Done,
    }
}

impl<F, P: Protocol> TimeoutFuture<F, P> {
    #[inline]
    pub(super) fn new(
        config: Arc<TimeoutConfig<P>>,
        call: P::Call,
        timeout: CallTimeout,
        future: F,
    ) -> Self {
        let timer = Timer::default();
        TimeoutFuture {
            state: TimeoutState::Calling {
                future,
                timer,
                timeout,
            },
            call,
            config,
        }
    }

    pub(super) fn rejected(config: Arc<TimeoutConfig<P>>, call: P::Call) -> Self {
        TimeoutFuture {
            state: TimeoutState::Rejected,
            call,
            config,
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
        let (future, timer, timeout) = match this.state.as_mut().project() {
            TimeoutStateProj::Calling {
                future,
                timer,
                timeout,
            } => (future, timer, timeout),
            TimeoutStateProj::Rejected => {
                this.state.set(TimeoutState::Done);
                // The service was never called, so there is nothing to drop.
                let rejection = LocalFailure::Rejected(this.config.limit.reject().into());
                return Poll::Ready(respond_locally::<P, Res, E>(this.call, rejection));
            }
            TimeoutStateProj::Done => panic!("{POLLED_AFTER_COMPLETION}"),
        };
        let budget = timer.time_budget(timeout);
        // The response before the clock: one that is ready beats the limit.
        let polled = {
            let _scope = budget.enter();
            future.poll(cx)
        };
        if let Poll::Ready(result) = polled {
            let response = ResponseContext {
                config: this.config,
                call: this.call,
                timeout,
                // None if the call never waited: then it cannot be late.
                expiry: timer.expiry(),
            };
            let result = response.forward(result);
            // Dropped now, with its timer: the caller may hold this future for longer than it needs it.
            this.state.set(TimeoutState::Done);
            return Poll::Ready(result);
        }
        let expiry = ready!(timer.poll_elapsed(timeout, cx));
        let elapsed = expiry.record_elapsed(&this.config.limit, timeout);
        // The call is dropped before its timeout is reported: the drop may tell that no peer has seen it.
        let elapsed = drop_on_timeout(elapsed, || {
            // What is dropped may ask for the time left, as during a poll.
            let _scope = budget.enter();
            this.state.set(TimeoutState::Done);
        });
        let failure = LocalFailure::TimedOut(elapsed);
        Poll::Ready(respond_locally::<P, Res, E>(this.call, failure))
    }
}

impl<F, P: Protocol> fmt::Debug for TimeoutFuture<F, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TimeoutFuture")
            .field("limit", &self.config.limit)
            .finish_non_exhaustive()
    }
}
