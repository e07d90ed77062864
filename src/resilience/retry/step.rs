//! What all calls that are tried again have in common: an attempt, a wait, and the moment after it.

use std::{
    borrow::Borrow,
    future::Future,
    pin::Pin,
    task::{Context as Cx, Poll, ready},
};

use pin_project_lite::pin_project;
use tokio::time::{Instant, Sleep, sleep_until};

use super::{
    Retry,
    course::{Course, Pause},
    policy::Refusal,
};
use crate::context::Context;

pub(super) const TWICE: &str = "polled after completion";

pin_project! {
    /// Where a call is.
    #[project = StepProj]
    pub(super) enum Step<F> {
        Trying { #[pin] trial: Trial<F> },
        Waiting { #[pin] sleep: Sleep, pause: Option<Pause> },
        Due { pause: Option<Pause>, #[pin] limit: Option<Sleep> },
    }
}

/// What a call has come to.
pub(super) enum Turn<T> {
    /// An attempt has ended.
    Ended(T),
    /// The next attempt is to begin.
    Due,
}

/// Why an attempt that was due is not made.
pub(super) enum Unready<E> {
    /// The service has failed.
    Failed(E),
    /// The deadline has passed.
    Late,
}

impl<E> Unready<E> {
    fn refusal(&self) -> Refusal {
        match self {
            Unready::Failed(_) => Refusal::NotReady,
            Unready::Late => Refusal::Deadline,
        }
    }
}

impl<F> Step<F> {
    /// Begins an attempt.
    pub(super) fn trying(context: Option<Context>, make: impl FnOnce() -> F) -> Self {
        let attempt = Some(inside(&context, make));
        Step::Trying {
            trial: Trial { attempt, context },
        }
    }

    /// Lets go of the attempt, and waits if there is anything to wait for.
    pub(super) fn wait(mut self: Pin<&mut Self>, pause: Pause) {
        let (sleep, pause) = (pause.sleep(), Some(pause));
        self.set(match sleep {
            Some(sleep) => Step::Waiting { sleep, pause },
            None => Step::due(pause),
        });
    }

    fn due(pause: Option<Pause>) -> Self {
        Step::Due { pause, limit: None }
    }

    /// Waits for the service to be ready for the attempt that is due, up to the deadline: what was reserved for it.
    pub(super) fn poll_due<E, R: Borrow<Retry>>(
        self: Pin<&mut Self>,
        ready: Poll<Result<(), E>>,
        course: &Course<R>,
        cx: &mut Cx<'_>,
    ) -> Poll<Result<Pause, Unready<E>>> {
        let StepProj::Due { pause, mut limit } = self.project() else {
            unreachable!("only what is due waits for readiness");
        };
        let why = match (ready, course.deadline()) {
            (Poll::Ready(Err(error)), _) => Unready::Failed(error),
            (Poll::Ready(Ok(())), Some(end)) if Instant::now() >= end => Unready::Late,
            (Poll::Ready(Ok(())), _) => return Poll::Ready(Ok(pause.take().expect(TWICE))),
            (Poll::Pending, None) => return Poll::Pending,
            (Poll::Pending, Some(end)) => {
                if limit.is_none() {
                    limit.set(Some(sleep_until(end)));
                }
                ready!(limit.as_pin_mut().expect("set above").poll(cx));
                Unready::Late
            }
        };
        // Given back: no attempt is made.
        drop(pause.take());
        course.not_ready(why.refusal());
        Poll::Ready(Err(why))
    }

    /// What was reserved for the attempt that is due.
    pub(super) fn take_pause(self: Pin<&mut Self>) -> Option<Pause> {
        match self.project() {
            StepProj::Due { pause, .. } => pause.take(),
            _ => None,
        }
    }
}

impl<F: Future> Step<F> {
    pub(super) fn poll(mut self: Pin<&mut Self>, cx: &mut Cx<'_>) -> Poll<Turn<F::Output>> {
        loop {
            match self.as_mut().project() {
                StepProj::Trying { trial } => return trial.poll(cx).map(Turn::Ended),
                StepProj::Waiting { sleep, pause } => {
                    ready!(sleep.poll(cx));
                    let pause = pause.take();
                    self.set(Step::due(pause));
                }
                StepProj::Due { .. } => return Poll::Ready(Turn::Due),
            }
        }
    }
}

pin_project! {
    /// An attempt, made, polled and dropped in its context if it has one of its own.
    pub(super) struct Trial<F> {
        #[pin]
        attempt: Option<F>,
        context: Option<Context>,
    }

    impl<F> PinnedDrop for Trial<F> {
        fn drop(this: Pin<&mut Self>) {
            let mut this = this.project();
            inside(this.context, || this.attempt.set(None));
        }
    }
}

impl<F: Future> Future for Trial<F> {
    type Output = F::Output;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Cx<'_>) -> Poll<F::Output> {
        let this = self.project();
        inside(this.context, || {
            this.attempt.as_pin_mut().expect(TWICE).poll(cx)
        })
    }
}

#[inline]
fn inside<R>(context: &Option<Context>, work: impl FnOnce() -> R) -> R {
    match context {
        Some(context) => context.run(work),
        None => work(),
    }
}
