//! Calls by a handle, as a guard of every protocol, and what counts as a pushback.

use std::{io, time::Duration};

use http::{Request, Response, StatusCode};
use tokio::time::{advance, timeout};
use tower::{Layer, Service, ServiceExt, service_fn};
use tower_keep::{
    BoxError, Bulkhead, CallError, GuardLayer, Outcome, Rejection, RejectionKind,
    priority::{Priority, PriorityClass},
    testing::{Reply, Script, ScriptedBody},
};

use super::{SECOND, builder, class, prioritizer, push_back};

use PriorityClass::{Bulk, Critical, High, Low, Normal};

fn request() -> Request<ScriptedBody> {
    Request::new(ScriptedBody::new())
}

fn grpc_request() -> Request<ScriptedBody> {
    let request = Request::post("http://ledger/a.Ledger/Get")
        .version(http::Version::HTTP_2)
        .header("content-type", "application/grpc");
    request.body(ScriptedBody::new()).expect("a request")
}

/// Makes one call through the layer, which the service replies to so.
async fn call<L, B>(
    layer: &L,
    request: Request<ScriptedBody>,
    reply: fn() -> Reply,
) -> Result<Response<B>, BoxError>
where
    L: Layer<Script>,
    L::Service: Service<Request<ScriptedBody>, Response = Response<B>, Error: Into<BoxError>>,
{
    let service = layer.layer(Script::always(reply));
    service.oneshot(request).await.map_err(Into::into)
}

#[tokio::test(start_paused = true)]
async fn calls_are_admitted_while_none_is_pushed_back() {
    let prioritizer = prioritizer("calm");
    for _ in 0..1_000 {
        for outcome in [
            Outcome::Success,
            Outcome::Failure,
            Outcome::ClientError,
            Outcome::Cancelled,
            Outcome::Panicked,
        ] {
            let permit = prioritizer.try_acquire(Bulk).expect("admitted");
            permit.complete(outcome);
        }
    }
    assert_eq!(class(&prioritizer, Bulk), (5_000, 0, 0));
    assert_eq!(prioritizer.stats().shed_rate, 0.0);
}

#[tokio::test(start_paused = true)]
async fn calls_of_the_lowest_class_are_shed_first_and_all_are_admitted_again_afterwards() {
    let prioritizer = builder("lowest").max_shed_rate(0.3).build();
    let prioritizer = prioritizer.expect("valid settings");
    // The distribution is known, and then nothing gets through.
    push_back(&prioritizer, 1_024);
    assert_eq!(prioritizer.stats().shed_rate, 0.3);
    for class in [Critical, High, Normal] {
        (0..100).for_each(|_| {
            let permit = prioritizer.try_acquire(class).expect("admitted");
            permit.complete(Outcome::Overload);
        });
    }
    (0..100).for_each(|_| drop(prioritizer.try_acquire(Bulk).expect_err("shed")));
    // A fifth of the calls is bulk, another fifth low: half of that is below three tenths.
    let low = (0..100).filter(|_| prioritizer.try_acquire(Low).is_err());
    let low = low.count();
    assert!((30..70).contains(&low), "{low}");
    advance(2 * SECOND).await;
    assert_eq!(prioritizer.stats().shed_rate, 0.0, "forgotten");
    assert!(prioritizer.try_acquire(Bulk).is_ok());
}

#[tokio::test(start_paused = true)]
async fn rejection_says_why_and_when_to_come_again() {
    let prioritizer = builder("why").max_shed_rate(1.0).build();
    let prioritizer = prioritizer.expect("valid settings");
    push_back(&prioritizer, 200);
    let rejection = prioritizer.try_acquire(Bulk).expect_err("shed");
    assert_eq!(rejection.kind(), RejectionKind::Overloaded);
    assert_eq!(rejection.guard(), "why");
    assert_eq!(rejection.retry_after(), Some(2 * SECOND));
    assert_eq!(
        rejection.reason(),
        Some("calls of a higher priority come first")
    );
}

