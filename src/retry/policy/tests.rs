use std::io;

use super::*;
use crate::{Rejection, RejectionKind, retry::Retry};

const SECOND: Duration = Duration::from_secs(1);

fn policy(rejections: bool) -> RetryConfig {
    let retry = Retry::builder("policy")
        .retry_rejections(rejections)
        .build();
    retry.expect("valid").shared.config.clone()
}

#[test]
fn outcome_that_speaks_against_the_peer_is_worth_another_attempt() {
    for (outcome, advice) in [
        (Outcome::Success, RetryDecision::Stop),
        (Outcome::Failure, RetryDecision::Retry),
        (Outcome::Overload, RetryDecision::Retry),
        (Outcome::TimedOut, RetryDecision::Retry),
        (Outcome::ClientError, RetryDecision::Stop),
        (Outcome::Cancelled, RetryDecision::Stop),
        (Outcome::Panicked, RetryDecision::Stop),
        (Outcome::Rejected, RetryDecision::Stop),
    ] {
        assert_eq!(policy(false).decide(outcome, None, None), advice);
    }
    let insists = policy(true).decide(Outcome::Rejected, None, None);
    assert_eq!(insists, RetryDecision::Retry);
}

#[test]
fn hint_of_the_peer_counts_and_that_of_a_response_before_that_of_an_error() {
    let policy = policy(true);
    let told = Some(RetryAfter::After(SECOND));
    let advice = policy.decide(Outcome::Failure, None, told);
    assert_eq!(advice, RetryDecision::After(SECOND));
    let rejection = Rejection::new(RejectionKind::Overloaded, "peer").with_retry_after(2 * SECOND);
    let of_error = policy.classify_error(&rejection);
    assert_eq!(
        of_error,
        (Outcome::Rejected, RetryDecision::NotBefore(2 * SECOND))
    );
    let both = policy.decide(Outcome::Failure, Some(&rejection), told);
    assert_eq!(both, RetryDecision::After(SECOND));
    // What is worth no other attempt is not made so by a hint.
    let over = policy.decide(Outcome::ClientError, None, told);
    assert_eq!(over, RetryDecision::Stop);
}

#[test]
fn error_is_judged_by_what_it_is_and_as_a_failure_if_that_is_not_known() {
    struct Opaque;
    let policy = policy(false);
    let refused = || io::Error::from(io::ErrorKind::ConnectionRefused);
    let late = io::Error::from(io::ErrorKind::TimedOut);
    assert_eq!(
        policy.classify_any_error(&refused()),
        (Outcome::Failure, RetryDecision::Retry)
    );
    assert_eq!(
        policy.classify_any_error(&late),
        (Outcome::TimedOut, RetryDecision::Retry)
    );
    assert_eq!(
        policy.classify_any_error(&Opaque),
        (Outcome::Failure, RetryDecision::Retry)
    );
}

#[cfg(feature = "tonic")]
#[test]
fn peer_that_is_not_trusted_is_not_asked_again() {
    let certificate = io::Error::new(io::ErrorKind::InvalidData, "unknown issuer");
    let error = tonic::ConnectError(io::Error::other(certificate).into());
    let judged = policy(false).classify_error(&error);
    assert_eq!(judged, (Outcome::Failure, RetryDecision::Stop));
}
