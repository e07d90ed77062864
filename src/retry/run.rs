use std::future::Future;

use super::{
    Attempt, Attempts, Retry, RetryDecision, RetrySettings, attempts::FailedAttempt,
    call_config::CallConfig, settings::DecideOnError,
};
use crate::{
    call::Outcome, context::Context, util::hook::catch_hook, util::poll::POLLED_AFTER_COMPLETION,
};

/// Attempts of a closure. Part of a [`RetryFuture`](super::RetryFuture)'s type.
///
/// `S` is `()` for [`Retry::run`]. For [`Retry::run_with`] it is an `Option` of the state, `None` while an attempt has
/// it.
pub struct RunAttempts<S, F, C> {
    retry: Retry,
    state: S,
    work: F,
    classify_error: C,
}

impl<S, F, E> RunAttempts<S, F, DecideOnError<E>> {
    pub(crate) fn new(retry: Retry, state: S, work: F, classify_error: DecideOnError<E>) -> Self {
        RunAttempts {
            retry,
            state,
            work,
            classify_error,
        }
    }

    /// Overrides the decision about an error. A closure that panics does not retry.
    pub(crate) fn when<D: Into<RetryDecision>>(
        self,
        decide: impl Fn(&E) -> D,
    ) -> RunAttempts<S, F, impl Fn(&RetrySettings, &E) -> (Outcome, RetryDecision)> {
        let classify_error = self.classify_error;
        RunAttempts {
            retry: self.retry,
            state: self.state,
            work: self.work,
            classify_error: move |settings: &RetrySettings, error: &E| {
                // The closure decides about retrying only: the budget still counts the outcome of the error itself.
                let (outcome, _) = classify_error(settings, error);
                let decision = catch_hook(|| decide(error).into());
                (outcome, decision.unwrap_or(RetryDecision::Stop))
            },
        }
    }
}

impl<S, F, C> RunAttempts<S, F, C> {
    #[inline]
    fn classify_result<T, E>(
        &self,
        output: Result<T, E>,
        config: &mut CallConfig,
    ) -> Result<Result<T, E>, FailedAttempt<Result<T, E>>>
    where
        C: Fn(&RetrySettings, &E) -> (Outcome, RetryDecision),
    {
        let Err(error) = &output else {
            return Ok(output);
        };
        let (outcome, decision) = (self.classify_error)(config.settings(&self.retry), error);
        Err(FailedAttempt {
            output,
            outcome,
            decision,
            not_sent: None,
        })
    }
}

impl<F, Fut, T, E, C> Attempts for RunAttempts<(), F, C>
where
    // The work.
    F: FnMut(Attempt) -> Fut,
    Fut: Future<Output = Result<T, E>>,
    // What its errors mean.
    C: Fn(&RetrySettings, &E) -> (Outcome, RetryDecision),
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
        config: &mut CallConfig,
    ) -> Result<Result<T, E>, FailedAttempt<Result<T, E>>> {
        self.classify_result(output, config)
    }

    #[inline]
    fn complete(&mut self, output: Result<T, E>, _: Attempt) -> Result<T, E> {
        output
    }
}

impl<S, F, Fut, T, E, C> Attempts for RunAttempts<Option<S>, F, C>
where
    // The work.
    F: FnMut(S, Attempt) -> Fut,
    Fut: Future<Output = (S, Result<T, E>)>,
    // What its errors mean.
    C: Fn(&RetrySettings, &E) -> (Outcome, RetryDecision),
{
    type Future = Fut;
    type AttemptOutput = Result<T, E>;
    type CallOutput = (S, Result<T, E>);

    fn retry(&self) -> &Retry {
        &self.retry
    }

    fn start(&mut self, attempt: Attempt, _: Option<&Context>) -> Fut {
        // Each attempt gives it back with its result.
        let state = self.state.take().expect(POLLED_AFTER_COMPLETION);
        (self.work)(state, attempt)
    }

    fn classify(
        &mut self,
        (state, output): (S, Result<T, E>),
        _: Attempt,
        config: &mut CallConfig,
    ) -> Result<Result<T, E>, FailedAttempt<Result<T, E>>> {
        // The next attempt takes it, or the result of the call.
        self.state = Some(state);
        self.classify_result(output, config)
    }

    fn complete(&mut self, output: Result<T, E>, _: Attempt) -> (S, Result<T, E>) {
        (self.state.take().expect(POLLED_AFTER_COMPLETION), output)
    }
}
