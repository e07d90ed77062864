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

    /// Returns whether the call may have several attempts, as far as that is known before the first.
    #[inline]
    fn is_repeatable(&self) -> bool {
        true
    }

    /// Makes a copy of the request, for an attempt that is started beside those that run.
    fn prepare_hedge(&mut self) -> RequestCopy {
        RequestCopy::Made
    }

    /// Drops the service of further attempts, with what it may have reserved for the next.
    fn release_service(&mut self) {}

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

/// A copy of a request whose first attempt runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequestCopy {
    /// The next attempt can be started.
    Made,
    /// The caller is still sending the request.
    NotYet,
    /// The request cannot be copied: it is too long, or its policy keeps none.
    Never,
}

/// An attempt that failed.
#[derive(Debug)]
pub struct FailedAttempt<T> {
    pub(crate) output: T,
    pub(crate) outcome: Outcome,
    pub(crate) decision: RetryDecision,
    /// Proof that the peer never began it, if such requests are to be sent again.
    pub(super) not_sent: Option<NotSent>,
}
