use super::*;
use crate::retry::Budget;

/// Returns the error of the default settings with a change.
fn error(change: impl FnOnce(&mut RetrySettings)) -> Option<String> {
    let mut settings = RetrySettings::default();
    change(&mut settings);
    let error = settings.validate("retry").err();
    error.map(|error| error.to_string())
}

#[test]
fn default_settings_are_valid() {
    assert_eq!(error(|_| ()), None);
}

#[test]
fn max_attempts_is_1_to_100() {
    for (attempts, valid) in [(0, false), (1, true), (100, true), (101, false)] {
        let text = format!("retry: max_attempts is {attempts}, must be 1 to 100");
        let error = error(|settings| settings.max_attempts = attempts);
        assert_eq!(error, (!valid).then_some(text));
    }
}

#[test]
fn max_retry_after_is_at_most_a_day() {
    assert_eq!(
        error(|settings| settings.max_retry_after = MAX_RETRY_AFTER),
        None
    );
    let longer = error(|settings| settings.max_retry_after = MAX_RETRY_AFTER * 2);
    let text = "retry: max_retry_after is 172800s, must be at most a day";
    assert_eq!(longer.as_deref(), Some(text));
}

#[test]
fn max_elapsed_is_longer_than_zero() {
    let shortest = Some(Duration::from_nanos(1));
    assert_eq!(error(|settings| settings.max_elapsed = shortest), None);
    let zero = error(|settings| settings.max_elapsed = Some(Duration::ZERO));
    let text = "retry: max_elapsed is 0ns, must be longer than zero";
    assert_eq!(zero.as_deref(), Some(text));
}

#[test]
fn grpc_codes_have_no_ok() {
    let none = GrpcCodes::new([]);
    assert_eq!(error(|settings| settings.grpc_codes = none), None);
    let ok = error(|settings| settings.grpc_codes = GrpcCodes::new([GrpcCode::OK]));
    let text = "retry: grpc_codes is OK, must be codes of failures";
    assert_eq!(ok.as_deref(), Some(text));
}

#[test]
fn backoff_and_budget_are_checked_as_they_are_by_themselves() {
    let backoff = error(|settings| settings.backoff = Backoff::default().factor(0.5));
    let text = "retry, backoff: factor is 0.5, must be at least 1, and finite";
    assert_eq!(backoff.as_deref(), Some(text));
    assert_eq!(error(|settings| settings.budget = None), None);
    let budgets: [(BudgetSettings, &str); 3] = [
        (
            Budget::window().ratio(11.0).into(),
            "ratio is 11, must be 0 to 10",
        ),
        (
            Budget::throttle().max_tokens(0.0).into(),
            "max_tokens is 0, must be 1 to 1000",
        ),
        (
            Budget::bucket().cost(0).into(),
            "cost is 0, must be 1 to the capacity, 500",
        ),
    ];
    for (budget, text) in budgets {
        let error = error(|settings| settings.budget = Some(budget)).expect(text);
        assert!(
            error.starts_with(&format!("retry, budget: {text}")),
            "{error}"
        );
    }
}

#[test]
fn changes_name_each_setting_that_differs() {
    let from = RetrySettings::default();
    assert!(from.changes(&from).is_empty());
    let to = RetrySettings {
        max_attempts: 5,
        backoff: Backoff::constant(Duration::from_secs(1)),
        max_retry_after: Duration::from_secs(1),
        max_elapsed: Some(Duration::from_secs(2)),
        retry_rejections: true,
        grpc_codes: GrpcCodes::new([GrpcCode::ABORTED]),
        budget: None,
    };
    let text = from.changes(&to).text().into_owned();
    for change in [
        "max_attempts: 3 -> 5, backoff: Backoff { ",
        ", max_retry_after: 30s -> 1s, max_elapsed: off -> 2s",
        ", retry_rejections: false -> true, grpc_codes: {UNAVAILABLE} -> {ABORTED}",
        ", budget: Window(WindowBudget { ratio: 0.2, per_second: 10.0, window: 10s }) -> off",
    ] {
        assert!(text.contains(change), "{text}");
    }
}
