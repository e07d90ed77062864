//! What the result of a direct call comes to.

use std::{error::Error, fmt};

use super::error_text::bounded_text;
use crate::{
    call::{Cause, Classification, ClassifyOutput, Evidence, Outcome, as_std_error, catch_hook},
    protocol::classify_error,
};

/// How an error is judged by itself, and what it says.
pub(super) struct ErrorView<E> {
    pub(super) classify: fn(&E) -> (Classification, Option<Cause<'_>>),
    /// The error's text, where its cause has none.
    pub(super) text: fn(&E) -> Option<Box<str>>,
}

impl<E> Clone for ErrorView<E> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<E> Copy for ErrorView<E> {}

impl<E: Error + 'static> ErrorView<E> {
    pub(super) fn of_error() -> Self {
        ErrorView {
            classify: |error| (classify_error(error), Some(Cause::from_error(error))),
            text: |_| None,
        }
    }
}

impl<E: fmt::Display + 'static> ErrorView<E> {
    /// At well-known types; the rest is a failure of which only the text is known.
    pub(super) fn of_display() -> Self {
        ErrorView {
            classify: |error| match as_std_error(error) {
                Some(error) => (classify_error(error), Some(Cause::from_error(error))),
                None => (Classification::FAILURE, None),
            },
            text: |error| Some(bounded_text(error)),
        }
    }
}

/// A breaker's view of an error: a [`ClassifyOutput`], an [`Outcome`], or `true` for a failure and `false` for one that
/// counts nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ErrorClass(ClassifyOutput);

impl From<ClassifyOutput> for ErrorClass {
    fn from(verdict: ClassifyOutput) -> Self {
        ErrorClass(verdict)
    }
}

impl From<Outcome> for ErrorClass {
    fn from(outcome: Outcome) -> Self {
        ErrorClass(outcome.into())
    }
}

impl From<bool> for ErrorClass {
    fn from(counts: bool) -> Self {
        let (outcome, evidence) = if counts {
            (Outcome::Failure, Evidence::Unhealthy)
        } else {
            (Outcome::ClientError, Evidence::Inconclusive)
        };
        ErrorClass(ClassifyOutput::from(outcome).with_evidence(evidence))
    }
}

/// How the result of a call is judged. `()` goes by the error itself.
pub trait ClassifyResult<T, E> {
    #[doc(hidden)]
    fn classify(&self, result: &Result<T, E>) -> Option<ClassifyOutput>;
}

impl<T, E> ClassifyResult<T, E> for () {
    #[inline]
    fn classify(&self, _: &Result<T, E>) -> Option<ClassifyOutput> {
        None
    }
}

/// Judges errors; made by [`BreakerFuture::classify_error`](super::BreakerFuture::classify_error).
#[derive(Clone, Copy)]
pub struct ErrorClassifier<C>(pub(super) C);

impl<T, E, W: Into<ErrorClass>, C: Fn(&E) -> W> ClassifyResult<T, E> for ErrorClassifier<C> {
    fn classify(&self, result: &Result<T, E>) -> Option<ClassifyOutput> {
        let error = result.as_ref().err()?;
        let weight = catch_hook(|| (self.0)(error).into());
        Some(weight.map_or_else(|| Outcome::Failure.into(), |weight| weight.0))
    }
}

/// Judges results; made by [`BreakerFuture::classify`](super::BreakerFuture::classify).
#[derive(Clone, Copy)]
pub struct ResultClassifier<C>(pub(super) C);

impl<T, E, C: Fn(&Result<T, E>) -> Outcome> ClassifyResult<T, E> for ResultClassifier<C> {
    fn classify(&self, result: &Result<T, E>) -> Option<ClassifyOutput> {
        Some(
            catch_hook(|| (self.0)(result))
                .unwrap_or(Outcome::Failure)
                .into(),
        )
    }
}

