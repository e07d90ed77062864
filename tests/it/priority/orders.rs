//! Prioritizers beside other layers, in each order that makes sense, and in some that do not.

use std::{convert::Infallible, io};

use http::{Request, StatusCode};
use tokio::task::JoinSet;
use tower::{Layer, ServiceBuilder, ServiceExt, service_fn};
use tower_keep::{
    Bulkhead, GuardLayer, Outcome, Retry, Throttle,
    bulkhead::{BulkheadSettings, QueueOrder},
    observe,
    priority::{Priority, PriorityClass},
    retry::{ReplayBody, RetryLayer},
    testing::{Reply, Script, ScriptedBody},
};

use super::{SECOND, builder, class, prioritizer, push_back};

use PriorityClass::{Bulk, Critical, High, Low, Normal};

#[tokio::test(start_paused = true)]
async fn throttle_rejects_by_priority_and_as_many_as_it_would() {
    let throttle = Throttle::builder("throttle").seed(7).window(3_600 * SECOND);
    let throttle = throttle.max_rejection_rate(0.5).build();
    let throttle = throttle.expect("valid settings");
    while throttle.stats().rejection_rate < 0.5 {
        if let Ok(permit) = throttle.try_acquire() {
            permit.complete(Outcome::Failure);
        }
    }
    let prioritizer = builder("around").max_shed_rate(0.0).build();
    let prioritizer = prioritizer.expect("valid settings");
    let guards = (
        prioritizer.by(|class: &PriorityClass| Some(*class)),
        throttle.clone(),
    );
    let service = GuardLayer::any(guards).layer(service_fn(async |_: PriorityClass| {
        Err::<(), _>(io::Error::other("still down"))
    }));
    let (mut rejected, before) = ([0; 5], throttle.stats().rejected_in_all);
    for call in 0..5_000 {
        let class = PriorityClass::ALL[call % 5];
        let result = service.clone().oneshot(class).await;
        let error = result.expect_err("it is down");
        rejected[class as usize] += u32::from(error.downcast_ref::<io::Error>().is_none());
    }
    let all = throttle.stats().rejected_in_all - before;
    assert!((2_300..2_700).contains(&all), "half of the calls: {all}");
    assert!(rejected[Bulk as usize] >= 980, "{rejected:?}");
    assert!(rejected[Low as usize] >= 950, "{rejected:?}");
    assert!(rejected[High as usize] <= 40, "{rejected:?}");
    assert!(rejected[Critical as usize] <= 20, "{rejected:?}");
}

/// Fills a bulkhead with one slot, lets calls of these classes wait in this order, and returns the order in which they are served.
async fn served(bulkhead: &Bulkhead, classes: &[PriorityClass]) -> Vec<PriorityClass> {
    let prioritizer = prioritizer("in order");
    let (sender, mut order) = tokio::sync::mpsc::unbounded_channel();
    let work = service_fn(move |class: PriorityClass| {
        let sender = sender.clone();
        async move { sender.send(class) }
    });
    let service = ServiceBuilder::new()
        .layer(
            prioritizer
                .by(|class: &PriorityClass| Some(*class))
                .layer()
                .any(),
        )
        .layer(bulkhead.layer().any())
        .service(work);
    let slot = bulkhead.try_acquire().expect("free");
    let mut calls = JoinSet::new();
    for class in classes {
        calls.spawn(service.clone().oneshot(*class));
        // It takes its place before the next one comes.
        tokio::task::yield_now().await;
    }
    drop((slot, service));
    let results = calls.join_all().await;
    assert_eq!(results.len(), classes.len());
    let mut served = Vec::new();
    while let Ok(class) = order.try_recv() {
        served.push(class);
    }
    served
}

#[tokio::test(start_paused = true)]
async fn queue_by_priority_serves_the_highest_first_and_displaces_the_lowest() {
    let bulkhead = Bulkhead::builder("queue").limit(1).queue_limit(3);
    let bulkhead = bulkhead.queue_order(QueueOrder::Priority).build();
    let bulkhead = bulkhead.expect("valid settings");
    let classes = [Bulk, High, Low, Critical];
    assert_eq!(served(&bulkhead, &classes).await, [Critical, High, Low]);
    assert_eq!(bulkhead.stats().rejected, 1);
    let classes = [Critical, High, Low, Bulk];
    assert_eq!(served(&bulkhead, &classes).await, [Critical, High, Low]);
    assert_eq!(bulkhead.stats().rejected, 2);
}

