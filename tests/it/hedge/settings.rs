//! Settings of a hedge: at run time, from a file, in the registry; its metrics.

use std::{io::Error, time::Duration};

use tokio::time::sleep;
use tower_keep::{
    hedge::{Hedge, HedgeSettings},
    registry::{self, GuardAction},
    retry::{Budget, Retry},
};

use super::{DELAY, SECOND, builder, counts};
use crate::support::meter::meter;

/// Makes a call whose first attempt takes a second.
async fn slow_call(hedge: &Hedge) {
    let work = |attempt: tower_keep::retry::Attempt| async move {
        if !attempt.is_retry() {
            sleep(SECOND).await;
        }
        Ok::<_, Error>(())
    };
    hedge.run(work).await.expect("an answer");
}

#[test]
fn hedge_with_a_bad_setting_is_not_built() {
    let build = |hedge: tower_keep::hedge::HedgeBuilder| {
        let error = hedge.build().expect_err("invalid");
        error.to_string()
    };
    let hedge = || Hedge::builder("bad");
    let bad = |text: &str| format!("hedge \"bad\": {text}");
    assert_eq!(
        build(hedge().delay(Duration::ZERO)),
        bad("delay is 0ns, must be 1 ms to 1 h")
    );
    assert_eq!(
        build(hedge().percentile(1.0)),
        bad("percentile is 1, must be 0.5 to 0.999 (a fraction)")
    );
    assert_eq!(
        build(hedge().min_samples(1)),
        bad("min_samples is 1, must be 10 to 100000")
    );
    assert_eq!(
        build(hedge().window(Duration::from_millis(1))),
        bad("window is 1ms, must be 1 s to 1 h")
    );
    assert_eq!(
        build(hedge().max_hedges(11)),
        bad("max_hedges is 11, must be 0 to 10")
    );
    let codes = hedge().grpc_codes([tower_keep::call::GrpcCode::OK]);
    assert_eq!(
        build(codes),
        bad("grpc_codes is OK, must be codes of failures")
    );
}

#[tokio::test(start_paused = true)]
async fn settings_hold_for_calls_that_begin_after_they_are_applied() {
    let hedge = builder("applied").build().expect("valid");
    let mut settings = hedge.settings();
    let running = tokio::spawn({
        let hedge = hedge.clone();
        async move { slow_call(&hedge).await }
    });
    tokio::task::yield_now().await;
    settings.max_hedges = 0;
    hedge.apply(&settings).expect("valid");
    running.await.expect("no panic");
    assert_eq!(counts(&hedge), (1, 1, 0), "it began before");
    slow_call(&hedge).await;
    assert_eq!(counts(&hedge), (1, 1, 0));
    settings.max_hedges = 2;
    settings.delay = Some(5 * DELAY);
    hedge.apply(&settings).expect("valid");
    assert_eq!(hedge.settings(), settings);
    slow_call(&hedge).await;
    assert_eq!(counts(&hedge), (2, 2, 0));
    settings.percentile = 2.0;
    let error = hedge.apply(&settings).expect_err("invalid");
    assert_eq!(error.field(), "percentile");
    assert_eq!(hedge.settings().percentile, 0.95);
}

#[tokio::test(start_paused = true)]
async fn delay_changes_between_a_fixed_one_and_the_percentile() {
    let hedge = builder("modes").build().expect("valid");
    let mut settings = hedge.settings();
    settings.delay = None;
    hedge.apply(&settings).expect("valid");
    assert_eq!(hedge.stats().delay, None, "nothing was timed before");
    for _ in 0..64 {
        let work = |_| async {
            sleep(DELAY / 10).await;
            Ok::<_, Error>(())
        };
        hedge.run(work).await.expect("an answer");
    }
    let learned = hedge.stats().delay.expect("known");
    assert!(learned < DELAY / 5, "{learned:?}");
    settings.delay = Some(DELAY);
    hedge.apply(&settings).expect("valid");
    assert_eq!(
        (hedge.stats().delay, hedge.stats().samples),
        (Some(DELAY), 64)
    );
    settings.delay = None;
    hedge.apply(&settings).expect("valid");
    assert_eq!(hedge.stats().delay, Some(learned));
}

