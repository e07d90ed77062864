//! Deadlines of callers that share a call: each ends at its own, and the call knows none of them.

use std::{
    future::Future,
    io,
    sync::{Arc, Mutex},
    time::Duration,
};

use http::{HeaderName, Request, Response, StatusCode};
use tokio::time::{Instant, sleep};
use tower::{Layer, Service, ServiceBuilder, ServiceExt, service_fn};
use tower_keep::{
    BoxError, Context, RejectionKind,
    call::{Elapsed, Rejection, TimeoutKind, find},
    coalesce::{Coalesce, CoalesceLayer, CoalescedBody},
    context::deadline,
    testing::{Reply, Script, ScriptedBody},
    timeout::{TimeLimit, TimeoutLayer},
};

use super::http_calls::read;

const MILLI: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);

/// Returns a gRPC request whose caller waits for so long.
fn grpc(timeout: Option<&str>) -> Request<ScriptedBody> {
    let request = Request::post("/pkg.Service/Method").version(http::Version::HTTP_2);
    let mut request = request.header("content-type", "application/grpc");
    if let Some(timeout) = timeout {
        request = request.header("grpc-timeout", timeout);
    }
    request.body(ScriptedBody::new()).expect("a request")
}

/// Returns a request whose context has a deadline after this time.
fn within(time: Duration) -> Request<ScriptedBody> {
    let mut request = grpc(None);
    let context = Context::new_root().with_deadline(Instant::now() + time);
    request.extensions_mut().insert(context);
    request
}

/// Returns whether every request has the same key.
fn same(_: &Request<ScriptedBody>) -> Option<&'static str> {
    Some("all")
}

/// Waits for the end of a call. Returns its result and how long it took.
async fn timed<T, E>(call: impl Future<Output = Result<T, E>>) -> (Result<T, E>, Duration) {
    let began = Instant::now();
    let result = call.await;
    (result, began.elapsed())
}

/// Checks that a call ended at the deadline of its caller.
fn assert_timed_out<T>((result, time): (Result<T, impl Into<BoxError>>, Duration), at: Duration) {
    let error = result.err().expect("no result").into();
    let elapsed = find::<Elapsed>(&*error).expect("a timeout");
    assert_eq!(elapsed.kind(), TimeoutKind::Deadline, "{error}");
    assert!((at..at + 2 * MILLI).contains(&time), "{time:?}");
}

/// Checks that a call ended with the response of a peer that takes two seconds.
fn assert_responded<T, E: std::fmt::Debug>((result, time): (Result<T, E>, Duration)) {
    assert!(result.is_ok(), "{:?}", result.err());
    assert!(
        (2 * SECOND..2 * SECOND + 2 * MILLI).contains(&time),
        "{time:?}"
    );
}

fn slow_peer() -> Script {
    Script::always(|| Reply::grpc(0).after(2 * SECOND))
}

#[tokio::test(start_paused = true)]
async fn leader_with_a_short_deadline_leaves_the_call_to_those_with_a_later_one() {
    let pairs: [fn() -> [Request<ScriptedBody>; 2]; 3] = [
        || [grpc(Some("100m")), grpc(Some("10S"))],
        || [grpc(Some("100m")), grpc(None)],
        || [within(100 * MILLI), within(10 * SECOND)],
    ];
    for pair in pairs {
        let ([leader, waiter], script) = (pair(), slow_peer());
        let mut service = ServiceBuilder::new()
            .layer(CoalesceLayer::client(Coalesce::new("short")).keyed_by(same))
            .layer(TimeoutLayer::client(20 * SECOND))
            .service(script.clone());
        let calls = (timed(service.call(leader)), timed(service.call(waiter)));
        let (leader, waiter) = tokio::join!(calls.0, calls.1);
        assert_timed_out(leader, 100 * MILLI);
        assert_responded(waiter);
        assert_eq!((script.calls(), script.in_flight()), (1, 0));
    }
}

#[tokio::test(start_paused = true)]
async fn waiter_ends_at_its_own_deadline_while_the_call_goes_on() {
    let waiters: [fn() -> Request<ScriptedBody>; 2] =
        [|| grpc(Some("100m")), || within(100 * MILLI)];
    for waiter in waiters {
        let (waiter, script) = (waiter(), slow_peer());
        let layer = CoalesceLayer::client(Coalesce::new("waiter")).keyed_by(same);
        let mut service = layer.layer(script.clone());
        let calls = (timed(service.call(grpc(None))), timed(service.call(waiter)));
        let (leader, waiter) = tokio::join!(calls.0, calls.1);
        assert_responded(leader);
        assert_timed_out(waiter, 100 * MILLI);
        assert_eq!(script.calls(), 1);
    }
}

