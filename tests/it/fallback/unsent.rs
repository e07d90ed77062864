//! Requests that were not begun, or may be done twice, go to another service with their body.

use std::{
    future::ready,
    io::{self, ErrorKind},
    sync::{Arc, Mutex},
};

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body::Body;
use http_body_util::BodyExt;
use tower::{Layer, Service, ServiceExt, service_fn};
use tower_keep::{
    BoxError, CircuitBreaker, GuardLayer, Rejection, RejectionKind,
    fallback::{Fallback, FallbackInfo, FallbackLayer},
    retry::ReplayBody,
    testing::ScriptedBody,
};

use super::{Reply, Script, counted};
use crate::support::{guards::Fuse, meter::meter};

type Sent = Request<ReplayBody<ScriptedBody>>;

fn fallback() -> Fallback {
    Fallback::new("spare")
}

/// Answers with what it is sent.
fn echo() -> impl Service<Sent, Response = Response<ScriptedBody>, Error = BoxError> + Clone {
    service_fn(|request: Sent| async {
        let all = request.into_body().collect().await?.to_bytes();
        Ok(Response::new(ScriptedBody::new().data(all)))
    })
}

/// Reads the whole request before it fails.
fn reads_and(
    reply: impl Fn() -> Result<StatusCode, BoxError> + Clone,
) -> impl Service<Sent, Response = Response<ScriptedBody>, Error = BoxError> + Clone {
    service_fn(move |request: Sent| {
        let reply = reply.clone();
        async move {
            request.into_body().collect().await?;
            let mut answer = Response::new(ScriptedBody::new());
            *answer.status_mut() = reply()?;
            Ok(answer)
        }
    })
}

fn order(method: Method, body: ScriptedBody) -> Request<ScriptedBody> {
    let request = Request::builder().method(method).uri("/orders");
    request.body(body).unwrap()
}

fn post() -> Request<ScriptedBody> {
    order(Method::POST, ScriptedBody::from("an order"))
}

fn is_served<B>(answer: &Response<B>) -> bool {
    answer.extensions().get::<FallbackInfo>().is_some()
}

async fn text<B: Body<Error = BoxError>>(answer: Response<B>) -> Bytes {
    assert!(is_served(&answer), "{}", answer.status());
    answer.into_body().collect().await.unwrap().to_bytes()
}

// ---- rejected

#[tokio::test]
async fn unsent_post_after_open_circuit_falls_back_whole() {
    let meter = meter();
    let breaker = CircuitBreaker::builder("first").build().unwrap();
    breaker.force_open();
    let never = service_fn(
        |_: Sent| -> std::future::Ready<Result<Response<ScriptedBody>, BoxError>> {
            unreachable!("while the circuit is open")
        },
    );
    let layer = FallbackLayer::client(fallback()).service(echo());
    let service = layer.layer(breaker.layer().client().layer(never));
    let answer = service.clone().oneshot(post()).await.unwrap();
    assert_eq!(text(answer).await, "an order");

    // Whatever its length: it is streamed from the one who sends it.
    let piece = Bytes::from(vec![b'x'; 100_000]);
    let long = ScriptedBody::new().data(piece.clone()).pending(1);
    for body in [
        long.data(piece.clone()),
        ScriptedBody::from("").without_size_hint().data(piece),
    ] {
        let length = if body.size_hint().exact().is_some() {
            200_000
        } else {
            100_000
        };
        let answer = service.clone().oneshot(order(Method::POST, body)).await;
        assert_eq!(text(answer.unwrap()).await.len(), length);
    }
    let nothing = order(Method::POST, ScriptedBody::new());
    assert_eq!(text(service.oneshot(nothing).await.unwrap()).await, "");
    assert_eq!(counted(&meter, "rejected", "not_repeatable"), (4.0, 0.0));
}

