//! Over HTTP: what is kept and for whom, ages, failures, bodies, and requests that change something.

use std::time::Duration;

use http::{Method, Request, StatusCode};
use http_body::Body;
use http_body_util::BodyExt;
use tokio::time::advance;
use tower::{Layer, Service, ServiceBuilder, ServiceExt};
use tower_keep::{
    BoxError, CircuitBreaker, Rejection,
    cache::{Cache, HttpCacheLayer},
    testing::{CountingWaker, Reply, Script, ScriptedBody},
};

use super::{SECOND, cache};

pub(super) fn request(method: Method, headers: &[(&'static str, &str)]) -> Request<ScriptedBody> {
    let mut request = Request::builder().method(method).uri("/quotes?of=acme");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(ScriptedBody::new()).expect("a request")
}

pub(super) fn get(headers: &[(&'static str, &str)]) -> Request<ScriptedBody> {
    request(Method::GET, headers)
}

/// The status, the age and the text of a response.
pub(super) type Answer = (StatusCode, Option<String>, String);

pub(super) async fn answer<S, B>(
    service: &S,
    request: Request<ScriptedBody>,
) -> Result<Answer, BoxError>
where
    S: Service<Request<ScriptedBody>, Response = http::Response<B>, Error = BoxError> + Clone,
    B: Body<Data = bytes::Bytes, Error = BoxError>,
{
    let response = service.clone().oneshot(request).await?;
    let age = response.headers().get("age");
    let age = age.map(|age| age.to_str().expect("a number").to_owned());
    let (status, body) = (response.status(), response.into_body());
    let bytes = body.collect().await?.to_bytes();
    Ok((status, age, String::from_utf8(bytes.to_vec())?))
}

pub(super) async fn text<S, B>(service: &S, request: Request<ScriptedBody>) -> String
where
    S: Service<Request<ScriptedBody>, Response = http::Response<B>, Error = BoxError> + Clone,
    B: Body<Data = bytes::Bytes, Error = BoxError>,
{
    answer(service, request).await.expect("a response").2
}

/// A service that numbers its responses, which have these headers.
pub(super) fn numbered(headers: &'static [(&'static str, &'static str)]) -> Script {
    Script::from_fn(move |index| {
        let mut reply = Reply::ok();
        for (name, value) in headers {
            reply = reply.header(*name, *value);
        }
        reply.data(["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"][index % 10])
    })
}

#[tokio::test(start_paused = true)]
async fn response_is_given_again_with_its_age_while_it_is_fresh() {
    let script = numbered(&[
        ("cache-control", "max-age=60"),
        ("age", "10"),
        ("etag", "\"1\""),
    ]);
    let cache = cache("fresh");
    let service = HttpCacheLayer::client(cache.clone()).layer(script.clone());
    let first = answer(&service, get(&[])).await.expect("a response");
    assert_eq!(first, (StatusCode::OK, Some("10".into()), "0".into()));
    advance(49 * SECOND).await;
    let again = answer(&service, get(&[])).await.expect("a response");
    assert_eq!(again, (StatusCode::OK, Some("59".into()), "0".into()));
    let other_uri = Request::get("/quotes?of=other").body(ScriptedBody::new());
    assert_eq!(text(&service, other_uri.expect("a request")).await, "1");
    let other_host = get(&[("host", "other")]);
    assert_eq!(text(&service, other_host).await, "2");
    advance(SECOND).await;
    assert_eq!(text(&service, get(&[])).await, "3");
    let stats = cache.stats();
    assert_eq!((stats.hits, stats.misses, stats.stored), (1, 4, 4));
    assert_eq!(script.in_flight(), 0);
}

#[tokio::test(start_paused = true)]
async fn response_that_must_not_be_kept_is_not() {
    for headers in [
        &[][..],
        &[("cache-control", "no-store, max-age=60")],
        &[("cache-control", "private, max-age=60")],
        &[("cache-control", "no-cache, max-age=60")],
        &[("cache-control", "max-age=60"), ("vary", "*")],
        &[("cache-control", "max-age=60"), ("set-cookie", "a=1")],
        &[("cache-control", "max-age=0")],
        &[("cache-control", "max-age=soon")],
        &[("expires", "0")],
        &[("cache-control", "max-age=60"), ("content-length", "7")],
    ] {
        let service = HttpCacheLayer::client(cache("forbidden")).layer(numbered(headers));
        assert_eq!(text(&service, get(&[])).await, "0");
        assert_eq!(text(&service, get(&[])).await, "1", "{headers:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn request_with_authorization_shares_only_what_says_so() {
    let with = |headers| HttpCacheLayer::client(cache("shared")).layer(numbered(headers));
    let mine = || get(&[("authorization", "Bearer mine")]);
    let service = with(&[("cache-control", "max-age=60")]);
    assert_eq!(text(&service, mine()).await, "0");
    assert_eq!(
        text(&service, get(&[])).await,
        "1",
        "that of mine was not kept"
    );
    let service = with(&[("cache-control", "max-age=60, public")]);
    assert_eq!(text(&service, mine()).await, "0");
    assert_eq!(text(&service, get(&[])).await, "0");
}

#[tokio::test(start_paused = true)]
async fn response_is_selected_by_what_it_varies_by() {
    let script = numbered(&[("cache-control", "max-age=60"), ("vary", "Accept-Language")]);
    let service = HttpCacheLayer::client(cache("vary")).layer(script);
    let of = |language: &'static str| get(&[("accept-language", language), ("x-other", language)]);
    assert_eq!(text(&service, of("en")).await, "0");
    assert_eq!(text(&service, of("de")).await, "1");
    assert_eq!(text(&service, of("en")).await, "0");
    assert_eq!(text(&service, of("de")).await, "1");
    assert_eq!(text(&service, get(&[])).await, "2");
}

#[tokio::test(start_paused = true)]
async fn request_directives_are_obeyed() {
    let service = HttpCacheLayer::client(cache("requests"))
        .layer(numbered(&[("cache-control", "max-age=60")]));
    let with = |value: &'static str| get(&[("cache-control", value)]);
    let (status, ..) = answer(&service, with("only-if-cached"))
        .await
        .expect("a response");
    assert_eq!(status, StatusCode::GATEWAY_TIMEOUT);
    assert_eq!(text(&service, get(&[])).await, "0");
    assert_eq!(text(&service, with("only-if-cached")).await, "0");
    assert_eq!(text(&service, with("no-store")).await, "1");
    assert_eq!(
        text(&service, get(&[])).await,
        "0",
        "no-store has kept nothing"
    );
    assert_eq!(text(&service, with("no-cache")).await, "2");
    assert_eq!(text(&service, get(&[])).await, "2", "no-cache has");
    advance(5 * SECOND).await;
    assert_eq!(text(&service, with("max-age=5")).await, "2");
    assert_eq!(text(&service, with("max-age=4")).await, "3");
    assert_eq!(text(&service, with("min-fresh=61")).await, "4");
    for name in ["range", "if-none-match", "upgrade"] {
        let before = text(&service, get(&[])).await;
        assert_ne!(text(&service, get(&[(name, "x")])).await, before, "{name}");
        assert_eq!(text(&service, get(&[])).await, before, "{name}");
    }
}

#[tokio::test(start_paused = true)]
async fn method_that_is_not_safe_removes_what_is_kept_of_its_uri() {
    let script: Script = Script::from_fn(|index| match index {
        1 => Reply::status(500),
        index => {
            let text = ["0", "1", "2", "3", "4", "5"][index];
            Reply::ok().header("cache-control", "max-age=60").data(text)
        }
    });
    let service = HttpCacheLayer::client(cache("unsafe")).layer(script);
    let post = || request(Method::POST, &[]);
    assert_eq!(text(&service, get(&[])).await, "0");
    assert_eq!(text(&service, post()).await, "", "it fails");
    assert_eq!(text(&service, get(&[])).await, "0");
    assert_eq!(text(&service, request(Method::HEAD, &[])).await, "2");
    assert_eq!(text(&service, get(&[])).await, "0");
    assert_eq!(text(&service, post()).await, "3");
    assert_eq!(text(&service, get(&[])).await, "4");
}

/// A service that succeeds once, with this header, and then is down in some way.
fn then_down(cache_control: &'static str, down: fn() -> Reply) -> Script {
    Script::from_fn(move |index| match index {
        0 => Reply::ok()
            .header("cache-control", cache_control)
            .data("kept"),
        _ => down(),
    })
}

#[tokio::test(start_paused = true)]
async fn stale_response_replaces_failures() {
    let unavailable = || Reply::status(503).data("down");
    for down in [unavailable as fn() -> Reply, || {
        Reply::error("connection refused")
    }] {
        let cache = cache("stale");
        let script = then_down("max-age=60", down);
        let service = HttpCacheLayer::client(cache.clone()).layer(script.clone());
        assert_eq!(text(&service, get(&[])).await, "kept");
        advance(65 * SECOND).await;
        let stale = answer(&service, get(&[])).await.expect("a response");
        assert_eq!(stale, (StatusCode::OK, Some("65".into()), "kept".into()));
        let no_cache = answer(&service, get(&[("cache-control", "no-cache")])).await;
        assert!(no_cache.is_err() || no_cache.is_ok_and(|it| it.2 == "down"));
        advance(5 * SECOND).await;
        let down = answer(&service, get(&[])).await;
        assert!(
            down.is_err() || down.is_ok_and(|it| it.2 == "down"),
            "too old"
        );
        assert_eq!((cache.stats().stale, script.in_flight()), (1, 0));
    }
}

#[tokio::test(start_paused = true)]
async fn stale_response_replaces_nothing_where_the_peer_forbids_it_or_has_answered() {
    let down = || Reply::status(503).data("down");
    for cache_control in ["max-age=60, must-revalidate", "s-maxage=60"] {
        let script = then_down(cache_control, down);
        let service = HttpCacheLayer::client(cache("revalidate")).layer(script);
        assert_eq!(text(&service, get(&[])).await, "kept");
        advance(61 * SECOND).await;
        assert_eq!(text(&service, get(&[])).await, "down", "{cache_control}");
    }
    let script = then_down("max-age=60", || Reply::status(404).data("gone"));
    let service = HttpCacheLayer::client(cache("gone")).layer(script);
    assert_eq!(text(&service, get(&[])).await, "kept");
    advance(61 * SECOND).await;
    assert_eq!(text(&service, get(&[])).await, "gone");
}

#[tokio::test(start_paused = true)]
async fn open_circuit_is_answered_with_a_stale_response() {
    let breaker = CircuitBreaker::new("cache.http");
    let own_directive = Cache::new("cache.directive");
    for cache in [cache("cache.setting"), own_directive] {
        breaker.reset();
        let headers = &[("cache-control", "max-age=60, stale-if-error=10")];
        let service = ServiceBuilder::new()
            .layer(HttpCacheLayer::client(cache))
            .layer(breaker.layer().client())
            .service(numbered(headers));
        assert_eq!(text(&service, get(&[])).await, "0");
        breaker.force_open();
        assert_eq!(text(&service, get(&[])).await, "0", "fresh");
        advance(69 * SECOND).await;
        assert_eq!(text(&service, get(&[])).await, "0", "stale");
        advance(SECOND).await;
        let error = answer(&service, get(&[])).await.expect_err("too old");
        assert!(Rejection::find(&*error).is_some());
    }
}

#[tokio::test(start_paused = true)]
async fn body_is_kept_only_if_it_is_whole_and_short() {
    let kept = |body: fn() -> ScriptedBody| {
        let reply = move || {
            Reply::ok()
                .header("cache-control", "max-age=60")
                .body(body())
        };
        let cache = Cache::builder("bodies").max_body_bytes(5).build();
        let cache = cache.expect("valid settings");
        let script: Script = Script::always(reply);
        let service = HttpCacheLayer::client(cache.clone()).layer(script);
        (cache, service)
    };
    let cases: [(fn() -> ScriptedBody, bool); 7] = [
        (|| ScriptedBody::from("hello"), true),
        (
            || {
                ScriptedBody::from("hel")
                    .without_size_hint()
                    .pending(1)
                    .data("lo")
            },
            true,
        ),
        (
            || ScriptedBody::from("hi").trailers([("checksum", "7")]),
            true,
        ),
        (ScriptedBody::new, true),
        (|| ScriptedBody::from("hello!"), false),
        (
            || ScriptedBody::from("hel").without_size_hint().data("lo!"),
            false,
        ),
        (
            || {
                ScriptedBody::from("half")
                    .without_size_hint()
                    .error("reset")
            },
            false,
        ),
    ];
    for (body, is_kept) in cases {
        let (cache, service) = kept(body);
        let first = answer(&service, get(&[])).await;
        let first = first.map_err(|error| error.to_string());
        assert_eq!(cache.stats().stored == 1, is_kept, "{first:?}");
        if is_kept {
            assert_eq!(text(&service, get(&[])).await, first.expect("a response").2);
            assert_eq!(cache.stats().hits, 1);
        }
    }
    // Dropped before its end.
    let (cache, mut service) = kept(|| ScriptedBody::from("hel").data("lo"));
    let waker = CountingWaker::new();
    let mut call = waker.call(&mut service, get(&[]));
    let std::task::Poll::Ready(Ok(response)) = waker.poll(call.as_mut()) else {
        panic!("no response");
    };
    let mut body = Box::pin(response.into_body());
    assert!(waker.poll_frame(body.as_mut()).is_ready());
    drop(body);
    assert_eq!(cache.stats().stored, 0);
}

#[tokio::test(start_paused = true)]
async fn trailers_are_kept_and_headers_of_the_connection_are_not() {
    let script: Script = Script::always(|| {
        let reply = Reply::ok().header("cache-control", "max-age=60");
        let reply = reply.header("connection", "x-hop").header("x-hop", "1");
        reply.body(ScriptedBody::from("hi").trailers([("checksum", "7")]))
    });
    let service = HttpCacheLayer::client(cache("trailers")).layer(script);
    text(&service, get(&[])).await;
    let response = service.oneshot(get(&[])).await.expect("a response");
    assert!(!response.headers().contains_key("x-hop"));
    assert!(!response.headers().contains_key("connection"));
    // HTTP/1.1 would send no trailers after a body whose length is known.
    let hint = response.body().size_hint();
    assert_eq!((hint.lower(), hint.exact()), (2, None));
    let body = response.into_body().collect().await.expect("a body");
    assert_eq!(body.trailers().expect("trailers")["checksum"], "7");
}

#[tokio::test(start_paused = true)]
async fn flood_of_uris_and_variants_stays_inside_of_the_bounds() {
    let cache = Cache::builder("cache.uris")
        .max_entries(50)
        .max_bytes(100_000);
    let cache = cache.max_body_bytes(1_000).build().expect("valid settings");
    let reply = || {
        let reply = Reply::ok().header("cache-control", "max-age=60");
        reply.header("vary", "x-made-up").data("hello")
    };
    let script: Script = Script::always(reply);
    let service = HttpCacheLayer::client(cache.clone()).layer(script);
    for number in 0..2_000_u32 {
        let uri = format!("/{}/{}", number % 300, "x".repeat(number as usize % 500));
        let request = Request::get(uri).header("x-made-up", number.to_string());
        let request = request.body(ScriptedBody::new()).expect("a request");
        assert_eq!(text(&service, request).await, "hello");
    }
    let stats = cache.stats();
    assert!(stats.entries <= 50 && stats.bytes <= 100_000, "{stats:?}");
    assert!(stats.entries > 3, "{stats:?}");
    let long = Request::get(format!("/{}", "x".repeat(20_000))).body(ScriptedBody::new());
    text(&service, long.expect("a request")).await;
    assert_eq!(cache.stats().bypassed, 1);
}

#[tokio::test(start_paused = true)]
async fn time_of_the_call_counts_as_age() {
    let script: Script = Script::always(|| {
        let reply = Reply::ok().after(Duration::from_secs(7));
        reply.header("cache-control", "max-age=60").data("slow")
    });
    let service = HttpCacheLayer::client(cache("delay")).layer(script);
    text(&service, get(&[])).await;
    let again = answer(&service, get(&[])).await.expect("a response");
    assert_eq!(again.1.as_deref(), Some("7"));
}
