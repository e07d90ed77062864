//! HTTP and gRPC calls, by hand.

use std::{
    convert::Infallible,
    future::ready,
    io,
    sync::{Arc, Mutex},
};

use bytes::Bytes;
use http::{HeaderName, Method, Request, Response, StatusCode, Version, request::Parts};
use http_body::Body;
use http_body_util::{BodyExt, Full};
use tower::{Layer, Service, ServiceBuilder, ServiceExt, service_fn};
use tower_keep::{
    BoxError, GuardLayer, Outcome, Rejection, RejectionKind,
    call::{ClassifyInput, GrpcCode},
    fallback::{Fallback, FallbackInfo, FallbackLayer, grpc_message},
    retry::{ReplayBody, Retry, RetryLayer},
    testing::ScriptedBody,
};

use super::{Reply, Script, counted};
use crate::support::{guards::Fuse, meter::meter};

fn fallback() -> Fallback {
    Fallback::new("spare")
}

fn spare() -> Response<Full<Bytes>> {
    Response::new(Full::from("spare"))
}

fn request() -> Request<ScriptedBody> {
    Request::new(ScriptedBody::new())
}

fn grpc_request() -> Request<ScriptedBody> {
    let mut request = request();
    *request.method_mut() = Method::POST;
    *request.version_mut() = Version::HTTP_2;
    let grpc = "application/grpc".parse().unwrap();
    request.headers_mut().insert("content-type", grpc);
    request
}

async fn text<B: Body<Error = BoxError>>(response: Response<B>) -> String {
    let body = response.into_body().collect().await.expect("a whole body");
    String::from_utf8(body.to_bytes().to_vec()).expect("text")
}

fn served<B>(response: &Response<B>) -> Option<(&str, Outcome)> {
    let served: Option<&FallbackInfo> = response.extensions().get();
    served.map(|served| (served.name(), served.outcome()))
}

// ---- closures

#[tokio::test]
async fn failed_response_is_replaced_and_marked() {
    let meter = meter();
    let script = Script::new([Reply::status(500).data("oh"), Reply::ok().data("fine")]);
    let service = FallbackLayer::server(fallback())
        .with(|_| spare())
        .layer(script.clone());
    let answer = service.clone().oneshot(request()).await.unwrap();
    assert_eq!(served(&answer), Some(("spare", Outcome::Failure)));
    assert_eq!(answer.headers().len(), 0, "callers do not learn of it");
    assert_eq!(
        (answer.body().size_hint().exact(), script.in_flight()),
        (Some(5), 0)
    );
    assert_eq!(text(answer).await, "spare");

    let answer = service.oneshot(request()).await.unwrap();
    assert_eq!(
        (served(&answer), answer.body().size_hint().exact()),
        (None, Some(4))
    );
    assert_eq!(text(answer).await, "fine");
    assert_eq!(counted(&meter, "failure", "failed"), (1.0, 0.0));
}

#[tokio::test]
async fn header_names_the_fallback() {
    let header = HeaderName::from_static("x-served-by");
    let named = Fallback::builder("spare").header(header.clone()).build();
    let layer = FallbackLayer::server(named.unwrap()).with(|_| spare());
    let service = layer.layer(Script::new([Reply::status(503), Reply::ok()]));
    let answer = service.clone().oneshot(request()).await.unwrap();
    assert_eq!(answer.headers()["x-served-by"], "spare");
    let answer = service.oneshot(request()).await.unwrap();
    assert!(!answer.headers().contains_key(header));
}

#[test]
fn header_invalid_for_name_is_an_error() {
    let header = HeaderName::from_static("x-served-by");
    let error = Fallback::builder("two\nlines")
        .header(header)
        .build()
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        r#"fallback "two\nlines": header is x-served-by, must be off, or the name one that a header can hold"#
    );
}

