//! The evidence that breakers count: what calls say about the peer, whatever their readers do.

use std::time::Duration;

use http::Request;
use http_body_util::{BodyExt, Full};
use tokio::time::{advance, sleep, timeout};
use tower::{Layer, ServiceExt, service_fn, util::BoxCloneService};
use tower_keep::{
    BoxError, CircuitBreaker, GuardLayer, Outcome,
    breaker::{CircuitBreakerBuilder, CircuitState, TransitionReason},
    call::{ClassifyOutput, Evidence},
    testing::{Reply, Script, ScriptedBody},
    timeout::{TimeLimit, TimeoutLayer},
};

type Peer = BoxCloneService<Request<ScriptedBody>, http::Response<BoxBody>, BoxError>;
type BoxBody = http_body_util::combinators::UnsyncBoxBody<bytes::Bytes, BoxError>;

const SECOND: Duration = Duration::from_secs(1);
const DAY: u64 = 86_400;

fn builder() -> CircuitBreakerBuilder {
    CircuitBreaker::builder("peer").open_jitter(0.0)
}

fn built(builder: CircuitBreakerBuilder) -> CircuitBreaker {
    builder.build().expect("sound")
}

/// A peer that always answers so, behind the breaker.
fn guarded(breaker: &CircuitBreaker, reply: impl Fn() -> Reply + Send + Sync + 'static) -> Peer {
    let script: Script = Script::always(reply);
    let service = GuardLayer::client(breaker.clone()).layer(script);
    let boxed = ServiceExt::<Request<ScriptedBody>>::map_response(
        service,
        |response: http::Response<_>| response.map(BodyExt::boxed_unsync),
    );
    BoxCloneService::new(boxed)
}

async fn ask(peer: &Peer) -> Result<http::Response<BoxBody>, BoxError> {
    let request = Request::get("http://a.example/").body(ScriptedBody::new());
    peer.clone().oneshot(request.expect("a request")).await
}

async fn opened(breaker: &CircuitBreaker) {
    breaker.open_for(SECOND);
    advance(SECOND).await;
}

/// Two reasons to open, and both were met by a caller who looks at the status only, for days.
#[tokio::test(start_paused = true)]
async fn unread_bodies_count_as_healthy() {
    let breaker = built(builder().consecutive_failures(2));
    let good = guarded(&breaker, || Reply::ok().data("ok"));
    let bad = guarded(&breaker, || Reply::status(500).data("oh"));
    for n in 0..1_000 {
        let peer = if n % 50 == 0 { &bad } else { &good };
        drop(ask(peer).await.expect("an answer"));
    }
    assert_eq!(breaker.state(), CircuitState::Closed);
    let counts = breaker.counts();
    assert_eq!((counts.calls, counts.failures), (1_000, 20));
}

/// It was half open after a day of 86,000 good answers.
#[tokio::test(start_paused = true)]
async fn half_open_closes_on_unread_bodies() {
    let breaker = built(builder());
    let peer = guarded(&breaker, || Reply::ok().data("ok"));
    opened(&breaker).await;
    for _ in 0..2 {
        drop(ask(&peer).await.expect("an answer"));
    }
    assert_eq!(breaker.state(), CircuitState::Closed);
}

/// A stream says that its peer is well when it begins, not when it ends.
#[tokio::test(start_paused = true)]
async fn half_open_closes_on_endless_streams() {
    let breaker = built(builder());
    let peer = guarded(&breaker, || {
        Reply::ok().body(ScriptedBody::new().data("one").hang())
    });
    opened(&breaker).await;
    let _first = ask(&peer).await.expect("a stream");
    let _second = ask(&peer).await.expect("a stream");
    assert_eq!(breaker.state(), CircuitState::Closed);
}