#[tokio::test(start_paused = true)]
async fn budget_of_the_settings_changes_for_all_that_share_it() {
    let retry = Retry::new("sharing");
    let hedge = builder("sharing").retry_budget(&retry).build();
    let hedge = hedge.expect("valid");
    let mut settings = hedge.settings();
    settings.budget = Some(Budget::window().ratio(0.05).into());
    hedge.apply(&settings).expect("valid");
    assert_eq!(retry.settings().budget, settings.budget);
    let budget = Budget::bucket().capacity(100).build().expect("valid");
    let hedge = builder("given").budget(budget.clone()).build();
    let hedge = hedge.expect("valid");
    assert_eq!(hedge.settings().budget, Some(budget.settings()));
    let none = builder("none").budget(None).build().expect("valid");
    assert!(none.budget().is_none());
}

#[cfg(feature = "serde")]
#[test]
fn settings_are_those_of_a_file() {
    let settings: HedgeSettings = toml::from_str(
        r#"
        delay = "50ms"
        max_hedges = 2
        grpc_codes = ["UNAVAILABLE", "ABORTED"]
        budget = "off"
        "#,
    )
    .expect("valid");
    assert_eq!(settings.delay, Some(Duration::from_millis(50)));
    assert_eq!((settings.max_hedges, settings.budget), (2, None));
    let text = toml::to_string(&settings).expect("text");
    let again: HedgeSettings = toml::from_str(&text).expect("the same");
    assert_eq!(again, settings);
    toml::from_str::<HedgeSettings>("delays = 1").expect_err("unknown");
}

#[tokio::test(start_paused = true)]
async fn registry_lists_sets_and_resets_a_hedge() {
    let hedge = Hedge::builder("in the registry").max_hedges(0).build();
    let hedge = hedge.expect("valid");
    let snapshot = || {
        let mut all = registry::snapshots().into_iter();
        let ours = all.find(|guard| guard.kind() == "hedge" && guard.name() == "in the registry");
        ours.expect("listed")
    };
    assert_eq!(snapshot().state(), "off");
    let set = |setting, value| registry::set("hedge", "in the registry", setting, value);
    for (setting, value) in [
        ("max_hedges", Some(2.0)),
        ("percentile", Some(0.9)),
        ("min_samples", Some(20.0)),
        ("window_seconds", Some(30.0)),
    ] {
        assert_eq!(set(setting, value), Ok(1), "{setting}");
    }
    assert_eq!(snapshot().state(), "learning");
    let settings = hedge.settings();
    assert_eq!((settings.max_hedges, settings.min_samples), (2, 20));
    assert_eq!((settings.percentile, settings.window), (0.9, 30 * SECOND));
    for _ in 0..24 {
        slow_call(&hedge).await;
    }
    assert_eq!(snapshot().state(), "on");
    assert_eq!(
        registry::act("hedge", "in the registry", GuardAction::Reset),
        1
    );
    assert_eq!((snapshot().state(), hedge.stats().samples), ("learning", 0));
    assert_eq!(set("delay_seconds", Some(0.25)), Ok(1));
    assert_eq!(hedge.stats().delay, Some(Duration::from_millis(250)));
    assert_eq!(set("delay_seconds", None), Ok(1));
    assert_eq!(hedge.settings().delay, None);
    let error = set("percentile", Some(99.0)).expect_err("a fraction");
    assert!(
        error.to_string().contains("must be 0.5 to 0.999"),
        "{error}"
    );
    // The settings of its attempts are no retry of their own.
    let mut all = registry::snapshots().into_iter();
    assert!(!all.any(|guard| guard.kind() == "retry" && guard.name() == "in the registry"));
}

#[tokio::test(start_paused = true)]
async fn metrics_count_hedges_that_are_sent_win_and_are_not_sent() {
    let meter = meter();
    let hedge = builder("metered").max_hedges(2);
    let budget = Budget::window().ratio(0.5).per_second(0.0).build();
    let hedge = hedge.budget(budget.expect("valid")).build().expect("valid");
    for _ in 0..4 {
        slow_call(&hedge).await;
    }
    let own = [("hedge", "metered")];
    let sum = |name: &str| meter.sum(&format!("tower_keep_{name}_total"), &own);
    assert_eq!((sum("hedges"), sum("hedges_won")), (Some(2.0), Some(2.0)));
    let reason = [own[0], ("reason", "budget")];
    let refused = meter.sum("tower_keep_not_hedged_total", &reason);
    assert_eq!(refused, Some(2.0));
    assert!(sum("retries").is_none());
}
