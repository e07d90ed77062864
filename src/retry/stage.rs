//! Stages that all calls have that are tried again: an attempt, a wait, and the moment after it.

use std::{
    future::Future,
    pin::Pin,
    task::{Context as Cx, Poll, ready},
};

use pin_project_lite::pin_project;
use tokio::time::{Instant, Sleep, sleep_until};

use super::state::PendingAttempt;
use crate::context::Context;

pub(super) const POLLED_AFTER_COMPLETION: &str = "polled after completion";

pin_project! {
    /// Where a call is.
    #[project = StageProj]
    pub(super) enum Stage<F> {
        /// Nothing was begun yet.
        Unbegun,
        /// The deadline had passed before anything was begun.
        Late,
        Running { #[pin] attempt: AttemptFuture<F> },
        Waiting { #[pin] sleep: Sleep, pending: Option<PendingAttempt> },
        Due { pending: Option<PendingAttempt>, #[pin] limit: Option<Sleep> },
    }
}

/// What a call has come to.
pub(super) enum StageEvent<T> {
    /// The first attempt is to begin.
    NotStarted,
    /// It came too late to begin.
    DeadlinePassed,
    /// An attempt has ended.
    AttemptEnded(T),
    /// The next attempt is to begin.
    AttemptDue,
}

/// What a service says to an attempt that is due.
pub(super) enum ReadyOutcome<E> {
    Ready,
    /// The service has failed.
    Failed(E),
    /// The deadline has passed.
    DeadlinePassed,
}

impl<F> Stage<F> {
    /// Begins an attempt.
    pub(super) fn start(
        context: Option<Context>,
        make: impl FnOnce(Option<&Context>) -> F,
    ) -> Self {
        let future = Some(run_in_context(&context, || make(context.as_ref())));
        Stage::Running {
            attempt: AttemptFuture { future, context },
        }
    }

    /// Lets go of the attempt, and waits if there is anything to wait for.
    pub(super) fn start_wait(mut self: Pin<&mut Self>, pending: PendingAttempt) {
        let (sleep, pending) = (pending.sleep(), Some(pending));
        self.set(match sleep {
            Some(sleep) => Stage::Waiting { sleep, pending },
            None => Stage::due(pending),
        });
    }

    fn due(pending: Option<PendingAttempt>) -> Self {
        let limit = None;
        Stage::Due { pending, limit }
    }

    /// Waits for the service to be ready for the attempt that is due, up to the deadline.
    pub(super) fn poll_service_ready<E>(
        self: Pin<&mut Self>,
        ready: Poll<Result<(), E>>,
        deadline: Option<Instant>,
        cx: &mut Cx<'_>,
    ) -> Poll<ReadyOutcome<E>> {
        let StageProj::Due { mut limit, .. } = self.project() else {
            unreachable!("only what is due waits for readiness");
        };
        Poll::Ready(match (ready, deadline) {
            (Poll::Ready(Err(error)), _) => ReadyOutcome::Failed(error),
            (Poll::Ready(Ok(())), Some(end)) if Instant::now() >= end => {
                ReadyOutcome::DeadlinePassed
            }
            (Poll::Ready(Ok(())), _) => ReadyOutcome::Ready,
            (Poll::Pending, None) => return Poll::Pending,
            (Poll::Pending, Some(end)) => {
                if limit.is_none() {
                    limit.set(Some(sleep_until(end)));
                }
                ready!(limit.as_pin_mut().expect("set above").poll(cx));
                ReadyOutcome::DeadlinePassed
            }
        })
    }

    /// Returns what was reserved for the attempt that is due.
    pub(super) fn take_pending(self: Pin<&mut Self>) -> Option<PendingAttempt> {
        match self.project() {
            StageProj::Due { pending, .. } => pending.take(),
            _ => None,
        }
    }
}

impl<F: Future> Stage<F> {
    pub(super) fn poll(mut self: Pin<&mut Self>, cx: &mut Cx<'_>) -> Poll<StageEvent<F::Output>> {
        loop {
            match self.as_mut().project() {
                StageProj::Running { attempt } => {
                    return attempt.poll(cx).map(StageEvent::AttemptEnded);
                }
                StageProj::Waiting { sleep, pending } => {
                    ready!(sleep.poll(cx));
                    let pending = pending.take();
                    self.set(Stage::due(pending));
                }
                StageProj::Due { .. } => return Poll::Ready(StageEvent::AttemptDue),
                StageProj::Unbegun => return Poll::Ready(StageEvent::NotStarted),
                StageProj::Late => return Poll::Ready(StageEvent::DeadlinePassed),
            }
        }
    }
}

pin_project! {
    /// An attempt, made, polled and dropped in its context if it has one of its own.
    pub(super) struct AttemptFuture<F> {
        #[pin]
        future: Option<F>,
        context: Option<Context>,
    }

    impl<F> PinnedDrop for AttemptFuture<F> {
        fn drop(this: Pin<&mut Self>) {
            let mut this = this.project();
            run_in_context(this.context, || this.future.set(None));
        }
    }
}

impl<F: Future> Future for AttemptFuture<F> {
    type Output = F::Output;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Cx<'_>) -> Poll<F::Output> {
        let this = self.project();
        run_in_context(this.context, || {
            this.future
                .as_pin_mut()
                .expect(POLLED_AFTER_COMPLETION)
                .poll(cx)
        })
    }
}

#[inline]
fn run_in_context<R>(context: &Option<Context>, work: impl FnOnce() -> R) -> R {
    match context {
        Some(context) => context.run(work),
        None => work(),
    }
}
