use std::fmt;

/// The health of a component, or of all of them together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum HealthStatus {
    /// Works as it should.
    Healthy,
    /// Works, but slowly, in part, or with failures.
    Degraded,
    /// Does not work.
    Unhealthy,
    /// Not known: there is no result yet, or the check cannot tell.
    Unknown,
}

impl HealthStatus {
    /// Every status.
    pub const ALL: [HealthStatus; 4] = [
        HealthStatus::Healthy,
        HealthStatus::Degraded,
        HealthStatus::Unhealthy,
        HealthStatus::Unknown,
    ];

    /// Returns the status in lower case, for labels, logs and JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            HealthStatus::Healthy => "healthy",
            HealthStatus::Degraded => "degraded",
            HealthStatus::Unhealthy => "unhealthy",
            HealthStatus::Unknown => "unknown",
        }
    }

    /// Returns whether something works, if not at its best.
    ///
    /// ```
    /// use tower_keep::ops::health::HealthStatus;
    ///
    /// assert!(HealthStatus::Degraded.is_working());
    /// assert!(!HealthStatus::Unknown.is_working());
    /// ```
    pub const fn is_working(self) -> bool {
        matches!(self, HealthStatus::Healthy | HealthStatus::Degraded)
    }
}

impl fmt::Display for HealthStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn status_has_a_word_and_works_if_healthy_or_degraded() {
        let words = HealthStatus::ALL.map(|status| (status.to_string(), status.is_working()));
        let words: Vec<_> = words
            .iter()
            .map(|(word, works)| (&**word, *works))
            .collect();
        let expected = [
            ("healthy", true),
            ("degraded", true),
            ("unhealthy", false),
            ("unknown", false),
        ];
        assert_eq!(words, expected);
    }
}
