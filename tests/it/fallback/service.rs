//! Services of any kind.

use std::{
    future::ready,
    io::{Error, ErrorKind},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    task::Poll,
};

use tower::{Layer, Service, ServiceExt, service_fn};
use tower_keep::{
    BoxError, Outcome, Rejection,
    fallback::{Fallback, FallbackLayer},
    registry::Stat,
    testing::{CountingWaker, ReadyChecked, ScriptedBody},
};

use super::{Reply, Script, by_number, counted, hook_panics};
use crate::support::{listing::listing, meter::meter};

fn fallback() -> Fallback {
    Fallback::new("spare")
}

/// Answers with the number of an outcome, which `by_number` reads.
fn numbers() -> impl Service<usize, Response = usize, Error = Error, Future: Send> + Clone {
    service_fn(|number: usize| ready(Ok(number)))
}

fn broken() -> impl Service<&'static str, Response = &'static str, Error = Error> + Clone {
    service_fn(|_: &'static str| ready(Err(Error::from(ErrorKind::ConnectionReset))))
}

#[tokio::test]
async fn success_passes_and_is_not_counted() {
    let meter = meter();
    let layer = FallbackLayer::any(fallback()).value("spare");
    let service = layer.layer(service_fn(|said: &'static str| ready(Ok::<_, Error>(said))));
    assert_eq!(service.oneshot("ask").await.unwrap(), "ask");
    assert!(!meter.render().contains("fallback"), "{}", meter.render());
}

#[tokio::test]
async fn value_replaces_each_failure() {
    let meter = meter();
    let service = FallbackLayer::any(fallback())
        .value("spare")
        .layer(broken());
    for served in [1.0, 2.0] {
        assert_eq!(service.clone().oneshot("ask").await.unwrap(), "spare");
        assert_eq!(counted(&meter, "failure", "failed"), (served, 0.0));
    }
}

#[tokio::test]
async fn closure_sees_error_and_answers() {
    let layer = FallbackLayer::any(fallback()).with(|failed| {
        let error = failed.error().expect("an error").to_string();
        format!("{}: {error}", failed.outcome())
    });
    let service = layer.layer(service_fn(|(): ()| {
        ready(Err::<String, _>(Error::new(
            ErrorKind::TimedOut,
            "slow disk",
        )))
    }));
    assert_eq!(service.oneshot(()).await.unwrap(), "timed_out: slow disk");
}

#[tokio::test]
async fn closure_sees_rejection() {
    let layer = FallbackLayer::any(fallback()).with(|failed| {
        let rejection = failed.rejection().expect("a rejection");
        (failed.outcome(), rejection.guard().to_owned())
    });
    let service = layer.layer(service_fn(|(): ()| {
        ready(Err::<(Outcome, String), _>(Error::other(
            Rejection::overloaded("shed"),
        )))
    }));
    let answer = service.oneshot(()).await.unwrap();
    assert_eq!(answer, (Outcome::Rejected, "shed".to_owned()));
}

#[tokio::test]
async fn default_condition_replaces_failures() {
    let layer = FallbackLayer::any(fallback()).value(99).classify(by_number);
    let service = layer.layer(numbers());
    let mut replaced = Vec::new();
    for (number, outcome) in Outcome::ALL.into_iter().enumerate() {
        let answer = service.clone().oneshot(number).await.unwrap();
        if answer == 99 {
            replaced.push(outcome);
        } else {
            assert_eq!(answer, number);
        }
    }
    let expected = [
        Outcome::Failure,
        Outcome::Overload,
        Outcome::TimedOut,
        Outcome::Panicked,
        Outcome::Rejected,
    ];
    assert_eq!(replaced, expected);
}

#[tokio::test]
async fn when_decides_for_all_but_success() {
    let asked = Arc::new(AtomicUsize::new(0));
    let count = asked.clone();
    let only_ignored = Fallback::builder("spare")
        .when(move |failed| {
            count.fetch_add(1, SeqCst);
            failed.outcome() == Outcome::ClientError && failed.response::<usize>().is_some()
        })
        .build()
        .unwrap();
    let layer = FallbackLayer::any(only_ignored).value(99);
    let service = layer.classify(by_number).layer(numbers());
    for (number, outcome) in Outcome::ALL.into_iter().enumerate() {
        let answer = service.clone().oneshot(number).await.unwrap();
        assert_eq!(answer == 99, outcome == Outcome::ClientError, "{outcome}");
    }
    assert_eq!(asked.load(SeqCst), Outcome::ALL.len() - 1);
}

#[tokio::test]
async fn when_panic_keeps_the_failure() {
    let meter = meter();
    let fallback = Fallback::builder("spare").when(|_| panic!("a bad condition"));
    let layer = FallbackLayer::any(fallback.build().unwrap()).value("spare");
    let error = layer.layer(broken()).oneshot("ask").await.unwrap_err();
    assert_eq!(error.to_string(), "connection reset");
    assert_eq!(hook_panics(&meter), 1.0);
    assert_eq!(counted(&meter, "failure", "panicked"), (0.0, 0.0));
}

#[tokio::test]
async fn closure_panic_keeps_the_failure() {
    let meter = meter();
    let layer = FallbackLayer::any(fallback()).with(|_| -> &'static str { panic!("no idea") });
    let error = layer.layer(broken()).oneshot("ask").await.unwrap_err();
    assert_eq!(error.to_string(), "connection reset");
    assert_eq!(hook_panics(&meter), 1.0);
    assert_eq!(counted(&meter, "failure", "panicked"), (0.0, 1.0));
}

#[test]
fn panic_of_service_unwinds() {
    let layer = FallbackLayer::any(fallback()).with(|_| http::Response::new(ScriptedBody::new()));
    let mut service = layer.layer(Script::new([Reply::panic_in_poll("ran dry")]));
    let wakes = CountingWaker::new();
    let mut call = wakes.call(&mut service, "ask");
    let polled = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        let _ = wakes.poll(call.as_mut());
    }));
    assert_eq!(polled.unwrap_err().downcast_ref(), Some(&"ran dry"));
}

#[test]
fn fallback_service_is_polled_ready_on_called_handle() {
    let other = ReadyChecked::new(Script::always(|| Reply::status(203).pending(1)).ready_after(2));
    let layer = FallbackLayer::any(fallback()).service(other.clone());
    let mut service = layer.layer(ReadyChecked::new(Script::always(|| Reply::error("down"))));
    let wakes = CountingWaker::new();
    for calls in [1, 2] {
        let mut call = wakes.call(&mut service, "ask");
        // Twice not ready, once at work.
        for _ in 0..3 {
            let polled: Poll<Result<_, BoxError>> = wakes.poll(call.as_mut());
            assert!(polled.is_pending());
        }
        let Poll::Ready(Ok(answer)) = wakes.poll(call.as_mut()) else {
            panic!("no answer")
        };
        assert_eq!(answer.status(), 203);
        assert_eq!((other.get_ref().calls(), other.violations()), (calls, 0));
    }
}

#[test]
fn failed_call_is_dropped_before_fallback_service() {
    let (script, other) = (
        Script::new([Reply::status(500)]),
        Script::new([Reply::hang()]),
    );
    let layer = FallbackLayer::any(fallback())
        .service(other.clone())
        .classify(|_: &tower_keep::call::ClassifyInput<'_>| Outcome::Failure);
    let mut service = layer.layer(script.clone());
    let wakes = CountingWaker::new();
    let mut call = wakes.call(&mut service, "ask");
    assert!(wakes.poll(call.as_mut()).is_pending());
    // The service's future, its answer and the answer's body are gone.
    assert_eq!((script.in_flight(), other.in_flight()), (0, 1));
    drop(call);
    assert_eq!(other.in_flight(), 0);
}

#[test]
fn dropped_call_in_fallback_service_counts_nothing() {
    let meter = meter();
    let layer = FallbackLayer::any(fallback()).service(Script::new([Reply::hang()]));
    let mut service = layer.layer(Script::new([Reply::error("down")]));
    let wakes = CountingWaker::new();
    let mut call = wakes.call(&mut service, "ask");
    assert!(wakes.poll(call.as_mut()).is_pending());
    drop(call);
    assert!(!meter.render().contains("tower_keep_fallbacks"));
}

#[tokio::test]
async fn fallback_service_error_is_the_error() {
    let meter = meter();
    let other = Script::new([Reply::error("down, too")]);
    let layer = FallbackLayer::any(fallback()).service(other);
    let service = layer.layer(Script::new([Reply::error("down")]));
    let error = service.oneshot("ask").await.unwrap_err();
    assert_eq!(error.to_string(), "down, too");
    assert_eq!(counted(&meter, "failure", "failed"), (0.0, 1.0));
}

#[tokio::test]
async fn fallback_service_bad_answer_counts_as_failed() {
    let meter = meter();
    let layer = FallbackLayer::any(fallback()).service(service_fn(|_: usize| {
        ready(Ok::<_, BoxError>(Outcome::Overload.index()))
    }));
    let service = layer.classify(by_number).layer(numbers());
    let answer = service.oneshot(Outcome::Failure.index()).await.unwrap();
    assert_eq!(answer, Outcome::Overload.index());
    assert_eq!(counted(&meter, "failure", "failed"), (0.0, 1.0));
}

#[tokio::test]
async fn fallback_service_readiness_error_is_the_error() {
    let meter = meter();
    let other = Script::new([]).fails_ready(|| "closed".into());
    let layer = FallbackLayer::any(fallback()).service(other);
    let service = layer.layer(Script::new([Reply::error("down")]));
    let error = service.oneshot("ask").await.unwrap_err();
    assert_eq!(error.to_string(), "closed");
    assert_eq!(counted(&meter, "failure", "not_ready"), (0.0, 1.0));
}

#[tokio::test]
async fn request_is_cloned_for_fallback_service_only() {
    struct Counted(Arc<AtomicUsize>);
    impl Clone for Counted {
        fn clone(&self) -> Self {
            self.0.fetch_add(1, SeqCst);
            Counted(self.0.clone())
        }
    }
    let clones = Arc::new(AtomicUsize::new(0));
    let down = service_fn(|_: Counted| ready(Err::<usize, _>(Error::other("down"))));
    let layer = FallbackLayer::any(fallback()).value(7);
    let answer = layer.layer(down).oneshot(Counted(clones.clone())).await;
    assert_eq!((answer.unwrap(), clones.load(SeqCst)), (7, 0));

    let other = service_fn(|_: Counted| ready(Ok::<_, Error>(8)));
    let layer = FallbackLayer::any(fallback()).service(other);
    let answer = layer.layer(down).oneshot(Counted(clones.clone())).await;
    assert_eq!((answer.unwrap(), clones.load(SeqCst)), (8, 1));
}

#[tokio::test]
async fn readiness_error_of_primary_is_returned() {
    let layer = FallbackLayer::any(fallback()).service(Script::new([]));
    let mut service = layer.layer(Script::new([]).fails_ready(|| "closed".into()));
    let error = ServiceExt::<()>::ready(&mut service).await.unwrap_err();
    assert_eq!(error.to_string(), "closed");
}

#[tokio::test]
async fn registry_lists_fallback_stats() {
    let spare = Fallback::new("listed spare");
    let service = FallbackLayer::any(spare.clone())
        .value("spare")
        .layer(broken());
    service.clone().oneshot("ask").await.unwrap();
    service.oneshot("ask").await.unwrap();
    let panics = FallbackLayer::any(spare.clone()).with(|_| -> &'static str { panic!("no idea") });
    panics.layer(broken()).oneshot("ask").await.unwrap_err();

    let listing = listing();
    let listed = || {
        let all = listing.snapshots();
        all.into_iter().find(|guard| guard.name() == "listed spare")
    };
    let shown = listed().expect("listed while it lives");
    assert_eq!((shown.kind(), shown.state()), ("fallback", "on"));
    assert_eq!(shown.stat("served"), Some(&Stat::Count(2)));
    assert_eq!(shown.stat("failed"), Some(&Stat::Count(1)));
    drop((spare, panics));
    assert_eq!(listed(), None);
}
