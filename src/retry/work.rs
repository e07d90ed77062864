use std::{error::Error, future::Future};

use tokio::time::Instant;

use super::{
    Advice, Attempt, Attempts, Retry, RetryFuture,
    attempts::{Begin, Decision, Ended, Failed},
    policy::Policy,
    state::OpenCall,
};
use crate::call::{Outcome, quietly};

impl Retry {
    /// Runs work until it succeeds or there is no further attempt; its last error is the error.
    ///
    /// The work is a closure that makes a future for each [`Attempt`]. The first is made whatever the deadline. Work
    /// that borrows what it changes is for [`run_with`](Self::run_with).
    ///
    /// # Panics
    ///
    /// Outside of tokio's runtime, when the first attempt fails: the wait before the next needs its timer.
    pub fn run<F, Fut, T, E>(&self, work: F) -> RetryFuture<Work<F, E>>
    where
        F: FnMut(Attempt) -> Fut,
        Fut: Future<Output = Result<T, E>>,
        E: Error + 'static,
    {
        RetryFuture::lazy(Work::new(self, work, |policy, error| {
            policy.judge_error(error)
        }))
    }

    /// Runs work whose error is no `Error`: a boxed one, anyhow's, a `String`. What cannot be looked into is a
    /// failure.
    ///
    /// # Panics
    ///
    /// As [`run`](Self::run).
    pub fn run_any<F, Fut, T, E>(&self, work: F) -> RetryFuture<Work<F, E>>
    where
        F: FnMut(Attempt) -> Fut,
        Fut: Future<Output = Result<T, E>>,
        E: 'static,
    {
        RetryFuture::lazy(Work::new(self, work, |policy, error| {
            policy.judge_any(error)
        }))
    }
}

/// Decides what an error means for the next attempt. Closures implement it; `()` goes by the error itself.
pub trait Advise<E> {
    #[doc(hidden)]
    fn advise(&self, error: &E) -> Option<Advice>;
}

impl<E> Advise<E> for () {
    fn advise(&self, _: &E) -> Option<Advice> {
        None
    }
}

impl<E, F: Fn(&E) -> A, A: Into<Advice>> Advise<E> for F {
    /// One that panics stops: its error is the answer.
    fn advise(&self, error: &E) -> Option<Advice> {
        Some(quietly(|| self(error).into()).unwrap_or(Advice::Stop))
    }
}

/// Work that is tried until it succeeds. Part of a [`RetryFuture`]'s type; see [`Retry::run`].
pub struct Work<F, E, A = ()> {
    retry: Retry,
    work: F,
    judge: Judge<E>,
    advise: A,
}

pub(super) type Judge<E> = fn(&Policy, &E) -> (Outcome, Advice);

/// Decides about an attempt by its error, which `advise` may know better.
#[inline]
pub(super) fn decide<T, E>(
    retry: &Retry,
    judge: Judge<E>,
    advise: &impl Advise<E>,
    output: Result<T, E>,
) -> Decision<Result<T, E>> {
    let Err(error) = &output else {
        return Decision::Succeeded(output);
    };
    let (outcome, usual) = judge(&retry.shared.policy, error);
    let advice = advise.advise(error).unwrap_or(usual);
    Decision::Failed(Failed {
        output,
        outcome,
        advice,
        unsent: None,
    })
}

impl<F, E> Work<F, E> {
    fn new(retry: &Retry, work: F, judge: Judge<E>) -> Self {
        Work {
            retry: retry.clone(),
            work,
            judge,
            advise: (),
        }
    }
}

impl<F, Fut, T, E> RetryFuture<Work<F, E>>
where
    F: FnMut(Attempt) -> Fut,
    Fut: Future<Output = Result<T, E>>,
{
    /// Sets which errors are worth another attempt: a closure that answers with `bool`, [`Hint`](super::Hint) or
    /// [`Advice`].
    ///
    /// Default: failures, overload and timeouts, as the peer's hints allow; not what is the caller's own fault or can
    /// never be sent, nor refusals by guards of this process.
    pub fn when<A, C>(self, advise: C) -> RetryFuture<Work<F, E, C>>
    where
        A: Into<Advice>,
        C: Fn(&E) -> A,
    {
        let Work {
            retry, work, judge, ..
        } = self.attempts;
        RetryFuture {
            stage: self.stage,
            state: self.state,
            attempts: Work {
                retry,
                work,
                judge,
                advise,
            },
        }
    }
}

impl<F, Fut, T, E, A> RetryFuture<Work<F, E, A>>
where
    F: FnMut(Attempt) -> Fut,
    Fut: Future<Output = Result<T, E>>,
    A: Advise<E>,
{
    /// Sets when the call has to be over: no further attempt begins later, and no wait begins that would end later.
    /// The first attempt is made in any case.
    pub fn deadline(mut self, deadline: Instant) -> Self {
        self.state.until(deadline);
        self
    }
}

impl<F, Fut, T, E, A> Attempts for Work<F, E, A>
where
    // The work.
    F: FnMut(Attempt) -> Fut,
    Fut: Future<Output = Result<T, E>>,
    // What its errors mean.
    A: Advise<E>,
{
    type Future = Fut;
    type Output = Result<T, E>;
    type Answer = Result<T, E>;

    #[inline]
    fn retry(&self) -> &Retry {
        &self.retry
    }

    #[inline]
    fn begin(&mut self, begin: Begin<'_>) -> Fut {
        (self.work)(begin.attempt)
    }

    #[inline]
    fn decide(&mut self, output: Result<T, E>, _: Ended) -> Decision<Result<T, E>> {
        decide(&self.retry, self.judge, &self.advise, output)
    }

    #[inline]
    fn answer(&mut self, output: Result<T, E>, _: Ended, open: Option<OpenCall>) -> Result<T, E> {
        if let Some(open) = open {
            open.settle(&self.retry, Outcome::Success);
        }
        output
    }
}
