use std::{collections::BTreeMap, time::Duration};

use proptest::prelude::*;
use tower_keep::breaker::{BreakerRegistry, BreakerSettings};

use super::{settings, with};

type Settings = BTreeMap<String, BreakerSettings>;

fn error(text: &str) -> String {
    toml::from_str::<Settings>(text)
        .expect_err(text)
        .to_string()
}

#[test]
fn file_has_durations_with_units_and_off_for_what_is_switched_off() {
    let text = r#"
        [a]
        time_window = "1m 30s"
        time_window_buckets = 9
        count_window = "off"
        min_calls = 5
        failure_rate = "off"
        consecutive_failures = 5
        slow_call = "250ms"
        slow_rate = 1
        open_time = "5s"
        open_backoff = 3
        max_open_time = "2m"
        open_jitter = 0
        probes = 1
        probe_success_ratio = 1
        probe_timeout = "10s"
        shadow = true
        open_on_retry_after = "1m"

        [b]
        slow_call = "off"
        count_window = 50
    "#;
    let second = Duration::from_secs(1);
    let a = with(|s| {
        (s.time_window, s.time_window_buckets) = (90 * second, 9);
        s.min_calls = Some(5);
        s.failure_rate = None;
        s.consecutive_failures = Some(5);
        (s.slow_call, s.slow_rate) = (Some(second / 4), Some(1.0));
        (s.open_backoff, s.max_open_time) = (3.0, Some(120 * second));
        (s.open_jitter, s.probes, s.probe_success_ratio) = (0.0, 1, 1.0);
        (s.probe_timeout, s.shadow) = (10 * second, true);
        s.open_on_retry_after = Some(60 * second);
    });
    let b = with(|s| s.count_window = Some(50));
    let read: Settings = toml::from_str(text).expect("settings");
    assert_eq!(read, Settings::from([("a".into(), a), ("b".into(), b)]));
    BreakerRegistry::new().apply(&read).expect("valid settings");
}

#[test]
fn file_without_fields_has_the_defaults() {
    let read: BreakerSettings = toml::from_str("").expect("settings");
    assert_eq!(read, BreakerSettings::default());
    let read: BreakerSettings = serde_json::from_str("{}").expect("settings");
    assert_eq!(read, BreakerSettings::default());
}

#[test]
fn unknown_field_is_refused_with_its_place_and_the_allowed_names() {
    let text = error("[payments]\nopn_time = \"5s\"\n");
    assert!(
        text.contains("line 2") && text.contains("opn_time"),
        "{text}"
    );
    let settings = serde_json::to_value(with(|s| {
        (s.min_calls, s.max_open_time) = (Some(1), Some(Duration::MAX));
    }));
    let settings = settings.expect("JSON");
    let names = settings.as_object().expect("an object").keys();
    assert_eq!(names.len(), 17);
    for name in names {
        assert!(text.contains(&format!("`{name}`")), "{name} in {text}");
    }
    let json = r#"{"payments": {"shadow": true, "color": 1}}"#;
    let text = serde_json::from_str::<Settings>(json)
        .expect_err(json)
        .to_string();
    assert!(
        text.starts_with("unknown field `color`, expected one of `time_window`"),
        "{text}"
    );
    assert!(text.contains("line 1 column"), "{text}");
}

#[test]
fn value_of_another_type_is_refused_with_its_place_and_what_is_allowed() {
    let duration = "a duration with its unit";
    for (field, allowed) in [
        ("open_time = 5", duration),
        ("time_window = \"off\"", duration),
        ("probe_timeout = \"5\"", duration),
        ("slow_call = 250", duration),
        ("max_open_time = \"off\"", duration),
        ("open_on_retry_after = true", duration),
        ("failure_rate = \"half\"", "f64"),
        ("consecutive_failures = -1", "u32"),
        ("count_window = 1.5", "usize"),
        ("min_calls = \"off\"", "u32"),
        ("time_window_buckets = \"10\"", "usize"),
        ("probes = 4294967296", "u32"),
        ("shadow = \"yes\"", "boolean"),
    ] {
        let text = error(&format!("[payments]\n{field}\n"));
        assert!(
            text.contains("line 2") && text.contains(allowed),
            "{field}: {text}"
        );
    }
    let json = r#"{"max_open_time": null}"#;
    let text = serde_json::from_str::<BreakerSettings>(json)
        .expect_err(json)
        .to_string();
    assert!(text.contains(duration), "{text}");
}

#[test]
fn values_that_are_out_of_range_are_refused_when_they_are_applied() {
    let text = "[payments]\nfailure_rate = nan\n";
    let read: Settings = toml::from_str(text).expect("settings");
    let error = BreakerRegistry::new()
        .apply(&read)
        .expect_err(text)
        .to_string();
    assert!(
        error.starts_with(r#"breaker "payments": failure_rate is NaN"#),
        "{error}"
    );
}

proptest! {
    #[test]
    fn settings_are_read_as_they_were_written(settings in settings()) {
        let text = toml::to_string(&settings).expect("TOML");
        prop_assert_eq!(&toml::from_str::<BreakerSettings>(&text).expect(&text), &settings);
        let json = serde_json::to_string(&settings).expect("JSON");
        let read = serde_json::from_str::<BreakerSettings>(&json).expect(&json);
        // serde_json reads numbers to the last digit only with a feature of its own.
        prop_assert_eq!((read.time_window, read.max_open_time), (settings.time_window, settings.max_open_time));
    }
}
