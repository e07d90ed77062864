use std::{error::Error, time::Duration};

use super::{Backoff, RetryAfter, RetryDecision};
use crate::{
    call::{NotSent, Outcome, as_std_error, not_sent},
    protocol::error_outcome,
    retry_after::retry_after_of,
};

/// Classifies an error of [`Retry::run`](super::Retry::run) or its siblings.
pub(super) type ClassifyError<E> = fn(&RetryConfig, &E) -> (Outcome, RetryDecision);

/// Settings of a [`Retry`](super::Retry), and the decisions that follow from them.
#[derive(Clone, Debug)]
pub struct RetryConfig {
    pub(super) max_attempts: u32,
    pub(super) backoff: Backoff,
    pub(super) max_retry_after: Duration,
    pub(super) max_elapsed: Option<Duration>,
    pub(super) retry_rejections: bool,
}

impl RetryConfig {
    /// Decides about an attempt by its outcome, its error, and what the response says about retrying.
    #[inline]
    pub(super) fn decide(
        &self,
        outcome: Outcome,
        error: Option<&(dyn Error + 'static)>,
        retry_after: Option<RetryAfter>,
    ) -> RetryDecision {
        match outcome {
            Outcome::Success => RetryDecision::Stop,
            _ => self.decide_after_failure(outcome, error, retry_after),
        }
    }

    fn decide_after_failure(
        &self,
        outcome: Outcome,
        error: Option<&(dyn Error + 'static)>,
        retry_after: Option<RetryAfter>,
    ) -> RetryDecision {
        let is_retried = match outcome {
            Outcome::Failure | Outcome::Overload | Outcome::TimedOut => true,
            // A guard of this process has decided: asking again at once only adds load.
            Outcome::Rejected => self.retry_rejections,
            _ => false,
        };
        // A bad certificate or an invalid URI fails the same way the next time.
        let may_pass = |error| not_sent(error).is_none_or(NotSent::is_retryable);
        if !is_retried || !error.is_none_or(may_pass) {
            return RetryDecision::Stop;
        }
        // What was read from a response comes before what its error carries.
        let retry_after = retry_after.or_else(|| error.and_then(retry_after_of));
        retry_after.map_or(RetryDecision::Retry, RetryDecision::from)
    }

    pub(super) fn classify_error(&self, error: &(dyn Error + 'static)) -> (Outcome, RetryDecision) {
        let outcome = error_outcome(error);
        (outcome, self.decide(outcome, Some(error), None))
    }

    /// Classifies an error that may not implement `Error`. One that cannot be inspected is a failure.
    pub(super) fn classify_any_error<E: 'static>(&self, error: &E) -> (Outcome, RetryDecision) {
        match as_std_error(error) {
            Some(error) => self.classify_error(error),
            None => (Outcome::Failure, self.decide(Outcome::Failure, None, None)),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;
    use crate::{Rejection, RejectionKind, retry::Retry};

    const SECOND: Duration = Duration::from_secs(1);

    fn config(retry_rejections: bool) -> RetryConfig {
        let retry = Retry::builder("config")
            .retry_rejections(retry_rejections)
            .build();
        retry.expect("valid").shared.config.clone()
    }

    #[test]
    fn failure_overload_and_timeout_are_retried() {
        for (outcome, decision) in [
            (Outcome::Success, RetryDecision::Stop),
            (Outcome::Failure, RetryDecision::Retry),
            (Outcome::Overload, RetryDecision::Retry),
            (Outcome::TimedOut, RetryDecision::Retry),
            (Outcome::ClientError, RetryDecision::Stop),
            (Outcome::Cancelled, RetryDecision::Stop),
            (Outcome::Panicked, RetryDecision::Stop),
            (Outcome::Rejected, RetryDecision::Stop),
        ] {
            assert_eq!(config(false).decide(outcome, None, None), decision);
        }
        let decision = config(true).decide(Outcome::Rejected, None, None);
        assert_eq!(decision, RetryDecision::Retry);
    }

    #[test]
    fn retry_after_of_the_response_precedes_that_of_the_error() {
        let config = config(true);
        let requested = Some(RetryAfter::After(SECOND));
        let decision = config.decide(Outcome::Failure, None, requested);
        assert_eq!(decision, RetryDecision::After(SECOND));
        let rejection =
            Rejection::new(RejectionKind::Overloaded, "peer").with_retry_after(2 * SECOND);
        let of_error = config.classify_error(&rejection);
        assert_eq!(
            of_error,
            (Outcome::Rejected, RetryDecision::NotBefore(2 * SECOND))
        );
        let both = config.decide(Outcome::Failure, Some(&rejection), requested);
        assert_eq!(both, RetryDecision::After(SECOND));
        // A retry-after does not make an outcome retryable.
        let decision = config.decide(Outcome::ClientError, None, requested);
        assert_eq!(decision, RetryDecision::Stop);
    }

    #[test]
    fn opaque_error_is_a_failure() {
        struct Opaque;
        let config = config(false);
        let refused = || io::Error::from(io::ErrorKind::ConnectionRefused);
        let late = io::Error::from(io::ErrorKind::TimedOut);
        assert_eq!(
            config.classify_any_error(&refused()),
            (Outcome::Failure, RetryDecision::Retry)
        );
        assert_eq!(
            config.classify_any_error(&late),
            (Outcome::TimedOut, RetryDecision::Retry)
        );
        assert_eq!(
            config.classify_any_error(&Opaque),
            (Outcome::Failure, RetryDecision::Retry)
        );
    }

    #[cfg(feature = "tonic")]
    #[test]
    fn untrusted_peer_is_not_retried() {
        let certificate = io::Error::new(io::ErrorKind::InvalidData, "unknown issuer");
        let error = tonic::ConnectError(io::Error::other(certificate).into());
        let with_classifier = config(false).classify_error(&error);
        assert_eq!(with_classifier, (Outcome::Failure, RetryDecision::Stop));
    }
}
