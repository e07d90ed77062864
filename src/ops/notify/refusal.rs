/// A reason for which a channel does not tell of an alert.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// The channel tells of events only.
    NoAlerts,
    /// The alert is less severe than what the channel tells of.
    MinSeverity,
}

impl Refusal {
    /// Returns the word that the API has for it.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Refusal::NoAlerts => "no_alerts",
            Refusal::MinSeverity => "min_severity",
        }
    }
}
