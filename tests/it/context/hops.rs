//! Checks which parts of a call's context stay where they came in, and which go on to the next hop.

use std::{
    convert::Infallible,
    sync::{Arc, Mutex},
};

use axum::body::Body;
use http::{HeaderMap, HeaderValue, Request, Response};
use tower::{Layer, ServiceExt, service_fn};
use tower_keep::{
    Context, GuardLayer,
    context::{
        Baggage, Correlate, CorrelateBuilder, Propagate, TracePolicy, Tracestate, Trust, in_context,
    },
    observe,
};

const TRACEPARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
const TRACE_ID: &str = "0af7651916cd43dd8448eb211c80319c";

#[test]
fn context_can_be_entered_inside_with_current() {
    let (outer, inner) = (Context::new_root(), Context::new_root());
    outer.run(|| {
        Context::with_current(|current| {
            assert_eq!(current, Some(&outer));
            inner.run(|| assert_eq!(Context::current().as_ref(), Some(&inner)));
            assert_eq!(Context::current().as_ref(), Some(&outer));
        });
    });
}

/// Tells in which context it is dropped.
struct Witness(Arc<Mutex<Option<Context>>>);

impl Drop for Witness {
    fn drop(&mut self) {
        *self.0.lock().expect("no panic") = Context::current();
    }
}

#[tokio::test]
async fn context_is_current_in_drop_of_aborted_task() {
    let (call, seen) = (Context::new_root(), Arc::default());
    let witness = Witness(Arc::clone(&seen));
    let task = call.run(|| {
        tokio::spawn(in_context(async move {
            let _witness = witness;
            std::future::pending::<()>().await;
        }))
    });
    tokio::task::yield_now().await;
    task.abort();
    assert!(task.await.is_err());
    assert_eq!(seen.lock().expect("no panic").as_ref(), Some(&call));
}

/// Headers as a handler finds them, and as the next hop does.
async fn forwarded(
    correlate: CorrelateBuilder,
    headers: &[(&'static str, &'static str)],
) -> (HeaderMap, HeaderMap) {
    let (found, sent) = (
        Arc::<Mutex<HeaderMap>>::default(),
        Arc::<Mutex<HeaderMap>>::default(),
    );
    let next = {
        let sent = sent.clone();
        service_fn(move |request: Request<Body>| {
            *sent.lock().expect("no panic") = request.headers().clone();
            async { Ok::<_, Infallible>(Response::new(Body::empty())) }
        })
    };
    let client = observe("next").client().layer(next);
    let proxy = {
        let found = found.clone();
        service_fn(move |request: Request<Body>| {
            *found.lock().expect("no panic") = request.headers().clone();
            client.clone().oneshot(request)
        })
    };
    let correlate = correlate.build().expect("sound settings");
    let proxy = GuardLayer::client(correlate).layer(proxy);
    let mut request = Request::new(Body::empty());
    for (name, value) in headers {
        let value = HeaderValue::from_static(value);
        request.headers_mut().append(*name, value);
    }
    proxy.oneshot(request).await.expect("an answer");
    let copy = |headers: &Mutex<HeaderMap>| headers.lock().expect("no panic").clone();
    (copy(&found), copy(&sent))
}

#[tokio::test]
async fn baggage_off_is_not_sent_on() {
    let headers = [("baggage", "userId=7,secret=1")];
    let correlate = || Correlate::builder().trust(Trust::never());
    let (_, sent) = forwarded(correlate(), &headers).await;
    assert!(!sent.contains_key("baggage"));
}

#[tokio::test]
async fn request_id_rejected_is_removed_from_request() {
    let headers = [
        ("x-request-id", "not an ID"),
        ("x-correlation-id", "a-good-one"),
    ];
    let (found, sent) = forwarded(Correlate::builder(), &headers).await;
    assert!(found["x-request-id"] != "not an ID" && found["x-request-id"].len() == 32);
    assert_eq!(found["x-correlation-id"], "a-good-one");
    assert_ne!(sent["x-request-id"], "not an ID");
    // An edge that believes nobody.
    let strict = Correlate::builder().trust(Trust::never());
    let (found, _) = forwarded(strict, &headers).await;
    assert_eq!(found["x-correlation-id"], found["x-request-id"]);
    assert_eq!(found["x-request-id"].len(), 32);
}

