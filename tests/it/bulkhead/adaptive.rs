//! A limit that adapts itself, through the layer, permits and settings.

use std::{convert::Infallible, sync::Arc, time::Duration};

use http::{Request, Response, StatusCode};
use tokio::{sync::Semaphore, time::sleep};
use tower::{Layer, Service, ServiceExt, service_fn};
use tower_keep::{
    Outcome,
    adaptive::{AdaptiveSettings, Algorithm, Limit, Window},
    bulkhead::{Bulkhead, BulkheadBuilder},
    registry,
    testing::ScriptedBody,
};
use tracing::Level;

use super::SECOND;
use crate::support::{alone_paused, logs::logs};

const MILLI: Duration = Duration::from_millis(1);

fn build(configure: impl FnOnce(BulkheadBuilder) -> BulkheadBuilder) -> Bulkhead {
    let builder = Bulkhead::builder("adaptive").limit(20);
    configure(builder).build().expect("valid settings")
}

fn by(algorithm: Algorithm) -> Bulkhead {
    let mut settings = AdaptiveSettings::default();
    settings.algorithm = algorithm;
    build(|builder| builder.adaptive(settings))
}

/// Makes calls at once, with the same result each, and lets a second pass.
async fn calls(bulkhead: &Bulkhead, count: u32, result: Outcome) {
    let permits: Vec<_> = (0..count).map(|_| bulkhead.try_acquire()).collect();
    sleep(SECOND).await;
    for permit in permits.into_iter().flatten() {
        permit.complete(result);
    }
}

#[tokio::test(start_paused = true)]
async fn limit_falls_by_overloads_and_grows_by_answers() {
    let bulkhead = by(Algorithm::Aimd);
    for _ in 0..4 {
        calls(&bulkhead, 20, Outcome::Success).await;
    }
    let grown = bulkhead.limit();
    assert!(grown > 20, "{grown}");
    for _ in 0..8 {
        calls(&bulkhead, 20, Outcome::Overload).await;
    }
    assert!(bulkhead.limit() < 20, "{}", bulkhead.limit());
}

#[tokio::test(start_paused = true)]
async fn limit_learns_nothing_from_calls_that_say_nothing() {
    let bulkhead = by(Algorithm::Aimd);
    for outcome in [
        Outcome::Cancelled,
        Outcome::Rejected,
        Outcome::Failure,
        Outcome::Panicked,
    ] {
        for _ in 0..8 {
            calls(&bulkhead, 40, outcome).await;
        }
    }
    assert!(
        bulkhead.stats().rejected > 0,
        "its own, which say nothing either"
    );
    assert_eq!(bulkhead.limit(), 20);
}

#[tokio::test(start_paused = true)]
async fn limit_does_not_grow_while_it_is_not_used() {
    let bulkhead = by(Algorithm::Aimd);
    for _ in 0..50 {
        calls(&bulkhead, 9, Outcome::Success).await;
    }
    assert_eq!(bulkhead.limit(), 20);
}

/// A server's caller that reads slowly would make the peer look slow, for all.
#[tokio::test(start_paused = true)]
async fn limit_is_not_affected_by_callers_that_read_slowly() {
    #[derive(Debug)]
    struct Longest;
    impl Limit for Longest {
        fn update(&mut self, limit: f64, window: &Window) -> f64 {
            if window.p90 > 100 * MILLI { 1.0 } else { limit }
        }
    }
    let bulkhead = build(|builder| builder.limit(100).algorithm(|| Longest));
    let inner = service_fn(|_: Request<ScriptedBody>| async {
        sleep(10 * MILLI).await;
        Ok::<_, Infallible>(Response::new(
            ScriptedBody::new().data("x").after(SECOND).data("y"),
        ))
    });
    let service = bulkhead.layer().server().layer(inner);
    for _ in 0..3 {
        let calls = (0..60).map(|_| service.clone().oneshot(Request::new(ScriptedBody::new())));
        for response in futures_util::future::join_all(calls).await {
            let response = response.expect("a response");
            assert_eq!(response.status(), StatusCode::OK);
            http_body_util::BodyExt::collect(response.into_body())
                .await
                .expect("a body");
        }
    }
    assert_eq!(bulkhead.stats().done, 180);
    assert_eq!(bulkhead.limit(), 100);
}

/// Forty callers of a peer that works on ten calls at once.
#[tokio::test(start_paused = true)]
async fn limit_settles_near_what_the_peer_can_take() {
    let bulkhead = build(|builder| builder.limit(40).adaptive(AdaptiveSettings::default()));
    let workers = Arc::new(Semaphore::new(10));
    let service = bulkhead.layer().any().layer(service_fn(move |()| {
        let workers = workers.clone();
        async move {
            let _worker = workers.acquire().await.expect("open");
            sleep(20 * MILLI).await;
            Ok::<_, Infallible>(())
        }
    }));
    let callers = (0..60).map(|n| {
        let mut service = service.clone();
        async move {
            for _ in 0..6_000 {
                let ready = service.ready().await.expect("ready");
                if ready.call(()).await.is_err() {
                    sleep((20 + n) * MILLI).await;
                }
            }
        }
    });
    futures_util::future::join_all(callers).await;
    let limit = bulkhead.limit();
    assert!((6..=20).contains(&limit), "{limit}");
    assert_eq!(bulkhead.in_flight(), 0);
}