/// Each caller ended in time, but new ones kept joining the call, which never ended.
#[tokio::test(start_paused = true)]
async fn body_that_hangs_is_ended_by_its_limit_though_callers_keep_coming() {
    let script: Script = Script::always(|| Reply::ok().body(ScriptedBody::from("half").hang()));
    let limit = TimeoutLayer::client(2 * SECOND).body_total(2 * SECOND);
    let service = ServiceBuilder::new()
        .layer(CoalesceLayer::client(Coalesce::new("hangs")).keyed_by(same))
        .layer(limit)
        .service(script.clone());
    let callers = (0..20).map(|index| {
        let mut service = service.clone();
        async move {
            sleep(index * SECOND / 2).await;
            timed(service.call(within(SECOND))).await.1
        }
    });
    let times = futures_util::future::join_all(callers).await;
    assert!(
        times.iter().all(|time| *time < SECOND + 2 * MILLI),
        "{times:?}"
    );
    assert_eq!((script.calls(), script.in_flight()), (5, 0));
}

#[tokio::test(start_paused = true)]
async fn last_caller_that_ends_at_its_deadline_drops_the_call() {
    let (coalesce, script) = (
        Coalesce::new("last"),
        Script::<BoxError>::always(Reply::hang),
    );
    let layer = CoalesceLayer::client(coalesce.clone()).keyed_by(same);
    let mut service = layer.layer(script.clone());
    let mut call = |timeout| timed(service.call(grpc(Some(timeout))));
    let calls = (call("100m"), call("300m"), call("200m"));
    let (one, last, other) = tokio::join!(calls.0, calls.1, calls.2);
    assert_timed_out(one, 100 * MILLI);
    assert_timed_out(other, 200 * MILLI);
    assert_timed_out(last, 300 * MILLI);
    assert_eq!((script.calls(), script.in_flight()), (1, 0));
    assert_eq!(coalesce.stats().in_flight, 0);
}

/// The leader's total limit was known to the shared call, whose own limits ended it shortly after, for all callers.
#[tokio::test(start_paused = true)]
async fn limit_around_the_leader_does_not_end_the_call_of_others() {
    let script = slow_peer();
    let service = ServiceBuilder::new()
        .layer(CoalesceLayer::client(Coalesce::new("total")).keyed_by(same))
        .layer(TimeoutLayer::client(20 * SECOND))
        .service(script.clone());
    let limit = TimeLimit::new("total", 100 * MILLI);
    let leader = limit.run(async {
        // The limit reads its clock when it waits first.
        tokio::task::yield_now().await;
        service.clone().oneshot(grpc(None)).await
    });
    let waiter = async {
        while script.calls() == 0 {
            tokio::task::yield_now().await;
        }
        service.clone().oneshot(grpc(None)).await
    };
    let (leader, waiter) = tokio::join!(leader, timed(waiter));
    assert_eq!(leader.err().map(|why| why.kind()), Some(TimeoutKind::Limit));
    assert_responded(waiter);
    assert_eq!(script.calls(), 1);
}

/// The time that a call knows that it has.
#[derive(Debug, Default, PartialEq)]
struct Known {
    header: Option<String>,
    of_request: Option<Instant>,
    at_call: Option<Instant>,
    at_poll: Option<Instant>,
}

/// Makes a call in the context of its request, and returns what the service knew of its time.
async fn known(key: Option<u8>, request: Request<ScriptedBody>) -> (Known, Option<String>) {
    let known = Arc::new(Mutex::new((Known::default(), None)));
    let inner = {
        let known = known.clone();
        service_fn(move |request: Request<ScriptedBody>| {
            let header = request.headers().get("grpc-timeout");
            let context = request.extensions().get::<Context>();
            let mut seen = Known {
                header: header.map(|value| value.to_str().expect("text").to_owned()),
                of_request: context.and_then(Context::deadline),
                at_call: deadline(),
                at_poll: None,
            };
            let known = known.clone();
            async move {
                tokio::task::yield_now().await;
                seen.at_poll = deadline();
                let id = Context::current().map(|context| context.request_id().to_owned());
                *known.lock().expect("no panic") = (seen, id);
                Ok::<_, BoxError>(Response::new(ScriptedBody::new()))
            }
        })
    };
    let layer = CoalesceLayer::client(Coalesce::new("known"));
    let service = layer.keyed_by(move |_: &Request<ScriptedBody>| key);
    let service = service.layer(inner);
    let context = request.extensions().get::<Context>().cloned();
    let limit = TimeLimit::new("known", 5 * SECOND);
    let call = limit.run(context.expect("a context").scope(service.oneshot(request)));
    assert!(call.await.expect("in time").is_ok());
    std::mem::take(&mut *known.lock().expect("no panic"))
}

