//! Yardsticks, guards of HTTP calls on one thread and on two, calls that have to wait once, and a body of 100 MiB. Prints Markdown
//! tables.
//!
//! `cargo bench --manifest-path benches/comparison/Cargo.toml --bench calls`

#[path = "../../support/allocations.rs"]
mod allocations;
#[path = "../../support/poll.rs"]
mod poll;

use std::{
    convert::Infallible,
    future::{Future, poll_fn, ready},
    hint::black_box,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    task::Poll,
    time::Duration,
};

use bytes::Bytes;
use futures_util::stream;
use http::{Request, Response};
use http_body::Frame;
use http_body_util::{Empty, StreamBody};
use metrics_exporter_prometheus::PrometheusBuilder;
use tower::{Layer, service_fn};
use tower_keep::{CircuitBreaker, GuardLayer, Track, observe, timeout::TimeoutLayer};
use tower_keep_comparison::{Row, compare};
use tower_service::Service;

#[global_allocator]
static ALLOCATOR: allocations::CountingAllocator = allocations::CountingAllocator;

const SECOND: Duration = Duration::from_secs(1);
const PIECE: usize = 64 * 1024;
const PIECES: usize = 100 * 1024 * 1024 / PIECE;
/// Timers that wait beside the one that is measured, where the wheel is busy.
const SLEEPERS: u64 = 10_000;

/// Measures the parts of which guards are made, to compare machines by.
fn yardsticks() {
    fn plain(name: &'static str, mut work: impl FnMut() + Send + 'static) -> Row {
        Row::new(
            name,
            vec![Box::new(move |calls| (0..calls).for_each(|_| work()))],
        )
    }
    let (shared, count) = (Arc::new(()), AtomicU64::new(0));
    let lock = Mutex::new(0_u64);
    compare(
        "Yardsticks",
        vec![
            plain("nothing", || {
                black_box(0);
            }),
            plain("an `Arc` cloned and dropped", move || {
                drop(black_box(shared.clone()));
            }),
            plain("an atomic add", move || {
                black_box(count.fetch_add(1, Ordering::AcqRel));
            }),
            plain("a reading of tokio's clock", || {
                black_box(tokio::time::Instant::now());
            }),
            plain("a mutex", move || {
                *black_box(lock.lock().expect("no panic")) += 1;
            }),
            plain("a box of 64 bytes", || {
                drop(black_box(Box::new([0_u8; 64])));
            }),
        ],
    );
}

/// A row of HTTP calls whose bodies are read to their end.
fn row<S, B>(name: &'static str, threads: usize, service: S) -> Row
where
    S: Service<Request<Empty<Bytes>>, Response = Response<B>, Error: std::fmt::Debug>,
    S: Clone + Send + 'static,
    B: http_body::Body,
{
    let call = |service: &mut S| {
        black_box(poll::exchange(service, Request::new(Empty::new())));
    };
    let mut one = service.clone();
    let counted = allocations::per_call(|| call(&mut one));
    let thread = || {
        let mut service = service.clone();
        let calls = move |calls: u64| (0..calls).for_each(|_| call(&mut service));
        Box::new(calls) as tower_keep_comparison::Calls
    };
    Row::new(name, (0..threads).map(|_| thread()).collect())
        .allocations(counted)
        .future_size(size_of::<S::Future>())
}

fn fused(threads: usize) {
    let hello = service_fn(|_: Request<_>| {
        ready(Ok::<_, Infallible>(Response::new(Empty::<Bytes>::new())))
    });
    let breaker = |name| {
        let builder = CircuitBreaker::builder(name).count_window(100);
        builder.build().expect("sound settings")
    };
    let both = (Track::new("both"), breaker("both"));
    compare(
        &format!("Guards of an HTTP call, {threads} thread(s) on one instance"),
        vec![
            row("bare service", threads, hello),
            row(
                "a breaker",
                threads,
                GuardLayer::server(breaker("one")).layer(hello),
            ),
            row(
                "a tracker",
                threads,
                GuardLayer::server(Track::new("one")).layer(hello),
            ),
            row(
                "breaker and tracker in one",
                threads,
                GuardLayer::server(both).layer(hello),
            ),
            row(
                "the server stack",
                threads,
                observe("all").server().layer(hello),
            ),
        ],
    );
}

/// Not ready when it is first polled: what waits arms a timer.
fn late() -> impl Future<Output = Result<u64, Infallible>> {
    let mut polled = false;
    poll_fn(move |_| match std::mem::replace(&mut polled, true) {
        true => Poll::Ready(Ok(7)),
        false => Poll::Pending,
    })
}

fn pending(wheel: &str) {
    let bare = service_fn(|_: u64| late());
    fn plain<S: Service<u64> + Clone + Send + 'static>(name: &'static str, service: S) -> Row {
        let mut one = service.clone();
        let counted = allocations::per_call(|| drop(black_box(poll::call(&mut one, 7))));
        let size = size_of::<S::Future>();
        let mut service = service;
        let calls = move |calls: u64| {
            (0..calls).for_each(|_| drop(black_box(poll::call(&mut service, black_box(7)))));
        };
        Row::new(name, vec![Box::new(calls)])
            .allocations(counted)
            .future_size(size)
    }
    compare(
        &format!("A call that waits once within a time limit, the timer wheel {wheel}"),
        vec![
            plain("bare service", bare),
            plain("tower-keep: timeout", TimeoutLayer::any(SECOND).layer(bare)),
            plain(
                "tower: timeout",
                tower::timeout::TimeoutLayer::new(SECOND).layer(bare),
            ),
        ],
    );
}

/// The calls of these rows are whole bodies.
fn large_body() {
    let inner = service_fn(|_: Request<_>| {
        let piece = Bytes::from_static(&[b'x'; PIECE]);
        let pieces = (0..PIECES).map(move |_| Ok::<_, Infallible>(Frame::data(piece.clone())));
        let body = StreamBody::new(stream::iter(pieces));
        ready(Ok::<_, Infallible>(Response::new(body)))
    });
    compare(
        "A body of 100 MiB in pieces of 64 KiB that cost nothing to make",
        vec![
            row("bare service", 1, inner),
            row("the server stack", 1, observe("body").server().layer(inner)),
        ],
    );
}

/// A body whose pieces are copied once, as every server and client does at the least.
fn copied_body() {
    let inner = service_fn(|_: Request<_>| {
        let source = vec![b'x'; PIECE];
        let pieces = (0..PIECES).map(move |_| {
            let piece = Bytes::copy_from_slice(black_box(&source));
            Ok::<_, Infallible>(Frame::data(piece))
        });
        let body = StreamBody::new(stream::iter(pieces));
        ready(Ok::<_, Infallible>(Response::new(body)))
    });
    compare(
        "A body of 100 MiB in pieces of 64 KiB that are copied once",
        vec![
            row("bare service", 1, inner),
            row("the server stack", 1, observe("body").server().layer(inner)),
        ],
    );
}

fn main() {
    let handle = PrometheusBuilder::new()
        .install_recorder()
        .expect("the only recorder");
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let _entered = runtime.enter();
    // Histograms grow until somebody empties them.
    runtime.spawn(async move {
        loop {
            tokio::time::sleep(SECOND / 10).await;
            handle.run_upkeep();
        }
    });
    yardsticks();
    fused(1);
    fused(2);
    pending("idle");
    for number in 0..SLEEPERS {
        runtime.spawn(tokio::time::sleep(
            SECOND * 60 + SECOND * number as u32 / 100,
        ));
    }
    pending("busy");
    large_body();
    copied_body();
}