#[tokio::test(start_paused = true)]
async fn queue_changes_its_order_while_calls_wait() {
    let bulkhead = Bulkhead::builder("changes").limit(1).queue_limit(9);
    let bulkhead = bulkhead.build().expect("valid settings");
    let settings = |order| {
        let mut settings: BulkheadSettings = bulkhead.settings();
        settings.queue_order = order;
        settings
    };
    let classes = [Low, Critical, High];
    assert_eq!(served(&bulkhead, &classes).await, classes);
    let by_priority = settings(QueueOrder::Priority);
    bulkhead.apply(&by_priority).expect("valid settings");
    assert_eq!(served(&bulkhead, &classes).await, [Critical, High, Low]);
    bulkhead
        .apply(&settings(QueueOrder::Fifo))
        .expect("valid settings");
    assert_eq!(served(&bulkhead, &classes).await, classes);
}

#[tokio::test(start_paused = true)]
async fn bulkhead_outside_of_a_prioritizer_takes_calls_as_they_come() {
    let prioritizer = prioritizer("inside");
    let bulkhead = Bulkhead::builder("outside").limit(1).queue_limit(9);
    let bulkhead = bulkhead.queue_order(QueueOrder::Priority).build();
    let bulkhead = bulkhead.expect("valid settings");
    let service = ServiceBuilder::new()
        .layer(bulkhead.layer().any())
        .layer(
            prioritizer
                .by(|class: &PriorityClass| Some(*class))
                .layer()
                .any(),
        )
        .service(service_fn(async |class: PriorityClass| {
            Ok::<_, io::Error>(class)
        }));
    assert_eq!(service.clone().oneshot(Bulk).await.expect("served"), Bulk);
    let slot = bulkhead.try_acquire().expect("free");
    let waits = tokio::spawn(service.clone().oneshot(Low));
    tokio::task::yield_now().await;
    assert_eq!(class(&prioritizer, Low), (0, 0, 0), "it waits outside");
    drop(slot);
    let served = waits.await.expect("no panic");
    assert_eq!(served.expect("served"), Low);
    assert_eq!(class(&prioritizer, Low), (1, 0, 0));
}

fn request() -> Request<ScriptedBody> {
    Request::new(ScriptedBody::new())
}

/// Sheds all calls of the default class.
fn shedding(name: &'static str) -> tower_keep::priority::Prioritizer {
    let prioritizer = builder(name).max_shed_rate(1.0).window(3_600 * SECOND);
    let prioritizer = prioritizer.build().expect("valid settings");
    push_back(&prioritizer, 1_024);
    prioritizer
}

#[tokio::test(start_paused = true)]
async fn call_that_is_shed_is_not_retried_and_reaches_nothing_further_in() {
    let prioritizer = shedding("retried");
    let script: Script = Script::always(Reply::ok);
    let before = class(&prioritizer, Normal);
    let service = ServiceBuilder::new()
        .layer(RetryLayer::client(Retry::new("outside")))
        .layer(prioritizer.layer().client())
        .service(script.clone());
    service.oneshot(request()).await.expect_err("shed");
    let after = class(&prioritizer, Normal);
    assert_eq!((after.0, after.1), (before.0, before.1 + 1));
    assert_eq!(script.calls(), 0);
}

#[tokio::test(start_paused = true)]
async fn attempts_of_a_call_have_its_priority() {
    let prioritizer = prioritizer("attempts");
    let seen = std::sync::Arc::<std::sync::Mutex<Vec<_>>>::default();
    let peer = {
        let seen = seen.clone();
        service_fn(move |_: Request<ReplayBody<ScriptedBody>>| {
            let mut seen = seen.lock().expect("no panic");
            seen.push(Priority::current());
            let status = if seen.len() < 3 { 500 } else { 200 };
            let response = http::Response::builder().status(status);
            let response = response.body(ScriptedBody::new()).expect("a response");
            async { Ok::<_, Infallible>(response) }
        })
    };
    let retry = Retry::builder("inside").build().expect("valid settings");
    let service = ServiceBuilder::new()
        .layer(prioritizer.layer().client())
        .layer(RetryLayer::client(retry))
        .service(peer);
    let response = service.oneshot(request()).await.expect("a response");
    assert_eq!(response.status(), StatusCode::OK);
    let seen = seen.lock().expect("no panic");
    assert!(seen.len() == 3 && seen[0].is_some(), "{seen:?}");
    assert!(seen.windows(2).all(|pair| pair[0] == pair[1]), "{seen:?}");
    assert_eq!(class(&prioritizer, Normal), (1, 0, 0));
}

#[tokio::test(start_paused = true)]
async fn tracking_sees_calls_that_are_shed_inside_of_it() {
    let prioritizer = shedding("tracked");
    let script: Script = Script::always(Reply::ok);
    let service = ServiceBuilder::new()
        .layer(observe("orders").server())
        .layer(prioritizer.layer().server())
        .service(script);
    let response = service.oneshot(request()).await.expect("a response");
    assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(response.headers()["retry-after"], "3600");
    assert!(response.headers().contains_key("x-request-id"));
}