#[tokio::test(start_paused = true)]
async fn shared_call_knows_no_deadline_of_its_callers_and_call_without_a_key_does() {
    let request = || {
        let mut request = within(SECOND);
        let time = http::HeaderValue::from_static("900m");
        request.headers_mut().insert("grpc-timeout", time);
        let context = request.extensions().get::<Context>().cloned();
        (request, context.expect("a context"))
    };
    let (shared, context) = request();
    let id = Some(context.request_id().to_owned());
    assert_eq!(known(Some(7), shared).await, (Known::default(), id));
    let (alone, context) = request();
    let (known, _) = known(None, alone).await;
    assert_eq!(known.header.as_deref(), Some("900m"));
    let at = context.deadline();
    assert_eq!(
        (known.of_request, known.at_call, known.at_poll),
        (at, at, at)
    );
}

/// A time that does not parse, or one of a call that is not gRPC, was sent on, though the peer may read it in its own way.
#[tokio::test(start_paused = true)]
async fn grpc_timeout_is_not_sent_with_a_shared_call_whatever_it_says() {
    let inner = service_fn(async |request: Request<ScriptedBody>| {
        let is_sent = request.headers().contains_key("grpc-timeout");
        let body = ScriptedBody::from(if is_sent { "sent" } else { "removed" });
        Ok::<_, BoxError>(Response::new(body))
    });
    let layer = CoalesceLayer::client(Coalesce::new("unparsable"));
    for timeout in ["100m", "", "-1S", "123456789S", "1", "soon"] {
        for is_grpc in [true, false] {
            let mut request = grpc(Some(timeout));
            if !is_grpc {
                request.headers_mut().remove("content-type");
            }
            let response = layer.clone().keyed_by(same).layer(inner).oneshot(request);
            let response = response.await.expect("a response");
            let body = read(response.into_body()).await.0;
            assert_eq!(body, "removed", "{timeout:?} {is_grpc}");
        }
    }
}

/// An outer layer has said how long the leader waits in a header that is not gRPC's.
#[tokio::test(start_paused = true)]
async fn timeout_header_of_the_leader_is_not_sent_with_a_shared_call() {
    const TIME_LEFT: HeaderName = HeaderName::from_static("x-envoy-expected-rq-timeout-ms");
    let request = |path: &str| {
        let request = Request::get(path).header(TIME_LEFT, "5");
        request.body(ScriptedBody::new()).expect("a request")
    };
    let inner = service_fn(async |request: Request<ScriptedBody>| {
        let is_sent = request.headers().contains_key(TIME_LEFT);
        let body = ScriptedBody::from(if is_sent { "sent" } else { "removed" });
        Ok::<_, BoxError>(Response::new(body))
    });
    let layer = CoalesceLayer::client(Coalesce::new("header"));
    let plain = layer.clone().layer(inner);
    let layer = layer.timeout_header(TIME_LEFT).ignore_headers([TIME_LEFT]);
    let removing = layer.clone().layer(inner);
    let keyed = layer.keyed_by(|_: &Request<ScriptedBody>| Some("all"));
    let body =
        async |response: Response<CoalescedBody<ScriptedBody>>| read(response.into_body()).await.0;
    let response = plain.oneshot(request("/")).await.expect("a response");
    assert_eq!(body(response).await, "sent");
    let response = removing.oneshot(request("/")).await.expect("a response");
    assert_eq!(body(response).await, "removed");
    let response = keyed.layer(inner).oneshot(request("/")).await;
    assert_eq!(body(response.expect("a response")).await, "removed");
}

