//! Settings as values, applied to what is live, and the registry's entry.

use tower_keep::{
    bulkhead::{Bulkhead, BulkheadSettings},
    registry::{Snapshot, Stat},
};

use super::named;
use crate::support::{listing::listing, logs::logs};

fn with(change: impl FnOnce(&mut BulkheadSettings)) -> BulkheadSettings {
    let mut settings = BulkheadSettings::default();
    change(&mut settings);
    settings
}

type Change = fn(&mut BulkheadSettings);

#[test]
fn build_check_and_apply_name_the_bad_value() {
    let cases: [(Change, &str); 2] = [
        (|s| s.limit = 0, "limit is 0, must be 1 to 1000000"),
        (
            |s| s.limit = 1_000_001,
            "limit is 1000001, must be 1 to 1000000",
        ),
    ];
    for (change, text) in cases {
        let settings = with(change);
        let text = format!(r#"bulkhead "jobs": {text}"#);
        let built = Bulkhead::builder("jobs").settings(&settings).build();
        assert_eq!(built.expect_err("invalid").to_string(), text);
        assert_eq!(
            settings.check("jobs").expect_err("invalid").to_string(),
            text
        );
        let bulkhead = Bulkhead::new("jobs");
        let applied = bulkhead.apply(&settings);
        assert_eq!(applied.expect_err("invalid").to_string(), text);
        assert_eq!(bulkhead.settings(), BulkheadSettings::default());
    }
}

#[test]
fn resize_holds_at_once_and_leaves_those_in_flight_alone() {
    let bulkhead = named("resized", 3);
    let resize = |limit| {
        let settings = with(|settings| settings.limit = limit);
        bulkhead.apply(&settings).expect("valid settings");
    };
    let mut permits: Vec<_> = (0..3).map(|_| bulkhead.try_acquire()).collect();
    resize(1);
    assert_eq!((bulkhead.in_flight(), bulkhead.limit()), (3, 1));
    permits.truncate(1);
    assert!(bulkhead.try_acquire().is_err(), "the last one is in flight");
    resize(2);
    assert!(bulkhead.try_acquire().is_ok());
}

#[test]
fn apply_logs_once_what_has_changed() {
    let logs = logs();
    let bulkhead = named("logged", 25);
    let settings = with(|settings| {
        settings.limit = 7;
        settings.until_head = true;
    });
    for _ in 0..2 {
        bulkhead.apply(&settings).expect("valid settings");
    }
    assert_eq!(bulkhead.settings(), settings);
    let events = logs.events("tower_keep::bulkhead");
    assert_eq!(events.len(), 1);
    assert_eq!(
        events[0].get("changes"),
        "limit: 25 -> 7, until_head: false -> true"
    );
}

#[cfg(feature = "serde")]
#[test]
fn file_has_plain_values_and_names_unknown_ones() {
    let settings: BulkheadSettings = toml::from_str("limit = 7\nuntil_head = true").expect("valid");
    assert_eq!((settings.limit, settings.until_head), (7, true));
    let error = toml::from_str::<BulkheadSettings>("limits = 7").expect_err("unknown");
    assert!(
        error.to_string().contains("unknown field `limits`"),
        "{error}"
    );
    let text = toml::to_string(&settings).expect("text");
    assert_eq!(toml::from_str::<BulkheadSettings>(&text), Ok(settings));
}

fn snapshot(name: &str) -> Option<Snapshot> {
    let all = listing().snapshots();
    let mut all = all.into_iter();
    all.find(|guard| guard.kind() == "bulkhead" && guard.name() == name)
}

#[test]
fn registry_lists_bulkhead_with_its_stats_until_it_is_dropped() {
    let bulkhead = named("listed bulkhead", 1);
    let own = snapshot("listed bulkhead").expect("registered");
    assert_eq!(own.state(), "available");
    assert_eq!(own.stat("limit"), Some(&Stat::Count(1)));
    assert_eq!(own.stat("mean_run_seconds"), Some(&Stat::Unknown));
    let permit = bulkhead.try_acquire().expect("free");
    bulkhead.try_acquire().expect_err("full");
    let own = snapshot("listed bulkhead").expect("registered");
    assert_eq!(own.state(), "full");
    for (stat, count) in [
        ("in_flight", 1),
        ("done", 0),
        ("failed", 0),
        ("rejected", 1),
    ] {
        assert_eq!(own.stat(stat), Some(&Stat::Count(count)), "{stat}");
    }
    drop(permit);
    let own = snapshot("listed bulkhead").expect("registered");
    assert_eq!(own.stat("inconclusive"), Some(&Stat::Count(1)));
    drop(bulkhead);
    assert!(snapshot("listed bulkhead").is_none());
}