#[tokio::test]
async fn closure_sees_head_and_rejection() {
    #[derive(Clone)]
    struct Note(u32);
    let seen = Arc::new(Mutex::new(Vec::new()));
    let see = seen.clone();
    let layer = FallbackLayer::client(fallback()).with(move |failed| {
        let wait = failed
            .headers()
            .and_then(|headers| headers.get("retry-after"));
        see.lock().unwrap().push((
            failed.outcome(),
            failed.status(),
            wait.is_some(),
            failed.extension::<Note>().map(|note| note.0),
            failed.rejection().map(Rejection::kind),
        ));
        spare()
    });
    let rejected = Rejection::rate_limited("login");
    let script = Script::new([
        Reply::status(504).extension(Note(7)),
        Reply::status(429)
            .header("retry-after", "1")
            .extension(rejected),
    ]);
    let service = layer.layer(script);
    for _ in 0..2 {
        assert_eq!(
            text(service.clone().oneshot(request()).await.unwrap()).await,
            "spare"
        );
    }
    let timed_out = (
        Outcome::TimedOut,
        Some(StatusCode::GATEWAY_TIMEOUT),
        false,
        Some(7),
        None,
    );
    let rejected = (
        Outcome::Rejected,
        Some(StatusCode::TOO_MANY_REQUESTS),
        true,
        None,
        Some(RejectionKind::RateLimited),
    );
    assert_eq!(*seen.lock().unwrap(), [timed_out, rejected]);
}

#[tokio::test]
async fn client_error_is_kept_unless_classified() {
    let missing = || Script::new([Reply::status(404).data("nowhere")]);
    let layer = FallbackLayer::server(fallback()).with(|_| spare());
    let answer = layer.layer(missing()).oneshot(request()).await.unwrap();
    assert_eq!((answer.status().as_u16(), served(&answer)), (404, None));
    assert_eq!(text(answer).await, "nowhere");

    let layer = layer.classify(|end: &ClassifyInput<'_>| match end.status() {
        Some(status) if status == 404 => Outcome::Failure,
        _ => end.outcome(),
    });
    let answer = layer.layer(missing()).oneshot(request()).await.unwrap();
    assert_eq!(text(answer).await, "spare");
}

#[tokio::test]
async fn body_error_after_good_head_is_not_replaced() {
    let cut = || Reply::ok().body(ScriptedBody::from("one").error("reset"));
    let layer = FallbackLayer::client(fallback()).with(|_| spare());
    let answer = layer
        .layer(Script::new([cut()]))
        .oneshot(request())
        .await
        .unwrap();
    assert_eq!(served(&answer), None);
    let error = answer.into_body().collect().await.unwrap_err();
    assert_eq!(error.to_string(), "reset");
}

#[tokio::test]
async fn error_is_replaced_by_response() {
    let layer = FallbackLayer::client(fallback()).with(|failed| {
        assert_eq!(failed.error().unwrap().to_string(), "reset");
        spare()
    });
    let script = Script::new([Reply::error("reset")]);
    let answer = layer.layer(script).oneshot(request()).await.unwrap();
    assert_eq!(served(&answer), Some(("spare", Outcome::Failure)));

    // Of a type that nobody can look into.
    #[derive(Debug, PartialEq)]
    struct Opaque;
    let broken =
        || service_fn(|_: Request<ScriptedBody>| ready(Err::<Response<ScriptedBody>, _>(Opaque)));
    let layer = FallbackLayer::server(fallback()).with(|failed| {
        assert!(failed.error().is_none());
        spare()
    });
    let answer = layer.layer(broken()).oneshot(request()).await;
    assert_eq!(served(&answer.unwrap()), Some(("spare", Outcome::Failure)));
    let never = Fallback::builder("never").when(|_| false).build().unwrap();
    let layer = FallbackLayer::server(never).with(|_| spare());
    let error: Opaque = layer.layer(broken()).oneshot(request()).await.unwrap_err();
    assert_eq!(error, Opaque);
}

