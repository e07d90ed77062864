use std::{io, time::Duration};

use super::*;
use crate::{Rejection, RejectionKind, retry::Retry};

const SECOND: Duration = Duration::from_secs(1);

fn settings(retry_rejections: bool) -> RetrySettings {
    let retry = Retry::builder("settings")
        .retry_rejections(retry_rejections)
        .build();
    settings_of(retry.expect("valid"))
}

fn settings_of(retry: Retry) -> RetrySettings {
    retry.settings()
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
        assert_eq!(settings(false).decide(outcome, None), decision);
    }
    let decision = settings(true).decide(Outcome::Rejected, None);
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
    let settings = settings(true);
    let requested = Some(RetryAfter::After(SECOND));
    let decision = settings.decide_about_response(Outcome::Failure, None, requested);
    assert_eq!(decision, RetryDecision::After(SECOND));
    let rejection = Rejection::new(RejectionKind::Overloaded, "peer").with_retry_after(2 * SECOND);
    let of_error = settings.classify_error(&rejection);
    assert_eq!(
        of_error,
        (Outcome::Rejected, RetryDecision::NotBefore(2 * SECOND))
    );
    // A retry-after does not make an outcome retryable.
    let decision = settings.decide_about_response(Outcome::ClientError, None, requested);
    assert_eq!(decision, RetryDecision::Stop);
}

#[test]
fn grpc_code_is_retried_if_it_is_unavailable_or_listed_or_pushed_back() {
    let decide = |settings: &RetrySettings, number: u8, retry_after| {
        let code = GrpcCode::parse(number.to_string().as_bytes());
        let outcome = classify_grpc_code(code).outcome;
        settings.decide_about_response(outcome, Some(code), retry_after)
    };
    let default = settings(false);
    let aborted = GrpcCode::ABORTED;
    let listed = Retry::builder("codes").grpc_codes([aborted, GrpcCode::INTERNAL]);
    let listed = settings_of(listed.build().expect("valid"));
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
    let settings = settings(false);
    let decision = |status: tonic::Status| settings.classify_error(&status).1;
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
    let settings = settings(false);
    let refused = || io::Error::from(io::ErrorKind::ConnectionRefused);
    let late = io::Error::from(io::ErrorKind::TimedOut);
    assert_eq!(
        settings.classify_any_error(&refused()),
        (Outcome::Failure, RetryDecision::Retry)
    );
    assert_eq!(
        settings.classify_any_error(&late),
        (Outcome::TimedOut, RetryDecision::Retry)
    );
    assert_eq!(
        settings.classify_any_error(&Opaque),
        (Outcome::Failure, RetryDecision::Retry)
    );
}

#[cfg(feature = "tonic")]
#[test]
fn untrusted_peer_is_not_retried() {
    let certificate = io::Error::new(io::ErrorKind::InvalidData, "unknown issuer");
    let error = tonic::ConnectError(io::Error::other(certificate).into());
    let with_classifier = settings(false).classify_error(&error);
    assert_eq!(with_classifier, (Outcome::Failure, RetryDecision::Stop));
}
