use std::future::Future;

use super::{
    Attempt, Attempts, Retry, RetryDecision,
    attempts::FailedAttempt,
    config::{ClassifyError, RetryConfig},
    state::CallCompletion,
};
use crate::{call::Outcome, context::Context, util::hook::catch_hook};

/// Attempts of [`Retry::run`]. Part of a [`RetryFuture`](super::RetryFuture)'s type.
pub struct RunAttempts<F, C> {
    retry: Retry,
    work: F,
    classify_error: C,
}

impl<F, E> RunAttempts<F, ClassifyError<E>> {
    pub(super) fn new(retry: Retry, work: F, classify_error: ClassifyError<E>) -> Self {
        RunAttempts {
            retry,
            work,
            classify_error,
        }
    }

    pub(super) fn when<D: Into<RetryDecision>>(
        self,
        decide: impl Fn(&E) -> D,
    ) -> RunAttempts<F, impl Fn(&RetryConfig, &E) -> (Outcome, RetryDecision)> {
        RunAttempts {
            retry: self.retry,
            work: self.work,
            classify_error: decide_by(self.classify_error, decide),
        }
    }
}

impl<F, Fut, T, E, C> Attempts for RunAttempts<F, C>
where
    // The work.
    F: FnMut(Attempt) -> Fut,
    Fut: Future<Output = Result<T, E>>,
    // What its errors mean.
    C: Fn(&RetryConfig, &E) -> (Outcome, RetryDecision),
{
    type Future = Fut;
    type AttemptOutput = Result<T, E>;
    type CallOutput = Result<T, E>;

    #[inline]
    fn retry(&self) -> &Retry {
        &self.retry
    }

    #[inline]
    fn start(&mut self, attempt: Attempt, _: Option<&Context>) -> Fut {
        (self.work)(attempt)
    }

    #[inline]
    fn classify(
        &mut self,
        output: Result<T, E>,
        _: Attempt,
    ) -> Result<Result<T, E>, FailedAttempt<Result<T, E>>> {
        classify(&self.retry, &self.classify_error, output)
    }

    #[inline]
    fn complete(
        &mut self,
        output: Result<T, E>,
        _: Attempt,
        completion: Option<CallCompletion>,
    ) -> Result<T, E> {
        if let Some(completion) = completion {
            completion.complete(&self.retry, Outcome::Success);
        }
        output
    }
}

/// Overrides the decision about an error. A closure that panics does not retry.
pub(super) fn decide_by<E, D: Into<RetryDecision>>(
    classify_error: ClassifyError<E>,
    decide: impl Fn(&E) -> D,
) -> impl Fn(&RetryConfig, &E) -> (Outcome, RetryDecision) {
    move |config, error| {
        // The closure decides about retrying only: the budget still counts the outcome of the error itself.
        let (outcome, _) = classify_error(config, error);
        let decision = catch_hook(|| decide(error).into());
        (outcome, decision.unwrap_or(RetryDecision::Stop))
    }
}

#[inline]
pub(super) fn classify<T, E>(
    retry: &Retry,
    classify_error: impl Fn(&RetryConfig, &E) -> (Outcome, RetryDecision),
    output: Result<T, E>,
) -> Result<Result<T, E>, FailedAttempt<Result<T, E>>> {
    let Err(error) = &output else {
        return Ok(output);
    };
    let (outcome, decision) = classify_error(&retry.shared.config, error);
    Err(FailedAttempt {
        output,
        outcome,
        decision,
        not_sent: None,
    })
}