/// Returns what a call comes to, and the cause that goes with it.
///
/// A refusal by a guard of this process stays one whatever the closure says: it tells nothing about the peer.
pub(super) fn classify_result<'a, T, E>(
    result: &'a Result<T, E>,
    looks: ErrorView<E>,
    weigh: &impl ClassifyResult<T, E>,
) -> (Classification, Option<Cause<'a>>) {
    let (judged, cause) = match result {
        Ok(_) => (Classification::SUCCESS, None),
        Err(error) => (looks.classify)(error),
    };
    match weigh.classify(result) {
        Some(verdict) if judged.outcome != Outcome::Rejected => {
            (verdict.resolve(judged, result.is_err()), cause)
        }
        _ => (judged, cause),
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

    fn refused() -> Result<(), Rejection> {
        Err(Rejection::overloaded("shed"))
    }

    #[test]
    fn an_error_without_a_judge_is_what_its_type_says_and_the_cause() {
        let (timed_out, refused) = (timed_out(), refused());
        let (judged, cause) = classify_result(&timed_out, ErrorView::of_error(), &());
        assert!(judged.outcome == Outcome::TimedOut && cause.is_some());
        let (judged, cause) = classify_result(&refused, ErrorView::of_error(), &());
        assert!(judged.outcome == Outcome::Rejected && cause.is_some());
    }

    #[test]
    fn an_error_of_any_type_is_known_by_its_looks_or_else_by_its_text() {
        let known: Result<(), BoxError> = timed_out().map_err(Into::into);
        let (judged, cause) = classify_result(&known, ErrorView::of_display(), &());
        assert!(judged.outcome == Outcome::TimedOut && cause.is_some());
        let unknown = Err::<(), _>("no");
        let looks = ErrorView::of_display();
        let (judged, cause) = classify_result(&unknown, looks, &());
        assert!(judged.outcome == Outcome::Failure && cause.is_none());
        assert_eq!((looks.text)(&"no").as_deref(), Some("no"));
    }

    #[test]
    fn a_closure_weighs_errors_and_is_not_asked_about_a_success() {
        let by = |weight: bool| ErrorClassifier(move |_: &io::Error| weight);
        for (weight, judged) in [
            (true, Classification::FAILURE),
            (false, Classification::CALLER_FAULT),
        ] {
            let weighed = |result| classify_result(&result, ErrorView::of_error(), &by(weight)).0;
            assert_eq!(weighed(timed_out()), judged);
            assert_eq!(weighed(Ok(())), Classification::SUCCESS);
        }
        let overload = ErrorClassifier(|_: &io::Error| Outcome::Overload);
        let timed_out = timed_out();
        let (judged, cause) = classify_result(&timed_out, ErrorView::of_error(), &overload);
        assert!(judged.outcome == Outcome::Overload && cause.is_some());
        assert_eq!(judged.evidence, Evidence::Unhealthy);
    }

    #[test]
    fn verdict_of_a_closure_decides_the_evidence() {
        for (verdict, evidence) in [
            (Outcome::ClientError.into(), Evidence::Inconclusive),
            (Outcome::Success.into(), Evidence::Healthy),
            (
                ClassifyOutput::from(Outcome::Failure).with_evidence(Evidence::Healthy),
                Evidence::Healthy,
            ),
        ] {
            let by = ErrorClassifier(move |_: &io::Error| -> ClassifyOutput { verdict });
            let timed_out = timed_out();
            let (judged, _) = classify_result(&timed_out, ErrorView::of_error(), &by);
            assert_eq!(judged, Classification::new(verdict.outcome(), evidence));
        }
    }

    #[test]
    fn a_judge_may_turn_a_success_into_a_failure_but_a_refusal_stays_one() {
        let overload = ResultClassifier(|_: &Result<(), Rejection>| Outcome::Overload);
        let weighed = |result| {
            classify_result(&result, ErrorView::of_error(), &overload)
                .0
                .outcome
        };
        assert_eq!(weighed(Ok(())), Outcome::Overload);
        assert_eq!(weighed(refused()), Outcome::Rejected);
    }

    #[test]
    fn a_judge_that_panics_says_failure() {
        let panics =
            ErrorClassifier(|_: &io::Error| -> bool { std::panic::resume_unwind(Box::new(())) });
        assert_eq!(panics.classify(&timed_out()), Some(Outcome::Failure.into()));
        let panics =
            ResultClassifier(|_: &Result<(), io::Error>| std::panic::resume_unwind(Box::new(())));
        assert_eq!(panics.classify(&Ok(())), Some(Outcome::Failure.into()));
    }
}
