//! Any order of evaluations, operators and restarts.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::{
    AlertSettings,
    fixtures::{MIN, World, at, rule, s},
};

/// An event of ten seconds.
#[derive(Clone, Debug)]
enum Turn {
    See([u8; 3]),
    Acknowledge,
    Silence(u64),
    Resolve,
    Restart(u64),
}

fn any_turn() -> impl Strategy<Value = Turn> {
    prop_oneof![
        12 => prop::array::uniform3(0_u8..5).prop_map(Turn::See),
        1 => Just(Turn::Acknowledge),
        1 => (1_u64..100).prop_map(Turn::Silence),
        1 => Just(Turn::Resolve),
        1 => (0_u64..600).prop_map(Turn::Restart),
    ]
}

proptest! {
    #[test]
    fn alert_that_was_told_is_told_to_be_resolved_exactly_once(
        turns in prop::collection::vec(any_turn(), 0..80),
        for_ in 0_u64..40, keep in 0_u64..40, cooldown in 0_u64..200, wait in 0_u64..30,
    ) {
        let rule = || rule().for_(s(for_)).keep_firing_for(s(keep)).cooldown(s(cooldown)).critical_at(2.0);
        let settings = AlertSettings { group_wait: s(wait), repeat_interval: Some(MIN), ..AlertSettings::default() };
        let mut world = World::with(settings, rule());
        // Since when each series has held without an evaluation that it does not.
        let mut held: BTreeMap<&str, Option<u64>> = BTreeMap::new();
        for turn in turns {
            let second = world.second;
            match turn {
                Turn::See(values) => {
                    let values = ["a", "b", "c"].into_iter().zip(values.map(|value| match value {
                        0 | 1 => Some(0.0),
                        2 => None,
                        other => Some(f64::from(other - 2)),
                    }));
                    let values: Vec<_> = values.collect();
                    for (id, value) in &values {
                        let since = held.entry(*id).or_default();
                        match value {
                            Some(value) if *value > 0.5 => drop(since.get_or_insert(second)),
                            Some(_) => *since = None,
                            None => {}
                        }
                    }
                    let was_active = |world: &World| {
                        let active = world.engine.alerts().filter(|alert| alert.is_active());
                        active.map(|alert| alert.series["id"].clone()).collect::<Vec<_>>()
                    };
                    let before = was_active(&world);
                    world.see(second, &values);
                    for id in was_active(&world).iter().filter(|id| !before.contains(id)) {
                        let since = held[id.as_str()].expect("it holds");
                        prop_assert!(second - since >= for_, "{} after {}", id, second - since);
                    }
                }
                Turn::Acknowledge => {
                    let active = world.engine.alerts().find(|alert| alert.is_active());
                    if let Some(fingerprint) = active.map(|alert| alert.fingerprint.clone()) {
                        let done = world.engine.acknowledge(at(second), &fingerprint, (None, "x"));
                        world.take(done.expect("it is active").1);
                    }
                }
                Turn::Silence(time) => drop(world.silence("id=a", time)),
                Turn::Resolve => {
                    let open = world.engine.alerts().find(|alert| !alert.is_resolved());
                    if let Some(fingerprint) = open.map(|alert| alert.fingerprint.clone()) {
                        let done = world.engine.resolve(at(second), &fingerprint, (None, "x"));
                        world.take(done.expect("it is open").1);
                    }
                }
                Turn::Restart(down) => drop(world.restart(down, rule())),
            }
            world.second += 10;
        }
        // All is well for an hour.
        for _ in 0..360 {
            let second = world.second;
            world.see(second, &[("a", Some(0.0)), ("b", Some(0.0)), ("c", Some(0.0))]);
            world.second += 10;
        }
        let mut fires = BTreeMap::<&str, bool>::new();
        for alert in world.groups.iter().flat_map(|group| &group.alerts) {
            let before = fires.insert(&alert.fingerprint, alert.is_firing).unwrap_or(false);
            prop_assert!(alert.is_firing || before, "resolved without having been told");
        }
        prop_assert!(fires.values().all(|fires| !fires), "{:?}", fires);
        prop_assert!(world.stored.keys().all(|(collection, _)| *collection != "alerts"));
    }
}
