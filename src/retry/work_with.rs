use std::{error::Error, future::Future};

use tokio::time::Instant;

use super::{
    Attempt, Attempts, DecideError, Retry, RetryDecision, RetryFuture,
    attempts::{AttemptEnd, AttemptStart, Classified},
    stage::POLLED_AFTER_COMPLETION,
    state::CallCompletion,
    work::{ClassifyErrorFn, classify},
};
use crate::call::Outcome;

impl Retry {
    /// Runs work that changes something on its way, such as a connection: each attempt is given it, and gives it back
    /// with its result. [`span_while`](Self::run) cannot lend it, since its attempts outlive the call of the closure.
    ///
    /// Lent as `&mut` to a closure within a task that is spawned, the compiler may not see that it is `Send`: give it
    /// by value, or to a function.
    ///
    /// ```
    /// use tower_keep::retry::Retry;
    ///
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)] async fn main() -> std::io::Result<()> {
    /// async fn query(connection: &mut Vec<u32>) -> std::io::Result<usize> {
    ///     connection.push(7);
    ///     if connection.len() < 2 { Err(std::io::Error::other("reset")) } else { Ok(connection.len()) }
    /// }
    ///
    /// let (retry, mut connection) = (Retry::new("rows"), Vec::new());
    /// let work = retry.run_with(&mut connection, |connection, _| async move {
    ///     let rows = query(connection).await;
    ///     (connection, rows)
    /// });
    /// let (_, rows) = work.await;
    /// assert_eq!(rows?, 2);
    /// # Ok(()) }
    /// ```
    ///
    /// # Panics
    ///
    /// As [`span_while`](Self::run).
    pub fn run_with<C, F, Fut, T, E>(
        &self,
        context: C,
        work: F,
    ) -> RetryFuture<RunWithAttempts<C, F, E>>
    where
        F: FnMut(C, Attempt) -> Fut,
        Fut: Future<Output = (C, Result<T, E>)>,
        E: Error + 'static,
    {
        RetryFuture::new(RunWithAttempts {
            retry: self.clone(),
            state: Some(context),
            work,
            classify_error: |policy, error| policy.classify_error(error),
            decide_error: (),
        })
    }
}

/// Work that is given something to change. Part of a [`RetryFuture`]'s type; see [`Retry::run_with`].
pub struct RunWithAttempts<C, F, E, A = ()> {
    retry: Retry,
    /// None while an attempt has it.
    state: Option<C>,
    work: F,
    classify_error: ClassifyErrorFn<E>,
    decide_error: A,
}

impl<C, F, Fut, T, E> RetryFuture<RunWithAttempts<C, F, E>>
where
    F: FnMut(C, Attempt) -> Fut,
    Fut: Future<Output = (C, Result<T, E>)>,
{
    /// Sets which errors are worth another attempt, as for [`span_while`](Retry::run).
    pub fn when<A, W>(self, advise: W) -> RetryFuture<RunWithAttempts<C, F, E, W>>
    where
        A: Into<RetryDecision>,
        W: Fn(&E) -> A,
    {
        let work = self.attempts;
        RetryFuture {
            stage: self.stage,
            state: self.state,
            attempts: RunWithAttempts {
                retry: work.retry,
                state: work.state,
                work: work.work,
                classify_error: work.classify_error,
                decide_error: advise,
            },
        }
    }
}

impl<C, F, Fut, T, E, A> RetryFuture<RunWithAttempts<C, F, E, A>>
where
    F: FnMut(C, Attempt) -> Fut,
    Fut: Future<Output = (C, Result<T, E>)>,
    A: DecideError<E>,
{
    /// Sets when the call has to be over, as for [`span_while`](Retry::run).
    pub fn deadline(mut self, deadline: Instant) -> Self {
        self.state.cap_deadline(deadline);
        self
    }
}

impl<C, F, Fut, T, E, A> Attempts for RunWithAttempts<C, F, E, A>
where
    // The work.
    F: FnMut(C, Attempt) -> Fut,
    Fut: Future<Output = (C, Result<T, E>)>,
    // What its errors mean.
    A: DecideError<E>,
{
    type Future = Fut;
    type AttemptOutput = Result<T, E>;
    type CallOutput = (C, Result<T, E>);

    fn retry(&self) -> &Retry {
        &self.retry
    }

    fn start(&mut self, begin: AttemptStart<'_>) -> Fut {
        let context = self.state.take().expect(POLLED_AFTER_COMPLETION);
        (self.work)(context, begin.attempt)
    }

    fn classify(
        &mut self,
        (context, output): (C, Result<T, E>),
        _: AttemptEnd,
    ) -> Classified<Result<T, E>> {
        self.state = Some(context);
        classify(&self.retry, self.classify_error, &self.decide_error, output)
    }

    fn complete(
        &mut self,
        output: Result<T, E>,
        _: AttemptEnd,
        open: Option<CallCompletion>,
    ) -> Self::CallOutput {
        if let Some(open) = open {
            open.complete(&self.retry, Outcome::Success);
        }
        (self.state.take().expect(POLLED_AFTER_COMPLETION), output)
    }
}