#[tokio::test(start_paused = true)]
async fn floor_admits_a_part_of_each_class_whatever_the_load() {
    let prioritizer = builder("floor").floor(0.2).max_shed_rate(0.75).build();
    let prioritizer = prioritizer.expect("valid settings");
    // Three of four calls are bulk, and all of them are below the threshold.
    let came = 40_000;
    for call in 0..came {
        let class = if call % 4 == 0 { Critical } else { Bulk };
        if let Ok(permit) = prioritizer.try_acquire(class) {
            permit.complete(Outcome::Overload);
        }
    }
    let (admitted, shed, _) = class(&prioritizer, Bulk);
    let share = admitted as f64 / (admitted + shed) as f64;
    // At least a fifth of the quarter that bulk would get without priorities.
    assert!((0.05..0.075).contains(&share), "{share}");
    assert_eq!(class(&prioritizer, Critical).1, 0);
}

#[tokio::test(start_paused = true)]
async fn call_without_a_priority_has_the_default_class_and_a_level_that_stays() {
    let prioritizer = builder("default").default_class(Low).build();
    let prioritizer = prioritizer.expect("valid settings");
    let seen = service_fn(async |_: u32| {
        let first = Priority::current();
        tokio::task::yield_now().await;
        Ok::<_, io::Error>((first, Priority::current()))
    });
    let service = prioritizer.layer().any().layer(seen);
    let mut levels = Vec::new();
    for _ in 0..20 {
        let (first, later) = service.clone().oneshot(7).await.expect("served");
        let priority = first.expect("a priority");
        assert_eq!((priority.class(), later), (Low, first));
        levels.push(priority.level().expect("a level"));
    }
    levels.sort_unstable();
    levels.dedup();
    assert!(levels.len() > 10, "drawn for each call: {levels:?}");
    assert_eq!(Priority::current(), None);
}

#[tokio::test(start_paused = true)]
async fn level_is_kept_by_the_next_prioritizer() {
    let (outer, inner) = (prioritizer("outer"), prioritizer("inner"));
    let seen = inner.layer().any().layer(service_fn(async |_: u32| {
        Ok::<_, io::Error>(Priority::current())
    }));
    let priority = Priority::new(High).with_level(42);
    let by = outer.by(move |_: &u32| Some(priority));
    let service = by.layer().any().layer(seen);
    let seen = service.oneshot(7).await.expect("served");
    assert_eq!(seen, Some(priority));
    assert_eq!(class(&inner, High), (1, 0, 0));
}

#[tokio::test(start_paused = true)]
async fn future_has_its_priority_and_counts_by_its_error() {
    let prioritizer = prioritizer("futures");
    let seen = prioritizer.call(High, async { Ok::<_, io::Error>(Priority::current()) });
    let seen = seen.await.expect("served").expect("a priority");
    assert_eq!(seen.class(), High);
    let full = async { Err::<(), _>(Rejection::full("further in")) };
    let error = prioritizer.call(Low, full).await.expect_err("full");
    assert!(matches!(error, CallError::Failed(_)));
    let limited = async { Err::<(), _>(Rejection::rate_limited("further in")) };
    prioritizer
        .call(Low, limited)
        .await
        .expect_err("rate limited");
    let failed = prioritizer.call_display(Low, async { Err::<(), _>("no") });
    failed.await.expect_err("no");
    assert_eq!(class(&prioritizer, Low), (3, 0, 1));
    let panics = prioritizer.call(Low, async {
        panic!("of the work") as Result<(), io::Error>
    });
    tokio::spawn(panics).await.expect_err("a panic");
    drop(prioritizer.call(Low, std::future::pending::<Result<(), io::Error>>()));
    assert_eq!(class(&prioritizer, Low), (4, 0, 1), "never polled, no call");
}

#[tokio::test(start_paused = true)]
async fn call_that_is_dropped_counts_only_where_a_time_limit_drops_it() {
    let prioritizer = prioritizer("dropped");
    let slow = || prioritizer.call(Normal, sleep(9 * SECOND));
    async fn sleep(time: Duration) -> Result<(), io::Error> {
        tokio::time::sleep(time).await;
        Ok(())
    }
    timeout(SECOND, slow()).await.expect_err("of the caller");
    assert_eq!(class(&prioritizer, Normal), (1, 0, 0));
    let limit = tower_keep::timeout::TimeLimit::new("slow", SECOND);
    limit.run(slow()).await.expect_err("of this process");
    assert_eq!(class(&prioritizer, Normal), (2, 0, 1));
}

