//! Changes of settings of a retry that is in use.

use std::time::Duration;

use proptest::prelude::*;
use tokio::time::Instant;

use super::{
    Backoff, Budget, BudgetSettings, Retry, RetryDecision, RetrySettings, call_config::CallConfig,
    state::RetryState,
};
use crate::{
    call::{CallClock, Outcome},
    registry::{Snapshot, Stat},
};

const SECOND: Duration = Duration::from_secs(1);

fn settings(max_attempts: u32) -> RetrySettings {
    RetrySettings {
        max_attempts,
        backoff: Backoff::constant(SECOND * max_attempts),
        ..RetrySettings::default()
    }
}

fn retry(settings: &RetrySettings) -> Retry {
    let retry = Retry::builder("applied").settings(settings).build();
    retry.expect("valid")
}

/// A call whose first attempt has begun.
fn started_call(retry: &Retry) -> RetryState {
    let (mut state, now) = (
        RetryState::new(CallConfig::new(retry)),
        CallClock::default(),
    );
    assert!(state.start_call(None, None, &now));
    state.start_first_attempt(retry, None, &now);
    state
}

/// Fails all attempts of a call. Returns the waits between them.
fn fail_attempts(retry: &Retry, state: &mut RetryState) -> Vec<Duration> {
    let mut waits = Vec::new();
    let fail = |state: &mut RetryState| {
        state.on_failure(retry, Outcome::Failure, RetryDecision::Retry, None)
    };
    while let Some(wait) = fail(state) {
        waits.push(wait);
        state.start_next_attempt(retry, None);
    }
    waits
}

fn available(retry: &Retry) -> Option<u64> {
    retry.budget()?.available(&CallClock::default())
}

fn with_budget(budget: impl Into<BudgetSettings>) -> RetrySettings {
    RetrySettings {
        budget: Some(budget.into()),
        ..RetrySettings::default()
    }
}

#[tokio::test(start_paused = true)]
async fn applied_settings_hold_for_calls_that_begin_later() {
    let retry = retry(&settings(2));
    let mut before = started_call(&retry);
    let mut failed_once = started_call(&retry);
    failed_once.on_failure(&retry, Outcome::Failure, RetryDecision::Retry, None);
    failed_once.start_next_attempt(&retry, None);
    retry.apply(&settings(4)).expect("valid");
    assert_eq!(retry.settings(), settings(4));
    let mut after = started_call(&retry);
    assert_eq!(fail_attempts(&retry, &mut failed_once), []);
    assert_eq!(fail_attempts(&retry, &mut before), [2 * SECOND]);
    assert_eq!(fail_attempts(&retry, &mut after), [4 * SECOND; 3]);
    // The oldest that are kept are those of seven changes before; the number of attempts is kept in any case.
    let mut old = started_call(&retry);
    let mut older = started_call(&retry);
    (5..12).for_each(|attempts| retry.apply(&settings(attempts)).expect("valid"));
    assert_eq!(fail_attempts(&retry, &mut old), [4 * SECOND; 3]);
    retry.apply(&settings(12)).expect("valid");
    assert_eq!(fail_attempts(&retry, &mut older), [5 * SECOND; 3]);
    assert_eq!(retry.settings(), settings(12));
}

#[tokio::test(start_paused = true)]
async fn applied_max_elapsed_is_that_of_calls_that_begin_later() {
    let mut settings = settings(3);
    let retry = retry(&settings);
    settings.max_elapsed = Some(SECOND);
    let before = started_call(&retry);
    retry.apply(&settings).expect("valid");
    assert_eq!(before.deadline(), None);
    let deadline = started_call(&retry).deadline();
    assert_eq!(deadline, Some(Instant::now() + SECOND));
}

#[tokio::test(start_paused = true)]
async fn invalid_settings_change_nothing() {
    let retry = retry(&settings(2));
    let mut invalid = settings(5);
    invalid.budget = Some(Budget::window().ratio(0.5).window(Duration::ZERO).into());
    let error = retry.apply(&invalid).expect_err("a window of zero");
    let text = r#"retry "applied", budget: window is 0ns, must be 100 ms to 1 h"#;
    assert_eq!(error.to_string(), text);
    assert_eq!(retry.settings(), settings(2));
    assert_eq!(
        fail_attempts(&retry, &mut started_call(&retry)),
        [2 * SECOND]
    );
}

