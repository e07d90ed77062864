//! Attempts and the context of the call that they belong to, on a paused clock.

use std::{
    future::{Future, ready},
    io::Error,
    pin::Pin,
    sync::{Arc, Mutex},
    task::{Context as Cx, Poll},
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use tokio::time::{Instant, timeout};
use tower::{Layer, Service, ServiceBuilder, ServiceExt, service_fn};
use tower_keep::{
    Context, GuardLayer,
    context::Propagate,
    observe,
    retry::{Backoff, ReplayBody, Retry, RetryLayer},
};

use super::{Sent, constant_backoff};
use crate::support::logs::{Logs, logs};

const WAIT: Duration = Duration::from_millis(100);

/// Returns the attempt that the current context speaks of.
fn attempt_number() -> Option<u32> {
    Context::with_current(|context| context.map(Context::attempt))
}

/// The log of what was seen when.
type Log = Arc<Mutex<Vec<(&'static str, Option<u32>)>>>;

/// Pending once, then an error; tells the log in which attempt it was made, polled and dropped.
struct RecordingFuture {
    log: Log,
    polled: bool,
}

impl RecordingFuture {
    fn new(log: &Log) -> Self {
        let log = log.clone();
        log.lock().unwrap().push(("made", attempt_number()));
        RecordingFuture { log, polled: false }
    }
}

impl Future for RecordingFuture {
    type Output = Result<(), Error>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Cx<'_>) -> Poll<Result<(), Error>> {
        if !std::mem::replace(&mut self.polled, true) {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        self.log.lock().unwrap().push(("polled", attempt_number()));
        Poll::Ready(Err(Error::other("down")))
    }
}

impl Drop for RecordingFuture {
    fn drop(&mut self) {
        self.log.lock().unwrap().push(("dropped", attempt_number()));
    }
}

fn expected(numbers: &[Option<u32>]) -> Vec<(&'static str, Option<u32>)> {
    let steps = |number| ["made", "polled", "dropped"].map(|step| (step, number));
    numbers.iter().copied().flat_map(steps).collect()
}

#[tokio::test(start_paused = true)]
async fn context_of_attempt_has_its_number() {
    let (log, call, retry) = (Log::default(), Context::new_root(), retry(3));
    let _ = call.scope(retry.run(|_| RecordingFuture::new(&log))).await;
    let numbers = expected(&[Some(1), Some(2), Some(3)]);
    assert_eq!(std::mem::take(&mut *log.lock().unwrap()), numbers);

    let layer = RetryLayer::any(retry.clone());
    let service = layer.layer(service_fn(|()| RecordingFuture::new(&log)));
    let _ = call.scope(service.oneshot(())).await;
    assert_eq!(std::mem::take(&mut *log.lock().unwrap()), numbers);

    let service = RetryLayer::client(retry).layer(service_fn(|_: Request<ReplayBody<_>>| {
        let failing = RecordingFuture::new(&log);
        async { failing.await.map(|()| Response::new(empty())) }
    }));
    let _ = call.scope(service.oneshot(Request::new(empty()))).await;
    assert_eq!(*log.lock().unwrap(), numbers);
}

#[tokio::test(start_paused = true)]
async fn context_of_attempt_is_current_in_its_drop() {
    let (log, call) = (Log::default(), Context::new_root());
    let mut work = Box::pin(retry(3).run(|attempt| {
        let watched = RecordingFuture::new(&log);
        async move {
            match attempt.is_retry() {
                true => std::future::pending().await,
                false => watched.await,
            }
        }
    }));
    let started = timeout(WAIT * 2, call.scope(work.as_mut())).await;
    assert!(started.is_err(), "hangs in its second attempt");
    log.lock().unwrap().clear();
    drop(work); // outside of any context
    assert_eq!(*log.lock().unwrap(), [("dropped", Some(2))]);
}

#[tokio::test(start_paused = true)]
async fn context_is_not_created_if_absent() {
    let log = Log::default();
    let _ = retry(2).run(|_| RecordingFuture::new(&log)).await;
    assert_eq!(*log.lock().unwrap(), expected(&[None, None]));
}

#[tokio::test(start_paused = true)]
async fn context_attempt_number_restarts_in_nested_retry() {
    let (log, call) = (Log::default(), Context::new_root());
    let (outer, inner) = (retry(2), retry(2));
    let work = outer.run(|_| inner.run(|_| RecordingFuture::new(&log)));
    let _ = call.scope(work).await;
    let numbers = [Some(1), Some(2), Some(1), Some(2)];
    assert_eq!(*log.lock().unwrap(), expected(&numbers));
}

/// A layer that sends the context on looks into the request first, and then at what is current.
#[tokio::test(start_paused = true)]
async fn context_of_request_is_numbered_and_current() {
    let seen = Mutex::new(Vec::new());
    let peer = service_fn(|request: Request<ReplayBody<Full<Bytes>>>| {
        let own = request.extensions().get::<Context>();
        let own = own.map(|own| (own.request_id().to_owned(), own.attempt()));
        let current = Context::with_current(|current| {
            current.map(|current| (current.request_id().to_owned(), current.attempt()))
        });
        seen.lock().unwrap().push((own, current));
        ready(Err::<Response<Full<Bytes>>, _>(Error::other("down")))
    });
    let (brought, around) = (Context::new_root(), Context::new_root());
    let mut request = Request::new(empty());
    request.extensions_mut().insert(brought.with_attempt(7));
    let client = RetryLayer::client(retry(2)).layer(peer);
    let _ = around.scope(client.oneshot(request)).await;
    let id = |attempt| Some((brought.request_id().to_owned(), attempt));
    assert_eq!(*seen.lock().unwrap(), [(id(1), id(1)), (id(2), id(2))]);
}

#[tokio::test(start_paused = true)]
async fn deadline_of_context_stops_attempts() {
    let call = Context::new_root().with_deadline(Instant::now() + WAIT * 5 / 2);
    let attempts = Mutex::new(Vec::new());
    let work = |attempt: tower_keep::retry::Attempt| {
        attempts.lock().unwrap().push(attempt.deadline());
        ready(Err::<(), _>(Error::other("down")))
    };
    let _ = call.scope(retry(9).run(work)).await;
    assert_eq!(*attempts.lock().unwrap(), [call.deadline(); 3]);

    let call = Context::new_root().with_deadline(Instant::now() + WAIT * 5 / 2);
    let calls = Mutex::new(0);
    let peer = service_fn(|_: Request<ReplayBody<Full<Bytes>>>| {
        *calls.lock().unwrap() += 1;
        ready(Err::<Response<Full<Bytes>>, _>(Error::other("down")))
    });
    let client = RetryLayer::client(retry(9)).layer(peer);
    let mut request = Request::new(empty());
    request.extensions_mut().insert(call);
    let _ = client.oneshot(request).await;
    assert_eq!(*calls.lock().unwrap(), 3);
}

/// The `call` runs in a buffer's task, the future in the caller's.
#[tokio::test(start_paused = true)]
async fn deadline_known_at_first_poll_counts() {
    let calls = Mutex::new(0);
    let mut service = RetryLayer::any(retry(9)).layer(service_fn(|()| {
        *calls.lock().unwrap() += 1;
        ready(Err::<(), _>(Error::other("down")))
    }));
    let future = service.ready().await.unwrap().call(());
    let call = Context::new_root().with_deadline(Instant::now() + WAIT * 3 / 2);
    let _ = call.scope(future).await;
    assert_eq!(*calls.lock().unwrap(), 2);
}

// ---- one context for all attempts

/// Three attempts had three correlation IDs and three traces.
#[tokio::test(start_paused = true)]
async fn context_is_shared_by_attempts_without_one() {
    let seen = Mutex::new(Vec::new());
    let peer = service_fn(|request: Request<Sent>| {
        let header = |name: &str| {
            let value = request.headers().get(name).expect("sent on");
            value.to_str().unwrap().to_owned()
        };
        let (journey, parent) = (header("x-request-id"), header("traceparent"));
        let number = Context::with_current(|context| context.map(Context::attempt));
        seen.lock().unwrap().push((journey, parent, number));
        ready(Err::<Response<Full<Bytes>>, _>(Error::other("down")))
    });
    let client = ServiceBuilder::new()
        .layer(RetryLayer::client(
            constant_backoff().max_attempts(3).build().unwrap(),
        ))
        .layer(GuardLayer::client(Propagate::default()))
        .service(peer);
    let request = Request::get("/").body(Full::default()).unwrap();
    assert!(client.oneshot(request).await.is_err());
    let seen = seen.into_inner().unwrap();
    assert_eq!(seen.len(), 3);
    for (at, (journey, parent, number)) in seen.iter().enumerate() {
        assert_eq!(*journey, seen[0].0);
        let (trace, span) = parent.split_at(35);
        assert_eq!(trace, &seen[0].1[..35]);
        assert!(at == 0 || span != &seen[0].1[35..], "a span of its own");
        assert_eq!(*number, Some(at as u32 + 1));
    }
}

#[tokio::test(start_paused = true)]
async fn resend_count_is_in_log_and_span() {
    const RESENT: &str = "http.request.resend_count";
    fn down<B>(_: Request<B>) -> impl Future<Output = Result<Response<Full<Bytes>>, Error>> {
        ready(Err(Error::other("down")))
    }
    let said = |logs: &Logs| {
        let lines: Vec<_> = logs
            .calls()
            .iter()
            .map(|line| line.get(RESENT).to_owned())
            .collect();
        let spans: Vec<_> = logs
            .spans()
            .iter()
            .map(|span| span.get(RESENT).to_owned())
            .collect();
        assert_eq!(lines, spans);
        lines
    };
    let retry = || constant_backoff().max_attempts(3).build().unwrap();
    let request = || Request::get("/").body(Full::default()).unwrap();

    let client = ServiceBuilder::new()
        .layer(RetryLayer::client(retry()))
        .layer(observe("peer").client())
        .service(service_fn(down::<Sent>));
    let layer = logs();
    assert!(client.oneshot(request()).await.is_err());
    assert_eq!(said(&layer), ["", "1", "2"]);

    // A retry of requests of any kind, in the context of a call.
    let client = ServiceBuilder::new()
        .layer(RetryLayer::any(retry()))
        .layer(observe("peer").client())
        .service(service_fn(down));
    let any = logs();
    let sent = Context::new_root().scope(client.oneshot(request())).await;
    assert!(sent.is_err());
    assert_eq!(said(&any), ["", "1", "2"]);

    // What a service does for the attempt is not sent again.
    let server = observe("peer").server().layer(service_fn(down));
    let served = logs();
    let second = Context::new_root().with_attempt(2);
    let mut request = request();
    request.extensions_mut().insert(second);
    assert!(server.oneshot(request).await.is_err());
    assert_eq!(said(&served), [""]);
}

#[tokio::test(start_paused = true)]
async fn context_is_not_made_for_a_single_attempt() {
    let peer = service_fn(|_: Request<Sent>| {
        let none = Context::with_current(|context| context.is_none());
        ready(Ok::<_, Error>(Response::new(Full::from(none.to_string()))))
    });
    let client = RetryLayer::client(constant_backoff().build().unwrap()).layer(peer);
    let request = Request::post("/").body(Full::default()).unwrap();
    assert_eq!(
        crate::support::text(client.oneshot(request).await.unwrap()).await,
        "true"
    );
}

// ---- helpers

fn empty() -> Full<Bytes> {
    Full::default()
}

/// 100 ms between attempts, no chance, no budget.
fn retry(attempts: u32) -> Retry {
    let builder = Retry::builder("peer").max_attempts(attempts);
    let builder = builder.backoff(Backoff::constant(WAIT)).budget(None);
    builder.build().unwrap()
}
