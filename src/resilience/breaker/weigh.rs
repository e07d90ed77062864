//! What the result of a direct call comes to.

use std::{error::Error, fmt};

use super::said::text;
use crate::{
    call::{Cause, Outcome, quietly, view},
    protocol::error_verdict,
};

/// How an error is judged by itself, and what it says.
pub(super) struct Looks<E> {
    pub(super) judge: fn(&E) -> (Outcome, Option<Cause<'_>>),
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
            judge: |error| (error_verdict(error), Some(Cause::of(error))),
            text: |_| None,
        }
    }
}

impl<E: fmt::Display + 'static> Looks<E> {
    /// At well-known types; the rest is a failure of which only the text is known.
    pub(super) fn at_any() -> Self {
        Looks {
            judge: |error| match view(error) {
                Some(error) => (error_verdict(error), Some(Cause::of(error))),
                None => (Outcome::Failure, None),
            },
            text: |error| Some(text(error)),
        }
    }
}

/// What a breaker makes of an error: an [`Outcome`], or `true` for a failure and `false` for one that counts
/// nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Weight(Outcome);

impl From<Outcome> for Weight {
    fn from(outcome: Outcome) -> Self {
        Weight(outcome)
    }
}

impl From<bool> for Weight {
    fn from(counts: bool) -> Self {
        Weight(if counts {
            Outcome::Failure
        } else {
            Outcome::Ignored
        })
    }
}

/// How the result of a call is judged. `()` goes by the error itself.
pub trait Weigh<T, E> {
    #[doc(hidden)]
    fn weigh(&self, result: &Result<T, E>) -> Option<Outcome>;
}

impl<T, E> Weigh<T, E> for () {
    #[inline]
    fn weigh(&self, _: &Result<T, E>) -> Option<Outcome> {
        None
    }
}

/// Judges errors; made by [`BreakerCall::when`](super::BreakerCall::when).
#[derive(Clone, Copy)]
pub struct ByError<C>(pub(super) C);

impl<T, E, W: Into<Weight>, C: Fn(&E) -> W> Weigh<T, E> for ByError<C> {
    fn weigh(&self, result: &Result<T, E>) -> Option<Outcome> {
        let error = result.as_ref().err()?;
        Some(quietly(|| (self.0)(error).into().0).unwrap_or(Outcome::Failure))
    }
}

/// Judges results; made by [`BreakerCall::judge`](super::BreakerCall::judge).
#[derive(Clone, Copy)]
pub struct ByResult<C>(pub(super) C);

impl<T, E, C: Fn(&Result<T, E>) -> Outcome> Weigh<T, E> for ByResult<C> {
    fn weigh(&self, result: &Result<T, E>) -> Option<Outcome> {
        Some(quietly(|| (self.0)(result)).unwrap_or(Outcome::Failure))
    }
}

/// The outcome, and the cause that goes with it.
///
/// A refusal by a guard of this process stays one whatever the closure says: it tells nothing about the peer.
pub(super) fn weighed<'a, T, E>(
    result: &'a Result<T, E>,
    looks: Looks<E>,
    weigh: &impl Weigh<T, E>,
) -> (Outcome, Option<Cause<'a>>) {
    let (outcome, cause) = match result {
        Ok(_) => (Outcome::Success, None),
        Err(error) => (looks.judge)(error),
    };
    match weigh.weigh(result) {
        Some(other) if outcome != Outcome::Rejected => (other, cause),
        _ => (outcome, cause),
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
        let (outcome, cause) = weighed(&timed_out, Looks::into_errors(), &());
        assert!(outcome == Outcome::TimedOut && cause.is_some());
        let (outcome, cause) = weighed(&refused, Looks::into_errors(), &());
        assert!(outcome == Outcome::Rejected && cause.is_some());
    }

    #[test]
    fn an_error_of_any_type_is_known_by_its_looks_or_else_by_its_text() {
        let known: Result<(), BoxError> = timed_out().map_err(Into::into);
        let (outcome, cause) = weighed(&known, Looks::at_any(), &());
        assert!(outcome == Outcome::TimedOut && cause.is_some());
        let unknown = Err::<(), _>("no");
        let looks = Looks::at_any();
        let (outcome, cause) = weighed(&unknown, looks, &());
        assert!(outcome == Outcome::Failure && cause.is_none());
        assert_eq!((looks.text)(&"no").as_deref(), Some("no"));
    }

    #[test]
    fn a_closure_weighs_errors_and_is_not_asked_about_a_success() {
        let by = |weight: bool| ByError(move |_: &io::Error| weight);
        for (weight, outcome) in [(true, Outcome::Failure), (false, Outcome::Ignored)] {
            let weighed = |result| weighed(&result, Looks::into_errors(), &by(weight)).0;
            assert_eq!(weighed(timed_out()), outcome);
            assert_eq!(weighed(Ok(())), Outcome::Success);
        }
        let overload = ByError(|_: &io::Error| Outcome::Overload);
        let timed_out = timed_out();
        let (outcome, cause) = weighed(&timed_out, Looks::into_errors(), &overload);
        assert!(outcome == Outcome::Overload && cause.is_some());
    }

    #[test]
    fn a_judge_may_turn_a_success_into_a_failure_but_a_refusal_stays_one() {
        let overload = ByResult(|_: &Result<(), Rejection>| Outcome::Overload);
        let weighed = |result| weighed(&result, Looks::into_errors(), &overload).0;
        assert_eq!(weighed(Ok(())), Outcome::Overload);
        assert_eq!(weighed(refused()), Outcome::Rejected);
    }

    #[test]
    fn a_judge_that_panics_says_failure() {
        let panics = ByError(|_: &io::Error| -> bool { std::panic::resume_unwind(Box::new(())) });
        assert_eq!(panics.weigh(&timed_out()), Some(Outcome::Failure));
        let panics = ByResult(|_: &Result<(), io::Error>| std::panic::resume_unwind(Box::new(())));
        assert_eq!(panics.weigh(&Ok(())), Some(Outcome::Failure));
    }
}
