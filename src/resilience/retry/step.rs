//! What all calls that are tried again have in common: an attempt, a wait, and the moment after it.

use std::{
    future::Future,
    pin::Pin,
    task::{Context as Cx, Poll, ready},
};

use pin_project_lite::pin_project;
use tokio::time::Sleep;

use super::course::Pause;
use crate::context::Context;

pub(super) const TWICE: &str = "polled after completion";

pin_project! {
    /// Where a call is.
    #[project = StepProj]
    pub(super) enum Step<F> {
        Trying { #[pin] trial: Trial<F> },
        Waiting { #[pin] sleep: Sleep, pause: Option<Pause> },
        Due { pause: Option<Pause> },
    }
}

/// What a call has come to.
pub(super) enum Turn<T> {
    /// An attempt has ended.
    Ended(T),
    /// The next attempt is to begin.
    Due,
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
            None => Step::Due { pause },
        });
    }

    /// What was reserved for the attempt that is due.
    pub(super) fn take_pause(self: Pin<&mut Self>) -> Option<Pause> {
        match self.project() {
            StepProj::Due { pause } => pause.take(),
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
                    self.set(Step::Due { pause });
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
