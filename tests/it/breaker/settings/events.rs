use std::time::Duration;

use tower_keep::{
    CircuitBreaker,
    breaker::{BreakerSettings, KeyedBreaker},
};

use super::with;
use crate::support::logs::{Event, Logs, logs};

fn applied(logs: &Logs) -> Vec<Event> {
    let mut events = logs.events("tower_keep::breaker");
    events.retain(|event| event.get("message") == "circuit breaker settings applied");
    logs.clear();
    events
}

#[test]
fn applied_settings_are_logged_once_with_the_fields_that_changed() {
    let breaker = CircuitBreaker::new("payments");
    let logs = logs();
    let settings = with(|s| {
        s.failure_rate = Some(0.2);
        s.slow_call = Some(Duration::from_millis(250));
    });
    breaker.apply(&settings).expect("valid settings");
    let [event] = applied(&logs).try_into().expect("one event");
    assert_eq!(event.level, tracing::Level::INFO);
    assert_eq!(event.get("breaker"), "payments");
    let changes = "failure_rate: 0.5 -> 0.2, slow_call: off -> 250ms";
    assert_eq!(event.get("changes"), changes);
    assert_eq!((event.get("key"), event.get("keys")), ("", ""));

    breaker.apply(&settings).expect("valid settings");
    breaker.apply(&with(|s| s.probes = 0)).expect_err("invalid");
    assert!(applied(&logs).is_empty(), "nothing has changed");

    breaker.set_shadow(true);
    breaker.apply(&settings).expect("valid settings");
    let [event] = applied(&logs).try_into().expect("one event");
    assert_eq!(event.get("changes"), "shadow: true -> false");
}

#[test]
fn applied_settings_of_all_keys_are_one_event() {
    let keyed: KeyedBreaker<u32> = KeyedBreaker::new("tenants");
    let logs = logs();
    let [a, _] = [1, 2].map(|key| keyed.get_owned(key));
    let settings = with(|s| s.probes = 5);
    keyed.apply(&settings).expect("valid settings");
    let [event] = applied(&logs).try_into().expect("one event");
    assert_eq!((event.get("breaker"), event.get("keys")), ("tenants", "2"));
    assert_eq!(event.get("changes"), "probes: 3 -> 5");
    keyed.apply(&settings).expect("valid settings");
    assert!(applied(&logs).is_empty(), "nothing has changed");

    a.apply(&BreakerSettings::default())
        .expect("valid settings");
    let [event] = applied(&logs).try_into().expect("one event");
    assert_eq!((event.get("breaker"), event.get("key")), ("tenants", "1"));
    keyed.apply(&settings).expect("valid settings");
    let [event] = applied(&logs).try_into().expect("one event");
    assert_eq!((event.get("keys"), event.get("changes")), ("1", ""));
}