/// The open time is 5 s, and the answer takes 6: all probes had failed before any could succeed, again and again.
#[tokio::test(start_paused = true)]
async fn half_open_closes_on_heads_slower_than_open_time() {
    let breaker = built(builder());
    let peer = guarded(&breaker, || Reply::ok().after(6 * SECOND));
    opened(&breaker).await;
    let (one, other) = tokio::join!(ask(&peer), ask(&peer));
    assert!(one.is_ok() && other.is_ok());
    assert_eq!(breaker.state(), CircuitState::Closed);
}

#[tokio::test(start_paused = true)]
async fn half_open_closes_on_404() {
    let breaker = built(builder());
    let peer = guarded(&breaker, || Reply::status(404).data("lost"));
    opened(&breaker).await;
    for _ in 0..2 {
        let answer = ask(&peer).await.expect("an answer");
        answer.into_body().collect().await.expect("a body");
    }
    assert_eq!(breaker.state(), CircuitState::Closed);
}

#[tokio::test(start_paused = true)]
async fn half_open_does_not_close_on_overload() {
    let breaker = built(builder());
    let peer = guarded(&breaker, || Reply::status(429));
    opened(&breaker).await;
    for _ in 0..2 {
        drop(ask(&peer).await.expect("an answer"));
    }
    assert_eq!(breaker.state(), CircuitState::Open);
}

/// Anything may happen: whoever has probes out at any time, there are no more than three.
#[tokio::test(start_paused = true)]
async fn half_open_admits_at_most_max_probes() {
    let breaker = built(builder().probe_success_ratio(1.0));
    let script: Script = Script::from_fn(|n| {
        let reply = Reply::ok().after(SECOND * (n as u32 % 40));
        if n % 3 == 0 {
            Reply::status(503)
        } else {
            reply
        }
    });
    let peer = GuardLayer::client(breaker.clone()).layer(script.clone());
    let mut most = 0;
    for n in 0..500_u64 {
        if breaker.state() == CircuitState::Closed {
            breaker.open_for(SECOND);
        }
        let call = peer.clone().oneshot(Request::new(ScriptedBody::new()));
        // Some give up, some wait.
        tokio::spawn(timeout(SECOND * (1 + n as u32 % 37), call));
        sleep(SECOND / 2).await;
        if breaker.state() == CircuitState::HalfOpen {
            most = most.max(breaker.probes_in_flight());
            assert!(breaker.probes_in_flight() <= 3);
        }
    }
    assert!(most > 1);
}

