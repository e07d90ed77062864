//! The handle: settings at run time, statistics, the registry, metrics.

use std::time::Duration;

use tower::ServiceExt;
use tower_keep::{
    Balance,
    balance::BalanceSettings,
    registry::{self, GuardAction, Snapshot, Stat},
};

use super::{MILLI, Peers, SECOND, balancer, builder, calls, ejecting, request};
use crate::support::meter::meter;

#[tokio::test(start_paused = true)]
async fn settings_are_applied_to_endpoints_in_use_and_to_those_to_come() {
    let peers = Peers::new([(500, MILLI), (200, MILLI), (200, MILLI), (200, MILLI)]);
    let balancer = balancer(builder("applied balance"), &peers);
    let balance = balancer.balance();
    calls(&balancer, 40).await;
    assert_eq!(balance.stats().ejected, 0);
    let mut settings = balance.settings();
    settings.breaker.consecutive_failures = Some(1);
    settings.failure_penalty = Duration::ZERO;
    settings.max_ejected = 0.5;
    balance.apply(&settings).expect("valid settings");
    assert_eq!(balance.settings(), settings);
    assert_eq!(balance.stats().max_ejected, 2);
    peers.answer(4, (500, MILLI));
    balancer.endpoints().insert(4);
    calls(&balancer, 100).await;
    assert_eq!(balance.stats().ejected, 2);
    settings.max_ejected = 0.0;
    balance.apply(&settings).expect("valid settings");
    assert_eq!(balance.stats().ejected, 0, "none may be");
}

#[test]
fn invalid_settings_are_errors_that_name_the_field_and_change_nothing() {
    let error = |builder: tower_keep::balance::BalanceBuilder| {
        builder.build().expect_err("invalid").to_string()
    };
    let ledger = || Balance::builder("ledger");
    for (text, builder) in [
        (
            "max_ejected is 1.5, must be 0 to 1 (a fraction)",
            ledger().max_ejected(1.5),
        ),
        ("decay is 1ms, must be 100 ms to 1 h", ledger().decay(MILLI)),
        (
            "failure_penalty is 61s, must be 0 to 1 min",
            ledger().failure_penalty(61 * SECOND),
        ),
        (
            "slow_start is 0ns, must be 1 ms to 1 h, or off",
            ledger().slow_start(Duration::ZERO),
        ),
    ] {
        assert_eq!(error(builder), format!("balance \"ledger\": {text}"));
    }
    let balance = Balance::new("ledger");
    let mut settings = BalanceSettings::default();
    settings.breaker.failure_rate = Some(50.0);
    let error = balance.apply(&settings).expect_err("invalid");
    assert_eq!(error.field(), "failure_rate");
    assert_eq!(balance.settings(), BalanceSettings::default());
}

fn snapshot(name: &str) -> Snapshot {
    let all = registry::snapshots();
    let own = all.into_iter().find(|guard| guard.name() == name);
    own.expect("registered")
}

#[tokio::test(start_paused = true)]
async fn registry_shows_and_controls_the_balancer() {
    let peers = Peers::new([(500, MILLI), (200, MILLI), (200, MILLI)]);
    let balancer = balancer(
        ejecting("registered balance").failure_penalty(Duration::ZERO),
        &peers,
    );
    let entry = || snapshot("registered balance");
    assert_eq!(
        (entry().kind(), entry().state()),
        ("balance", "all_in_rotation")
    );
    calls(&balancer, 100).await;
    assert_eq!(entry().state(), "some_ejected");
    assert_eq!(entry().stat("endpoints"), Some(&Stat::Count(3)));
    assert_eq!(entry().stat("calls"), Some(&Stat::Count(100)));
    assert_eq!(entry().stat("failures"), Some(&Stat::Count(3)));
    assert_eq!(
        entry().stat("ejected_endpoints"),
        Some(&Stat::Text("0".into()))
    );
    let set = |setting, value| registry::set("balance", "registered balance", setting, value);
    assert_eq!(set("max_ejected", Some(0.5)), Ok(1));
    assert_eq!(set("slow_start_seconds", Some(3.0)), Ok(1));
    set("decay_seconds", Some(0.0)).expect_err("below its minimum");
    let settings = balancer.balance().settings();
    assert_eq!(
        (settings.max_ejected, settings.slow_start),
        (0.5, Some(3 * SECOND))
    );
    let act = |action| registry::act("balance", "registered balance", action);
    assert_eq!(act(GuardAction::Disable), 1);
    assert_eq!(entry().state(), "disabled");
    act(GuardAction::Reset);
    assert_eq!(entry().state(), "all_in_rotation");
    act(GuardAction::ShadowOn);
    assert!(balancer.balance().is_shadow());
    balancer.endpoints().set([]);
    assert_eq!(entry().state(), "empty");
    let others = registry::snapshots();
    let parts = others
        .iter()
        .filter(|guard| guard.name() == "registered balance");
    assert_eq!(
        parts.count(),
        1,
        "no entry for the circuit of each endpoint"
    );
}

#[tokio::test(start_paused = true)]
async fn metrics_have_no_endpoint_as_a_label() {
    let meter = meter();
    let peers = Peers::new([(500, MILLI), (200, MILLI), (500, MILLI)]);
    let balancer = balancer(ejecting("metered").failure_penalty(Duration::ZERO), &peers);
    calls(&balancer, 100).await;
    let value = |name: &str, labels| meter.sum(&format!("tower_keep_balance_{name}"), labels);
    assert_eq!(
        value(
            "endpoints",
            &[("balance", "metered"), ("state", "in_rotation")]
        ),
        Some(2.0)
    );
    assert_eq!(value("endpoints", &[("state", "ejected")]), Some(1.0));
    assert_eq!(
        value("ejections_total", &[("balance", "metered")]),
        Some(1.0)
    );
    assert_eq!(value("overflows_total", &[]), Some(1.0));
    balancer.endpoints().set([]);
    assert_eq!(value("endpoints", &[]), Some(0.0));
    balancer.oneshot(request()).await.expect_err("no endpoint");
    assert_eq!(value("rejections_total", &[]), Some(1.0));
    let text = meter.render();
    assert!(!text.contains("tower_keep_breaker"), "{text}");
}
