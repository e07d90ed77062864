//! The endpoint that a call goes to.

use std::time::Duration;

use tokio::time::advance;
use tower::{Layer, Service, ServiceExt, service_fn};
use tower_keep::{
    Balance, BoxError, Retry,
    retry::{Backoff, RetryLayer},
    testing::{Reply, Script},
};

use super::{MILLI, Peers, SECOND, balancer, builder, call, calls, request};

#[tokio::test(start_paused = true)]
async fn calls_go_to_the_faster_endpoint_and_are_spread_over_equal_ones() {
    let peers = Peers::new([(200, MILLI), (200, 100 * MILLI), (200, MILLI)]);
    let balancer = balancer(builder("faster"), &peers);
    calls(&balancer, 600).await;
    let by_endpoint = peers.take_calls();
    assert!(by_endpoint[1] < 10, "{by_endpoint:?}");
    for endpoint in [0, 2] {
        assert!(
            (230..370).contains(&by_endpoint[endpoint]),
            "{by_endpoint:?}"
        );
    }
    let stats = balancer.balance().stats();
    let latency = stats.endpoints[1].latency.expect("it has answered");
    assert!((100 * MILLI..103 * MILLI).contains(&latency), "{latency:?}");
    assert_eq!(
        stats.endpoints.iter().map(|one| one.calls).sum::<u64>(),
        600
    );
}

#[tokio::test(start_paused = true)]
async fn slow_endpoint_is_tried_again_after_a_while() {
    let peers = Peers::new([(200, MILLI), (200, 100 * MILLI)]);
    let balancer = balancer(builder("tried again"), &peers);
    calls(&balancer, 100).await;
    peers.answer(1, (200, MILLI));
    advance(9 * SECOND).await;
    peers.take_calls();
    calls(&balancer, 50).await;
    assert_eq!(peers.take_calls()[1], 0);
    advance(SECOND).await;
    peers.take_calls();
    calls(&balancer, 200).await;
    let by_endpoint = peers.take_calls();
    assert!(by_endpoint[1] > 50, "{by_endpoint:?}");
}

#[tokio::test(start_paused = true)]
async fn endpoint_that_hangs_gets_fewer_calls_while_they_are_in_flight() {
    let peers = Peers::new([(200, MILLI), (200, MILLI), (200, MILLI)]);
    let balancer = balancer(builder("hanging"), &peers);
    calls(&balancer, 30).await;
    peers.answer(1, (200, Duration::from_secs(3_600)));
    peers.take_calls();
    let mut hanging = Vec::new();
    for _ in 0..300 {
        let call = balancer.clone().oneshot(request());
        let call = tokio::spawn(tokio::time::timeout(SECOND, call));
        tokio::time::sleep(2 * MILLI).await;
        hanging.push(call);
    }
    let by_endpoint = peers.take_calls();
    assert!(by_endpoint[1] < 5, "{by_endpoint:?}");
    let in_flight = |endpoint: usize| balancer.balance().stats().endpoints[endpoint].in_flight;
    assert_eq!(in_flight(1), by_endpoint[1], "they hang");
    for call in hanging {
        let _ = call.await.expect("no panic");
    }
    assert_eq!([0, 1, 2].map(in_flight), [0; 3], "cancelled calls leave");
}

#[tokio::test(start_paused = true)]
async fn failures_and_overloads_are_penalized() {
    for status in [500, 503, 429] {
        let peers = Peers::new([(200, 50 * MILLI), (status, MILLI), (200, 50 * MILLI)]);
        let balancer = balancer(builder("penalized"), &peers);
        calls(&balancer, 300).await;
        let by_endpoint = peers.take_calls();
        assert!(by_endpoint[1] <= 4, "{status}: {by_endpoint:?}");
        let stats = balancer.balance().stats();
        assert_eq!(u64::from(by_endpoint[1]), stats.endpoints[1].failures);
        assert_eq!(stats.ejected, 0, "by load alone");
    }
}

