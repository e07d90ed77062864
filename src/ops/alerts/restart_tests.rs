//! Alerts before and after a restart.

use std::time::Duration;

use super::{
    AlertSettings, Rule,
    fixtures::{MIN, World, rule, s},
};
use crate::ops::journal::{EventKind, Severity};

#[test]
fn restart_keeps_pending_time_without_the_outage() {
    let rule = || rule().for_(s(60));
    let mut world = World::new(rule());
    world.run("1111").restart(100, rule());
    // 30 s before, and 30 s after it.
    world.run("111").expect(&[]);
    world.run("1").expect(&["170 active", "170 told firing"]);
    let mut world = World::new(rule());
    // Longer than five minutes: it begins anew.
    world.run("1111").restart(400, rule());
    world.run("111111").expect(&[]);
    world.run("1").expect(&["500 active", "500 told firing"]);
}

/// An active alert is stored once a minute: the process seemed to be down for up to a minute more than it was.
#[test]
fn time_for_which_the_process_was_down_is_known_to_five_seconds() {
    let down_for = |world: &World| {
        let alert = world.engine.alerts().next().expect("an alert");
        let entries = alert.timeline.iter();
        let restarted = entries.filter(|entry| entry.what == "restarted");
        restarted
            .map(|entry| entry.text.clone())
            .collect::<Vec<_>>()
    };
    let mut world = World::new(rule());
    world.see(0, &[("a", Some(1.0))]);
    (1..=52).for_each(|second| world.see(second, &[("a", Some(1.0))]));
    world.restart(8, rule());
    assert_eq!(down_for(&world), ["the process was down for 10 s"]);
    // An event is not seen again, and the process is.
    let of_event = || Rule::new("e").when("event(guard)").keep_firing_for(s(600));
    let mut world = World::new(of_event());
    world.happen(0, EventKind::Guard, Severity::Critical, "payments");
    (1..=45).for_each(|second| world.tick(second));
    world.restart(20, of_event());
    assert_eq!(down_for(&world), ["the process was down for 20 s"]);
    // What the process itself has stored, where the file could not be read at first.
    world.tick(66);
    world.restart(30, of_event());
    assert_eq!(
        down_for(&world).last().map(String::as_str),
        Some("the process was down for 31 s")
    );
}

#[test]
fn restart_keeps_alert_acknowledgement_silence_and_history() {
    let settings = AlertSettings {
        group_wait: Duration::ZERO,
        repeat_interval: Some(MIN),
        ..AlertSettings::default()
    };
    let mut world = World::with(settings, rule());
    world.run("10");
    world.second += 60;
    world.run("1");
    world.acknowledge();
    world.silence("alertname=x", 1_000_000);
    world.log.clear();
    let before = world.engine.alerts().next().cloned().expect("it is active");
    world.restart(1_000, rule());
    let after = world.engine.alerts().next().expect("it is active");
    assert_eq!(
        (after.state(), after.seq, after.flaps),
        ("acknowledged", before.seq, before.flaps)
    );
    assert_eq!(after.acknowledged(), before.acknowledged());
    assert_eq!(after.timeline.len(), before.timeline.len() + 1);
    assert_eq!(
        (
            world.engine.silences().len(),
            world.engine.history().count()
        ),
        (1, 1)
    );
    world.run(&"1".repeat(30)).expect(&[]);
    world
        .run("0")
        .expect(&["1390 resolved", "1390 told resolved"]);
    world.run("1");
    assert_eq!(world.engine.alerts().next().map(|alert| alert.seq), Some(3));
}

#[test]
fn alert_that_cleared_while_the_process_was_down_resolves_and_says_so() {
    let mut world = World::new(rule());
    world.run("1").restart(1_000, rule());
    world.log.clear();
    world
        .run("0")
        .expect(&["1010 resolved", "1010 told resolved"]);
    let alert = world.engine.history().next().expect("it is over");
    let entry = alert.timeline.iter().find(|entry| entry.what == "resolved");
    let expected = "the condition has not held since the process was restarted";
    assert_eq!(entry.map(|entry| &*entry.text), Some(expected));
    assert!(
        world
            .stored
            .keys()
            .all(|(collection, _)| ["alert_history", "processes"].contains(collection))
    );
}

#[test]
fn alert_whose_rule_is_gone_resolves_at_the_start() {
    let mut world = World::new(rule());
    world.run("1");
    world.log.clear();
    let other = Rule::new("other").when("load > 1");
    world
        .restart(10, other)
        .expect(&["20 resolved", "20 told resolved"]);
    assert_eq!(world.engine.alerts().count(), 0);
    assert!(
        world
            .stored
            .keys()
            .all(|(collection, _)| ["alert_history", "processes"].contains(collection))
    );
}

#[test]
fn end_that_was_not_told_before_a_restart_is_told_after_it() {
    let settings = AlertSettings {
        group_wait: s(10),
        ..AlertSettings::default()
    };
    let mut world = World::with(settings, rule());
    world.run("1").run("1").run("0");
    world.expect(&["0 active", "10 told firing", "20 resolved"]);
    world.restart(5, rule());
    world.tick(60);
    world.expect(&["60 told resolved"]);
}

#[test]
fn alert_is_told_and_ends_although_the_clock_was_set_back() {
    let rule = || rule().cooldown(MIN).keep_firing_for(s(30));
    let mut world = World::new(rule());
    world.second = 1_000;
    world.run("1").run("0").log.clear();
    world.second = 0;
    world
        .restart(100, rule())
        .run("0000")
        .expect(&["130 resolved", "130 told resolved"]);
    // A minute after the notification before, and not once the clock is there again.
    world
        .run("111111")
        .expect(&["140 active", "190 told firing"]);
    let event = || Rule::new("r").when("event(error)").keep_firing_for(MIN);
    let mut world = World::new(event());
    world.happen(1_000, EventKind::Error, Severity::Critical, "Disk");
    world.log.clear();
    world.second = 0;
    world.restart(100, event()).tick(160);
    world.expect(&["160 resolved", "160 told resolved"]);
}

#[test]
fn documents_that_cannot_be_read_are_left_out() {
    let mut world = World::new(rule());
    world.run("1");
    world.silence("a=b", 10);
    for document in world.stored.values_mut() {
        for json in ["", "{}", "[]", r#"{"seq": -1}"#] {
            json.clone_into(&mut document.json);
        }
    }
    world.restart(1, rule());
    assert_eq!(
        world.engine.alerts().count() + world.engine.silences().len(),
        0
    );
}
