//! Removals while calls are in flight, and under every name that a request has for what is kept.

use std::{
    future::Future,
    io,
    pin::pin,
    sync::atomic::{AtomicU64, Ordering::SeqCst},
};

use futures_util::FutureExt;
use http::{Method, Request};
use http_body::Body;
use tokio::sync::oneshot;
use tower::{Layer, ServiceExt};
use tower_keep::{
    cache::{Cache, HttpCacheLayer},
    testing::{CountingWaker, Reply, Script, ScriptedBody},
};

use super::{
    cache,
    http_calls::{get, numbered, request, text},
};

/// A load that ends when it is told to, with the value as it was when the load began.
fn load(cache: &Cache) -> (oneshot::Sender<u32>, impl Future<Output = u32> + use<>) {
    let (send, receive) = oneshot::channel();
    let read = async { receive.await.map_err(io::Error::other) };
    let load = cache.run(7, read);
    (send, async { load.await.expect("a number") })
}

/// A value was read, changed and removed from the cache, and only then the reader stored what it had read: all callers got the old
/// value for the whole time of results.
#[tokio::test(start_paused = true)]
async fn result_of_a_call_that_began_before_its_removal_is_not_kept() {
    let removals: [fn(&Cache); 3] = [
        |cache| assert!(!cache.remove::<_, u32>(7)),
        Cache::clear,
        |cache| {
            cache.disable();
            cache.reset();
        },
    ];
    for remove in removals {
        let cache = cache("cache.removal");
        let waker = CountingWaker::new();
        let (old, reader) = load(&cache);
        let mut reader = pin!(reader);
        assert!(waker.poll(reader.as_mut()).is_pending());
        remove(&cache);
        let (new, later) = load(&cache);
        let mut later = pin!(later);
        assert!(waker.poll(later.as_mut()).is_pending());
        old.send(1).expect("a reader");
        assert_eq!(reader.await, 1, "its own result");
        assert_eq!(cache.stats().entries, 0);
        new.send(2).expect("a reader");
        assert_eq!(later.await, 2);
        assert_eq!(load(&cache).1.await, 2);
    }
}

#[tokio::test(start_paused = true)]
async fn result_of_a_call_in_flight_is_kept_where_another_was_removed() {
    let cache = cache("cache.other");
    let waker = CountingWaker::new();
    let (send, reader) = load(&cache);
    let mut reader = pin!(reader);
    assert!(waker.poll(reader.as_mut()).is_pending());
    cache.remove::<_, u32>(8);
    cache.remove::<_, &str>(7);
    send.send(1).expect("a reader");
    reader.await;
    assert_eq!(load(&cache).1.await, 1);
}

/// A page was asked for, changed by a `POST`, and then kept as it was before.
#[tokio::test(start_paused = true)]
async fn response_to_a_request_that_began_before_a_change_is_not_kept() {
    let script: Script = Script::from_fn(|index| {
        let reply = Reply::ok().header("cache-control", "max-age=60");
        match index {
            0 => reply.pending(1).data("old"),
            1 => Reply::ok(),
            _ => reply.data("new"),
        }
    });
    let service = HttpCacheLayer::client(cache("cache.changed")).layer(script);
    let waker = CountingWaker::new();
    let mut first = service.clone();
    let mut old = waker.call(&mut first, get(&[]));
    assert!(waker.poll(old.as_mut()).is_pending());
    text(&service, request(Method::POST, &[])).await;
    let response = old.await.expect("a response");
    read_to_end(response.into_body()).await;
    assert_eq!(text(&service, get(&[])).await, "new");
    assert_eq!(text(&service, get(&[])).await, "new");
}

#[tokio::test(start_paused = true)]
async fn response_whose_body_is_read_across_a_change_is_not_kept() {
    let script = numbered(&[("cache-control", "max-age=60"), ("vary", "accept")]);
    let service = HttpCacheLayer::client(cache("cache.body")).layer(script);
    assert_eq!(text(&service, get(&[])).await, "0");
    let other = get(&[("accept", "text/html")]);
    let response = service.clone().oneshot(other).await.expect("a response");
    text(&service, request(Method::PUT, &[])).await;
    read_to_end(response.into_body()).await;
    assert_eq!(text(&service, get(&[])).await, "3", "not brought back");
    assert_eq!(text(&service, get(&[("accept", "text/html")])).await, "4");
}

