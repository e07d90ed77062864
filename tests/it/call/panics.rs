//! The process survives panics beside a call: with a subscriber, a recorder, error types and wakers that
//! always panic, and `capture_panics` on. A process of its own, since all of that is global.

use std::{
    error::Error,
    fmt,
    future::{pending, ready},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
    time::Duration,
};

use bytes::Bytes;
use futures_util::FutureExt;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use metrics::{
    Counter, Gauge, Histogram, Key, KeyName, Metadata, Recorder, SharedString, Unit,
    set_global_recorder,
};
use tower::{Layer, Service, ServiceExt, service_fn};
use tower_keep::{
    BoxError, CircuitBreaker, ErrorTracker, GuardLayer, Outcome, Retry, Track,
    errors::capture_panics, hook_panics, observe, operation, registry, retry::RetryLayer,
    timeout::TimeoutLayer,
};
use tracing::{Event, Subscriber, span, subscriber::set_global_default};

use crate::support::alone_paused;

/// The number of panics, those of the recorder apart: it does so again when it is to count a panic.
static THROWN: AtomicU64 = AtomicU64::new(0);

fn throw(who: &'static str) -> ! {
    THROWN.fetch_add(1, Ordering::Relaxed);
    panic!("an angry {who}")
}

struct AngrySubscriber;

impl Subscriber for AngrySubscriber {
    fn enabled(&self, _: &tracing::Metadata<'_>) -> bool {
        true
    }
    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }
    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}
    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}
    fn event(&self, _: &Event<'_>) {
        throw("subscriber")
    }
    fn enter(&self, _: &span::Id) {}
    fn exit(&self, _: &span::Id) {}
}

struct AngryRecorder;

impl Recorder for AngryRecorder {
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn register_counter(&self, _: &Key, _: &Metadata<'_>) -> Counter {
        panic!("an angry recorder")
    }
    fn register_gauge(&self, _: &Key, _: &Metadata<'_>) -> Gauge {
        panic!("an angry recorder")
    }
    fn register_histogram(&self, _: &Key, _: &Metadata<'_>) -> Histogram {
        panic!("an angry recorder")
    }
}

struct AngryError;

impl fmt::Debug for AngryError {
    fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
        throw("Debug")
    }
}
impl fmt::Display for AngryError {
    fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
        throw("Display")
    }
}
impl Error for AngryError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        throw("source")
    }
}

struct AngryWaker;

impl Wake for AngryWaker {
    fn wake(self: Arc<Self>) {
        throw("waker")
    }
}

/// Runs `work` with everything angry, and returns how many panics were counted in it: each, at least.
fn counted(work: impl FnOnce()) -> u64 {
    let before = (hook_panics(), THROWN.load(Ordering::Relaxed));
    work();
    let counted = hook_panics() - before.0;
    assert!(counted >= THROWN.load(Ordering::Relaxed) - before.1);
    counted
}

/// Not ready, ever: it has failed.
#[derive(Clone)]
struct Broken;

impl Service<u8> for Broken {
    type Response = u8;
    type Error = AngryError;
    type Future = std::future::Ready<Result<u8, AngryError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), AngryError>> {
        Poll::Ready(Err(AngryError))
    }
    fn call(&mut self, _: u8) -> Self::Future {
        ready(Err(AngryError))
    }
}

async fn answer<B>(request: Request<B>) -> Result<Response<Full<Bytes>>, AngryError> {
    match request.uri().path() {
        "/hang" => pending().await,
        "/error" => Err(AngryError),
        "/failed" => {
            let mut response = Response::new(Full::from("no"));
            *response.status_mut() = http::StatusCode::INTERNAL_SERVER_ERROR;
            Ok(response)
        }
        _ => Ok(Response::new(Full::from("yes"))),
    }
}

fn request(path: &str) -> Request<Full<Bytes>> {
    let request = Request::builder().uri(path).body(Full::default());
    request.expect("a request")
}

const CALLS: usize = 2_500;

