//! Cooldown, acknowledgements, silences and groups: the times at which alerts are told.

use std::time::Duration;

use super::{
    AlertSettings,
    alert::Alert,
    fixtures::{MIN, World, at, rule, s},
};
use crate::ops::journal::Severity;

#[test]
fn cooldown_delays_that_it_fires_and_never_that_it_is_resolved() {
    let mut world = World::new(rule().cooldown(s(100)));
    world.run("10").expect(&[
        "0 active",
        "0 told firing",
        "10 resolved",
        "10 told resolved",
    ]);
    world.run("11111111").expect(&["20 active"]);
    world.run("1").expect(&["100 told firing"]);
    world
        .run("0")
        .expect(&["110 resolved", "110 told resolved"]);
    // Within the cooldown: not told, and so no end of it either.
    world.run("10").expect(&["120 active", "130 resolved"]);
}

#[test]
fn cooldown_does_not_delay_what_is_more_severe() {
    let mut world = World::new(rule().cooldown(s(1_000)).critical_at(2.0));
    world.run("12").expect(&[
        "0 active",
        "0 told firing",
        "10 active, critical",
        "10 told firing",
    ]);
    assert_eq!(world.groups[1].severity, Severity::Critical);
}

#[test]
fn acknowledged_alert_is_not_repeated_until_it_is_more_severe() {
    let settings = AlertSettings {
        group_wait: Duration::ZERO,
        repeat_interval: Some(MIN),
        ..AlertSettings::default()
    };
    let mut world = World::with(settings, rule().critical_at(2.0));
    world
        .run("1111111")
        .expect(&["0 active", "0 told firing", "60 told firing"]);
    world.acknowledge();
    world.run(&"1".repeat(30)).expect(&["70 told acknowledged"]);
    world
        .run("2")
        .expect(&["370 active, critical", "370 told firing"]);
    assert_eq!(
        world.engine.alerts().next().map(Alert::state),
        Some("active")
    );
    world.acknowledge();
    world.run("1").expect(&["380 told acknowledged"]);
    // The severity for which it was acknowledged is not exceeded.
    world.run("2").expect(&["390 active, critical"]);
    world
        .run("0")
        .expect(&["400 resolved", "400 told resolved"]);
}

#[test]
fn alert_that_was_acknowledged_before_it_was_told_is_never_told() {
    let settings = AlertSettings {
        group_wait: s(30),
        ..AlertSettings::default()
    };
    let mut world = World::with(settings, rule());
    world.run("1");
    world.acknowledge();
    world.run("1111110").expect(&["0 active", "70 resolved"]);
}

#[test]
fn silenced_alert_is_not_told_but_its_end_is() {
    let mut world = World::new(rule());
    world.run("1").expect(&["0 active", "0 told firing"]);
    world.silence("alertname=r", 1_000);
    world.run("11").expect(&[]);
    let now = at(world.second);
    assert_eq!(
        world
            .engine
            .silenced_by(&world.engine.alerts().next().cloned().expect("active"), now)
            .count(),
        1
    );
    world.run("0").expect(&["30 resolved", "30 told resolved"]);
    // Active and resolved within the silence: nobody was told of either.
    world.run("10").expect(&["40 active", "50 resolved"]);
}

#[test]
fn alert_that_outlives_its_silence_is_told_then() {
    let mut world = World::new(rule());
    world.silence("id=a*", 100);
    world.run("11").expect(&["0 active"]);
    world.tick(99);
    world.expect(&[]);
    world.tick(100);
    world.expect(&["100 told firing"]);
    let mut world = World::new(rule());
    let id = world.silence("severity=warning", 1_000);
    world.run("1").expect(&["0 active"]);
    let (before, changes) = world.engine.end_silence(at(10), &id).expect("it is active");
    assert_eq!(before.id, id);
    world.take(changes);
    world.expect(&["10 told firing"]);
    assert!(world.engine.end_silence(at(20), &id).is_err(), "it is over");
}

#[test]
fn alerts_of_a_rule_are_told_together_after_a_wait() {
    let settings = AlertSettings {
        group_wait: s(10),
        repeat_interval: None,
        ..AlertSettings::default()
    };
    let mut world = World::with(settings, rule());
    world.see(0, &[("a", Some(1.0))]);
    world.see(5, &[("a", Some(1.0)), ("b", Some(1.0))]);
    world.tick(9);
    world.expect(&["0 active", "5 active"]);
    world.tick(10);
    world.expect(&["10 told firing firing"]);
    // One more within the minute waits for its end; it lists what fires on.
    world.see(20, &[("a", Some(1.0)), ("b", Some(1.0)), ("c", Some(1.0))]);
    world.tick(69);
    world.expect(&["20 active"]);
    world.tick(70);
    world.expect(&["70 told firing firing firing"]);
    // Resolved before it was told: nothing is.
    world.see(
        80,
        &[
            ("a", Some(1.0)),
            ("b", Some(1.0)),
            ("c", Some(1.0)),
            ("d", Some(1.0)),
        ],
    );
    world.see(
        85,
        &[
            ("a", Some(1.0)),
            ("b", Some(1.0)),
            ("c", Some(1.0)),
            ("d", Some(0.0)),
        ],
    );
    world.tick(200);
    world.expect(&["80 active", "85 resolved"]);
    world.see(210, &[("a", Some(0.0)), ("b", Some(1.0)), ("c", Some(1.0))]);
    world.tick(220);
    world.expect(&["210 resolved", "220 told resolved firing firing"]);
    assert!(world.groups.last().is_some_and(|group| group.is_firing));
    world.see(230, &[("b", Some(0.0)), ("c", Some(0.0))]);
    world.tick(240);
    world.expect(&["230 resolved", "230 resolved", "240 told resolved resolved"]);
    assert!(
        world
            .groups
            .last()
            .is_some_and(|group| !group.is_firing && group.key == "orders:r")
    );
}

#[test]
fn silences_are_bounded_and_old_ones_are_forgotten() {
    let mut world = World::new(rule());
    for _ in 0..200 {
        world.silence("a=b", 10);
    }
    let silence = world.engine.silences()[0].clone();
    assert!(world.engine.silence(at(0), silence).is_err());
    world.tick(10);
    (0..300).for_each(|turn| {
        world.second = 20 + turn * 20;
        world.silence("a=b", 10);
    });
    assert!(
        world.engine.silences().len() <= 400,
        "{}",
        world.engine.silences().len()
    );
    world.tick(8 * 86_400);
    assert_eq!((world.engine.silences().len(), world.stored.len()), (0, 0));
}
