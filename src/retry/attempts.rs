use std::{
    future::Future,
    task::{Context as Cx, Poll},
};

use super::{Attempt, Retry, RetryDecision, call_config::CallConfig, state::CallCompletion};
use crate::{
    call::{NotSent, Outcome},
    context::Context,
};

/// A maker of the attempts of a [`RetryFuture`](super::RetryFuture), which also classifies their results. Implemented
/// here for closures, services and HTTP services only.
pub trait Attempts {
    /// Future of an attempt.
    type Future: Future;
    /// Result of an attempt that was classified.
    type AttemptOutput;
    /// Result of the call.
    type CallOutput;

    fn retry(&self) -> &Retry;

    /// Returns the context of the request.
    fn request_context(&self) -> Option<&Context> {
        None
    }

    /// Polls whether another attempt can start.
    fn poll_ready(&mut self, _: &mut Cx<'_>) -> Poll<Result<(), Self::CallOutput>> {
        Poll::Ready(Ok(()))
    }

    /// Starts an attempt. Runs within the context of the attempt, if it has one.
    fn start(&mut self, attempt: Attempt, context: Option<&Context>) -> Self::Future;

    /// Classifies the result of an attempt. Needs the settings of the call only if that is no success.
    fn classify(
        &mut self,
        output: <Self::Future as Future>::Output,
        attempt: Attempt,
        config: &mut CallConfig,
    ) -> Result<Self::AttemptOutput, FailedAttempt<Self::AttemptOutput>>;

    /// Releases what is left of the failed attempt, since another will follow. Returns whether one can.
    fn prepare_retry(&mut self) -> bool {
        true
    }

    /// Makes the result of the call.
    fn complete(&mut self, output: Self::AttemptOutput, attempt: Attempt) -> Self::CallOutput;

    /// Completes a call that succeeded, now or at the end of a body.
    #[inline]
    fn complete_success(&mut self, _: &mut Self::CallOutput, completion: CallCompletion) {
        completion.complete(self.retry(), Outcome::Success);
    }

    /// Makes the result of a call whose deadline has passed. If there is none, its next attempt starts all the same.
    fn deadline_exceeded(&self, _reason: &'static str) -> Option<Self::CallOutput> {
        None
    }
}

/// An attempt that failed.
#[derive(Debug)]
pub struct FailedAttempt<T> {
    pub(super) output: T,
    pub(super) outcome: Outcome,
    pub(super) decision: RetryDecision,
    /// Proof that the peer never began it, if such requests are to be sent again.
    pub(super) not_sent: Option<NotSent>,
}
