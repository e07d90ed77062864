use std::sync::Arc;

use super::{HealthStatus, error_text::error_text};
use crate::call::BoxError;

/// The result of one run of a check: a status, and a text that says why.
///
/// Texts are shortened to 256 bytes, become one line, and lose what looks like a credential.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckResult {
    status: HealthStatus,
    text: Option<Arc<str>>,
}

impl CheckResult {
    /// Creates a result without a text.
    ///
    /// ```
    /// use tower_keep::ops::health::{CheckResult, HealthStatus};
    ///
    /// assert_eq!(CheckResult::new(HealthStatus::Healthy), CheckResult::healthy());
    /// ```
    pub const fn new(status: HealthStatus) -> Self {
        CheckResult { status, text: None }
    }

    /// Creates the result of a component that works.
    ///
    /// ```
    /// use tower_keep::ops::health::CheckResult;
    ///
    /// assert_eq!(CheckResult::healthy().text(), None);
    /// ```
    pub const fn healthy() -> Self {
        CheckResult::new(HealthStatus::Healthy)
    }

    /// Creates the result of a component that works in part.
    ///
    /// ```
    /// use tower_keep::ops::health::CheckResult;
    ///
    /// let result = CheckResult::degraded("replica is 40 s behind");
    /// assert_eq!(result.text(), Some("replica is 40 s behind"));
    /// ```
    pub fn degraded(text: impl Into<String>) -> Self {
        CheckResult::new(HealthStatus::Degraded).with_text(text)
    }

    /// Creates the result of a component that does not work.
    ///
    /// ```
    /// use tower_keep::ops::health::CheckResult;
    ///
    /// let result = CheckResult::unhealthy("cannot reach postgres://orders:hunter2@db/orders");
    /// assert_eq!(result.text(), Some("cannot reach postgres://REDACTED@db/orders"));
    /// ```
    pub fn unhealthy(text: impl Into<String>) -> Self {
        CheckResult::new(HealthStatus::Unhealthy).with_text(text)
    }

    /// Creates the result of a check that cannot tell.
    ///
    /// ```
    /// use tower_keep::ops::health::{CheckResult, HealthStatus};
    ///
    /// assert_eq!(CheckResult::unknown("not connected yet").status(), HealthStatus::Unknown);
    /// ```
    pub fn unknown(text: impl Into<String>) -> Self {
        CheckResult::new(HealthStatus::Unknown).with_text(text)
    }

    /// Creates the result of a check that failed, with the texts of the error and its sources.
    pub(super) fn from_error(error: impl Into<BoxError>) -> Self {
        CheckResult {
            status: HealthStatus::Unhealthy,
            text: Some(error_text(&*error.into())),
        }
    }

    /// Adds a text that says why, or how much. An empty one is none.
    ///
    /// ```
    /// use tower_keep::ops::health::CheckResult;
    ///
    /// let result = CheckResult::healthy().with_text("3 of 10 connections in use");
    /// assert_eq!(result.text(), Some("3 of 10 connections in use"));
    /// ```
    pub fn with_text(mut self, text: impl Into<String>) -> Self {
        let text = super::error_text::safe_text(&text.into());
        self.text = (!text.is_empty()).then_some(text);
        self
    }

    /// Returns the status.
    pub fn status(&self) -> HealthStatus {
        self.status
    }

    /// Returns the text.
    pub fn text(&self) -> Option<&str> {
        self.text.as_deref()
    }

    pub(super) fn into_text(self) -> Option<Arc<str>> {
        self.text
    }
}
