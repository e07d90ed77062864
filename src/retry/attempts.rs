use std::{
    future::Future,
    task::{Context as Cx, Poll},
};

use tokio::time::Instant;

use super::{Attempt, Retry, RetryDecision, state::CallCompletion};
use crate::{
    call::{NotSent, Outcome},
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
    type AttemptOutput;
    /// Result of the call.
    type CallOutput;

    #[doc(hidden)]
    fn retry(&self) -> &Retry;

    /// The context that the request brings along.
    #[doc(hidden)]
    fn request_context(&self) -> Option<&Context> {
        None
    }

    /// Waits until another attempt can be made.
    #[doc(hidden)]
    fn poll_ready(&mut self, _: &mut Cx<'_>) -> Poll<Result<(), Self::CallOutput>> {
        Poll::Ready(Ok(()))
    }

    /// Makes an attempt, within its context.
    #[doc(hidden)]
    fn start(&mut self, begin: AttemptStart<'_>) -> Self::Future;

    /// Decides what the end of an attempt means.
    #[doc(hidden)]
    fn classify(
        &mut self,
        output: <Self::Future as Future>::Output,
        ended: AttemptEnd,
    ) -> Classified<Self::AttemptOutput>;

    /// Lets go of what is left of the failed attempt, since another will follow. Returns whether one can.
    #[doc(hidden)]
    fn prepare_retry(&mut self) -> bool {
        true
    }

    /// Makes the answer. A good one may settle its call later, when it has come to its end.
    #[doc(hidden)]
    fn complete(
        &mut self,
        output: Self::AttemptOutput,
        ended: AttemptEnd,
        open: Option<CallCompletion>,
    ) -> Self::CallOutput;

    /// Returns the answer where no attempt may begin any more. Without an answer, it begins all the same.
    #[doc(hidden)]
    fn deadline_exceeded(&self, _why: &'static str) -> Option<Self::CallOutput> {
        None
    }
}

/// An attempt that begins.
#[doc(hidden)]
#[derive(Debug)]
pub struct AttemptStart<'a> {
    pub(super) attempt: Attempt,
    pub(super) context: Option<&'a Context>,
    pub(super) is_last: bool,
    pub(super) caller_deadline: Option<Instant>,
}

/// An attempt that has ended.
#[doc(hidden)]
#[derive(Clone, Copy, Debug)]
pub struct AttemptEnd {
    pub(super) attempt: Attempt,
    pub(super) is_last: bool,
}

/// Meaning of the end of an attempt.
#[doc(hidden)]
#[derive(Debug)]
pub enum Classified<T> {
    Success(T),
    Failure(FailedAttempt<T>),
}

#[doc(hidden)]
#[derive(Debug)]
pub struct FailedAttempt<T> {
    pub(super) output: T,
    pub(super) outcome: Outcome,
    pub(super) decision: RetryDecision,
    /// Whether the peer never began it, as far as that may be acted upon.
    pub(super) not_sent: Option<NotSent>,
}
