//! Settings that change, what operators see and do, events, and metrics.

use std::time::Duration;

use metrics_exporter_prometheus::PrometheusBuilder;
use tokio::time::advance;
use tower_keep::{
    Outcome,
    priority::{PrioritizerSettings, PriorityClass},
    registry::{self, GuardAction},
};

use super::{SECOND, builder, class, prioritizer, push_back};
use crate::support::alone_paused;

use PriorityClass::{Bulk, Critical, Low, Normal};

#[tokio::test(start_paused = true)]
async fn settings_apply_to_the_live_prioritizer_and_its_clones() {
    let prioritizer = prioritizer("applied");
    let clone = prioritizer.clone();
    push_back(&prioritizer, 1_024);
    assert_eq!(prioritizer.stats().shed_rate, 0.95);
    let mut settings = prioritizer.settings();
    settings.max_shed_rate = 0.5;
    settings.default_class = Low;
    clone.apply(&settings).expect("valid settings");
    assert_eq!(prioritizer.stats().shed_rate, 0.5, "the load stays known");
    assert_eq!(prioritizer.settings(), settings);
    settings.floor = 2.0;
    let error = clone.apply(&settings).expect_err("invalid");
    assert_eq!(
        error.to_string(),
        r#"prioritizer "applied": floor is 2, must be 0 to 0.5 (a fraction)"#
    );
    assert_eq!(prioritizer.settings().floor, 0.0);
    assert!(prioritizer.try_acquire(Bulk).is_err());
    settings.floor = 0.5;
    clone.apply(&settings).expect("valid settings");
    let admitted = (0..1_000).filter(|_| prioritizer.try_acquire(Bulk).is_ok());
    assert!(
        (350..650).contains(&admitted.count()),
        "each is compared with another one"
    );
}

#[test]
fn build_names_each_invalid_setting() {
    let day = Duration::from_secs(86_400);
    for (field, error) in [
        ("floor", builder("bad").floor(1.1).build()),
        ("factor", builder("bad").factor(f64::INFINITY).build()),
        ("window", builder("bad").window(day).build()),
        ("max_shed_rate", builder("bad").max_shed_rate(-0.1).build()),
        ("min_calls", builder("bad").min_calls(0).build()),
    ] {
        let error = error.expect_err(field);
        assert_eq!(error.field(), field, "{error}");
    }
}

#[cfg(feature = "serde")]
#[test]
fn settings_come_from_a_file() {
    let text = r#"
        default_class = "critical"
        floor = 0.1
        window = "500ms"
    "#;
    let settings: PrioritizerSettings = toml::from_str(text).expect("settings");
    assert_eq!(settings.default_class, Critical);
    assert_eq!(settings.window, Duration::from_millis(500));
    assert_eq!(settings.factor, PrioritizerSettings::default().factor);
    toml::from_str::<PrioritizerSettings>("floors = 0.1").expect_err("unknown");
    toml::from_str::<PrioritizerSettings>(r#"default_class = "urgent""#).expect_err("unknown");
    let written = toml::to_string(&settings).expect("a file");
    assert_eq!(toml::from_str(&written), Ok(settings));
}

#[tokio::test(start_paused = true)]
async fn shadow_counts_and_admits() {
    let prioritizer = builder("shadow").shadow(true).build();
    let prioritizer = prioritizer.expect("valid settings");
    push_back(&prioritizer, 1_024);
    let (admitted, shed, _) = class(&prioritizer, Bulk);
    assert!(shed > 100 && admitted == 205, "{admitted} {shed}");
    assert!(prioritizer.is_shadow());
    prioritizer.set_shadow(false);
    assert!(prioritizer.try_acquire(Bulk).is_err());
    assert_eq!(class(&prioritizer, Bulk), (205, shed + 1, 205));
}

#[tokio::test(start_paused = true)]
async fn prioritizer_is_in_the_registry_with_its_stats_settings_and_actions() {
    let prioritizer = prioritizer("registered");
    push_back(&prioritizer, 1_024);
    let find = || {
        let guards = registry::snapshots();
        let mut guards = guards.into_iter();
        let found = guards.find(|guard| guard.name() == "registered");
        found.expect("registered")
    };
    let guard = find();
    assert_eq!((guard.kind(), guard.state()), ("prioritizer", "shedding"));
    let stats = format!("{:?}", guard.stats());
    for stat in ["shed_rate", "admitted_critical", "shed_bulk"] {
        assert!(stats.contains(stat), "{stats}");
    }
    registry::set("prioritizer", "registered", "floor", Some(0.5)).expect("valid");
    assert_eq!(prioritizer.settings().floor, 0.5);
    registry::set("prioritizer", "registered", "floor", Some(5.0)).expect_err("invalid");
    let act = |action| registry::act("prioritizer", "registered", action);
    assert_eq!(act(GuardAction::ShadowOn), 1);
    assert!(prioritizer.is_shadow());
    act(GuardAction::ShadowOff);
    act(GuardAction::Disable);
    assert_eq!(find().state(), "disabled");
    (0..100).for_each(|_| drop(prioritizer.try_acquire(Bulk).expect("admitted")));
    act(GuardAction::Reset);
    assert_eq!(find().state(), "admitting");
    assert_eq!(prioritizer.stats().shed_rate, 0.0);
}

#[test]
fn first_call_that_is_shed_and_a_window_without_one_are_reported() {
    // The transitions of other tests push those of this one out of the channel.
    let name = "priority::settings::first_call_that_is_shed_and_a_window_without_one_are_reported";
    alone_paused(name, async || {
        let mut events = registry::subscribe();
        let prioritizer = prioritizer("reported");
        push_back(&prioritizer, 1_024);
        advance(2 * SECOND).await;
        prioritizer.stats();
        let mut seen = Vec::new();
        while let Ok(event) = events.try_recv() {
            if event.name.as_str() == "reported" {
                assert_eq!(event.kind, "prioritizer");
                seen.push((event.from, event.to));
            }
        }
        assert_eq!(seen, [("admitting", "shedding"), ("shedding", "admitting")]);
    });
}

#[tokio::test(start_paused = true)]
async fn metrics_have_a_series_for_each_class() {
    let recorder = PrometheusBuilder::new().build_recorder();
    metrics::with_local_recorder(&recorder, || {
        let prioritizer = prioritizer("counted");
        prioritizer
            .try_acquire(Critical)
            .expect("admitted")
            .complete(Outcome::Success);
        push_back(&prioritizer, 1_024);
        let text = recorder.handle().render();
        for class_of in [Bulk, Critical, Normal] {
            let (admitted, shed, pushed_back) = class(&prioritizer, class_of);
            for (metric, count) in [
                ("calls", admitted + shed),
                ("shed", shed),
                ("pushed_back", pushed_back),
            ] {
                let labels = format!(r#"{{prioritizer="counted",class="{class_of}"}}"#);
                let line = format!("tower_keep_priority_{metric}_total{labels} {count}\n");
                assert!(text.contains(&line), "{line} in {text}");
            }
        }
        let series = text.lines().filter(|line| line.contains("prioritizer="));
        assert_eq!(series.count(), 15);
    });
}
