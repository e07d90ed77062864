use std::{
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
};

use pin_project_lite::pin_project;

use super::{InjectedFault, injection::Injection};
use crate::util::poll::POLLED_AFTER_COMPLETION;

pin_project! {
    /// The future of work into which faults may be injected; made by [`Chaos::run`](super::Chaos::run).
    #[must_use = "futures do nothing unless polled"]
    pub struct ChaosRunFuture<F: Future, M> {
        #[pin]
        state: RunState<F>,
        error: Option<M>,
    }
}

pin_project! {
    #[project = RunStateProj]
    enum RunState<F: Future> {
        // With nothing to inject, for most work.
        Running { #[pin] work: F, injection: Option<Box<Injection>> },
        // The work is done, and its output is late.
        Late { output: Option<F::Output>, injection: Box<Injection> },
        // The work is not begun.
        InPlace { injection: Box<Injection> },
        Done,
    }
}

impl<F: Future, M> ChaosRunFuture<F, M> {
    #[inline]
    pub(crate) fn new(work: F, injection: Option<Box<Injection>>, error: M) -> Self {
        let state = match injection {
            Some(injection) if injection.is_in_place() => RunState::InPlace { injection },
            injection => RunState::Running { work, injection },
        };
        ChaosRunFuture {
            state,
            error: Some(error),
        }
    }
}

impl<F, M, T, E> Future for ChaosRunFuture<F, M>
where
    // The work.
    F: Future<Output = Result<T, E>>,
    // Makes its error out of a fault.
    M: FnOnce(InjectedFault) -> E,
{
    type Output = Result<T, E>;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<T, E>> {
        let mut this = self.project();
        loop {
            match this.state.as_mut().project() {
                RunStateProj::Running { work, injection } => {
                    let output = ready!(work.poll(cx));
                    match injection.take() {
                        None => {
                            // Dropped now: the caller may hold this future for longer than it needs it.
                            this.state.set(RunState::Done);
                            return Poll::Ready(output);
                        }
                        Some(injection) => this.state.set(RunState::Late {
                            output: Some(output),
                            injection,
                        }),
                    }
                }
                RunStateProj::Late { output, injection } => {
                    ready!(injection.poll_wait(cx));
                    let output = output.take().expect("handed on once");
                    this.state.set(RunState::Done);
                    return Poll::Ready(output);
                }
                RunStateProj::InPlace { injection } => {
                    ready!(injection.poll_wait(cx));
                    let make = this.error.take().expect("made once");
                    // May panic, since that may be the fault.
                    let fault = injection.fault();
                    this.state.set(RunState::Done);
                    return Poll::Ready(Err(make(fault)));
                }
                RunStateProj::Done => panic!("{POLLED_AFTER_COMPLETION}"),
            }
        }
    }
}

impl<F: Future, M> fmt::Debug for ChaosRunFuture<F, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ChaosRunFuture").finish_non_exhaustive()
    }
}
