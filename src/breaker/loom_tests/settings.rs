//! Settings that are applied while calls are counted: none is lost, none counted twice, and the last settings win.

use super::*;
use crate::breaker::{
    BreakerRegistry, BreakerSettings, KeyedBreaker, config::BreakerConfig,
    settings_version::next_settings_version,
};

impl TestBreaker {
    /// Applies settings, which the model must not log.
    fn apply(&self, builder: &CircuitBreakerBuilder) {
        let config = builder.validated().expect("valid settings");
        self.shared.apply(next_settings_version(), &config);
    }

    fn counts(&self) -> (u64, u64) {
        let counts = self.machine().counts(self.at(BUCKET));
        (counts.calls, counts.failures)
    }
}

fn wide() -> CircuitBreakerBuilder {
    settings().time_window(Duration::from_millis(30 * BUCKET), 10)
}

fn count() -> CircuitBreakerBuilder {
    settings().count_window(10)
}

/// Plays calls beside this change of the window, and back.
fn calls_are_counted_once(
    before: fn() -> CircuitBreakerBuilder,
    after: fn() -> CircuitBreakerBuilder,
) {
    model(move || {
        let breaker = TestBreaker::new(before());
        let a = breaker.spawn(|breaker| {
            breaker.call(Outcome::Success, 0);
            breaker.call(Outcome::Failure, 0);
        });
        breaker.apply(&after());
        breaker.call(Outcome::Success, BUCKET);
        join([a]);
        assert_eq!(breaker.counts(), (3, 1));
        breaker.apply(&before());
        assert_eq!(breaker.counts(), (3, 1));
        breaker.check();
    });
}

#[test]
fn calls_are_counted_once_while_buckets_get_another_width() {
    calls_are_counted_once(settings, wide);
}

#[test]
fn calls_are_counted_once_while_a_time_window_becomes_a_count_window() {
    calls_are_counted_once(settings, count);
}

#[test]
fn calls_are_counted_once_while_a_count_window_becomes_a_time_window() {
    calls_are_counted_once(count, settings);
}

/// Two windows that are full of successes after two: a success that another changes nothing is dropped only if it belongs
/// to such a window.
#[test]
fn success_is_not_dropped_while_a_full_count_window_grows() {
    model(|| {
        let breaker = TestBreaker::new(settings().count_window(2));
        breaker.call(Outcome::Success, 0);
        breaker.call(Outcome::Success, 0);
        let a = breaker.spawn(|breaker| {
            breaker.call(Outcome::Success, 0);
        });
        breaker.apply(&count());
        // The thread has made its call before or after this.
        let (calls, _) = breaker.counts();
        breaker.call(Outcome::Success, 0);
        join([a]);
        let (all, _) = breaker.counts();
        assert!(
            (2..=3).contains(&calls) && (3..=4).contains(&all),
            "{calls}, {all}"
        );
        assert!(all > calls);
    });
}

#[test]
fn heads_whose_bodies_break_are_one_call_each_while_the_window_changes() {
    for after in [wide, count] {
        model(move || {
            let breaker = TestBreaker::new(settings());
            let a = breaker.spawn(|breaker| {
                let mut permit = breaker.admit(0).expect("closed");
                breaker.head(&mut permit, Evidence::Healthy, 0);
                breaker.complete(permit, Outcome::Failure, 0);
            });
            breaker.apply(&after());
            let mut permit = breaker.admit(0).expect("closed");
            breaker.head(&mut permit, Evidence::Healthy, 0);
            join([a]);
            assert_eq!(breaker.counts(), (2, 1));
            breaker.check();
        });
    }
}

#[test]
fn failures_in_a_row_are_exact_while_the_window_changes() {
    model(|| {
        let breaker = TestBreaker::new(settings().consecutive_failures(2));
        let a = breaker.spawn(|breaker| breaker.apply(&wide().consecutive_failures(2)));
        breaker.call(Outcome::Failure, 0);
        breaker.call(Outcome::Success, 0);
        breaker.call(Outcome::Failure, 0);
        join([a]);
        assert_eq!(breaker.machine().state(), CircuitState::Closed);
        assert_eq!(breaker.machine().consecutive_failures(), 1);
        assert_eq!(breaker.counts(), (3, 2));
        breaker.check();
    });
}

#[test]
fn circuit_opens_once_while_settings_are_applied() {
    model(|| {
        let breaker = TestBreaker::new(settings().consecutive_failures(1));
        let a = breaker.spawn(|breaker| breaker.apply(&count().consecutive_failures(1)));
        breaker.call(Outcome::Success, 0);
        breaker.call(Outcome::Failure, 0);
        join([a]);
        assert_eq!(breaker.machine().state(), CircuitState::Open);
        assert_eq!(breaker.machine().generation(), 1);
        assert_eq!(breaker.shared.settings().count_window, Some(10));
        breaker.check();
    });
}

#[test]
fn settings_applied_at_once_end_with_the_later_version_everywhere() {
    fn versioned(builder: CircuitBreakerBuilder) -> (u64, BreakerConfig) {
        (
            next_settings_version(),
            builder.validated().expect("valid settings"),
        )
    }
    model(|| {
        let breakers = [TestBreaker::new(settings()), TestBreaker::new(settings())];
        let (earlier, later) = (versioned(wide()), versioned(count()));
        let others = breakers.clone();
        let a = thread::spawn(move || {
            for breaker in &others {
                breaker.shared.apply(earlier.0, &earlier.1);
            }
        });
        for breaker in breakers.iter().rev() {
            breaker.shared.apply(later.0, &later.1);
        }
        join([a]);
        for breaker in &breakers {
            assert_eq!(breaker.shared.settings(), later.1.settings);
        }
    });
}

fn strict() -> BreakerSettings {
    BreakerSettings {
        failure_rate: Some(0.1),
        ..BreakerSettings::default()
    }
}

#[test]
fn key_that_is_inserted_while_settings_are_applied_has_them() {
    model(|| {
        let keyed: KeyedBreaker<u32> = KeyedBreaker::new("model");
        let other = keyed.clone();
        let a = thread::spawn(move || drop(other.get_owned(1)));
        keyed.apply(&strict()).expect("valid settings");
        join([a]);
        assert_eq!(keyed.get_owned(1).settings(), strict());
    });
}

#[test]
fn named_breaker_that_is_created_while_settings_are_applied_has_them() {
    model(|| {
        let breakers = BreakerRegistry::new();
        let other = breakers.clone();
        let a = thread::spawn(move || drop(other.get_or_create("a")));
        let settings = [("a".to_owned(), strict())].into();
        breakers.apply(&settings).expect("valid settings");
        join([a]);
        assert_eq!(breakers.get_or_create("a").settings(), strict());
    });
}
