//! Breakers round futures and closures: which errors count, and what the caller gets.

use std::{future::ready, io};

use tower_keep::{
    BoxError, CallError, CircuitBreaker, Outcome, Rejection,
    breaker::{CallCounts, CircuitState},
};

fn two_in_a_row() -> CircuitBreaker {
    CircuitBreaker::builder("peer")
        .count_window(10)
        .consecutive_failures(2)
        .build()
        .expect("sound")
}

fn calls_and_failures(breaker: &CircuitBreaker) -> (u64, u64) {
    let CallCounts {
        calls, failures, ..
    } = breaker.counts();
    (calls, failures)
}

#[tokio::test]
async fn call_any_counts_and_remembers_any_error_type() {
    let breaker = two_in_a_row();
    let text = breaker.call_display(ready(Err::<(), _>("no route".to_owned())));
    assert!(matches!(text.await, Err(CallError::Failed(text)) if text == "no route"));
    let boxed = || Err::<(), BoxError>("the disk is on fire".into());
    breaker.run_display(boxed).expect_err("it fails");
    assert_eq!(breaker.state(), CircuitState::Open);
    let rejected = breaker.run_display(boxed).expect_err("open");
    let why = rejected.rejection().expect("a rejection");
    assert_eq!(why.last_error(), Some("the disk is on fire"));
    assert!(Rejection::find(&*rejected.into_boxed()).is_some());
}

#[tokio::test]
async fn call_any_remembers_text_errors() {
    let breaker = two_in_a_row();
    for _ in 0..2 {
        let failed = breaker.call_display(ready(Err::<(), _>("no route")));
        assert_eq!(failed.await.expect_err("fails").failed(), Some(&"no route"));
    }
    let rejected = breaker.try_acquire().expect_err("open");
    assert_eq!(rejected.last_error(), Some("no route"));
}

#[tokio::test]
async fn call_any_classifies_boxed_error_by_source() {
    let breaker = two_in_a_row();
    for _ in 0..3 {
        let inner: BoxError = Rejection::overloaded("inner").into();
        let call = breaker.call_display(ready(Err::<(), _>(inner)));
        call.await.expect_err("rejected further in");
    }
    assert_eq!(calls_and_failures(&breaker), (0, 0));
}

#[tokio::test]
async fn when_decides_which_errors_count() {
    let breaker = two_in_a_row();
    let missing = |error: &io::Error| error.kind() != io::ErrorKind::NotFound;
    for _ in 0..3 {
        let error = io::Error::from(io::ErrorKind::NotFound);
        let call = breaker.call(ready(Err::<(), _>(error))).failure_if(missing);
        call.await.expect_err("missing");
    }
    assert_eq!(calls_and_failures(&breaker), (0, 0));
    let good = breaker
        .call(ready(Err::<(), _>(io::Error::other("stale"))))
        .classify_error(|_| Outcome::Success);
    good.await.expect_err("but healthy");
    assert_eq!(calls_and_failures(&breaker), (1, 0));
    for _ in 0..2 {
        let rejection = io::Error::other(Rejection::overloaded("inner"));
        let call = breaker
            .call(ready(Err::<(), _>(rejection)))
            .failure_if(|_| true);
        call.await.expect_err("rejected further in");
    }
    assert_eq!(calls_and_failures(&breaker), (1, 0));
}

#[tokio::test]
async fn classify_closure_decides_and_panic_is_failure() {
    let breaker = two_in_a_row();
    let status = |status: u16| ready(Ok::<_, io::Error>(status));
    let by_status = |result: &io::Result<u16>| match result {
        Ok(500..) | Err(_) => Outcome::Failure,
        Ok(_) => Outcome::Success,
    };
    assert_eq!(
        breaker.call(status(500)).classify(by_status).await.unwrap(),
        500
    );
    assert_eq!(breaker.run_classified(|| Ok(200), by_status).unwrap(), 200);
    assert_eq!(calls_and_failures(&breaker), (2, 1));
    let broken = breaker.call(status(200)).classify(|_| panic!("a bug"));
    assert_eq!(broken.await.expect("its answer"), 200);
    assert_eq!(calls_and_failures(&breaker), (3, 2));
}

#[tokio::test]
async fn call_error_separates_failed_and_rejected() {
    let breaker = two_in_a_row();
    let fails = || ready(Err::<(), _>(io::Error::other("no")));
    let failed = breaker.call(fails()).await.expect_err("fails");
    assert!(!failed.is_rejected());
    let failed = failed.map_failed(|error| error.to_string());
    assert_eq!(failed.into_failed().expect("its own"), "no");
    breaker.force_open();
    let rejected = breaker.call(fails()).await.expect_err("rejected");
    assert!(rejected.is_rejected() && rejected.failed().is_none());
    assert_eq!(rejected.into_failed().expect_err("why").guard(), "peer");
}

#[cfg(feature = "tonic")]
#[tokio::test]
async fn call_error_converts_to_tonic_status() {
    use tonic::{Code, Status};
    let breaker = two_in_a_row();
    let missing = || ready(Err::<(), _>(Status::not_found("no such thing")));
    let failed: Status = breaker.call(missing()).await.expect_err("fails").into();
    assert_eq!(failed.code(), Code::NotFound);
    // The peer is alive and answers.
    assert_eq!(calls_and_failures(&breaker), (1, 0));
    breaker.open_for(std::time::Duration::from_secs(1));
    let rejected: Status = breaker.call(missing()).await.expect_err("open").into();
    assert_eq!(rejected.code(), Code::Unavailable);
    assert!(rejected.metadata().contains_key("grpc-retry-pushback-ms"));
}
