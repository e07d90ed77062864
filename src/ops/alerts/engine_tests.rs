//! The states of alerts, and what begins and ends them.

use std::time::Duration;

use super::{
    AlertSettings, NoData, Rule,
    engine::Engine,
    fixtures::{MIN, World, at, rule, s},
    sample::{Labels, RuleSamples},
};
use crate::ops::journal::{EventKind, Severity};

#[test]
fn alert_goes_through_its_states() {
    let slow = || rule().for_(s(30));
    let kept = || rule().keep_firing_for(s(20));
    for (name, rule, values, expected) in [
        (
            "without for",
            rule(),
            "01",
            &["10 active", "10 told firing"][..],
        ),
        ("for", slow(), "1111", &["30 active", "30 told firing"]),
        ("too short", slow(), "11101110", &[]),
        (
            "resolved",
            rule(),
            "100",
            &[
                "0 active",
                "0 told firing",
                "10 resolved",
                "10 told resolved",
            ],
        ),
        (
            "kept",
            kept(),
            "1000",
            &[
                "0 active",
                "0 told firing",
                "30 resolved",
                "30 told resolved",
            ],
        ),
        (
            "flapping",
            kept(),
            "1010100",
            &["0 active", "0 told firing"],
        ),
        (
            // What only adds alerts is told once a minute: here, nobody misses anything.
            "flapping without keep",
            rule(),
            "1010",
            &[
                "0 active",
                "0 told firing",
                "10 resolved",
                "10 told resolved",
                "20 active",
                "30 resolved",
            ],
        ),
        (
            "gap while pending",
            slow(),
            "11---11",
            // 10 s before the gap, which does not count, and 20 s after it.
            &["60 active", "60 told firing"],
        ),
        (
            "gap while active",
            rule(),
            "1---1",
            &["0 active", "0 told firing"],
        ),
        (
            "gap while it is kept",
            kept(),
            "10--0",
            &[
                "0 active",
                "0 told firing",
                "40 resolved",
                "40 told resolved",
            ],
        ),
        (
            "no data is ok",
            rule().no_data(NoData::Ok),
            "1-",
            &[
                "0 active",
                "0 told firing",
                "10 resolved",
                "10 told resolved",
            ],
        ),
        (
            "no data is an alert",
            slow().no_data(NoData::Alert),
            "0----0",
            &[
                "40 active",
                "40 told firing",
                "50 resolved",
                "50 told resolved",
            ],
        ),
        (
            "more severe",
            rule().critical_at(2.0),
            "12",
            &[
                "0 active",
                "0 told firing",
                "10 active, critical",
                "10 told firing",
            ],
        ),
        (
            "less severe",
            rule().critical_at(2.0),
            "21",
            &["0 active, critical", "0 told firing"],
        ),
    ] {
        let mut world = World::new(rule);
        world.run(values);
        assert_eq!(world.log, expected, "{name}");
    }
}

#[test]
fn flaps_are_counted_within_an_hour() {
    let mut world = World::new(rule().keep_firing_for(s(20)));
    world.run("10101");
    assert_eq!(
        world.engine.alerts().next().map(|alert| alert.flaps),
        Some(2)
    );
    world.run("0001");
    assert_eq!(
        world.engine.alerts().next().map(|alert| alert.flaps),
        Some(3),
        "it came back"
    );
    world.run("000");
    world.second += 3_600;
    world.run("1");
    assert_eq!(
        world.engine.alerts().next().map(|alert| alert.flaps),
        Some(0)
    );
}

#[test]
fn alert_without_data_for_an_hour_resolves() {
    let mut world = World::new(rule());
    world.run("1").run(&"-".repeat(360));
    world.expect(&["0 active", "0 told firing"]);
    world.run("--");
    world.expect(&["3610 resolved", "3610 told resolved"]);
    let alert = world.engine.history().next().expect("it is over");
    let entry = alert.timeline.iter().find(|entry| entry.what == "resolved");
    assert_eq!(
        entry.map(|entry| &*entry.text),
        Some("there has been no data for an hour")
    );
}

#[test]
fn series_that_is_gone_is_unknown_and_no_series_is_an_alert_of_its_own() {
    let mut world = World::new(rule());
    world.see(0, &[("a", Some(1.0)), ("b", Some(1.0))]);
    world.expect(&["0 active", "0 active", "0 told firing firing"]);
    world.see(10, &[("b", Some(1.0))]);
    world.see(20, &[]);
    world.expect(&[]);
    let mut world = World::new(rule().no_data(NoData::Alert));
    world.see(0, &[]);
    world.expect(&["0 active", "0 told firing"]);
    let alert = world.engine.alerts().next().expect("it is active");
    assert_eq!((&alert.series, alert.value), (&Labels::new(), None));
    world.see(10, &[]);
    world.expect(&[]);
    world.see(20, &[("a", Some(0.0))]);
    world.expect(&["20 resolved", "20 told resolved"]);
}

