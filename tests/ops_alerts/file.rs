//! Settings of a file.

use std::time::Duration;

use tower_keep::ops::{
    alerts::{AlertSettings, NoData},
    journal::Severity,
};

#[test]
fn settings_of_a_file_are_those_of_code() {
    let file = r#"
        group_wait = "5s"
        repeat_interval = "off"
        [[rule]]
        name = "backlog"
        when = "load by (id) > 10"
        for = "30s"
        keep_firing_for = "2m"
        every = "15s"
        severity = "critical"
        critical_at = 100
        no_data = "ok"
        cooldown = "10m"
        max_alerts = 7
        summary = "{value}"
        labels = { team = "mail" }
        annotations = { runbook = "x" }
    "#;
    let settings: AlertSettings = toml::from_str(file).expect("settings");
    assert_eq!(settings.group_wait, Duration::from_secs(5));
    assert_eq!(settings.repeat_interval, None);
    let rule = &settings.rules[0];
    assert_eq!(
        (rule.for_, rule.keep_firing_for),
        (Duration::from_secs(30), Some(Duration::from_secs(120)))
    );
    assert_eq!(
        (rule.severity, rule.no_data, rule.max_alerts),
        (Some(Severity::Critical), NoData::Ok, 7)
    );
    settings.check().expect("valid");
    let again: AlertSettings =
        toml::from_str(&toml::to_string(&settings).expect("TOML")).expect("settings");
    assert_eq!(again, settings);
    let json = serde_json::to_string(&AlertSettings::default()).expect("JSON");
    assert_eq!(
        serde_json::from_str::<AlertSettings>(&json).expect("settings"),
        AlertSettings::default()
    );
}

#[test]
fn wrong_settings_of_a_file_are_named() {
    for (file, part) in [
        ("group = \"5s\"", "unknown field `group`"),
        ("[[rule]]\nfor_ = \"5s\"", "unknown field `for_`"),
        ("[[rule]]\nfor = 5", "a duration with its unit"),
        (
            "[[rule]]\nseverity = \"high\"",
            "unknown variant `high`, expected one of `info`, `warning`, `critical`",
        ),
        (
            "[[rule]]\nno_data = \"off\"",
            "expected one of `keep`, `ok`, `alert`",
        ),
    ] {
        let error = toml::from_str::<AlertSettings>(file)
            .expect_err(file)
            .to_string();
        assert!(error.contains(part), "{error}");
    }
    for (file, expected) in [
        (
            "group_wait = \"1h\"",
            "alerts: group_wait is 3600s, must be at most 600s",
        ),
        (
            "repeat_interval = \"1s\"",
            "alerts: repeat_interval is 1s, must be 60s to 604800s, or off",
        ),
        (
            "max_history = 0",
            "alerts: max_history is 0, must be 1 to 100000",
        ),
        (
            "[[rule]]\nname = \"r\"\nwhen = \"load >\"",
            "rule \"r\": when is \"load >\", must be a number, which may have a unit of %, ms, s, m or h, like > 5%",
        ),
    ] {
        let settings: AlertSettings = toml::from_str(file).expect(file);
        assert_eq!(settings.check().expect_err(file).to_string(), expected);
    }
}
