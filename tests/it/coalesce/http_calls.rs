//! Responses over HTTP: heads, bodies, trailers, what is too long or has no end, and how servers and clients fail.

use std::{
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    task::Poll,
};

use http::{HeaderMap, Request, Response, StatusCode};
use http_body::Body;
use http_body_util::BodyExt;
use tower::{Layer, Service};
use tower_keep::{
    BoxError,
    coalesce::{Coalesce, CoalesceLayer},
    testing::{CountingWaker, Reply, Script, ScriptedBody},
};

pub(super) fn get(path: &str) -> Request<ScriptedBody> {
    let request = Request::get(path);
    request.body(ScriptedBody::new()).expect("a request")
}

fn with_header(name: &'static str, value: &'static str) -> Request<ScriptedBody> {
    let mut request = get("/");
    let value = http::HeaderValue::from_static(value);
    request.headers_mut().insert(name, value);
    request
}

/// The bytes, the trailers, and the error of a body.
pub(super) type Read = (String, Option<HeaderMap>, Option<String>);

pub(super) async fn read<B>(body: B) -> Read
where
    B: Body<Data = bytes::Bytes, Error = BoxError>,
{
    let mut body = Box::pin(body);
    let (mut text, mut trailers) = (String::new(), None);
    while let Some(frame) = body.frame().await {
        match frame {
            Err(error) => return (text, trailers, Some(error.to_string())),
            Ok(frame) => match frame.into_data() {
                Ok(data) => text.push_str(std::str::from_utf8(&data).expect("text")),
                Err(frame) => trailers = frame.into_trailers().ok(),
            },
        }
    }
    (text, trailers, None)
}

/// Makes two calls at once, and returns how both went, and how many calls the service got.
async fn two_calls(
    settings: impl Fn(Coalesce) -> Coalesce,
    reply: fn() -> Reply,
    requests: [Request<ScriptedBody>; 2],
) -> ([(StatusCode, Read); 2], usize) {
    let script: Script = Script::always(reply);
    let layer = CoalesceLayer::client(settings(Coalesce::new("two")));
    let mut service = layer.layer(script.clone());
    let [one, other] = requests;
    let (one, other) = (service.call(one), service.call(other));
    let (one, other) = tokio::join!(one, other);
    let (one, other) = (one.expect("a response"), other.expect("a response"));
    let results = [
        (one.status(), read(one.into_body()).await),
        (other.status(), read(other.into_body()).await),
    ];
    assert_eq!(script.in_flight(), 0);
    (results, script.calls())
}

fn same(coalesce: Coalesce) -> Coalesce {
    coalesce
}

#[tokio::test(start_paused = true)]
async fn identical_requests_share_head_body_and_trailers() {
    let reply = || {
        let body = ScriptedBody::from("hel").pending(1).data("lo");
        let reply = Reply::status(203).pending(2).header("x-served-by", "one");
        reply.body(body.trailers([("checksum", "7")]))
    };
    let ([one, other], calls) = two_calls(same, reply, [get("/"), get("/")]).await;
    assert_eq!((calls, &one), (1, &other));
    let (status, (text, trailers, error)) = one;
    assert_eq!((status.as_u16(), &*text, error), (203, "hello", None));
    assert_eq!(trailers.expect("trailers")["checksum"], "7");
}

#[tokio::test(start_paused = true)]
async fn requests_that_differ_in_a_header_that_is_no_id_share_nothing() {
    let reply = || Reply::ok().pending(1).data("hello");
    for (requests, calls) in [
        ([with_header("x-request-id", "1"), get("/")], 1),
        ([with_header("traceparent", "1"), get("/")], 1),
        ([with_header("authorization", "1"), get("/")], 2),
        (
            [with_header("cookie", "a=1"), with_header("cookie", "a=2")],
            2,
        ),
        ([get("/?a"), get("/?b")], 2),
    ] {
        let heads = format!("{:?}", requests);
        let (_, made) = two_calls(same, reply, requests).await;
        assert_eq!(made, calls, "{heads}");
    }
}

#[tokio::test(start_paused = true)]
async fn requests_that_may_change_something_share_nothing() {
    let reply = || Reply::ok().pending(1);
    let post = || {
        Request::post("/")
            .body(ScriptedBody::new())
            .expect("a request")
    };
    let question = || {
        Request::get("/")
            .body(ScriptedBody::from("?"))
            .expect("a request")
    };
    assert_eq!(two_calls(same, reply, [post(), post()]).await.1, 2);
    assert_eq!(two_calls(same, reply, [question(), question()]).await.1, 2);
}