/// A server got the `GET` over HTTP/1.1 and the `POST` over HTTP/2, which names the host in another place and a scheme, and went on
/// to give the old page.
#[tokio::test(start_paused = true)]
async fn change_removes_what_was_kept_for_any_form_of_its_uri() {
    let forms = [
        ("/page?a", Some("Example.com")),
        ("/page?a", Some("example.com")),
        ("http://example.com/page?a", None),
        ("https://EXAMPLE.com/page?a", None),
        ("https://example.com/page?a", Some("example.COM")),
    ];
    let with = |method: Method, (uri, host): (&str, Option<&str>)| {
        let mut request = Request::builder().method(method).uri(uri);
        if let Some(host) = host {
            request = request.header("host", host);
        }
        request.body(ScriptedBody::new()).expect("a request")
    };
    for kept in forms {
        for changed in forms {
            let script = numbered(&[("cache-control", "max-age=60")]);
            let service = HttpCacheLayer::client(cache("cache.forms")).layer(script);
            text(&service, with(Method::GET, kept)).await;
            assert_eq!(text(&service, with(Method::GET, kept)).await, "0");
            text(&service, with(Method::DELETE, changed)).await;
            let again = text(&service, with(Method::GET, kept)).await;
            assert_eq!(again, "2", "{kept:?} {changed:?}");
        }
    }
}

/// The peer had taken a page back, and callers got it again as soon as the peer was down.
#[tokio::test(start_paused = true)]
async fn response_that_must_not_be_kept_removes_the_one_before_it() {
    use super::SECOND;
    let gone = || Reply::status(410);
    let withdrawn = || Reply::ok().header("cache-control", "no-store").data("mine");
    for answer in [gone as fn() -> Reply, withdrawn] {
        let script: Script = Script::from_fn(move |index| match index {
            0 => Reply::ok()
                .header("cache-control", "max-age=60")
                .data("kept"),
            1 => answer(),
            _ => Reply::status(503).data("down"),
        });
        let service = HttpCacheLayer::client(cache("cache.withdrawn")).layer(script);
        assert_eq!(text(&service, get(&[])).await, "kept");
        tokio::time::advance(61 * SECOND).await;
        assert_ne!(text(&service, get(&[])).await, "kept");
        assert_eq!(text(&service, get(&[])).await, "down");
    }
}

async fn read_to_end<B: Body<Error: std::fmt::Debug>>(body: B) {
    use http_body_util::BodyExt;
    body.collect().await.expect("a whole body");
}

/// Threads find the store each in its own lane, and two of them empty it at once.
#[test]
fn threads_leave_no_result_from_before_the_last_removal() {
    let cache = Cache::new("removal.threads");
    let source = AtomicU64::new(0);
    let read = || {
        let load = async { Ok::<_, io::Error>(source.load(SeqCst)) };
        let version = cache.run(7_u32, load).now_or_never();
        version.expect("at once").expect("a version")
    };
    for _ in 0..100 {
        let change = |remove: fn(&Cache)| {
            let version = source.fetch_add(1, SeqCst) + 1;
            remove(&cache);
            version
        };
        let removals: [fn(&Cache); 3] = [Cache::clear, Cache::clear, |cache| {
            cache.remove::<_, u64>(7_u32);
        }];
        let last = std::thread::scope(|scope| {
            let changes = removals.map(|remove| scope.spawn(move || change(remove)));
            for _ in 0..2 {
                scope.spawn(|| (0..20).map(|_| read()).sum::<u64>());
            }
            changes.map(|change| change.join().expect("no panic"))
        });
        let last = last.into_iter().max();
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| assert_eq!(Some(read()), last));
            }
        });
    }
}
