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