#[tokio::test(start_paused = true)]
async fn settings_of_a_limit_that_has_adapted_itself_apply_to_the_limit_of_now() {
    let bulkhead = by(Algorithm::Aimd);
    for _ in 0..40 {
        calls(&bulkhead, 40, Outcome::Success).await;
    }
    let grown = bulkhead.limit();
    assert!(grown > 25, "{grown}");

    let mut settings = bulkhead.settings();
    settings.queue_limit = 5;
    bulkhead.apply(&settings).expect("valid");
    assert_eq!(bulkhead.limit(), grown, "kept");
    settings.adaptive.as_mut().expect("on").max = 22;
    bulkhead.apply(&settings).expect("valid");
    assert_eq!(bulkhead.limit(), 22, "within the new bounds");
    settings.adaptive = None;
    bulkhead.apply(&settings).expect("valid");
    assert_eq!(bulkhead.limit(), 20, "as it was set");
    for _ in 0..40 {
        calls(&bulkhead, 20, Outcome::Success).await;
    }
    assert_eq!(bulkhead.limit(), 20);
}

/// Proposes one limit after the other, again and again.
#[derive(Debug)]
struct Alternates(bool);

impl Limit for Alternates {
    fn update(&mut self, _: f64, _: &Window) -> f64 {
        self.0 = !self.0;
        if self.0 { 60.0 } else { 5.0 }
    }
}

#[test]
fn notable_changes_of_the_limit_are_reported_at_most_every_ten_seconds() {
    // The transitions of other tests push those of this one out of the channel.
    let name =
        "bulkhead::adaptive::notable_changes_of_the_limit_are_reported_at_most_every_ten_seconds";
    alone_paused(name, async || {
        const SECONDS: usize = 120;
        let (mut transitions, logs) = (registry::subscribe(), logs());
        let builder = Bulkhead::builder("alternates").limit(20);
        let bulkhead = builder.algorithm(|| Alternates(false)).build();
        let bulkhead = bulkhead.expect("valid settings");
        let mut reported = Vec::new();
        for _ in 0..SECONDS {
            calls(&bulkhead, 10, Outcome::Success).await;
            for _ in 0..50 {
                let permit = bulkhead.try_acquire().expect("a free slot");
                permit.complete(Outcome::Success);
            }
            while let Ok(transition) = transitions.try_recv() {
                // Other tests have transitions too.
                if transition.name.as_str() == "alternates" {
                    assert_eq!(transition.kind, "bulkhead");
                    assert_eq!(transition.from, transition.to, "no change of the state");
                    let limits = transition.limits.expect("the limits");
                    reported.push((limits.from, limits.to, transition.reason));
                }
            }
        }
        assert_eq!(reported[0], (20, 60, "peer_keeps_up"));
        assert_eq!(reported[1], (60, 5, "calls_slower"));
        let bounds = SECONDS / 20..=1 + SECONDS / 10;
        assert!(bounds.contains(&reported.len()), "{reported:?}");
        assert!(reported.windows(2).all(|two| two[0].1 == two[1].0));
        let events = logs.events("tower_keep::bulkhead");
        let infos = events.iter().filter(|event| event.level == Level::INFO);
        assert_eq!(infos.count(), reported.len());
    });
}

#[test]
fn adaptive_settings_name_the_bad_value() {
    let with = |min, max| {
        let mut settings = AdaptiveSettings::default();
        (settings.min, settings.max) = (min, max);
        let built = Bulkhead::builder("ledger")
            .limit(20)
            .adaptive(settings)
            .build();
        built.expect_err("invalid").to_string()
    };
    for ((min, max), text) in [
        ((0, 200), "adaptive.min is 0, must be 1 to adaptive.max"),
        ((7, 5), "adaptive.min is 7, must be 1 to adaptive.max"),
        (
            (1, 1_000_001),
            "adaptive.max is 1000001, must be adaptive.min to 1000000",
        ),
        (
            (21, 200),
            "limit is 20, must be adaptive.min to adaptive.max",
        ),
    ] {
        assert_eq!(with(min, max), format!("bulkhead \"ledger\": {text}"));
    }
}

#[cfg(feature = "serde")]
#[test]
fn adaptive_settings_come_from_a_file() {
    let settings: tower_keep::bulkhead::BulkheadSettings =
        toml::from_str("limit = 20\nadaptive = { algorithm = \"gradient2\", max = 500 }")
            .expect("valid");
    let adaptive = settings.adaptive.expect("on");
    assert_eq!(
        (adaptive.algorithm, adaptive.min, adaptive.max),
        (Algorithm::Gradient2, 1, 500)
    );
}