#[tokio::test(start_paused = true)]
async fn pushback_is_read_from_the_head_of_every_protocol() {
    let prioritizer = prioritizer("heads");
    let statuses: [fn() -> Reply; 4] = [
        || Reply::status(200),
        || Reply::status(404),
        || Reply::status(500),
        || Reply::status(503),
    ];
    let (client, server) = (prioritizer.layer().client(), prioritizer.layer().server());
    for reply in statuses {
        call(&client, request(), reply).await.expect("a response");
        call(&server, request(), reply).await.expect("a response");
    }
    assert_eq!(class(&prioritizer, Normal), (8, 0, 2));
    let exhausted = || {
        Reply::ok()
            .header("content-type", "application/grpc")
            .header("grpc-status", "8")
    };
    let grpc = prioritizer.layer().grpc_client();
    call(&grpc, grpc_request(), exhausted)
        .await
        .expect("a response");
    assert_eq!(class(&prioritizer, Normal), (9, 0, 3));
}

#[tokio::test(start_paused = true)]
async fn bulkhead_further_in_pushes_back_as_a_layer_and_in_a_pair() {
    let full = Bulkhead::builder("full").limit(1).build();
    let full = full.expect("valid settings");
    let _slot = full.try_acquire().expect("free");
    let prioritizer = prioritizer("around");
    let script: Script = Script::always(Reply::ok);
    let layered = full.layer().server().layer(script);
    let layered = prioritizer.layer().server().layer(layered);
    let response = layered.oneshot(request()).await.expect("a response");
    assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(class(&prioritizer, Normal), (1, 0, 1));
    let pair = GuardLayer::server((prioritizer.clone(), full.clone()));
    call(&pair, request(), Reply::ok).await.expect("a response");
    assert_eq!(class(&prioritizer, Normal), (2, 0, 2));
    let any = GuardLayer::any((prioritizer.clone(), full));
    let any = any.layer(service_fn(async |_: u32| Ok::<_, io::Error>(7)));
    any.oneshot(7).await.expect_err("full");
    assert_eq!(class(&prioritizer, Normal), (3, 0, 3));
}

#[tokio::test(start_paused = true)]
async fn rejections_are_responses_or_errors_of_the_protocol() {
    let prioritizer = builder("protocols").default_class(Bulk).max_shed_rate(1.0);
    let prioritizer = prioritizer.window(3_600 * SECOND).build();
    let prioritizer = prioritizer.expect("valid settings");
    push_back(&prioritizer, 1_024);
    let rejected = call(&prioritizer.layer().server(), request(), Reply::ok).await;
    let rejected = rejected.expect("a response");
    assert_eq!(rejected.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(rejected.headers()["retry-after"], "3600");
    let rejected = call(&prioritizer.layer().server(), grpc_request(), Reply::ok).await;
    assert_eq!(rejected.expect("a response").headers()["grpc-status"], "14");
    let error = call(&prioritizer.layer().client(), request(), Reply::ok).await;
    let error = error.expect_err("a client gets an error");
    assert_eq!(
        Rejection::find(&*error).map(Rejection::guard),
        Some("protocols")
    );
    let any = prioritizer.layer().any();
    let any = any.layer(service_fn(async |_: u32| Ok::<_, io::Error>(7)));
    let error = any.oneshot(7).await.expect_err("shed");
    assert!(Rejection::find(&*error).is_some());
}

#[tokio::test(start_paused = true)]
async fn failure_of_a_stream_counts_in_place_of_its_head() {
    use http_body_util::BodyExt;
    let prioritizer = prioritizer("streams");
    push_back(&prioritizer, 5);
    let before = class(&prioritizer, Normal).2;
    let reply = || {
        let body = ScriptedBody::new().data(&b"\0\0\0\0\0"[..]);
        let body = body.trailers([("grpc-status", "8")]);
        Reply::ok()
            .header("content-type", "application/grpc")
            .body(body)
    };
    let grpc = prioritizer.layer().grpc_client();
    let response = call(&grpc, grpc_request(), reply).await.expect("a head");
    assert_eq!(class(&prioritizer, Normal).2, before);
    response.into_body().collect().await.expect("a body");
    assert_eq!(class(&prioritizer, Normal).2, before + 1);
}
