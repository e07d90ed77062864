//! The fallback of a call through a pipeline. Calls that succeed pass through unchanged.

use std::{
    fmt,
    future::{Future, poll_fn},
    panic::resume_unwind,
    pin::pin,
};

use super::{
    PipelineError,
    classified::{Classified, ClassifiedResult},
    run::PipelineOutput,
    shared::PipelineShared,
};
use crate::{
    call::{Elapsed, Outcome, catch, catch_hook, drop_on_timeout},
    fallback::{
        DeadlineElapsed, FailedCall, Fallback, FallbackError, UntilDeadline, is_failure_by_default,
        remaining_deadline,
    },
    util::text::display_bounded,
};

/// Maximum length of the text of an error that was replaced, in bytes.
const MAX_ERROR_LEN: usize = 1_024;

impl<T, E: fmt::Display + 'static> PipelineOutput<T, E> {
    /// Returns the error of a call that did not succeed. An `Ok` that is classified as a failure stays an `Ok`.
    pub(super) fn failure_error(&self) -> Option<&PipelineError<E>> {
        self.result.as_ref().err()?.result.as_ref().err()
    }

    /// Returns whether the fallback of the pipeline applies to the result.
    pub(super) fn has_fallback(&self) -> bool {
        let Err(failed) = &self.result else {
            return false;
        };
        let call = FailedCall::of_work(failed.classification(), failed.error());
        failed.result.is_err() && self.parts.fallback().shared.applies_to(&call)
    }

    /// Replaces a failure that the fallback applies to by a value.
    pub(super) fn or_value(self, value: T) -> Self {
        if !self.has_fallback() {
            return self;
        }
        let PipelineOutput { result, parts } = self;
        let result = result.or_else(|failed| {
            let text = error_text(&failed);
            let result = Classified::of_fallback(Ok(value), failed.as_error(), None);
            report_result(parts.fallback(), failed.outcome(), text.as_deref(), &result);
            result
        });
        PipelineOutput { result, parts }
    }

    /// Replaces a failure by what a closure makes of it.
    pub(super) async fn or_call<F, Fut>(self, applies: bool, respond: F) -> Self
    where
        F: FnOnce(PipelineError<E>) -> Fut,
        Fut: Future<Output = Result<T, PipelineError<E>>>,
    {
        let PipelineOutput { result, parts } = self;
        let result = match result {
            Err(failed) if applies => replace(failed, respond, &parts).await,
            result => result,
        };
        PipelineOutput { result, parts }
    }
}

/// Calls the closure with the error of a failed call, and reports what became of it.
async fn replace<T, E, F, Fut>(
    failed: Classified<T, E>,
    respond: F,
    parts: &PipelineShared,
) -> ClassifiedResult<T, E>
where
    E: fmt::Display + 'static,
    F: FnOnce(PipelineError<E>) -> Fut,
    Fut: Future<Output = Result<T, PipelineError<E>>>,
{
    let (fallback, outcome) = (parts.fallback(), failed.outcome());
    let Some(deadline) = remaining_deadline(None) else {
        fallback
            .shared
            .report_failed(outcome, FallbackError::Deadline);
        return Err(failed);
    };
    let (text, as_error) = (error_text(&failed), failed.as_error());
    let error = match failed.result {
        Err(error) => error,
        // Nothing to replace: only errors have a fallback.
        Ok(_) => return Err(failed),
    };
    // The closure is called in the first poll, so that its panics are caught as those of its future are.
    let call = UntilDeadline::new(async move { respond(error).await }, deadline);
    match run_caught(call, fallback, outcome).await {
        Err(elapsed) => Err(Classified::timed_out(elapsed, as_error)),
        Ok(result) => {
            let result = Classified::of_fallback(result, as_error, parts.classify_error.as_ref());
            report_result(fallback, outcome, text.as_deref(), &result);
            result
        }
    }
}

