//! The sources of the priority of a request, and those from which it is not taken.

use std::{convert::Infallible, net::SocketAddr};

use http::{HeaderValue, Request, Response};
use tower::{Layer, ServiceExt, service_fn};
use tower_keep::{
    Context, GuardLayer,
    context::{Correlate, Trust},
    guard::Admit,
    priority::{Prioritizer, PrioritizerGuard, Priority, PriorityClass},
    testing::ScriptedBody,
};

use super::prioritizer;

use PriorityClass::{Bulk, Critical, High, Low, Normal};

const HEADER: &str = "x-request-priority";

/// The priority that a handler finds, that of the context in the extensions, and the header that it sees.
type Seen = (Option<Priority>, Option<Priority>, Option<HeaderValue>);

async fn seen<G>(guard: G, request: Request<ScriptedBody>) -> Seen
where
    G: Admit<Request<ScriptedBody>>,
{
    let handler = service_fn(|request: Request<ScriptedBody>| async move {
        let context = request.extensions().get::<Context>();
        let header = request.headers().get(HEADER).cloned();
        let seen = (
            Priority::current(),
            context.and_then(Context::priority),
            header,
        );
        let mut response = Response::new(ScriptedBody::new());
        response.extensions_mut().insert(seen);
        Ok::<_, Infallible>(response)
    });
    let service = GuardLayer::server((Correlate::default(), guard)).layer(handler);
    let response = service.oneshot(request).await.expect("a response");
    let seen = response.extensions().get::<Seen>();
    seen.expect("of the handler").clone()
}

fn asks(value: &[u8]) -> Request<ScriptedBody> {
    let mut request = Request::new(ScriptedBody::new());
    let value = HeaderValue::from_bytes(value).expect("a value");
    request.headers_mut().insert(HEADER, value);
    request
}

fn from(peer: [u8; 4], mut request: Request<ScriptedBody>) -> Request<ScriptedBody> {
    let peer = SocketAddr::from((peer, 4_711));
    request.extensions_mut().insert(peer);
    request
}

fn by_network() -> PrioritizerGuard<tower_keep::priority::HeaderPriority> {
    let trust = Trust::networks(["10.0.0.0/8"]).expect("a network");
    prioritizer("networks").by_header(trust)
}

#[tokio::test]
async fn header_is_not_read_by_default() {
    for request in [asks(b"critical"), asks(b"critical;level=99")] {
        let (found, ..) = seen(prioritizer("default"), request).await;
        assert_eq!(found.map(Priority::class), Some(Normal));
    }
    let by_extension = prioritizer("extension").by_extension();
    let (found, ..) = seen(by_extension, asks(b"critical")).await;
    assert_eq!(found.map(Priority::class), Some(Normal));
}

#[tokio::test]
async fn header_is_read_from_trusted_callers_and_removed_from_others() {
    let (found, context, header) =
        seen(by_network(), from([10, 1, 2, 3], asks(b"critical;level=7"))).await;
    let expected = Some(Priority::new(Critical).with_level(7));
    assert_eq!((found, context), (expected, expected));
    assert_eq!(header, Some(HeaderValue::from_static("critical;level=7")));
    for request in [from([192, 0, 2, 1], asks(b"critical")), asks(b"critical")] {
        let (found, context, header) = seen(by_network(), request).await;
        assert_eq!(found.map(Priority::class), Some(Normal));
        assert_eq!(context, found);
        assert_eq!(header, None, "nobody further in takes it for the priority");
    }
}

#[tokio::test]
async fn hostile_values_are_removed_and_count_as_none() {
    let long = "critical;level=".to_owned() + &"9".repeat(60_000);
    for value in [
        &b""[..],
        b"CRITICAL",
        b"Critical",
        b"urgent",
        b" critical",
        b"critical ",
        b"critical;level=",
        b"critical;level=100",
        b"critical;level=-1",
        b"critical;level=+1",
        b"critical;level=07",
        b"critical;level=7.0",
        b"critical;level=7;level=8",
        b"critical; level=7",
        b"critical,high",
        b"u=0",
        b"5",
        b"\xff\xfe",
        b"critical\x80",
        long.as_bytes(),
    ] {
        let guard = prioritizer("hostile").by_header(Trust::always());
        let (found, _, header) = seen(guard, asks(value)).await;
        let text = String::from_utf8_lossy(&value[..value.len().min(30)]);
        assert_eq!(found.map(Priority::class), Some(Normal), "{text}");
        assert_eq!(header, None, "{text}");
    }
}

