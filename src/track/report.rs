use std::{borrow::Cow, time::Duration};

use http::StatusCode;

use super::slow::SlowLevel;
use crate::{
    call::{CallEnd, Cause, Outcome, catch_hook},
    errors::{ErrorRecord, ErrorTracker, Fingerprint, error_description::ErrorDescription},
};

/// A report of a completed call or operation, for metrics, the log, the span and error groups.
pub(crate) struct CallReport<'a> {
    pub(crate) end: &'a CallEnd<'a>,
    pub(crate) elapsed: Duration,
    pub(crate) slow: Option<SlowLevel>,
    pub(crate) error: Option<ErrorDescription<'a>>,
    /// Only of calls that the log explains.
    record: Option<ErrorRecord>,
    /// The error group, if errors are grouped.
    pub(crate) group: Option<Fingerprint>,
}

impl<'a> CallReport<'a> {
    pub(crate) fn new(end: &'a CallEnd<'a>, error: Option<ErrorDescription<'a>>) -> Self {
        CallReport {
            end,
            // Known: trackers and operations read the clock when they admit.
            elapsed: end.elapsed().unwrap_or_default(),
            slow: None,
            error,
            record: None,
            group: None,
        }
    }

    pub(crate) fn outcome(&self) -> Outcome {
        self.end.outcome()
    }

    /// Returns whether the call must stay visible in metrics, however many series there are.
    pub(crate) fn is_failure(&self) -> bool {
        let status = self.end.status();
        self.outcome().is_error() || status.is_some_and(|status| status.is_server_error())
    }

    /// Returns whether the log may leave the call out: it succeeded, failed by the caller's fault, or was cancelled.
    pub(crate) fn is_uneventful(&self) -> bool {
        let is_uneventful = matches!(
            self.outcome(),
            Outcome::Success | Outcome::ClientError | Outcome::Cancelled
        );
        // A classifier may call a 503 a success. It stays in the log.
        let is_eventful = |status: StatusCode| {
            status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS
        };
        is_uneventful && !self.end.status().is_some_and(is_eventful)
    }

    /// Returns whether an error, rather than a status, reports that the peer is overloaded.
    pub(crate) fn is_overload_error(&self) -> bool {
        let end = self.end;
        end.outcome() == Outcome::Overload && end.status().is_none() && end.error().is_some()
    }

    /// Creates the error record from the description of the error, if there is one.
    pub(crate) fn describe(&mut self, record: impl FnOnce(&ErrorDescription<'a>) -> ErrorRecord) {
        self.record = self.error.as_ref().map(record);
    }

    pub(crate) fn record(&self) -> Option<&ErrorRecord> {
        self.record.as_ref()
    }

    /// Adds the error record of a failed call to its error group.
    pub(crate) fn group_error(&mut self, tracker: Option<&ErrorTracker>) {
        if let (Some(tracker), Some(record)) = (tracker, &self.record) {
            // A clone, since the log line shows the record too.
            self.group = catch_hook(|| tracker.record(record.clone()));
        }
    }

    pub(crate) fn error_type(&self) -> Option<&str> {
        self.error.as_ref().map(ErrorDescription::kind)
    }

    /// Returns the message of the error record, or the text of a rejection, which has none: it names the guard.
    ///
    /// Formatted only where a line is logged, since most calls are rejected under load.
    pub(crate) fn error_message(&self) -> Option<Cow<'_, str>> {
        if let Some(record) = &self.record {
            return Some(record.message().into());
        }
        match self.end.cause() {
            Some(Cause::Rejection(rejection)) if self.outcome() == Outcome::Rejected => {
                Some(rejection.to_string().into())
            }
            _ => None,
        }
    }

    pub(crate) fn root_cause(&self) -> Option<&str> {
        self.record.as_ref()?.causes().last()
    }

    pub(crate) fn error_location(&self) -> Option<&str> {
        self.record.as_ref().and_then(ErrorRecord::location)
    }

    pub(crate) fn error_group(&self) -> Option<String> {
        self.group.as_ref().map(ToString::to_string)
    }
}
