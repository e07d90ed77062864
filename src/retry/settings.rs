use std::time::Duration;

use super::{Backoff, BudgetSettings, GrpcCodes, builder::component};
use crate::{
    call::{ConfigError, GrpcCode, check_range},
    util::setting_changes::SettingChanges,
};

pub(super) const MAX_ATTEMPTS: u32 = 100;
pub(super) const MAX_RETRY_AFTER: Duration = Duration::from_secs(24 * 3_600);

/// The settings of a [`Retry`](super::Retry) that a file may have: for [`RetryBuilder::settings`] and [`Retry::apply`].
///
/// In a file (feature `serde`) durations have a unit (`"250ms"`), and what can be switched off is `"off"` then. Settings
/// that are absent have their defaults; unknown ones are errors.
///
/// ```
/// use std::time::Duration;
/// use tower_keep::retry::{Retry, RetrySettings};
///
/// # #[cfg(feature = "serde")] {
/// let settings: RetrySettings = toml::from_str(
///     r#"
///     max_attempts = 5
///     max_elapsed = "10s"
///     grpc_codes = ["UNAVAILABLE", "ABORTED"]
///     backoff = { first = "100ms", max = "2s" }
///     budget = { ratio = 0.1 }
///     "#,
/// )?;
/// assert_eq!(settings.max_attempts, 5);
/// assert_eq!(settings.max_elapsed, Some(Duration::from_secs(10)));
///
/// let retry = Retry::builder("inventory").settings(&settings).build()?;
/// assert_eq!(retry.settings(), settings);
/// # }
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
///
/// [`RetryBuilder::settings`]: super::RetryBuilder::settings
/// [`Retry::apply`]: super::Retry::apply
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(default, deny_unknown_fields)
)]
pub struct RetrySettings {
    /// The number of attempts, the first included. Must be 1 to 100. Default: 3, since retries in several layers multiply.
    pub max_attempts: u32,
    /// The wait before each retry. Default: 50 ms doubled up to 1 s, full jitter, so that a user still connects it with the
    /// call.
    pub backoff: Backoff,
    /// The longest retry-after to honor: if the peer asks for more, the call is not retried. Must be at most a day.
    /// Default: 30 s, which people and load balancers wait for.
    #[cfg_attr(
        feature = "serde",
        serde(with = "crate::util::setting_serde::duration")
    )]
    pub max_retry_after: Duration,
    /// The time after its start for which a call may begin attempts; `None` for no limit. Counted in whole microseconds,
    /// and must be longer than zero. Default: none, since the number of attempts is limited.
    #[cfg_attr(
        feature = "serde",
        serde(with = "crate::util::setting_serde::optional_duration")
    )]
    pub max_elapsed: Option<Duration>,
    /// `true` to retry calls that a guard of this process rejected, too. Default: no, since the guard means to reject
    /// them.
    pub retry_rejections: bool,
    /// The gRPC codes that are retried, in a file by their names. Must not contain `OK`. Default: `UNAVAILABLE`, since a
    /// call that failed otherwise fails again, or has been done.
    pub grpc_codes: GrpcCodes,
    /// The budget that all retries share; `None` for no limit. Default: retries for 20 % of the calls of the last 10 s and
    /// 10 a second, so that retries do not make an outage worse.
    #[cfg_attr(
        feature = "serde",
        serde(with = "crate::util::setting_serde::optional")
    )]
    pub budget: Option<BudgetSettings>,
}

impl Default for RetrySettings {
    fn default() -> Self {
        RetrySettings {
            max_attempts: 3,
            backoff: Backoff::default(),
            max_retry_after: Duration::from_secs(30),
            max_elapsed: None,
            retry_rejections: false,
            grpc_codes: GrpcCodes::default(),
            budget: Some(BudgetSettings::default()),
        }
    }
}

impl RetrySettings {
    /// Checks each setting as `build` and `apply` do, for the handle of this name: to check several settings before the
    /// first is applied.
    ///
    /// # Errors
    ///
    /// Returns the first invalid setting, with its field and the allowed values.
    pub fn check(&self, name: &str) -> Result<(), ConfigError> {
        self.validate(&component(&name))
    }

    /// Checks each setting, for the component of this name.
    pub(super) fn validate(&self, component: &str) -> Result<(), ConfigError> {
        let error = |field, value: String, expected| {
            Err(ConfigError::new(component, field, value, expected))
        };
        check_range(
            component,
            "max_attempts",
            self.max_attempts,
            1..=MAX_ATTEMPTS,
        )?;
        self.backoff.validate(component)?;
        if self.grpc_codes.contains(GrpcCode::OK) {
            return error("grpc_codes", "OK".to_owned(), "codes of failures");
        }
        if self.max_retry_after > MAX_RETRY_AFTER {
            let value = format!("{:?}", self.max_retry_after);
            return error("max_retry_after", value, "at most a day");
        }
        if self.max_elapsed.is_some_and(|time| time.is_zero()) {
            return error("max_elapsed", "0ns".to_owned(), "longer than zero");
        }
        match &self.budget {
            Some(budget) => budget.validate(component),
            None => Ok(()),
        }
    }

    /// Returns what differs from these settings in others.
    pub(super) fn changes(&self, to: &RetrySettings) -> SettingChanges {
        let mut changes = SettingChanges::default();
        changes.compare("max_attempts", &self.max_attempts, &to.max_attempts);
        changes.compare("backoff", &self.backoff, &to.backoff);
        changes.compare(
            "max_retry_after",
            &self.max_retry_after,
            &to.max_retry_after,
        );
        changes.compare_optional("max_elapsed", "off", &self.max_elapsed, &to.max_elapsed);
        changes.compare(
            "retry_rejections",
            &self.retry_rejections,
            &to.retry_rejections,
        );
        changes.compare("grpc_codes", &self.grpc_codes, &to.grpc_codes);
        changes.compare_optional("budget", "off", &self.budget, &to.budget);
        changes
    }
}

#[cfg(test)]
mod tests {
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
}
