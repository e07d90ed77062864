//! On and off: by the application, by operators, by the clock.

use std::time::Duration;

use tokio::time::{Instant, advance};
use tower::{Layer, ServiceExt};
use tower_keep::{
    chaos::{Chaos, ChaosLayer, FaultKind, InjectedFault},
    registry::{self, GuardAction, Stat},
    testing::{Reply, Script},
};
use tracing::Level;

use super::{HOUR, SECOND, get, on};
use crate::support::{alone_paused, logs::logs, meter::meter};

fn act(chaos: &Chaos, action: GuardAction) -> bool {
    assert_eq!(registry::act("chaos", chaos.name(), action), 1);
    chaos.is_on()
}

fn snapshot(name: &str) -> registry::Snapshot {
    let all = registry::snapshots();
    let found = all
        .into_iter()
        .find(|guard| guard.kind() == "chaos" && guard.name() == name);
    found.expect("listed")
}

#[tokio::test(start_paused = true)]
async fn chaos_is_off_until_it_is_switched_on() {
    let chaos = Chaos::builder("switching")
        .error_rate(1.0)
        .build()
        .expect("valid");
    let script: Script = Script::always(Reply::ok);
    let service = ChaosLayer::client(&chaos).layer(script);
    service.clone().oneshot(get("/")).await.expect("off");
    chaos.enable();
    service.clone().oneshot(get("/")).await.expect_err("on");
    chaos.disable();
    service.oneshot(get("/")).await.expect("off");
    assert_eq!(chaos.injected_count(FaultKind::Error), 1);
}

#[test]
fn chaos_ends_by_itself() {
    // The transitions of other tests push those of this one out of the channel.
    let name = "chaos::switching::chaos_ends_by_itself";
    alone_paused(name, async || {
        let chaos = Chaos::new("ends");
        let mut transitions = registry::subscribe();
        chaos.enable_for(10 * SECOND);
        advance(9 * SECOND).await;
        assert!(chaos.is_on());
        assert_eq!(
            snapshot("ends").stat("on_for_seconds"),
            Some(&Stat::Number(1.0))
        );
        chaos.enable_for(10 * SECOND);
        advance(9 * SECOND).await;
        assert!(chaos.is_on(), "from now");
        advance(SECOND).await;
        assert!(!chaos.is_on());
        let mut seen = Vec::new();
        while let Ok(transition) = transitions.try_recv() {
            if transition.name.as_str() == "ends" {
                seen.push((transition.kind, transition.to, transition.reason));
            }
        }
        assert_eq!(
            seen,
            [("chaos", "on", "enabled_for"), ("chaos", "off", "elapsed")]
        );
    });
}

#[tokio::test(start_paused = true)]
async fn chaos_that_is_on_for_no_time_is_off() {
    let chaos = Chaos::new("no time");
    let mut transitions = registry::subscribe();
    chaos.enable_for(Duration::ZERO);
    assert!(!chaos.is_on());
    let mut seen = std::iter::from_fn(|| transitions.try_recv().ok());
    assert!(!seen.any(|seen| seen.name.as_str() == "no time"));
    chaos.enable();
    chaos.enable_for(Duration::ZERO);
    assert!(!chaos.is_on());
}

#[tokio::test(start_paused = true)]
async fn operator_overrides_the_application_and_gives_it_back() {
    let chaos = Chaos::new("operator");
    assert!(act(&chaos, GuardAction::Enable));
    assert!(!act(&chaos, GuardAction::Reset));
    chaos.enable_for(10 * SECOND);
    assert!(!act(&chaos, GuardAction::Disable));
    chaos.enable();
    assert!(!chaos.is_on(), "the operator says no");
    assert!(act(&chaos, GuardAction::Reset));
    chaos.enable_for(10 * SECOND);
    assert!(act(&chaos, GuardAction::Enable));
    advance(10 * SECOND).await;
    assert!(chaos.is_on(), "the operator says yes");
    assert!(
        !act(&chaos, GuardAction::Reset),
        "the application's time is over"
    );
    act(&chaos, GuardAction::Enable);
    chaos.disable();
    assert!(!chaos.is_on(), "the application ends what anybody began");
}