#[tokio::test(start_paused = true)]
async fn budget_keeps_what_it_has_counted_while_its_kind_stays() {
    let window = Budget::window().ratio(1.0).per_second(0.0);
    let retry = retry(&with_budget(window));
    let shared = retry.budget().expect("a budget").clone();
    (0..9).for_each(|_| drop(started_call(&retry)));
    let reserved = shared.reserve(Outcome::Failure, &CallClock::default());
    assert_eq!(available(&retry), Some(8));
    retry
        .apply(&with_budget(window.per_second(1.0)))
        .expect("valid");
    assert_eq!(available(&retry), Some(18));
    assert_eq!(
        shared.settings(),
        window.per_second(1.0).into(),
        "the same budget"
    );

    // Of another kind: it starts anew, and takes back nothing that it has not given.
    let bucket = Budget::bucket().capacity(50);
    retry.apply(&with_budget(bucket)).expect("valid");
    assert_eq!(available(&retry), Some(10));
    let spent = shared.reserve(Outcome::Failure, &CallClock::default());
    let spent = spent.expect("a retry").spend();
    drop(reserved);
    assert_eq!(available(&retry), Some(9));
    retry
        .apply(&with_budget(bucket.capacity(500)))
        .expect("valid");
    assert_eq!(available(&retry), Some(90), "as full as it was");

    retry.apply(&with_budget(window)).expect("valid");
    assert_eq!(available(&retry), Some(0));
    drop(started_call(&retry));
    spent.complete(Outcome::Success);
    assert_eq!(available(&retry), Some(1));
    retry.apply(&with_budget(bucket)).expect("valid");
    assert_eq!(available(&retry), Some(10), "full again");

    retry
        .apply(&with_budget(Budget::throttle()))
        .expect("valid");
    assert_eq!(available(&retry), None);
    for _ in 0..5 {
        shared.complete(Outcome::Failure);
    }
    assert!(
        shared
            .reserve(Outcome::Failure, &CallClock::default())
            .is_none()
    );
    let half = Budget::throttle().max_tokens(100.0);
    retry.apply(&with_budget(half)).expect("valid");
    assert!(
        shared
            .reserve(Outcome::Failure, &CallClock::default())
            .is_none()
    );
}

#[tokio::test(start_paused = true)]
async fn retry_of_a_throttle_is_counted_by_no_later_budget() {
    let throttle = Budget::throttle().max_tokens(2.0);
    let retry = retry(&with_budget(throttle));
    let shared = retry.budget().expect("a budget").clone();
    let reserve = || shared.reserve(Outcome::Failure, &CallClock::default());
    let spent = || reserve().expect("tokens").spend();
    let (first, second) = (spent(), spent());
    first.complete(Outcome::Failure);
    assert!(reserve().is_none());
    retry.apply(&with_budget(Budget::bucket())).expect("valid");
    retry.apply(&with_budget(throttle)).expect("valid");
    assert!(reserve().is_some(), "started anew");
    second.complete(Outcome::Failure);
    assert!(reserve().is_some(), "of the throttle before");
}

#[tokio::test(start_paused = true)]
async fn budget_that_is_off_limits_no_retry_and_keeps_its_counts() {
    let window = Budget::window().ratio(1.0).per_second(0.0);
    let mut settings = with_budget(window);
    let retry = retry(&settings);
    let mut began_with_budget = started_call(&retry);
    settings.budget = None;
    retry.apply(&settings).expect("valid");
    assert_eq!(retry.settings().budget, None);
    assert!(retry.budget().is_none());
    assert_eq!(fail_attempts(&retry, &mut started_call(&retry)).len(), 2);
    // One call was counted, and its retry is taken out of the budget.
    assert_eq!(fail_attempts(&retry, &mut began_with_budget).len(), 1);
    retry.apply(&with_budget(window)).expect("valid");
    assert_eq!(available(&retry), Some(0));
}