/// Runs the future of a fallback until it completes, panics or the caller's deadline passes.
async fn run_caught<Fut: Future>(
    call: UntilDeadline<Fut>,
    fallback: &Fallback,
    outcome: Outcome,
) -> Result<Fut::Output, Elapsed> {
    let mut call = pin!(Some(call));
    let polled = poll_fn(|cx| {
        let call = call.as_mut().as_pin_mut();
        let call = call.expect("the call is dropped after its last poll");
        catch(|| call.poll(cx)).unwrap_or_else(|payload| {
            fallback
                .shared
                .report_failed(outcome, FallbackError::Panicked);
            resume_unwind(payload)
        })
    });
    match polled.await {
        Ok(output) => Ok(output),
        Err(DeadlineElapsed) => {
            let elapsed = fallback.shared.record_elapsed(outcome);
            // Calls that are dropped with it learn from the thread that it was the deadline.
            Err(drop_on_timeout(elapsed, || call.set(None)))
        }
    }
}

/// Reports the result of a fallback. `outcome` is that of the failed call, and `error` the text of its error.
fn report_result<T, E>(
    fallback: &Fallback,
    outcome: Outcome,
    error: Option<&str>,
    result: &ClassifiedResult<T, E>,
) {
    match result {
        Err(failed) if is_failure_by_default(failed.outcome()) => {
            fallback
                .shared
                .report_failed(outcome, FallbackError::Failed);
        }
        _ => fallback.shared.report_served(outcome, error),
    }
}

/// Returns the text of the error, for the event: no other has the error of a call that succeeds in the end.
fn error_text<T, E: fmt::Display>(failed: &Classified<T, E>) -> Option<Box<str>> {
    let error = failed.result.as_ref().err()?;
    catch_hook(|| display_bounded(error, MAX_ERROR_LEN))
}

#[cfg(test)]
mod tests {
    use std::{future::ready, io, sync::Arc};

    use tokio::time::{Duration, Instant, sleep};

    use super::*;
    use crate::{
        Context, Pipeline,
        call::{Classification, Rejection, RejectionKind},
        pipeline::classified::{as_error, as_known_error},
        registry::Snapshot,
    };

    fn parts() -> Arc<PipelineShared> {
        let pipeline = Pipeline::builder("unit")
            .untracked()
            .classify_error(|error: &io::Error| match error.kind() {
                io::ErrorKind::NotFound => Outcome::ClientError,
                _ => Outcome::Failure,
            });
        pipeline.build().unwrap().into_shared()
    }

    /// Returns the output of a call that ended with this error and this outcome.
    fn failed(outcome: Outcome) -> PipelineOutput<u32, io::Error> {
        let error = io::Error::other("reset");
        let result = Classified::new(Err(error), as_error, Some(outcome.into()));
        PipelineOutput {
            result,
            parts: parts(),
        }
    }

    /// Returns how many failures the fallback has replaced, and for how many it has failed.
    fn counts(output: &PipelineOutput<u32, io::Error>) -> String {
        let snapshot = Snapshot::new(&*output.parts.fallback().shared);
        format!(
            "{:?} {:?}",
            snapshot.stat("served"),
            snapshot.stat("failed")
        )
    }

    fn counted(served: u64, failed: u64) -> String {
        use crate::registry::Stat;
        format!(
            "{:?} {:?}",
            Some(Stat::Count(served)),
            Some(Stat::Count(failed))
        )
    }

    fn outcome_of(output: &PipelineOutput<u32, io::Error>) -> Outcome {
        output
            .result
            .as_ref()
            .unwrap_or_else(|failed| failed)
            .outcome()
    }

    #[test]
    fn value_replaces_failures_but_no_other_error() {
        for (outcome, replaced) in [
            (Outcome::Success, false),
            (Outcome::ClientError, false),
            (Outcome::Cancelled, false),
            (Outcome::Failure, true),
            (Outcome::Overload, true),
            (Outcome::TimedOut, true),
        ] {
            let output = failed(outcome);
            assert_eq!(output.has_fallback(), replaced, "{outcome:?}");
            assert_eq!(
                output.failure_error().is_some(),
                outcome != Outcome::Success
            );
            let output = output.or_value(7);
            assert_eq!(counts(&output), counted(u64::from(replaced), 0));
            let expected = if replaced { Outcome::Success } else { outcome };
            assert_eq!(outcome_of(&output), expected);
            assert_eq!(output.result.is_ok(), expected == Outcome::Success);
        }
    }

