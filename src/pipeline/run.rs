use std::{fmt, future::Future, sync::Arc};

use super::{
    classified::{AsError, Classified, ClassifiedResult},
    shared::PipelineShared,
};
use crate::{
    breaker::{BreakerFuture, CallError},
    bulkhead::BulkheadFuture,
    call::{ClassifyOutput, Outcome, catch_hook},
};

/// A call through a pipeline: the work, and what its results mean.
pub(super) struct PipelineRun<F, E, C> {
    pub(super) work: F,
    pub(super) as_error: AsError<E>,
    /// Classifies a result of this call; `None` leaves it to the pipeline.
    pub(super) classify: C,
}

/// The classified result of a call, and the parts that it went through.
pub struct PipelineOutput<T, E> {
    pub(super) result: ClassifiedResult<T, E>,
    pub(super) parts: Arc<PipelineShared>,
}

// From the outermost part to the innermost; operation and fallback are around them. Each part that is not there costs a
// branch.
impl<F, E, C> PipelineRun<F, E, C> {
    /// Runs the work within the total limit.
    pub(super) async fn run<Fut, T>(self, parts: Arc<PipelineShared>) -> PipelineOutput<T, E>
    where
        F: FnMut() -> Fut,
        Fut: Future<Output = Result<T, E>>,
        E: fmt::Display + 'static,
        C: Fn(&Result<T, E>) -> Option<ClassifyOutput>,
    {
        let result = self.run_in_time(&parts).await;
        PipelineOutput { result, parts }
    }

    /// Runs the attempts in a slot of the bulkhead, within the total limit.
    async fn run_in_time<Fut, T>(self, parts: &PipelineShared) -> ClassifiedResult<T, E>
    where
        F: FnMut() -> Fut,
        Fut: Future<Output = Result<T, E>>,
        E: fmt::Display + 'static,
        C: Fn(&Result<T, E>) -> Option<ClassifyOutput>,
    {
        let as_error = self.as_error;
        let Some(limit) = &parts.total_limit else {
            return self.run_in_bulkhead(parts).await;
        };
        let result = limit.run(self.run_in_bulkhead(parts)).await;
        result.unwrap_or_else(|elapsed| Err(Classified::timed_out(elapsed, as_error)))
    }

    /// Runs the attempts once there is a slot of the bulkhead.
    async fn run_in_bulkhead<Fut, T>(self, parts: &PipelineShared) -> ClassifiedResult<T, E>
    where
        F: FnMut() -> Fut,
        Fut: Future<Output = Result<T, E>>,
        E: fmt::Display + 'static,
        C: Fn(&Result<T, E>) -> Option<ClassifyOutput>,
    {
        let as_error = self.as_error;
        let Some(bulkhead) = &parts.bulkhead else {
            return self.run_attempts(parts).await;
        };
        let attempts = self.run_attempts(parts);
        let call = BulkheadFuture::with_classify_error(bulkhead, attempts, Classified::for_breaker);
        call.await.map_err(|error| match error {
            CallError::Rejected(rejection) => Classified::rejected(rejection, as_error),
            CallError::Failed(failed) => failed,
        })
    }

    /// Runs attempts until one succeeds or there is no further one.
    async fn run_attempts<Fut, T>(mut self, parts: &PipelineShared) -> ClassifiedResult<T, E>
    where
        F: FnMut() -> Fut,
        Fut: Future<Output = Result<T, E>>,
        E: fmt::Display + 'static,
        C: Fn(&Result<T, E>) -> Option<ClassifyOutput>,
    {
        let Some(retry) = &parts.retry else {
            return self.run_attempt(parts).await;
        };
        let attempts = retry.run_classified(
            self,
            // Not an async closure, whose future the compiler may not see to be `Send`.
            move |mut run: Self, _| async move {
                let result = run.run_attempt(parts).await;
                (run, result)
            },
            |config, failed| {
                let outcome = failed.outcome();
                (outcome, config.decide(outcome, failed.error()))
            },
        );
        attempts.await.1
    }

    /// Runs an attempt if the breaker admits it.
    async fn run_attempt<Fut, T>(&mut self, parts: &PipelineShared) -> ClassifiedResult<T, E>
    where
        F: FnMut() -> Fut,
        Fut: Future<Output = Result<T, E>>,
        E: fmt::Display + 'static,
        C: Fn(&Result<T, E>) -> Option<ClassifyOutput>,
    {
        let as_error = self.as_error;
        let Some(breaker) = &parts.breaker else {
            return self.run_work(parts).await;
        };
        let attempt = BreakerFuture::new_classified(
            breaker,
            self.run_work(parts),
            Classified::for_breaker,
            |result| result.as_ref().unwrap_or_else(|failed| failed).output(),
        );
        attempt.await.map_err(|error| match error {
            CallError::Rejected(rejection) => Classified::rejected(rejection, as_error),
            CallError::Failed(failed) => failed,
        })
    }

    /// Runs the work once, within the limit of an attempt.
    async fn run_work<Fut, T>(&mut self, parts: &PipelineShared) -> ClassifiedResult<T, E>
    where
        F: FnMut() -> Fut,
        Fut: Future<Output = Result<T, E>>,
        E: 'static,
        C: Fn(&Result<T, E>) -> Option<ClassifyOutput>,
    {
        let result = match &parts.attempt_limit {
            None => parts.faults.run((self.work)()).await,
            Some(limit) => match limit.run(parts.faults.run((self.work)())).await {
                Ok(result) => result,
                Err(elapsed) => return Err(Classified::timed_out(elapsed, self.as_error)),
            },
        };
        let custom = self.classify(&result, parts);
        Classified::new(result, self.as_error, custom)
    }

    /// Asks the classifier of this call, then that of the pipeline. One that panics counts as a failure.
    fn classify<T>(&self, result: &Result<T, E>, parts: &PipelineShared) -> Option<ClassifyOutput>
    where
        E: 'static,
        C: Fn(&Result<T, E>) -> Option<ClassifyOutput>,
    {
        let classified = catch_hook(|| {
            (self.classify)(result).or_else(|| {
                let error = result.as_ref().err()?;
                parts.classify_error.as_ref()?.classify(error)
            })
        });
        classified.unwrap_or_else(|| Some(Outcome::Failure.into()))
    }
}