#[tokio::test]
async fn error_type_stays_infallible_over_rejection() {
    let handler = service_fn(|_: Request<ScriptedBody>| {
        ready(Ok::<_, Infallible>(Response::new(ScriptedBody::new())))
    });
    let guarded = GuardLayer::server(Fuse::blown()).layer(handler);
    let layer = FallbackLayer::server(fallback()).with(|failed| {
        assert_eq!(failed.rejection().unwrap().guard(), "fuse");
        spare()
    });
    let answer: Result<_, Infallible> = layer.layer(guarded).oneshot(request()).await;
    let answer = answer.unwrap();
    assert_eq!(served(&answer), Some(("spare", Outcome::Rejected)));
    // Nobody further out counts it as a rejection.
    assert!(answer.extensions().get::<Rejection>().is_none());
}

#[tokio::test]
async fn panic_answered_with_500_is_replaced() {
    let panics = Script::new([Reply::panic_in_poll("the ink ran out")]);
    let guarded = GuardLayer::server(Fuse::blows_after(9)).layer(panics);
    let layer = FallbackLayer::server(fallback()).with(|_| spare());
    let answer = layer.layer(guarded).oneshot(request()).await.unwrap();
    assert_eq!(served(&answer), Some(("spare", Outcome::Panicked)));
}

#[tokio::test(start_paused = true)]
async fn retry_exhausted_is_replaced() {
    let meter = meter();
    let script = Script::always(|| Reply::status(503));
    let service = ServiceBuilder::new()
        .layer(FallbackLayer::client(fallback()).with(|_| spare()))
        .layer(RetryLayer::client(Retry::new("peer")))
        .service(script.clone());
    let answer = service.oneshot(request()).await.unwrap();
    assert_eq!(served(&answer), Some(("spare", Outcome::Overload)));
    assert_eq!(script.calls(), 3);
    assert_eq!(counted(&meter, "overload", "failed"), (1.0, 0.0));
}

// ---- gRPC

#[tokio::test]
async fn grpc_failure_in_headers_is_replaced_by_message() {
    let layer = FallbackLayer::grpc_client(fallback()).with(|failed| {
        assert_eq!(failed.grpc_code(), Some(GrpcCode::UNAVAILABLE));
        grpc_message("hi")
    });
    let unavailable = Reply::ok().header("content-type", "application/grpc");
    let service = layer.layer(Script::new([
        unavailable.header("grpc-status", "14"),
        Reply::grpc(14),
    ]));
    let answer = service.clone().oneshot(grpc_request()).await.unwrap();
    assert_eq!(served(&answer), Some(("spare", Outcome::Failure)));
    assert_eq!(answer.headers()["content-type"], "application/grpc");
    let (hint, over) = (
        answer.body().size_hint().exact(),
        answer.body().is_end_stream(),
    );
    assert_eq!((hint, over), (Some(7), false));
    let body = answer.into_body().collect().await.unwrap();
    assert_eq!(body.trailers().unwrap()["grpc-status"], "0");
    assert_eq!(body.to_bytes(), "\0\0\0\0\x02hi");

    // The status that comes in the trailers comes too late.
    let answer = service.oneshot(grpc_request()).await.unwrap();
    assert_eq!(served(&answer), None);
}

#[tokio::test]
async fn closure_knows_whether_request_is_grpc() {
    let layer = FallbackLayer::server(fallback()).with(|failed| {
        let mut answer = spare();
        answer.extensions_mut().insert(failed.is_grpc());
        answer
    });
    let service = layer.layer(Script::new([
        Reply::error("reset"),
        Reply::status(503), // by somebody who knows no gRPC
        Reply::error("reset"),
        Reply::status(503),
    ]));
    for request in [grpc_request, request] {
        let grpc = request().headers().contains_key("content-type");
        for _ in 0..2 {
            let answer = service.clone().oneshot(request()).await.unwrap();
            assert_eq!(answer.extensions().get(), Some(&grpc));
        }
    }
}

// ---- another service

/// A service that notes the heads of its requests.
fn noting(
    notes: &Arc<Mutex<Vec<Parts>>>,
    status: u16,
) -> impl Service<Request<ReplayBody<ScriptedBody>>, Response = Response<Full<Bytes>>, Error = io::Error>
+ Clone {
    let notes = notes.clone();
    service_fn(move |request: Request<ReplayBody<ScriptedBody>>| {
        assert!(request.body().is_end_stream());
        notes.lock().unwrap().push(request.into_parts().0);
        let mut answer = spare();
        *answer.status_mut() = StatusCode::from_u16(status).unwrap();
        ready(Ok(answer))
    })
}

