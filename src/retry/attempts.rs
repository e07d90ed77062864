use std::{
    future::Future,
    task::{Context as Cx, Poll},
};

use tokio::time::Instant;

use super::{Advice, Attempt, Retry, state::OpenCall};
use crate::{
    call::{Outcome, Unsent},
    context::Context,
};

/// Begins the attempts of a [`RetryFuture`](super::RetryFuture), and decides what their ends mean. Not meant
/// to be implemented elsewhere.
pub trait Attempts {
    /// One attempt.
    #[doc(hidden)]
    type Future: Future;
    /// Result of an attempt, once it was looked at.
    #[doc(hidden)]
    type Output;
    /// Result of the call.
    type Answer;

    #[doc(hidden)]
    fn retry(&self) -> &Retry;

    /// The context that the request brings along.
    #[doc(hidden)]
    fn context(&self) -> Option<&Context> {
        None
    }

    /// Waits until another attempt can be made.
    #[doc(hidden)]
    fn poll_ready(&mut self, _: &mut Cx<'_>) -> Poll<Result<(), Self::Answer>> {
        Poll::Ready(Ok(()))
    }

    /// Makes an attempt, within its context.
    #[doc(hidden)]
    fn begin(&mut self, begin: Begin<'_>) -> Self::Future;

    /// Decides what the end of an attempt means.
    #[doc(hidden)]
    fn decide(
        &mut self,
        output: <Self::Future as Future>::Output,
        ended: Ended,
    ) -> Decision<Self::Output>;

    /// Lets go of what is left of the failed attempt, since another will follow. Returns whether one can.
    #[doc(hidden)]
    fn prepare(&mut self) -> bool {
        true
    }

    /// Makes the answer. A good one may settle its call later, when it has come to its end.
    #[doc(hidden)]
    fn answer(
        &mut self,
        output: Self::Output,
        ended: Ended,
        open: Option<OpenCall>,
    ) -> Self::Answer;

    /// Returns the answer where no attempt may begin any more. Without an answer, it begins all the same.
    #[doc(hidden)]
    fn too_late(&self, _why: &'static str) -> Option<Self::Answer> {
        None
    }
}

/// An attempt that begins.
#[doc(hidden)]
#[derive(Debug)]
pub struct Begin<'a> {
    pub(super) attempt: Attempt,
    pub(super) context: Option<&'a Context>,
    pub(super) is_last: bool,
    pub(super) caller_deadline: Option<Instant>,
}

/// An attempt that has ended.
#[doc(hidden)]
#[derive(Clone, Copy, Debug)]
pub struct Ended {
    pub(super) attempt: Attempt,
    pub(super) is_last: bool,
}

/// Meaning of the end of an attempt.
#[doc(hidden)]
#[derive(Debug)]
pub enum Decision<T> {
    Succeeded(T),
    Failed(Failed<T>),
}

#[doc(hidden)]
#[derive(Debug)]
pub struct Failed<T> {
    pub(super) output: T,
    pub(super) outcome: Outcome,
    pub(super) advice: Advice,
    /// Whether the peer never began it, as far as that may be acted upon.
    pub(super) unsent: Option<Unsent>,
}
