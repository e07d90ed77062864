use std::collections::BTreeMap;

use tower_keep::{
    CircuitBreaker,
    breaker::{BreakerRegistry, BreakerSettings, CircuitState},
};

use super::{fail, one_in_a_row, with};

type Settings = BTreeMap<String, BreakerSettings>;

fn named<const N: usize>(settings: [(&str, BreakerSettings); N]) -> Settings {
    settings
        .into_iter()
        .map(|(name, settings)| (name.to_owned(), settings))
        .collect()
}

/// A registry whose breakers have two probes unless something else is applied.
fn two_probes() -> BreakerRegistry {
    let template = CircuitBreaker::builder("").probes(2);
    let built = BreakerRegistry::builder()
        .template(template)
        .max_names(3)
        .build();
    built.expect("valid settings")
}

fn own() -> BreakerSettings {
    with(|s| s.probes = 2)
}

#[test]
fn settings_apply_to_names_present_and_to_come() {
    let breakers = two_probes();
    let present = breakers.get_or_create("present");
    let unnamed = breakers.get_or_create("unnamed");
    fail(&present);
    let settings = named([("present", one_in_a_row()), ("later", one_in_a_row())]);
    breakers.apply(&settings).expect("valid settings");
    assert_eq!(
        (present.settings(), present.counts().failures),
        (one_in_a_row(), 1)
    );
    assert_eq!(unnamed.settings(), own());
    assert_eq!(
        breakers.names(),
        ["present", "unnamed"],
        "settings create nothing"
    );
    let later = breakers.get_or_create("later");
    fail(&later);
    assert_eq!(later.state(), CircuitState::Open);
}

#[test]
fn name_that_is_not_in_the_settings_any_more_gets_its_own_back() {
    let breakers = two_probes();
    let created = breakers.get_or_create("created");
    let direct = breakers.get_or_create("direct");
    direct.apply(&one_in_a_row()).expect("valid settings");
    let inserted = CircuitBreaker::builder("inserted").probes(7).build();
    let inserted = inserted.expect("valid settings");
    let settings = named([("created", one_in_a_row()), ("inserted", one_in_a_row())]);
    breakers.apply(&settings).expect("valid settings");
    breakers.insert(inserted.clone());
    assert_eq!(
        inserted.settings(),
        one_in_a_row(),
        "applied when it is inserted"
    );
    breakers.apply(&Settings::new()).expect("valid settings");
    assert_eq!(created.settings(), own());
    assert_eq!(inserted.settings(), with(|s| s.probes = 7));
    assert_eq!(direct.settings(), one_in_a_row(), "was never in them");
    breakers.remove("created");
    assert_eq!(breakers.get_or_create("created").settings(), own());
}

#[test]
fn settings_of_a_created_name_come_back_to_those_of_its_factory() {
    let breakers = two_probes();
    let settings = named([("a", one_in_a_row())]);
    breakers.apply(&settings).expect("valid settings");
    let a = breakers.get_or_create("a");
    assert_eq!(a.settings(), one_in_a_row());
    breakers.apply(&Settings::new()).expect("valid settings");
    assert_eq!(a.settings(), own());
}

#[test]
fn invalid_settings_of_one_name_change_none() {
    let breakers = two_probes();
    let a = breakers.get_or_create("a");
    let before = named([("a", one_in_a_row())]);
    breakers.apply(&before).expect("valid settings");
    let invalid = with(|s| s.failure_rate = Some(50.0));
    let settings = named([("a", own()), ("b", invalid), ("c", own())]);
    let error = breakers.apply(&settings).expect_err("invalid").to_string();
    let text = "breaker \"b\": failure_rate is 50, must be above 0 and at most 1 (a fraction; did you mean 0.5?)";
    assert_eq!(error, text);
    assert_eq!(a.settings(), one_in_a_row());
    assert_eq!(breakers.get_or_create("c").settings(), own());
    // What was applied before is what leaves.
    breakers.apply(&Settings::new()).expect("valid settings");
    assert_eq!(a.settings(), own());
}

#[test]
fn settings_are_for_at_most_as_many_names_as_the_registry_holds() {
    let breakers = two_probes();
    let names = ["a", "b", "c", "d"];
    let settings: Settings = names.map(|name| (name.to_owned(), own())).into();
    let error = breakers.apply(&settings).expect_err("too many").to_string();
    let text = "breaker registry: settings is for 4 names, must be for at most 3 names";
    assert_eq!(error, text);
    let allowed: Settings = settings.into_iter().skip(1).collect();
    breakers.apply(&allowed).expect("as many as it holds");

    let long = "é".repeat(200);
    let error = breakers
        .apply(&named([(&long, own())]))
        .expect_err("too long")
        .to_string();
    let text = format!(
        "breaker registry: name is {:?}.. of 400 bytes, must be at most 256 bytes",
        "é".repeat(32)
    );
    assert_eq!(error, text);
    breakers
        .apply(&named([(&long[..256], own())]))
        .expect("as long as a name may be");
}

#[test]
fn settings_apply_to_the_breaker_of_names_past_the_limit() {
    let breakers = two_probes();
    for name in ["a", "b", "c"] {
        breakers.get_or_create(name);
    }
    let settings = named([("_OTHER", one_in_a_row()), ("d", with(|s| s.probes = 9))]);
    breakers.apply(&settings).expect("valid settings");
    let overflow = breakers.get_or_create("d");
    assert_eq!(
        (overflow.name(), overflow.settings()),
        ("_OTHER", one_in_a_row())
    );
    breakers.apply(&Settings::new()).expect("valid settings");
    assert_eq!(overflow.settings(), own());
    breakers.apply(&settings).expect("valid settings");
    assert_eq!(overflow.settings(), one_in_a_row());
}

#[test]
fn settings_apply_to_breakers_of_the_global_registry() {
    let name = "applied globally";
    let breaker = tower_keep::breaker(name);
    let global = BreakerRegistry::global();
    global
        .apply(&named([(name, one_in_a_row())]))
        .expect("valid settings");
    assert_eq!(tower_keep::breaker(name).settings(), one_in_a_row());
    global.apply(&Settings::new()).expect("valid settings");
    assert_eq!(breaker.settings(), BreakerSettings::default());
}
