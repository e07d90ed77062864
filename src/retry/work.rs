use std::{error::Error, future::Future};

use tokio::time::Instant;

use super::{
    Attempt, Attempts, Retry, RetryDecision, RetryFuture,
    attempts::{AttemptEnd, AttemptStart, Classified, FailedAttempt},
    policy::RetryConfig,
    state::CallCompletion,
};
use crate::call::{Outcome, catch_hook};

impl Retry {
    /// Runs work until it succeeds or there is no further attempt; its last error is the error.
    ///
    /// The work is a closure that makes a future for each [`Attempt`]. The first is made whatever the deadline. Work
    /// that borrows what it changes is for [`run_with`](Self::run_with).
    ///
    /// # Panics
    ///
    /// Outside of tokio's runtime, when the first attempt fails: the wait before the next needs its timer.
    pub fn run<F, Fut, T, E>(&self, work: F) -> RetryFuture<RunAttempts<F, E>>
    where
        F: FnMut(Attempt) -> Fut,
        Fut: Future<Output = Result<T, E>>,
        E: Error + 'static,
    {
        RetryFuture::new(RunAttempts::new(self, work, |policy, error| {
            policy.classify_error(error)
        }))
    }

    /// Runs work whose error is no `Error`: a boxed one, anyhow's, a `String`. What cannot be looked into is a
    /// failure.
    ///
    /// # Panics
    ///
    /// As [`span_while`](Self::run).
    pub fn run_any_error<F, Fut, T, E>(&self, work: F) -> RetryFuture<RunAttempts<F, E>>
    where
        F: FnMut(Attempt) -> Fut,
        Fut: Future<Output = Result<T, E>>,
        E: 'static,
    {
        RetryFuture::new(RunAttempts::new(self, work, |policy, error| {
            policy.classify_any_error(error)
        }))
    }
}

/// Decides what an error means for the next attempt. Closures implement it; `()` goes by the error itself.
pub trait DecideError<E> {
    #[doc(hidden)]
    fn decide(&self, error: &E) -> Option<RetryDecision>;
}

impl<E> DecideError<E> for () {
    fn decide(&self, _: &E) -> Option<RetryDecision> {
        None
    }
}

impl<E, F: Fn(&E) -> A, A: Into<RetryDecision>> DecideError<E> for F {
    /// One that panics stops: its error is the answer.
    fn decide(&self, error: &E) -> Option<RetryDecision> {
        Some(catch_hook(|| self(error).into()).unwrap_or(RetryDecision::Stop))
    }
}

/// Work that is tried until it succeeds. Part of a [`RetryFuture`]'s type; see [`Retry::run`].
pub struct RunAttempts<F, E, A = ()> {
    retry: Retry,
    work: F,
    classify_error: ClassifyErrorFn<E>,
    decide_error: A,
}

pub(super) type ClassifyErrorFn<E> = fn(&RetryConfig, &E) -> (Outcome, RetryDecision);

/// Decides about an attempt by its error, which `advise` may know better.
#[inline]
pub(super) fn classify<T, E>(
    retry: &Retry,
    judge: ClassifyErrorFn<E>,
    advise: &impl DecideError<E>,
    output: Result<T, E>,
) -> Classified<Result<T, E>> {
    let Err(error) = &output else {
        return Classified::Success(output);
    };
    let (outcome, usual) = judge(&retry.shared.config, error);
    let advice = advise.decide(error).unwrap_or(usual);
    Classified::Failure(FailedAttempt {
        output,
        outcome,
        decision: advice,
        not_sent: None,
    })
}

impl<F, E> RunAttempts<F, E> {
    fn new(retry: &Retry, work: F, judge: ClassifyErrorFn<E>) -> Self {
        RunAttempts {
            retry: retry.clone(),
            work,
            classify_error: judge,
            decide_error: (),
        }
    }
}

impl<F, Fut, T, E> RetryFuture<RunAttempts<F, E>>
where
    F: FnMut(Attempt) -> Fut,
    Fut: Future<Output = Result<T, E>>,
{
    /// Sets which errors are worth another attempt: a closure that answers with `bool`, [`RetryAfter`](super::RetryAfter) or
    /// [`RetryDecision`].
    ///
    /// Default: failures, overload and timeouts, as the peer's hints allow; not what is the caller's own fault or can
    /// never be sent, nor refusals by guards of this process.
    pub fn when<A, C>(self, advise: C) -> RetryFuture<RunAttempts<F, E, C>>
    where
        A: Into<RetryDecision>,
        C: Fn(&E) -> A,
    {
        let RunAttempts {
            retry,
            work,
            classify_error: judge,
            ..
        } = self.attempts;
        RetryFuture {
            stage: self.stage,
            state: self.state,
            attempts: RunAttempts {
                retry,
                work,
                classify_error: judge,
                decide_error: advise,
            },
        }
    }
}

impl<F, Fut, T, E, A> RetryFuture<RunAttempts<F, E, A>>
where
    F: FnMut(Attempt) -> Fut,
    Fut: Future<Output = Result<T, E>>,
    A: DecideError<E>,
{
    /// Sets when the call has to be over: no further attempt begins later, and no wait begins that would end later.
    /// The first attempt is made in any case.
    pub fn deadline(mut self, deadline: Instant) -> Self {
        self.state.cap_deadline(deadline);
        self
    }
}

impl<F, Fut, T, E, A> Attempts for RunAttempts<F, E, A>
where
    // The work.
    F: FnMut(Attempt) -> Fut,
    Fut: Future<Output = Result<T, E>>,
    // What its errors mean.
    A: DecideError<E>,
{
    type Future = Fut;
    type AttemptOutput = Result<T, E>;
    type CallOutput = Result<T, E>;

    #[inline]
    fn retry(&self) -> &Retry {
        &self.retry
    }

    #[inline]
    fn start(&mut self, begin: AttemptStart<'_>) -> Fut {
        (self.work)(begin.attempt)
    }

    #[inline]
    fn classify(&mut self, output: Result<T, E>, _: AttemptEnd) -> Classified<Result<T, E>> {
        classify(&self.retry, self.classify_error, &self.decide_error, output)
    }

    #[inline]
    fn complete(
        &mut self,
        output: Result<T, E>,
        _: AttemptEnd,
        open: Option<CallCompletion>,
    ) -> Result<T, E> {
        if let Some(open) = open {
            open.complete(&self.retry, Outcome::Success);
        }
        output
    }
}