#[tokio::test(start_paused = true)]
async fn late_and_hanging_calls_end_when_the_chaos_is_switched_off() {
    let chaos = on("ending", |chaos| chaos.latency_rate(1.0).latency(HOUR));
    let script: Script = Script::always(Reply::ok);
    let service = ChaosLayer::client(&chaos).layer(script);
    let late = tokio::spawn(service.clone().oneshot(get("/")));
    tokio::task::yield_now().await;
    let mut settings = chaos.settings();
    settings.hang_rate = 1.0;
    chaos.apply(&settings).expect("valid");
    let hanging = tokio::spawn(service.oneshot(get("/")));
    tokio::task::yield_now().await;
    assert_eq!(chaos.delayed_count(), 2);
    let begun = Instant::now();
    chaos.disable();
    late.await.expect("no panic").expect("a response");
    let error = hanging
        .await
        .expect("no panic")
        .expect_err("it has no response");
    let fault = error.downcast_ref::<InjectedFault>().expect("a fault");
    assert_eq!(fault.kind(), FaultKind::Hang);
    assert_eq!(
        (begun.elapsed(), chaos.delayed_count()),
        (Duration::ZERO, 0)
    );
}

#[tokio::test(start_paused = true)]
async fn hanging_call_ends_with_the_time_of_the_chaos_and_with_a_later_one() {
    let chaos = Chaos::builder("timed")
        .hang_rate(1.0)
        .build()
        .expect("valid");
    chaos.enable_for(10 * SECOND);
    let script: Script = Script::always(Reply::ok);
    let call = tokio::spawn(ChaosLayer::client(&chaos).layer(script).oneshot(get("/")));
    let begun = Instant::now();
    advance(9 * SECOND).await;
    chaos.enable_for(10 * SECOND);
    call.await.expect("no panic").expect_err("an error");
    assert_eq!(begun.elapsed(), 19 * SECOND);
    assert!(!chaos.is_on());
}

#[tokio::test(start_paused = true)]
async fn registry_lists_a_chaos_with_its_rates_and_counts() {
    let chaos = on("listed", |chaos| chaos.error_rate(0.25).seed(7));
    let listed = snapshot("listed");
    assert_eq!(listed.state(), "on");
    for (name, value) in [
        ("error_rate", Stat::Number(0.25)),
        ("hang_rate", Stat::Number(0.0)),
        ("latency_seconds", Stat::Number(1.0)),
        ("error", Stat::Count(0)),
        ("delayed", Stat::Count(0)),
        ("on_for_seconds", Stat::Unknown),
        ("seed", Stat::Text("7".to_owned())),
    ] {
        assert_eq!(listed.stat(name), Some(&value), "{name}");
    }
    chaos.disable();
    assert_eq!(snapshot("listed").state(), "off");
    drop(chaos);
    assert!(
        !registry::snapshots()
            .iter()
            .any(|guard| guard.name() == "listed")
    );
}

#[tokio::test(start_paused = true)]
async fn metrics_count_each_kind_of_fault_and_say_whether_it_is_on() {
    let meter = meter();
    let chaos = Chaos::builder("metered")
        .error_rate(1.0)
        .max_delayed(1)
        .build()
        .expect("valid");
    let enabled = || meter.sum("tower_keep_chaos_enabled", &[("chaos", "metered")]);
    assert_eq!(enabled(), Some(0.0));
    chaos.enable();
    assert_eq!(enabled(), Some(1.0));
    let script: Script = Script::always(Reply::ok);
    let service = ChaosLayer::client(&chaos).layer(script);
    service.oneshot(get("/")).await.expect_err("a fault");
    let faults = |fault| {
        let labels = [("chaos", "metered"), ("fault", fault)];
        meter.sum("tower_keep_chaos_faults_total", &labels)
    };
    assert_eq!((faults("error"), faults("hang")), (Some(1.0), Some(0.0)));
    drop(chaos);
    assert_eq!(enabled(), Some(0.0), "the last handle is gone");
}

#[tokio::test(start_paused = true)]
async fn log_says_when_it_is_on_with_which_seed_and_what_is_injected() {
    let logs = logs();
    let chaos = on("logged", |chaos| chaos.error_rate(1.0).seed(7));
    let script: Script = Script::always(Reply::ok);
    let service = ChaosLayer::client(&chaos).layer(script);
    service.oneshot(get("/")).await.expect_err("a fault");
    let mut settings = chaos.settings();
    settings.error_rate = 0.5;
    chaos.apply(&settings).expect("valid");
    chaos.apply(&settings).expect("valid");
    chaos.disable();
    chaos.disable();
    let events = logs.events("tower_keep::chaos");
    let texts: Vec<_> = events
        .iter()
        .map(|event| (event.level, event.get("message")))
        .collect();
    let expected = [
        (Level::WARN, "chaos is on"),
        (Level::DEBUG, "fault injected"),
        (Level::INFO, "chaos settings applied"),
        (Level::INFO, "chaos is off"),
    ];
    assert_eq!(texts, expected);
    assert_eq!(
        (events[0].get("chaos"), events[0].get("seed")),
        ("logged", "7")
    );
    assert_eq!(events[1].get("fault"), "error");
    assert_eq!(events[2].get("changes"), "error_rate: 1.0 -> 0.5");
    assert_eq!(events[3].get("reason"), "disabled");
}
