//! What the result of a direct call comes to.

use std::{error::Error, fmt};

use super::said::text;
use crate::{
    call::{Cause, Evidence, Judged, Outcome, Verdict, quietly, view},
    protocol::judge_error,
};

/// How an error is judged by itself, and what it says.
pub(super) struct Looks<E> {
    pub(super) judge: fn(&E) -> (Judged, Option<Cause<'_>>),
    /// The error's text, where its cause has none.
    pub(super) text: fn(&E) -> Option<Box<str>>,
}

impl<E> Clone for Looks<E> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<E> Copy for Looks<E> {}

impl<E: Error + 'static> Looks<E> {
    pub(super) fn into_errors() -> Self {
        Looks {
            judge: |error| (judge_error(error), Some(Cause::of(error))),
            text: |_| None,
        }
    }
}

impl<E: fmt::Display + 'static> Looks<E> {
    /// At well-known types; the rest is a failure of which only the text is known.
    pub(super) fn at_any() -> Self {
        Looks {
            judge: |error| match view(error) {
                Some(error) => (judge_error(error), Some(Cause::of(error))),
                None => (Judged::FAILURE, None),
            },
            text: |error| Some(text(error)),
        }
    }
}

/// A breaker's view of an error: a [`Verdict`], an [`Outcome`], or `true` for a failure and `false` for one that
/// counts nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Weight(Verdict);

impl From<Verdict> for Weight {
    fn from(verdict: Verdict) -> Self {
        Weight(verdict)
    }
}

impl From<Outcome> for Weight {
    fn from(outcome: Outcome) -> Self {
        Weight(outcome.into())
    }
}

impl From<bool> for Weight {
    fn from(counts: bool) -> Self {
        let (outcome, evidence) = if counts {
            (Outcome::Failure, Evidence::Unhealthy)
        } else {
            (Outcome::Ignored, Evidence::Inconclusive)
        };
        Weight(Verdict::from(outcome).with_evidence(evidence))
    }
}

/// How the result of a call is judged. `()` goes by the error itself.
pub trait Weigh<T, E> {
    #[doc(hidden)]
    fn weigh(&self, result: &Result<T, E>) -> Option<Verdict>;
}

impl<T, E> Weigh<T, E> for () {
    #[inline]
    fn weigh(&self, _: &Result<T, E>) -> Option<Verdict> {
        None
    }
}

/// Judges errors; made by [`BreakerCall::when`](super::BreakerCall::when).
#[derive(Clone, Copy)]
pub struct ByError<C>(pub(super) C);

impl<T, E, W: Into<Weight>, C: Fn(&E) -> W> Weigh<T, E> for ByError<C> {
    fn weigh(&self, result: &Result<T, E>) -> Option<Verdict> {
        let error = result.as_ref().err()?;
        let weight = quietly(|| (self.0)(error).into());
        Some(weight.map_or_else(|| Outcome::Failure.into(), |weight| weight.0))
    }
}

/// Judges results; made by [`BreakerCall::judge`](super::BreakerCall::judge).
#[derive(Clone, Copy)]
pub struct ByResult<C>(pub(super) C);

impl<T, E, C: Fn(&Result<T, E>) -> Outcome> Weigh<T, E> for ByResult<C> {
    fn weigh(&self, result: &Result<T, E>) -> Option<Verdict> {
        Some(
            quietly(|| (self.0)(result))
                .unwrap_or(Outcome::Failure)
                .into(),
        )
    }
}

/// Returns what a call comes to, and the cause that goes with it.
///
/// A refusal by a guard of this process stays one whatever the closure says: it tells nothing about the peer.
pub(super) fn weighed<'a, T, E>(
    result: &'a Result<T, E>,
    looks: Looks<E>,
    weigh: &impl Weigh<T, E>,
) -> (Judged, Option<Cause<'a>>) {
    let (judged, cause) = match result {
        Ok(_) => (Judged::SUCCESS, None),
        Err(error) => (looks.judge)(error),
    };
    match weigh.weigh(result) {
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
        let (judged, cause) = weighed(&timed_out, Looks::into_errors(), &());
        assert!(judged.outcome == Outcome::TimedOut && cause.is_some());
        let (judged, cause) = weighed(&refused, Looks::into_errors(), &());
        assert!(judged.outcome == Outcome::Rejected && cause.is_some());
    }

    #[test]
    fn an_error_of_any_type_is_known_by_its_looks_or_else_by_its_text() {
        let known: Result<(), BoxError> = timed_out().map_err(Into::into);
        let (judged, cause) = weighed(&known, Looks::at_any(), &());
        assert!(judged.outcome == Outcome::TimedOut && cause.is_some());
        let unknown = Err::<(), _>("no");
        let looks = Looks::at_any();
        let (judged, cause) = weighed(&unknown, looks, &());
        assert!(judged.outcome == Outcome::Failure && cause.is_none());
        assert_eq!((looks.text)(&"no").as_deref(), Some("no"));
    }

    #[test]
    fn a_closure_weighs_errors_and_is_not_asked_about_a_success() {
        let by = |weight: bool| ByError(move |_: &io::Error| weight);
        for (weight, judged) in [(true, Judged::FAILURE), (false, Judged::CALLERS)] {
            let weighed = |result| weighed(&result, Looks::into_errors(), &by(weight)).0;
            assert_eq!(weighed(timed_out()), judged);
            assert_eq!(weighed(Ok(())), Judged::SUCCESS);
        }
        let overload = ByError(|_: &io::Error| Outcome::Overload);
        let timed_out = timed_out();
        let (judged, cause) = weighed(&timed_out, Looks::into_errors(), &overload);
        assert!(judged.outcome == Outcome::Overload && cause.is_some());
        assert_eq!(judged.evidence, Evidence::Unhealthy);
    }

    #[test]
    fn verdict_of_a_closure_decides_the_evidence() {
        for (verdict, evidence) in [
            (Outcome::Ignored.into(), Evidence::Inconclusive),
            (Outcome::Success.into(), Evidence::Healthy),
            (
                Verdict::from(Outcome::Failure).with_evidence(Evidence::Healthy),
                Evidence::Healthy,
            ),
        ] {
            let by = ByError(move |_: &io::Error| -> Verdict { verdict });
            let timed_out = timed_out();
            let (judged, _) = weighed(&timed_out, Looks::into_errors(), &by);
            assert_eq!(judged, Judged::new(verdict.outcome(), evidence));
        }
    }

    #[test]
    fn a_judge_may_turn_a_success_into_a_failure_but_a_refusal_stays_one() {
        let overload = ByResult(|_: &Result<(), Rejection>| Outcome::Overload);
        let weighed = |result| weighed(&result, Looks::into_errors(), &overload).0.outcome;
        assert_eq!(weighed(Ok(())), Outcome::Overload);
        assert_eq!(weighed(refused()), Outcome::Rejected);
    }

    #[test]
    fn a_judge_that_panics_says_failure() {
        let panics = ByError(|_: &io::Error| -> bool { std::panic::resume_unwind(Box::new(())) });
        assert_eq!(panics.weigh(&timed_out()), Some(Outcome::Failure.into()));
        let panics = ByResult(|_: &Result<(), io::Error>| std::panic::resume_unwind(Box::new(())));
        assert_eq!(panics.weigh(&Ok(())), Some(Outcome::Failure.into()));
    }
}
