//! Services that are not HTTP.

use std::{
    convert::Infallible,
    error::Error,
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use tower::{Service, ServiceBuilder, ServiceExt, service_fn};
use tower_keep::{
    Context, ErrorTracker, GuardLayer, Outcome, Rejection, call::ClassifyInput, observe, operation,
};

use crate::support::{
    guards::{Fuse, witness},
    logs::logs,
    meter::meter,
    within,
};

#[derive(Debug)]
struct OutOfPaper;

impl fmt::Display for OutOfPaper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("out of paper")
    }
}
impl Error for OutOfPaper {}

#[tokio::test]
async fn plain_service_is_observed_as_operation() {
    let (meter, logs) = (meter(), logs());
    let printed = Arc::new(AtomicU32::new(0));
    let count = printed.clone();
    let mut printer = ServiceBuilder::new()
        .layer(observe("printer").any())
        .service(service_fn(move |pages: u32| {
            let count = count.clone();
            async move {
                assert!(Context::current().is_some(), "a call has a context");
                match count.fetch_add(pages, Ordering::SeqCst) {
                    0..3 => Ok(pages),
                    _ => Err(OutOfPaper),
                }
            }
        }));
    assert_eq!(printer.ready().await.unwrap().call(3).await.unwrap(), 3);
    let error = printer.ready().await.unwrap().call(1).await.unwrap_err();
    assert!(error.is::<OutOfPaper>());
    assert!(Context::current().is_none());

    let of = |outcome| {
        [
            ("operation", "printer"),
            ("kind", "service"),
            ("outcome", outcome),
        ]
    };
    assert_eq!(
        meter.count("operation_duration_seconds", &of("success")),
        1.0
    );
    assert_eq!(
        meter.count("operation_duration_seconds", &of("failure")),
        1.0
    );
    let in_flight = meter.sum("operations_in_flight", &[("operation", "printer")]);
    assert_eq!(in_flight, Some(0.0));
    let lines = logs.events("tower_keep::operation");
    let told: Vec<_> = lines
        .iter()
        .map(|line| (line.get("outcome"), line.get("error")))
        .collect();
    assert_eq!(told, [("success", ""), ("failure", "out of paper")]);
}

#[tokio::test]
async fn plain_service_call_inherits_context() {
    let whose = ServiceBuilder::new()
        .layer(observe("whose").any())
        .service(service_fn(async |_: ()| {
            Ok::<_, Infallible>(Context::current())
        }));
    let call = Context::new_root();
    let seen = call.scope(whose.clone().oneshot(())).await.unwrap();
    assert_eq!(seen, Some(call.clone()));
    assert_ne!(whose.oneshot(()).await.unwrap(), Some(call));
}

#[tokio::test]
async fn plain_service_panic_is_recorded_and_unwinds() {
    let errors = ErrorTracker::default();
    let guard = operation("printer").errors(errors.clone());
    let service = ServiceBuilder::new()
        .layer(GuardLayer::any(guard))
        .service(service_fn(async |jams: bool| {
            assert!(!jams, "a jam");
            Ok::<_, Infallible>(())
        }));
    let task = tokio::spawn(service.clone().oneshot(true));
    assert!(within(task).await.unwrap_err().is_panic());
    service.oneshot(false).await.unwrap();
    let group = &errors.groups()[0];
    assert_eq!(
        (group.kind(), group.message(), group.count()),
        ("panic", "a jam", 1)
    );
}

#[tokio::test]
async fn plain_service_classifier_decides_outcome() {
    let (witness, mut ends) = witness();
    let layer = GuardLayer::any(witness).classify(|end: &ClassifyInput<'_>| {
        match end.response::<Option<u32>>() {
            Some(None) => Outcome::ClientError,
            _ => end.outcome(),
        }
    });
    let service = ServiceBuilder::new()
        .layer(layer)
        .service(service_fn(async |n: Option<u32>| Ok::<_, Infallible>(n)));
    for (answer, outcome) in [(Some(7), Outcome::Success), (None, Outcome::ClientError)] {
        service.clone().oneshot(answer).await.unwrap();
        assert_eq!(ends.next_outcome().await, outcome);
    }
}

#[tokio::test]
async fn plain_service_rejection_passes_other_layers() {
    let service = ServiceBuilder::new()
        .layer(observe("outer").any())
        .timeout(Duration::from_secs(60))
        .layer(GuardLayer::any(Fuse::blown()))
        .service(service_fn(async |n: u32| Ok::<_, Infallible>(n)));
    let error = service.oneshot(1).await.unwrap_err();
    assert_eq!(Rejection::find(&*error).unwrap().guard(), "fuse");
}
