use std::time::Duration;

use crate::{call::ConfigError, util::text::display_bounded};

/// Longest route that an error shows, in bytes.
const MAX_SHOWN_ROUTE: usize = 128;

/// The durations, from admission to the end of the body, from which a call is slow: see
/// [`TrackBuilder::slow`](super::TrackBuilder::slow).
///
/// Both must be above zero, and the warning not above the critical one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(
        deny_unknown_fields,
        expecting = "a table with `warning` and `critical`"
    )
)]
pub struct SlowThresholds {
    /// The duration from which a call is slow, with a warning. No default, since only the service knows.
    #[cfg_attr(
        feature = "serde",
        serde(with = "crate::util::setting_serde::duration")
    )]
    pub warning: Duration,
    /// The duration from which a call is critically slow. No default, since only the service knows.
    #[cfg_attr(
        feature = "serde",
        serde(with = "crate::util::setting_serde::duration")
    )]
    pub critical: Duration,
}

impl SlowThresholds {
    /// Creates thresholds of these durations, which are checked where they are used.
    ///
    /// ```
    /// use std::time::Duration;
    /// use tower_keep::track::SlowThresholds;
    ///
    /// let slow = SlowThresholds::new(Duration::from_millis(500), Duration::from_secs(2));
    /// assert_eq!(slow.critical, Duration::from_secs(2));
    /// ```
    pub const fn new(warning: Duration, critical: Duration) -> Self {
        SlowThresholds { warning, critical }
    }

    /// Checks the thresholds, which are those of a route or of all.
    pub(super) fn check(
        self,
        component: &str,
        field: &'static str,
        route: Option<&str>,
    ) -> Result<(), ConfigError> {
        let SlowThresholds { warning, critical } = self;
        // Zero would make every call slow. Equal thresholds leave out the warning, which may be meant.
        if !warning.is_zero() && warning <= critical {
            return Ok(());
        }
        let of_route = route.map_or_else(String::new, |route| format!(" for {}", shown(route)));
        let value = format!("{warning:?} and {critical:?}{of_route}");
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

/// Returns a route as an error shows it. A file may hold a text of any length.
pub(super) fn shown(route: &str) -> Box<str> {
    display_bounded(format_args!("{route:?}"), MAX_SHOWN_ROUTE)
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