#[tokio::test]
async fn unsent_is_proven_by_rejections() {
    let rejected: &[fn() -> BoxError] = &[
        || Rejection::rate_limited("login").into(),
        || Rejection::overloaded("shed").into(),
        || io::Error::other(Rejection::new(RejectionKind::Full, "bulkhead")).into(),
        #[cfg(feature = "tower")]
        || tower::load_shed::error::Overloaded::new().into(),
    ];
    let layer = FallbackLayer::client(fallback()).service(echo());
    for error in rejected {
        let service = layer.layer(Script::always(move || Reply::error(error())));
        let answer = service.oneshot(post()).await.unwrap();
        assert_eq!(text(answer).await, "an order");
    }
    // As a response, as a gRPC client is told.
    let layer = FallbackLayer::grpc_client(fallback()).service(echo());
    let guarded = GuardLayer::grpc_client(Fuse::blown()).layer(Script::always(Reply::ok));
    let answer = layer.layer(guarded).oneshot(post()).await.unwrap();
    assert_eq!(text(answer).await, "an order");
}

#[tokio::test]
async fn unsent_is_not_proven_if_request_was_read() {
    let meter = meter();
    let layer = FallbackLayer::client(fallback()).service(echo());
    let service = layer.layer(reads_and(|| Err(Rejection::overloaded("shed").into())));
    let error = service.oneshot(post()).await.map(drop).unwrap_err();
    assert!(Rejection::find(&*error).is_some());
    assert_eq!(counted(&meter, "rejected", "not_repeatable"), (0.0, 1.0));
}

#[tokio::test]
async fn unsent_is_not_proven_by_server_rejection() {
    let meter = meter();
    // By a guard, or by a handler that has done half of its work.
    let rejected = Script::always(|| Reply::status(503).extension(Rejection::overloaded("shed")));
    let service = FallbackLayer::server(fallback())
        .service(echo())
        .layer(rejected);
    let nothing = order(Method::POST, ScriptedBody::new());
    let answer = service.clone().oneshot(nothing).await.unwrap();
    assert_eq!((answer.status().as_u16(), is_served(&answer)), (503, false));
    assert_eq!(counted(&meter, "rejected", "not_repeatable"), (0.0, 1.0));

    let answer = service.clone().oneshot(post()).await.unwrap();
    assert_eq!(text(answer).await, "an order");
    let nothing = order(Method::PUT, ScriptedBody::new());
    assert!(is_served(&service.oneshot(nothing).await.unwrap()));
}

// ---- never reached the peer

#[tokio::test]
async fn unsent_post_after_connection_refused_falls_back() {
    let layer = FallbackLayer::client(fallback()).service(echo());
    let fails = |kind: ErrorKind| Script::always(move || Reply::error(io::Error::from(kind)));
    let refused = layer.layer(fails(ErrorKind::ConnectionRefused));
    assert_eq!(
        text(refused.oneshot(post()).await.unwrap()).await,
        "an order"
    );
    for kind in [ErrorKind::ConnectionReset, ErrorKind::TimedOut] {
        let error = layer.layer(fails(kind)).oneshot(post()).await;
        assert_eq!(error.map(drop).unwrap_err().to_string(), kind.to_string());
    }
}

#[tokio::test]
async fn unsent_is_not_proven_by_handler_peer_error() {
    let layer = FallbackLayer::server(fallback()).service(echo());
    let error = || io::Error::from(ErrorKind::ConnectionRefused);
    let service = layer.layer(Script::always(move || Reply::error(error())));
    assert!(service.oneshot(post()).await.is_err());
}

#[tokio::test]
async fn unsent_last_attempt_does_not_cover_earlier() {
    let layer = FallbackLayer::client(fallback()).service(echo());
    let error = || io::Error::from(ErrorKind::ConnectionRefused).into();
    let service = layer.layer(reads_and(move || Err(error())));
    assert!(service.oneshot(post()).await.is_err());
}

// ---- may be done twice