#[tokio::test(start_paused = true)]
async fn body_that_is_too_long_goes_to_one_caller_and_others_call_for_themselves() {
    let short = |_| {
        Coalesce::builder("short")
            .max_body_bytes(4)
            .build()
            .expect("valid")
    };
    let by_length = || Reply::ok().pending(1).data("hello");
    let by_reading = || {
        let body = ScriptedBody::from("hel").pending(1).data("lo");
        let body = body.without_size_hint().trailers([("checksum", "7")]);
        Reply::ok().pending(1).body(body)
    };
    for reply in [by_length as fn() -> Reply, by_reading] {
        let ([one, other], calls) = two_calls(short, reply, [get("/"), get("/")]).await;
        assert_eq!((calls, &one), (2, &other));
        assert_eq!(one.1.0, "hello");
    }
}

#[tokio::test(start_paused = true)]
async fn event_stream_is_handed_on_at_its_head() {
    let script: Script = Script::always(|| {
        let reply = Reply::ok().header("content-type", "text/event-stream; charset=utf-8");
        reply.body(ScriptedBody::new().without_size_hint().hang())
    });
    let layer = CoalesceLayer::client(Coalesce::new("events"));
    let mut service = layer.layer(script.clone());
    let calls = (service.call(get("/")), service.call(get("/")));
    let calls = tokio::join!(calls.0, calls.1);
    assert!(calls.0.is_ok() && calls.1.is_ok());
    assert_eq!(script.calls(), 2);
}

/// Two visitors without a cookie asked for the page at which sessions begin, and got one session for both.
#[tokio::test(start_paused = true)]
async fn response_that_sets_a_cookie_is_for_one_caller() {
    let reply = || Reply::ok().pending(1).header("set-cookie", "session=7");
    let (_, calls) = two_calls(same, reply, [get("/"), get("/")]).await;
    assert_eq!(calls, 2);
}

/// Makes two identical calls of a server at once, and returns how many it got.
async fn calls_of_server<P, K>(
    layer: CoalesceLayer<P, K>,
    header: (&'static str, &'static str),
) -> usize
where
    CoalesceLayer<P, K>: Layer<ReadyErrors, Service: Service<Request<ScriptedBody>>>,
{
    let reply = move || Reply::ok().pending(1).header(header.0, header.1);
    let script: Script = Script::always(reply);
    let mut service = layer.layer(ReadyErrors(script.clone()));
    let _ = tokio::join!(service.call(get("/")), service.call(get("/")));
    script.calls()
}

/// A server that knows its callers by what is in no header, such as a client certificate, says in the response that it is for one.
#[tokio::test(start_paused = true)]
async fn server_shares_no_response_that_says_it_is_for_one_caller() {
    let server = || CoalesceLayer::server(Coalesce::new("one"));
    for (header, calls) in [
        (("cache-control", "max-age=60, Private"), 2),
        (("cache-control", "private=\"x-user\""), 2),
        (("cache-control", "no-store"), 2),
        (("vary", "accept, *"), 2),
        (("cache-control", "no-cache, max-age=0"), 1),
        (("vary", "accept"), 1),
    ] {
        assert_eq!(calls_of_server(server(), header).await, calls, "{header:?}");
    }
    // The application says itself which requests are the same.
    let keyed = || server().keyed_by(|_: &Request<ScriptedBody>| Some("all"));
    let no_store = ("cache-control", "no-store");
    assert_eq!(calls_of_server(keyed(), no_store).await, 1);
    let cookie = ("set-cookie", "session=7");
    assert_eq!(calls_of_server(keyed(), cookie).await, 2);
    // All calls of a client are of one caller.
    let reply = || Reply::ok().pending(1).header("cache-control", "private");
    let (_, calls) = two_calls(same, reply, [get("/"), get("/")]).await;
    assert_eq!(calls, 1);
}

#[tokio::test(start_paused = true)]
async fn error_in_a_body_is_shared() {
    let reply = || {
        let body = ScriptedBody::from("half").without_size_hint().pending(1);
        Reply::ok().body(body.error("reset"))
    };
    let ([one, other], calls) = two_calls(same, reply, [get("/"), get("/")]).await;
    assert_eq!((calls, &one), (1, &other));
    let (text, _, error) = one.1;
    assert_eq!((&*text, error.as_deref()), ("half", Some("reset")));
}

#[tokio::test(start_paused = true)]
async fn head_request_shares_a_response_without_a_body() {
    let head = || {
        Request::head("/")
            .body(ScriptedBody::new())
            .expect("a request")
    };
    let reply = || Reply::ok().pending(1).header("content-length", "5");
    let (results, calls) = two_calls(same, reply, [head(), head()]).await;
    assert_eq!(calls, 1);
    assert_eq!(results[0].1.0, "");
}

