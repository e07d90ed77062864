use tower_keep::{
    CircuitBreaker,
    breaker::{BreakerSettings, CircuitState, KeyedBreaker},
};

use super::{fail, one_in_a_row, with};

#[test]
fn settings_apply_to_keys_present_and_to_come() {
    let keyed: KeyedBreaker<u32> = KeyedBreaker::new("b");
    let present = keyed.get_owned(1);
    fail(&present);
    keyed.apply(&one_in_a_row()).expect("valid settings");
    assert_eq!(keyed.settings(), one_in_a_row());
    assert_eq!(present.counts().failures, 1);
    for key in [1, 2] {
        let breaker = keyed.get_owned(key);
        assert_eq!(breaker.settings(), one_in_a_row());
        fail(&breaker);
        assert_eq!(breaker.state(), CircuitState::Open);
    }
    assert_eq!(keyed.keys_in(CircuitState::Open), 2);
}

#[test]
fn invalid_settings_change_no_key() {
    let template = CircuitBreaker::builder("b").settings(&one_in_a_row());
    let keyed: KeyedBreaker<u32> = KeyedBreaker::builder(template)
        .build()
        .expect("valid settings");
    let present = keyed.get_owned(1);
    let invalid = with(|s| s.probes = 0);
    let error = keyed.apply(&invalid).expect_err("invalid").to_string();
    assert_eq!(error, r#"breaker "b": probes is 0, must be 1 to 1000"#);
    for settings in [
        keyed.settings(),
        present.settings(),
        keyed.get_owned(2).settings(),
    ] {
        assert_eq!(settings, one_in_a_row());
    }
}

#[test]
fn settings_of_all_keys_replace_those_of_one() {
    let keyed: KeyedBreaker<u32> = KeyedBreaker::new("b");
    let [one, other] = [1, 2].map(|key| keyed.get_owned(key));
    one.apply(&one_in_a_row()).expect("valid settings");
    assert_eq!(other.settings(), BreakerSettings::default());
    keyed
        .apply(&BreakerSettings::default())
        .expect("valid settings");
    assert_eq!(one.settings(), BreakerSettings::default());
}

#[test]
fn registry_shows_the_shadow_mode_that_was_applied_to_all_keys() {
    use crate::support::listing::listing;
    let keyed: KeyedBreaker<u32> = KeyedBreaker::new("shadowed keys");
    let mode = || {
        let mut snapshots = listing().snapshots();
        snapshots.retain(|snapshot| snapshot.name() == "shadowed keys");
        format!("{:?}", snapshots)
    };
    let before = mode();
    keyed
        .apply(&with(|s| s.shadow = true))
        .expect("valid settings");
    assert!(
        before.contains(r#""on""#) && mode().contains(r#""shadow""#),
        "{before}"
    );
}
