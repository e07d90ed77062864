//! A classifier is set on one layer, and every layer of the stack classifies by it.

use std::{
    io,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use http::{Method, Request, Response, Version};
use http_body_util::BodyExt;
use tower::{Layer, Service, ServiceBuilder, ServiceExt, service_fn};
use tower_keep::{
    BoxError, CircuitBreaker, Guard, GuardLayer, Outcome,
    breaker::CallCounts,
    call::{CallEnd, ClassifyInput, ClassifyOutput, Evidence, find},
    guard::Measure,
    observe,
    retry::{Retry, RetryLayer},
    testing::{RecordingGuard, Reply, Script, ScriptedBody},
    timeout::TimeoutLayer,
};

use crate::support::meter::meter;

type Classified = (Outcome, Evidence);

const FAILURE: Classified = (Outcome::Failure, Evidence::Unhealthy);
const CALLERS: Classified = (Outcome::ClientError, Evidence::Healthy);

fn breaker() -> CircuitBreaker {
    let builder = CircuitBreaker::builder("shop").min_calls(100);
    builder.build().expect("sound settings")
}

fn counted(breaker: &CircuitBreaker) -> (u64, u64) {
    let CallCounts {
        calls, failures, ..
    } = breaker.counts();
    (calls, failures)
}

fn get() -> Request<ScriptedBody> {
    Request::new(ScriptedBody::new())
}

fn grpc() -> Request<ScriptedBody> {
    let mut request = get();
    (*request.method_mut(), *request.version_mut()) = (Method::POST, Version::HTTP_2);
    let grpc = "application/grpc".parse().expect("a value");
    request.headers_mut().insert("content-type", grpc);
    request
}

/// For this peer, not to be found is a failure, whoever says it.
fn not_found_fails(end: &ClassifyInput<'_>) -> Outcome {
    let lost = end.status().is_some_and(|status| status == 404)
        || end.grpc_code().is_some_and(|code| code.as_u8() == 5);
    if lost {
        Outcome::Failure
    } else {
        end.outcome()
    }
}

/// Calls five times, and reads the bodies.
async fn call<S, B>(service: S, request: fn() -> Request<ScriptedBody>)
where
    S: Service<Request<ScriptedBody>, Response = Response<B>> + Clone,
    B: http_body::Body,
{
    for _ in 0..5 {
        if let Ok(response) = service.clone().oneshot(request()).await {
            let _ = response.into_body().collect().await;
        }
    }
}

fn all_are(spy: &RecordingGuard, expected: Classified) {
    let settled = spy.completed();
    assert!(!settled.is_empty());
    for settled in settled {
        assert_eq!((settled.outcome, settled.evidence), expected);
    }
}

/// The kinds of stacks, with what each of them has round a script.
macro_rules! stacks {
    ($name:ident, $side:ident, $request:expr, $reply:expr) => {
        #[tokio::test]
        async fn $name() {
            // The classifier outside of the breaker, then inside of it, then between two.
            let (breaker, meter, spies) =
                (breaker(), meter(), [(); 3].map(|()| RecordingGuard::new()));
            let [outer, middle, inner] = spies.each_ref().map(|spy| GuardLayer::$side(spy.clone()));
            let observed = || observe("shop").$side().classify(not_found_fails);
            let script = || Script::<BoxError>::always($reply);
            let outside = ServiceBuilder::new()
                .layer(outer.clone())
                .layer(observed())
                .layer(middle.clone())
                .layer(breaker.layer().$side())
                .layer(inner.clone())
                .service(script());
            call(outside, $request).await;
            assert_eq!(counted(&breaker), (5, 5), "outside");

            let inside = ServiceBuilder::new()
                .layer(outer)
                .layer(breaker.layer().$side())
                .layer(middle)
                .layer(observed())
                .layer(inner)
                .service(script());
            call(inside, $request).await;
            assert_eq!(counted(&breaker), (10, 10), "inside");
            for spy in &spies {
                assert_eq!(spy.completed().len(), 10);
                all_are(spy, FAILURE);
            }
            let failures = meter.calls(&[("service", "shop"), ("outcome", "failure")]);
            assert_eq!(failures, 10.0);
        }
    };
}

fn lost() -> Reply {
    Reply::status(404).data("lost")
}
fn lost_in_headers() -> Reply {
    let reply = Reply::ok().header("content-type", "application/grpc");
    reply.header("grpc-status", "5")
}
fn lost_in_trailers() -> Reply {
    Reply::grpc(5)
}

stacks!(classifier_of_one_layer_decides_on_client, client, get, lost);
stacks!(classifier_of_one_layer_decides_on_server, server, get, lost);
stacks!(
    classifier_decides_grpc_trailers_on_client,
    client,
    grpc,
    lost_in_trailers
);
stacks!(
    classifier_decides_grpc_trailers_on_server,
    server,
    grpc,
    lost_in_trailers
);
stacks!(
    classifier_decides_grpc_trailers_on_grpc_client,
    grpc_client,
    grpc,
    lost_in_trailers
);
stacks!(
    classifier_decides_grpc_headers_on_grpc_client,
    grpc_client,
    grpc,
    lost_in_headers
);
stacks!(
    classifier_decides_grpc_headers_on_server,
    server,
    grpc,
    lost_in_headers
);

// ---- errors

/// The caller's fault: says nothing of the peer.
fn bad_input_is_the_callers(end: &ClassifyInput<'_>) -> Outcome {
    match end.error() {
        Some(error) if error.to_string() == "bad input" => Outcome::ClientError,
        _ => end.outcome(),
    }
}

const BAD_INPUT: Classified = (Outcome::ClientError, Evidence::Inconclusive);

#[tokio::test]
async fn classifier_of_one_layer_decides_transport_errors() {
    let (breaker, outer, inner) = (breaker(), RecordingGuard::new(), RecordingGuard::new());
    let script = || Script::<BoxError>::always(|| Reply::error("bad input"));
    let judging =
        |spy: &RecordingGuard| GuardLayer::client(spy.clone()).classify(bad_input_is_the_callers);
    let outside = ServiceBuilder::new()
        .layer(judging(&outer))
        .layer(breaker.layer().client())
        .layer(GuardLayer::client(inner.clone()))
        .service(script());
    call(outside, get).await;
    let inside = ServiceBuilder::new()
        .layer(GuardLayer::client(outer.clone()))
        .layer(breaker.layer().client())
        .layer(judging(&inner))
        .service(script());
    call(inside, get).await;
    assert_eq!(counted(&breaker), (0, 0));
    for spy in [&outer, &inner] {
        assert_eq!(spy.completed().len(), 10);
        all_are(spy, BAD_INPUT);
    }
}

#[tokio::test]
async fn classifier_of_one_layer_decides_body_errors() {
    let (breaker, outer, inner) = (breaker(), RecordingGuard::new(), RecordingGuard::new());
    let body = || ScriptedBody::from("half").error("bad input");
    let script = || Script::<BoxError>::always(move || Reply::ok().body(body()));
    let judging =
        |spy: &RecordingGuard| GuardLayer::client(spy.clone()).classify(bad_input_is_the_callers);
    let outside = ServiceBuilder::new()
        .layer(judging(&outer))
        .layer(breaker.layer().client())
        .layer(GuardLayer::client(inner.clone()))
        .service(script());
    call(outside, get).await;
    let inside = ServiceBuilder::new()
        .layer(GuardLayer::client(outer.clone()))
        .layer(breaker.layer().client())
        .layer(judging(&inner))
        .service(script());
    call(inside, get).await;
    // Good heads, and no failure at their ends.
    assert_eq!(breaker.counts().failures, 0);
    for spy in [&outer, &inner] {
        assert_eq!(spy.completed().len(), 10);
        all_are(spy, BAD_INPUT);
    }
}

/// Nothing but the error travels there, from the inside out.
#[tokio::test]
async fn classifier_of_inner_service_decides_for_outer_layers() {
    let (breaker, outer) = (breaker(), RecordingGuard::new());
    let failing = service_fn(|()| async { Err::<(), _>(io::Error::other("bad input")) });
    let service = ServiceBuilder::new()
        .layer(GuardLayer::any(outer.clone()))
        .layer(breaker.layer().any())
        .layer(GuardLayer::any(RecordingGuard::new()).classify(bad_input_is_the_callers))
        .service(failing);
    for _ in 0..5 {
        let error: BoxError = service.clone().oneshot(()).await.expect_err("it fails");
        assert_eq!(error.to_string(), "bad input");
        assert!(find::<io::Error>(&*error).is_some(), "it is still found");
    }
    assert_eq!(counted(&breaker), (0, 0));
    all_are(&outer, BAD_INPUT);
}

// ---- several, and bad ones

#[tokio::test]
async fn classifiers_run_from_inside_out() {
    let (breaker, outer, inner) = (breaker(), RecordingGuard::new(), RecordingGuard::new());
    let service = ServiceBuilder::new()
        .layer(
            GuardLayer::client(outer.clone()).classify(|end| match end.outcome() {
                Outcome::Overload => Outcome::TimedOut,
                outcome => outcome,
            }),
        )
        .layer(breaker.layer().client())
        .layer(
            GuardLayer::client(inner.clone()).classify(|end| match end.status() {
                Some(status) if status == 404 => Outcome::Overload,
                _ => end.outcome(),
            }),
        )
        .service(Script::<BoxError>::always(lost));
    call(service, get).await;
    for spy in [&outer, &inner] {
        all_are(spy, (Outcome::TimedOut, Evidence::Unhealthy));
    }
    assert_eq!(counted(&breaker), (5, 5));
}

#[tokio::test]
async fn classifier_sets_evidence_for_all_layers() {
    let (breaker, outer) = (breaker(), RecordingGuard::new());
    let service = ServiceBuilder::new()
        .layer(GuardLayer::client(outer.clone()).classify(|end| {
            ClassifyOutput::from(end.outcome()).with_evidence(Evidence::Inconclusive)
        }))
        .layer(breaker.layer().client())
        .service(Script::<BoxError>::always(|| Reply::status(500)));
    call(service, get).await;
    all_are(&outer, (Outcome::Failure, Evidence::Inconclusive));
    assert_eq!(counted(&breaker), (0, 0));
}

#[tokio::test]
async fn classifier_panic_is_failure_for_all_layers() {
    let (breaker, outer) = (breaker(), RecordingGuard::new());
    let service = ServiceBuilder::new()
        .layer(GuardLayer::client(outer.clone()))
        .layer(breaker.layer().client())
        .layer(
            GuardLayer::client(RecordingGuard::new())
                .classify(|_| -> Outcome { std::panic::resume_unwind(Box::new("boom")) }),
        )
        .service(Script::<BoxError>::always(Reply::ok));
    call(service, get).await;
    all_are(&outer, FAILURE);
    assert_eq!(counted(&breaker), (5, 5));
}

/// Layers that change the call pass the classifier on.
#[tokio::test(start_paused = true)]
async fn classifier_passes_through_retry_and_timeout() {
    let limit = Duration::from_secs(5);
    for classifier_is_outside in [true, false] {
        let (breaker, outer, inner) = (breaker(), RecordingGuard::new(), RecordingGuard::new());
        let [mut outermost, mut innermost] =
            [&outer, &inner].map(|spy| GuardLayer::client(spy.clone()));
        match classifier_is_outside {
            true => outermost = outermost.classify(not_found_fails),
            false => innermost = innermost.classify(not_found_fails),
        }
        let script = Script::<BoxError>::always(lost);
        let service = ServiceBuilder::new()
            .layer(outermost)
            .layer(TimeoutLayer::client(limit))
            .layer(RetryLayer::client(Retry::new("shop")))
            .layer(breaker.layer().client())
            .layer(TimeoutLayer::client(limit))
            .layer(innermost)
            .service(script.clone());
        call(service, get).await;
        all_are(&outer, FAILURE);
        all_are(&inner, FAILURE);
        let calls = script.calls() as u64;
        assert_eq!(
            counted(&breaker),
            (calls, calls),
            "outside: {classifier_is_outside}"
        );
    }
}

// ---- another stack

/// A proxy: what came to its server goes on to its client, with all that is in it, and back.
fn proxy(
    server: GuardLayer<RecordingGuard, tower_keep::protocol::Server>,
    client: GuardLayer<RecordingGuard, tower_keep::protocol::Client>,
    upstream: fn() -> Reply,
) -> impl Service<Request<ScriptedBody>, Response = Response<impl http_body::Body>, Error = BoxError>
+ Clone {
    let client = client.layer(Script::<BoxError>::always(upstream));
    server.layer(service_fn(move |request: Request<ScriptedBody>| {
        client.clone().oneshot(request)
    }))
}

#[tokio::test]
async fn classifier_of_proxy_server_spares_its_client() {
    let (served, called) = (RecordingGuard::new(), RecordingGuard::new());
    let server = GuardLayer::server(served.clone()).classify(not_found_fails);
    let client = GuardLayer::client(called.clone());
    call(proxy(server, client, lost), get).await;
    all_are(&served, FAILURE);
    all_are(&called, CALLERS);
}

#[tokio::test]
async fn classifier_of_proxy_client_spares_its_server() {
    let (served, called) = (RecordingGuard::new(), RecordingGuard::new());
    let server = GuardLayer::server(served.clone());
    let client = GuardLayer::client(called.clone()).classify(not_found_fails);
    call(proxy(server, client, lost), get).await;
    all_are(&served, CALLERS);
    all_are(&called, FAILURE);
}

#[tokio::test]
async fn classifier_runs_once_per_layer_and_end() {
    let asked = Arc::new(AtomicUsize::new(0));
    let count = asked.clone();
    let judging = GuardLayer::client(RecordingGuard::new()).classify(move |end| {
        count.fetch_add(1, Relaxed);
        end.outcome()
    });
    let service = ServiceBuilder::new()
        .layer(GuardLayer::client(RecordingGuard::new()))
        .layer(judging)
        .layer(GuardLayer::client(RecordingGuard::new()))
        .service(Script::<BoxError>::always(lost));
    let response = service.oneshot(get()).await.expect("an answer");
    let _ = response.into_body().collect().await;
    assert_eq!(
        asked.load(Relaxed),
        1,
        "the classified on a head stays with it"
    );
}

/// Asked twice, it could say one thing of the measuring and another of the showing.
#[test]
fn guard_measure_is_asked_once() {
    struct Counting(Arc<AtomicUsize>);
    impl Guard for Counting {
        type Permit = ();
        fn measure(&self) -> Measure {
            self.0.fetch_add(1, Relaxed);
            Measure::default()
        }
        fn on_end(&self, (): (), _: &CallEnd<'_>) {}
    }
    let asked = Arc::new(AtomicUsize::new(0));
    let layer = GuardLayer::client(Counting(asked.clone()));
    let _layer = layer.classify(|end| end.outcome()).back_pressure();
    assert_eq!(asked.load(Relaxed), 1);
}

#[tokio::test]
async fn classifier_runs_again_on_body_error() {
    let asked = Arc::new(Mutex::new(Vec::new()));
    let seen = asked.clone();
    let layer = GuardLayer::client(RecordingGuard::new()).classify(move |end| {
        let told = (end.status().is_some(), end.error().is_some());
        seen.lock().expect("no panic").push(told);
        end.outcome()
    });
    let torn = || Reply::status(200).body(ScriptedBody::new().data("half").error("torn"));
    let service = layer.layer(Script::<BoxError>::always(torn));
    let response = service.oneshot(get()).await.expect("an answer");
    assert!(response.into_body().collect().await.is_err());
    let asked = asked.lock().expect("no panic");
    assert_eq!(*asked, [(true, false), (true, true)]);
}
