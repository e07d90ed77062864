use std::time::SystemTime;

use crate::{
    breaker::CircuitState,
    ops::{health::CheckResult, time::clock},
};

/// The failures in a row from which a channel is degraded: one or two are a hiccup.
const FAILURES: u32 = 3;

/// The state of a channel by its last attempts.
#[derive(Clone, Debug, Default)]
pub(super) struct ChannelHealth {
    /// The failed attempts since the last that succeeded.
    pub(super) failures: u32,
    since: Option<SystemTime>,
    error: Option<String>,
    /// True if a message is given up, after which no success came.
    has_given_up: bool,
}

impl ChannelHealth {
    pub(super) fn succeeded(&mut self) {
        *self = ChannelHealth::default();
    }

    pub(super) fn failed(&mut self, error: &str, at: SystemTime) {
        self.failures = self.failures.saturating_add(1);
        self.since.get_or_insert(at);
        self.error = Some(error.to_owned());
    }

    pub(super) fn gave_up(&mut self) {
        self.has_given_up = true;
    }

    /// Returns the error of the last attempt, if it has failed.
    pub(super) fn error(&self) -> Option<&str> {
        self.error.as_deref()
    }

    /// Returns the health of the channel: at worst degraded, since the service works without it.
    pub(super) fn judge(&self, circuit: CircuitState, queued: usize) -> CheckResult {
        let is_failing = self.failures >= FAILURES || self.has_given_up;
        let error = self.error.as_deref().unwrap_or("no attempt has failed");
        let since = self.since.map(clock).unwrap_or_default();
        let text = match circuit {
            CircuitState::ForcedOpen => format!("held open manually, {queued} waiting"),
            _ if self.has_given_up => {
                format!("a message was given up, failing since {since}, {queued} waiting: {error}")
            }
            _ if is_failing => {
                let failures = self.failures;
                format!("{failures} failures since {since}, {queued} waiting: {error}")
            }
            _ => return CheckResult::healthy(),
        };
        CheckResult::degraded(text)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::ops::health::HealthStatus;

    #[test]
    fn channel_health_is_degraded_from_three_failures_until_a_success() {
        let at = SystemTime::UNIX_EPOCH + Duration::from_secs(61);
        let mut health = ChannelHealth::default();
        let judge = |health: &ChannelHealth| health.judge(CircuitState::Closed, 4);
        for _ in 0..2 {
            health.failed("responds 503", at);
            assert_eq!(judge(&health), CheckResult::healthy());
        }
        health.failed("responds 503", at + Duration::from_secs(9));
        let text = "3 failures since 00:01:01 UTC, 4 waiting: responds 503";
        assert_eq!(judge(&health), CheckResult::degraded(text));
        health.succeeded();
        assert_eq!(judge(&health), CheckResult::healthy());
        health.failed("responds 404", at);
        health.gave_up();
        assert_eq!(judge(&health).status(), HealthStatus::Degraded);
        let held = ChannelHealth::default().judge(CircuitState::ForcedOpen, 1);
        assert_eq!(held.text(), Some("held open manually, 1 waiting"));
    }
}