/// The peer answers at once; the reader takes three seconds for what it could have in no time.
#[tokio::test(start_paused = true)]
async fn slow_reader_is_not_a_slow_call() {
    let slow = builder().slow_call(2 * SECOND).slow_rate(0.5);
    let breaker = built(slow.min_calls(5));
    let peer = guarded(&breaker, || Reply::ok().data("a").pending(0));
    for n in 0..20 {
        let answer = ask(&peer).await.expect("an answer");
        advance(3 * SECOND).await;
        if n % 2 == 0 {
            answer.into_body().collect().await.expect("a body");
        }
    }
    assert_eq!(breaker.state(), CircuitState::Closed);
    assert_eq!((breaker.counts().slow, breaker.counts().failures), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn slow_head_opens_by_slow_rate_before_body_end() {
    let slow = builder().slow_call(2 * SECOND).slow_rate(1.0);
    let breaker = built(slow.min_calls(2));
    let mut events = breaker.subscribe();
    let peer = guarded(&breaker, || {
        let body = ScriptedBody::new().data("a").hang();
        Reply::ok().body(body).after(2 * SECOND)
    });
    let _bodies = [ask(&peer).await, ask(&peer).await];
    let event = events.try_recv().expect("it opens");
    assert_eq!(
        (event.reason, event.counts.slow),
        (TransitionReason::SlowRate, 2)
    );
    let said = event.last_error.expect("a text");
    assert_eq!(said.as_str(), "too slow: 200 OK");
}

/// A call that hangs is given up by its caller, and that is all that is ever seen of it.
#[tokio::test(start_paused = true)]
async fn dropped_call_is_a_failure_once_slow() {
    for (patience, failures) in [(SECOND, 0), (2 * SECOND, 1)] {
        let breaker = built(builder().slow_call(2 * SECOND));
        let peer = guarded(&breaker, Reply::hang);
        timeout(patience, ask(&peer)).await.expect_err("it hangs");
        assert_eq!(breaker.counts().failures, failures);
    }
    let breaker = built(builder());
    let peer = guarded(&breaker, Reply::hang);
    let given_up = timeout(Duration::from_secs(DAY), ask(&peer));
    given_up.await.expect_err("it hangs");
    assert_eq!(breaker.counts().calls, 0, "without a limit nothing is slow");
}

/// A caller that sends slowly and leaves a little later once made any peer slow that needs half of the limit.
#[tokio::test(start_paused = true)]
async fn dropped_call_with_slow_upload_is_not_counted() {
    for (sends_for, failures) in [(0, 1), (900, 0)] {
        let limit = Duration::from_millis(1_500);
        let breaker = built(builder().consecutive_failures(9).slow_call(limit));
        let reads_and_hangs = tower::service_fn(async |request: Request<BoxBody>| {
            request.into_body().collect().await?;
            std::future::pending::<Result<http::Response<BoxBody>, BoxError>>().await
        });
        let service = GuardLayer::client(breaker.clone()).layer(reads_and_hangs);
        let body = futures_util::stream::once(async move {
            sleep(Duration::from_millis(sends_for)).await;
            Ok(http_body::Frame::data(bytes::Bytes::from_static(b"slow")))
        });
        let body = http_body_util::StreamBody::new(body).boxed_unsync();
        let request = Request::post("http://a.example/").body(body);
        let call = service.oneshot(request.expect("a request"));
        assert!(timeout(Duration::from_millis(1_900), call).await.is_err());
        assert_eq!(breaker.counts().failures, failures, "{sends_for} ms");
    }
}

#[tokio::test(start_paused = true)]
async fn broken_bodies_are_consecutive_failures() {
    let breaker = built(builder().consecutive_failures(3));
    let peer = guarded(&breaker, || {
        let body = ScriptedBody::new().data("half").error("connection reset");
        Reply::ok().body(body)
    });
    for n in 1..=3 {
        let answer = ask(&peer).await.expect("a good head");
        assert_eq!(breaker.consecutive_failures(), 0);
        answer.into_body().collect().await.expect_err("it breaks");
        assert_eq!(breaker.consecutive_failures(), n);
        let counts = breaker.counts();
        assert_eq!((counts.calls, counts.failures), (n.into(), n.into()));
    }
    assert_eq!(breaker.state(), CircuitState::Open);
    let why = breaker.try_acquire().expect_err("open");
    assert_eq!(why.last_error(), Some("connection reset"));
}

/// Failures are counted at once, and the successes of ten-minute streams were ten minutes later.
#[tokio::test(start_paused = true)]
async fn flowing_streams_interrupt_consecutive_failures() {
    let breaker = built(builder().consecutive_failures(2).failure_rate(0.5));
    let stream = guarded(&breaker, || {
        Reply::ok().body(ScriptedBody::new().data("one").hang())
    });
    let bad = guarded(&breaker, || Reply::status(500));
    let mut streams = Vec::new();
    for _ in 0..100 {
        streams.push(ask(&stream).await.expect("a stream"));
        streams.push(ask(&stream).await.expect("a stream"));
        drop(ask(&bad).await.expect("an answer"));
    }
    assert_eq!(breaker.state(), CircuitState::Closed);
    let counts = breaker.counts();
    drop(streams);
    assert_eq!(breaker.counts(), counts, "who leaves counts nothing more");
}

#[test]
fn permit_complete_takes_evidence() {
    let breaker = built(builder().count_window(10));
    let settle =
        |classified: ClassifyOutput| breaker.try_acquire().expect("closed").complete(classified);
    settle(ClassifyOutput::from(Outcome::Failure).with_evidence(Evidence::Inconclusive));
    settle(Outcome::Rejected.into());
    assert_eq!(breaker.counts().calls, 0);
    settle(Outcome::ClientError.into());
    settle(ClassifyOutput::from(Outcome::Failure).with_evidence(Evidence::Healthy));
    settle(ClassifyOutput::from(Outcome::Success).with_evidence(Evidence::Unhealthy));
    let counts = breaker.counts();
    assert_eq!((counts.calls, counts.failures), (3, 1));
}

// ---- time limits around the calls

/// A handler that asks one peer, and then another that hangs: the limit round both dropped the first one's answer.
#[tokio::test(start_paused = true)]
async fn response_in_hand_is_healthy_when_time_runs_out() {
    let breaker = built(builder().consecutive_failures(5));
    let peer = guarded(&breaker, || Reply::ok().data("fine"));
    for _ in 0..12 {
        let work = async {
            let answer = ask(&peer).await.expect("an answer");
            sleep(60 * SECOND).await;
            drop(answer);
        };
        let limited = TimeLimit::from(SECOND).run(work).await;
        assert!(limited.is_err());
    }
    assert_eq!(breaker.state(), CircuitState::Closed);
    assert_eq!(breaker.counts().calls, 12);
    assert_eq!(breaker.counts().failures, 0);
}

/// Strangers who do not read what a proxy passes on opened the circuit to whoever had answered it.
#[tokio::test(start_paused = true)]
async fn slow_reader_within_timeout_is_not_counted() {
    let ten_frames = || {
        let frames = (0..10).fold(ScriptedBody::new(), |body, _| body.data("0123456789"));
        Reply::ok().body(frames.without_size_hint())
    };
    let breaker = built(builder().consecutive_failures(5));
    let peer = guarded(&breaker, ten_frames);
    for _ in 0..10 {
        let work = async {
            let mut body = ask(&peer).await.expect("an answer").into_body();
            while body.frame().await.is_some() {
                sleep(SECOND).await;
            }
        };
        assert!(TimeLimit::from(2 * SECOND).run(work).await.is_err());
    }
    assert_eq!(breaker.state(), CircuitState::Closed);
}

/// The time before a direct call in the same limit was held against its peer.
#[tokio::test(start_paused = true)]
async fn call_begun_late_in_a_timeout_is_inconclusive() {
    let breaker = built(builder().consecutive_failures(5));
    let slow = async || {
        sleep(Duration::from_millis(200)).await;
        Ok::<_, std::io::Error>(())
    };
    for _ in 0..10 {
        let work = async {
            sleep(Duration::from_millis(1_900)).await;
            let _ = breaker.call(slow()).await;
        };
        assert!(TimeLimit::from(2 * SECOND).run(work).await.is_err());
        let work = async {
            sleep(Duration::from_millis(1_900)).await;
            let _permit = breaker.try_acquire().expect("closed");
            let _ = slow().await;
        };
        assert!(TimeLimit::from(2 * SECOND).run(work).await.is_err());
    }
    assert_eq!(
        (breaker.state(), breaker.counts().calls),
        (CircuitState::Closed, 0)
    );
    // One that had the whole of it is the peer's.
    for _ in 0..5 {
        let hung = breaker.call(std::future::pending::<Result<(), std::io::Error>>());
        assert!(TimeLimit::from(2 * SECOND).run(hung).await.is_err());
    }
    assert_eq!(breaker.state(), CircuitState::Open);
}

/// A circuit that was half open gave its place to a call that waited for a slot, and the limit blamed the peer.
#[tokio::test(start_paused = true)]
async fn timeout_with_readiness_spares_peer_behind_a_held_slot() {
    let limit = tower::limit::GlobalConcurrencyLimitLayer::new(1);
    let service = || {
        service_fn(async |_: Request<Full<bytes::Bytes>>| {
            Ok::<_, BoxError>(http::Response::new(Full::<bytes::Bytes>::default()))
        })
    };
    let mut neighbor = limit.layer(service());
    neighbor.ready().await.expect("the slot");
    let breaker = built(builder().consecutive_failures(1));
    opened(&breaker).await;
    let stack = TimeoutLayer::client(SECOND)
        .include_readiness()
        .layer(breaker.layer().client().layer(limit.layer(service())));
    for _ in 0..3 {
        let request = Request::new(Full::default());
        let error = stack.clone().oneshot(request).await.expect_err("no slot");
        let elapsed = tower_keep::call::find::<tower_keep::call::Elapsed>(&*error);
        let evidence = elapsed.expect("a time limit").evidence();
        assert_eq!(evidence, Evidence::Inconclusive);
        assert_eq!(breaker.state(), CircuitState::HalfOpen);
    }
}

/// The extensions of a request said that its upload had broken, and so another peer was never at fault.
#[tokio::test]
async fn broken_upload_excuses_its_own_peer_only() {
    let breaker = built(builder().consecutive_failures(5));
    let failing = guarded(&breaker, || Reply::status(500));
    let handler = service_fn(move |request: Request<ScriptedBody>| {
        let failing = failing.clone();
        async move {
            let (parts, body) = request.into_parts();
            assert!(body.collect().await.is_err());
            let report = Request::from_parts(parts, ScriptedBody::from("report"));
            failing.oneshot(report).await
        }
    });
    let server = GuardLayer::server(None::<CircuitBreaker>).layer(handler);
    for _ in 0..5 {
        let body = ScriptedBody::new()
            .data("x")
            .error("gone")
            .without_size_hint();
        let request = Request::post("http://a.example/").body(body);
        drop(server.clone().oneshot(request.expect("a request")).await);
    }
    assert_eq!(breaker.state(), CircuitState::Open);
}

type Upload = http_body_util::combinators::UnsyncBoxBody<bytes::Bytes, BoxError>;

/// Sends these uploads again and again, half open, to a peer that reads each of them whole, until the circuit closes.
async fn close_by_uploads(every: Duration, uploads: impl Fn() -> Vec<Upload>) {
    let breaker = built(CircuitBreaker::builder("peer"));
    let peer = service_fn(async |request: Request<Upload>| {
        request.into_body().collect().await?;
        Ok::<_, BoxError>(http::Response::new(Full::<bytes::Bytes>::default()))
    });
    let service = breaker.layer().client().layer(peer);
    opened(&breaker).await;
    let start = tokio::time::Instant::now();
    let mut calls = tokio::task::JoinSet::new();
    while breaker.state() != CircuitState::Closed {
        assert!(start.elapsed() < 600 * SECOND, "{:?}", breaker.state());
        for body in uploads() {
            let request = Request::post("http://a.example/").body(body);
            calls.spawn(service.clone().oneshot(request.expect("a request")));
        }
        sleep(every).await;
    }
}

/// Three stalled uploads a second beside one honest call: they took all places of the probes, failed, and the circuit
/// stayed open for as long as they went on.
#[tokio::test(start_paused = true)]
async fn half_open_closes_despite_stalled_uploads() {
    let stalled = || http_body_util::StreamBody::new(futures_util::stream::pending());
    let whole = || Full::from("whole").map_err(|never| match never {});
    close_by_uploads(SECOND, || {
        let mut uploads: Vec<_> = (0..3).map(|_| stalled().boxed_unsync()).collect();
        uploads.push(whole().boxed_unsync());
        uploads
    })
    .await;
}

/// Nothing but slow uploads: each takes a minute, and the peer is well.
#[tokio::test(start_paused = true)]
async fn half_open_closes_on_answered_slow_uploads() {
    close_by_uploads(10 * SECOND, || {
        let chunks = (0..60).fold(ScriptedBody::new(), |body, _| body.after(SECOND).data("x"));
        vec![chunks.without_size_hint().boxed_unsync()]
    })
    .await;
}