/// Returns the first frame of a response that is there.
fn first_frame<B>(response: Poll<Result<Response<B>, BoxError>>) -> bytes::Bytes
where
    B: Body<Data = bytes::Bytes>,
{
    let Poll::Ready(Ok(response)) = response else {
        panic!("no response");
    };
    let mut body = Box::pin(response.into_body());
    let Poll::Ready(Some(Ok(frame))) = CountingWaker::new().poll_frame(body.as_mut()) else {
        panic!("no frame");
    };
    frame.into_data().expect("data")
}

#[test]
fn response_that_is_too_long_is_the_leaders_where_another_has_read_it() {
    let coalesce = Coalesce::builder("unpolled").max_body_bytes(1).build();
    let script: Script = Script::from_fn(|index| match index {
        0 => Reply::ok().data("first"),
        _ => Reply::ok().data("second"),
    });
    let mut service = CoalesceLayer::client(coalesce.expect("valid settings")).layer(script);
    let waker = CountingWaker::new();
    let (mut leader, mut waiter) = (
        waker.call(&mut service, get("/")),
        waker.call(&mut service, get("/")),
    );
    assert_eq!(first_frame(waker.poll(waiter.as_mut())), "second");
    assert_eq!(first_frame(waker.poll(leader.as_mut())), "first");
}

#[tokio::test]
async fn server_answers_a_waiter_whose_call_panicked_and_one_too_many() {
    let calls = Arc::new(AtomicUsize::new(0));
    let inner = {
        let calls = calls.clone();
        tower::service_fn(move |_: Request<ScriptedBody>| {
            let call = calls.fetch_add(1, SeqCst);
            async move {
                tokio::task::yield_now().await;
                if call == 0 {
                    std::panic::resume_unwind(Box::new("a bug"));
                }
                Ok::<_, Infallible>(Response::new(ScriptedBody::from("fine")))
            }
        })
    };
    let coalesce = Coalesce::builder("server").max_waiters(1).build();
    let mut service = CoalesceLayer::server(coalesce.expect("valid settings")).layer(inner);
    let leader = tokio::spawn(service.call(get("/")));
    let waiter = tokio::spawn(service.call(get("/")));
    let Ok(rejected) = service.call(get("/")).await;
    assert_eq!(rejected.status(), StatusCode::SERVICE_UNAVAILABLE);
    let (leader, waiter) = (leader.await, waiter.await);
    assert!(leader.expect_err("a panic").is_panic());
    let Ok(waiter) = waiter.expect("no panic");
    assert_eq!(waiter.status(), StatusCode::INTERNAL_SERVER_ERROR);
    let Ok(next) = service.call(get("/")).await;
    assert_eq!(read(next.into_body()).await.0, "fine");
    assert_eq!(calls.load(SeqCst), 2);
}

#[tokio::test(start_paused = true)]
async fn caller_that_times_out_leaves_the_call_to_the_others() {
    use std::time::Duration;
    let script: Script = Script::always(|| Reply::ok().after(Duration::from_secs(2)).data("late"));
    let mut service = CoalesceLayer::client(Coalesce::new("late")).layer(script.clone());
    let hasty = tokio::time::timeout(Duration::from_secs(1), service.call(get("/")));
    let patient = service.call(get("/"));
    let (hasty, patient) = tokio::join!(hasty, patient);
    assert!(hasty.is_err());
    let response = patient.expect("a response");
    assert_eq!(read(response.into_body()).await.0, "late");
    assert_eq!((script.calls(), script.in_flight()), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn keys_of_a_closure_decide_whatever_the_method() {
    let script: Script = Script::always(|| Reply::ok().pending(1).data("hello"));
    let layer = CoalesceLayer::server(Coalesce::new("closure"));
    let layer = layer.keyed_by(|request: &Request<ScriptedBody>| {
        let path = request.uri().path();
        (path != "/mine").then(|| path.to_owned())
    });
    let mut service = layer.layer(ReadyErrors(script.clone()));
    let post = |path: &str| {
        Request::post(path)
            .body(ScriptedBody::from("?"))
            .expect("a request")
    };
    let _ = tokio::join!(service.call(post("/a")), service.call(post("/a")));
    assert_eq!(script.calls(), 1);
    let _ = tokio::join!(service.call(post("/mine")), service.call(post("/mine")));
    assert_eq!(script.calls(), 3);
}

/// A script whose error can be cloned, as that of a server must be.
#[derive(Clone)]
struct ReadyErrors(Script);

impl Service<Request<ScriptedBody>> for ReadyErrors {
    type Response = Response<ScriptedBody>;
    type Error = String;
    type Future = std::pin::Pin<Box<dyn Future<Output = Result<Self::Response, String>> + Send>>;

    fn poll_ready(&mut self, _: &mut std::task::Context<'_>) -> Poll<Result<(), String>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<ScriptedBody>) -> Self::Future {
        let call = self.0.call(request);
        Box::pin(async move { call.await.map_err(|error| error.to_string()) })
    }
}