/// A header behind the good one was never looked at.
#[tokio::test]
async fn request_id_headers_are_all_rewritten() {
    let headers = [("x-first", "good"), ("x-second", "{evil}")];
    let correlate = Correlate::builder().request_id_headers(["x-first", "x-second"]);
    let (found, _) = forwarded(correlate, &headers).await;
    assert_eq!(
        (&found["x-first"], &found["x-second"]),
        (
            &headers[0].1.parse().unwrap(),
            &HeaderValue::from_static("good")
        )
    );
}

#[tokio::test]
async fn baggage_and_tracestate_set_here_are_sent_on() {
    let sent = Arc::<Mutex<HeaderMap>>::default();
    let next = {
        let sent = sent.clone();
        service_fn(move |request: Request<Body>| {
            *sent.lock().expect("no panic") = request.headers().clone();
            async { Ok::<_, Infallible>(Response::new(Body::empty())) }
        })
    };
    let propagate = Propagate::builder().baggage(true).build();
    let client = GuardLayer::client(propagate.expect("sound settings")).layer(next);
    let (mut baggage, mut state) = (Baggage::default(), Tracestate::default());
    baggage.insert("tenant", "acme").expect("a member");
    state.insert("shop", "7").expect("a member");
    let call = Context::new_root()
        .with_baggage(baggage)
        .with_tracestate(state);
    let request = Request::new(Body::empty());
    call.scope(async { client.oneshot(request).await })
        .await
        .expect("an answer");
    let sent = sent.lock().expect("no panic");
    assert_eq!(
        (&sent["baggage"], &sent["tracestate"]),
        (
            &HeaderValue::from_static("tenant=acme"),
            &HeaderValue::from_static("shop=7")
        )
    );
}

#[tokio::test]
async fn traceparent_of_trusted_caller_passes_edge() {
    for (tenant, goes_on) in [("ours", true), ("theirs", false)] {
        let ours = Trust::when(|head| head.headers.get("x-tenant").is_some_and(|it| it == "ours"));
        let edge = Correlate::builder()
            .trust(ours)
            .trace_policy(TracePolicy::Restart);
        let headers = [("traceparent", TRACEPARENT), ("x-tenant", tenant)];
        let (_, sent) = forwarded(edge, &headers).await;
        let sent = sent["traceparent"].to_str().expect("text");
        assert_eq!(sent.contains(TRACE_ID), goes_on, "{tenant}: {sent}");
    }
    // Everybody is trusted, so nobody is told apart: the edge cuts.
    let edge = Correlate::builder().trace_policy(TracePolicy::Restart);
    let (_, sent) = forwarded(edge, &[("traceparent", TRACEPARENT)]).await;
    assert!(
        !sent["traceparent"]
            .to_str()
            .expect("text")
            .contains(TRACE_ID)
    );
}

#[tokio::test]
async fn tracestate_needs_a_valid_traceparent() {
    let parent = ("traceparent", TRACEPARENT);
    let other = (
        "traceparent",
        "00-0af7651916cd43dd8448eb211c80319c-0000000000000001-01",
    );
    let state = ("tracestate", "foo=1");
    let empty = ("tracestate", "");
    let bad = ("tracestate", "FOO=1");
    let malformed = (
        "traceparent",
        "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-1",
    );
    for (headers, goes_on, state) in [
        (&[parent, state][..], true, Some("foo=1")),
        (&[parent, empty, state], true, Some("foo=1")),
        (&[parent, empty], true, None),
        (&[parent, bad], true, None),
        (&[state], false, None),
        (&[malformed, state], false, None),
        (&[parent, other, state], false, None),
        (&[parent, parent, state], false, None),
    ] {
        let (_, sent) = forwarded(Correlate::builder(), headers).await;
        let traceparent = sent["traceparent"].to_str().expect("text");
        assert_eq!(traceparent.contains(TRACE_ID), goes_on, "{headers:?}");
        let found = sent.get("tracestate").map(HeaderValue::as_bytes);
        assert_eq!(found, state.map(str::as_bytes), "{headers:?}");
    }
}

#[tokio::test]
async fn traceparent_known_flags_only_are_sent_on() {
    for (received, sent_on) in [
        (
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00",
            "-00",
        ),
        (TRACEPARENT, "-01"),
        (
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-02",
            "-02",
        ),
        (
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-fb",
            "-03",
        ),
    ] {
        let headers = [("traceparent", received)];
        let (_, sent) = forwarded(Correlate::builder(), &headers).await;
        let sent = sent["traceparent"].to_str().expect("text");
        assert!(sent.contains(TRACE_ID) && sent.ends_with(sent_on), "{sent}");
    }
}