    #[test]
    fn value_does_not_replace_an_ok() {
        let result = Classified::new(Ok(75), as_error, Some(Outcome::Failure.into()));
        let output: PipelineOutput<_, io::Error> = PipelineOutput {
            result,
            parts: parts(),
        };
        assert!(!output.has_fallback() && output.failure_error().is_none());
        let output = output.or_value(7);
        let Err(kept) = &output.result else {
            panic!("still a failure")
        };
        assert_eq!(kept.result.as_ref().ok(), Some(&75));
        assert_eq!(counts(&output), counted(0, 0));
    }

    #[tokio::test]
    async fn closure_is_called_if_it_applies() {
        let output = failed(Outcome::ClientError);
        let output = output.or_call(true, |_| ready(Ok(7))).await;
        assert_eq!(outcome_of(&output), Outcome::Success);
        assert_eq!(counts(&output), counted(1, 0));
        let respond = |_| -> std::future::Ready<Result<u32, _>> { unreachable!("does not apply") };
        let output = failed(Outcome::Failure).or_call(false, respond).await;
        assert_eq!(outcome_of(&output), Outcome::Failure);
        assert_eq!(counts(&output), counted(0, 0));
        // Nor for a success.
        let output = output.or_value(7).or_call(true, respond).await;
        assert_eq!(outcome_of(&output), Outcome::Success);
    }

    #[tokio::test]
    async fn closure_error_is_served_unless_it_is_a_failure() {
        for (kind, outcome, expected) in [
            (io::ErrorKind::NotFound, Outcome::ClientError, counted(1, 0)),
            (io::ErrorKind::TimedOut, Outcome::Failure, counted(0, 1)),
        ] {
            let output = failed(Outcome::Failure);
            let respond = |_| ready(Err(PipelineError::Failed(kind.into())));
            let output = output.or_call(true, respond).await;
            assert_eq!(outcome_of(&output), outcome);
            assert_eq!(counts(&output), expected);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn closure_is_not_called_at_the_deadline() {
        let caller = Context::new_root().with_deadline(Instant::now() + Duration::from_secs(1));
        let in_time = failed(Outcome::Failure).or_call(true, |_| ready(Ok(7)));
        assert_eq!(counts(&caller.scope(in_time).await), counted(1, 0));
        sleep(Duration::from_secs(1)).await;
        let late = failed(Outcome::Failure).or_call(true, |_| ready(Ok(7)));
        let late = caller.scope(late).await;
        assert_eq!(outcome_of(&late), Outcome::Failure);
        assert_eq!(counts(&late), counted(0, 1));
    }

    #[test]
    fn fallback_results_are_classified_as_those_of_the_work() {
        let parts = parts();
        let classify = |result| {
            let result: ClassifiedResult<u32, io::Error> =
                Classified::of_fallback(result, as_error, parts.classify_error.as_ref());
            result.unwrap_or_else(|failed| failed).classification()
        };
        assert_eq!(classify(Ok(7)), Classification::SUCCESS);
        let missing = io::ErrorKind::NotFound.into();
        let missing = classify(Err(PipelineError::Failed(missing)));
        assert_eq!(missing.outcome, Outcome::ClientError);
        let rejection = Rejection::new(RejectionKind::CircuitOpen, "replica");
        let rejected = classify(Err(PipelineError::Rejected(rejection)));
        assert_eq!(rejected, Classification::REJECTED);
        let elapsed = Elapsed::new("replica".into(), crate::call::TimeoutKind::Limit, None);
        let timed_out = classify(Err(PipelineError::TimedOut(elapsed)));
        assert_eq!(timed_out.outcome, Outcome::TimedOut);
    }

    #[test]
    fn error_text_is_bounded_and_survives_a_panic() {
        struct Panics;
        impl fmt::Display for Panics {
            fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
                panic!("of the error")
            }
        }
        let long = Classified::<(), _>::new(Err("e".repeat(5_000)), as_known_error, None);
        let text = error_text(&long.err().unwrap()).unwrap();
        assert!(
            (MAX_ERROR_LEN - 8..=MAX_ERROR_LEN).contains(&text.len()),
            "{text}"
        );
        let panics = Classified::<(), _>::new(Err(Panics), as_known_error, None);
        assert_eq!(error_text(&panics.err().unwrap()), None);
        let none = Classified::<_, io::Error>::new(Ok(7), as_error, Some(Outcome::Failure.into()));
        assert_eq!(error_text(&none.err().unwrap()), None);
    }
}
