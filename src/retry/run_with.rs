use std::future::Future;

use super::{
    Attempt, Attempts, Retry, RetryDecision,
    attempts::FailedAttempt,
    config::{ClassifyError, RetryConfig},
    future::POLLED_AFTER_COMPLETION,
    run::{classify, decide_by},
    state::CallCompletion,
};
use crate::{call::Outcome, context::Context};

/// Attempts of [`Retry::run_with`]. Part of a [`RetryFuture`](super::RetryFuture)'s type.
pub struct RunWithAttempts<S, F, C> {
    retry: Retry,
    /// `None` while an attempt has it.
    state: Option<S>,
    work: F,
    classify_error: C,
}

impl<S, F, E> RunWithAttempts<S, F, ClassifyError<E>> {
    pub(super) fn new(retry: Retry, state: S, work: F, classify_error: ClassifyError<E>) -> Self {
        RunWithAttempts {
            retry,
            state: Some(state),
            work,
            classify_error,
        }
    }

    pub(super) fn when<D: Into<RetryDecision>>(
        self,
        decide: impl Fn(&E) -> D,
    ) -> RunWithAttempts<S, F, impl Fn(&RetryConfig, &E) -> (Outcome, RetryDecision)> {
        RunWithAttempts {
            retry: self.retry,
            state: self.state,
            work: self.work,
            classify_error: decide_by(self.classify_error, decide),
        }
    }
}

impl<S, F, Fut, T, E, C> Attempts for RunWithAttempts<S, F, C>
where
    // The work.
    F: FnMut(S, Attempt) -> Fut,
    Fut: Future<Output = (S, Result<T, E>)>,
    // What its errors mean.
    C: Fn(&RetryConfig, &E) -> (Outcome, RetryDecision),
{
    type Future = Fut;
    type AttemptOutput = Result<T, E>;
    type CallOutput = (S, Result<T, E>);

    fn retry(&self) -> &Retry {
        &self.retry
    }

    fn start(&mut self, attempt: Attempt, _: Option<&Context>) -> Fut {
        let state = self.state.take().expect(POLLED_AFTER_COMPLETION);
        (self.work)(state, attempt)
    }

    fn classify(
        &mut self,
        (state, output): (S, Result<T, E>),
        _: Attempt,
    ) -> Result<Result<T, E>, FailedAttempt<Result<T, E>>> {
        self.state = Some(state);
        classify(&self.retry, &self.classify_error, output)
    }

    fn complete(
        &mut self,
        output: Result<T, E>,
        _: Attempt,
        completion: Option<CallCompletion>,
    ) -> (S, Result<T, E>) {
        if let Some(completion) = completion {
            completion.complete(&self.retry, Outcome::Success);
        }
        (self.state.take().expect(POLLED_AFTER_COMPLETION), output)
    }
}
