//! How a call that was tried again comes to its end: what its budget learns of it, and what the caller does.

use std::{
    future::ready,
    io::Error,
    sync::{
        Mutex,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use tokio::time::Instant;
use tower::{Layer, Service, ServiceBuilder, ServiceExt, service_fn};
use tower_keep::{
    CircuitBreaker, Context, GuardLayer, Rejection, RejectionKind,
    call::CallClock,
    context::Propagate,
    observe,
    retry::{Attempt, Backoff, Budget, ReplayBody, Retry, RetryBuilder, RetryLayer},
    testing::ScriptedBody,
};

use crate::support::{
    logs::{Logs, logs},
    meter::meter,
};

type Sent = ReplayBody<Full<Bytes>>;

// ---- budgets are settled when the call ends

/// What is done with a body, and whether it is a success.
type Case = (&'static str, fn() -> ScriptedBody, bool, bool);

const GRPC: &str = "application/grpc";

fn whole() -> ScriptedBody {
    ScriptedBody::new().data("an answer")
}
fn breaks_off() -> ScriptedBody {
    whole().without_size_hint().error("reset")
}
fn breaks_off_later() -> ScriptedBody {
    whole().without_size_hint().pending(1).error("reset")
}
fn ends_with_code(code: &'static str) -> ScriptedBody {
    whole().trailers([("grpc-status", code)])
}

fn cases(grpc: bool) -> Vec<Case> {
    if grpc {
        return vec![
            ("ok", || ends_with_code("0"), true, true),
            ("unavailable", || ends_with_code("14"), true, false),
            ("no status", whole, true, false),
            ("breaks", breaks_off, true, false),
            ("left", || ends_with_code("14"), false, true),
        ];
    }
    vec![
        ("whole", whole, true, true),
        ("empty", ScriptedBody::new, true, true),
        ("breaks", breaks_off, true, false),
        ("breaks later", breaks_off_later, true, false),
        ("left", breaks_off_later, false, true),
    ]
}

async fn call(retry: &Retry, grpc: bool, fails: u32, case: Case) {
    let (_, body, read, _) = case;
    let calls = AtomicU32::new(0);
    let peer = service_fn(|_: Request<Sent>| {
        let failed = calls.fetch_add(1, Ordering::Relaxed) < fails;
        let mut response = Response::new(if failed { ScriptedBody::new() } else { body() });
        if grpc {
            response
                .headers_mut()
                .insert("content-type", GRPC.parse().unwrap());
        }
        if failed {
            *response.status_mut() = http::StatusCode::BAD_GATEWAY;
        }
        ready(Ok::<_, Error>(response))
    });
    let mut request = Request::put("/").body(Full::default()).unwrap();
    if grpc {
        *request.method_mut() = http::Method::POST;
        let headers = request.headers_mut();
        headers.insert("content-type", GRPC.parse().unwrap());
        headers.insert("idempotency-key", "7".parse().unwrap());
    }
    let answer = RetryLayer::client(retry.clone())
        .layer(peer)
        .oneshot(request);
    let body = answer.await.unwrap().into_body();
    if read {
        drop(body.collect().await);
    }
}

/// 500 good heads whose bodies broke filled a bucket to the brim.
#[tokio::test(start_paused = true)]
async fn budget_bucket_is_refilled_by_success_only() {
    let now = CallClock::default();
    for (grpc, case) in [false, true]
        .into_iter()
        .flat_map(|grpc| cases(grpc).into_iter().map(move |case| (grpc, case)))
    {
        let (name, _, _, good) = case;
        let bucket = Budget::bucket()
            .cost(1)
            .timeout_cost(1)
            .capacity(9)
            .build()
            .unwrap();
        (0..9).for_each(|_| {
            drop(
                bucket
                    .reserve(tower_keep::Outcome::Failure, &now)
                    .unwrap()
                    .spend(),
            )
        });
        let retry = constant_backoff().budget(bucket.clone()).build().unwrap();
        for _ in 0..5 {
            call(&retry, grpc, 0, case).await;
        }
        let expected = if good { 5 } else { 0 };
        assert_eq!(
            bucket.available(&now),
            Some(expected),
            "{name}, gRPC {grpc}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn budget_throttle_counts_body_failures() {
    for (grpc, case) in [false, true]
        .into_iter()
        .flat_map(|grpc| cases(grpc).into_iter().map(move |case| (grpc, case)))
    {
        let (name, _, _, good) = case;
        let throttle = Budget::throttle().build().unwrap();
        let retry = constant_backoff().budget(throttle.clone()).build().unwrap();
        for _ in 0..5 {
            call(&retry, grpc, 0, case).await;
        }
        let allows = throttle
            .reserve(tower_keep::Outcome::Failure, &CallClock::default())
            .is_some();
        assert_eq!(allows, good, "{name}, gRPC {grpc}");
    }
}

#[tokio::test(start_paused = true)]
async fn recovered_is_counted_at_good_body_end() {
    for (grpc, case) in [false, true]
        .into_iter()
        .flat_map(|grpc| cases(grpc).into_iter().map(move |case| (grpc, case)))
    {
        let (name, _, _, good) = case;
        let meter = meter();
        let retry = constant_backoff().budget(None).build().unwrap();
        call(&retry, grpc, 1, case).await;
        let recovered = meter.sum("tower_keep_retries_recovered_total", &[]);
        assert_eq!(
            recovered,
            Some(f64::from(u8::from(good))),
            "{name}, gRPC {grpc}"
        );
    }
}

/// A retry that succeeds costs a bucket nothing: one that breaks off later does.
#[tokio::test(start_paused = true)]
async fn budget_keeps_token_if_body_breaks() {
    let now = CallClock::default();
    for (body, left) in [(whole as fn() -> ScriptedBody, 100), (breaks_off, 99)] {
        let bucket = Budget::bucket().build().unwrap();
        let retry = constant_backoff().budget(bucket.clone()).build().unwrap();
        call(&retry, false, 1, ("", body, true, true)).await;
        assert_eq!(bucket.available(&now), Some(left));
    }
}

// ---- what this process rejected

/// An open circuit emptied the bucket: 100 attempts that reached nobody cost 500 tokens.
#[tokio::test(start_paused = true)]
async fn budget_token_returned_on_breaker_rejection() {
    let bucket = Budget::bucket().build().unwrap();
    let breaker = CircuitBreaker::builder("peer")
        .consecutive_failures(1)
        .build()
        .unwrap();
    let reached = AtomicU32::new(0);
    let retry = constant_backoff().budget(bucket.clone()).build().unwrap();
    let service = ServiceBuilder::new()
        .layer(RetryLayer::any(retry))
        .layer(breaker.layer().any())
        .service(service_fn(|()| {
            reached.fetch_add(1, Ordering::Relaxed);
            ready(Err::<(), _>(Error::other("down")))
        }));
    for _ in 0..100 {
        assert!(service.clone().oneshot(()).await.is_err());
    }
    assert_eq!(reached.load(Ordering::Relaxed), 1);
    assert_eq!(bucket.available(&CallClock::default()), Some(100));
}

/// A minute behind an open circuit earned retries by the thousand, to be made when it closed.
#[tokio::test(start_paused = true)]
async fn budget_earns_nothing_from_rejected_calls() {
    let breaker = CircuitBreaker::builder("peer").build().unwrap();
    breaker.force_open();
    let retry = Retry::new("peer");
    let service = ServiceBuilder::new()
        .layer(RetryLayer::any(retry.clone()))
        .layer(breaker.layer().any())
        .service(service_fn(|()| ready(Ok::<_, Error>(()))));
    for _ in 0..1_000 {
        assert!(service.clone().oneshot(()).await.is_err());
    }
    let left = || retry.budget().unwrap().available(&CallClock::default());
    assert_eq!(left(), Some(100), "10 a second for 10 s");
    breaker.reset();
    for _ in 0..5 {
        assert!(service.clone().oneshot(()).await.is_ok());
    }
    assert_eq!(left(), Some(101));
}

// ---- what the caller is told

#[tokio::test(start_paused = true)]
async fn response_extension_has_attempt_number() {
    let calls = AtomicU32::new(0);
    let peer = service_fn(|_: Request<Sent>| {
        let status = match calls.fetch_add(1, Ordering::Relaxed) {
            0 => 503,
            1 => 412,
            _ => 204,
        };
        let response = Response::builder()
            .status(status)
            .body(Full::<Bytes>::default());
        ready(Ok::<_, Error>(response.unwrap()))
    });
    let retry = constant_backoff().build().unwrap();
    let ask = async || {
        let request = Request::put("/").body(Full::default()).unwrap();
        let answer = RetryLayer::client(retry.clone())
            .layer(peer)
            .oneshot(request);
        answer.await.unwrap().into_parts().0
    };
    let lost = ask().await;
    assert_eq!(lost.status, 412, "the first may have been done");
    assert_eq!(lost.extensions.get().map(Attempt::number), Some(2));
    assert_eq!(ask().await.extensions.get::<Attempt>(), None);
}

// ---- deadlines that have passed

#[tokio::test(start_paused = true)]
async fn deadline_passed_rejects_first_attempt_of_layer() {
    let late = Context::new_root().with_deadline(Instant::now());
    let calls = AtomicU32::new(0);
    let called = || {
        calls.fetch_add(1, Ordering::Relaxed);
        ready(Ok::<_, Error>(Response::new(Full::<Bytes>::default())))
    };
    let rejected = |error: tower_keep::BoxError| {
        let kind = Rejection::find(&*error).expect("a rejection").kind();
        assert_eq!(kind, RejectionKind::DeadlineExceeded);
    };
    let service =
        RetryLayer::any(constant_backoff().build().unwrap()).layer(service_fn(|()| called()));
    let answer = late.scope(async { service.oneshot(()).await }).await;
    rejected(answer.map(drop).unwrap_err());

    let client = || RetryLayer::client(constant_backoff().build().unwrap());
    let service = client().layer(service_fn(|_: Request<Sent>| called()));
    let request = Request::get("/").body(Full::default()).unwrap();
    let answer = late.scope(async { service.oneshot(request).await }).await;
    rejected(answer.map(drop).unwrap_err());

    // A request may bring its own.
    let service = client().layer(service_fn(|_: Request<Sent>| called()));
    let mut request = Request::get("/").body(Full::default()).unwrap();
    request.extensions_mut().insert(late.clone());
    rejected(service.oneshot(request).await.map(drop).unwrap_err());
    assert_eq!(calls.load(Ordering::Relaxed), 0);
}

#[tokio::test(start_paused = true)]
async fn deadline_passed_still_runs_work_once() {
    let calls = AtomicU32::new(0);
    let retry = constant_backoff().build().unwrap();
    let work = retry.run(|_| {
        calls.fetch_add(1, Ordering::Relaxed);
        ready(Err::<(), _>(Error::other("down")))
    });
    let answer = work.deadline(Instant::now() - Duration::from_secs(1)).await;
    assert!(answer.is_err());
    assert_eq!(calls.load(Ordering::Relaxed), 1);
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

// ---- work that borrows what it changes

struct Connection(Vec<u32>);

impl Connection {
    async fn query(&mut self, attempt: Attempt) -> Result<usize, Error> {
        self.0.push(attempt.number());
        tokio::task::yield_now().await;
        match self.0.len() {
            3 => Ok(self.0.len()),
            _ => Err(Error::other("reset")),
        }
    }
}

async fn query(
    connection: &mut Connection,
    attempt: Attempt,
) -> (&mut Connection, Result<usize, Error>) {
    let rows = connection.query(attempt).await;
    (connection, rows)
}

#[tokio::test(start_paused = true)]
async fn work_may_borrow_mutably() {
    let (retry, mut connection) = (
        constant_backoff().max_attempts(3).build().unwrap(),
        Connection(Vec::new()),
    );
    let began = Instant::now();
    let (_, rows) = retry.run_with(&mut connection, query).await;
    assert_eq!(rows.unwrap(), 3);
    assert_eq!(connection.0, [1, 2, 3]);
    assert_eq!(began.elapsed(), 2 * WAIT);

    let never = retry
        .run_with(&mut connection, query)
        .when(|_: &Error| false);
    assert!(never.await.1.is_err());
    assert_eq!(connection.0, [1, 2, 3, 1]);
    let soon = Instant::now() + WAIT / 2;
    let late = retry.run_with(&mut connection, query).deadline(soon);
    assert!(late.await.1.is_err());
    assert_eq!(connection.0, [1, 2, 3, 1, 1]);
}

/// As it is done in a handler.
#[tokio::test(start_paused = true)]
async fn work_with_mutable_state_can_be_spawned() {
    let task = tokio::spawn(async {
        let retry = constant_backoff().max_attempts(3).build().unwrap();
        let connection = Connection(Vec::new());
        let work = retry.run_with(connection, |mut connection, attempt| async move {
            let rows = connection.query(attempt).await;
            (connection, rows)
        });
        let (mut connection, rows) = work.await;
        let (_, never) = retry.run_with(&mut connection, query).await;
        (rows, never.is_err())
    });
    let (rows, never) = task.await.unwrap();
    assert_eq!((rows.unwrap(), never), (3, true));
}

// ---- settings

/// A template for ten peers gave them one allowance.
#[test]
fn budget_is_separate_for_cloned_builders() {
    let template = Retry::builder("peer");
    let (one, other) = (template.clone().build().unwrap(), template.build().unwrap());
    let now = CallClock::default();
    let taken = one
        .budget()
        .unwrap()
        .reserve(tower_keep::Outcome::Failure, &now);
    assert!(taken.is_some());
    let left = |retry: &Retry| retry.budget().unwrap().available(&now);
    assert_eq!((left(&one), left(&other)), (Some(99), Some(100)));

    let shared = Budget::window().build().unwrap();
    let template = Retry::builder("peer").budget(shared);
    let (one, other) = (template.clone().build().unwrap(), template.build().unwrap());
    let taken = one
        .budget()
        .unwrap()
        .reserve(tower_keep::Outcome::Failure, &now);
    assert!(taken.is_some());
    assert_eq!((left(&one), left(&other)), (Some(99), Some(99)));
}

// ---- hints

/// Waits until three attempts were made, each answered with this status and these headers.
async fn measure_wait<S>(
    layer: impl Layer<Peer, Service = S>,
    headers: &'static [(&'static str, &'static str)],
) -> Duration
where
    S: Service<Request<Full<Bytes>>>,
{
    let began = Instant::now();
    let mut request = Request::put("/").body(Full::default()).unwrap();
    if headers.iter().any(|(name, _)| name.starts_with("grpc")) {
        request
            .headers_mut()
            .insert("content-type", GRPC.parse().unwrap());
    }
    drop(layer.layer(Peer(headers)).oneshot(request).await);
    began.elapsed()
}

#[derive(Clone)]
struct Peer(&'static [(&'static str, &'static str)]);

impl Service<Request<Sent>> for Peer {
    type Response = Response<Full<Bytes>>;
    type Error = Error;
    type Future = std::future::Ready<Result<Self::Response, Error>>;

    fn poll_ready(&mut self, _: &mut std::task::Context<'_>) -> std::task::Poll<Result<(), Error>> {
        std::task::Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Request<Sent>) -> Self::Future {
        let mut response = Response::builder();
        if !self.0.iter().any(|(name, _)| name.starts_with("grpc")) {
            response = response.status(503);
        }
        for (name, value) in self.0 {
            response = response.header(*name, *value);
        }
        ready(Ok(response.body(Full::default()).unwrap()))
    }
}

/// `Retry-After: 0` made three attempts in no time, whatever the backoff.
#[tokio::test(start_paused = true)]
async fn retry_after_does_not_shorten_the_backoff() {
    let layer = || RetryLayer::client(constant_backoff().max_attempts(3).build().unwrap());
    assert_eq!(
        measure_wait(layer(), &[("retry-after", "0")]).await,
        2 * WAIT
    );
    let past = &[("retry-after", "Sun, 06 Nov 1994 08:49:07 GMT")];
    assert_eq!(measure_wait(layer(), past).await, 2 * WAIT);
    let longer = measure_wait(layer(), &[("retry-after", "1")]).await;
    assert_eq!(longer, Duration::from_secs(2));
    // gRPC's pushback takes its place.
    let pushback = &[("grpc-status", "14"), ("grpc-retry-pushback-ms", "0")];
    assert_eq!(measure_wait(layer(), pushback).await, Duration::ZERO);
}

/// A peer that is asked to come back at once again and again does not keep its clients' backoff at its beginning.
#[tokio::test(start_paused = true)]
async fn retry_after_lets_the_backoff_grow() {
    let doubling = Backoff::exponential(WAIT).jitter(tower_keep::retry::Jitter::None);
    let retry = constant_backoff()
        .max_attempts(4)
        .backoff(doubling)
        .build()
        .unwrap();
    let waits = measure_wait(RetryLayer::client(retry), &[("retry-after", "0")]).await;
    assert_eq!(waits, 7 * WAIT);
}

#[tokio::test(start_paused = true)]
async fn retry_after_reader_is_configurable() {
    let layer = || {
        let retry = constant_backoff().max_attempts(2).build().unwrap();
        RetryLayer::client(retry).read_retry_after(|head| {
            let wait = head.headers.get("retry-after-ms")?.to_str().ok()?;
            let wait = Duration::from_millis(wait.parse().ok()?);
            Some(tower_keep::retry::RetryAfter::NotBefore(wait))
        })
    };
    let both = &[("retry-after-ms", "700"), ("retry-after", "3")];
    assert_eq!(
        measure_wait(layer(), both).await,
        Duration::from_millis(700)
    );
    let other = &[("retry-after-ms", "soon"), ("retry-after", "3")];
    assert_eq!(measure_wait(layer(), other).await, Duration::from_secs(3));
    let retry = constant_backoff().max_attempts(2).build().unwrap();
    let panics = RetryLayer::client(retry).read_retry_after(|_| panic!("a bug"));
    assert_eq!(
        measure_wait(panics, &[("retry-after", "3")]).await,
        Duration::from_secs(3)
    );
}

const WAIT: Duration = Duration::from_millis(70);

/// Two attempts, 70 ms apart, no chance.
fn constant_backoff() -> RetryBuilder {
    let backoff = Backoff::constant(WAIT);
    Retry::builder("peer")
        .max_attempts(2)
        .backoff(backoff)
        .budget(None)
}
