use std::{
    future::Future,
    pin::Pin,
    task::{Context as Cx, Poll, ready},
};

use pin_project_lite::pin_project;
use tokio::time::{Instant, Sleep, sleep_until};

use crate::context::Context;

pin_project! {
    /// The stage of a call.
    #[project = StageProj]
    pub(super) enum Stage<F> {
        /// Before the first poll.
        NotStarted,
        /// The deadline passed before anything was started.
        PastDeadline,
        /// An attempt runs: started, polled and dropped in its context if that is not the current one.
        Running { #[pin] future: Option<F>, context: Option<Context> },
        /// The backoff before the next attempt.
        Waiting { #[pin] sleep: Sleep },
        /// The next attempt waits for the service, up to the deadline.
        AwaitingReady { #[pin] timer: Option<Sleep> },
    }

    impl<F> PinnedDrop for Stage<F> {
        fn drop(this: Pin<&mut Self>) {
            // The attempt may look at its context while it is dropped.
            if let StageProj::Running { mut future, context } = this.project() {
                run_in_context(context, || future.set(None));
            }
        }
    }
}

impl<F> Stage<F> {
    /// Starts an attempt in its context.
    #[inline]
    pub(super) fn start(
        context: Option<Context>,
        make: impl FnOnce(Option<&Context>) -> F,
    ) -> Self {
        let future = Some(run_in_context(&context, || make(context.as_ref())));
        Stage::Running { future, context }
    }
}

#[inline]
pub(super) fn run_in_context<R>(context: &Option<Context>, work: impl FnOnce() -> R) -> R {
    match context {
        Some(context) => context.run(work),
        None => work(),
    }
}

/// Waits for a service up to the deadline. Returns `None` once the deadline has passed.
pub(super) fn poll_ready_before<E>(
    ready: Poll<Result<(), E>>,
    deadline: Option<Instant>,
    mut timer: Pin<&mut Option<Sleep>>,
    cx: &mut Cx<'_>,
) -> Poll<Option<Result<(), E>>> {
    match (ready, deadline) {
        // The timer may be late, or not set yet.
        (Poll::Ready(Ok(())), Some(end)) if Instant::now() >= end => Poll::Ready(None),
        (Poll::Ready(ready), _) => Poll::Ready(Some(ready)),
        (Poll::Pending, None) => Poll::Pending,
        (Poll::Pending, Some(end)) => {
            // Most services are ready at once, so the timer is set only if this one is not.
            if timer.is_none() {
                timer.set(Some(sleep_until(end)));
            }
            ready!(timer.as_pin_mut().expect("the timer was set").poll(cx));
            Poll::Ready(None)
        }
    }
}
