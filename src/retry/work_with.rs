use std::{error::Error, future::Future};

use tokio::time::Instant;

use super::{
    Advice, Advise, Attempt, Attempts, Retry, RetryFuture,
    attempts::{Begin, Decision, Ended},
    stage::TWICE,
    state::OpenCall,
    work::{Judge, decide},
};
use crate::call::Outcome;

impl Retry {
    /// Runs work that changes something on its way, such as a connection: each attempt is given it, and gives it back
    /// with its result. [`run`](Self::run) cannot lend it, since its attempts outlive the call of the closure.
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
    /// let (retry, mut connection) = (Retry::named("rows"), Vec::new());
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
    /// As [`run`](Self::run).
    pub fn run_with<C, F, Fut, T, E>(&self, context: C, work: F) -> RetryFuture<WorkWith<C, F, E>>
    where
        F: FnMut(C, Attempt) -> Fut,
        Fut: Future<Output = (C, Result<T, E>)>,
        E: Error + 'static,
    {
        RetryFuture::lazy(WorkWith {
            retry: self.clone(),
            context: Some(context),
            work,
            judge: |policy, error| policy.judge_error(error),
            advise: (),
        })
    }
}

/// Work that is given something to change. Part of a [`RetryFuture`]'s type; see [`Retry::run_with`].
pub struct WorkWith<C, F, E, A = ()> {
    retry: Retry,
    /// None while an attempt has it.
    context: Option<C>,
    work: F,
    judge: Judge<E>,
    advise: A,
}

impl<C, F, Fut, T, E> RetryFuture<WorkWith<C, F, E>>
where
    F: FnMut(C, Attempt) -> Fut,
    Fut: Future<Output = (C, Result<T, E>)>,
{
    /// Sets which errors are worth another attempt, as for [`run`](Retry::run).
    pub fn when<A, W>(self, advise: W) -> RetryFuture<WorkWith<C, F, E, W>>
    where
        A: Into<Advice>,
        W: Fn(&E) -> A,
    {
        let work = self.attempts;
        RetryFuture {
            stage: self.stage,
            state: self.state,
            attempts: WorkWith {
                retry: work.retry,
                context: work.context,
                work: work.work,
                judge: work.judge,
                advise,
            },
        }
    }
}

impl<C, F, Fut, T, E, A> RetryFuture<WorkWith<C, F, E, A>>
where
    F: FnMut(C, Attempt) -> Fut,
    Fut: Future<Output = (C, Result<T, E>)>,
    A: Advise<E>,
{
    /// Sets when the call has to be over, as for [`run`](Retry::run).
    pub fn deadline(mut self, deadline: Instant) -> Self {
        self.state.until(deadline);
        self
    }
}

impl<C, F, Fut, T, E, A> Attempts for WorkWith<C, F, E, A>
where
    // The work.
    F: FnMut(C, Attempt) -> Fut,
    Fut: Future<Output = (C, Result<T, E>)>,
    // What its errors mean.
    A: Advise<E>,
{
    type Future = Fut;
    type Output = Result<T, E>;
    type Answer = (C, Result<T, E>);

    fn retry(&self) -> &Retry {
        &self.retry
    }

    fn begin(&mut self, begin: Begin<'_>) -> Fut {
        let context = self.context.take().expect(TWICE);
        (self.work)(context, begin.attempt)
    }

    fn decide(&mut self, (context, output): (C, Result<T, E>), _: Ended) -> Decision<Result<T, E>> {
        self.context = Some(context);
        decide(&self.retry, self.judge, &self.advise, output)
    }

    fn answer(&mut self, output: Result<T, E>, _: Ended, open: Option<OpenCall>) -> Self::Answer {
        if let Some(open) = open {
            open.settle(&self.retry, Outcome::Success);
        }
        (self.context.take().expect(TWICE), output)
    }
}
