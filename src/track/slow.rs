use std::time::Duration;

use crate::call::ConfigError;

/// The durations, from admission to the end of the body, from which a call is slow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SlowThresholds {
    pub(crate) warning: Duration,
    pub(crate) critical: Duration,
}

impl SlowThresholds {
    pub(crate) fn check(
        self,
        component: &str,
        field: &'static str,
    ) -> Result<SlowThresholds, ConfigError> {
        let SlowThresholds { warning, critical } = self;
        // Zero would make every call slow. Equal thresholds leave out the warning, which may be meant.
        if !warning.is_zero() && warning <= critical {
            return Ok(self);
        }
        let value = format!("{warning:?} and {critical:?}");
        let expected = "above zero, the warning not above the critical threshold";
        Err(ConfigError::new(component, field, value, expected))
    }

    /// Returns how slow a call of this duration is; `None` if it is not slow.
    pub(crate) fn level(self, elapsed: Duration) -> Option<SlowLevel> {
        // The critical one first, since such a call has reached both.
        if elapsed >= self.critical {
            Some(SlowLevel::Critical)
        } else if elapsed >= self.warning {
            Some(SlowLevel::Warning)
        } else {
            None
        }
    }
}

/// The threshold that a slow call has reached.
#[derive(Clone, Copy, Debug, Hash, PartialEq, Eq)]
pub(crate) enum SlowLevel {
    Warning,
    Critical,
}

impl SlowLevel {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            SlowLevel::Warning => "warning",
            SlowLevel::Critical => "critical",
        }
    }
}
