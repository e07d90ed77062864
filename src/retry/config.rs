use std::error::Error;

use super::{RetryAfter, RetryDecision, RetrySettings};
#[cfg(feature = "tonic")]
use crate::call::{Elapsed, find};
use crate::{
    call::{GrpcCode, NotSent, Outcome, as_std_error, not_sent},
    protocol::{classify_grpc_code, error_outcome},
    retry_after::retry_after_of,
};

/// Classifies an error of [`Retry::run`](super::Retry::run) or its siblings.
pub(crate) type DecideOnError<E> = fn(&RetryConfig, &E) -> (Outcome, RetryDecision);

/// Valid settings of a [`Retry`](super::Retry), and the decisions that follow from them.
#[derive(Clone, Debug)]
pub struct RetryConfig {
    pub(super) settings: RetrySettings,
}

impl RetryConfig {
    /// Decides about an attempt by its outcome and its error.
    #[inline]
    pub(crate) fn decide(
        &self,
        outcome: Outcome,
        error: Option<&(dyn Error + 'static)>,
    ) -> RetryDecision {
        match outcome {
            Outcome::Success => RetryDecision::Stop,
            _ => self.decide_about_error(outcome, error),
        }
    }

    fn decide_about_error(
        &self,
        outcome: Outcome,
        error: Option<&(dyn Error + 'static)>,
    ) -> RetryDecision {
        // A bad certificate or an invalid URI fails the same way the next time.
        let may_pass = |error| not_sent(error).is_none_or(NotSent::is_retryable);
        if !error.is_none_or(may_pass) {
            return RetryDecision::Stop;
        }
        let code = error.and_then(code_of_peer);
        self.decide_about_response(outcome, code, error.and_then(retry_after_of))
    }

    /// Decides about a response that is no success, by its outcome, its gRPC code, and what it says about retrying.
    pub(super) fn decide_about_response(
        &self,
        outcome: Outcome,
        code: Option<GrpcCode>,
        retry_after: Option<RetryAfter>,
    ) -> RetryDecision {
        let is_failed = match outcome {
            Outcome::Failure | Outcome::Overload | Outcome::TimedOut => true,
            // A guard of this process has decided: asking again at once only adds load.
            Outcome::Rejected => self.settings.retry_rejections,
            _ => false,
        };
        // A classifier that gives the code another outcome has decided.
        let code = code.filter(|code| classify_grpc_code(*code).outcome == outcome);
        let is_retried = match code {
            Some(code) => {
                self.settings.grpc_codes.contains(code) || (is_failed && retry_after.is_some())
            }
            None => is_failed,
        };
        if !is_retried {
            return RetryDecision::Stop;
        }
        retry_after.map_or(RetryDecision::Retry, RetryDecision::from)
    }

    pub(crate) fn classify_error(&self, error: &(dyn Error + 'static)) -> (Outcome, RetryDecision) {
        let outcome = error_outcome(error);
        (outcome, self.decide(outcome, Some(error)))
    }

    /// Classifies an error that may not implement `Error`. One that cannot be inspected is a failure.
    pub(crate) fn classify_any_error<E: 'static>(&self, error: &E) -> (Outcome, RetryDecision) {
        match as_std_error(error) {
            Some(error) => self.classify_error(error),
            None => (Outcome::Failure, self.decide(Outcome::Failure, None)),
        }
    }
}

/// Returns the code of the status with which the peer has responded, if that is what the error holds.
#[cfg(feature = "tonic")]
fn code_of_peer(error: &(dyn Error + 'static)) -> Option<GrpcCode> {
    if find::<Elapsed>(error).is_some() {
        return None;
    }
    let status = find::<tonic::Status>(error)?;
    // A status with a cause was made on this side, of an error of the transport.
    let is_of_peer = status.source().is_none();
    is_of_peer.then(|| GrpcCode::from_tonic(status.code()))
}
#[cfg(not(feature = "tonic"))]
fn code_of_peer(_: &(dyn Error + 'static)) -> Option<GrpcCode> {
    None
}

#[cfg(test)]
mod tests {
    use std::{io, time::Duration};

    use super::*;
    use crate::{Rejection, RejectionKind, retry::Retry};

    const SECOND: Duration = Duration::from_secs(1);

    fn config(retry_rejections: bool) -> RetryConfig {
        let retry = Retry::builder("config")
            .retry_rejections(retry_rejections)
            .build();
        config_of(retry.expect("valid"))
    }

    fn config_of(retry: Retry) -> RetryConfig {
        (*retry.shared.config.latest()).clone()
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
            assert_eq!(config(false).decide(outcome, None), decision);
        }
        let decision = config(true).decide(Outcome::Rejected, None);
        assert_eq!(decision, RetryDecision::Retry);
    }

    #[cfg(feature = "tonic")]
    #[test]
    fn code_of_peer_is_that_of_a_status_without_a_cause() {
        let aborted = tonic::Status::aborted("busy");
        assert_eq!(code_of_peer(&aborted), Some(GrpcCode::ABORTED));
        let of_transport = tonic::Status::from_error(Box::new(io::Error::other("reset")));
        assert_eq!(code_of_peer(&of_transport), None);
        assert_eq!(code_of_peer(&io::Error::other("reset")), None);
    }

    #[test]
    fn retry_after_of_response_or_error_is_the_decision() {
        let config = config(true);
        let requested = Some(RetryAfter::After(SECOND));
        let decision = config.decide_about_response(Outcome::Failure, None, requested);
        assert_eq!(decision, RetryDecision::After(SECOND));
        let rejection =
            Rejection::new(RejectionKind::Overloaded, "peer").with_retry_after(2 * SECOND);
        let of_error = config.classify_error(&rejection);
        assert_eq!(
            of_error,
            (Outcome::Rejected, RetryDecision::NotBefore(2 * SECOND))
        );
        // A retry-after does not make an outcome retryable.
        let decision = config.decide_about_response(Outcome::ClientError, None, requested);
        assert_eq!(decision, RetryDecision::Stop);
    }

    #[test]
    fn grpc_code_is_retried_if_it_is_unavailable_or_listed_or_pushed_back() {
        let decide = |config: &RetryConfig, number: u8, retry_after| {
            let code = GrpcCode::parse(number.to_string().as_bytes());
            let outcome = classify_grpc_code(code).outcome;
            config.decide_about_response(outcome, Some(code), retry_after)
        };
        let default = config(false);
        let aborted = GrpcCode::ABORTED;
        let listed = Retry::builder("codes").grpc_codes([aborted, GrpcCode::INTERNAL]);
        let listed = config_of(listed.build().expect("valid"));
        let pushback = Some(RetryAfter::After(SECOND));
        for number in 1..=16 {
            let (with_default, with_list) = (number == 14, number == 10 || number == 13);
            assert_eq!(
                decide(&default, number, None),
                with_default.into(),
                "{number}"
            );
            assert_eq!(decide(&listed, number, None), with_list.into(), "{number}");
            let fails = matches!(number, 2 | 4 | 8 | 13 | 14 | 15);
            let decision = match fails {
                true => RetryDecision::After(SECOND),
                false => RetryDecision::Stop,
            };
            assert_eq!(decide(&default, number, pushback), decision, "{number}");
        }
        // Of a classifier.
        let own = default.decide_about_response(Outcome::Failure, Some(aborted), None);
        assert_eq!(own, RetryDecision::Retry);
    }

    #[cfg(feature = "tonic")]
    #[test]
    fn grpc_status_of_the_peer_is_retried_by_its_code() {
        let config = config(false);
        let decision = |status: tonic::Status| config.classify_error(&status).1;
        let unavailable = tonic::Status::unavailable("restarts");
        assert_eq!(decision(unavailable), RetryDecision::Retry);
        for code in [
            tonic::Code::Internal,
            tonic::Code::Unknown,
            tonic::Code::DeadlineExceeded,
            tonic::Code::ResourceExhausted,
        ] {
            let status = tonic::Status::new(code, "no");
            assert_eq!(decision(status), RetryDecision::Stop, "{code:?}");
        }
        // tonic's word for a connection that broke.
        let mut broken = tonic::Status::unknown("transport error");
        broken.set_source(std::sync::Arc::new(io::Error::other("reset")));
        assert_eq!(decision(broken), RetryDecision::Retry);
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