#[test]
fn process_survives_panics_beside_calls() {
    let name = "call::panics::process_survives_panics_beside_calls";
    alone_paused(name, everything_panics);
}

async fn everything_panics() {
    // Panics are told by the thousand otherwise.
    std::panic::set_hook(Box::new(|_| ()));
    capture_panics();
    set_global_default(AngrySubscriber).expect("the first");
    set_global_recorder(AngryRecorder).expect("the first");
    let errors = ErrorTracker::default();
    let (mut events, waker) = (errors.subscribe(), Waker::from(Arc::new(AngryWaker)));

    let breaker = || {
        let breaker = CircuitBreaker::builder("angry").consecutive_failures(3);
        breaker.build().expect("sound settings")
    };
    let track = Track::builder("angry").errors(errors.clone()).build();
    let guards = (track.expect("sound settings"), breaker());
    let server = GuardLayer::server(guards).layer(service_fn(answer));
    let retry = Retry::builder("angry").build().expect("sound settings");
    let client = tower::ServiceBuilder::new()
        .layer(TimeoutLayer::client(Duration::from_secs(1)))
        .layer(RetryLayer::client(retry))
        .layer(breaker().layer().client())
        .layer(observe("angry").client())
        .service(service_fn(answer));

    let completed = counted(|| {
        for path in ["/", "/failed", "/error", "/"] {
            for _ in 0..CALLS {
                if let Some(Ok(response)) = server.clone().oneshot(request(path)).now_or_never() {
                    drop(response.into_body().collect().now_or_never());
                }
            }
        }
    });
    assert!(completed >= 4 * CALLS as u64, "{completed}");

    let cancelled = counted(|| {
        for path in ["/hang", "/"] {
            for _ in 0..CALLS {
                // Polled once and dropped; with its head and dropped.
                drop(server.clone().oneshot(request(path)).now_or_never());
                // Never polled.
                drop(server.clone().call(request(path)));
            }
        }
    });
    assert!(cancelled >= 4 * CALLS as u64, "{cancelled}");

    let of_clients = counted(|| {
        for path in ["/hang", "/", "/error"] {
            for _ in 0..CALLS {
                drop(client.clone().oneshot(request(path)).now_or_never());
            }
        }
    });
    assert!(of_clients >= 3 * CALLS as u64, "{of_clients}");

    let operations = counted(|| {
        for _ in 0..CALLS {
            let failed = async { Err::<(), _>(AngryError) };
            let _ = operation("angry").run(failed).now_or_never();
            let unfinished = pending::<Result<(), AngryError>>();
            let _ = operation("angry").run(unfinished).now_or_never();
            drop(operation("angry").call(|| Err::<(), _>(AngryError)));
        }
    });
    assert!(operations >= 3 * CALLS as u64, "{operations}");

    let beside_calls = counted(|| {
        let breaker = breaker();
        let mut waiting = breaker
            .layer()
            .any()
            .back_pressure()
            .layer(service_fn(|n: u8| ready(Ok::<_, BoxError>(n))));
        breaker.force_open();
        let mut cx = Context::from_waker(&waker);
        assert!(Service::<u8>::poll_ready(&mut waiting, &mut cx).is_pending());
        breaker.reset();
        let mut broken = breaker.layer().any().layer(Broken);
        for _ in 0..5 {
            assert!(
                broken
                    .poll_ready(&mut Context::from_waker(Waker::noop()))
                    .is_ready()
            );
        }
        drop(
            breaker
                .call(async { Err::<(), _>(AngryError) })
                .now_or_never(),
        );
        drop(
            breaker
                .try_acquire()
                .map(|permit| permit.complete(Outcome::Failure)),
        );
        assert!(!registry::snapshots().is_empty());
        // Whoever listens for errors may have an angry waker, too.
        while events.next().now_or_never().is_some() {}
        let mut next = std::pin::pin!(events.next());
        assert!(next.as_mut().poll(&mut cx).is_pending());
        errors.capture(&std::io::Error::other("plain"));
    });
    assert!(beside_calls > 5, "{beside_calls}");
}