#[tokio::test]
async fn idempotent_request_falls_back_with_read_body() {
    let layer = FallbackLayer::client(fallback()).service(echo());
    let service = layer.layer(reads_and(|| Ok(StatusCode::INTERNAL_SERVER_ERROR)));
    let put = order(Method::PUT, ScriptedBody::from("an order"));
    let answer = service.clone().oneshot(put).await.unwrap();
    assert_eq!(text(answer).await, "an order");

    let mut keyed = post();
    let key = "8e03978e".parse().unwrap();
    keyed.headers_mut().insert("idempotency-key", key);
    let answer = service.clone().oneshot(keyed).await.unwrap();
    assert_eq!(text(answer).await, "an order");
}

#[tokio::test]
async fn body_beyond_replay_max_keeps_its_failure() {
    let meter = meter();
    let layer = FallbackLayer::client(fallback()).service(echo());
    let service = layer.layer(reads_and(|| Ok(StatusCode::INTERNAL_SERVER_ERROR)));
    for (length, served) in [(64 * 1024, true), (64 * 1024 + 1, false)] {
        let body = ScriptedBody::new().data(vec![b'x'; length]);
        let answer = service.clone().oneshot(order(Method::PUT, body)).await;
        assert_eq!(is_served(&answer.unwrap()), served, "{length}");
    }
    assert_eq!(counted(&meter, "failure", "not_repeatable"), (1.0, 1.0));

    // Not read, it goes whatever its length.
    let unread = layer.layer(Script::always(|| Reply::status(500)));
    let body = ScriptedBody::new().data(vec![b'x'; 100_000]);
    let answer = unread.oneshot(order(Method::PUT, body)).await.unwrap();
    assert_eq!(text(answer).await.len(), 100_000);
}

#[tokio::test]
async fn idempotency_key_empty_is_ignored() {
    let meter = meter();
    let layer = FallbackLayer::client(fallback()).service(echo());
    let service = layer.layer(Script::always(|| Reply::status(500)));
    for key in ["", "\"\"", " "] {
        let mut keyed = post();
        let key = http::HeaderValue::from_static(key);
        keyed.headers_mut().insert("idempotency-key", key);
        let answer = service.clone().oneshot(keyed).await.unwrap();
        assert!(!is_served(&answer));
    }
    assert_eq!(counted(&meter, "failure", "not_repeatable"), (0.0, 3.0));
}

// ---- what it costs

#[tokio::test]
async fn upload_after_success_is_not_buffered() {
    let uploads = Arc::new(Mutex::new(None));
    let put_away = uploads.clone();
    let early = service_fn(move |request: Sent| {
        *put_away.lock().unwrap() = Some(request.into_body());
        ready(Ok::<_, BoxError>(Response::new(ScriptedBody::new())))
    });
    let layer = FallbackLayer::client(fallback()).service(echo());
    let body = ScriptedBody::new().data(vec![b'x'; 7]);
    let answer = layer
        .layer(early)
        .oneshot(order(Method::PUT, body))
        .await
        .unwrap();
    assert!(!is_served(&answer));
    let mut upload = uploads.lock().unwrap().take().unwrap();
    let frame = upload.frame().await.unwrap().unwrap();
    assert!(frame.into_data().unwrap().is_unique(), "nobody else has it");
}

#[tokio::test]
async fn fallback_services_may_take_boxed_bodies() {
    let boxed = |body: ReplayBody<ScriptedBody>| body.boxed_unsync();
    let collect = service_fn(
        |request: Request<http_body_util::combinators::UnsyncBoxBody<Bytes, BoxError>>| async {
            let all = request.into_body().collect().await?.to_bytes();
            match &all[..] {
                b"an order" => Ok::<_, BoxError>(Response::new(ScriptedBody::from("taken"))),
                _ => Err("no order".into()),
            }
        },
    );
    let rejects = GuardLayer::client(Fuse::blown()).layer(collect);
    let layer = FallbackLayer::client(fallback())
        .service(collect)
        .request_body(boxed);
    let answer = layer.layer(rejects).oneshot(post()).await.unwrap();
    assert_eq!(text(answer).await, "taken");
}
