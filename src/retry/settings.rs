use std::{error::Error, time::Duration};

use super::{Backoff, BudgetSettings, GrpcCodes, RetryAfter, RetryDecision, builder::component};
#[cfg(feature = "tonic")]
use crate::call::{Elapsed, find};
use crate::{
    call::{ConfigError, GrpcCode, NotSent, Outcome, as_std_error, check_range, not_sent},
    protocol::{classify_grpc_code, error_outcome},
    retry_after::retry_after_of,
    util::setting_changes::SettingChanges,
};

/// Classifies an error of [`Retry::run`](super::Retry::run) or its siblings.
pub(crate) type DecideOnError<E> = fn(&RetrySettings, &E) -> (Outcome, RetryDecision);

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

    /// Decides about an attempt by its outcome and its error.
    #[inline]
    pub(crate) fn decide(
        &self,
        outcome: Outcome,
        error: Option<&(dyn Error + 'static)>,
    ) -> RetryDecision {
        match outcome {
            Outcome::Success => RetryDecision::Stop,
            _ => self.decide_about_error(outcome, error),
        }
    }

    fn decide_about_error(
        &self,
        outcome: Outcome,
        error: Option<&(dyn Error + 'static)>,
    ) -> RetryDecision {
        // A bad certificate or an invalid URI fails the same way the next time.
        let may_pass = |error| not_sent(error).is_none_or(NotSent::is_retryable);
        if !error.is_none_or(may_pass) {
            return RetryDecision::Stop;
        }
        let code = error.and_then(code_of_peer);
        self.decide_about_response(outcome, code, error.and_then(retry_after_of))
    }

    /// Decides about a response that is no success, by its outcome, its gRPC code, and what it says about retrying.
    pub(super) fn decide_about_response(
        &self,
        outcome: Outcome,
        code: Option<GrpcCode>,
        retry_after: Option<RetryAfter>,
    ) -> RetryDecision {
        let is_failed = match outcome {
            Outcome::Failure | Outcome::Overload | Outcome::TimedOut => true,
            // A guard of this process has decided: asking again at once only adds load.
            Outcome::Rejected => self.retry_rejections,
            _ => false,
        };
        // A classifier that gives the code another outcome has decided.
        let code = code.filter(|code| classify_grpc_code(*code).outcome == outcome);
        let is_retried = match code {
            Some(code) => self.grpc_codes.contains(code) || (is_failed && retry_after.is_some()),
            None => is_failed,
        };
        if !is_retried {
            return RetryDecision::Stop;
        }
        retry_after.map_or(RetryDecision::Retry, RetryDecision::from)
    }

    pub(crate) fn classify_error(&self, error: &(dyn Error + 'static)) -> (Outcome, RetryDecision) {
        let outcome = error_outcome(error);
        (outcome, self.decide(outcome, Some(error)))
    }

    /// Classifies an error that may not implement `Error`. One that cannot be inspected is a failure.
    pub(crate) fn classify_any_error<E: 'static>(&self, error: &E) -> (Outcome, RetryDecision) {
        match as_std_error(error) {
            Some(error) => self.classify_error(error),
            None => (Outcome::Failure, self.decide(Outcome::Failure, None)),
        }
    }
}

/// Returns the code of the status with which the peer has responded, if that is what the error holds.
#[cfg(feature = "tonic")]
fn code_of_peer(error: &(dyn Error + 'static)) -> Option<GrpcCode> {
    if find::<Elapsed>(error).is_some() {
        return None;
    }
    let status = find::<tonic::Status>(error)?;
    // A status with a cause was made on this side, of an error of the transport.
    let is_of_peer = status.source().is_none();
    is_of_peer.then(|| GrpcCode::from_tonic(status.code()))
}
#[cfg(not(feature = "tonic"))]
fn code_of_peer(_: &(dyn Error + 'static)) -> Option<GrpcCode> {
    None
}

#[cfg(test)]
#[path = "decision_tests.rs"]
mod decision_tests;
#[cfg(test)]
#[path = "settings_tests.rs"]
mod tests;