#[tokio::test(start_paused = true)]
async fn without_penalty_the_endpoint_that_fails_fast_gets_most_calls() {
    let peers = Peers::new([(200, 50 * MILLI), (500, MILLI), (200, 50 * MILLI)]);
    let balancer = balancer(builder("trap").failure_penalty(Duration::ZERO), &peers);
    calls(&balancer, 300).await;
    let by_endpoint = peers.take_calls();
    assert!(
        by_endpoint[1] > 150,
        "what the penalty is for: {by_endpoint:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn client_errors_are_no_failures() {
    let peers = Peers::new([(404, MILLI), (200, MILLI)]);
    let balancer = balancer(builder("alive"), &peers);
    calls(&balancer, 200).await;
    let by_endpoint = peers.take_calls();
    assert!(by_endpoint[0] > 50, "{by_endpoint:?}");
    assert_eq!(balancer.balance().stats().endpoints[0].failures, 0);
}

#[tokio::test(start_paused = true)]
async fn new_endpoint_gets_more_and_more_of_its_share() {
    let peers = Peers::new([(200, MILLI), (200, MILLI), (200, MILLI), (200, MILLI)]);
    let balancer = balancer(builder("new").slow_start(100 * SECOND), &peers);
    advance(100 * SECOND).await;
    peers.answer(4, (200, MILLI));
    balancer.endpoints().insert(4);
    let mut shares = Vec::new();
    for _ in 0..5 {
        peers.take_calls();
        // 2 s, so that the weight is about the same meanwhile.
        calls(&balancer, 2_000).await;
        let new = peers.take_calls()[4];
        shares.push(f64::from(new) / 2_000.0 * 5.0);
        advance(23 * SECOND).await;
    }
    for (share, expected) in shares.iter().zip([0.1, 0.25, 0.5, 0.75, 1.0]) {
        assert!((share - expected).abs() < 0.16, "{shares:?}");
    }
    assert!(shares.is_sorted(), "{shares:?}");
}

#[tokio::test(start_paused = true)]
async fn retry_goes_to_an_endpoint_that_has_not_failed() {
    let peers = Peers::new([(503, MILLI), (200, MILLI), (503, MILLI)]);
    let balancer = balancer(builder("retried").failure_penalty(Duration::ZERO), &peers);
    let retry = Retry::builder("retried")
        .max_attempts(2)
        .budget(None)
        .backoff(Backoff::constant(MILLI))
        .build();
    let layer = RetryLayer::client(retry.expect("valid settings"));
    // Each endpoint has been called, so that it is known which ones fail.
    calls(&balancer, 60).await;
    let client = layer.layer(balancer);
    for _ in 0..200 {
        let response = client.clone().oneshot(request()).await;
        assert_eq!(response.expect("a response").status(), 200);
    }
}

#[tokio::test(start_paused = true)]
async fn endpoint_that_is_not_ready_leaves_the_call_to_another() {
    let balance = builder("not ready").build().expect("valid settings");
    let balancer = balance.client(|ready: &bool| {
        let script: Script = Script::always(Reply::ok);
        if *ready { script } else { script.never_ready() }
    });
    balancer.endpoints().set([false, true]);
    for _ in 0..50 {
        let response = balancer.clone().oneshot(request()).await;
        assert_eq!(response.expect("a response").status(), 200);
    }
    let stats = balance.stats();
    assert_eq!(
        (stats.endpoints[0].calls, stats.endpoints[1].calls),
        (0, 50)
    );
}

#[tokio::test(start_paused = true)]
async fn call_waits_in_its_future_where_no_endpoint_is_ready() {
    let balance = builder("late").build().expect("valid settings");
    let balancer = balance.client(|_: &u32| {
        let script: Script = Script::always(Reply::ok);
        script.ready_after(3)
    });
    balancer.endpoints().set([1, 2]);
    let response = balancer.clone().oneshot(request()).await;
    assert_eq!(response.expect("a response").status(), 200);
    let waiting = balance.client(|_: &u32| {
        let script: Script = Script::always(Reply::ok);
        script.never_ready()
    });
    waiting.endpoints().set([3]);
    let call = tokio::time::timeout(SECOND, waiting.clone().oneshot(request()));
    call.await.expect_err("it waits");
}

#[tokio::test(start_paused = true)]
async fn endpoint_whose_readiness_fails_loses_the_call_and_counts_a_failure() {
    let balance = builder("failing").build().expect("valid settings");
    let balancer = balance.client(|works: &bool| {
        let script: Script = Script::always(Reply::ok);
        if *works {
            script
        } else {
            script.fails_ready(|| "no connection".into())
        }
    });
    balancer.endpoints().set([false, true]);
    for _ in 0..20 {
        let response = balancer.clone().oneshot(request()).await;
        assert_eq!(response.expect("a response").status(), 200);
    }
    assert!(balance.stats().endpoints[0].failures > 0);
    balancer.endpoints().set([false]);
    let error = balancer
        .clone()
        .oneshot(request())
        .await
        .expect_err("no connection");
    assert_eq!(error.to_string(), "no connection");
}

#[tokio::test(start_paused = true)]
async fn plain_services_are_balanced() {
    let printers = Balance::builder("printers").seed(7).build();
    let printers = printers.expect("valid settings").any(|floor: &u32| {
        let floor = *floor;
        service_fn(move |pages: u32| async move { Ok::<_, BoxError>((floor, pages)) })
    });
    printers.endpoints().set([1, 2]);
    let mut floors = [0; 3];
    for pages in 0..100 {
        let mut printers = printers.clone();
        let (floor, printed) = printers
            .ready()
            .await
            .expect("ready")
            .call(pages)
            .await
            .expect("printed");
        assert_eq!(printed, pages);
        floors[floor as usize] += 1;
    }
    assert!(floors[1] > 20 && floors[2] > 20, "{floors:?}");
}

#[tokio::test(start_paused = true)]
async fn seed_gives_the_same_calls_to_the_same_endpoints() {
    let mut runs = Vec::new();
    for _ in 0..2 {
        let peers = Peers::new([(200, MILLI); 5]);
        let balancer = balancer(builder("seeded"), &peers);
        for _ in 0..50 {
            call(&balancer).await;
        }
        runs.push(peers.take_calls());
    }
    assert_eq!(runs[0], runs[1]);
}

/// It failed by the one, although the other would have been ready in time.
#[tokio::test(start_paused = true)]
async fn endpoint_whose_readiness_fails_leaves_the_call_to_one_that_is_not_ready_yet() {
    let balance = builder("waits for the other").build();
    let balance = balance.expect("valid settings");
    let balancer = balance.client(|works: &bool| {
        let script: Script = Script::always(Reply::ok);
        if *works {
            script.ready_after(3)
        } else {
            script.fails_ready(|| "no connection".into())
        }
    });
    balancer.endpoints().set([false, true]);
    for _ in 0..20 {
        let response = balancer.clone().oneshot(request()).await;
        assert_eq!(response.expect("a response").status(), 200);
    }
}

/// It counted twice: when it was polled to be picked, and when it failed the call.
#[tokio::test(start_paused = true)]
async fn endpoint_whose_readiness_fails_counts_once_for_each_call() {
    let balance = builder("counts once").build().expect("valid settings");
    let balancer = balance.client(|_: &u32| {
        let script: Script = Script::always(Reply::ok);
        script.fails_ready(|| "no connection".into())
    });
    balancer.endpoints().set([1]);
    for _ in 0..4 {
        let call = balancer.clone().oneshot(request());
        call.await.expect_err("no connection");
    }
    assert_eq!(balance.stats().endpoints[0].failures, 4);
}
