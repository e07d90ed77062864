//! Memory that a cache holds on to: read buffers, bodies on their way, and values whose drop is code of the application.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::SeqCst},
        mpsc,
    },
    time::Duration,
};

use bytes::Bytes;
use http::HeaderValue;
use http_body_util::BodyExt;
use tower::{Layer, ServiceExt};
use tower_keep::{
    cache::{Cache, HttpCacheLayer},
    testing::{CountingWaker, Reply, Script, ScriptedBody},
};

use super::{
    cache,
    http_calls::{get, text},
};

/// A part of a read buffer, such as hyper's bodies and header values are.
struct ReadBuffer(#[expect(dead_code, reason = "counts who holds the buffer")] Arc<()>);

impl AsRef<[u8]> for ReadBuffer {
    fn as_ref(&self) -> &[u8] {
        &[b'x'; 100_000]
    }
}

/// The short body and the headers of a response that was kept are slices of the buffer that they were read into, and held all of it: a
/// cache took a hundred times the memory that it counted.
#[tokio::test(start_paused = true)]
async fn kept_response_holds_no_buffer_that_it_was_read_into() {
    let held = Arc::new(());
    let script: Script = {
        let held = held.clone();
        Script::always(move || {
            let buffer = Bytes::from_owner(ReadBuffer(held.clone()));
            let value = HeaderValue::from_maybe_shared(buffer.slice(..10)).expect("a value");
            let trailer = HeaderValue::from_maybe_shared(buffer.slice(..10)).expect("a value");
            let body = ScriptedBody::new().data(buffer.slice(..2_000));
            Reply::ok()
                .header("cache-control", "max-age=60")
                .header("vary", "x-buffer")
                .header("x-buffer", value)
                .body(body.trailers([("x-buffer", trailer)]))
        })
    };
    let cache = cache("cache.buffers");
    let service = HttpCacheLayer::client(cache.clone()).layer(script.clone());
    let request = || {
        let buffer = Bytes::from_owner(ReadBuffer(held.clone()));
        let value = HeaderValue::from_maybe_shared(buffer.slice(..10)).expect("a value");
        let mut request = get(&[]);
        request.headers_mut().insert("x-buffer", value);
        request
    };
    let first = text(&service, request()).await;
    assert_eq!((first.len(), cache.stats().stored), (2_000, 1));
    let of_script = 1;
    assert_eq!(Arc::strong_count(&held), 1 + of_script);
    assert_eq!(text(&service, request()).await, first);
    assert_eq!((cache.stats().hits, script.calls()), (1, 1));
}

/// Callers that read slowly could make the cache hold as many bodies as there were callers, whatever its bound.
#[tokio::test(start_paused = true)]
async fn bodies_on_their_way_stay_inside_of_the_bound_as_well() {
    let cache = Cache::builder("cache.slow").max_bytes(10_000);
    let cache = cache.max_body_bytes(4_000).max_entries(10).build();
    let cache = cache.expect("valid settings");
    let script: Script = Script::always(|| {
        let body = ScriptedBody::new().data("x".repeat(3_000)).data("end");
        let reply = Reply::ok().header("cache-control", "max-age=60");
        reply.body(body.without_size_hint())
    });
    let mut service = HttpCacheLayer::client(cache.clone()).layer(script);
    let waker = CountingWaker::new();
    let mut read_slowly = async |path: String| {
        let mut request = get(&[]);
        *request.uri_mut() = path.parse().expect("a URI");
        let call = waker.call(&mut service, request);
        let response = call.await.expect("a response");
        let mut body = Box::pin(response.into_body());
        assert!(waker.poll_frame(body.as_mut()).is_ready());
        body
    };
    let mut bodies = Vec::new();
    for number in 0..5 {
        bodies.push(read_slowly(format!("/{number}")).await);
    }
    for body in bodies.drain(..) {
        let rest = body.collect().await.expect("a body").to_bytes();
        assert_eq!(rest, "end", "readers get all of it");
    }
    assert_eq!(cache.stats().stored, 3);
    // What was dropped, kept or given up counts no more.
    for number in 10..15 {
        drop(read_slowly(format!("/{number}")).await);
    }
    let before = cache.stats().stored;
    let body = read_slowly("/20".to_owned()).await;
    body.collect().await.expect("a body");
    assert_eq!(cache.stats().stored, before + 1);
}

/// hyper's server stops to read a body once all bytes are there that `content-length` promises, and drops it: a body that says its end
/// only at one more poll, as files and streams do, was never kept.
#[tokio::test(start_paused = true)]
async fn body_whose_reader_stops_at_its_length_is_kept() {
    let polled = async |body: fn() -> ScriptedBody, polls| {
        let script: Script = Script::always(move || {
            let reply = Reply::ok().header("cache-control", "max-age=60");
            reply.header("content-length", "5").body(body())
        });
        let cache = cache("cache.length");
        let service = HttpCacheLayer::client(cache.clone()).layer(script);
        let waker = CountingWaker::new();
        let response = service.clone().oneshot(get(&[])).await;
        let mut body = Box::pin(response.expect("a response").into_body());
        for _ in 0..polls {
            assert!(waker.poll_frame(body.as_mut()).is_ready());
        }
        drop(body);
        let stored = cache.stats().stored;
        if stored == 1 {
            assert_eq!(text(&service, get(&[])).await, "hello");
        }
        stored
    };
    let whole = || ScriptedBody::from("hel").data("lo").end_after_extra_poll();
    let long = || ScriptedBody::from("hello").data("!").end_after_extra_poll();
    let broken = || ScriptedBody::from("hello").error("reset");
    assert_eq!(polled(whole, 1).await, 0);
    assert_eq!(polled(whole, 2).await, 1);
    assert_eq!(polled(long, 2).await, 0, "longer than it said");
    assert_eq!(polled(broken, 2).await, 0);
}

/// A value whose drop is code of the application: it panics, or uses the cache.
#[derive(Clone)]
struct Loaded {
    cache: Cache,
    panics: Arc<AtomicBool>,
}

impl Drop for Loaded {
    fn drop(&mut self) {
        self.cache.stats();
        if self.panics.load(SeqCst) && !std::thread::panicking() {
            std::panic::resume_unwind(Box::new("a bug in a drop"));
        }
    }
}

/// The store dropped values under its lock: a value that used the cache waited for itself, and one that panicked made each later
/// call of the cache panic.
#[test]
fn drop_of_a_value_may_use_the_cache_and_panic() {
    let (send, receive) = mpsc::channel();
    // A thread of its own, which may come to wait forever.
    std::thread::spawn(move || {
        let run = |cache: &Cache, key: u32, panics: &Arc<AtomicBool>| {
            let (cache, panics) = (cache.clone(), panics.clone());
            let runtime = tokio::runtime::Builder::new_current_thread().build();
            let value = {
                let cache = cache.clone();
                async { Ok::<_, io::Error>(Loaded { cache, panics }) }
            };
            let call = cache.run(key, value);
            let value = runtime.expect("a runtime").block_on(call);
            std::mem::forget(value.expect("a value"));
        };
        let cache = Cache::builder("cache.drops")
            .max_entries(4)
            .max_bytes(4_096);
        let cache = cache.max_body_bytes(100).build().expect("valid settings");
        let panics = Arc::new(AtomicBool::new(false));
        for key in 0..4 {
            run(&cache, key, &panics);
        }
        panics.store(true, SeqCst);
        cache.clear();
        for key in 0..20 {
            run(&cache, key, &panics);
        }
        // Evicts all that are there at once.
        let huge = async { Ok::<_, io::Error>([0_u8; 3_500]) };
        let runtime = tokio::runtime::Builder::new_current_thread().build();
        let huge = runtime.expect("a runtime").block_on(cache.run(1_u8, huge));
        assert_eq!(huge.expect("an array").len(), 3_500);
        assert!(cache.remove::<_, [u8; 3_500]>(1_u8));
        send.send(cache.stats().entries).expect("a test");
    });
    let entries = receive.recv_timeout(Duration::from_secs(20));
    assert!(entries.expect("neither a wait nor a panic") <= 4);
}
