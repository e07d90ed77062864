use std::io;

use super::*;
use crate::{Rejection, RejectionKind, retry::Retry};

const SECOND: Duration = Duration::from_secs(1);

fn policy(rejections: bool) -> Policy {
    let retry = Retry::builder("policy").rejections(rejections).build();
    retry.expect("valid").shared.policy.clone()
}

#[test]
fn outcome_that_speaks_against_the_peer_is_worth_another_attempt() {
    for (outcome, advice) in [
        (Outcome::Success, Advice::Stop),
        (Outcome::Failure, Advice::Retry),
        (Outcome::Overload, Advice::Retry),
        (Outcome::TimedOut, Advice::Retry),
        (Outcome::Ignored, Advice::Stop),
        (Outcome::Cancelled, Advice::Stop),
        (Outcome::Panicked, Advice::Stop),
        (Outcome::Rejected, Advice::Stop),
    ] {
        assert_eq!(policy(false).advise(outcome, None, None), advice);
    }
    let insists = policy(true).advise(Outcome::Rejected, None, None);
    assert_eq!(insists, Advice::Retry);
}

#[test]
fn hint_of_the_peer_counts_and_that_of_a_response_before_that_of_an_error() {
    let policy = policy(true);
    let told = Some(Hint::After(SECOND));
    let advice = policy.advise(Outcome::Failure, None, told);
    assert_eq!(advice, Advice::After(SECOND));
    let rejection = Rejection::new(RejectionKind::Overloaded, "peer").retry_after(2 * SECOND);
    let of_error = policy.judge_error(&rejection);
    assert_eq!(of_error, (Outcome::Rejected, Advice::NotBefore(2 * SECOND)));
    let both = policy.advise(Outcome::Failure, Some(&rejection), told);
    assert_eq!(both, Advice::After(SECOND));
    // What is worth no other attempt is not made so by a hint.
    let over = policy.advise(Outcome::Ignored, None, told);
    assert_eq!(over, Advice::Stop);
}

#[test]
fn error_is_judged_by_what_it_is_and_as_a_failure_if_that_is_not_known() {
    struct Opaque;
    let policy = policy(false);
    let refused = || io::Error::from(io::ErrorKind::ConnectionRefused);
    let late = io::Error::from(io::ErrorKind::TimedOut);
    assert_eq!(
        policy.judge_any(&refused()),
        (Outcome::Failure, Advice::Retry)
    );
    assert_eq!(policy.judge_any(&late), (Outcome::TimedOut, Advice::Retry));
    assert_eq!(policy.judge_any(&Opaque), (Outcome::Failure, Advice::Retry));
}

#[cfg(feature = "tonic")]
#[test]
fn peer_that_is_not_trusted_is_not_asked_again() {
    let certificate = io::Error::new(io::ErrorKind::InvalidData, "unknown issuer");
    let error = tonic::ConnectError(io::Error::other(certificate).into());
    let judged = policy(false).judge_error(&error);
    assert_eq!(judged, (Outcome::Failure, Advice::Stop));
}