#[test]
fn missing_data_after_the_start_is_no_alert() {
    let settings = AlertSettings::default();
    let rules = vec![rule().no_data(NoData::Alert)];
    let rules = settings.checked_rules(rules).expect("valid");
    let mut engine = Engine::new("orders", &settings, rules, at(0));
    let mut see = |second| {
        let _ = engine.observe(at(second), vec![(0, RuleSamples::default())]);
        engine.alerts().count()
    };
    // The window of a minute, and one evaluation.
    assert_eq!([0, 60, 70].map(&mut see), [0, 0, 1]);
}

#[test]
fn storm_is_bounded_and_counted() {
    let mut world = World::new(rule().max_alerts(30));
    let ids: Vec<_> = (0..50).map(|id| id.to_string()).collect();
    let values: Vec<_> = ids.iter().map(|id| (id.as_str(), Some(1.0))).collect();
    world.see(0, &values);
    world.see(10, &values);
    let group = world.groups.last().expect("told");
    assert_eq!((group.alerts.len(), group.truncated), (20, 10));
    assert_eq!(
        (
            world.engine.alerts().count(),
            world.engine.rules()[0].truncated
        ),
        (30, 20)
    );
    assert_eq!(world.engine.dropped(), 20);
    // Resolved ones make room, however many there were.
    for second in 2..40 {
        let id = second.to_string();
        world.see(
            second * 10,
            &values
                .iter()
                .map(|(id, _)| (*id, Some(0.0)))
                .collect::<Vec<_>>(),
        );
        world.see(second * 10 + 5, &[(&id, Some(1.0))]);
    }
    assert!(world.engine.alerts().count() <= 60);
}

#[test]
fn event_is_an_alert_of_its_subject_until_it_has_not_come_again() {
    let rule = Rule::new("r")
        .when("event(error){subject=\"Disk*\"}")
        .keep_firing_for(MIN);
    let mut world = World::new(rule);
    world.happen(0, EventKind::Error, Severity::Warning, "Timeout");
    world.happen(0, EventKind::Guard, Severity::Warning, "Disk");
    world.happen(0, EventKind::Error, Severity::Info, "Disk");
    world.expect(&[]);
    world.happen(1, EventKind::Error, Severity::Critical, "Disk");
    world.expect(&["1 active, critical", "1 told firing"]);
    assert_eq!(world.groups[0].alerts[0].summary, "Disk: it happened");
    world.happen(31, EventKind::Error, Severity::Critical, "Disk");
    world.tick(90);
    world.expect(&[]);
    world.tick(91);
    world.expect(&["91 resolved", "91 told resolved"]);
}

#[test]
fn event_of_health_ends_once_it_is_healthy() {
    let mut world = World::new(Rule::health_changed());
    world.happen(0, EventKind::Health, Severity::Critical, "db");
    world.happen(1, EventKind::Health, Severity::Critical, "cache");
    world.happen(2, EventKind::Health, Severity::Info, "other");
    world.log.clear();
    world.happen(3, EventKind::Health, Severity::Info, "db");
    assert_eq!(world.log[0], "3 resolved");
    assert_eq!(
        world
            .engine
            .alerts()
            .filter(|alert| alert.is_active())
            .count(),
        1
    );
}

#[test]
fn operator_resolves_an_alert_which_begins_anew_if_it_holds() {
    let mut world = World::new(rule().for_(s(20)));
    world.run("111").expect(&["20 active", "20 told firing"]);
    let by = (Some("mira"), "fixed");
    let (before, changes) = world
        .engine
        .resolve(at(30), &world.fingerprint(), by)
        .expect("it is active");
    assert_eq!(before.state(), "active");
    world.take(changes);
    world.expect(&["30 resolved", "30 told resolved"]);
    let again = world.engine.resolve(at(30), &world.fingerprint(), by);
    assert!(again.is_err(), "it is resolved");
    world.run("11").expect(&[]);
    world.run("1").expect(&["50 active"]);
}

#[test]
fn timeline_and_history_are_bounded() {
    let settings = AlertSettings {
        max_history: 5,
        group_wait: Duration::ZERO,
        ..AlertSettings::default()
    };
    let mut world = World::with(settings, rule());
    (0..20).for_each(|_| _ = world.run("10"));
    let seqs: Vec<_> = world.engine.history().map(|alert| alert.seq).collect();
    assert_eq!(seqs, [16, 17, 18, 19, 20]);
    let kept = world
        .stored
        .keys()
        .filter(|(collection, _)| *collection == "alert_history");
    assert_eq!(kept.count(), 5);
    let mut world = World::new(rule().critical_at(2.0));
    (0..200).for_each(|_| _ = world.run("12"));
    let alert = world.engine.alerts().next().expect("it is active");
    assert_eq!(alert.timeline.len(), 50);
    assert_eq!(alert.timeline[0].what, "pending");
}