#[tokio::test(start_paused = true)]
async fn shared_budget_is_changed_for_all_that_share_it() {
    let budget = Budget::window().ratio(0.5).build().expect("valid");
    let shared = |name: &'static str| {
        let retry = Retry::builder(name).budget(budget.clone()).build();
        retry.expect("valid")
    };
    let (one, other) = (shared("one"), shared("other"));
    assert_eq!(one.settings().budget, Some(budget.settings()));
    let changed = with_budget(Budget::window().ratio(0.1));
    one.apply(&changed).expect("valid");
    assert_eq!(other.settings(), changed);
    // The builder's own setter comes later, and so counts; the one that takes all settings makes a new budget.
    let own = Retry::builder("own").budget(budget.clone());
    let own = own.settings(&with_budget(Budget::bucket())).build();
    assert_eq!(
        own.expect("valid").settings(),
        with_budget(Budget::bucket())
    );
    assert_eq!(budget.settings(), Budget::window().ratio(0.1).into());
}

#[tokio::test(start_paused = true)]
async fn stats_go_on_when_settings_change() {
    let retry = retry(&settings(2));
    fail_attempts(&retry, &mut started_call(&retry));
    retry.apply(&settings(3)).expect("valid");
    fail_attempts(&retry, &mut started_call(&retry));
    let snapshot = Snapshot::new(&*retry.shared);
    let retries = snapshot.stats().iter().find(|(name, _)| *name == "retries");
    assert_eq!(retries.map(|(_, stat)| stat.clone()), Some(Stat::Count(3)));
}

#[test]
fn settings_that_are_built_are_those_of_setters() {
    let built = Retry::new("defaults").settings();
    assert_eq!(built, RetrySettings::default());
    let settings = RetrySettings {
        max_attempts: 7,
        backoff: Backoff::linear(SECOND, SECOND),
        max_retry_after: SECOND,
        max_elapsed: Some(SECOND),
        retry_rejections: true,
        grpc_codes: super::GrpcCodes::new([crate::call::GrpcCode::ABORTED]),
        budget: None,
    };
    let by_setters = Retry::builder("setters")
        .max_attempts(7)
        .backoff(Backoff::linear(SECOND, SECOND))
        .max_retry_after(SECOND)
        .max_elapsed(SECOND)
        .retry_rejections(true)
        .grpc_codes([crate::call::GrpcCode::ABORTED])
        .budget(None)
        .build();
    assert_eq!(by_setters.expect("valid").settings(), settings);
    let later = Retry::builder("later").settings(&settings).max_attempts(8);
    let expected = RetrySettings {
        max_attempts: 8,
        ..settings
    };
    assert_eq!(later.build().expect("valid").settings(), expected);
}

fn any_budget() -> impl Strategy<Value = BudgetSettings> {
    prop_oneof![
        (0.0..10.0, 0.0..100.0, 100_u64..100_000).prop_map(|(ratio, rate, millis)| {
            let window = Duration::from_millis(millis);
            Budget::window()
                .ratio(ratio)
                .per_second(rate)
                .window(window)
                .into()
        }),
        (1.0..1_000.0, 0.001..1_000.0).prop_map(|(max, ratio)| {
            Budget::throttle().max_tokens(max).token_ratio(ratio).into()
        }),
        (10_u32..1_000, 1_u32..10, 0_u32..100).prop_map(|(capacity, cost, refill)| {
            Budget::bucket()
                .capacity(capacity)
                .cost(cost)
                .refill(refill)
                .into()
        }),
    ]
}

proptest! {
    /// Applying the same again changes nothing, whatever is counted meanwhile, and nothing is ever overdrawn.
    #[test]
    fn budget_is_as_before_when_the_same_settings_are_applied_again(
        steps in prop::collection::vec((prop::option::of(any_budget()), 0_u8..6), 1..40),
    ) {
        let budget = Budget::default();
        let now = CallClock::at(Instant::now());
        let mut reserved = Vec::new();
        for (settings, event) in steps {
            if let Some(settings) = settings {
                budget.apply(settings, now.now());
                prop_assert_eq!(budget.settings(), settings);
                let counted = format!("{budget:?}");
                budget.apply(settings, now.now());
                prop_assert_eq!(format!("{budget:?}"), counted);
            }
            let available = budget.available(&now);
            match event {
                0 => budget.deposit(&now),
                1 => budget.complete(Outcome::Success),
                2 => budget.complete(Outcome::Failure),
                3 => drop(reserved.pop()),
                _ => {
                    let reservation = budget.reserve(Outcome::Failure, &now);
                    if let Some(available) = available {
                        prop_assert_eq!(reservation.is_some(), available > 0);
                    }
                    reserved.extend(reservation);
                }
            }
        }
    }
}
