//! Classifies the results of calls that are no services.

use std::{error::Error, fmt};

use crate::{
    call::{Cause, Classification, ClassifyOutput, Evidence, Outcome, as_std_error, catch_hook},
    protocol::classify_error,
};

/// Classifies an error by itself. Returns its cause, and the error as text where the cause does not show it.
pub(crate) type ClassifyError<E> =
    fn(&E) -> (Classification, Option<Cause<'_>>, Option<&dyn fmt::Display>);

pub(crate) fn classify_std<E: Error + 'static>(
    error: &E,
) -> (Classification, Option<Cause<'_>>, Option<&dyn fmt::Display>) {
    (classify_error(error), Some(Cause::from_error(error)), None)
}

/// Classifies an error of any type: a well-known one by what it is, every other as a failure.
pub(crate) fn classify_display<E: fmt::Display + 'static>(
    error: &E,
) -> (Classification, Option<Cause<'_>>, Option<&dyn fmt::Display>) {
    match as_std_error(error) {
        Some(known) => (
            classify_error(known),
            Some(Cause::from_error(known)),
            Some(error),
        ),
        None => (Classification::FAILURE, None, Some(error)),
    }
}

/// Returns what a predicate says about an error: a failure, or no evidence. A predicate that panics counts as a failure.
pub(crate) fn failure_if<E>(is_failure: impl FnOnce(&E) -> bool, error: &E) -> ClassifyOutput {
    let (outcome, evidence) = match catch_hook(|| is_failure(error)) {
        Some(true) => (Outcome::Failure, Evidence::Unhealthy),
        Some(false) => (Outcome::ClientError, Evidence::Inconclusive),
        None => return Outcome::Failure.into(),
    };
    ClassifyOutput::from(outcome).with_evidence(evidence)
}

/// Returns what a closure says, or failure if it panics.
pub(crate) fn output_or_failure<O: Into<ClassifyOutput>>(
    classify: impl FnOnce() -> O,
) -> ClassifyOutput {
    catch_hook(|| classify().into()).unwrap_or_else(|| Outcome::Failure.into())
}

/// Classifies a result. The output of a closure replaces what the error says by itself, but a rejection by a guard of this
/// process stays one: it is no evidence about the peer.
#[inline]
pub(crate) fn classify_result<T, E>(
    result: &Result<T, E>,
    classify: ClassifyError<E>,
    custom: Option<ClassifyOutput>,
) -> (Classification, Option<Cause<'_>>, Option<&dyn fmt::Display>) {
    let (classification, cause, text) = match result {
        Ok(_) => (Classification::SUCCESS, None, None),
        Err(error) => classify(error),
    };
    match custom {
        Some(output) if classification.outcome != Outcome::Rejected => {
            let resolved = output.resolve(classification, result.is_err());
            (resolved, cause, text)
        }
        _ => (classification, cause, text),
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;
    use crate::call::{BoxError, Rejection};

    fn timed_out() -> Result<(), io::Error> {
        Err(io::ErrorKind::TimedOut.into())
    }

    fn rejected() -> Result<(), Rejection> {
        Err(Rejection::overloaded("shed"))
    }

    #[test]
    fn classify_result_of_an_error_goes_by_its_type() {
        let (timed_out, rejected) = (timed_out(), rejected());
        let (classification, cause, _) = classify_result(&timed_out, classify_std, None);
        assert!(classification.outcome == Outcome::TimedOut && cause.is_some());
        let (classification, cause, _) = classify_result(&rejected, classify_std, None);
        assert!(classification.outcome == Outcome::Rejected && cause.is_some());
    }

    #[test]
    fn classify_result_of_a_display_error_goes_by_its_type_if_that_is_known() {
        let known: Result<(), BoxError> = timed_out().map_err(Into::into);
        let (classification, cause, _) = classify_result(&known, classify_display, None);
        assert!(classification.outcome == Outcome::TimedOut && cause.is_some());
        let unknown = Err::<(), _>("no");
        let (classification, cause, text) = classify_result(&unknown, classify_display, None);
        assert!(classification.outcome == Outcome::Failure && cause.is_none());
        assert_eq!(text.map(ToString::to_string).as_deref(), Some("no"));
    }

    #[test]
    fn failure_if_decides_between_failure_and_no_evidence() {
        for (is_failure, expected) in [
            (true, Classification::FAILURE),
            (false, Classification::CALLER_FAULT),
        ] {
            let timed_out = timed_out();
            let output = timed_out
                .as_ref()
                .err()
                .map(|error| failure_if(|_| is_failure, error));
            let (classification, cause, _) = classify_result(&timed_out, classify_std, output);
            assert!(cause.is_some());
            assert_eq!(classification, expected);
        }
    }

    #[test]
    fn evidence_of_a_closure_is_kept() {
        for (output, evidence) in [
            (Outcome::Overload.into(), Evidence::Unhealthy),
            (Outcome::ClientError.into(), Evidence::Inconclusive),
            (Outcome::Success.into(), Evidence::Healthy),
            (
                ClassifyOutput::from(Outcome::Failure).with_evidence(Evidence::Healthy),
                Evidence::Healthy,
            ),
        ] {
            let timed_out = timed_out();
            let output = output_or_failure(|| output);
            let (classification, ..) = classify_result(&timed_out, classify_std, Some(output));
            assert_eq!(
                classification,
                Classification::new(output.outcome(), evidence)
            );
        }
    }

    #[test]
    fn classify_result_may_make_a_success_a_failure_but_a_rejection_stays_one() {
        let overload = || Some(Outcome::Overload.into());
        let outcome = |result: Result<(), Rejection>| {
            classify_result(&result, classify_std, overload()).0.outcome
        };
        assert_eq!(outcome(Ok(())), Outcome::Overload);
        assert_eq!(outcome(rejected()), Outcome::Rejected);
    }

    #[test]
    fn classifier_that_panics_makes_the_call_a_failure() {
        let failure: ClassifyOutput = Outcome::Failure.into();
        let panics = || -> Outcome { std::panic::resume_unwind(Box::new(())) };
        assert_eq!(output_or_failure(panics), failure);
        assert_eq!(failure_if(|_| panics() == Outcome::Success, &()), failure);
    }
}