#[tokio::test]
async fn fallback_service_gets_head_and_failure() {
    let (meter, notes) = (meter(), Arc::default());
    let layer = FallbackLayer::client(fallback()).service(noting(&notes, 200));
    let service = layer.layer(Script::new([Reply::status(503)]));
    let mut asked = request();
    *asked.method_mut() = Method::DELETE;
    *asked.uri_mut() = "http://first.test/orders/7?now".parse().unwrap();
    asked
        .headers_mut()
        .insert("x-request-id", "7".parse().unwrap());
    asked.extensions_mut().insert("an extension");
    let answer = service.oneshot(asked).await.unwrap();
    assert_eq!(served(&answer), Some(("spare", Outcome::Overload)));
    assert_eq!(text(answer).await, "spare");

    let notes = notes.lock().unwrap();
    let [head] = &notes[..] else {
        panic!("one call")
    };
    assert_eq!(head.method, Method::DELETE);
    assert_eq!(head.uri, "http://first.test/orders/7?now");
    assert_eq!(head.headers["x-request-id"], "7");
    assert_eq!(head.extensions.get(), Some(&"an extension"));
    let told: &FallbackInfo = head.extensions.get().expect("told");
    assert_eq!((told.name(), told.outcome()), ("spare", Outcome::Overload));
    assert_eq!(counted(&meter, "overload", "failed"), (1.0, 0.0));
}

#[tokio::test]
async fn unrepeatable_request_keeps_its_failure() {
    let (meter, notes) = (meter(), Arc::default());
    let layer = FallbackLayer::client(fallback()).service(noting(&notes, 200));
    let service = layer.layer(Script::always(|| Reply::status(500)));
    let posted = || {
        let mut posted = request();
        *posted.method_mut() = Method::POST;
        posted
    };
    let patch = Request::patch("/")
        .body(ScriptedBody::from("an order"))
        .unwrap();
    for sent_once in [posted(), patch] {
        let answer = service.clone().oneshot(sent_once).await.unwrap();
        assert_eq!((answer.status().as_u16(), served(&answer)), (500, None));
    }
    assert_eq!(counted(&meter, "failure", "not_repeatable"), (0.0, 2.0));
    assert_eq!(notes.lock().unwrap().len(), 0);

    let mut keyed = posted();
    let key = "8e03978e".parse().unwrap();
    keyed.headers_mut().insert("idempotency-key", key);
    let answer = service.oneshot(keyed).await.unwrap();
    assert_eq!(served(&answer), Some(("spare", Outcome::Failure)));
}

#[tokio::test]
async fn fallback_service_failure_is_the_answer() {
    let (meter, notes) = (meter(), Arc::default());
    let layer = FallbackLayer::client(fallback()).service(noting(&notes, 502));
    let service = layer.layer(Script::new([Reply::status(503)]));
    let answer = service.oneshot(request()).await.unwrap();
    assert_eq!(answer.status(), 502);
    assert_eq!(served(&answer), Some(("spare", Outcome::Overload)));
    assert_eq!(counted(&meter, "overload", "failed"), (0.0, 1.0));
}

#[tokio::test]
async fn fallback_service_grpc_status_is_classified() {
    let meter = meter();
    let unavailable = || {
        let reply = Reply::ok().header("content-type", "application/grpc");
        reply.header("grpc-status", "14")
    };
    let layer = FallbackLayer::client(fallback()).service(Script::always(unavailable));
    let service = layer.layer(Script::always(|| Reply::status(503)));
    let mut asked = grpc_request();
    let key = "7".parse().unwrap();
    asked.headers_mut().insert("idempotency-key", key);
    let answer = service.oneshot(asked).await.unwrap();
    assert_eq!(answer.headers()["grpc-status"], "14");
    assert_eq!(counted(&meter, "overload", "failed"), (0.0, 1.0));
}