#[tokio::test(start_paused = true)]
async fn call_that_is_made_for_itself_after_all_has_its_own_deadline() {
    let headers = Arc::new(Mutex::new(Vec::new()));
    let script: Script = Script::always(|| Reply::grpc(0).pending(1).header("set-cookie", "a=1"));
    let inner = {
        let headers = headers.clone();
        tower::util::MapRequestLayer::new(move |request: Request<ScriptedBody>| {
            let header = request.headers().get("grpc-timeout").cloned();
            headers.lock().expect("no panic").push(header);
            request
        })
        .layer(script)
    };
    let mut service = CoalesceLayer::client(Coalesce::new("cookie"))
        .keyed_by(same)
        .layer(inner);
    let calls = (
        service.call(grpc(Some("1S"))),
        service.call(grpc(Some("2S"))),
    );
    let (leader, waiter) = tokio::join!(calls.0, calls.1);
    assert!(leader.is_ok() && waiter.is_ok());
    let headers = headers.lock().expect("no panic");
    let own = http::HeaderValue::from_static("2S");
    assert_eq!(*headers, [None, Some(own)]);
}

#[tokio::test(start_paused = true)]
async fn call_whose_deadline_has_passed_is_rejected_and_not_made() {
    let (coalesce, script) = (Coalesce::new("passed"), slow_peer());
    let layer = CoalesceLayer::client(coalesce.clone()).keyed_by(same);
    let error = layer.layer(script.clone()).oneshot(within(Duration::ZERO));
    let error = error.await.expect_err("no time is left");
    let rejection = Rejection::find(&*error).expect("a rejection");
    assert_eq!(rejection.kind(), RejectionKind::DeadlineExceeded);
    assert_eq!(rejection.guard(), "passed");
    assert_eq!((script.calls(), coalesce.stats().rejected), (0, 1));

    let context = Context::new_root().with_deadline(Instant::now());
    let work = context.scope(coalesce.run(7, async { Ok::<_, io::Error>(1) }));
    let error = work.await.expect_err("no time is left");
    let rejection = error.rejection().expect("a rejection");
    assert_eq!(rejection.kind(), RejectionKind::DeadlineExceeded);
}

#[tokio::test(start_paused = true)]
async fn run_ends_each_caller_at_its_own_deadline() {
    let coalesce = Coalesce::new("run");
    let run = || {
        coalesce.run(7, async {
            sleep(2 * SECOND).await;
            assert_eq!(deadline(), None);
            Ok::<_, io::Error>(1)
        })
    };
    let in_time = |time| Context::new_root().with_deadline(Instant::now() + time);
    let (hasty, hastier, patient) = tokio::join!(
        timed(in_time(100 * MILLI).scope(run())),
        timed(in_time(50 * MILLI).scope(run())),
        timed(in_time(10 * SECOND).scope(run()))
    );
    let into_boxed = |(result, time): (Result<u32, _>, _)| {
        let result = result.map_err(tower_keep::CallError::into_boxed);
        (result, time)
    };
    assert_timed_out(into_boxed(hasty), 100 * MILLI);
    assert_timed_out(into_boxed(hastier), 50 * MILLI);
    assert_responded(patient);
    let stats = coalesce.stats();
    assert_eq!((stats.led, stats.joined, stats.in_flight), (1, 2, 0));
}

#[tokio::test(start_paused = true)]
async fn server_answers_a_caller_whose_deadline_passes() {
    let inner = service_fn(async |_: Request<ScriptedBody>| {
        sleep(2 * SECOND).await;
        Ok::<_, std::convert::Infallible>(Response::new(ScriptedBody::new()))
    });
    let get = |time| {
        let mut request = Request::get("/").body(ScriptedBody::new());
        let context = Context::new_root().with_deadline(Instant::now() + time);
        let extensions = request.as_mut().expect("a request").extensions_mut();
        extensions.insert(context);
        request.expect("a request")
    };
    let mut service = CoalesceLayer::server(Coalesce::new("server")).layer(inner);
    let calls = (
        timed(service.call(get(100 * MILLI))),
        timed(service.call(get(3 * SECOND))),
    );
    let ((Ok(hasty), time), (Ok(patient), _)) = tokio::join!(calls.0, calls.1);
    assert_eq!(hasty.status(), StatusCode::GATEWAY_TIMEOUT);
    assert!(time < 110 * MILLI, "{time:?}");
    assert_eq!(patient.status(), StatusCode::OK);
}