#[tokio::test]
async fn header_may_have_another_name() {
    let prioritizer = prioritizer("named");
    let guard = prioritizer.by_named_header("x-tier", Trust::always());
    let mut request = asks(b"critical");
    request
        .headers_mut()
        .insert("x-tier", HeaderValue::from_static("bulk"));
    let (found, ..) = seen(guard.expect("a name"), request).await;
    assert_eq!(found.map(Priority::class), Some(Bulk));
    let error = prioritizer.by_named_header("x tier", Trust::always());
    let error = error.expect_err("no name").to_string();
    assert!(
        error.contains(r#"prioritizer "named": header is "x tier""#),
        "{error}"
    );
}

#[tokio::test]
async fn extension_of_the_application_comes_before_the_header() {
    let guard = prioritizer("extended").by_header(Trust::always());
    let mut request = asks(b"critical");
    request
        .extensions_mut()
        .insert(Priority::new(Low).with_level(3));
    let (found, context, _) = seen(guard, request).await;
    let low = Some(Priority::new(Low).with_level(3));
    assert_eq!((found, context), (low, low));
    let mut request = Request::new(ScriptedBody::new());
    request.extensions_mut().insert(Priority::from(High));
    let by_extension = prioritizer("extension").by_extension();
    let (found, ..) = seen(by_extension, request).await;
    assert_eq!(found.map(Priority::class), Some(High));
}

#[tokio::test]
async fn closure_decides_and_leaves_to_others_what_it_does_not_know() {
    let by_path = |request: &Request<ScriptedBody>| {
        (request.uri().path() == "/export").then_some(PriorityClass::Bulk)
    };
    let prioritizer = prioritizer("closure");
    let get = |path| {
        Request::get(path)
            .body(ScriptedBody::new())
            .expect("a request")
    };
    let (found, ..) = seen(prioritizer.by(by_path), get("/export")).await;
    assert_eq!(found.map(Priority::class), Some(Bulk));
    let (found, ..) = seen(prioritizer.by(by_path), get("/")).await;
    assert_eq!(found.map(Priority::class), Some(Normal));
    let around = Context::new_root().with_priority(High);
    let (found, ..) = around.scope(seen(prioritizer.by(by_path), get("/"))).await;
    assert_eq!(
        found.map(Priority::class),
        Some(Normal),
        "of the request's own context"
    );
}

#[tokio::test]
async fn closure_that_panics_admits_the_call() {
    let guard = prioritizer("panics")
        .by(|_: &Request<ScriptedBody>| -> Option<Priority> { panic!("of the closure") });
    let (found, ..) = seen(guard, asks(b"critical")).await;
    assert_eq!(found, None);
}

#[tokio::test]
async fn priority_of_a_part_of_a_call_is_that_of_the_part_alone() {
    let (server, client) = (prioritizer("server"), prioritizer("client"));
    let peer = service_fn(async |_: u32| Ok::<_, Infallible>(Priority::current()));
    let peer = client.by(|_: &u32| Some(Bulk)).layer().any().layer(peer);
    let handler = service_fn(move |id: u32| {
        let peer = peer.clone();
        async move {
            let of_part = peer.oneshot(id).await.expect("served");
            Ok::<_, Infallible>((of_part, Priority::current()))
        }
    });
    let around = Context::new_root().with_priority(High);
    let service = server.layer().any().layer(handler);
    let served = around.scope(service.oneshot(7)).await.expect("served");
    let (of_part, of_call) = served;
    assert_eq!(of_part.map(Priority::class), Some(Bulk));
    assert_eq!(of_call.map(Priority::class), Some(High));
    assert_eq!(
        around.priority(),
        Some(High.into()),
        "as the application has set it"
    );
}

#[tokio::test]
async fn task_of_a_call_has_its_priority_where_it_has_its_context() {
    let handler = service_fn(async |_: Request<ScriptedBody>| {
        let spawned = tower_keep::context::in_context(async { Priority::current() });
        let seen: Seen = (tokio::spawn(spawned).await.expect("no panic"), None, None);
        let mut response = Response::new(ScriptedBody::new());
        response.extensions_mut().insert(seen);
        Ok::<_, Infallible>(response)
    });
    let guard: PrioritizerGuard<_> = Prioritizer::new("spawned").by_header(Trust::always());
    let service = GuardLayer::server((Correlate::default(), guard)).layer(handler);
    let response = service.oneshot(asks(b"low;level=9")).await;
    let response = response.expect("a response");
    let (found, ..) = response.extensions().get::<Seen>().expect("seen");
    assert_eq!(*found, Some(Priority::new(Low).with_level(9)));
}

/// A proxy that adds a header instead of replacing it passed on what its own, untrusted caller had asked for.
#[tokio::test]
async fn header_that_comes_twice_is_malformed() {
    for values in [["critical", "bulk"], ["bulk", "critical"]] {
        let mut request = from([10, 1, 2, 3], asks(values[0].as_bytes()));
        let second = HeaderValue::from_static(values[1]);
        request.headers_mut().append(HEADER, second);
        let (found, context, header) = seen(by_network(), request).await;
        assert_eq!(found.map(Priority::class), Some(Normal));
        assert_eq!(context, found);
        assert_eq!(header, None);
    }
}
