use std::{fmt, future::Future, sync::Arc};

use super::{
    classified::{AsError, Classified, ClassifiedResult},
    shared::PipelineShared,
    shared_run::SharedRun,
};
use crate::{
    breaker::BreakerFuture,
    bulkhead::BulkheadFuture,
    call::{ClassifyOutput, Outcome, catch_hook},
    hedge::Hedge,
    priority::PrioritizerFuture,
};

/// A call through a pipeline: the work, and what its results mean.
pub(super) struct PipelineRun<F, E, C> {
    pub(super) work: F,
    pub(super) as_error: AsError<E>,
    /// Classifies a result of this call; `None` leaves it to the pipeline.
    pub(super) classify: C,
    /// `true` if two attempts may run at the same time.
    pub(super) may_overlap: bool,
}

/// The classified result of a call, and the parts that it went through.
pub struct PipelineOutput<T, E> {
    pub(super) result: ClassifiedResult<T, E>,
    pub(super) parts: Arc<PipelineShared>,
}

// From the outermost part to the innermost; operation and fallback are around them. Each part that is not there costs a
// branch.
impl<F, Fut, T, E, C> PipelineRun<F, E, C>
where
    // Makes the future of an attempt.
    F: FnMut() -> Fut,
    Fut: Future<Output = Result<T, E>>,
    E: fmt::Display + 'static,
    // Classifies what that returns.
    C: Fn(&Result<T, E>) -> Option<ClassifyOutput>,
{
    /// Runs the work within the total limit.
    pub(super) async fn run(self, parts: Arc<PipelineShared>) -> PipelineOutput<T, E> {
        let result = self.run_in_time(&parts).await;
        PipelineOutput { result, parts }
    }

    /// Runs the attempts in a slot of the bulkhead, within the total limit.
    async fn run_in_time(self, parts: &PipelineShared) -> ClassifiedResult<T, E> {
        let as_error = self.as_error;
        let Some(limit) = &parts.total_limit else {
            return self.run_by_priority(parts).await;
        };
        let result = limit.run(self.run_by_priority(parts)).await;
        result.unwrap_or_else(|elapsed| Err(Classified::timed_out(elapsed, as_error)))
    }

    /// Runs the attempts unless the prioritizer sheds the call.
    async fn run_by_priority(self, parts: &PipelineShared) -> ClassifiedResult<T, E> {
        let as_error = self.as_error;
        let Some(prioritizer) = &parts.prioritizer else {
            return self.run_in_bulkhead(parts).await;
        };
        let attempts = self.run_in_bulkhead(parts);
        let classify = Classified::for_breaker;
        let call = PrioritizerFuture::with_classify_error(prioritizer, None, attempts, classify);
        call.await
            .map_err(|error| Classified::from_call_error(error, as_error))
    }

    /// Runs the attempts once there is a slot of the bulkhead.
    async fn run_in_bulkhead(self, parts: &PipelineShared) -> ClassifiedResult<T, E> {
        let as_error = self.as_error;
        let Some(bulkhead) = &parts.bulkhead else {
            return self.run_attempts(parts).await;
        };
        let attempts = self.run_attempts(parts);
        let call = BulkheadFuture::new(bulkhead, attempts, Classified::for_breaker);
        call.await
            .map_err(|error| Classified::from_call_error(error, as_error))
    }

    /// Runs attempts until one succeeds or there is no further one.
    async fn run_attempts(mut self, parts: &PipelineShared) -> ClassifiedResult<T, E> {
        let Some(retry) = &parts.retry else {
            return self.run_hedged(parts).await;
        };
        let attempts = retry.run_classified(
            self,
            // Not an async closure, whose future the compiler may not see to be `Send`.
            move |mut run: Self, _| async move {
                let result = run.run_hedged(parts).await;
                (run, result)
            },
            |settings, failed| {
                let outcome = failed.outcome();
                (outcome, settings.decide(outcome, failed.error()))
            },
        );
        attempts.await.1
    }

    /// Runs an attempt, and others beside it where it takes long.
    async fn run_hedged(&mut self, parts: &PipelineShared) -> ClassifiedResult<T, E> {
        match &parts.hedge {
            Some(hedge) if self.may_overlap => self.run_overlapping(hedge, parts).await,
            _ => self.run_attempt(parts).await,
        }
    }

    async fn run_overlapping(
        &mut self,
        hedge: &Hedge,
        parts: &PipelineShared,
    ) -> ClassifiedResult<T, E> {
        let as_error = self.as_error;
        let shared = SharedRun::new(self);
        let shared = &shared;
        let attempts = hedge.run_classified(
            // Not an async closure, whose future the compiler may not see to be `Send`.
            move |_| async move {
                let mut attempt = PipelineRun {
                    work: || shared.with(|run| (run.work)()),
                    as_error,
                    classify: |result: &Result<T, E>| shared.with(|run| (run.classify)(result)),
                    may_overlap: true,
                };
                attempt.run_attempt(parts).await
            },
            |settings, failed| {
                let outcome = failed.outcome();
                (outcome, settings.decide(outcome, failed.error()))
            },
        );
        attempts.await
    }

    /// Runs an attempt if the throttle admits it.
    async fn run_attempt(&mut self, parts: &PipelineShared) -> ClassifiedResult<T, E> {
        let Some(throttle) = &parts.throttle else {
            return self.run_in_breaker(parts).await;
        };
        let permit = match throttle.try_acquire() {
            Ok(permit) => permit,
            Err(rejection) => return Err(Classified::rejected(rejection, self.as_error)),
        };
        let result = self.run_in_breaker(parts).await;
        permit.complete(result.as_ref().unwrap_or_else(|failed| failed).output());
        result
    }

    /// Runs an attempt if the breaker admits it.
    async fn run_in_breaker(&mut self, parts: &PipelineShared) -> ClassifiedResult<T, E> {
        let as_error = self.as_error;
        let Some(breaker) = &parts.breaker else {
            return self.run_in_rate(parts).await;
        };
        let attempt = BreakerFuture::new_classified(
            breaker,
            self.run_in_rate(parts),
            Classified::for_breaker,
            |result| result.as_ref().unwrap_or_else(|failed| failed).output(),
        );
        attempt
            .await
            .map_err(|error| Classified::from_call_error(error, as_error))
    }

    /// Runs the work once the rate limit has room for a call.
    async fn run_in_rate(&mut self, parts: &PipelineShared) -> ClassifiedResult<T, E> {
        let Some(limit) = &parts.rate_limit else {
            return self.run_work(parts).await;
        };
        let as_error = self.as_error;
        let wait = match limit.take_in_time() {
            Ok(wait) => wait,
            Err(rejection) => return Err(Classified::rejected(rejection, as_error)),
        };
        if let Some(wait) = wait
            && let Err(rejection) = wait.await
        {
            return Err(Classified::rejected(rejection, as_error));
        }
        let result = self.run_work(parts).await;
        if let Err(failed) = &result {
            limit.on_failure(failed.outcome(), failed.error());
        }
        result
    }

    /// Runs the work once, within the limit of an attempt.
    async fn run_work(&mut self, parts: &PipelineShared) -> ClassifiedResult<T, E> {
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
    fn classify(&self, result: &Result<T, E>, parts: &PipelineShared) -> Option<ClassifyOutput> {
        let classified = catch_hook(|| {
            (self.classify)(result).or_else(|| {
                let error = result.as_ref().err()?;
                parts.classify_error.as_ref()?.classify(error)
            })
        });
        classified.unwrap_or_else(|| Some(Outcome::Failure.into()))
    }
}
